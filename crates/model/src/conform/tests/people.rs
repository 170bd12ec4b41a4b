//! Leads.

use arrow::array::{BooleanArray, TimestampMicrosecondArray};

use super::*;

const EDGE: &str = include_str!("../../../../../connectors/file/fixtures/edge.csv");

fn edge() -> (Vec<String>, Vec<Vec<Option<String>>>) {
    let mut reader = csv::Reader::from_reader(EDGE.as_bytes());
    let names = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows = reader.records().map(|row| row.unwrap().iter().map(|cell| Some(cell.to_owned())).collect()).collect();
    (names, rows)
}

fn edge_leads(dates: DateStyle) -> Leads {
    let (names, rows) = edge();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let pairs = [
        ("given_name", "first_name"),
        ("family_name", "last_name"),
        ("email", "email"),
        ("phone", "phone"),
        ("postal_code", "zip"),
        ("external_id", "ext_id"),
        ("company_name", "company"),
        ("message", "notes"),
        ("budget", "amount"),
        ("created_at", "signup"),
        ("consent", "consent"),
    ];
    let conformer = Conformer::new(Role::Leads, &Mapping::of(pairs), Context { dates, ..context() }).unwrap();
    leads(&conformer, &page(&names, &rows), &nobody())
}

#[test]
fn cells_that_look_like_something_else_stay_as_they_are() {
    let style = DateStyle { format: Some("%d/%m/%Y".to_owned()), ..DateStyle::default() };
    let leads = edge_leads(style);
    assert_eq!((leads.lead.num_rows(), leads.refused.len(), leads.suppressed), (5, 0, 0));
    let (names, rows) = edge();
    for (field, theirs) in [
        ("given_name", "first_name"),
        ("family_name", "last_name"),
        ("postal_code", "zip"),
        ("external_id", "ext_id"),
        ("company_name", "company"),
        ("message", "notes"),
        ("budget", "amount"),
        ("phone_raw", "phone"),
    ] {
        let index = names.iter().position(|name| name == theirs).unwrap();
        let cell =
            |row: &Vec<Option<String>>| row[index].as_deref().map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned);
        assert_eq!(column(&leads.lead, field), rows.iter().map(cell).collect::<Vec<_>>(), "{field}");
    }
    assert_eq!(column(&leads.lead, "family_name")[0].as_deref(), Some("NA"));
    assert_eq!(column(&leads.lead, "postal_code")[0].as_deref(), Some("01234"));
    assert_eq!(column(&leads.lead, "email")[3].as_deref(), Some("d@x.example"));
    let phones = [Some("+14155550100"), Some("+49301234567"), Some("+442079460000"), None, None];
    let phones: Vec<Option<String>> = phones.map(|phone| phone.map(str::to_owned)).to_vec();
    assert_eq!(column(&leads.lead, "phone"), phones, "a number without a country is not guessed at");
}

#[test]
fn the_raw_record_holds_every_cell_as_it_arrived() {
    let leads = edge_leads(DateStyle { format: Some("%d/%m/%Y".to_owned()), ..DateStyle::default() });
    let (names, rows) = edge();
    for (raw, row) in column(&leads.record, "raw").iter().zip(&rows) {
        let raw: serde_json::Value = serde_json::from_str(raw.as_deref().unwrap()).unwrap();
        let expected: serde_json::Map<_, _> =
            names.iter().zip(row).map(|(name, cell)| (name.clone(), cell.clone().unwrap().into())).collect();
        assert_eq!(raw, serde_json::Value::Object(expected));
    }
}

#[test]
fn a_date_of_tomorrow_is_taken_and_one_of_next_year_refused() {
    let columns = ["email", "created_at"];
    let rows = [["ann@example.com", "2026-11-02"], ["bob@example.com", "2027-11-01"]];
    let leads = leads(&conformer(Role::Leads, &columns), &plain(&columns, &rows.each_ref().map(<[_; 2]>::as_slice)), &nobody());
    assert_eq!((leads.lead.num_rows(), codes(&leads.refused)), (1, vec![("future_date", Some("created_at"), "list.csv:3")]));
}

#[test]
fn an_ambiguous_date_is_refused_with_its_field_place_and_remedy() {
    let leads = edge_leads(DateStyle::default());
    assert_eq!(codes(&leads.refused), [("ambiguous_date", Some("created_at"), "list.csv:4")]);
    assert!(leads.refused[0].reason.contains("dates: { format:"), "{}", leads.refused[0].reason);
    assert_eq!((leads.lead.num_rows(), leads.record.num_rows(), leads.touch.utm_source.len()), (4, 4, 4));
}

#[test]
fn a_row_that_names_nobody_is_refused() {
    let columns = ["given_name", "family_name", "company_name", "email", "phone", "linkedin_url", "city"];
    let page = plain(
        &columns,
        &[
            &["Ann", "Alder", "", "", "", "", "Berlin"],
            &["Ann", "Alder", "Alder GmbH", "", "", "", ""],
            &["", "", "", "not an address", "12", "", ""],
            &["", "", "", "", "", "https://linkedin.example.com/in/ann", ""],
            &["", "", "", " \u{a0} ", "", "", ""],
        ],
    );
    let leads = leads(&conformer(Role::Leads, &columns), &page, &nobody());
    assert_eq!(
        codes(&leads.refused),
        [("no_identity", None, "list.csv:2"), ("no_identity", None, "list.csv:4"), ("no_identity", None, "list.csv:6")]
    );
    assert_eq!(leads.lead.num_rows(), 2);
}

#[test]
fn a_suppressed_person_is_known_however_they_are_written() {
    let columns = ["email", "phone", "mobile", "external_id"];
    let screen = without(&[(Kind::Email, "ann@example.com"), (Kind::Phone, "+49301234567")]);
    for row in [
        ["ann@example.com", "", "", "1"],
        [" ANN@Example.COM\t", "", "", "2"],
        ["Ann Alder <ann@example.com>", "", "", "3"],
        ["mailto:ann@example.com", "", "", "4"],
        ["\u{feff}ann@example.com", "", "", "5"],
        ["", "+49 30 123 45 67", "", "6"],
        ["", "0049 (0)30/1234567", "", "7"],
        ["bob@example.com", "", "\u{202a}+49 30 1234567\u{202c}", "8"],
    ] {
        let leads = leads(&conformer(Role::Leads, &columns), &plain(&columns, &[&row]), &screen);
        let rows = (leads.lead.num_rows(), leads.record.num_rows(), leads.refused.len(), leads.suppressed);
        assert_eq!(rows, (0, 0, 0, 1), "{row:?}");
    }
    let national = Context { country: Some("DE".to_owned()), ..context() };
    let conformer = Conformer::new(Role::Leads, &same_names(&columns), national).unwrap();
    assert_eq!(leads(&conformer, &plain(&columns, &[&["", "030 1234567", "", "9"]]), &screen).suppressed, 1);
}

#[test]
fn a_suppressed_person_is_not_kept_as_a_refusal_either() {
    let columns = ["email", "created_at"];
    let page = plain(&columns, &[&["ann@example.com", "02/03/2025"], &["bob@example.com", "02/03/2025"]]);
    let leads = leads(&conformer(Role::Leads, &columns), &page, &without(&[(Kind::Email, "ann@example.com")]));
    assert_eq!((leads.suppressed, codes(&leads.refused)), (1, vec![("ambiguous_date", Some("created_at"), "list.csv:3")]));
}

#[test]
fn a_record_that_is_gone_is_taken_over_whatever_it_still_says() {
    let columns = ["email", "given_name", "created_at"];
    let mut page = plain(&columns, &[&["", "", ""], &["bob@example.com", "Bob", "not a date"], &["eve@example.com", "Eve", ""]]);
    page.keys = Some(StringArray::from(vec!["k1", "k2", "k3"]));
    page.deleted = Some(vec![true, true, false]);
    let leads = leads(&conformer(Role::Leads, &columns), &page, &nobody());
    assert_eq!(column(&leads.lead, "op"), ["delete", "delete", "upsert"].map(|op| Some(op.to_owned())));
    assert_eq!((leads.refused.len(), leads.suppressed), (0, 0));
}

#[test]
fn a_suppressed_person_who_is_gone_leaves_only_that() {
    let columns = ["email", "given_name"];
    let mut page = plain(&columns, &[&["ann@example.com", "Ann"], &["bob@example.com", "Bob"]]);
    page.keys = Some(StringArray::from(vec!["ann@example.com", "k2"]));
    page.raw = Some(StringArray::from(vec![r#"{"email":"ann@example.com"}"#, "{}"]));
    page.deleted = Some(vec![true, true]);
    let conformer = conformer(Role::Leads, &columns);
    let leads = leads(&conformer, &page, &without(&[(Kind::Email, "ann@example.com")]));
    assert_eq!(column(&leads.lead, "op"), [Some("delete".to_owned()), Some("delete".to_owned())]);
    assert_eq!(column(&leads.lead, "given_name"), [None, Some("Bob".to_owned())]);
    assert_eq!(column(&leads.record, "raw"), [Some("{}".to_owned()), Some("{}".to_owned())]);
    let held = format!("{:?}{:?}", leads.lead, leads.record).to_lowercase();
    assert!(!held.contains("ann@example.com"), "{held}");
    let ids: Vec<Option<String>> = conformer.hashes(&page).iter().map(|hash| Some(ids::id("led_", hash.identity))).collect();
    assert_eq!(column(&leads.lead, "lead_id"), ids, "the lead that is gone is still the same lead");
}

#[test]
fn a_record_with_a_key_is_the_same_lead_whatever_it_says() {
    let columns = ["email", "city"];
    let conformer = conformer(Role::Leads, &columns);
    let hash = |key: Option<&str>, cells: &[&str], deleted: bool| {
        let mut page = plain(&columns, &[cells]);
        page.keys = Some(StringArray::from(vec![key]));
        page.deleted = Some(vec![deleted]);
        conformer.hashes(&page)[0]
    };
    let (before, after) = (["ann@example.com", "Berlin"], ["ann@example.com", "Paris"]);
    assert_eq!(hash(Some("1"), &before, false).identity, hash(Some("1"), &after, false).identity);
    assert_ne!(hash(Some("1"), &before, false).content, hash(Some("1"), &after, false).content);
    assert_ne!(hash(Some("1"), &before, false).identity, hash(Some("2"), &before, false).identity);
    assert_ne!(hash(None, &before, false).identity, hash(None, &after, false).identity);
    assert_eq!(hash(None, &before, false), hash(None, &before, false));
    assert_eq!(hash(None, &before, false).identity, hash(None, &before, true).identity, "gone or not, it is the same record");
    assert_ne!(hash(None, &before, false).content, hash(None, &before, true).content);
    assert_ne!(hash(None, &["a@example.com", ""], false), hash(None, &["", "a@example.com"], false));
    assert_ne!(
        hash(None, &["a\u{1f}b", "c"], false),
        hash(None, &["a", "b\u{1f}c"], false),
        "no text can pass for the end of a cell"
    );
}

#[test]
fn the_raw_record_of_the_remote_is_kept_and_made_from_the_fields_where_it_gave_none() {
    let columns = ["email"];
    let mut page = plain(&columns, &[&["ann@example.com"], &["bob@example.com"]]);
    page.raw = Some(StringArray::from(vec![Some(r#"{"email":"ann@example.com","more":1}"#), None]));
    let conformer = conformer(Role::Leads, &columns);
    let leads = leads(&conformer, &page, &nobody());
    let raw = [r#"{"email":"ann@example.com","more":1}"#, r#"{"email":"bob@example.com"}"#];
    assert_eq!(column(&leads.record, "raw"), raw.map(|raw| Some(raw.to_owned())));
}

#[test]
fn a_map_that_names_what_there_is_not_is_an_error() {
    let try_map = |field: &str, format: Option<&str>, role| {
        let rule = FieldRule { format: format.map(str::to_owned), ..FieldRule::from_field("column") };
        Conformer::new(role, &Mapping(BTreeMap::from([(field.to_owned(), rule)])), context())
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(try_map("emial", None, Role::Leads).unwrap_err(), "there is no field `emial` to map to");
    assert_eq!(try_map("value", None, Role::Costs).unwrap_err(), "there is no field `value` to map to");
    assert_eq!(
        try_map("value", Some("german"), Role::Conversions).unwrap_err(),
        "`german` is not a format of `value`: write point, comma or point_grouped"
    );
    assert_eq!(
        try_map("created_at", Some("dd/mm/yyyy"), Role::Leads).unwrap_err(),
        "`dd/mm/yyyy` is not a format of `created_at`: write a strftime format such as %d/%m/%Y"
    );
    assert_eq!(
        try_map("phone", Some("e164"), Role::Leads).unwrap_err(),
        "`e164` is not a format of `phone`: write none: it is text"
    );
    assert_eq!(try_map("created_at", Some("%d.%m.%Y"), Role::Leads), Ok(()));
    assert_eq!(try_map("amount", Some("comma"), Role::Costs), Ok(()));
}

#[test]
fn a_field_may_be_read_from_several_columns_and_have_a_default() {
    let rule = FieldRule { from: vec!["a".to_owned(), "b".to_owned()], format: None, otherwise: Some("nowhere".to_owned()) };
    let empty = FieldRule { from: Vec::new(), format: None, otherwise: Some(" ".to_owned()) };
    let map =
        [("city".to_owned(), rule), ("email".to_owned(), FieldRule::from_field("email")), ("external_id".to_owned(), empty)];
    let conformer = Conformer::new(Role::Leads, &Mapping(BTreeMap::from(map)), context()).unwrap();
    let columns = ["email", "a", "b"];
    let page = plain(
        &columns,
        &[&["a@example.com", "Ulm", "Bonn"], &["b@example.com", " ", "Bonn"], &["c@example.com", "", ""], &["", "x", ""]],
    );
    let leads = leads(&conformer, &page, &nobody());
    let cities = ["Ulm", "Bonn", "nowhere"].map(|city| Some(city.to_owned()));
    assert_eq!(column(&leads.lead, "city"), cities);
    assert_eq!(codes(&leads.refused), [("no_identity", None, "list.csv:5")], "a default of nothing names nobody");
}

#[test]
fn a_company_is_known_by_its_domain_however_it_is_written() {
    let columns = ["email", "company_domain", "website"];
    let domain = |email: &str, domain: &str, website: &str| {
        let leads = leads(&conformer(Role::Leads, &columns), &plain(&columns, &[&[email, domain, website]]), &nobody());
        column(&leads.lead, "company_domain")[0].clone()
    };
    assert_eq!(domain("ann@alder.example.com", "WWW.Birch.Example.COM", "").as_deref(), Some("birch.example.com"));
    assert_eq!(
        domain("ann@alder.example.com", "", "https://www.birch.example.com/about?x=1").as_deref(),
        Some("birch.example.com")
    );
    assert_eq!(domain("ann@alder.example.com", "n/a", "").as_deref(), Some("alder.example.com"));
    assert_eq!(domain("ann@gmail.com", "", ""), None);
    assert_eq!(domain("ann@gmail.com", "müller.example.com", "").as_deref(), Some("xn--mller-kva.example.com"));
}

#[test]
fn a_company_has_one_number_however_it_is_written() {
    let columns = ["email", "company_number"];
    let rows: &[&[&str]] = &[&["a@example.com", "hrb 12.345"], &["b@example.com", "n/a"], &["c@example.com", ""]];
    let found = leads(&conformer(Role::Leads, &columns), &plain(&columns, rows), &nobody());
    assert_eq!(column(&found.lead, "company_number"), [Some("HRB12345".to_owned()), None, None]);
}

#[test]
fn what_the_record_does_not_say_comes_from_the_source() {
    let columns = ["email", "consent", "is_test", "notice_at"];
    let shared = Context { lawful_basis: Some("legitimate_interest".to_owned()), notice_at: Some(7), ..context() };
    let conformer = Conformer::new(Role::Leads, &same_names(&columns), shared).unwrap();
    let mut page = plain(
        &columns,
        &[
            &["a@example.com", "Oui", "1", ""],
            &["b@example.com", "unsubscribed", "0", "2025-01-01"],
            &["c@example.com", "perhaps", "", ""],
        ],
    );
    page.received_at = Some(arrow::array::Int64Array::from(vec![11, 12, 13]));
    let leads = leads(&conformer, &page, &nobody());
    assert_eq!(column(&leads.lead, "consent"), [Some("granted".to_owned()), Some("withdrawn".to_owned()), None]);
    let instants = |name: &str| -> Vec<Option<i64>> {
        let column: &TimestampMicrosecondArray = leads.lead.column_by_name(name).unwrap().as_any().downcast_ref().unwrap();
        column.iter().collect()
    };
    assert_eq!(instants("observed_at"), [Some(11), Some(12), Some(13)]);
    assert_eq!(instants("notice_at"), [Some(7), Some(1_735_689_600_000_000), Some(7)]);
    let test: &BooleanArray = leads.lead.column_by_name("is_test").unwrap().as_any().downcast_ref().unwrap();
    assert_eq!(test.iter().collect::<Vec<_>>(), [Some(true), Some(false), Some(false)]);
}
