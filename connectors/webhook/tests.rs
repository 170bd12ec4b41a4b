//! Against a receiver on loopback that checks signatures by itself and knows which events it has.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_sdk::testkit_sink::{AWKWARD_TEXTS, Awkward, Poison, check_awkward_values, check_poison, check_sink_contract};
use headwater_sdk::{
    BuildContext, Clock, ConfigDoc, Connector as _, DeliveryRow, ErrorKind, Operation, Result, RowOutcome, Sink,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const NOW: &str = "2026-11-22T10:00:00Z";

/// A receiver that goes by one secret, refuses events in which a word stands, and says so when it has an event already.
#[derive(Clone)]
struct Receiver {
    secret: &'static str,
    refuses: &'static str,
    seen: Arc<Mutex<BTreeSet<String>>>,
}

impl Receiver {
    fn with(secret: &'static str, refuses: &'static str) -> Self {
        Self { secret, refuses, seen: Arc::default() }
    }
}

impl Respond for Receiver {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let header = |name: &str| request.headers.get(name).unwrap().to_str().unwrap().to_owned();
        let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&STANDARD.decode(self.secret.strip_prefix("whsec_").unwrap()).unwrap()).unwrap();
        mac.update(format!("{id}.{time}.").as_bytes());
        mac.update(&request.body);
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        if !header("webhook-signature").split(' ').any(|signature| signature == expected) {
            return ResponseTemplate::new(401);
        }
        if !self.refuses.is_empty() && String::from_utf8_lossy(&request.body).contains(self.refuses) {
            return ResponseTemplate::new(422);
        }
        ResponseTemplate::new(if self.seen.lock().unwrap().insert(id) { 200 } else { 208 })
    }
}

async fn receiver(receiver: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(receiver).mount(&server).await;
    server
}

fn sink(server: &MockServer, mut config: Value) -> Result<Box<dyn Sink>> {
    config["url"] = json!(format!("{}/people?team=crm", server.uri()));
    config["secret"] = json!({ "env": "NEW" });
    let Value::Object(values) = config else { unreachable!() };
    let cx = BuildContext {
        clock: Clock::fixed(NOW.parse().unwrap()),
        base_dir: Path::new("/").to_owned(),
        env: Arc::new(|name| Some(if name == "NEW" { SECRET } else { OLD_SECRET }.to_owned())),
        allow_private_hosts: true,
    };
    super::Webhook.sink(&ConfigDoc { connection: "hook".to_owned(), values }, &cx)
}

fn row(number: usize) -> DeliveryRow {
    let fields = [("email", format!("p{number}@example.com")), ("name", "O'Brien \"Ada\"".to_owned())];
    DeliveryRow {
        key: format!("prs_{number}:0:abc"),
        prospect_id: format!("prs_{number}"),
        operation: Operation::Create,
        fields: fields.map(|(name, value)| (name.to_owned(), Some(value))).into(),
        match_keys: Vec::new(),
        doubtful: false,
        seen: headwater_sdk::sink::Fields::new(),
    }
}

fn rows(count: usize) -> Vec<DeliveryRow> {
    (0..count).map(row).collect()
}

async fn bodies(server: &MockServer) -> Vec<Value> {
    server.received_requests().await.unwrap().iter().map(|request| request.body_json().unwrap()).collect()
}

fn recorded(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("webhook/fixtures").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_receiver_that_knows_its_events_gets_the_contract_of_sinks() {
    let server = receiver(Receiver::with(SECRET, "")).await;
    check_sink_contract(|| sink(&server, json!({})), &rows(9)).await;
}

#[tokio::test]
async fn poison_keeps_nobody_else_out_alone_or_in_a_batch() {
    for batch_rows in [1, 16] {
        let server = receiver(Receiver::with(SECRET, "Poison")).await;
        // A receiver says that an event is refused, and not why.
        let poison = Poison { places: &[0, 17, 18, 39], field: "name", named: None, value: "Poison" };
        check_poison(|| sink(&server, json!({ "batch_rows": batch_rows, "requests_per_10s": 10_000 })), &rows(40), poison).await;
    }
}

#[tokio::test]
async fn names_are_data() {
    let server = receiver(Receiver::with(SECRET, "")).await;
    let awkward = Awkward { text: "name", email: None, addresses: &[] };
    check_awkward_values(|| sink(&server, json!({})), &rows(AWKWARD_TEXTS.len()), awkward).await;
    let told = bodies(&server).await;
    for text in AWKWARD_TEXTS {
        assert!(told.iter().any(|event| event["data"]["fields"]["name"] == text), "{text}");
    }
}

#[tokio::test]
async fn an_event_says_who_and_what_as_recorded() {
    let server = receiver(Receiver::with(SECRET, "")).await;
    let first = [row(1)];
    sink(&server, json!({})).unwrap().write(&first).await.unwrap();
    sink(&server, json!({ "batch_rows": 2 })).unwrap().write(&rows(2)).await.unwrap();
    let told = bodies(&server).await;
    assert_eq!(told, ["event.json", "batch.json"].map(recorded));
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].url.query(), Some("team=crm"));
    assert_eq!(requests[0].headers["webhook-id"], told[0]["data"]["id"].as_str().unwrap());
}

#[tokio::test]
async fn while_the_secret_changes_either_side_may_be_first() {
    for secret in [SECRET, OLD_SECRET] {
        let server = receiver(Receiver::with(secret, "")).await;
        let sink = sink(&server, json!({ "previous_secrets": [{ "env": "OLD" }] })).unwrap();
        let outcomes = sink.write(&rows(1)).await.unwrap().into_outcomes();
        assert!(matches!(outcomes.as_slice(), [RowOutcome::Created { .. }]), "{outcomes:?}");
    }
    let server = receiver(Receiver::with(OLD_SECRET, "")).await;
    let error = sink(&server, json!({})).unwrap().write(&rows(3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn the_same_delivery_has_the_same_id_and_another_has_another() {
    let server = receiver(Receiver::with(SECRET, "")).await;
    let sink = sink(&server, json!({})).unwrap();
    let mut changed = row(0);
    changed.fields.insert("email".to_owned(), Some("other@example.com".to_owned()));
    let doubtful = DeliveryRow { doubtful: true, ..row(0) };
    sink.write(&[row(0)]).await.unwrap();
    sink.write(&[doubtful]).await.unwrap();
    sink.write(&[changed]).await.unwrap();
    let ids: Vec<Value> = bodies(&server).await.iter().map(|body| body["data"]["id"].clone()).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[tokio::test]
async fn an_event_that_is_refused_stands_alone_and_a_batch_is_for_halving() {
    let server = receiver(Receiver::with(SECRET, "p3@")).await;
    let outcomes = sink(&server, json!({})).unwrap().write(&rows(6)).await.unwrap().into_outcomes();
    for (number, outcome) in outcomes.iter().enumerate() {
        let refused = matches!(outcome, RowOutcome::Rejected { reason } if reason == "the receiver refused the event with 422");
        assert_eq!(refused, number == 3, "{number}: {outcome:?}");
    }
    let batched = sink(&server, json!({ "batch_rows": 6 })).unwrap();
    assert_eq!(batched.capability().max_rows, 6, "a batch is a call of its own");
    assert_eq!(batched.write(&rows(6)).await.unwrap_err().kind(), ErrorKind::Rejected);
}

#[tokio::test]
async fn what_an_answer_says_decides_whether_to_come_again() {
    let later = |response: ResponseTemplate| async move {
        let server = receiver(response).await;
        sink(&server, json!({})).unwrap().write(&rows(9)).await
    };
    for (status, header, seconds) in [(429, "7", Some(7)), (503, "", None), (500, "", None)] {
        let mut response = ResponseTemplate::new(status);
        if !header.is_empty() {
            response = response.insert_header("retry-after", header);
        }
        let outcomes = later(response).await.unwrap().into_outcomes();
        for outcome in &outcomes {
            let RowOutcome::Retry { after, .. } = outcome else { panic!("{status}: {outcome:?}") };
            assert_eq!(after.map(|wait| wait.as_secs()), seconds, "{status}");
        }
    }
    for (status, kind) in [(410, ErrorKind::Config), (404, ErrorKind::Config), (401, ErrorKind::Auth)] {
        let error = later(ResponseTemplate::new(status)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
        assert!(!format!("{error:?}").contains("example.com"), "{error:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_asks_for_patience_is_left_alone_for_the_rest_of_the_call() {
    let server = receiver(ResponseTemplate::new(429).insert_header("retry-after", "60")).await;
    let outcomes = sink(&server, json!({})).unwrap().write(&rows(50)).await.unwrap().into_outcomes();
    assert_eq!(outcomes.len(), 50);
    assert_eq!(server.received_requests().await.unwrap().len(), 4, "only those that were under way");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_without_their_secret() {
    let server = MockServer::start().await;
    let five = json!([{ "env": "A" }, { "env": "B" }, { "env": "C" }, { "env": "D" }]);
    let error = sink(&server, json!({ "previous_secrets": five })).err().unwrap();
    assert_eq!((error.kind(), error.config_path()), (ErrorKind::Config, Some("previous_secrets")));
    let cx = BuildContext {
        clock: Clock::fixed(NOW.parse().unwrap()),
        base_dir: Path::new("/").to_owned(),
        env: Arc::new(|_| Some("whsec_no base64 at all".to_owned())),
        allow_private_hosts: true,
    };
    let Value::Object(values) = json!({ "url": server.uri(), "secret": { "env": "S" } }) else { unreachable!() };
    let error = super::Webhook.sink(&ConfigDoc { connection: "hook".to_owned(), values }, &cx).err().unwrap();
    assert!(!format!("{error:?}").contains("base64 at"), "{error:?}");
    assert_eq!(error.config_path(), Some("secret"));
}
