//! Rules of the guide that are no compiler's and no linter's: the import table, the layout, the words.
//!
//! A rule is a function from a tree to its offences. It is held against this repository, and against a small wrong tree
//! that shows that it can fail.

#![allow(clippy::expect_used, clippy::panic, reason = "this is test code all through")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use headwater_tests::tree::{self, File};
use serde_json::Value;

/// Who may import whom. The absences are the architecture; a new crate needs a row here and a reason in ARCHITECTURE.md.
const IMPORTS: [(&str, &[&str]); 11] = [
    ("model", &[]),
    ("sdk", &["model"]),
    ("analysis", &["model"]),
    ("store", &["model"]),
    ("adapters", &["model", "sdk"]),
    ("fakes", &[]),
    ("connectors", &["model", "sdk"]),
    ("runtime", &["model", "sdk", "analysis", "store"]),
    ("server", &["model", "store", "runtime"]),
    ("cli", &["model", "sdk", "store", "adapters", "connectors", "fakes", "runtime", "server"]),
    ("tests", &[]),
];

/// What the pure crates must not know: files on the network, tasks, a clock, a query engine.
const IMPURE: [&str; 9] = ["async-trait", "axum", "datafusion", "futures", "object_store", "parquet", "reqwest", "sqlx", "tokio"];

const PURE: [&str; 2] = ["model", "analysis"];

/// A Rust file longer than this has two subjects.
const MOST_LINES: usize = 800;

const MOST_MAP_LINES: usize = 200;

#[test]
fn crates_import_only_what_the_table_allows() {
    expect_none(&imports(&metadata()));
    let wrong = serde_json::json!({"packages": [
        {"name": "headwater-analysis", "dependencies": [{"name": "headwater-sdk"}, {"name": "serde"}, {"name": "tokio"}]},
        {"name": "headwater-sdk", "dependencies": [{"name": "headwater-sdk"}, {"name": "headwater-model"}, {"name": "tokio"}]},
        {"name": "headwater-extra", "dependencies": []},
    ]});
    expect_offences(
        &imports(&wrong),
        &["analysis imports sdk", "analysis is pure and imports tokio", "extra has no row in the import table"],
    );
}

fn imports(metadata: &Value) -> Vec<String> {
    let allowed = BTreeMap::from(IMPORTS);
    let mut offences = Vec::new();
    for package in array(metadata, "packages") {
        let name = short(package);
        let Some(may) = allowed.get(name) else {
            offences.push(format!("{name} has no row in the import table"));
            continue;
        };
        for dependency in array(package, "dependencies") {
            let import = short(dependency);
            let ours = import != text(dependency, "name");
            // Beside the program, which serves them to users, only tests may know that there are fakes.
            let in_tests = import == "fakes" && text(dependency, "kind") == "dev";
            if ours && import != name && !in_tests && !may.contains(&import) {
                offences.push(format!("{name} imports {import}"));
            }
            if PURE.contains(&name) && IMPURE.contains(&import) {
                offences.push(format!("{name} is pure and imports {import}"));
            }
        }
    }
    offences
}

/// Sinks that speak no HTTP: they are held against real files, databases and programs instead.
const NOT_RECORDED: [&str; 3] = ["file", "postgres", "sql"];

#[test]
fn every_sink_that_speaks_http_has_a_recording() {
    expect_none(&unrecorded(&read()));
    let wrong = [
        File::new("connectors/a/sink.yaml", "sink:\n"),
        File::new("connectors/b/connector.yaml", "name: b\nsink:\n  id: record.id\n"),
        File::new("connectors/c/connector.yaml", "name: c\nstreams:\n"),
        File::new("connectors/d/sink.rs", ""),
        File::new("connectors/e/sink.rs", ""),
        File::new("connectors/e/fixtures/sink.yaml", "version: 1\n"),
        File::new("connectors/sql/sink/mod.rs", ""),
    ];
    let missing = |name| format!("connectors/{name}: no fixtures/sink.yaml");
    expect_offences(&unrecorded(&wrong), &["a", "b", "d"].map(missing).each_ref().map(String::as_str));
}

fn unrecorded(files: &[File]) -> Vec<String> {
    let (mut sinks, mut recorded) = (BTreeSet::new(), BTreeSet::new());
    for file in files {
        match file.path.split('/').collect::<Vec<_>>()[..] {
            ["connectors", folder, "sink.yaml" | "sink.rs"] | ["connectors", folder, "sink", ..] => drop(sinks.insert(folder)),
            ["connectors", folder, "connector.yaml"] if file.text.lines().any(|line| line == "sink:") => {
                sinks.insert(folder);
            }
            ["connectors", folder, "fixtures", "sink.yaml"] => drop(recorded.insert(folder)),
            _ => {}
        }
    }
    let missing = sinks.difference(&recorded).filter(|folder| !NOT_RECORDED.contains(folder));
    missing.map(|folder| format!("connectors/{folder}: no fixtures/sink.yaml")).collect()
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    expect_none(&unlinted(&read()));
    let wrong = [
        File::new("Cargo.toml", "[workspace]\n"),
        File::new("crates/a/Cargo.toml", "[package]\n[lints]\nworkspace = true\n"),
        File::new("crates/b/Cargo.toml", "[package]\n"),
    ];
    expect_offences(&unlinted(&wrong), &["crates/b/Cargo.toml: lints.workspace is not true"]);
}

fn unlinted(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"))
        .filter(|file| !file.text.contains("[lints]\nworkspace = true\n"))
        .map(|file| format!("{}: lints.workspace is not true", file.path))
        .collect()
}

#[test]
fn no_rust_file_is_longer_than_a_reader_can_hold() {
    expect_none(&long(&read()));
    let wrong = [
        File::new("a.rs", &"//\n".repeat(MOST_LINES)),
        File::new("b.rs", &"//\n".repeat(MOST_LINES + 1)),
        File::new("b.csv", &"1\n".repeat(MOST_LINES + 1)),
    ];
    expect_offences(&long(&wrong), &["b.rs: 801 lines"]);
}

fn long(files: &[File]) -> Vec<String> {
    rust(files)
        .map(|file| (file, file.text.lines().count()))
        .filter(|&(_, lines)| lines > MOST_LINES)
        .map(|(file, lines)| format!("{}: {lines} lines", file.path))
        .collect()
}

#[test]
fn exceptions_from_lints_give_a_reason_and_no_test_is_switched_off() {
    expect_none(&exceptions(&read()));
    let wrong = [
        File::new("a.rs", "#[ignore = \"slow\"]\n"),
        File::new("b.rs", "fn f() {\n    #[allow(\n        dead_code\n    )]\n}\n"),
        File::new("c.rs", "#![expect(dead_code)]\n"),
        File::new("d.rs", "#[expect(\n    dead_code,\n    reason = \"read by C\"\n)]\n// #[ignore]\n"),
        File::new("e.rs", "#[cfg_attr(test, allow(dead_code))]\n"),
    ];
    expect_offences(
        &exceptions(&wrong),
        &["a.rs:1: a test is switched off", "b.rs:2: no reason", "c.rs:1: no reason", "e.rs:1: no reason"],
    );
}

fn exceptions(files: &[File]) -> Vec<String> {
    let mut offences = Vec::new();
    for file in rust(files) {
        let mut code = file.code();
        while let Some((number, line)) = code.next() {
            let mut attribute = line.trim_start().to_owned();
            if !attribute.starts_with("#[") && !attribute.starts_with("#![") {
                continue;
            }
            while !attribute.contains(']')
                && let Some((_, more)) = code.next()
            {
                attribute.push_str(more);
            }
            if attribute.starts_with("#[ignore") {
                offences.push(format!("{}:{number}: a test is switched off", file.path));
            }
            let exception = attribute.contains("allow(") || attribute.contains("expect(");
            if exception && !attribute.contains("reason = ") {
                offences.push(format!("{}:{number}: no reason", file.path));
            }
        }
    }
    offences
}

#[test]
fn every_connector_has_a_readme_and_stands_sorted_in_the_list() {
    expect_none(&connectors(&read()));
    let wrong = [
        File::new("connectors/lib.rs", "mod b;\nmod a;\n\n[\n    Arc::new(b::B),\n    Arc::new(a::A),\n]\n"),
        File::new("connectors/a/mod.rs", ""),
        File::new("connectors/a/README.md", "# A\n"),
        File::new("connectors/b/mod.rs", ""),
        File::new("connectors/b/README.md", " \n"),
        File::new("connectors/c/mod.rs", ""),
        File::new("connectors/d/connector.yaml", ""),
    ];
    expect_offences(
        &connectors(&wrong),
        &[
            "connectors/b: no README.md",
            "connectors/c: no README.md",
            "connectors/d: no README.md",
            "connectors/lib.rs: `mod` lines are not the native connectors in order: a b c",
            "connectors/lib.rs: the list is not the native connectors in order: a b c",
        ],
    );
}

fn connectors(files: &[File]) -> Vec<String> {
    let mut folders = BTreeSet::new();
    let mut native = Vec::new();
    let mut described = BTreeSet::new();
    let mut declared = Vec::new();
    let mut listed = Vec::new();
    for file in files {
        match file.path.split('/').collect::<Vec<_>>()[..] {
            ["connectors", "lib.rs"] => {
                let lines = || file.text.lines().map(str::trim);
                declared = lines().filter_map(|l| l.strip_prefix("mod ")?.strip_suffix(';')).collect();
                listed = lines().filter_map(|l| Some(l.strip_prefix("Arc::new(")?.split_once("::")?.0)).collect();
            }
            ["connectors", folder, name] => {
                folders.insert(folder);
                if name == "mod.rs" {
                    native.push(folder);
                }
                if name == "README.md" && !file.text.trim().is_empty() {
                    described.insert(folder);
                }
            }
            _ => {}
        }
    }
    // One folder may hold connectors of one kind, as `sql` does.
    listed.dedup();
    let mut offences: Vec<_> =
        folders.difference(&described).map(|folder| format!("connectors/{folder}: no README.md")).collect();
    for (lines, what) in [(declared, "`mod` lines are"), (listed, "the list is")] {
        if lines != native {
            offences.push(format!("connectors/lib.rs: {what} not the native connectors in order: {}", native.join(" ")));
        }
    }
    offences
}

#[test]
fn settings_refuse_keys_they_do_not_know() {
    expect_none(&open_settings(&read()));
    let wrong = [
        File::new("a/config.rs", "#[derive(Debug, Deserialize)]\npub struct A {\n    b: u8,\n}\n"),
        File::new("b/config.rs", "#[derive(Deserialize)]\n/// B.\n#[serde(\n    deny_unknown_fields\n)]\nstruct B {}\n"),
        File::new("c/config.rs", "#[derive(Deserialize)]\n#[serde(tag = \"type\")]\nenum C {\n"),
        File::new("d/config.rs", "#[derive(Deserialize)]\n#[serde(rename_all = \"snake_case\")]\nenum D {\n"),
        File::new("e/config.rs", "#[derive(Deserialize)]\nstruct E(String);\n"),
        File::new("f/wire.rs", "#[derive(Deserialize)]\nstruct F {\n"),
        File::new("project/config/g.rs", "    #[serde(flatten)]\n"),
    ];
    expect_offences(
        &open_settings(&wrong),
        &[
            "a/config.rs:2: no deny_unknown_fields",
            "c/config.rs:3: no deny_unknown_fields",
            "project/config/g.rs:1: flatten and untagged lose the place of an error",
        ],
    );
}

fn open_settings(files: &[File]) -> Vec<String> {
    let mut offences = Vec::new();
    let settings = |file: &&File| ["config", "crates/runtime/src/project/"].iter().any(|part| file.path.contains(part));
    for file in rust(files).filter(settings) {
        let mut attributes = String::new();
        for (number, line) in file.code() {
            let line = line.trim();
            if line.starts_with("#[serde(") && (line.contains("flatten") || line.contains("untagged")) {
                offences.push(format!("{}:{number}: flatten and untagged lose the place of an error", file.path));
            }
            let item = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
            let fields =
                item.starts_with("struct ") && item.contains('{') || item.starts_with("enum ") && attributes.contains("tag = ");
            if fields && attributes.contains("Deserialize") && !attributes.contains("deny_unknown_fields") {
                offences.push(format!("{}:{number}: no deny_unknown_fields", file.path));
            }
            if item.ends_with(['{', '}', ';']) {
                attributes.clear();
            } else {
                attributes.push_str(line);
            }
        }
    }
    offences
}

#[test]
fn no_file_or_folder_has_a_name_that_says_nothing() {
    expect_none(&vague(&read()));
    let wrong = [
        File::new("crates/common/lib.rs", ""),
        File::new("crates/a/src/types.rs", ""),
        File::new("crates/a/src/core_list.rs", ""),
        File::new("docs/utils.md", ""),
    ];
    expect_offences(&vague(&wrong), &["crates/a/src/types.rs: types", "crates/common/lib.rs: common"]);
}

fn vague(files: &[File]) -> Vec<String> {
    let mut offences = Vec::new();
    for file in rust(files) {
        for part in file.path.split('/').map(|part| part.trim_end_matches(".rs")) {
            if ["common", "utils", "util", "helpers", "helper", "types", "core"].contains(&part) {
                offences.push(format!("{}: {part}", file.path));
            }
        }
    }
    offences
}

#[test]
fn the_map_is_short_and_names_every_package() {
    expect_none(&map(&read()));
    let manifests = [File::new("crates/a/Cargo.toml", ""), File::new("connectors/Cargo.toml", "")];
    expect_offences(&map(&manifests), &["ARCHITECTURE.md is missing"]);
    let text = "`connectors`\n".to_owned() + &"\n".repeat(MOST_MAP_LINES);
    let wrong: Vec<_> = [File::new("ARCHITECTURE.md", &text)].into_iter().chain(manifests).collect();
    expect_offences(
        &map(&wrong),
        &["ARCHITECTURE.md does not name crates/a", "ARCHITECTURE.md has 201 lines, at most 200 are read"],
    );
}

fn map(files: &[File]) -> Vec<String> {
    let Some(map) = files.iter().find(|file| file.path == "ARCHITECTURE.md") else {
        return vec!["ARCHITECTURE.md is missing".to_owned()];
    };
    let mut offences: Vec<_> = files
        .iter()
        .filter_map(|file| file.path.strip_suffix("/Cargo.toml"))
        .filter(|package| !map.text.contains(package))
        .map(|package| format!("ARCHITECTURE.md does not name {package}"))
        .collect();
    let lines = map.text.lines().count();
    if lines > MOST_MAP_LINES {
        offences.push(format!("ARCHITECTURE.md has {lines} lines, at most {MOST_MAP_LINES} are read"));
    }
    offences
}

#[test]
fn paths_named_in_the_documents_exist() {
    expect_none(&lost(&read()));
    let wrong = [
        File::new("crates/a/src/lib.rs", ""),
        File::new("crates/a/README.md", "`crates/z`\n"),
        File::new(
            "GUIDE.md",
            "`crates/a/src` and `crates/a/src/lib.rs`\nnot `crates/b`, not `tests/c.rs` but `crates/<name>` and `a/b`\n",
        ),
    ];
    expect_offences(&lost(&wrong), &["GUIDE.md:2: crates/b", "GUIDE.md:2: tests/c.rs", "crates/a/README.md:1: crates/z"]);
}

fn lost(files: &[File]) -> Vec<String> {
    let ours = ["config/", "connectors/", "crates/", "fixtures/", "tests/", "benches/"];
    let exists = |path: &str| {
        let folder = format!("{path}/");
        files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    };
    let mut offences = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (number, line) in file.lines() {
            for path in line.split('`').skip(1).step_by(2) {
                let pattern = path.contains(['<', '*', '{', ' ', '…']);
                if !pattern && ours.iter().any(|o| path.starts_with(o)) && !exists(path.trim_end_matches('/')) {
                    offences.push(format!("{}:{number}: {path}", file.path));
                }
            }
        }
    }
    offences
}

#[test]
fn open_work_names_its_issue() {
    // Put together, so that this file does not offend.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let rule = |files: &[File]| {
        offending_lines(files, |_| true, |line| marks.iter().any(|mark| line.contains(mark)) && !line.contains('#'))
    };
    expect_none(&rule(&read()));
    let [todo, fixme] = marks;
    let wrong = File::new("a.rs", &format!("// {todo} #12: faster\n// {todo}: better\nlet x = 1; // {fixme}\n"));
    expect_offences(&rule(&[wrong]), &["a.rs:2", "a.rs:3"]);
}

#[test]
fn only_the_command_line_prints() {
    let macros = ["println!(", "eprintln!(", "print!(", "eprint!(", "dbg!("];
    let library = |path: &str| {
        ["crates/cli/", "tests/"].iter().all(|own| !path.starts_with(own))
            && ["/benches/", "/examples/", "/tests/", "tests.rs", "build.rs"].iter().all(|own| !path.contains(own))
    };
    let rule = |files: &[File]| {
        offending_lines(files, library, |line| macros.iter().any(|name| line.contains(name)) && !is_comment(line))
    };
    expect_none(&rule(&read()));
    let wrong = ["crates/cli/src/main.rs", "crates/store/src/lib.rs", "crates/store/build.rs"]
        .map(|path| File::new(path, "/// println!(\"hint\")\nlet x = 1; eprintln!(\"{x}\");\n"));
    expect_offences(&rule(&wrong), &["crates/store/src/lib.rs:2"]);
}

#[test]
fn what_needs_a_server_stands_in_a_live_module() {
    let asks = concat!("HEADWATER_", "TEST_");
    let rule = |files: &[File]| -> Vec<_> {
        rust(files)
            .filter(|file| file.text.contains(asks) && !file.path.starts_with("tests/src/"))
            .filter(|file| !file.path.ends_with("/live.rs") && !file.text.contains("mod live {"))
            .map(|file| format!("{}: a test that needs a server would pass without it", file.path))
            .collect()
    };
    expect_none(&rule(&read()));
    let wrong = [
        File::new("connectors/a/tests.rs", &format!("if let Some(url) = variable(\"{asks}A_URL\") {{\n")),
        File::new("connectors/b/tests.rs", &format!("mod live {{\n    server(\"{asks}B_URL\");\n")),
        File::new("connectors/c/tests/live.rs", &format!("server(\"{asks}C_URL\");\n")),
    ];
    expect_offences(&rule(&wrong), &["connectors/a/tests.rs: a test that needs a server would pass without it"]);
}

#[test]
fn only_the_store_names_its_tables() {
    let outside = |path: &str| !path.starts_with("crates/store/") && !path.starts_with("tests/");
    let rule = |files: &[File]| {
        let named = |line: &str| names_table(line, "hw_") || names_table(line, "ducklake_");
        offending_lines(files, outside, |line| named(line) && !is_comment(line))
    };
    expect_none(&rule(&read()));
    let text = "// hw_run\nquery(\"select * from hw_run\");\nlet shw_x = 1;\nquery(\"from ducklake_snapshot\")\n";
    let wrong = ["crates/store/src/a.rs", "crates/runtime/src/a.rs"].map(|path| File::new(path, text));
    expect_offences(&rule(&wrong), &["crates/runtime/src/a.rs:2", "crates/runtime/src/a.rs:4"]);
}

fn names_table(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        let after = line.get(at + prefix.len()..).and_then(|tail| tail.chars().next());
        !before.is_some_and(is_word) && after.is_some_and(is_word)
    })
}

#[test]
fn tests_are_named_after_the_fact_they_show() {
    expect_none(&nameless(&read()));
    let wrong = File::new(
        "a.rs",
        "#[test]\nfn test_email_2() {}\n#[tokio::test]\nasync fn works_2() {}\n#[test]\nfn a_blank_is_no_email() {}\nfn test_data() {}\n",
    );
    expect_offences(&nameless(&[wrong]), &["a.rs:2: test_email_2", "a.rs:4: works_2"]);
}

fn nameless(files: &[File]) -> Vec<String> {
    let mut offences = Vec::new();
    for file in rust(files) {
        let mut is_test = false;
        for (number, line) in file.code() {
            let line = line.trim();
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some((_, rest)) = line.split_once("fn ") {
                let name = rest.split('(').next().unwrap_or_default();
                let numbered = name.rsplit('_').next().is_some_and(|end| end.len() == 1 && end.parse::<u8>().is_ok());
                if is_test && (name.starts_with("test_") || numbered) {
                    offences.push(format!("{}:{number}: {name}", file.path));
                }
                is_test = false;
            }
        }
    }
    offences
}

#[test]
fn recorded_people_are_made_up() {
    expect_none(&real_people(&read()));
    let wrong = [
        File::new("fixtures/a.csv", "ann@example.com,bob@mail.example.org\neve@corp.com\n"),
        File::new("connectors/x/fixtures/b.json", "{\"email\": \"eve@corp.com\", \"at\": \"@once\"}\n"),
        File::new("connectors/x/tests.rs", "\"eve@gmail.com\"\n"),
    ];
    expect_offences(&real_people(&wrong), &["connectors/x/fixtures/b.json:1: corp.com", "fixtures/a.csv:2: corp.com"]);
}

/// Domains that nobody can own (RFC 2606).
fn real_people(files: &[File]) -> Vec<String> {
    let reserved = ["example.com", "example.org", "example.net", "example", "test", "invalid"];
    let mut offences = Vec::new();
    for file in files.iter().filter(|file| file.path.contains("fixtures/")) {
        for (number, line) in file.lines() {
            for domain in line.split('@').skip(1) {
                let domain: String =
                    domain.chars().take_while(|c| c.is_alphanumeric() || ".-".contains(*c)).collect::<String>().to_lowercase();
                let domain = domain.trim_matches('.');
                let made_up = reserved.iter().any(|r| domain == *r || domain.ends_with(&format!(".{r}")));
                if domain.contains('.') && !made_up {
                    offences.push(format!("{}:{number}: {domain}", file.path));
                }
            }
        }
    }
    offences
}

fn offending_lines(files: &[File], place: impl Fn(&str) -> bool, wrong: impl Fn(&str) -> bool) -> Vec<String> {
    rust(files)
        .filter(|file| place(&file.path))
        .flat_map(|file| file.lines().filter(|(_, line)| wrong(line)).map(|(number, _)| format!("{}:{number}", file.path)))
        .collect()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn rust(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.path.ends_with(".rs"))
}

fn read() -> Vec<File> {
    tree::read(&tree::root()).expect("the source tree can be read")
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(tree::root())
        .output()
        .expect("cargo starts");
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The name of a package or dependency, without our prefix.
fn short(package: &Value) -> &str {
    let name = text(package, "name");
    name.strip_prefix("headwater-").unwrap_or(name)
}

#[track_caller]
fn expect_none(offences: &[String]) {
    assert!(offences.is_empty(), "offences:\n  {}", offences.join("\n  "));
}

#[track_caller]
fn expect_offences(offences: &[String], expected: &[&str]) {
    let mut offences = offences.to_vec();
    offences.sort();
    assert_eq!(offences, expected, "the rule does not see the wrong tree as it should");
}
