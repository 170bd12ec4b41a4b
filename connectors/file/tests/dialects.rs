//! Text as people have it.

use headwater_sdk::ErrorKind;
use serde_json::json;

use super::{cells, columns, failure, fixtures, folder, pages, places, read, refused, rows, spec};
use crate::file::header;

const COLUMNS: [&str; 7] = ["Société", "Prénom", "Nom", "Email", "Téléphone", "CA (k€)", "Commentaire"];
const FIRST: [&str; 7] = [
    "Crème & Fils SARL",
    "Zoé",
    "Lefèvre",
    "zoe@creme.example",
    "+33 6 12 34 56 78",
    "1 234,5",
    "ligne 1\nligne 2; avec \"guillemets\"",
];
const SECOND: [&str; 7] = ["Müller GmbH", "Jürgen", "Groß", "j.gross@mueller.example", "0049 89 1234", "2.500,00", "—"];
const THIRD: [&str; 7] = ["Žižek d.o.o.", "Ana", "Kovač", "ana@zizek.example", "'+386 1 234", "", ""];

async fn check(file: &str, lines: [u64; 3], note: &str) {
    let config = json!({ "path": format!("dialect/{file}") });
    let pages = pages(fixtures(), config.clone()).await.unwrap();
    assert_eq!(columns(&pages[0]), COLUMNS);
    // Windows-1252 has no ž and č: that file ends after the second row.
    let expected = [&FIRST[..], &SECOND, &THIRD];
    let have = cells(&pages);
    assert_eq!(have, rows(&expected[..have.len()]));
    let expected: Vec<String> = lines[..have.len()].iter().map(|line| format!("dialect/{file}:{line}")).collect();
    assert_eq!(places(&pages), expected);
    assert!(refused(&pages).is_empty());
    let notes = spec(fixtures(), config).await.unwrap().notes.unwrap();
    assert!(notes.starts_with(&format!("dialect/{file}: {note}")), "{notes}");
}

#[tokio::test]
async fn every_saved_form_of_a_table_gives_the_same_cells() {
    check("utf8_comma.csv", [2, 4, 5], "encoding utf-8, delimiter `,`, column names on line 1").await;
    check("utf8bom_semicolon.csv", [2, 4, 5], "encoding utf-8, delimiter `;`").await;
    check("utf16le_bom_tab.txt", [2, 4, 5], "encoding utf-16le, delimiter tab").await;
    check("utf16le_nobom_tab.txt", [2, 4, 5], "encoding utf-16le, delimiter tab").await;
    check("cp1252_semicolon_excelfr.csv", [2, 4, 0], "encoding windows-1252 (a guess), delimiter `;`").await;
    check("sep_line_excel.csv", [3, 5, 6], "encoding utf-8, delimiter `;`, column names on line 2").await;
    check("preamble.csv", [4, 6, 7], "encoding utf-8, delimiter `,`, column names on line 3, lines 1 to 2 passed over").await;
}

#[tokio::test]
async fn central_european_text_is_not_taken_for_western() {
    let pages = pages(fixtures(), json!({ "path": "dialect/cp1250_semicolon.csv" })).await.unwrap();
    assert_eq!(columns(&pages[0]), ["Société", "Prénom", "Nom"]);
    assert_eq!(cells(&pages), rows(&[&["Žižek", "Ana", "Kovač"], &["Łódź Sp. z o.o.", "Paweł", "Wiśniewski"]]));
}

#[tokio::test]
async fn text_of_an_old_mac_is_read_only_when_declared() {
    let path = "dialect/mac_roman_cr.csv";
    let error = pages(fixtures(), json!({ "path": path })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().contains("as macintosh=Société, as windows-1252=SociŽtŽ"), "{error}");
    assert!(error.hint_text().unwrap().contains("`encoding: macintosh`"));

    let pages = pages(fixtures(), json!({ "path": path, "encoding": "macintosh" })).await.unwrap();
    assert_eq!(columns(&pages[0]), COLUMNS);
    // The file was written without the carons.
    let third = ["Zizek d.o.o.", "Ana", "Kovac", "ana@zizek.example", "'+386 1 234", "", ""];
    assert_eq!(cells(&pages), rows(&[&FIRST, &SECOND, &third]));
    assert_eq!(places(&pages)[2], format!("{path}:5"));
}

#[tokio::test]
async fn utf16_without_a_mark_is_seen_by_its_zeros_in_either_order() {
    for big in [false, true] {
        let bytes: Vec<u8> = "Nom;Ville\nZoé;Köln\n"
            .encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect();
        assert_eq!(cells(&read("a.csv", bytes).await.unwrap()), rows(&[&["Zoé", "Köln"]]));
    }
    assert!(failure("a.csv", b"a,b\n\0\0\0\x01,2\n").await.to_string().contains("not text"));
}

#[tokio::test]
async fn columns_of_one_name_are_told_apart_and_trimmed() {
    let pages = pages(fixtures(), json!({ "path": "dialect/dup_headers.csv" })).await.unwrap();
    assert_eq!(columns(&pages[0]), ["Email", "Email (2)", "Company", "Company (2)"]);
    assert_eq!(cells(&pages), rows(&[&["a@x.example", "b@x.example", "A", "B"]]));
    let names = |cells: &[&str]| header::names(&cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    assert_eq!(names(&["a", "a", "a (2)", "", "b\n c"]), ["a", "a (3)", "a (2)", "Column 4", "b c"]);
}

#[tokio::test]
async fn a_row_with_another_number_of_fields_is_refused_by_place() {
    let pages = pages(fixtures(), json!({ "path": "dialect/ragged.csv" })).await.unwrap();
    assert_eq!(pages.iter().map(|page| page.rows()).sum::<usize>(), 0);
    let [short, long] = &refused(&pages)[..] else { panic!("two rows") };
    assert_eq!((short.place.as_str(), short.code, short.raw.as_str()), ("dialect/ragged.csv:2", "ragged_row", "1,2"));
    assert_eq!(short.reason, "has 2 fields, the header has 3");
    assert_eq!((long.place.as_str(), long.reason.as_str()), ("dialect/ragged.csv:3", "has 4 fields, the header has 3"));
}

#[tokio::test]
async fn empty_lines_and_empty_extra_fields_are_no_fault() {
    let pages = read("a.csv", "a,b\r\n\r\n1,2,,\r\n\n,\n").await.unwrap();
    assert_eq!(cells(&pages), rows(&[&["1", "2"], &["", ""]]));
    assert_eq!(places(&pages), ["a.csv:3", "a.csv:5"]);
}

/// The cells that readers which guess types damage: phones, zips, `NA`, `1e5`, ambiguous dates.
#[tokio::test]
async fn none_of_the_sixty_edge_cells_is_changed() {
    let pages = pages(fixtures(), json!({ "path": "edge.csv" })).await.unwrap();
    let expected = rows(&[
        &[
            "1",
            "Ann",
            "NA",
            "ann@x.example",
            "+14155550100",
            "01234",
            "1e5",
            "Acme, Inc.",
            "line1\nline2",
            "true",
            "1,234.50",
            "2025-02-28",
        ],
        &[
            "2",
            "Null",
            "None",
            "b@x.example",
            "0049301234567",
            "00501",
            "00012",
            "\"Q\" GmbH",
            "",
            "false",
            "10",
            "2025-02-28T10:00:00Z",
        ],
        &[
            "3",
            "True",
            "O'Neil",
            "c@x.example",
            "+442079460000",
            "90210",
            "12E3",
            " padded ",
            "tab\there",
            "TRUE",
            "",
            "02/03/2025",
        ],
        &["4", "José", "Müller", "D@X.example", "", "08540", "0x1F", "日本株式会社", "emoji 😀", "yes", "0.10", "2025-01-05"],
        &["5", "", "nan", "e@x.example", "5551234567", "10001", "9007199254740993", "N/A", "null", "0", "-5", "2025-12-31"],
    ]);
    assert_eq!(cells(&pages), expected);
    assert_eq!(expected.iter().map(Vec::len).sum::<usize>(), 60);
    assert_eq!(places(&pages)[1], "edge.csv:4");
}

#[tokio::test]
async fn the_delimiter_is_found_among_decimal_commas_times_and_quotes() {
    for (text, expected) in [
        ("a;b;c\n1,5;2,5;3,5\n4,5;5,5;6,5\n", ["1,5", "2,5", "3,5"]),
        ("a|b|c\n10:00:00|x,y|z\n10:00:00|x,y|z\n", ["10:00:00", "x,y", "z"]),
        ("a\tb\tc\n\"x;y\"\t1,2\tz\n", ["x;y", "1,2", "z"]),
        ("a:b:c\n1:2:3\n", ["1", "2", "3"]),
        ("a,b,c\n\"1;2;3;4\",\"5;6;7;8\",x\n", ["1;2;3;4", "5;6;7;8", "x"]),
    ] {
        assert_eq!(cells(&read("a.csv", text).await.unwrap())[0], rows(&[&expected])[0], "{text}");
    }
    assert_eq!(cells(&read("a.csv", "email\nann@example.com\n").await.unwrap()), rows(&[&["ann@example.com"]]));
    assert_eq!(cells(&read("a.tsv", "a;b\tc\n1;2\t3\n").await.unwrap()), rows(&[&["1;2", "3"]]));
}

#[tokio::test]
async fn declared_layout_is_obeyed() {
    let folder = folder("a.csv", "x^y\nreport^2026\na^b\n1^2\n");
    let config = json!({ "path": "a.csv", "delimiter": "^", "header_row": 3 });
    let pages = pages(folder.path(), config).await.unwrap();
    assert_eq!(columns(&pages[0]), ["a", "b"]);
    assert_eq!(places(&pages), ["a.csv:4"]);
    assert_eq!(spec(folder.path(), json!({ "path": "a.csv", "header_row": 9 })).await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_file_without_column_names_is_an_error_that_says_so() {
    assert_eq!(failure("a.csv", "").await.message(), "a.csv is empty: it has no line with column names");
    assert_eq!(failure("a.csv", "\n\r\n").await.message(), "a.csv is empty: it has no line with column names");
    let error = failure("a.csv", "Ann,ann@example.com\nBob,bob@example.com\n").await;
    assert_eq!(error.message(), "a.csv:1 holds a record where the column names should be");
    assert!(read("a.csv", "a,b\n").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_header_narrower_than_its_rows_stays_the_header() {
    let pages = read("a.csv", "a,b,c\n1,2,3,\n4,5,6,7\n8,9,10,\n").await.unwrap();
    assert_eq!(columns(&pages[0]), ["a", "b", "c"]);
    assert_eq!((cells(&pages).len(), refused(&pages).len()), (2, 1));
}

#[tokio::test]
async fn a_byte_that_is_not_utf8_stops_the_read_at_its_line() {
    let mut text = "name,city\n".to_owned().into_bytes();
    for _ in 0..20_000 {
        text.extend_from_slice(b"Ann,Berlin\n");
    }
    text.extend_from_slice(b"Zo\xe9,Paris\n");
    let folder = folder("a.csv", &text);
    let error = pages(folder.path(), json!({ "path": "a.csv" })).await.unwrap_err();
    assert!(error.message().starts_with("a.csv:20002 "), "{error}");
    assert!(error.hint_text().unwrap().contains("`encoding: windows-1252`"));
    let pages = pages(folder.path(), json!({ "path": "a.csv", "encoding": "windows-1252" })).await.unwrap();
    assert_eq!(cells(&pages).last(), rows(&[&["Zoé", "Paris"]]).last());
}

#[tokio::test]
async fn half_a_character_is_not_made_whole_by_the_next_cell() {
    // Column by column, the two halves of é meet; row by row they never did.
    let mut text = "a,b\n".repeat(20_000).into_bytes();
    text.extend_from_slice(b"x\xc3,1\n\xa9y,2\n");
    assert!(failure("a.csv", text).await.message().starts_with("a.csv:20001 "));
}

#[tokio::test]
async fn bytes_that_the_declared_encoding_does_not_have_are_an_error() {
    let folder = folder("a.csv", b"a,b\n1,\xff\xff\n");
    let error = pages(folder.path(), json!({ "path": "a.csv", "encoding": "shift_jis" })).await.unwrap_err();
    assert!(error.message().contains("not shift_jis"), "{error}");
    let error = spec(folder.path(), json!({ "path": "a.csv", "encoding": "latin-x" })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_field_beyond_the_bound_is_refused_and_the_rows_around_it_are_read() {
    let large = "y".repeat(1024 * 1024 + 1);
    for (quote, huge) in [("", large.clone()), ("\"", large.clone()), ("\"", large.repeat(6)), ("", large.repeat(6))] {
        let pages = read("a.csv", format!("a,b\n1,2\n3,{quote}{huge}{quote}\n5,6\n")).await.unwrap();
        assert_eq!(cells(&pages), rows(&[&["1", "2"], &["5", "6"]]));
        assert_eq!(places(&pages), ["a.csv:2", "a.csv:4"]);
        let refused = refused(&pages);
        assert_eq!((refused[0].code, refused[0].place.as_str()), ("oversized_field", "a.csv:3"));
        assert!(refused[0].raw.len() <= 4096);
    }
}

#[tokio::test]
async fn a_long_text_in_quotes_is_refused_whole_not_cut_into_rows() {
    let text = "a line of text\n".repeat(100_000);
    let pages = read("a.csv", format!("a,b\n1,2\n3,\"{text}\"\n5,6\n")).await.unwrap();
    assert_eq!(cells(&pages), rows(&[&["1", "2"], &["5", "6"]]));
    assert_eq!(places(&pages)[1], "a.csv:100004");
    assert_eq!(refused(&pages).len(), 1);
}

#[tokio::test]
async fn a_quote_that_is_never_closed_costs_one_line() {
    let pages = read("a.csv", "a,b\n1,2\n3,\"4\n5,6\n7,8\n").await.unwrap();
    assert_eq!(cells(&pages), rows(&[&["1", "2"], &["5", "6"], &["7", "8"]]));
    assert_eq!(places(&pages), ["a.csv:2", "a.csv:4", "a.csv:5"]);
    let refused = refused(&pages);
    assert_eq!((refused[0].code, refused[0].place.as_str(), refused[0].raw.as_str()), ("unterminated_quote", "a.csv:3", "3,\"4"));
    assert_eq!(refused[0].reason, "a quote opens on line 3 and is not closed");
}

#[tokio::test]
async fn an_open_quote_before_a_large_rest_costs_one_line_too() {
    let rest = "5,6\n".repeat(500_000);
    let pages = read("a.csv", format!("a,b\n1,2\n3,\"4\n{rest}")).await.unwrap();
    assert_eq!(cells(&pages).len(), 500_001);
    assert_eq!(refused(&pages)[0].code, "unterminated_quote");
    assert_eq!(places(&pages).last().unwrap(), "a.csv:500003");
}
