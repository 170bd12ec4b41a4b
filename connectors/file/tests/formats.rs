//! Packed text, workbooks, JSON lines, Parquet; and which files a pattern names.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;
use headwater_model::page::Page;
use headwater_sdk::testkit::check_source_contract;
use headwater_sdk::{ErrorKind, Result};
use rust_xlsxwriter::{ExcelDateTime, Format, Workbook};
use serde_json::json;

use super::{cells, columns, events, failure, folder, pages, places, read, refused, rows, spec};

const TEXT: &str = "Name,Phone\nAnn,+1 415\n\"Bob\nJr\",0049\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[tokio::test]
async fn packed_text_reads_as_if_it_were_not() {
    let twice = [gzip(b"Name,Phone\nAnn,+1 415\n"), gzip(b"\"Bob\nJr\",0049\n")].concat();
    for (name, bytes) in [
        ("a.csv.gz", gzip(TEXT.as_bytes())),
        ("a.csv.gz", twice),
        ("a.csv.zst", zstd::encode_all(TEXT.as_bytes(), 3).unwrap()),
        ("a.csv.zip", zip(&[("list.csv", TEXT.as_bytes())])),
        ("a.zip", zip(&[("list.csv", TEXT.as_bytes()), ("__MACOSX/._list.csv", b"x")])),
    ] {
        let pages = read(name, bytes).await.unwrap();
        assert_eq!(cells(&pages), rows(&[&["Ann", "+1 415"], &["Bob\nJr", "0049"]]), "{name}");
        assert_eq!(places(&pages), [format!("{name}:2"), format!("{name}:3")]);
        let (done, total) = pages[0].progress.unwrap();
        assert!(done > 0 && done <= total, "{name}: {done} of {total}");
    }
}

#[tokio::test]
async fn an_archive_of_several_files_or_with_damage_is_refused() {
    let error = failure("a.zip", zip(&[("a.csv", b"a"), ("b.csv", b"b")])).await;
    assert_eq!(error.message(), "a.zip holds 2 files, not one");
    let mut cut = gzip(people(2000).as_bytes());
    cut.truncate(cut.len() / 2);
    assert_eq!(failure("a.csv.gz", cut).await.kind(), ErrorKind::Input);
    let mut damaged = zip(&[("a.csv", TEXT.as_bytes())]);
    let checksum = crc(TEXT.as_bytes()).to_le_bytes();
    let at = damaged.windows(4).rposition(|bytes| bytes == checksum).unwrap();
    damaged[at] ^= 1;
    assert!(failure("a.csv.zip", damaged).await.message().contains("checksum"));
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn people(rows: usize) -> String {
    std::iter::once("Id,Email\n".to_owned()).chain((0..rows).map(|row| format!("{row},p{row}@example.com\n"))).collect()
}

#[tokio::test]
async fn a_bomb_is_stopped_before_it_goes_off() {
    let bomb = "a,b\n".to_owned() + &"0,0\n".repeat(8 * 1024 * 1024);
    for (name, bytes) in [
        ("a.csv.gz", gzip(bomb.as_bytes())),
        ("a.csv.zst", zstd::encode_all(bomb.as_bytes(), 1).unwrap()),
        ("a.zip", zip(&[("a.csv", bomb.as_bytes())])),
    ] {
        let error = failure(name, bytes).await;
        assert!(error.message().contains("unpacks to more than 200 times its size"), "{error}");
    }
}

#[tokio::test]
async fn json_lines_keep_every_digit_and_flatten_one_level() {
    let text = concat!(
        "{\"id\":9007199254740993,\"price\":0.10,\"big\":1e400,\"ok\":true,\"none\":null,\"name\":\"Zo\\u00e9\"}\n",
        "\n",
        "{\"id\":2,\"who\":{\"email\":\"ann@example.com\",\"deep\":{\"x\":[1, 2]}},\"tags\":[\"a\",\"b\"]}\r\n",
    );
    let pages = read("a.jsonl", text).await.unwrap();
    assert_eq!(columns(&pages[0]), ["id", "price", "big", "ok", "none", "name", "who.email", "who.deep", "tags"]);
    let first = ["9007199254740993", "0.10", "1e400", "true", "", "Zoé", "", "", ""];
    let mut expected = rows(&[&first, &["2", "", "", "", "", "", "ann@example.com", "{\"x\":[1, 2]}", "[\"a\",\"b\"]"]]);
    expected.iter_mut().flatten().filter(|cell| cell.as_deref() == Some("")).for_each(|cell| *cell = None);
    assert_eq!(cells(&pages), expected);
    assert_eq!(places(&pages), ["a.jsonl:1", "a.jsonl:3"]);
    let raw = pages[0].raw.as_ref().unwrap();
    assert_eq!(raw.value(0), text.lines().next().unwrap());
    assert!(raw.value(1).ends_with("[\"a\",\"b\"]}"));
}

#[tokio::test]
async fn a_line_that_is_no_object_is_refused_and_the_rest_is_read() {
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(5 * 1024 * 1024));
    let pages =
        read("a.ndjson", format!("{{\"a\":\"1\"}}\n[1]\n{{\"a\":\n{huge}\n{{\"a\":\"2\",\"late\":\"3\"}}")).await.unwrap();
    let places: Vec<(String, &str)> = refused(&pages).into_iter().map(|row| (row.place, row.code)).collect();
    let place = |line: u8| format!("a.ndjson:{line}");
    assert_eq!(places, [(place(2), "not_json"), (place(3), "not_json"), (place(4), "oversized_row")]);
    assert_eq!(cells(&pages), [vec![Some("1".to_owned()), None], vec![Some("2".to_owned()), Some("3".to_owned())]]);
    assert_eq!(failure("a.jsonl", "[{\"a\":1},\n{\"a\":2}]").await.kind(), ErrorKind::Input);
    assert_eq!(failure("a.jsonl", "").await.kind(), ErrorKind::Input);
}

fn workbook(fill: impl FnOnce(&mut Workbook)) -> Vec<u8> {
    let mut book = Workbook::new();
    fill(&mut book);
    book.save_to_buffer().unwrap()
}

fn numbers(book: &mut Workbook) {
    let sheet = book.add_worksheet();
    let day = Format::new().set_num_format("yyyy-mm-dd");
    for (column, name) in ["SIRET", "Phone", "Date", "Amount", "Seen", "Note"].into_iter().enumerate() {
        sheet.write_string(0, u16::try_from(column).unwrap(), name).unwrap();
    }
    sheet.write_number(1, 0, 12_345_678_901_234.0).unwrap();
    sheet.write_number(1, 1, 33_612_345_678.0).unwrap();
    sheet.write_datetime_with_format(1, 2, ExcelDateTime::from_ymd(2026, 1, 3).unwrap(), &day).unwrap();
    sheet.write_number(1, 3, 1234.5).unwrap();
    let seen = ExcelDateTime::from_ymd(2026, 1, 3).unwrap().and_hms(10, 30, 0).unwrap();
    sheet.write_datetime_with_format(1, 4, seen, &Format::new().set_num_format("yyyy-mm-dd hh:mm")).unwrap();
    sheet.write_boolean(3, 5, true).unwrap();
    sheet.write_string(3, 1, "0049 1").unwrap();
    sheet.write_string(4, 7, "beyond").unwrap();
}

#[tokio::test]
async fn a_workbook_gives_numbers_without_exponent_and_dates_in_iso() {
    let folder = folder("a.xlsx", workbook(numbers));
    let config = json!({ "path": "a.xlsx" });
    let pages = pages(folder.path(), config.clone()).await.unwrap();
    let first = ["12345678901234", "33612345678", "2026-01-03", "1234.5", "2026-01-03T10:30:00", ""];
    assert_eq!(cells(&pages), rows(&[&first, &["", "0049 1", "", "", "", "true"]]));
    assert_eq!(places(&pages), ["a.xlsx:2", "a.xlsx:4"]);
    assert_eq!((refused(&pages)[0].place.as_str(), refused(&pages)[0].code), ("a.xlsx:5", "ragged_row"));
    let notes = spec(folder.path(), config).await.unwrap().notes.unwrap();
    assert!(notes.contains("leading zeros and + are already lost: `SIRET`, `Phone`"), "{notes}");
}

#[tokio::test]
async fn of_several_sheets_with_rows_the_user_names_one() {
    let fill = |book: &mut Workbook| {
        for name in ["Leads", "Old leads", "Empty"] {
            let sheet = book.add_worksheet().set_name(name).unwrap();
            if name != "Empty" {
                sheet.write_string(0, 0, "Name").unwrap();
                sheet.write_string(1, 0, name).unwrap();
            }
        }
    };
    let folder = folder("a.xlsx", workbook(fill));
    let error = pages(folder.path(), json!({ "path": "a.xlsx" })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.hint_text(), Some("say which to read with `sheet:`: `Leads`, `Old leads`, `Empty`"));
    let pages = pages(folder.path(), json!({ "path": "a.xlsx", "sheet": "Old leads" })).await.unwrap();
    assert_eq!(cells(&pages), rows(&[&["Old leads"]]));
    assert!(spec(folder.path(), json!({ "path": "a.xlsx", "sheet": "New" })).await.is_err());
}

#[tokio::test]
async fn a_sheet_with_a_title_or_a_cell_far_away_is_read_without_its_emptiness() {
    let fill = |book: &mut Workbook| {
        let sheet = book.add_worksheet();
        sheet.write_string(0, 0, "Leads of 2026").unwrap();
        for (row, cells) in [(2, ["Name", "Email"]), (3, ["Ann", "ann@example.com"]), (1_048_575, ["Bob", "bob@example.com"])] {
            sheet.write_string(row, 0, cells[0]).unwrap();
            sheet.write_string(row, 1, cells[1]).unwrap();
        }
    };
    let pages = read("a.xlsx", workbook(fill)).await.unwrap();
    assert_eq!(columns(&pages[0]), ["Name", "Email"]);
    assert_eq!(places(&pages), ["a.xlsx:4", "a.xlsx:1048576"]);
}

fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

async fn read_parquet(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<Page>> {
    let folder = tempfile::tempdir().unwrap();
    parquet(&folder.path().join("a.parquet"), columns);
    pages(folder.path(), json!({ "path": "a.parquet" })).await
}

#[tokio::test]
async fn parquet_values_become_their_exact_text() {
    let at = vec![Some(1_767_436_200_000_001), None];
    let pages = read_parquet(vec![
        ("int", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None]))),
        ("float", Arc::new(Float64Array::from(vec![33_612_345_678.0, 0.1]))),
        ("money", Arc::new(Decimal128Array::from(vec![123_456_789_012_345_678, -5]).with_precision_and_scale(18, 6).unwrap())),
        ("day", Arc::new(Date32Array::from(vec![20_456, 0]))),
        ("utc", Arc::new(TimestampMicrosecondArray::from(at.clone()).with_timezone("+02:00"))),
        ("local", Arc::new(TimestampMicrosecondArray::from(at))),
        ("text", Arc::new(StringArray::from(vec!["", "Zoé"]))),
    ])
    .await
    .unwrap();
    let some = |cells: [&str; 7]| cells.map(|cell| Some(cell.to_owned())).to_vec();
    let first = ["9007199254740993", "33612345678", "123456789012.345678", "2026-01-03", "2026-01-03T10:30:00.000001Z"];
    let first = some([first[0], first[1], first[2], first[3], first[4], "2026-01-03T10:30:00.000001", ""]);
    let mut second = some(["", "0.1", "-0.000005", "1970-01-01", "", "", "Zoé"]);
    [0, 4, 5].into_iter().for_each(|column| second[column] = None);
    assert_eq!(cells(&pages), [first, second]);
    assert_eq!(places(&pages), ["a.parquet:1", "a.parquet:2"]);
    assert!(pages[0].raw.is_none());
}

#[tokio::test]
async fn a_parquet_file_whose_columns_lie_nowhere_is_damaged() {
    let damaged = include_bytes!("../fixtures/damaged.parquet");
    assert_eq!(failure("list.parquet", damaged).await.message(), "list.parquet cannot be read as Parquet");
}

/// Every byte of a file, changed in four ways: each time the file is refused, or all of its rows are there.
#[tokio::test]
async fn no_changed_byte_of_a_parquet_file_is_a_panic_or_loses_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let names = StringArray::from(vec![Some("Ann"), None, Some("Bob")]);
    parquet(&path, vec![("Id", Arc::new(Int64Array::from(vec![1, 2, 3]))), ("Name", Arc::new(names))]);
    let content = std::fs::read(&path).unwrap();
    let (mut refused, mut sound) = (0, 0);
    for (place, byte) in content.iter().enumerate() {
        for changed in [0, 0xff, byte ^ 1, byte ^ 0x80] {
            let mut content = content.clone();
            content[place] = changed;
            std::fs::write(&path, content).unwrap();
            match pages(folder.path(), json!({ "path": "a.parquet" })).await {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Input, "{place} {changed}: {error:?}");
                    refused += 1;
                }
                Ok(pages) => {
                    assert_eq!(cells(&pages).len(), 3, "{place} {changed}");
                    sound += 1;
                }
            }
        }
    }
    assert!(refused > 100 && sound > 100, "{refused} {sound}");
}

#[tokio::test]
async fn nested_parquet_columns_become_json_and_stay_in_the_raw_record() {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    let columns: Vec<(&str, ArrayRef)> = vec![("id", Arc::new(Int64Array::from(vec![7, 8]))), ("list", Arc::new(list))];
    let pages = read_parquet(columns).await.unwrap();
    assert_eq!(cells(&pages)[0], rows(&[&["7", "[\"1\",null]"]])[0]);
    assert_eq!(pages[0].raw.as_ref().unwrap().value(1), "{\"id\":\"8\",\"list\":null}");
    let bytes = BinaryArray::from(vec![&b"\xff\xfe"[..]]);
    assert_eq!(read_parquet(vec![("bytes", Arc::new(bytes))]).await.unwrap_err().kind(), ErrorKind::Input);
}

#[tokio::test]
async fn a_pattern_finds_files_in_order_and_leaves_hidden_ones() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("in/2026/.old")).unwrap();
    for name in
        ["in/b.csv", "in/a1.csv", "in/a22.csv", "in/2026/c.csv", "in/.x.csv", "in/~$a1.csv", "in/2026/.old/d.csv", "in/e.pdf"]
    {
        std::fs::write(folder.path().join(name), format!("Name\n{name}\n")).unwrap();
    }
    let found = async |pattern: &str| {
        let pages = pages(folder.path(), json!({ "path": pattern })).await.unwrap();
        cells(&pages).into_iter().flatten().flatten().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(found("in/*.csv").await, "in/a1.csv in/a22.csv in/b.csv");
    assert_eq!(found("in/a?.csv").await, "in/a1.csv");
    assert_eq!(found("**/*.csv").await, "in/2026/c.csv in/a1.csv in/a22.csv in/b.csv");
    assert_eq!(found("in/20*/*").await, "in/2026/c.csv");
    assert_eq!(found("./in/b.csv").await, "in/b.csv");
    let error = pages(folder.path(), json!({ "path": "out/*.csv" })).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Config, "no file matches `out/*.csv`"));
    assert_eq!(pages(folder.path(), json!({ "path": "in/e.pdf" })).await.unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn a_star_takes_as_much_as_it_must() {
    use crate::file::paths::matches;
    for (pattern, name, fits) in [
        ("*", "", true),
        ("a*b*c", "aXbYbc", true),
        ("a*b", "abc", false),
        ("??", "é", false),
        ("*.csv", "a.csv.gz", false),
        ("**", "x", true),
    ] {
        assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
    }
}

#[tokio::test]
async fn files_with_other_columns_give_pages_of_their_own() {
    let folder = folder("a.csv", "Name,Email\nAnn,ann@example.com\n");
    std::fs::write(folder.path().join("b.csv"), "Email;City\nbob@example.com;Berlin\n").unwrap();
    let spec = spec(folder.path(), json!({ "path": "*.csv" })).await.unwrap();
    assert_eq!(spec.fields, ["Name", "Email", "City"]);
    let pages = pages(folder.path(), json!({ "path": "*.csv" })).await.unwrap();
    assert_eq!(
        (columns(&pages[0]), columns(&pages[1])),
        (vec!["Name".into(), "Email".into()], vec!["Email".into(), "City".into()])
    );
}

#[tokio::test]
async fn pages_are_bounded_in_rows_and_bytes() {
    let many = read("a.csv", people(20_000)).await.unwrap();
    assert_eq!(many.iter().map(Page::rows).collect::<Vec<_>>(), [8192, 8192, 3616]);
    let wide = "a,b\n".to_owned() + &format!("{},x\n", "y".repeat(900_000)).repeat(20);
    assert_eq!(read("a.csv", wide).await.unwrap().iter().map(Page::rows).collect::<Vec<_>>(), [10, 10]);
}

#[tokio::test]
async fn settings_that_are_not_known_or_cannot_be_are_refused() {
    let folder = folder("a.csv", "a\n1\n");
    for config in [json!({ "path": "a.csv", "colour": 1 }), json!({}), json!({ "path": "a.csv", "delimiter": "ab" })] {
        assert_eq!(events(folder.path(), config, None).await.unwrap_err().kind(), ErrorKind::Config);
    }
}

#[tokio::test]
async fn every_format_keeps_the_contract_of_a_source() {
    let fill = |book: &mut Workbook| {
        let sheet = book.add_worksheet();
        for row in 0..40 {
            let (id, email) =
                if row == 0 { ("Id".into(), "Email".into()) } else { (row.to_string(), format!("p{row}@example.com")) };
            sheet.write_string(row, 0, id).unwrap();
            sheet.write_string(row, 1, email).unwrap();
        }
    };
    let json: String = (0..40).map(|row| format!("{{\"Id\":{row},\"who\":{{\"Email\":\"p{row}@example.com\"}}}}\n")).collect();
    for (name, bytes) in [
        ("a.csv", people(40).into_bytes()),
        ("a.csv.gz", gzip(people(40).as_bytes())),
        ("a.xlsx", workbook(fill)),
        ("a.jsonl", json.into_bytes()),
    ] {
        let folder = folder(name, bytes);
        let config = json!({ "path": name, "key": "Id", "checkpoint_rows": 9 });
        let source = super::source(folder.path(), config).unwrap();
        let all = check_source_contract(&*source, "records", 0).await.unwrap();
        assert!(all.rows.len() >= 39, "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    parquet(&folder.path().join("a.parquet"), vec![("Id", Arc::new(Int64Array::from_iter_values(0..40)))]);
    let source = super::source(folder.path(), json!({ "path": "a.parquet", "key": "Id", "checkpoint_rows": 9 })).unwrap();
    check_source_contract(&*source, "records", 0).await.unwrap();
}
