//! Conversions, costs and engagements.

use arrow::array::{Date32Array, Decimal128Array};

use super::*;

fn refusals(role: Role, columns: &[&str], rows: &[&[&str]]) -> (usize, Vec<(&'static str, Option<String>)>) {
    let facts = facts(&conformer(role, columns), &plain(columns, rows), &nobody());
    assert_eq!(facts.rows.num_rows(), facts.record.num_rows());
    (facts.rows.num_rows(), facts.refused.into_iter().map(|row| (row.code, row.field)).collect())
}

fn of(code: &'static str, field: &str) -> (&'static str, Option<String>) {
    (code, Some(field.to_owned()))
}

const ORDER: &[&str] = &["email", "phone", "value", "currency", "occurred_at", "kind"];

#[test]
fn an_order_that_cannot_be_counted_is_refused_with_the_field() {
    let (accepted, refused) = refusals(
        Role::Conversions,
        ORDER,
        &[
            &["a@example.com", "", "10.50", "EUR", "2025-03-01", ""],
            &["a@example.com", "", "10.50", "", "2025-03-01", ""],
            &["a@example.com", "", "ten", "EUR", "2025-03-01", ""],
            &["a@example.com", "", "1,50", "EUR", "2025-03-01", ""],
            &["a@example.com", "", "10.50", "dollars", "2025-03-01", ""],
            &["a@example.com", "", "10.50", "EUR", "", ""],
            &["a@example.com", "", "10.50", "EUR", "01.03.2025", ""],
            &["a@example.com", "", "10.50", "EUR", "2062-03-01", ""],
            &["", "12", "10.50", "EUR", "2025-03-01", ""],
            &["", "+49 30 1234567", "", "", "2025-03-01", "Refund"],
        ],
    );
    assert_eq!(accepted, 2);
    let mut expected = vec![
        of("missing_currency", "currency"),
        of("unreadable_amount", "value"),
        of("unreadable_amount", "value"),
        of("unknown_currency", "currency"),
        of("missing_field", "occurred_at"),
        of("ambiguous_date", "occurred_at"),
        of("future_date", "occurred_at"),
        ("no_identity", None),
    ];
    let mut refused = refused;
    refused.sort();
    expected.sort();
    assert_eq!(refused, expected);
}

#[test]
fn an_order_keeps_its_amount_to_the_last_decimal() {
    let context = Context { currency: Some("EUR".to_owned()), ..context() };
    let rule = FieldRule { format: Some("comma".to_owned()), ..FieldRule::from_field("value") };
    let mapping = same_names(ORDER).overlaid(&Mapping(BTreeMap::from([("value".to_owned(), rule)])));
    let conformer = Conformer::new(Role::Conversions, &mapping, context).unwrap();
    let page = plain(ORDER, &[&["A@Example.com", "", "1.234,000001", "", "2025-03-01", "Refund"]]);
    let facts = facts(&conformer, &page, &nobody());
    let value: &Decimal128Array = facts.rows.column_by_name("value").unwrap().as_any().downcast_ref().unwrap();
    assert_eq!(value.value(0), 1_234_000_001);
    for (name, expected) in [("email", "a@example.com"), ("currency", "EUR"), ("kind", "refund")] {
        assert_eq!(column(&facts.rows, name), [Some(expected.to_owned())], "{name}");
    }
}

#[test]
fn an_order_of_less_than_nothing_is_a_refund() {
    let rows = ["-10", "0", "10"].map(|value| ["a@example.com", "", value, "EUR", "2025-03-01", "order"]);
    let page = plain(ORDER, &rows.each_ref().map(<[_; 6]>::as_slice));
    let facts = facts(&conformer(Role::Conversions, ORDER), &page, &nobody());
    assert_eq!(column(&facts.rows, "kind"), ["refund", "order", "order"].map(|kind| Some(kind.to_owned())));
}

#[test]
fn a_cost_needs_its_day_amount_and_currency() {
    let columns = ["day", "until_day", "amount", "currency", "clicks"];
    let (accepted, refused) = refusals(
        Role::Costs,
        &columns,
        &[
            &["2025-03-01", "2025-03-31", "100", "EUR", "12"],
            &["", "", "100", "EUR", ""],
            &["2025-03-01", "", "", "EUR", ""],
            &["2025-03-01", "", "100", "", ""],
            &["2025-03-01", "01/04/2025", "100", "EUR", ""],
            &["2025-03-01", "", "100", "EUR", "1.5"],
        ],
    );
    assert_eq!(accepted, 1);
    let codes: Vec<_> = refused.iter().map(|(code, field)| (*code, field.as_deref().unwrap())).collect();
    for expected in [
        ("missing_field", "day"),
        ("missing_field", "amount"),
        ("missing_field", "currency"),
        ("ambiguous_date", "until_day"),
        ("unreadable_number", "clicks"),
    ] {
        assert!(codes.contains(&expected), "{expected:?} is not in {codes:?}");
    }
    assert_eq!(codes.len(), 5);
}

#[test]
fn a_day_is_the_day_where_the_source_is() {
    let columns = ["day", "amount", "currency"];
    let paris = DateStyle { format: None, zone: jiff::tz::TimeZone::get("Europe/Paris").unwrap() };
    let conformer = Conformer::new(Role::Costs, &same_names(&columns), Context { dates: paris, ..context() }).unwrap();
    let facts = facts(&conformer, &plain(&columns, &[&["2025-03-01", "1", "EUR"]]), &nobody());
    let day: &Date32Array = facts.rows.column_by_name("day").unwrap().as_any().downcast_ref().unwrap();
    assert_eq!(day.value(0), instant::day_of(jiff::civil::date(2025, 3, 1)));
}

#[test]
fn a_click_without_a_date_is_refused_and_a_word_nobody_knows_is_kept() {
    let columns = ["email", "kind", "machine", "occurred_at"];
    let page = plain(
        &columns,
        &[
            &["a@example.com", "Click", "bot", "2025-03-01"],
            &["a@example.com", "Winked", "", "2025-03-01"],
            &["a@example.com", "open", "", ""],
        ],
    );
    let facts = facts(&conformer(Role::Engagements, &columns), &page, &nobody());
    let text = |words: [&str; 2]| words.map(|word| Some(word.to_owned()));
    assert_eq!(column(&facts.rows, "kind"), text(["clicked", "unknown"]));
    assert_eq!(column(&facts.rows, "raw_kind"), text(["Click", "Winked"]));
    assert_eq!(column(&facts.rows, "machine"), text(["machine", "unknown"]));
    assert_eq!(codes(&facts.refused), [("missing_field", Some("occurred_at"), "list.csv:4")]);
}

#[test]
fn nothing_is_kept_of_a_suppressed_person_not_even_a_refusal() {
    let screen = without(&[(Kind::Email, "ann@example.com"), (Kind::Phone, "+49301234567")]);
    let rows: &[&[&str]] = &[&[" ANN@example.com", "", "ten", "", "never", ""], &["", "0049 30 1234567", "ten", "", "never", ""]];
    let orders = facts(&conformer(Role::Conversions, ORDER), &plain(ORDER, rows), &screen);
    assert_eq!((orders.rows.num_rows(), orders.refused.len(), orders.suppressed), (0, 0, 2));
    let columns = ["email", "occurred_at"];
    let clicks = facts(&conformer(Role::Engagements, &columns), &plain(&columns, &[&["Ann <ann@example.com>", ""]]), &screen);
    assert_eq!((clicks.rows.num_rows(), clicks.refused.len(), clicks.suppressed), (0, 0, 1));
}

#[test]
fn an_order_that_is_gone_is_not_counted_as_another() {
    let mut page = plain(ORDER, &[&["a@example.com", "", "10.50", "EUR", "2025-03-01", ""]]);
    page.deleted = Some(vec![true]);
    let facts = facts(&conformer(Role::Conversions, ORDER), &page, &nobody());
    assert_eq!((facts.rows.num_rows(), codes(&facts.refused)), (0, vec![("deleted_fact", None, "list.csv:2")]));
}
