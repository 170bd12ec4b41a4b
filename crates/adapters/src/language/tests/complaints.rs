use std::path::Path;

use proptest::prelude::*;

use crate::language::Declarative;

const GOOD: &str = r#"version: 1
name: shop
title: Shop
summary: Reads people.
connection:
  token: { type: secret, about: A token. }
  days: { type: integer, default: 30, about: How many days. }
hosts: [api.shop.example]
api:
  url: https://api.shop.example/v1
  auth: { type: bearer, token: "${connection.token}" }
streams:
  people:
    request:
      path: /people
      query: { limit: "${page.size}", offset: "${page.offset}" }
    paging: { type: offset, size: 100 }
    records: { from: response.people }
    key: record.id
    fields:
      id:
      mail: lower(record.mail)
    map:
      external_id: id
      email: mail
"#;

fn complaint(from: &str, to: &str) -> (Option<usize>, String, Option<String>) {
    assert!(GOOD.contains(from), "{from}");
    let error = Declarative::parse("shop.yaml", &GOOD.replacen(from, to, 1), "").map(drop).expect_err(to);
    (error.line, error.message, error.help)
}

#[test]
fn a_good_file_is_taken() {
    let shop = Declarative::parse("shop.yaml", GOOD, "").unwrap();
    assert_eq!(shop.stream_names().unwrap(), ["people"]);
}

#[test]
fn every_complaint_names_its_line_and_what_to_do() {
    for (from, to, line, message, help) in [
        ("version: 1", "version: 2", 1, "version 2 of the connector format is not one this program reads", "write `version: 1`"),
        ("summary:", "sumary:", 4, "unknown key `sumary`", "did you mean `summary`?"),
        ("type: integer", "type: intger", 7, "there is no `intger` here", "did you mean `integer`?"),
        ("${connection.token}", "${connection.tokn}", 11, "`connection` has no `tokn`", "did you mean `token`?"),
        ("${page.offset}", "${page.number}", 16, "`page` has no `number`", "it has: offset, size"),
        ("${page.offset}", "${record.id}", 16, "`record` does not exist in a request", "there are: connection, page"),
        ("type: offset", "type: ofset", 17, "there is no `ofset` here", "did you mean `offset`?"),
        (
            "[api.shop.example]",
            "[shop.example]",
            10,
            "the host `api.shop.example` is not among the `hosts` of the file, and nothing else is ever called",
            "add it to `hosts`",
        ),
        ("response.people", "respons.people", 18, "there is no variable `respons`", "did you mean `response`?"),
        ("lower(record.mail)", "lower(connection.days)", 22, "`lower` takes text, not a number", ""),
        ("lower(record.mail)", "lowr(record.mail)", 22, "there is no function `lowr`", "did you mean `lower`?"),
        ("external_id: id", "external_idd: id", 24, "there is no field `external_idd` to map to", "did you mean `external_id`?"),
        ("email: mail", "email: mial", 25, "`mial` is not among the stream's fields", "did you mean `mail`?"),
        (
            "    key: record.id",
            "    key: record.id\n    key: record.id",
            20,
            "the key `key` stands twice",
            "take one of the two out",
        ),
    ] {
        let found = complaint(from, to);
        let help = (!help.is_empty()).then(|| help.to_owned());
        assert_eq!(found, (Some(line), message.to_owned(), help), "{to}");
    }
}

#[test]
fn what_is_asked_before_a_request_is_asked_for_one_row() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors/close/connector.yaml");
    let close = std::fs::read_to_string(path).unwrap();
    let both = close.replace("        - fields: [contact]\n", "        - fields: [contact]\n          batch: 2\n");
    assert_ne!(close, both);
    let told = Declarative::parse("close.yaml", &both, "").map(drop).unwrap_err();
    assert_eq!(told.message, "`first` is asked for each by itself, so it does not go with `batch`");
}

#[test]
fn a_second_parent_that_is_none_is_named() {
    let parent = "    for_each:\n      - { type: parent, stream: peple, id: a, give: { a: record.id } }\n    key: record.id";
    let (line, message, help) = complaint("    key: record.id", parent);
    assert_eq!((line, message.as_str()), (Some(20), "there is no stream `peple`"));
    assert_eq!(help.as_deref(), Some("did you mean `people`?"));
    let circle = parent.replace("peple", "people");
    assert!(complaint("    key: record.id", &circle).1.contains("in a circle"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_of_files_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Declarative::parse("shop.yaml", &String::from_utf8_lossy(&bytes), ""));
    }

    /// Most of what is wrong in a file is a little wrong.
    #[test]
    fn no_change_of_a_file_makes_its_reader_panic(at in 0..GOOD.len(), gone in 0_usize..12, with in r##"[a-c$\n :{}\[\],&*!|>'"#/0-9.-]{0,8}"##) {
        let end = (at + gone).min(GOOD.len());
        let text = format!("{}{with}{}", GOOD.get(..at).unwrap(), GOOD.get(end..).unwrap());
        if let Err(error) = Declarative::parse("shop.yaml", &text, "") {
            prop_assert!(error.line.is_none_or(|line| line <= text.lines().count() + 1), "{error}");
        }
    }
}
