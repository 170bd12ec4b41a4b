use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, LargeStringArray, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use tempfile::TempDir;

use super::*;

/// A folder with a table in it.
struct Desk {
    folder: TempDir,
    file: PathBuf,
    out: PathBuf,
}

impl Desk {
    fn with(table: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let desk = Self { file: folder.path().join("in.csv"), out: folder.path().join("out.csv"), folder };
        fs::write(&desk.file, table).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run<'a>(&'a self, change: impl FnOnce(&mut Request<'a>)) -> Result<Answer> {
        let threads = NonZeroUsize::MIN;
        let mut request = Request { file: &self.file, config: None, out: Some(&self.out), pairs: None, truth: None, threads };
        change(&mut request);
        resolve(&request)
    }

    fn configured(&self, config: &str) -> Result<Answer> {
        let path = self.path("c.yaml");
        fs::write(&path, config).unwrap();
        self.run(|request| request.config = Some(&path))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn rows(&self) -> BTreeSet<String> {
        self.read("out.csv").lines().map(str::to_owned).collect()
    }
}

const FIRST: [&str; 7] = ["Ada", "Bram", "Cleo", "Dario", "Edda", "Falk", "Greta"];
const SYLLABLES: [&str; 8] = ["mor", "tel", "van", "quis", "lund", "bek", "ros", "hal"];

/// People of two records each: `id,first_name,last_name,email,company,who`.
fn people(count: usize) -> Vec<String> {
    (0..count)
        .flat_map(|number| {
            let first = FIRST[number % FIRST.len()];
            let last = format!("{}{}{}", SYLLABLES[number % 8], SYLLABLES[number / 8 % 8], SYLLABLES[(number * 3 + 1) % 8]);
            let mail = format!("{first}.{last}@firm{}.example", number % 9);
            let firm = format!("Firm {}", number % 9);
            [
                format!("a{number},{first},{last},{mail},{firm},{number}"),
                format!("b{number},{},{last},{},,{number}", first.to_uppercase(), mail.to_lowercase()),
            ]
        })
        .collect()
}

const HEADER: &str = "id,first_name,last_name,email,company,who\n";

fn table(rows: &[String]) -> String {
    format!("{HEADER}{}\n", rows.join("\n"))
}

#[track_caller]
fn refused(result: Result<Answer>, says: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error:?}");
    assert!(error.to_string().contains(says), "`{error}` does not say `{says}`");
}

#[test]
fn records_of_one_person_get_one_prospect_whatever_their_order_and_the_threads() {
    let mut rows = people(60);
    let desk = Desk::with(&table(&rows));
    let answer = desk.run(|request| request.truth = Some("who")).unwrap();
    assert_eq!((answer.records, answer.prospects, answer.largest), (120, 60, 2));
    let measured = answer.measured.unwrap();
    assert!((measured.quality.pairs.f1 - 1.0).abs() < 1e-9 && (measured.quality.records.f1 - 1.0).abs() < 1e-9);
    assert_eq!((measured.records, measured.quality.largest_true), (120, 2));
    let first = desk.rows();
    assert!(first.contains("id,prospect_id,confidence"));
    assert!(first.iter().any(|row| row.starts_with("b7,a7,")), "a person is called by the least of its ids: {first:?}");
    rows.reverse();
    fs::write(desk.path("in.csv"), table(&rows)).unwrap();
    desk.run(|request| request.threads = NonZeroUsize::new(3).unwrap()).unwrap();
    assert_eq!(desk.rows(), first);
}

#[test]
fn unknown_columns_and_the_truth_are_never_evidence() {
    let rows = people(40);
    let plain = Desk::with(&table(&rows));
    let answer = plain.run(|_| {}).unwrap();
    assert_eq!(answer.ignored, ["who"]);
    let with_truth = plain.run(|request| request.truth = Some("who")).unwrap();
    assert!(with_truth.ignored.is_empty());
    // Taken as evidence, a column that all share or that tells everything would change the chances.
    let noted: Vec<String> = rows.iter().map(|row| format!("{row},the same for all")).collect();
    let noted = Desk::with(&table(&noted).replacen("who", "who,given_name_of_nobody", 1));
    assert_eq!(noted.run(|_| {}).unwrap().ignored, ["who", "given_name_of_nobody"]);
    assert_eq!(noted.rows(), plain.rows());
    let by_mail = plain.run(|request| request.truth = Some("email")).unwrap();
    assert!(by_mail.columns.iter().all(|(attribute, _)| *attribute != "email"), "{:?}", by_mail.columns);
}

#[test]
fn a_configuration_names_columns_and_thresholds() {
    let desk = Desk::with(&table(&people(30)).replacen(HEADER, "Lead No,Vorname,Name,E-Mail,company,who\n", 1));
    let named = "id: lead_no\nmap: { first_name: Vorname, last_name: Name, email: e-mail }\nmerge_at: 0.9\nreview_at: 0.3\n";
    let answer = desk.configured(named).unwrap();
    assert_eq!(answer.prospects, 30);
    assert_eq!(answer.thresholds, [0.9, 0.3]);
    let columns: Vec<&str> = answer.columns.iter().map(|(attribute, _)| *attribute).collect();
    assert_eq!(columns, ["first_name", "last_name", "email", "company"]);
    // What is mapped takes the place of the column of that name.
    let answer = desk.configured("id: Lead No\nmap: { email: E-Mail, company: who }").unwrap();
    assert_eq!(answer.ignored, ["Vorname", "Name", "company"]);
}

#[test]
fn a_configuration_that_cannot_be_followed_is_told_with_its_line() {
    let desk = Desk::with(&table(&people(3)));
    for (config, line, says) in [
        ("merge_att: 0.5\n", 1, "merge_att"),
        ("id: id\nmap:\n  emial: email\n", 3, "no attribute `emial`"),
        ("id: id\nmerge_at: 0.1\n", 2, "between 0.2 and 1"),
        ("id: id\nreview_at: 1.5\n", 2, "between 0.05 and 1"),
        ("id: id\nreview_at: .nan\n", 2, "not valid YAML: non-finite"),
    ] {
        let Error::Project(error) = desk.configured(config).unwrap_err() else { panic!("{config}") };
        assert!(error.message.contains(says), "{config}: {}", error.message);
        assert_eq!(error.line, Some(line), "{config}");
    }
    refused(desk.configured("map: { phone: tel }"), "has no column `tel`");
}

#[test]
fn parquet_gives_what_the_same_csv_gives() {
    let rows = people(40);
    let desk = Desk::with(&table(&rows));
    desk.run(|_| {}).unwrap();
    let csv: Vec<String> = desk.read("out.csv").lines().map(str::to_owned).collect();
    let cells: Vec<Vec<&str>> = rows.iter().map(|row| row.split(',').collect()).collect();
    let text =
        |at: usize| Arc::new(cells.iter().map(|row| Some(row[at]).filter(|cell| !cell.is_empty())).collect::<StringArray>());
    let large: LargeStringArray = cells.iter().map(|row| Some(row[3])).collect();
    let who: Int64Array = cells.iter().map(|row| row[5].parse::<i64>().ok()).collect();
    let columns: [(&str, ArrayRef); 6] = [
        ("who", Arc::new(who)),
        ("email", Arc::new(large)),
        ("first_name", text(1)),
        ("id", text(0)),
        ("last_name", text(2)),
        ("company", text(4)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = desk.path("in.parquet");
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let answer = desk.run(|request| (request.file, request.truth) = (&path, Some("who"))).unwrap();
    assert_eq!(answer.measured.unwrap().quality.largest_true, 2);
    assert_eq!(desk.read("out.csv").lines().collect::<Vec<_>>(), csv);
    let broken = fs::read(&path).unwrap();
    fs::write(&path, &broken[..broken.len() / 2]).unwrap();
    refused(desk.run(|request| request.file = &path), "is Parquet that cannot be read");
}

#[test]
fn pairs_carry_the_weight_of_every_field() {
    let desk = Desk::with(&table(&people(40)));
    for name in ["pairs.csv", "pairs.jsonl"] {
        let pairs = desk.path(name);
        desk.run(|request| request.pairs = Some(&pairs)).unwrap();
    }
    let lines = desk.read("pairs.jsonl");
    let pairs: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(pairs.iter().filter(|pair| pair["verdict"] == "joined").count() >= 40);
    for pair in &pairs {
        let weights = pair["weights"].as_array().unwrap();
        let sum: f64 = weights.iter().map(|weight| weight["bits"].as_f64().unwrap()).sum();
        assert!((pair["start_bits"].as_f64().unwrap() + sum - pair["bits"].as_f64().unwrap()).abs() < 1e-6);
        assert!(weights.iter().any(|weight| weight["field"] == "surname"));
    }
    let text = desk.read("pairs.csv");
    assert_eq!(text.lines().count(), pairs.len() + 1);
    assert!(text.starts_with("id_1,id_2,probability,verdict,bits,evidence\n"));
    assert!(text.lines().nth(1).unwrap().contains("mailbox: the same address +"), "{text}");
}

#[test]
fn records_without_a_known_person_are_left_out_of_the_measure() {
    let mut rows = people(30);
    rows.iter_mut().take(20).for_each(|row| row.truncate(row.rfind(',').unwrap() + 1));
    let measured = Desk::with(&table(&rows)).run(|request| request.truth = Some("who")).unwrap().measured.unwrap();
    assert_eq!((measured.records, measured.quality.largest_true), (40, 2));
    assert!((measured.quality.pairs.recall - 1.0).abs() < 1e-9 && (measured.compared - 1.0).abs() < 1e-9);
}

#[test]
fn a_table_that_cannot_be_read_is_told_with_its_place_and_without_its_values() {
    for (text, says) in [
        ("", "is empty: it has no line with column names"),
        ("email\nada@example.com\n", "has no column `id`; name the column"),
        ("ada@example.com,Ada\nbram@example.com,Bram\n", "has no column `id`"),
        ("id,notes\n1,x\n", "has no column that tells people apart"),
        ("id,email,Email\n1,a,b\n", "has two columns `email`"),
        ("id,ID,email\n1,a,b\n", "has two columns `id`"),
        ("id,email\n1,ada@example.com\n1,bram@example.com\n", "in.csv:3: record 2 repeats the id"),
        ("id,email\n1,ada@example.com\n ,bram@example.com\n", "in.csv:3: record 2 has no id"),
        ("id,email\n1,ada@example.com,extra\n", "in.csv:2: has 3 fields where the header has 2"),
        ("\u{1f}\u{8b}", "has no column `id`"),
    ] {
        let error = Desk::with(text).run(|_| {}).unwrap_err().to_string();
        assert!(error.contains(says), "`{error}` does not say `{says}`");
        assert!(!error.contains("example.com"), "{error}");
    }
    for (bytes, says) in [
        (&b"id,email\n1,ad\xe9le\n"[..], "in.csv:2: is not UTF-8 text"),
        (b"\xff\xfei\0d\0", "is UTF-16 text"),
        (b"\x1f\x8b\x08\0", "is compressed or a workbook"),
        (b"PAR1nonsense", "is Parquet that cannot be read"),
    ] {
        let desk = Desk::with("");
        fs::write(desk.path("in.csv"), bytes).unwrap();
        refused(desk.run(|_| {}), says);
        assert!(!desk.path("out.csv").exists(), "nothing is written of a table that cannot be read");
    }
    refused(Desk::with(HEADER).run(|request| request.truth = Some("ID")), "cannot be both");
}

#[test]
fn semicolons_tabs_and_a_byte_order_mark_are_read() {
    let rows = table(&people(12));
    for text in [rows.replace(',', ";"), rows.replace(',', "\t"), format!("\u{feff}{rows}"), rows.replace('\n', "\r\n")] {
        assert_eq!(Desk::with(&text).run(|_| {}).unwrap().prospects, 12, "{:?}", text.lines().next());
    }
}

#[test]
fn records_that_say_nothing_stand_alone() {
    let rows: Vec<String> = (0..500).map(|number| format!("{number},, ,,,")).collect();
    let desk = Desk::with(&table(&rows));
    let answer = desk.run(|_| {}).unwrap();
    assert_eq!((answer.records, answer.prospects, answer.empty), (500, 500, 500));
    let none = Desk::with(HEADER);
    assert_eq!(none.run(|_| {}).unwrap().records, 0);
    assert_eq!(none.read("out.csv"), "id,prospect_id,confidence\n");
}

#[test]
fn a_huge_field_is_no_trouble_and_a_row_without_end_is_told() {
    let mut rows = people(20);
    rows.push(format!("z,Ada,{},,,z", "x".repeat(10_000_000)));
    let desk = Desk::with(&table(&rows));
    assert_eq!(desk.run(|_| {}).unwrap().prospects, 21);
    fs::write(desk.path("in.csv"), format!("id,email\n{},a\n", "1".repeat(5000))).unwrap();
    refused(desk.run(|_| {}), "in.csv:2: record 1 has an id of more than 1024 bytes");
    let endless = b"id,email\n1,\"".chain(std::io::repeat(b'x'));
    let error = input::from_csv(Path::new("a.csv"), endless, b',', &Wanted::default()).unwrap_err();
    assert!(error.to_string().contains("quotation mark that is not closed"), "{error}");
}

#[test]
fn what_cannot_be_written_is_told_before_any_work() {
    // A table that cannot be read shows that it was not even opened.
    let desk = Desk::with("");
    let (missing, folder, file) = (desk.path("no/out.csv"), desk.path(""), desk.path("in.csv"));
    let error = desk.run(|request| request.out = Some(&missing)).unwrap_err();
    assert!(matches!(error, Error::File { doing: "written", .. }), "{error:?}");
    refused(desk.run(|request| request.out = Some(&folder)), "is a folder");
    refused(desk.run(|request| request.out = Some(&file)), "would be written over");
    let out = desk.path("out.csv");
    refused(desk.run(|request| request.pairs = Some(&out)), "cannot take both");
    let nobody = desk.path("nobody.csv");
    let error = desk.run(|request| request.file = &nobody).unwrap_err();
    assert!(matches!(error, Error::File { doing: "read", .. }), "{error:?}");
}
