//! What no recorded read shows: capabilities, jobs, streams that choose by state, budgets, pages that begin anew.

use std::sync::Arc;

use headwater_sdk::http::Pause;
use headwater_sdk::{BuildContext, Clock, Error};
use serde_json::{Value, json};
use wiremock::matchers::{body_string_contains, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Operation, Surroundings, Tool};

struct Run {
    messages: Vec<Value>,
    done: Result<bool, Error>,
    waited: u64,
}

impl Run {
    fn of(&self, kind: &str) -> Vec<&Value> {
        self.messages.iter().filter(|message| message["type"] == kind).collect()
    }

    fn records(&self) -> Vec<Value> {
        self.of("RECORD").iter().map(|message| message["record"]["data"].clone()).collect()
    }
}

async fn run(operation: Operation, manifest: &Value, state: Option<Value>) -> Run {
    let pause = Pause::virtual_time();
    let passed = pause.clone();
    let start: jiff::Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    let clock = Clock::new(move || start + passed.elapsed());
    let cx = BuildContext { clock, base_dir: ".".into(), env: Arc::new(|_| None), allow_private_hosts: false };
    let around = Surroundings { cx, pause: pause.clone(), allow_hosts: vec!["127.0.0.1".to_owned()], sequential: true };
    let tool = Tool {
        manifest: manifest.to_string().into_bytes(),
        config: b"{}".to_vec(),
        catalog: state
            .as_ref()
            .map(|_| json!({"streams": [{"stream": {"name": "people"}, "sync_mode": "incremental"}]}).to_string().into_bytes()),
        state: state.map(|state| state.to_string().into_bytes()),
        around,
    };
    let mut out = Vec::new();
    let mut emit = |lines: &[u8]| {
        out.extend_from_slice(lines);
        Ok(())
    };
    let done = tool.run(operation, &mut emit).await;
    let messages = String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Run { messages, done, waited: pause.elapsed().as_secs() }
}

fn requester(server: &str, method: &str, path: &str) -> Value {
    json!({ "type": "HttpRequester", "url_base": server, "path": path, "http_method": method })
}

fn selector() -> Value {
    json!({ "type": "RecordSelector", "extractor": { "type": "DpathExtractor", "field_path": ["people"] } })
}

fn stream(name: &str, retriever: &Value) -> Value {
    json!({ "type": "DeclarativeStream", "name": name, "primary_key": "id", "retriever": retriever,
        "schema_loader": { "type": "InlineSchemaLoader", "schema": { "type": "object", "properties": {} } } })
}

fn pages(server: &str, path: &str) -> Value {
    json!({ "type": "SimpleRetriever", "requester": requester(server, "GET", path), "record_selector": selector() })
}

fn source(streams: &[Value]) -> Value {
    json!({ "type": "DeclarativeSource", "version": "7.39.1", "check": { "type": "CheckStream", "stream_names": ["people"] }, "streams": streams })
}

async fn answers(server: &MockServer, verb: &str, at: &str, answer: ResponseTemplate) {
    Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(server).await;
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

#[tokio::test]
async fn capabilities_name_every_stream_that_does_not_run_and_why() {
    let custom = json!({ "type": "CustomRetriever", "class_name": "source_x.components.Mine" });
    let manifest = source(&[stream("people", &pages("https://api.example.com", "/p")), stream("odd", &custom)]);
    let run = run(Operation::Capabilities, &manifest, None).await;
    assert!(matches!(run.done, Ok(true)));
    let said = &run.of("CAPABILITIES")[0]["capabilities"];
    assert_eq!((&said["runs"], &said["total"]), (&json!(1), &json!(2)));
    assert_eq!(said["streams"][0], json!({ "name": "people", "runs": true, "incremental": false, "schema": "inline" }));
    let odd = &said["streams"][1];
    assert_eq!((&odd["name"], &odd["runs"]), (&json!("odd"), &json!(false)));
    assert!(odd["path"].as_str().unwrap().starts_with("streams[1].retriever"), "{odd}");
    assert!(odd["because"].as_str().unwrap().contains("Python"), "{odd}");
}

#[tokio::test]
async fn streams_that_run_are_read_beside_one_that_does_not() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/p", ok(json!({ "people": [{ "id": 1 }] }))).await;
    let custom = json!({ "type": "CustomRetriever", "class_name": "source_x.components.Mine" });
    let manifest = source(&[stream("odd", &custom), stream("people", &pages(&server.uri(), "/p"))]);
    let read = run(Operation::Read, &manifest, None).await;
    assert_eq!(read.records(), [json!({ "id": 1 })]);
    assert!(matches!(read.done, Ok(true)), "without a catalog only what runs is meant");
}

fn job(server: &str) -> Value {
    let field = |path: &[&str]| json!({ "type": "DpathExtractor", "field_path": path });
    json!({
        "type": "AsyncRetriever",
        "status_mapping": { "running": ["busy"], "completed": ["done"], "failed": ["broken"], "timeout": ["late"] },
        "status_extractor": field(&["status"]), "download_target_extractor": field(&["files"]),
        "creation_requester": requester(server, "POST", "/jobs"),
        "polling_requester": requester(server, "GET", "/jobs/{{ creation_response['id'] }}"),
        "download_requester": { "type": "HttpRequester", "url_base": "{{ download_target }}", "http_method": "GET" },
        "delete_requester": requester(server, "DELETE", "/jobs/{{ creation_response['id'] }}"),
        "abort_requester": requester(server, "POST", "/jobs/{{ creation_response['id'] }}/stop"),
        "polling_job_timeout": 1,
        "record_selector": selector(),
    })
}

async fn asked(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|request| format!("{} {}", request.method, request.url.path())).collect()
}

#[tokio::test]
async fn a_job_is_made_waited_for_fetched_and_deleted() {
    let server = MockServer::start().await;
    answers(&server, "POST", "/jobs", ok(json!({ "id": "j1" }))).await;
    let busy = Mock::given(method("GET")).and(path("/jobs/j1")).respond_with(ok(json!({ "status": "busy" })));
    busy.up_to_n_times(2).mount(&server).await;
    let files = [format!("{}/f/1", server.uri()), format!("{}/f/2", server.uri())];
    answers(&server, "GET", "/jobs/j1", ok(json!({ "status": "done", "files": files }))).await;
    answers(&server, "GET", "/f/1", ok(json!({ "people": [{ "id": 1 }] }))).await;
    answers(&server, "GET", "/f/2", ok(json!({ "people": [{ "id": 2 }, { "id": 3 }] }))).await;
    answers(&server, "DELETE", "/jobs/j1", ok(json!({}))).await;
    let read = run(Operation::Read, &source(&[stream("people", &job(&server.uri()))]), None).await;
    assert_eq!(read.records(), [json!({ "id": 1 }), json!({ "id": 2 }), json!({ "id": 3 })], "{:?}", read.done);
    let wanted = ["POST /jobs", "GET /jobs/j1", "GET /jobs/j1", "GET /jobs/j1", "GET /f/1", "GET /f/2", "DELETE /jobs/j1"];
    assert_eq!(asked(&server).await, wanted);
    assert_eq!(read.waited, 20);
}

#[tokio::test]
async fn a_job_that_fails_or_does_not_end_fails_its_stream() {
    for (status, end) in
        [("broken", "GET /jobs/j1"), ("late", "GET /jobs/j1"), ("never heard of", "GET /jobs/j1"), ("busy", "POST /jobs/j1/stop")]
    {
        let server = MockServer::start().await;
        answers(&server, "POST", "/jobs", ok(json!({ "id": "j1" }))).await;
        answers(&server, "GET", "/jobs/j1", ok(json!({ "status": status }))).await;
        answers(&server, "POST", "/jobs/j1/stop", ok(json!({}))).await;
        let read = run(Operation::Read, &source(&[stream("people", &job(&server.uri()))]), None).await;
        assert!(read.done.is_err() && read.records().is_empty(), "{status}");
        assert_eq!(asked(&server).await.last().map(String::as_str), Some(end), "{status}");
    }
}

#[tokio::test]
async fn a_stream_that_chooses_by_state_reads_all_first_and_then_what_is_new() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/all", ok(json!({ "people": [{ "id": 1 }] }))).await;
    answers(&server, "GET", "/new", ok(json!({ "people": [{ "id": 2 }] }))).await;
    let delegating = json!({ "type": "StateDelegatingStream", "name": "people",
        "full_refresh_stream": stream("people", &pages(&server.uri(), "/all")),
        "incremental_stream": stream("people", &pages(&server.uri(), "/new")) });
    let manifest = source(&[delegating]);
    assert_eq!(run(Operation::Read, &manifest, None).await.records(), [json!({ "id": 1 })]);
    let state = json!([{ "type": "STREAM", "stream": { "stream_descriptor": { "name": "people" }, "stream_state": { "at": "2026-01-01" } } }]);
    assert_eq!(run(Operation::Read, &manifest, Some(state)).await.records(), [json!({ "id": 2 })]);
}

#[tokio::test]
async fn the_api_s_budget_is_kept_by_what_its_matchers_name() {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("")).respond_with(ok(json!({ "people": [{ "id": 1 }] }))).mount(&server).await;
    let parts = json!({ "type": "ListPartitionRouter", "values": ["a", "b", "c", "d", "e"], "cursor_field": "part" });
    let mut tight = pages(&server.uri(), "/tight");
    tight["partition_router"] = parts.clone();
    let mut free = pages(&server.uri(), "/free");
    free["partition_router"] = parts;
    let mut manifest = source(&[stream("people", &tight)]);
    manifest["api_budget"] = json!({ "type": "HTTPAPIBudget", "policies": [{
        "type": "MovingWindowCallRatePolicy", "rates": [{ "type": "Rate", "limit": 2, "interval": "PT10S" }],
        "matchers": [{ "type": "HttpRequestRegexMatcher", "method": "GET", "url_path_pattern": "^/tight" }] }] });
    let read = run(Operation::Read, &manifest, None).await;
    assert_eq!((read.records().len(), read.waited), (5, 20), "{:?}", read.done);
    manifest["streams"] = json!([stream("people", &free)]);
    assert_eq!(run(Operation::Read, &manifest, None).await.waited, 0);
}

#[tokio::test]
async fn a_remote_that_says_it_is_spent_is_left_alone_until_it_is_not() {
    let server = MockServer::start().await;
    let reset = "2026-02-01T00:00:30Z".parse::<jiff::Timestamp>().unwrap().as_second().to_string();
    let spent = ok(json!({ "people": [{ "id": 1 }] }))
        .insert_header("ratelimit-remaining", "0")
        .insert_header("ratelimit-reset", reset.as_str());
    Mock::given(path("/p")).respond_with(spent).up_to_n_times(1).mount(&server).await;
    answers(&server, "GET", "/p", ok(json!({ "people": [{ "id": 2 }] }))).await;
    let mut paged = pages(&server.uri(), "/p");
    paged["partition_router"] = json!({ "type": "ListPartitionRouter", "values": ["a", "b"], "cursor_field": "part" });
    let mut manifest = source(&[stream("people", &paged)]);
    manifest["api_budget"] =
        json!({ "type": "HTTPAPIBudget", "policies": [{ "type": "UnlimitedCallRatePolicy", "matchers": [] }] });
    let read = run(Operation::Read, &manifest, None).await;
    assert_eq!((read.records().len(), read.waited), (2, 30), "{:?}", read.done);
}

#[tokio::test]
async fn a_session_token_is_used_until_it_is_refused_and_then_one_is_asked_for() {
    for (given, asks) in
        [("", vec!["POST /session", "GET /people"]), ("old", vec!["GET /people", "POST /session", "GET /people"])]
    {
        let server = MockServer::start().await;
        answers(&server, "POST", "/session", ok(json!({ "id": "fresh" }))).await;
        let people = ok(json!({ "people": [{ "id": 1 }] }));
        Mock::given(path("/people")).and(header("x-session", "fresh")).respond_with(people).mount(&server).await;
        Mock::given(path("/people")).respond_with(ResponseTemplate::new(401)).mount(&server).await;
        let mut retriever = pages(&server.uri(), "/people");
        retriever["requester"]["authenticator"] = json!({ "type": "LegacySessionTokenAuthenticator", "header": "X-Session",
            "login_url": "session", "validate_session_url": "user", "session_token": given, "session_token_response_key": "id",
            "username": "ada", "password": "example" });
        let read = run(Operation::Read, &source(&[stream("people", &retriever)]), None).await;
        assert_eq!(read.records(), [json!({ "id": 1 })], "{:?}", read.done);
        assert_eq!(asked(&server).await, asks);
    }
}

/// A remote with nine people, one a day, two a page, that gives no more than two pages of one question, or refuses the second page so
/// many times.
async fn nine_people(refusals: usize) -> MockServer {
    let server = MockServer::start().await;
    let left = std::sync::atomic::AtomicUsize::new(refusals);
    let answer = move |request: &wiremock::Request| {
        let query: std::collections::BTreeMap<String, String> = request.url.query_pairs().into_owned().collect();
        let page: usize = query["page"].parse().unwrap();
        let is_refused = |left: usize| if page == 2 { left.checked_sub(1) } else { None };
        let order = std::sync::atomic::Ordering::SeqCst;
        if left.fetch_update(order, order, is_refused).is_ok() {
            return ResponseTemplate::new(410).set_body_json(json!({}));
        }
        let days = (1..10).map(|day| (day, format!("2026-01-0{day}")));
        let since = query.get("since").cloned().unwrap_or_default();
        let days: Vec<_> = days.filter(|(_, day)| *day >= since).collect();
        let people: Vec<Value> =
            days.chunks(2).nth(page - 1).into_iter().flatten().map(|(id, day)| json!({ "id": id, "updated": day })).collect();
        ok(json!({ "people": people }))
    };
    Mock::given(method("GET")).and(path("/p")).respond_with(answer).mount(&server).await;
    server
}

fn pages_anew(server: &str, anew: &Value) -> Value {
    let mut pages = pages(server, "/p");
    pages["requester"]["error_handler"] = json!({ "type": "DefaultErrorHandler",
        "response_filters": [{ "type": "HttpResponseFilter", "http_codes": [410], "action": "RESET_PAGINATION" }] });
    pages["paginator"] = json!({ "type": "DefaultPaginator",
        "pagination_strategy": { "type": "PageIncrement", "page_size": 2, "start_from_page": 1, "inject_on_first_request": true },
        "page_token_option": { "type": "RequestOption", "inject_into": "request_parameter", "field_name": "page" } });
    pages["pagination_reset"] = anew.clone();
    stream("people", &pages)
}

fn by_day(mut stream: Value) -> Value {
    stream["incremental_sync"] = json!({ "type": "DatetimeBasedCursor", "cursor_field": "updated", "datetime_format": "%Y-%m-%d",
        "start_datetime": "2026-01-01", "end_datetime": "2026-01-31",
        "start_time_option": { "type": "RequestOption", "inject_into": "request_parameter", "field_name": "since" } });
    stream
}

async fn queries(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|request| request.url.query().unwrap_or_default().to_owned()).collect()
}

fn ids(run: &Run) -> Vec<u64> {
    run.records().iter().map(|record| record["id"].as_u64().unwrap()).collect()
}

/// The requests and records are those of airbyte-cdk 7.39.1 against the same remote, as are those of the next two tests.
#[tokio::test]
async fn pages_begin_anew_at_the_furthest_record_where_the_remote_gives_no_more() {
    let server = nine_people(0).await;
    let anew = json!({ "type": "PaginationReset", "action": "SPLIT_USING_CURSOR",
        "limits": { "type": "PaginationResetLimits", "number_of_records": 4 } });
    let read = run(Operation::Read, &source(&[by_day(pages_anew(&server.uri(), &anew))]), Some(json!([]))).await;
    assert!(matches!(read.done, Ok(true)));
    assert_eq!(ids(&read), [1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9]);
    let asked = ["01", "04", "07"].map(|day| [1, 2].map(|page| format!("page={page}&since=2026-01-{day}"))).concat();
    let sorted = |query: &String| {
        let mut parts: Vec<&str> = query.split('&').collect();
        parts.sort_unstable();
        parts.join("&")
    };
    assert_eq!(queries(&server).await.iter().map(sorted).collect::<Vec<_>>(), asked);
}

#[tokio::test]
async fn pages_that_an_answer_wants_anew_are_read_once_more_and_no_third_time() {
    for anew in [json!({ "type": "PaginationReset", "action": "RESET" }), Value::Null] {
        let server = nine_people(1).await;
        let read = run(Operation::Read, &source(&[pages_anew(&server.uri(), &anew)]), None).await;
        assert!(matches!(read.done, Ok(true)));
        assert_eq!(ids(&read), [1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

        let server = nine_people(2).await;
        let read = run(Operation::Read, &source(&[pages_anew(&server.uri(), &anew)]), None).await;
        assert!(!matches!(read.done, Ok(true)), "it would never end");
        assert_eq!(queries(&server).await, ["page=1", "page=2", "page=1", "page=2"]);
    }
}

#[tokio::test]
async fn pages_that_begin_anew_behind_what_came_may_do_so_often() {
    let server = nine_people(2).await;
    let anew = json!({ "type": "PaginationReset", "action": "SPLIT_USING_CURSOR" });
    let read = run(Operation::Read, &source(&[by_day(pages_anew(&server.uri(), &anew))]), Some(json!([]))).await;
    assert!(matches!(read.done, Ok(true)));
    assert_eq!(ids(&read), [1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_reset_that_names_no_action_is_a_stream_that_does_not_run() {
    let anew = json!({ "type": "PaginationReset", "action": "AGAIN" });
    let manifest = source(&[pages_anew("https://api.example.com", &anew)]);
    let run = run(Operation::Capabilities, &manifest, None).await;
    let said = &run.of("CAPABILITIES")[0]["capabilities"]["streams"][0];
    assert!(said["because"].as_str().unwrap().contains("SPLIT_USING_CURSOR"), "{said}");
}
