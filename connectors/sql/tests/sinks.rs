//! What tables keep that prospects are written into, in MariaDB as in SQLite.

use headwater_sdk::testkit_sink::{
    AWKWARD_ADDRESSES, Awkward, Poison, check_awkward_values, check_moved, check_poison, check_removal_contract,
    check_sink_contract,
};
use headwater_sdk::{DeliveryRow, Lookup, MatchKey, Operation, RowOutcome, Sink};

use super::*;

/// A sink of the connector with the settings; `url` is what the variable `DATABASE` holds.
pub(super) fn sink(connector: &dyn Connector, folder: &Path, url: String, config: Value) -> Result<Box<dyn Sink>> {
    let Value::Object(values) = config else { unreachable!() };
    let cx = BuildContext {
        clock: Clock::fixed("2026-11-01T00:00:00Z".parse().unwrap()),
        base_dir: folder.to_owned(),
        env: Arc::new(move |_| Some(url.clone())),
        allow_private_hosts: true,
    };
    connector.sink(&ConfigDoc { connection: "crm".to_owned(), values }, &cx)
}

/// Fields and their values.
pub(super) type Values<'a> = &'a [(&'a str, Option<&'a str>)];

pub(super) fn row(id: &str, fields: Values<'_>) -> DeliveryRow {
    DeliveryRow {
        key: format!("{id}:1"),
        prospect_id: id.to_owned(),
        operation: Operation::Create,
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect(),
        match_keys: Vec::new(),
        doubtful: false,
        seen: headwater_sdk::sink::Fields::new(),
    }
}

pub(super) fn update(id: &str, fields: Values<'_>) -> DeliveryRow {
    DeliveryRow { operation: Operation::Update { remote_id: id.to_owned() }, ..row(id, fields) }
}

pub(super) async fn write(sink: &dyn Sink, rows: &[DeliveryRow]) -> Vec<RowOutcome> {
    sink.write(rows).await.unwrap().into_outcomes()
}

fn key(field: &str, value: &str) -> MatchKey {
    MatchKey { field: field.to_owned(), value: value.to_owned() }
}

/// The reasons of the rows that were refused, by their places.
pub(super) fn reasons(outcomes: &[RowOutcome]) -> Vec<(usize, &str)> {
    let reason = |(place, outcome): (usize, &'_ RowOutcome)| match outcome {
        RowOutcome::Rejected { .. } => Some(place),
        _ => None,
    };
    let places: Vec<usize> = outcomes.iter().enumerate().filter_map(reason).collect();
    let text = |place: usize| match &outcomes[place] {
        RowOutcome::Rejected { reason } => reason.as_str(),
        _ => unreachable!(),
    };
    places.into_iter().map(|place| (place, text(place))).collect()
}

/// The scenarios, one after the other, each with tables of its own.
pub(super) async fn keeps_what_sinks_promise(database: &dyn Database) {
    a_made_table_keeps_the_contract_and_grows_by_columns(database).await;
    values_that_end_a_text_or_a_statement_stay_values(database).await;
    of_a_large_call_only_the_poison_is_refused(database).await;
    poison_keeps_nobody_else_out(database).await;
    names_and_addresses_are_data(database).await;
    what_somebody_changed_since_the_plan_stays(database).await;
    a_table_that_does_not_fit_is_named_before_anything_is_written(database).await;
    somebody_is_found_by_address_whatever_its_case(database).await;
}

async fn a_made_table_keeps_the_contract_and_grows_by_columns(database: &dyn Database) {
    let make = || database.sink(json!({ "table": "people made", "create": true }));
    make().unwrap().check().await.unwrap();
    assert_eq!(make().unwrap().lookup(&[vec![key("external_id", "p1")]]).await.unwrap(), [Lookup::Absent]);
    let people = [
        row("p1", &[("email", Some("Ada@example.com")), ("phone", Some("+33 1 23"))]),
        row("p2", &[("email", Some("bob@example.com")), ("first `\"Name\"; --", Some("Bob"))]),
        row("p3", &[]),
        row("p4", &[("city", None)]),
    ];
    check_removal_contract(make, &people, |_| {}).await;
    check_sink_contract(make, &people).await;
    make().unwrap().check().await.unwrap();
    let sink = make().unwrap();
    let twice = [
        row("p6", &[("a", Some("1"))]),
        row("p6", &[("a", Some("2"))]),
        update("p6", &[("a", Some("2"))]),
        update("p7", &[]),
        update("p1", &[("phone", None)]),
    ];
    let outcomes = write(&*sink, &twice).await;
    assert!(
        matches!(
            outcomes[..],
            [
                RowOutcome::Created { .. },
                RowOutcome::Updated { .. },
                RowOutcome::Unchanged { .. },
                RowOutcome::Rejected { .. },
                RowOutcome::Updated { .. }
            ]
        ),
        "{outcomes:?}"
    );
    let record = sink.fetch("p1").await.unwrap().unwrap();
    assert_eq!((record.fields["phone"].clone(), record.fields["email"].as_deref()), (None, Some("Ada@example.com")));
    assert!(record.fields["updated_at"].as_deref().unwrap().parse::<jiff::Timestamp>().is_ok(), "{record:?}");
}

async fn values_that_end_a_text_or_a_statement_stay_values(database: &dyn Database) {
    let make = || database.sink(json!({ "table": "nasty", "create": true })).unwrap();
    let nasty = ["O'Brien", "x'); DROP TABLE nasty; --", "a\\", "\"`", "é\u{1F600}", " spaced ", "?"];
    let rows: Vec<DeliveryRow> =
        nasty.iter().enumerate().map(|(n, value)| row(&format!("n{n}"), &[("name", Some(value))])).collect();
    assert_eq!(reasons(&write(&*make(), &rows).await), []);
    for (n, value) in nasty.iter().enumerate() {
        let record = make().fetch(&format!("n{n}")).await.unwrap().unwrap();
        assert_eq!(record.fields["name"].as_deref(), Some(*value));
        let found = make().lookup(&[vec![key("name", value)]]).await.unwrap();
        assert!(matches!(&found[..], [Lookup::Found(record)] if record.remote_id == format!("n{n}")), "{value}: {found:?}");
    }
}

async fn of_a_large_call_only_the_poison_is_refused(database: &dyn Database) {
    database
        .execute("CREATE TABLE strict (headwater_id varchar(40) UNIQUE, code varchar(9) NOT NULL, email varchar(90) UNIQUE)")
        .await;
    let sink = database.sink(json!({ "table": "strict" })).unwrap();
    sink.check().await.unwrap();
    let poison = [0, 1, 700, 1_999];
    let emails: Vec<String> = (0..2_000).map(|n| format!("p{n}@example.com")).collect();
    let one = |n: usize| {
        let code = if poison.contains(&n) { None } else { Some("abc") };
        row(&format!("s{n}"), &[("code", code), ("email", Some(&emails[n]))])
    };
    let rows: Vec<DeliveryRow> = (0..2_000).map(one).collect();
    let outcomes = write(&*sink, &rows).await;
    let expected = poison.map(|n| (n, "the column must not be empty (field code)"));
    assert_eq!(reasons(&outcomes), expected);
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, RowOutcome::Created { .. })).count(), 1_996);
    let same = write(&*sink, &[row("other", &[("code", Some("x")), ("email", Some("p5@example.com"))])]).await;
    assert!(reasons(&same)[0].1.starts_with("another row has the same value"), "{same:?}");
    let change = [update("s5", &[("code", None)]), update("s6", &[("code", Some("new"))])];
    let outcomes = write(&*sink, &change).await;
    assert!(matches!(outcomes[..], [RowOutcome::Rejected { .. }, RowOutcome::Updated { .. }]), "{outcomes:?}");
}

async fn poison_keeps_nobody_else_out(database: &dyn Database) {
    // SQLite knows no types that refuse a text, and both know a check.
    let columns = "headwater_id varchar(40) UNIQUE, code varchar(20) NOT NULL, CHECK (code NOT LIKE 'Poison%')";
    database.execute(&format!("CREATE TABLE checked ({columns})")).await;
    let rows: Vec<DeliveryRow> = (0..300).map(|n| row(&format!("k{n}"), &[("code", Some("abc"))])).collect();
    // Neither says which column a check is about: it may be about several.
    let poison = Poison { places: &[0, 7, 8, 299], field: "code", named: None, value: "Poison" };
    check_poison(|| database.sink(json!({ "table": "checked" })), &rows, poison).await;
}

async fn names_and_addresses_are_data(database: &dyn Database) {
    let awkward = Awkward { text: "name", email: Some("email"), addresses: &AWKWARD_ADDRESSES };
    let rows: Vec<DeliveryRow> = (0..AWKWARD_ADDRESSES.len()).map(|n| row(&format!("w{n}"), &[("name", Some("x"))])).collect();
    check_awkward_values(|| database.sink(json!({ "table": "awkward", "create": true })), &rows, awkward).await;
}

async fn what_somebody_changed_since_the_plan_stays(database: &dyn Database) {
    let make = || database.sink(json!({ "table": "moved", "create": true }));
    check_moved(make, &row("m1", &[("email", Some("ada@example.com"))]), ("city", ["Wien", "O'Linz", "Graz"])).await;
}

async fn a_table_that_does_not_fit_is_named_before_anything_is_written(database: &dyn Database) {
    database.execute("CREATE TABLE keyless (email varchar(90))").await;
    database.execute("CREATE TABLE loose (headwater_id varchar(40), email varchar(90))").await;
    for (table, told) in [("missing", "no such table"), ("keyless", "no column `headwater_id`"), ("loose", "not unique")] {
        let error = database.sink(json!({ "table": table })).unwrap().check().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains(told), "{table}: {error}");
    }
    let sink = database.sink(json!({ "table": "strict" })).unwrap();
    let error = sink.write(&[row("z", &[("emial", Some("x"))])]).await.unwrap_err();
    assert!(error.to_string().contains("no column `emial`"), "{error}");
    assert_eq!(sink.fields().await.unwrap().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["code", "email"]);
}

async fn somebody_is_found_by_address_whatever_its_case(database: &dyn Database) {
    let sink = database.sink(json!({ "table": "people made" })).unwrap();
    write(&*sink, &[row("p5", &[("email", Some("ADA@example.com "))])]).await;
    let found = sink
        .lookup(&[
            vec![key("external_id", "nobody"), key("email", " Bob@EXAMPLE.com")],
            vec![key("email", "ada@example.com")],
            vec![key("no_such_column", "x")],
            vec![key("email", "bób@example.com")],
        ])
        .await
        .unwrap();
    assert!(matches!(&found[0], Lookup::Found(record) if record.remote_id == "p2" && record.matched_on == "email"), "{found:?}");
    assert_eq!(found[1..], [Lookup::Ambiguous(2), Lookup::Absent, Lookup::Absent]);
}
