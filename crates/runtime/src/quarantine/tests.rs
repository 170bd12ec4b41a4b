use headwater_model::mapping::Role;
use headwater_store::LedgerOp;
use headwater_store::{DeliveryOp, OutboxEntry, OutboxState, Outcome, QuarantineMark, QuarantineState, RunStatus, Settlement};

use super::*;
use crate::privacy;
use crate::world::{Paper, World};

const STRICT: &str = "sources:\n  paper: { connector: paper }\n";
const MENDED: &str = "sources:\n  paper: { connector: paper, dates: { format: '%d/%m/%Y' } }\n";
const LATER: &str = "2026-11-21T00:00:00Z";
/// Runs are told apart by their time.
const STILL_LATER: &str = "2026-11-22T00:00:00Z";
const LAST: &str = "2027-11-22T00:00:00Z";

/// Orders, of which the second has a date that can be read in two ways.
fn orders(key: Option<usize>) -> Paper {
    Paper {
        role: Role::Conversions,
        fields: &["external_id", "occurred_at", "value", "currency", "kind", "email"],
        rows: vec![
            vec!["o1", "2026-10-01", "10.00", "EUR", "order", "ada@example.com"],
            vec!["o2", "02/03/2026", "20.00", "EUR", "order", ""],
        ],
        key,
        raw: None,
    }
}

async fn refused_order(paper: Paper) -> World {
    let world = World::of(STRICT).await.reading(paper).await;
    let buckets = world.sync(false).await.sources["paper"];
    assert_eq!((buckets.accepted, buckets.quarantined), (1, 1));
    world
}

async fn open_ids(world: &World) -> Vec<String> {
    list(&world.engine, None, 100).await.unwrap().rows.into_iter().map(|row| row.quarantine_id).collect()
}

async fn records(world: &World) -> i64 {
    world.engine.store.snapshot().await.unwrap().rows(&tables::SOURCE_RECORD)
}

async fn conversions(world: &World) -> i64 {
    world.engine.store.snapshot().await.unwrap().rows(&tables::CONVERSION)
}

#[tokio::test]
async fn a_row_refused_twice_is_listed_once_and_a_decision_closes_it_until_it_is_refused_again() {
    let world = refused_order(orders(None)).await;
    let world = world.later(STRICT, LATER).await;
    world.reread().await;
    let report = list(&world.engine, Some("paper"), 100).await.unwrap();
    assert_eq!((report.open, report.groups[0].rows, report.groups[0].code.as_str()), (1, 1, "ambiguous_date"));
    assert_eq!(report.rows[0].refused_at, LATER.parse().ok(), "as it was refused last");
    let id = report.rows[0].quarantine_id.clone();
    let mut commit = world.engine.store.commit("run_1", world.engine.clock().now_us());
    commit.ledger(LedgerOp::Quarantine(QuarantineMark { quarantine_id: id.clone(), state: QuarantineState::Discarded }));
    commit.execute().await.unwrap();
    assert_eq!(open_ids(&world).await, Vec::<String>::new());
    assert_eq!(show(&world.engine, &id).await.unwrap().state, "discarded");
    let world = world.later(STRICT, STILL_LATER).await;
    world.reread().await;
    assert_eq!(open_ids(&world).await, [id]);
}

#[tokio::test]
async fn a_row_is_taken_when_the_rules_were_mended_and_a_later_read_knows_it() {
    for key in [None, Some(0)] {
        let world = refused_order(orders(key)).await.later(MENDED, LATER).await;
        let retried = retry(&world.engine, &[], Some("paper")).await.unwrap();
        assert_eq!((retried.chosen, retried.accepted), (1, 1));
        assert_eq!(open_ids(&world).await, Vec::<String>::new());
        assert_eq!(conversions(&world).await, 2);
        let world = world.later(MENDED, STILL_LATER).await;
        let again = world.reread().await;
        assert_eq!((again.read, again.accepted), (2, 2), "one of them is known under the rules before; key {key:?}");
        let world = world.later(MENDED, LAST).await;
        let again = world.reread().await;
        assert_eq!((again.read, again.unchanged), (2, 2), "the same record, not a second one beside it; key {key:?}");
        assert_eq!(records(&world).await, 2);
    }
}

#[tokio::test]
async fn a_retry_is_a_run_with_its_counts() {
    let world = refused_order(orders(None)).await.later(MENDED, LATER).await;
    let retried = retry(&world.engine, &open_ids(&world).await, None).await.unwrap();
    let run = world.engine.store.run(&retried.run_id).await.unwrap().unwrap();
    assert_eq!(
        (run.command.as_str(), run.status, run.counts["accepted"].as_u64()),
        ("quarantine retry", RunStatus::Done, Some(1))
    );
}

#[tokio::test]
async fn what_is_refused_again_stays_open_once() {
    let world = refused_order(orders(None)).await;
    let before = open_ids(&world).await;
    let world = world.later(STRICT, LATER).await;
    let retried = retry(&world.engine, &before, None).await.unwrap();
    assert_eq!((retried.chosen, retried.refused, retried.accepted), (1, 1, 0));
    assert_eq!(open_ids(&world).await, before);
}

#[tokio::test]
async fn an_old_version_does_not_undo_a_later_one() {
    let world = refused_order(orders(Some(0))).await;
    let mut mended = orders(Some(0));
    mended.rows[1] = vec!["o2", "2026-03-02", "25.00", "EUR", "order", "bram@example.com"];
    let world = world.reading(mended).await.later(STRICT, LATER).await;
    assert_eq!(world.reread().await.accepted, 1);
    let world = world.later(MENDED, STILL_LATER).await;
    let retried = retry(&world.engine, &[], Some("paper")).await.unwrap();
    assert_eq!((retried.overtaken, retried.accepted), (1, 0));
    assert_eq!((open_ids(&world).await, conversions(&world).await), (Vec::new(), 2));
}

#[tokio::test]
async fn a_suppressed_person_is_not_taken_by_a_retry() {
    let mut paper = orders(None);
    paper.rows[1][5] = "cleo@example.com";
    let world = refused_order(paper).await.later(MENDED, LATER).await;
    privacy::suppress(&world.engine, &["cleo@example.com".to_owned()], "objection", "test").await.unwrap();
    let retried = retry(&world.engine, &[], Some("paper")).await.unwrap();
    assert_eq!((retried.suppressed, retried.accepted), (1, 0));
    assert_eq!((open_ids(&world).await, conversions(&world).await), (Vec::new(), 1));
}

#[tokio::test]
async fn a_record_of_which_the_connector_makes_a_field_is_left_to_its_source() {
    // Consent stands nowhere in the records: the connector works it out.
    let paper = Paper {
        role: Role::Leads,
        fields: &["email", "created_at", "consent"],
        rows: vec![vec!["ada@example.com", "2026-10-01", "granted"], vec!["bram@example.com", "02/03/2026", "withdrawn"]],
        key: Some(0),
        raw: Some(vec![
            r#"{"email":"ada@example.com","created_at":"2026-10-01","lists":[1]}"#,
            r#"{"email":"bram@example.com","created_at":"02/03/2026","lists":[]}"#,
        ]),
    };
    let world = refused_order(paper).await.later(MENDED, LATER).await;
    let retried = retry(&world.engine, &[], Some("paper")).await.unwrap();
    assert_eq!((retried.not_offered, retried.accepted), (1, 0));
    assert!(retried.reasons.keys().all(|reason| reason.contains("--full-refresh --only paper")), "{:?}", retried.reasons);
    assert_eq!(open_ids(&world).await.len(), 1);
}

#[tokio::test]
async fn a_record_that_came_as_json_is_the_same_record_after_a_retry() {
    let paper = Paper {
        role: Role::Leads,
        fields: &["email", "created_at"],
        rows: vec![vec!["ada@example.com", "2026-10-01"], vec!["bram@example.com", "02/03/2026"]],
        key: None,
        raw: Some(vec![
            r#"{"email":"ada@example.com","created_at":"2026-10-01"}"#,
            r#"{"email":"bram@example.com","created_at":"02/03/2026"}"#,
        ]),
    };
    let world = refused_order(paper).await.later(MENDED, LATER).await;
    assert_eq!(retry(&world.engine, &[], Some("paper")).await.unwrap().accepted, 1);
    let world = world.later(MENDED, STILL_LATER).await;
    world.reread().await;
    let world = world.later(MENDED, LAST).await;
    assert_eq!((world.reread().await.unchanged, records(&world).await), (2, 2));
}

#[tokio::test]
async fn rows_must_be_named_and_open() {
    let world = refused_order(orders(None)).await;
    assert!(matches!(retry(&world.engine, &[], None).await, Err(Error::Usage(_))));
    assert!(matches!(retry(&world.engine, &["qrn_x".to_owned()], None).await, Err(Error::NotFound { what: _, hint: _ })));
    let misspelt = list(&world.engine, Some("papr"), 9).await.unwrap_err();
    assert!(matches!(misspelt, Error::NotFound { what: _, hint } if hint.contains("paper")));
}

async fn refused_push(world: &World, prospect: &str, key: &str) {
    let (store, now) = (&world.engine.store, world.engine.clock().now_us());
    let mut commit = store.commit("run_1", now);
    commit.ledger(LedgerOp::Enqueue(OutboxEntry {
        sink: "crm".to_owned(),
        prospect_id: prospect.to_owned(),
        delivery_key: key.to_owned(),
        op: DeliveryOp::Create,
        remote_id: None,
        payload: r#"{"fields":{}}"#.to_owned(),
        before: None,
    }));
    commit.execute().await.unwrap();
    let due = store.outbox_due("crm", now, 100).await.unwrap();
    let id = due.iter().find(|row| row.entry.delivery_key == key).unwrap().id;
    let refused = Settlement {
        id,
        outcome: Outcome::Rejected,
        remote_id: None,
        reason: Some("no".to_owned()),
        next_attempt_at: None,
        link: None,
    };
    store.outbox_settle(&[refused], now).await.unwrap();
    let quarantine_id = headwater_model::ids::derived("qrn_", &["crm", key]);
    let at = now.to_string();
    world
        .put(
            &tables::QUARANTINE,
            &[&[
                ("quarantine_id", &quarantine_id),
                ("source", "crm"),
                ("stream", "delivery"),
                ("stage", "deliver"),
                ("code", "remote_refused"),
                ("refused_at", &at),
            ]],
        )
        .await;
}

#[tokio::test]
async fn a_refused_push_is_queued_again_unless_a_later_one_has_overtaken_it() {
    let world = World::of("sinks:\n  crm: { connector: paper }\n").await;
    refused_push(&world, "prs_1", "prs_1:0:a").await;
    refused_push(&world, "prs_2", "prs_2:0:a").await;
    refused_push(&world, "prs_2", "prs_2:0:b").await;
    let retried = retry(&world.engine, &[], Some("crm")).await.unwrap();
    assert_eq!((retried.chosen, retried.queued, retried.overtaken), (3, 2, 1));
    let rejected = world.engine.store.outbox_keys("crm", OutboxState::Rejected).await.unwrap();
    assert_eq!(rejected.into_iter().collect::<Vec<_>>(), ["prs_2:0:a"]);
    let due = world.engine.store.outbox_due("crm", world.engine.clock().now_us(), 100).await.unwrap();
    assert_eq!(due.iter().map(|row| row.entry.delivery_key.as_str()).collect::<Vec<_>>(), ["prs_1:0:a", "prs_2:0:b"]);
    assert_eq!(open_ids(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_export_holds_every_open_row_as_it_arrived() {
    let mut paper = orders(None);
    paper.rows[1][4] = "say \"hi\",\nthen go";
    let world = refused_order(paper).await;
    let file = world.folder().join("refused.csv");
    assert_eq!(export(&world.engine, &file, None).await.unwrap().rows, 1);
    let mut csv = csv::Reader::from_path(&file).unwrap();
    let column = csv.headers().unwrap().iter().position(|name| name == "raw").unwrap();
    let rows: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1);
    let raw: serde_json::Value = serde_json::from_str(&rows[0][column]).unwrap();
    assert_eq!(raw["kind"], "say \"hi\",\nthen go");
    let nowhere = world.folder().join("no/such/folder.csv");
    assert!(matches!(export(&world.engine, &nowhere, None).await, Err(Error::File { path: _, doing: "written", source: _ })));
}

#[tokio::test]
async fn a_form_that_named_nobody_is_taken_once_its_field_is_mapped() {
    const FORM: &str = "sources:\n  form:\n    connector: intake\n    signature: { type: none }\n";
    let world = World::of(FORM).await;
    let raw = r#"{"Name":"Ada","Reach me":"ada@example.com"}"#;
    world
        .put(
            &tables::QUARANTINE,
            &[&[
                ("quarantine_id", "qrn_1"),
                ("source", "form"),
                ("stream", "submissions"),
                ("stage", "ingest"),
                ("place", "intake seq 7"),
                ("raw", raw),
            ]],
        )
        .await;
    let retried = retry(&world.engine, &[], Some("form")).await.unwrap();
    assert_eq!((retried.refused, retried.accepted), (1, 0), "nobody says that this field is an address");
    let world = world.later(&format!("{FORM}    map: {{ email: Reach me }}\n"), LATER).await;
    let retried = retry(&world.engine, &[], Some("form")).await.unwrap();
    assert_eq!((retried.refused, retried.accepted), (0, 1));
    let snapshot = world.engine.store.snapshot().await.unwrap();
    let leads = load(&snapshot, &tables::LEAD, &["email"]).unwrap();
    assert_eq!(each(&leads).next().unwrap().text("email").unwrap(), Some("ada@example.com"));
    let records = load(&snapshot, &tables::SOURCE_RECORD, &["place", "raw"]).unwrap();
    let record = each(&records).next().unwrap();
    assert_eq!((record.text("place").unwrap(), record.text("raw").unwrap()), (Some("intake seq 7"), Some(raw)));
}
