use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use arrow::array::Array;
use headwater_sdk::Clock;

use super::*;
use crate::intake::{Appended, IntakeRecord};

/// A log in memory that gives at most what it is asked for.
#[derive(Default)]
pub(super) struct Log {
    deliveries: Mutex<Vec<Delivery>>,
}

#[async_trait]
impl IntakeLog for Log {
    async fn append(&self, _: IntakeRecord) -> Result<Appended, LogError> {
        Err(LogError::Busy)
    }

    async fn after(&self, _: &str, seq: i64, limit: usize) -> Result<Vec<Delivery>, LogError> {
        let deliveries = self.deliveries.lock().unwrap();
        Ok(deliveries.iter().filter(|delivery| delivery.seq > seq).take(limit).cloned().collect())
    }

    async fn depth(&self) -> Result<BTreeMap<String, u64>, LogError> {
        Ok(BTreeMap::new())
    }
}

pub(super) fn delivery(seq: i64, body: &str, status: &str) -> Delivery {
    Delivery {
        seq,
        received_at_us: seq * 1_000,
        content_type: "application/json".to_owned(),
        headers: json!({}),
        body: body.as_bytes().to_vec(),
        delivery_key: format!("key-{seq}"),
        signature_status: status.to_owned(),
    }
}

fn source_over(log: &Arc<Log>, settings: Value) -> Box<dyn Source> {
    let cx = BuildContext {
        clock: Clock::fixed(jiff::Timestamp::UNIX_EPOCH),
        base_dir: PathBuf::new(),
        env: Arc::new(|_| None),
        allow_private_hosts: false,
    };
    let Value::Object(values) = settings else { panic!("settings are an object") };
    let doc = ConfigDoc { connection: "website".to_owned(), values };
    IntakeConnector::over(Arc::clone(log) as Arc<dyn IntakeLog>).source(&doc, &cx).unwrap()
}

fn public(log: &Arc<Log>) -> Box<dyn Source> {
    source_over(log, json!({ "signature": { "type": "none" } }))
}

pub(super) fn log_of(deliveries: Vec<Delivery>) -> Arc<Log> {
    Arc::new(Log { deliveries: Mutex::new(deliveries) })
}

pub(super) async fn events(source: &dyn Source, from: Option<Checkpoint>) -> Vec<SourceEvent> {
    let stream = source.streams().await.unwrap().remove(0);
    source.read(&stream, from).await.unwrap().try_collect().await.unwrap()
}

pub(super) fn pages_of(events: &[SourceEvent]) -> Vec<&Page> {
    let pages = events.iter().filter_map(|event| match event {
        SourceEvent::Page(page) => Some(page),
        SourceEvent::Checkpoint(_) | SourceEvent::Whole { .. } => None,
    });
    pages.inspect(|page| page.validate().unwrap()).collect()
}

fn column(page: &Page, name: &str) -> Vec<Option<String>> {
    let column = page.fields.column_by_name(name).unwrap().as_any().downcast_ref::<StringArray>().unwrap();
    column.iter().map(|value| value.map(str::to_owned)).collect()
}

#[tokio::test]
async fn rows_have_their_place_key_and_time_and_absent_fields_are_null() {
    let log = log_of(vec![
        delivery(3, r#"{"email":"a@example.com"}"#, "verified"),
        delivery(7, r#"[{"email":"b@example.com"},{"phone":"+33"}]"#, "verified"),
    ]);
    let events = events(public(&log).as_ref(), None).await;
    let [page] = pages_of(&events)[..] else { panic!("one page") };
    assert_eq!(column(page, "email"), [Some("a@example.com".to_owned()), Some("b@example.com".to_owned()), None]);
    assert_eq!(column(page, "phone"), [None, None, Some("+33".to_owned())]);
    let keys: Vec<_> = page.keys.as_ref().unwrap().iter().flatten().collect();
    assert_eq!(keys, ["key-3", "key-7#0", "key-7#1"]);
    assert_eq!(page.received_at.as_ref().unwrap().values()[..], [3_000, 7_000, 7_000]);
    assert_eq!((page.places.of(0), page.signature_status), ("intake:3".to_owned(), Some("verified")));
    assert!(matches!(events.last(), Some(SourceEvent::Checkpoint(at)) if at.state == json!({ "seq": 7 })));
}

#[tokio::test]
async fn resuming_at_any_checkpoint_gives_exactly_the_rest() {
    let log = log_of((1..=2_345).map(|seq| delivery(seq, &format!(r#"{{"n":{seq}}}"#), "unsigned")).collect());
    let source = public(&log);
    let all = events(source.as_ref(), None).await;
    let mut checkpoints: Vec<Option<Checkpoint>> = vec![None];
    checkpoints.extend(all.iter().filter_map(|event| match event {
        SourceEvent::Checkpoint(at) => Some(Some(at.clone())),
        SourceEvent::Page(_) | SourceEvent::Whole { .. } => None,
    }));
    assert_eq!(checkpoints.len(), 4, "pages of at most {PAGE_ROWS} rows");
    for from in checkpoints {
        let start = from.as_ref().map_or(0, |at| position(at).unwrap());
        let rest = events(source.as_ref(), from).await;
        let seen: Vec<i64> =
            pages_of(&rest).iter().flat_map(|page| column(page, "n")).map(|n| n.unwrap().parse().unwrap()).collect();
        assert_eq!(seen, (start + 1..=2_345).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn poison_is_refused_and_the_position_moves_past_it() {
    let long = format!("{{{}", "x".repeat(2 * REFUSED_RAW_BYTES));
    let log = log_of(vec![delivery(5, &long, "unsigned")]);
    let events = events(public(&log).as_ref(), None).await;
    let [page] = pages_of(&events)[..] else { panic!("one page") };
    let [refused] = &page.refused[..] else { panic!("one refused") };
    assert_eq!((page.rows(), refused.place.as_str(), refused.code), (0, "intake:5", "not_json"));
    assert_eq!(refused.raw.len(), REFUSED_RAW_BYTES);
    assert!(matches!(events.last(), Some(SourceEvent::Checkpoint(at)) if at.state == json!({ "seq": 5 })));
}

#[tokio::test]
async fn a_page_holds_deliveries_that_were_judged_alike() {
    let body = r#"{"email":"a@example.com"}"#;
    let statuses = ["verified", "verified", "unsigned", "token_only", "nonsense"];
    let log = log_of((1..).zip(statuses).map(|(seq, status)| delivery(seq, body, status)).collect());
    let events = events(public(&log).as_ref(), None).await;
    let seen: Vec<_> = pages_of(&events).iter().map(|page| (page.signature_status.unwrap(), page.rows())).collect();
    assert_eq!(seen, [("verified", 2), ("unsigned", 1), ("token_only", 1), ("unsigned", 1)]);
}

/// Else anybody could write a new version of a submission whose id they know.
#[tokio::test]
async fn an_id_in_an_unsigned_body_is_no_key() {
    let body = r#"{"event_id":"e","form_response":{"token":"t1","answers":[]}}"#;
    let log = log_of(vec![delivery(1, body, "verified"), delivery(2, body, "unsigned")]);
    let events = events(public(&log).as_ref(), None).await;
    let keys: Vec<_> = pages_of(&events).iter().map(|page| page.keys.as_ref().unwrap().value(0).to_owned()).collect();
    assert_eq!(keys, ["t1", "key-2"]);
}

#[tokio::test]
async fn a_page_of_forms_with_ever_new_fields_stays_bounded() {
    let body = |seq: i64| {
        let fields: Vec<String> = (0..300).map(|field| format!(r#""f_{seq}_{field}":"x""#)).collect();
        format!("{{{}}}", fields.join(","))
    };
    let log = log_of((1..=20).map(|seq| delivery(seq, &body(seq), "unsigned")).collect());
    let events = events(public(&log).as_ref(), None).await;
    let pages = pages_of(&events);
    assert!(pages.iter().all(|page| page.fields.num_columns() <= PAGE_COLUMNS));
    assert_eq!(pages.iter().map(|page| page.rows()).sum::<usize>(), 20);
}

#[tokio::test]
async fn a_deletion_is_marked_and_ghost_s_ids_are_the_vendor_s() {
    let body = r#"{"event":"member.deleted","member":{"current":{},"previous":{"id":"68","email":"a@example.com"}}}"#;
    let log = log_of(vec![delivery(1, body, "verified")]);
    let settings = json!({ "signature": { "type": "ghost", "secret": { "env": "S" } }, "format": "ghost" });
    let source = source_over(&log, settings);
    let spec = source.streams().await.unwrap().remove(0);
    assert_eq!((spec.vendor.as_deref(), spec.origin), (Some("ghost"), Origin::EmailTool));
    let events = events(source.as_ref(), None).await;
    assert_eq!(pages_of(&events)[0].deleted, Some(vec![true]));
}

#[tokio::test]
async fn reading_needs_no_secret_and_check_names_the_missing_one() {
    let log = log_of(vec![delivery(1, r#"{"a":"b"}"#, "verified")]);
    let source = source_over(&log, json!({ "signature": { "type": "typeform", "secret": { "env": "ABSENT" } } }));
    assert_eq!(events(source.as_ref(), None).await.len(), 2);
    assert!(source.check().await.unwrap_err().to_string().contains("ABSENT"));
    assert!(public(&log).check().await.is_ok());
}

#[tokio::test]
async fn a_position_of_another_connector_is_refused() {
    let source = public(&log_of(Vec::new()));
    let stream = source.streams().await.unwrap().remove(0);
    for wrong in [Checkpoint::new(1, json!({ "page": 3 })), Checkpoint::new(2, json!({ "seq": 3 }))] {
        assert_eq!(source.read(&stream, Some(wrong)).await.err().unwrap().kind(), ErrorKind::Config);
    }
}

#[tokio::test]
async fn the_bodies_that_a_commit_takes_over_are_named_by_its_checkpoint() {
    let op = taken_over("website", &Checkpoint::new(1, json!({ "seq": 9 })));
    assert!(matches!(op, Some(LedgerOp::IntakeTaken { source, upto: 9 }) if source == "website"));
    assert!(taken_over("website", &Checkpoint::new(1, json!({ "page": 9 }))).is_none());
}

#[test]
fn a_project_can_be_loaded_without_a_log() {
    let schema = IntakeConnector::default().spec().source_schema.unwrap();
    assert!(schema["properties"].get("signature").is_some());
}
