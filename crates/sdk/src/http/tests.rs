use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::json;
use wiremock::matchers::{any, body_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::{BuildContext, Clock, Error, ErrorKind, Retry};

const NOW: &str = "2026-03-01T12:00:00Z";

fn cx(allow_private_hosts: bool) -> BuildContext {
    BuildContext {
        clock: Clock::fixed(NOW.parse().unwrap()),
        base_dir: PathBuf::new(),
        env: Arc::new(|_| None),
        allow_private_hosts,
    }
}

fn settings(server: &MockServer) -> HttpSettings {
    HttpSettings { pause: Pause::virtual_time(), ..HttpSettings::new(base_url(&server.uri()).unwrap(), &cx(true)) }
}

fn client(server: &MockServer) -> (HttpClient, Pause) {
    let settings = settings(server);
    let pause = settings.pause.clone();
    (HttpClient::new(settings).unwrap(), pause)
}

async fn answers(server: &MockServer, answer: ResponseTemplate) {
    Mock::given(any()).respond_with(answer).mount(server).await;
}

/// The first request gets `first`, every other one `[1]`.
async fn first_then_fine(server: &MockServer, first: ResponseTemplate) {
    Mock::given(any()).respond_with(first).up_to_n_times(1).mount(server).await;
    answers(server, ResponseTemplate::new(200).set_body_json(json!([1]))).await;
}

async fn requests(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

async fn failure(client: &HttpClient, request: &RequestSpec) -> Error {
    client.send(request).await.unwrap_err()
}

#[tokio::test]
async fn retry_after_in_seconds_is_obeyed() {
    let server = MockServer::start().await;
    first_then_fine(&server, ResponseTemplate::new(429).insert_header("retry-after", "7")).await;
    let (client, pause) = client(&server);
    assert_eq!(client.json(&RequestSpec::get("/x")).await.unwrap(), json!([1]));
    assert_eq!((pause.elapsed(), requests(&server).await), (Duration::from_secs(7), 2));
}

#[tokio::test]
async fn retry_after_as_a_date_is_obeyed() {
    let server = MockServer::start().await;
    first_then_fine(&server, ResponseTemplate::new(503).insert_header("retry-after", "Sun, 01 Mar 2026 12:00:30 GMT")).await;
    let (client, pause) = client(&server);
    client.send(&RequestSpec::get("/x")).await.unwrap();
    assert_eq!(pause.elapsed(), Duration::from_secs(30));
}

#[tokio::test]
async fn a_past_retry_after_date_means_at_once() {
    let server = MockServer::start().await;
    first_then_fine(&server, ResponseTemplate::new(503).insert_header("retry-after", "Sun, 01 Mar 2026 11:00:00 GMT")).await;
    let (client, pause) = client(&server);
    client.send(&RequestSpec::get("/x")).await.unwrap();
    assert_eq!(pause.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_wait_beyond_the_bound_is_left_to_the_caller() {
    let server = MockServer::start().await;
    answers(&server, ResponseTemplate::new(429).insert_header("retry-after", "86400")).await;
    let (client, pause) = client(&server);
    let error = failure(&client, &RequestSpec::get("/x")).await;
    assert_eq!((error.kind(), error.retry_advice()), (ErrorKind::RateLimited, Retry::After(Duration::from_secs(86_400))));
    assert_eq!((pause.elapsed(), requests(&server).await), (Duration::ZERO, 1));
}

#[tokio::test]
async fn rate_limit_without_retry_after_backs_off_with_growing_waits() {
    let server = MockServer::start().await;
    answers(&server, ResponseTemplate::new(429)).await;
    let (client, pause) = client(&server);
    let error = failure(&client, &RequestSpec::get("/x")).await;
    assert_eq!((error.kind(), requests(&server).await), (ErrorKind::RateLimited, 5));
    // 0.5 + 1 + 2 + 4 s, each with some jitter on top.
    assert!(pause.elapsed() >= Duration::from_millis(7_500), "{:?}", pause.elapsed());
}

#[tokio::test]
async fn a_server_error_that_passes_is_not_seen() {
    let server = MockServer::start().await;
    first_then_fine(&server, ResponseTemplate::new(500)).await;
    let (client, _) = client(&server);
    assert_eq!(client.json(&RequestSpec::get("/x")).await.unwrap(), json!([1]));
}

#[tokio::test]
async fn what_is_not_idempotent_is_sent_once() {
    let server = MockServer::start().await;
    answers(&server, ResponseTemplate::new(503)).await;
    let (client, _) = client(&server);
    let request = RequestSpec::post("/x", json!({"a": 1}));
    assert_eq!(failure(&client, &request).await.kind(), ErrorKind::Unavailable);
    assert_eq!(requests(&server).await, 1);
    failure(&client, &request.idempotent(true)).await;
    assert_eq!(requests(&server).await, 6);
}

#[tokio::test]
async fn statuses_become_kinds_and_refusals_are_sent_once() {
    for (status, kind) in [
        (400, ErrorKind::Rejected),
        (401, ErrorKind::Auth),
        (403, ErrorKind::Auth),
        (404, ErrorKind::NotFound),
        (409, ErrorKind::Conflict),
        (422, ErrorKind::Rejected),
    ] {
        let server = MockServer::start().await;
        answers(&server, ResponseTemplate::new(status).set_body_string("ada@example.com exists")).await;
        let (client, _) = client(&server);
        let error = failure(&client, &RequestSpec::get("/people/{email}").param("email", "ada@example.com")).await;
        assert_eq!((error.kind(), requests(&server).await), (kind, 1), "{status}");
        let http = HttpError::of(&error).unwrap();
        assert_eq!((http.status().as_u16(), http.excerpt()), (status, "ada@example.com exists"));
        assert!(!format!("{error} {error:?} {http}").contains("ada"), "{error:?}");
        assert!(format!("{error}").contains("GET /people/{email}"), "{error}");
    }
}

#[tokio::test]
async fn any_status_gives_refusals_but_not_passing_troubles_as_answers() {
    let server = MockServer::start().await;
    Mock::given(path("/refused")).respond_with(ResponseTemplate::new(422).set_body_json(json!({"e": 1}))).mount(&server).await;
    Mock::given(path("/busy")).respond_with(ResponseTemplate::new(429).insert_header("retry-after", "3")).mount(&server).await;
    let (client, _) = client(&server);
    let answer = client.send(&RequestSpec::post("/refused", json!({})).any_status()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.json::<serde_json::Value>().unwrap()), (422, json!({"e": 1})));
    let error = failure(&client, &RequestSpec::post("/busy", json!({})).any_status()).await;
    assert_eq!((error.kind(), error.retry_advice()), (ErrorKind::RateLimited, Retry::After(Duration::from_secs(3))));
}

#[tokio::test]
async fn the_connector_can_call_another_status_overload() {
    let server = MockServer::start().await;
    first_then_fine(&server, ResponseTemplate::new(403)).await;
    let mut settings = settings(&server);
    settings.overload = Some(Arc::new(|status, _, body| status == StatusCode::FORBIDDEN && body.is_empty()));
    HttpClient::new(settings).unwrap().send(&RequestSpec::get("/x")).await.unwrap();
}

#[tokio::test]
async fn a_hanging_remote_is_unavailable() {
    let server = MockServer::start().await;
    answers(&server, ResponseTemplate::new(200).set_delay(Duration::from_secs(60))).await;
    let settings = HttpSettings { timeout: Duration::from_millis(50), max_attempts: 2, ..settings(&server) };
    let error = failure(&HttpClient::new(settings).unwrap(), &RequestSpec::get("/x").query("email", "ada@example.com")).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "the remote did not answer in time"));
    assert_eq!(requests(&server).await, 2);
    assert!(!format!("{error:?}").contains("ada"), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_unavailable() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = base_url(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let serving = async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = [0; 4096];
            assert!(socket.read(&mut head).await.unwrap() > 0);
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[1,").await.unwrap();
        }
    };
    let settings = HttpSettings { pause: Pause::virtual_time(), max_attempts: 2, ..HttpSettings::new(base, &cx(true)) };
    let (client, request) = (HttpClient::new(settings).unwrap(), RequestSpec::get("/a"));
    let failed = tokio::select! {
        () = serving => unreachable!("it serves as long as it is asked"),
        failed = failure(&client, &request) => failed,
    };
    assert_eq!((failed.kind(), failed.retry_advice()), (ErrorKind::Unavailable, Retry::Backoff));
}

#[tokio::test]
async fn a_closed_port_is_unavailable() {
    // The server is dropped, and with it its port.
    let settings = settings(&MockServer::start().await);
    let client = HttpClient::new(HttpSettings { base_url: base_url("http://127.0.0.1:1").unwrap(), ..settings }).unwrap();
    let error = failure(&client, &RequestSpec::get("/x")).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "the remote cannot be reached"));
}

#[tokio::test]
async fn a_body_above_the_bound_is_refused_also_when_it_arrives_small() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![b'0'; 1_000_000]).unwrap();
    let small = gzip.finish().unwrap();
    assert!(small.len() < 10_000);
    let server = MockServer::start().await;
    answers(&server, ResponseTemplate::new(200).insert_header("content-encoding", "gzip").set_body_bytes(small)).await;
    let tight = HttpSettings { max_body_bytes: 10_000, ..settings(&server) };
    let error = failure(&HttpClient::new(tight).unwrap(), &RequestSpec::get("/x")).await;
    assert_eq!((error.kind(), requests(&server).await), (ErrorKind::Protocol, 1));
    let (wide, _) = client(&server);
    assert_eq!(wide.send(&RequestSpec::get("/x")).await.unwrap().body().len(), 1_000_000);
}

#[tokio::test]
async fn redirects_stay_on_the_same_host_and_port() {
    let (server, other) = (MockServer::start().await, MockServer::start().await);
    Mock::given(path("/here")).respond_with(ResponseTemplate::new(302).insert_header("location", "/there")).mount(&server).await;
    Mock::given(path("/there")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    Mock::given(path("/away"))
        .respond_with(ResponseTemplate::new(307).insert_header("location", format!("{}/x", other.uri())))
        .mount(&server)
        .await;
    let (client, _) = client(&server);
    client.send(&RequestSpec::get("/here")).await.unwrap();
    let error = failure(&client, &RequestSpec::get("/away")).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Protocol, "the remote redirects to another host"));
    assert_eq!(requests(&other).await, 0);
    let further = RequestSpec::follow("/x", Url::parse(&other.uri()).unwrap());
    assert_eq!(failure(&client, &further).await.kind(), ErrorKind::Protocol);
    assert_eq!(requests(&other).await, 0);
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let server = MockServer::start().await;
    answers(&server, ResponseTemplate::new(302).insert_header("location", "/again")).await;
    let (client, _) = client(&server);
    assert_eq!(failure(&client, &RequestSpec::get("/x")).await.kind(), ErrorKind::Protocol);
    assert!(requests(&server).await < 10);
}

#[tokio::test]
async fn the_budget_waits_and_never_exceeds_its_window() {
    let server = MockServer::start().await;
    answers(&server, ResponseTemplate::new(200)).await;
    let mut settings = settings(&server);
    let per = Duration::from_secs(10);
    settings.budget.rate = Some(Rate { requests: NonZeroU32::new(20).unwrap(), per });
    let pause = settings.pause.clone();
    let client = HttpClient::new(settings).unwrap();
    let mut sent = Vec::new();
    for _ in 0..60 {
        client.send(&RequestSpec::get("/x")).await.unwrap();
        sent.push(pause.elapsed());
    }
    let fullest = sent.iter().map(|from| sent.iter().filter(|at| (*from..*from + per).contains(at)).count()).max();
    assert!(fullest <= Some(20), "{fullest:?} requests in one window");
    // Sixty requests are three windows full, two of which are waited for.
    assert!(pause.elapsed() <= Duration::from_secs(21), "{:?}", pause.elapsed());
}

#[tokio::test]
async fn what_is_not_used_while_the_caller_is_busy_is_used_afterwards() {
    let server = MockServer::start().await;
    answers(&server, ResponseTemplate::new(200)).await;
    let mut settings = settings(&server);
    let per = Duration::from_secs(10);
    settings.budget.rate = Some(Rate { requests: NonZeroU32::new(25).unwrap(), per });
    let pause = settings.pause.clone();
    let client = HttpClient::new(settings).unwrap();
    for busy in [0, 3, 9] {
        pause.sleep(Duration::from_secs(busy)).await;
        for _ in 0..25 {
            client.send(&RequestSpec::get("/x")).await.unwrap();
        }
    }
    // The window is 10.4 s, and both times of work lie in it.
    assert_eq!((pause.elapsed(), client.sent()), (Duration::from_millis(20_800), 75));
}

#[tokio::test]
async fn no_more_requests_are_in_flight_than_allowed() {
    let server = MockServer::start().await;
    answers(&server, ResponseTemplate::new(200).set_delay(Duration::from_millis(30))).await;
    let (flying, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut settings = settings(&server);
    settings.budget.concurrent = NonZeroUsize::new(2).unwrap();
    let (begun, peak) = (Arc::clone(&flying), Arc::clone(&most));
    settings.authorize = Some(Arc::new(move || {
        peak.fetch_max(begun.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Ok(HeaderMap::new())
    }));
    let client = HttpClient::new(settings).unwrap();
    let request = RequestSpec::get("/x");
    futures::future::join_all((0..6).map(|_| async {
        client.send(&request).await.unwrap();
        flying.fetch_sub(1, Ordering::SeqCst);
    }))
    .await;
    // A finished request leaves the count a moment after its slot is free, so one more may be seen.
    assert!(most.load(Ordering::SeqCst) <= 3, "{}", most.load(Ordering::SeqCst));
}

#[tokio::test]
async fn credentials_are_made_anew_for_every_attempt() {
    let server = MockServer::start().await;
    Mock::given(header("authorization", "token 0")).respond_with(ResponseTemplate::new(500)).mount(&server).await;
    Mock::given(header("authorization", "token 1")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let mut settings = settings(&server);
    let made = AtomicUsize::new(0);
    settings.authorize = Some(Arc::new(move || {
        let token = format!("token {}", made.fetch_add(1, Ordering::SeqCst));
        Ok(HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&token).unwrap())]))
    }));
    HttpClient::new(settings).unwrap().send(&RequestSpec::get("/x")).await.unwrap();
}

#[tokio::test]
async fn path_values_stay_one_segment_and_queries_and_bodies_arrive() {
    let server = MockServer::start().await;
    Mock::given(method("PATCH"))
        .and(path("/v1/lists/a%2Fb%3F%20%23c/members"))
        .and(query_param("q", "ä&b"))
        .and(body_json(json!({"k": "v"})))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let base_url = base_url(&format!("{}/v1/", server.uri())).unwrap();
    let client = HttpClient::new(HttpSettings { base_url, ..settings(&server) }).unwrap();
    let request = RequestSpec::patch("/lists/{list}/members", json!({"k": "v"})).query("q", "ä&b");
    client.send(&request.clone().param("list", "a/b? #c")).await.unwrap();
    for dots in ["..", ".", ""] {
        assert_eq!(failure(&client, &request.clone().param("list", dots)).await.kind(), ErrorKind::Internal, "{dots:?}");
    }
    assert_eq!(failure(&client, &request).await.kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn an_answer_that_is_no_json_names_the_place_only() {
    let server = MockServer::start().await;
    answers(&server, ResponseTemplate::new(200).set_body_string("{\"email\": \"ada@example.com\"")).await;
    let (client, _) = client(&server);
    let error = client.json(&RequestSpec::get("/x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(!format!("{error:?}").contains("ada"), "{error:?}");
}

#[test]
fn private_addresses_need_leave() {
    let make = |url: &str, allow| HttpClient::new(HttpSettings::new(base_url(url).unwrap(), &cx(allow))).map(drop);
    for url in [
        "http://127.0.0.1:80",
        "http://localhost",
        "http://10.1.2.3",
        "http://169.254.169.254",
        "http://[::1]/",
        "http://2130706433/",
    ] {
        assert_eq!(make(url, false).unwrap_err().kind(), ErrorKind::Config, "{url}");
        make(url, true).unwrap();
    }
    make("https://api.example.com", false).unwrap();
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_not_called() {
    use reqwest::dns::Resolve as _;
    let resolve = async |allow_private| {
        let addresses = guard::Resolver { allow_private }.resolve("localhost".parse().unwrap()).await;
        addresses.map(Iterator::count).unwrap_or_default()
    };
    assert_eq!(resolve(false).await, 0);
    assert!(resolve(true).await > 0);
}

#[test]
fn private_ranges_are_known_in_every_guise() {
    for ip in [
        "127.0.0.1",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.1.1",
        "0.0.0.0",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "224.0.0.1",
        "2001:db8::1",
    ] {
        assert!(guard::is_private(ip.parse().unwrap()), "{ip}");
    }
    for ip in ["1.1.1.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"] {
        assert!(!guard::is_private(ip.parse().unwrap()), "{ip}");
    }
}

#[test]
fn a_base_url_is_a_plain_web_address() {
    for (text, good) in [
        ("https://api.example.com/v1", true),
        (" http://127.0.0.1:8080 ", true),
        ("ftp://example.com", false),
        ("https://user:secret@example.com", false),
        ("https://example.com/?key=1", false),
        ("example.com", false),
        ("file:///etc/hosts", false),
    ] {
        assert_eq!(base_url(text).is_ok(), good, "{text}");
    }
}

#[test]
fn a_secret_header_does_not_show() {
    let settings = HttpSettings::new(base_url("https://api.example.com").unwrap(), &cx(false));
    let settings = settings.secret_header(AUTHORIZATION, "Basic c2VjcmV0").unwrap();
    assert!(!format!("{settings:?} {:?}", settings.headers).contains("c2VjcmV0"));
    assert_eq!(settings.secret_header(AUTHORIZATION, "a\nb").unwrap_err().kind(), ErrorKind::Config);
}
