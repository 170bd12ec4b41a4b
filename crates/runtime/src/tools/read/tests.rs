use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use async_trait::async_trait;
use headwater_model::mapping::{Mapping, Origin, Role};
use headwater_model::page::{Page, Places};
use headwater_sdk::{BuildContext, Clock, Connector, ConnectorSpec, ErrorKind, EventStream};
use serde_json::json;

use super::*;

/// A remote of two streams; `numbers` goes on after the number in its checkpoint.
struct Counter;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    upto: u64,
    #[serde(default)]
    broken: bool,
}

impl Connector for Counter {
    fn spec(&self) -> ConnectorSpec {
        let source_schema = Some(json!({ "type": "object" }));
        ConnectorSpec { name: "counter", title: "Counter", summary: "".into(), source_schema, sink_schema: None, readme: "" }
    }

    fn source(&self, config: &ConfigDoc, _: &BuildContext) -> headwater_sdk::Result<Box<dyn Source>> {
        Ok(Box::new(config.parse::<Settings>()?))
    }
}

fn page(number: u64) -> Page {
    let column = |cells: [Option<String>; 2]| -> ArrayRef { Arc::new(StringArray::from(cells.to_vec())) };
    let columns =
        [("n", column([Some(number.to_string()), Some(String::new())])), ("note", column([None, Some("gone".to_owned())]))];
    let mut page = Page::new(RecordBatch::try_from_iter(columns).unwrap(), Places::Request("r".to_owned())).unwrap();
    page.deleted = Some(vec![false, true]);
    page.refused = vec![Refused {
        place: format!("r:{number}"),
        code: "ragged_row",
        field: None,
        reason: String::new(),
        raw: String::new(),
    }];
    page
}

fn raw_page(raw: &[&str]) -> Page {
    let cells: ArrayRef = Arc::new(StringArray::new_null(raw.len()));
    let mut page = Page::new(RecordBatch::try_from_iter([("n", cells)]).unwrap(), Places::Request("r".to_owned())).unwrap();
    page.raw = Some(raw.to_vec().into());
    page
}

#[async_trait]
impl Source for Settings {
    async fn check(&self) -> headwater_sdk::Result<()> {
        let error = headwater_sdk::Error::new(ErrorKind::Unavailable, "the counter is broken").hint("mend it");
        if self.broken { Err(error) } else { Ok(()) }
    }

    async fn streams(&self) -> headwater_sdk::Result<Vec<StreamSpec>> {
        let spec = |name: &str| StreamSpec {
            name: name.to_owned(),
            role: Role::Leads,
            origin: Origin::Import,
            fields: vec!["n".to_owned(), "note".to_owned()],
            mapping: Mapping::default(),
            vendor: None,
            whole: false,
            notes: None,
        };
        Ok(vec![spec("numbers"), spec("raw")])
    }

    async fn read(&self, stream: &StreamSpec, from: Option<Checkpoint>) -> headwater_sdk::Result<EventStream> {
        let mut events = Vec::new();
        if stream.name == "numbers" {
            let start = from.and_then(|from| from.state.as_u64()).map_or(1, |done| done + 1);
            for number in start..=self.upto {
                events.push(Ok(SourceEvent::Page(page(number))));
                events.push(Ok(SourceEvent::Checkpoint(Checkpoint::new(1, json!(number)))));
            }
        } else {
            events.push(Ok(SourceEvent::Page(raw_page(&["{\"b\":1.50,\"a\":{}}", "{\n \"c\": \"\\n\" }", "7"]))));
        }
        if self.broken {
            events.push(Err(headwater_sdk::Error::new(ErrorKind::Unavailable, "the counter broke")));
        }
        Ok(futures::stream::iter(events).boxed())
    }
}

fn request(operation: Operation, stream: Option<&str>, config: Value) -> Request {
    let Value::Object(config) = config else { panic!("settings are an object") };
    Request { connector: "counter".to_owned(), operation, config, stream: stream.map(str::to_owned), state: None }
}

async fn run(request: &Request) -> (Vec<Value>, Result<Summary>) {
    let registry = Registry::new([Arc::new(Counter) as Arc<dyn Connector>]);
    let clock = Clock::fixed("2026-11-20T00:00:00Z".parse().unwrap());
    let surroundings = Surroundings { clock, env: Arc::new(BTreeMap::new()), flags: Vec::new() };
    let lines = Mutex::new(Vec::new());
    let mut emit = |line: &str| {
        assert!(!line.contains('\n'), "{line}");
        lines.lock().unwrap().push(serde_json::from_str(line).unwrap());
        Ok(())
    };
    let ended = read(&registry, &surroundings, Path::new("."), request, &CancellationToken::new(), &mut emit).await;
    (lines.into_inner().unwrap(), ended)
}

fn kinds(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_operation_answers_with_its_message() {
    let ok = json!({ "upto": 1 });
    let (messages, ended) = run(&request(Operation::Spec, None, json!({}))).await;
    assert_eq!(
        (ended.unwrap(), &messages[0]["spec"]["connectionSpecification"]),
        (Summary::default(), &json!({ "type": "object" }))
    );
    let (messages, _) = run(&request(Operation::Check, None, ok.clone())).await;
    assert_eq!(messages, [json!({ "type": "CONNECTION_STATUS", "connectionStatus": { "status": "SUCCEEDED" } })]);
    let (messages, _) = run(&request(Operation::Discover, None, ok)).await;
    assert_eq!(messages[0]["catalog"]["streams"][0]["name"], "numbers");
    assert_eq!(messages[0]["catalog"]["streams"][1]["json_schema"]["properties"]["note"]["type"], json!(["null", "string"]));
}

#[tokio::test]
async fn a_remote_that_says_no_is_an_answer_to_check() {
    let (messages, ended) = run(&request(Operation::Check, None, json!({ "upto": 1, "broken": true }))).await;
    ended.unwrap();
    assert_eq!(messages[0]["connectionStatus"], json!({ "status": "FAILED", "message": "the counter is broken; mend it" }));
}

#[tokio::test]
async fn records_stand_before_the_state_that_covers_them() {
    let (messages, ended) = run(&request(Operation::Read, Some("numbers"), json!({ "upto": 2 }))).await;
    assert_eq!(kinds(&messages), ["TRACE", "RECORD", "RECORD", "STATE", "RECORD", "RECORD", "STATE", "TRACE"]);
    assert_eq!(
        messages[1],
        json!({ "type": "RECORD", "record": { "stream": "numbers", "data": { "n": "1" }, "emitted_at": 1_795_132_800_000_i64 } })
    );
    assert_eq!(messages[2]["record"]["data"], json!({ "n": "", "note": "gone", "_ab_cdc_deleted_at": "unknown" }));
    assert_eq!(
        messages[3]["state"],
        json!({
            "type": "STREAM",
            "stream": { "stream_descriptor": { "name": "numbers" }, "stream_state": { "version": 1, "state": 1 } },
            "sourceStats": { "recordCount": 2.0 },
        })
    );
    assert_eq!(messages[7]["trace"]["stream_status"]["status"], "COMPLETE");
    let summary = ended.unwrap();
    assert_eq!((summary.records, summary.refused), (4, 2));
    assert_eq!(summary.refusals[1].place, "r:2");
}

#[tokio::test]
async fn a_raw_record_is_given_as_the_remote_wrote_it_on_one_line() {
    let (messages, _) = run(&request(Operation::Read, Some("raw"), json!({ "upto": 0 }))).await;
    let data: Vec<_> = messages[1..4].iter().map(|message| message["record"]["data"].clone()).collect();
    assert_eq!(data, [json!({ "b": 1.5, "a": {} }), json!({ "c": "\n" }), json!({ "value": 7 })]);
}

#[tokio::test]
async fn a_read_goes_on_after_the_state_in_every_shape_that_holds_it() {
    let mut request = request(Operation::Read, Some("numbers"), json!({ "upto": 3 }));
    let (messages, _) = run(&request).await;
    let states: Vec<Value> = messages.iter().filter(|message| message["type"] == "STATE").cloned().collect();
    let inner: Vec<Value> = states.iter().map(|state| state["state"].clone()).collect();
    let second = states[1].clone();
    for (state, left) in
        [(json!(states), 0), (json!(inner), 0), (second.clone(), 1), (second["state"].clone(), 1), (json!([]), 3)]
    {
        request.state = Some(state);
        let (messages, ended) = run(&request).await;
        assert_eq!(ended.unwrap().records, left * 2);
        assert_eq!(kinds(&messages).iter().filter(|kind| **kind == "STATE").count() as u64, left);
    }
    request.state = Some(
        json!({ "type": "STREAM", "stream": { "stream_descriptor": { "name": "numbers" }, "stream_state": { "page": 2 } } }),
    );
    assert!(matches!(run(&request).await, (messages, Err(Error::Usage(_))) if messages.is_empty()));
}

#[tokio::test]
async fn a_read_that_breaks_off_says_so_and_fails() {
    let (messages, ended) = run(&request(Operation::Read, None, json!({ "upto": 1, "broken": true }))).await;
    assert!(matches!(ended, Err(Error::Connection { stream: Some(stream), .. }) if stream == "numbers"));
    assert_eq!(kinds(&messages), ["TRACE", "RECORD", "RECORD", "STATE", "TRACE", "TRACE"]);
    assert_eq!(messages[4]["trace"]["stream_status"]["status"], "INCOMPLETE");
    assert_eq!(messages[5]["trace"]["error"]["failure_type"], "transient_error");
}

#[tokio::test]
async fn unknown_names_are_answered_with_the_nearest() {
    let mut wrong = request(Operation::Read, Some("number"), json!({ "upto": 1 }));
    let (_, ended) = run(&wrong).await;
    assert!(matches!(ended, Err(Error::NotFound { hint, .. }) if hint == "did you mean `numbers`?"));
    wrong.connector = "countre".to_owned();
    let (_, ended) = run(&wrong).await;
    assert!(matches!(ended, Err(Error::NotFound { hint, .. }) if hint == "did you mean `counter`?"));
    let (_, ended) = run(&request(Operation::Check, None, json!({ "upto": 1, "colour": "red" }))).await;
    assert!(matches!(ended, Err(Error::Connection { source, .. }) if source.kind() == ErrorKind::Config));
}

#[test]
fn settings_may_be_yaml_or_json_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.yaml");
    for text in ["upto: 3\n", "{\"upto\": 3}"] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(Value::Object(settings(&path).unwrap()), json!({ "upto": 3 }), "{text}");
    }
    for text in ["[1]", "a: [", "just text"] {
        std::fs::write(&path, text).unwrap();
        assert!(matches!(settings(&path), Err(Error::Usage(_))), "{text}");
    }
    assert!(matches!(settings(&folder.path().join("none")), Err(Error::File { .. })));
}
