//! What a person may ask for: `erase` and `export-person`, and that nothing of anybody is in a log.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use headwater_tests::project::{Project, TABLES};
use serde_json::Value;

use super::{Fact, code, expect_error, number};

const SETTINGS: &str = "
sources:
  forms: { connector: file, path: forms.csv, key: id, basis: { lawful_basis: consent } }
  list: { connector: file, path: list.csv, key: id, basis: { lawful_basis: legitimate_interest } }
  orders: { connector: file, path: orders.csv, role: conversions, key: order_id }
sinks:
  crm: { connector: file, path: out/people.csv, audience: email IS NOT NULL, map: { email: email, first_name: given_name } }
";

fn project() -> std::io::Result<Project> {
    let project = Project::of(SETTINGS)?;
    project.write(
        "forms.csv",
        "id,first_name,last_name,email\nf1,Ada,Ashgrove,ada@example.com\nf2,Bram,Birkwell,bram@example.com\n",
    )?;
    project.write("list.csv", "id,first_name,last_name,email\nl1,Ada,Ashgrove,ADA@example.com\nl3,Cleo,ada@example.com\n")?;
    project
        .write("orders.csv", "order_id,order_date,type,email,total,currency\no1,2026-07-06,order,ada@example.com,960.00,EUR\n")?;
    let run = project.run(&["sync"])?;
    assert_eq!(run.code, Some(code::REFUSED_ROWS), "{run}");
    Ok(project)
}

/// Whether a file below a folder holds these bytes as they stand. What Parquet packs is looked into by the tests of the runtime.
fn holds(folder: &Path, word: &str) -> std::io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            holds(&path, word)?
        } else {
            fs::read(&path)?.windows(word.len()).any(|bytes| bytes.eq_ignore_ascii_case(word.as_bytes()))
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn an_erased_person_is_gone_from_the_store_and_the_answer_says_where_they_still_are() -> Fact {
    let project = project()?;
    let store = project.path(".headwater");
    assert!(holds(&store, "ada@example.com")?, "the outbox held the address");
    let run = project.run(&["erase", "ada@example.com"])?.done()?;
    for part in ["rows and 1 pushes are erased", "came from forms, list, orders", "crm", "must be deleted there"] {
        assert!(run.stdout.contains(part), "{part}:\n{run}");
    }
    assert!(!run.stdout.contains("ada@"), "{run}");
    for word in ["ada@example.com", "Ashgrove"] {
        assert!(!holds(&store, word)?, "{word}");
        for table in TABLES {
            let rows = project.rows(&format!("SELECT * FROM {table}"), &[], |_| {})?.join("\n").to_lowercase();
            assert!(!rows.contains(&word.to_lowercase()), "{table}: {rows}");
        }
    }
    let again = project.run(&["sync", "--full-refresh", "--format", "json"])?;
    assert_eq!(number(&again.json()?, "sources.*.suppressed"), 3, "{again}");
    // A row that cannot be read cannot be recognised either: it is refused again, and must be erased again.
    let run = project.run(&["erase", "ada@example.com"])?.done()?;
    assert!(run.stdout.contains("rows: 1 of quarantine"), "{run}");
    expect_error(&project.run(&["erase", "ada@example.com"])?, code::USAGE, &["nothing is held"]);
    Ok(())
}

#[test]
fn a_killed_erasure_is_finished_by_the_next_run_whatever_it_is() -> Fact {
    let fresh = project()?;
    for point in [
        "after-file-before-rename",
        "after-files-before-commit",
        "inside-commit-before-commit",
        "after-commit",
        "after-expire-before-delete",
        "after-delete-before-vacuum",
    ] {
        let project = fresh.copy()?;
        let killed = project.run(&["erase", "ada@example.com", "--fault", point])?;
        assert_eq!(killed.code, None, "{point}: {killed}");
        let committed = matches!(point, "after-commit" | "after-expire-before-delete" | "after-delete-before-vacuum");
        let next: &[&str] = if committed { &["sync"] } else { &["erase", "ada@example.com"] };
        let run = project.run(next)?;
        assert!(matches!(run.code, Some(0 | code::REFUSED_ROWS)), "{point}: {run}");
        assert!(!holds(&project.path(".headwater"), "ada@example.com")?, "{point}");
        let leads = project.rows("SELECT email FROM lead", &[], |_| {})?;
        assert_eq!(leads, [r#"{"email":"bram@example.com"}"#], "{point}");
    }
    Ok(())
}

#[test]
fn an_export_is_one_json_and_its_file_is_its_owner_s() -> Fact {
    let project = project()?;
    let printed = project.run(&["export-person", "ada@example.com"])?.done()?;
    let export: Value = serde_json::from_str(&printed.stdout)?;
    for (table, rows) in [("lead", 2), ("source_record", 3), ("conversion", 1), ("quarantine", 1), ("delivery", 1)] {
        assert_eq!(export["tables"][table].as_array().map(Vec::len), Some(rows), "{table}");
    }
    assert_eq!(export["links"][0]["pushed_fields"]["email"], "ada@example.com");
    let run = project.run(&["export-person", "ada@example.com", "--out", "ada.json"])?.done()?;
    assert!(run.stdout.is_empty(), "{run}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(project.path("ada.json"))?.permissions());
    assert_eq!(mode & 0o777, 0o600);
    expect_error(&project.run(&["export-person", "nobody@example.com"])?, code::USAGE, &["nothing is held"]);
    Ok(())
}

#[test]
fn no_log_of_any_level_tells_who_is_in_the_data() -> Fact {
    let project = Project::demo()?;
    let people = people(&project)?;
    assert!(people.len() > 500, "only {} values", people.len());
    let someone = people.iter().find(|value| value.contains('@')).ok_or("nobody has an address")?.clone();
    let mut seen = 0;
    for (level, args) in [
        ("--log-json", vec!["sync"]),
        ("-vv", vec!["plan"]),
        ("-vvv", vec!["explain", &someone]),
        ("-vvv", vec!["erase", &someone]),
    ] {
        let mut command = project.command(&args);
        command.arg(level);
        if level != "-vv" {
            command.env("HEADWATER_LOG", "trace");
        }
        let told = project.finish(&mut command)?.stderr;
        seen += told.len();
        // Nearly no value is in there at all, which is found out fast.
        for value in people.iter().filter(|value| told.contains(value.as_str())) {
            let shown = told.match_indices(value.as_str()).find(|(at, _)| {
                let letter = |next: Option<char>| next.is_some_and(char::is_alphanumeric);
                let (before, after) = (told.get(..*at).unwrap_or_default(), told.get(at + value.len()..).unwrap_or_default());
                !letter(before.chars().next_back()) && !letter(after.chars().next())
            });
            let line = shown.and_then(|(at, _)| told.get(..at)?.rsplit('\n').next());
            assert!(shown.is_none(), "{args:?} {level} tells {value} after: {}", line.unwrap_or_default());
        }
    }
    assert!(seen > 10_000, "hardly anything was logged: {seen} bytes");
    Ok(())
}

/// Every address, number and name in the demo's input.
fn people(project: &Project) -> Result<BTreeSet<String>, Box<dyn std::error::Error>> {
    let mut people = BTreeSet::new();
    for entry in fs::read_dir(project.path("data"))? {
        let text = String::from_utf8_lossy(&fs::read(entry?.path())?).into_owned();
        for cell in text.split([',', ';', '"', '\n', '\r']).map(str::trim) {
            let digits = cell.bytes().filter(u8::is_ascii_digit).count();
            let number = cell.starts_with(['+', '0']) && digits >= 8 && !cell.contains([':', '-']);
            if cell.contains('@') || number {
                people.insert(cell.to_owned());
            }
        }
    }
    for (file, first, last) in [("data/zoominfo_contacts.csv", 2, 1), ("data/apollo_export.csv", 0, 1)] {
        for line in project.read(file)?.lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            if let (Some(first), Some(last)) = (cells.get(first), cells.get(last)) {
                people.insert(format!("{first} {last}"));
                // A shorter one may be part of any word.
                people.extend((last.len() > 4).then(|| (*last).to_owned()));
            }
        }
    }
    people.retain(|value| value.trim().len() > 4);
    Ok(people)
}
