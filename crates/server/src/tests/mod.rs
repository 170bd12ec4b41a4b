//! Through a real socket: a client, the server, and a log that does what the test says.

mod asked;
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwater_model::tables;
use headwater_runtime::intake::IntakeLog;
use headwater_store::{Store, StoreConfig};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use self::site::{Log, MARK, Mood, NOW_SECS, Site, TOKEN, answer, hmac64, said};
use crate::LastRun;
use crate::state::MAX_POSTS;

const EVENT: &str = r#"{"event_id":"e1","event_type":"form_response","form_response":{"token":"t1","answers":[]}}"#;

#[tokio::test]
async fn a_signed_delivery_is_kept_byte_for_byte_and_a_repetition_once() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    assert_eq!(answer(site.typeform(EVENT)).await, said(202, "accepted"));
    assert_eq!(answer(site.typeform(EVENT)).await, said(200, "duplicate"));
    let [kept] = &log.kept()[..] else { panic!("one record") };
    assert_eq!((kept.body.as_slice(), kept.signature_status), (EVENT.as_bytes(), "verified"));
    assert_eq!((kept.source.as_str(), kept.received_at_us), ("typeform", NOW_SECS * 1_000_000));
}

#[tokio::test]
async fn a_delivery_whose_signature_does_not_hold_is_not_kept() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    assert_eq!(answer(site.json("/in/typeform", EVENT)).await, said(401, "signature_missing"));
    let forged = site.json("/in/typeform", EVENT).header("typeform-signature", format!("sha256={}", hmac64(b"x", EVENT)));
    assert_eq!(answer(forged).await, said(401, "signature_mismatch"));
    let changed = site.typeform(EVENT).body(EVENT.replace("t1", "t2"));
    assert_eq!(answer(changed).await, said(401, "signature_mismatch"));
    assert_eq!(log.kept().len(), 0);
}

#[tokio::test]
async fn a_replayed_webhook_is_a_duplicate_while_fresh_and_refused_when_stale() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    let body = r#"{"type":"lead","data":{"email":"a@example.com"}}"#;
    assert_eq!(answer(site.standard("msg_1", NOW_SECS, body)).await, said(202, "accepted"));
    // The sender's own retry has the id of the first and the time of its attempt.
    assert_eq!(answer(site.standard("msg_1", NOW_SECS + 200, body)).await, said(200, "duplicate"));
    assert_eq!(answer(site.standard("msg_1", NOW_SECS - 301, body)).await, said(401, "timestamp_stale"));
    assert_eq!(answer(site.standard("msg_2", NOW_SECS + 301, body)).await, said(401, "timestamp_stale"));
    assert_eq!(log.kept().len(), 1);
}

#[tokio::test]
async fn a_browser_is_sent_to_the_configured_page_and_nowhere_else() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    let browse = |path: &str, body: &str| site.form(path, body).header("accept", "text/html,*/*;q=0.8");
    let form = format!("email={MARK}&redirect=https%3A%2F%2Fevil.example.net");
    let response = browse("/in/public?redirect=https://evil.example.net", &form).send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["location"]),
        (StatusCode::SEE_OTHER, &"https://www.example.com/thanks".parse().unwrap())
    );
    let response = browse("/in/plain", &form).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let page = response.text().await.unwrap();
    assert!(page.contains("Thank you") && !page.contains(MARK));
    let kept = log.kept();
    assert_eq!(kept.iter().map(|record| record.signature_status).collect::<Vec<_>>(), ["unsigned", "unsigned"]);
}

#[tokio::test]
async fn a_script_that_posts_a_form_gets_json_and_a_double_click_one_record() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    assert_eq!(answer(site.form("/in/public", "email=a%40example.com")).await, said(202, "accepted"));
    assert_eq!(answer(site.form("/in/public", "email=a%40example.com")).await, said(200, "duplicate"));
    assert_eq!(log.kept().len(), 1);
}

#[tokio::test]
async fn a_tokened_address_takes_only_its_token() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    assert_eq!(answer(site.form(&format!("/in/tokened/{TOKEN}"), "a=1")).await, said(202, "accepted"));
    assert_eq!(log.kept()[0].signature_status, "token_only");
    for path in ["/in/tokened", "/in/tokened/0123456789abcdef01234568", &format!("/in/public/{TOKEN}")] {
        assert_eq!(answer(site.form(path, "a=1")).await, said(401, "token_mismatch"), "{path}");
    }
    assert_eq!(log.kept().len(), 1);
}

#[tokio::test]
async fn poison_is_kept_and_acknowledged() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    assert_eq!(answer(site.json("/in/plain", "{\"broken")).await, said(202, "accepted"));
    assert_eq!(answer(site.form("/in/public", "email=x&url=http%3A%2F%2Fspam.example")).await, said(202, "accepted"));
    assert_eq!(log.kept().len(), 2);
}

#[tokio::test]
async fn size_kind_and_presence_of_a_body_are_checked() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    assert_eq!(answer(site.typeform(&"x".repeat(1_025))).await, said(413, "body_too_large"));
    let chunks = futures::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 500])));
    let chunked = site.json("/in/typeform", "").body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(answer(chunked).await, said(413, "body_too_large"));
    assert_eq!(answer(site.typeform(&"x".repeat(1_024))).await, said(202, "accepted"));
    for (kind, coding) in [("text/plain", "identity"), ("application/xml", "identity"), ("application/json", "gzip")] {
        let request = site.post("/in/plain").header("content-type", kind).header("content-encoding", coding).body("{}");
        assert_eq!(answer(request).await, said(415, "unsupported_content_type"), "{kind} {coding}");
    }
    assert_eq!(answer(site.post("/in/plain").body("{}")).await, said(415, "unsupported_content_type"));
    assert_eq!(answer(site.json("/in/plain", "")).await, said(400, "empty_body"));
    assert_eq!(answer(site.post("/in/plain").header("content-type", "application/cloudevents+json").body("{}")).await.0, 202);
    assert_eq!(log.kept().len(), 2);
}

#[tokio::test]
async fn a_source_that_is_away_is_never_reported_as_gone() {
    let site = Site::over(Log::new()).await;
    for source in ["paused", "renamed"] {
        let response = site.json(&format!("/in/{source}"), "{}").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{source}");
        assert_eq!(response.headers()["retry-after"], "30");
    }
    assert_eq!(answer(site.json("/in/never", "{}")).await, said(404, "unknown_source"));
    assert_eq!(answer(site.json("/elsewhere", "{}")).await, said(404, "unknown_path"));
    let response = site.get("/in/typeform").await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_log_that_cannot_keep_a_delivery_makes_the_sender_come_back() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    for (mood, code) in
        [(Mood::Busy, "busy"), (Mood::DiskFull, "disk_full"), (Mood::Fails, "store_unavailable"), (Mood::Hangs, "store_slow")]
    {
        log.is(mood);
        let response = site.typeform(EVENT).send().await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"30".parse().unwrap()));
        let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(problem["code"], code);
    }
    log.is(Mood::Keeps);
    assert_eq!(answer(site.typeform(EVENT)).await, said(202, "accepted"));
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_server_goes_on() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    log.is(Mood::Panics);
    assert_eq!(answer(site.typeform(EVENT)).await, said(500, "internal"));
    log.is(Mood::Keeps);
    assert_eq!(answer(site.typeform(EVENT)).await, said(202, "accepted"));
}

#[tokio::test]
async fn unsigned_posts_are_limited_by_source_and_signed_ones_are_not() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    assert_eq!(answer(site.form("/in/narrow", "a=1")).await, said(202, "accepted"));
    let response = site.form("/in/narrow", "a=2").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(answer(site.form("/in/plain", "a=2")).await, said(202, "accepted"));
    for index in 0..130 {
        let event = EVENT.replace("e1", &format!("e{index}"));
        assert_eq!(answer(site.typeform(&event)).await.0, 202);
    }
}

#[tokio::test]
async fn a_slow_append_holds_up_nobody_else() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    log.is(Mood::Hangs);
    let mut slow = JoinSet::new();
    slow.spawn(site.typeform(EVENT).send());
    log.entered().await;
    log.is(Mood::Keeps);
    assert_eq!(answer(site.form("/in/plain", "a=1")).await, said(202, "accepted"));
    assert_eq!(slow.join_next().await.unwrap().unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn posts_at_work_are_bounded() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    site.state.0.posts.forget_permits(MAX_POSTS);
    assert_eq!(answer(site.typeform(EVENT)).await, said(503, "crowded"));
    site.state.0.posts.add_permits(1);
    // A post gives its place back, however it ended.
    for _ in 0..3 {
        assert_eq!(answer(site.json("/in/typeform", EVENT)).await, said(401, "signature_missing"));
    }
    assert_eq!(answer(site.typeform(EVENT)).await, said(202, "accepted"));
}

#[tokio::test]
async fn a_request_in_flight_finishes_after_the_server_was_told_to_stop() {
    let log = Log::new();
    log.gate.forget_permits(1_000);
    let mut site = Site::over(log.clone()).await;
    let mut posts = JoinSet::new();
    posts.spawn(site.typeform(EVENT).send());
    log.entered().await;
    site.shutdown.cancel();
    log.gate.add_permits(1);
    let response = posts.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    drop(response);
    tokio::time::timeout(Duration::from_secs(5), site.server.join_next()).await.unwrap().unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(site.base.trim_start_matches("http://")).await.is_err());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_kept() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    let mut socket = TcpStream::connect(site.base.trim_start_matches("http://")).await.unwrap();
    let head = "POST /in/plain HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"a\":";
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut rest = Vec::new();
    // The server may answer or hang up; it must not keep half a body.
    drop(socket.read_to_end(&mut rest).await);
    assert_eq!(log.kept().len(), 0);
}

#[tokio::test]
async fn readiness_is_the_log_s_and_a_failed_run_is_told_beside_it() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    let body = async |path| serde_json::from_str::<Value>(&site.get(path).await.text().await.unwrap()).unwrap();
    assert_eq!(body("/readyz").await, json!({ "status": "ready", "last_run": "none" }));
    site.tell_run.send(Some(run(false))).unwrap();
    assert_eq!(body("/readyz").await, json!({ "status": "ready", "last_run": "failed" }));
    log.is(Mood::Fails);
    assert_eq!(body("/readyz").await["code"], "store_unavailable");
    assert_eq!(body("/healthz").await["status"], "alive");
}

fn run(succeeded: bool) -> LastRun {
    let rows = BTreeMap::from([(("typeform".to_owned(), "accepted".to_owned()), 7)]);
    LastRun { run_id: "run_1".to_owned(), succeeded, finished_at_us: NOW_SECS * 1_000_000, rows }
}

#[tokio::test]
async fn metrics_count_outcomes_and_hold_nothing_of_a_sender() {
    let site = Site::over(Log::new()).await;
    answer(site.typeform(EVENT)).await;
    answer(site.json("/in/typeform", EVENT)).await;
    answer(site.json(&format!("/in/{MARK}"), EVENT)).await;
    site.tell_run.send(Some(run(true))).unwrap();
    let page = site.get("/metrics").await.text().await.unwrap();
    for line in [
        r#"headwater_intake_total{source="typeform",outcome="accepted"} 1"#,
        r#"headwater_intake_total{source="typeform",outcome="signature_missing"} 1"#,
        r#"headwater_intake_total{source="(unknown)",outcome="unknown_source"} 1"#,
        r#"headwater_intake_depth{source="typeform"} 3"#,
        r#"headwater_intake_depth{source="plain"} 0"#,
        "headwater_store_up 1",
        "headwater_last_run_success 1",
        r#"headwater_last_run_rows{source="typeform",bucket="accepted"} 7"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    assert!(!page.contains(MARK));
}

#[tokio::test]
async fn no_answer_repeats_what_was_sent() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    for mood in [Mood::Keeps, Mood::Fails, Mood::Panics] {
        log.is(mood);
        for request in [
            site.json("/in/plain", &format!("{{\"email\":\"{MARK}\"}}")),
            site.json(&format!("/in/{MARK}"), "{}"),
            site.form(&format!("/in/tokened/{MARK}"), "a=1"),
            site.json("/in/typeform", "{}").header("typeform-signature", MARK),
        ] {
            let text = request.send().await.unwrap().text().await.unwrap();
            assert!(!text.contains("ada.mark"), "{text}");
        }
    }
}

async fn store_in(dir: &Path) -> Store {
    let config = StoreConfig { ledger: format!("sqlite://{}", dir.join("ledger.db").display()), lake: dir.join("lake") };
    Store::create_or_open(&config, tables::ALL, NOW_SECS * 1_000_000).await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_store_for_whoever_opens_it_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path()).await;
    let site = Site::over(Arc::new(store)).await;
    let mut posts = JoinSet::new();
    for index in 0..50 {
        posts.spawn(site.typeform(&EVENT.replace("e1", &format!("e{index}"))).send());
    }
    let mut ids = BTreeSet::new();
    while let Some(response) = posts.join_next().await {
        let body: Value = serde_json::from_str(&response.unwrap().unwrap().text().await.unwrap()).unwrap();
        assert_eq!(body["status"], "accepted");
        ids.insert(body["id"].as_str().unwrap().parse::<i64>().unwrap());
    }
    assert_eq!(answer(site.typeform(&EVENT.replace("e1", "e7"))).await, said(200, "duplicate"));
    drop(site);
    let next = store_in(dir.path()).await;
    let found: BTreeSet<i64> =
        IntakeLog::after(&next, "typeform", 0, 100).await.unwrap().iter().map(|delivery| delivery.seq).collect();
    assert_eq!((found.len(), found), (50, ids));
    assert_eq!(IntakeLog::depth(&next).await.unwrap(), BTreeMap::from([("typeform".to_owned(), 50)]));
}
