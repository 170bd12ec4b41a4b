//! The recorded reads: what the program that these manifests are for asked for and gave. Each case has its own servers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use headwater_sdk::http::Pause;
use headwater_sdk::{BuildContext, Clock};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers};

use super::{Operation, Surroundings, Tool};

/// Gives the replies of a case, and notes what was asked for.
#[derive(Clone)]
struct Script {
    origin: String,
    case: Arc<Value>,
    ports: Arc<BTreeMap<String, String>>,
    used: Arc<Mutex<BTreeMap<usize, usize>>>,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Respond for Script {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut query: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
        query.sort();
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let headers: Map<String, Value> =
            request.headers.iter().map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap_or_default()))).collect();
        self.log.lock().unwrap().push(json!({
            "method": request.method.to_string(), "url": format!("{}{}", self.origin, request.url.path()),
            "query": query, "headers": headers, "body": back(&body, &self.ports),
        }));
        for (index, rule) in self.case["responses"].as_array().unwrap().iter().enumerate() {
            if fits(&rule["match"], request, &query, &body) {
                let mut used = self.used.lock().unwrap();
                let turn = used.entry(index).or_default();
                let replies = rule["replies"].as_array().unwrap();
                let reply = &replies[(*turn).min(replies.len() - 1)];
                *turn += 1;
                return template(reply, &self.ports);
            }
        }
        ResponseTemplate::new(599)
    }
}

fn template(reply: &Value, ports: &BTreeMap<String, String>) -> ResponseTemplate {
    let status = reply["status"].as_u64().unwrap_or(200);
    let mut out = ResponseTemplate::new(u16::try_from(status).unwrap());
    out = if let Some(body) = reply.get("json") {
        out.set_body_raw(there(&body.to_string(), ports), "application/json")
    } else if let Some(packed) = reply["base64"].as_str() {
        out.set_body_bytes(base64::engine::general_purpose::STANDARD.decode(packed).unwrap())
    } else {
        out.set_body_string(reply["text"].as_str().unwrap_or_default())
    };
    for (name, value) in reply["headers"].as_object().into_iter().flatten() {
        out = out.insert_header(name.as_str(), there(&plain(value), ports).as_str());
    }
    out
}

fn fits(rule: &Value, request: &Request, query: &[(String, String)], body: &str) -> bool {
    let said = |name: &str| query.iter().any(|(key, _)| key == name);
    rule["method"].as_str().is_none_or(|method| method == request.method.as_str())
        && rule["path"].as_str().is_none_or(|path| path == request.url.path())
        && rule["query"].as_object().into_iter().flatten().all(|(name, value)| query.contains(&(name.clone(), plain(value))))
        && !rule["query_absent"].as_array().into_iter().flatten().any(|name| said(name.as_str().unwrap()))
        && rule.get("json_subset").is_none_or(|part| serde_json::from_str(body).is_ok_and(|body| within(part, &body)))
}

fn within(part: &Value, whole: &Value) -> bool {
    match part {
        Value::Object(members) => members.iter().all(|(name, value)| whole.get(name).is_some_and(|found| within(value, found))),
        other => other == whole,
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The recorded hosts in place of ours, and the other way.
fn back(text: &str, ports: &BTreeMap<String, String>) -> String {
    ports.iter().fold(text.to_owned(), |text, (origin, port)| text.replace(port.as_str(), origin))
}

fn there(text: &str, ports: &BTreeMap<String, String>) -> String {
    ports.iter().fold(text.to_owned(), |text, (origin, port)| text.replace(origin.as_str(), port))
}

/// A value as Python compares it: 5.0 is 5, and members have no order.
fn key(value: &Value) -> String {
    match value {
        Value::Number(number) => format!("{:?}", number.as_f64()),
        Value::Array(items) => format!("[{}]", items.iter().map(key).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let mut members: Vec<String> = members.iter().map(|(name, value)| format!("{name:?}:{}", key(value))).collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}

fn same(mode: &Value, wanted: &Value, found: &Value) -> bool {
    let sorted = |value: &Value| {
        let mut keys: Vec<String> = value.as_array().into_iter().flatten().map(key).collect();
        keys.sort();
        keys
    };
    match mode.as_str() {
        Some("ignore") => true,
        Some("multiset") => sorted(wanted) == sorted(found),
        _ => key(wanted) == key(found),
    }
}

/// A body as it is compared: JSON where it is JSON, pairs where it is a form.
fn body(value: &Value) -> Value {
    let pairs = |pairs: Vec<(String, String)>| {
        let mut pairs = pairs;
        pairs.sort();
        json!(pairs)
    };
    match value {
        Value::Null => Value::Null,
        Value::Object(map) if map.len() == 1 && map.contains_key("json") => map["json"].clone(),
        Value::Object(map) if map.len() == 1 && map.contains_key("form") => {
            pairs(map["form"].as_array().unwrap().iter().map(|pair| (plain(&pair[0]), plain(&pair[1]))).collect())
        }
        Value::Object(map) if map.len() == 1 && map.contains_key("text") => body(&map["text"]),
        Value::String(text) if text.is_empty() => Value::Null,
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(value) if value.is_object() || value.is_array() => value,
            _ if text.contains('=') && !text.contains([' ', '\n']) => {
                let url = headwater_sdk::http::Url::parse(&format!("http://x/?{text}")).unwrap();
                pairs(url.query_pairs().into_owned().collect())
            }
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

fn requests(list: &Value, headers: &[String]) -> Value {
    let one = |request: &Value| {
        let kept: Map<String, Value> = request["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.to_lowercase(), value.clone()))
            .filter(|(name, _)| name != "content-type" && headers.contains(name))
            .collect();
        let mut query: Vec<(String, String)> =
            request["query"].as_array().into_iter().flatten().map(|pair| (plain(&pair[0]), plain(&pair[1]))).collect();
        query.sort();
        let url = request["url"].as_str().unwrap().split('?').next().unwrap();
        json!({ "method": request["method"], "url": url, "query": query, "headers": kept, "body": body(&request["body"]) })
    };
    Value::Array(list.as_array().into_iter().flatten().map(one).collect())
}

fn origins(text: &str) -> Vec<String> {
    let found = regex::Regex::new(r"https?://[A-Za-z0-9.-]+(:\d+)?").unwrap();
    let mut all: Vec<String> =
        found.find_iter(text).map(|found| found.as_str().to_owned()).filter(|url| !url.contains("json-schema")).collect();
    all.sort();
    all.dedup();
    // A longer one first, so that none is taken for the beginning of another.
    all.sort_by_key(|origin| std::cmp::Reverse(origin.len()));
    all
}

/// What runs a case.
#[derive(Clone, Copy)]
enum By {
    /// The importer in this process.
    Tool,
    /// The program, as `headwater read --manifest`.
    Program(&'static str),
}

/// Runs a case; what differs from the recording.
async fn differences(by: By, text: String) -> Vec<String> {
    // The order of members counts in a manifest, and this reader keeps it.
    let ordered = crate::engine::json::parse(text.as_bytes()).unwrap();
    let case: Arc<Value> = Arc::new(serde_json::from_str(&text).unwrap());
    let mut servers = BTreeMap::new();
    for origin in origins(&case.to_string()) {
        servers.insert(origin, MockServer::start().await);
    }
    let ports: Arc<BTreeMap<String, String>> =
        Arc::new(servers.iter().map(|(origin, server)| (origin.clone(), server.uri())).collect());
    let (used, log) = (Arc::default(), Arc::<Mutex<Vec<Value>>>::default());
    for (origin, server) in &servers {
        let (origin, ports, used) = (origin.clone(), Arc::clone(&ports), Arc::clone(&used));
        let script = Script { origin, case: Arc::clone(&case), ports, used, log: Arc::clone(&log) };
        Mock::given(matchers::any()).respond_with(script).mount(server).await;
    }
    let bytes = |value: &Value| there(&value.to_string(), &ports).into_bytes();
    let streams: Vec<Value> = case["streams"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|stream| json!({ "stream": { "name": stream[0] }, "sync_mode": stream[1] }))
        .collect();
    let read = case["op"] == "read";
    let files = Files {
        manifest: there(&ordered.get("manifest").unwrap().to_json(), &ports).into_bytes(),
        config: there(&ordered.get("config").unwrap().to_json(), &ports).into_bytes(),
        catalog: read.then(|| bytes(&json!({ "streams": streams }))),
        state: case["state"].as_object().filter(|state| read && !state.is_empty()).map(|_| bytes(&case["state"])),
    };
    let (succeeded, out) = match by {
        By::Tool => in_process(&case, files).await,
        By::Program(program) => of_program(program, &case, files).await,
    };
    let text = back(&String::from_utf8(out).unwrap(), &ports);
    let messages: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let log = Value::Array(log.lock().unwrap().clone());
    compared(&case, &messages, succeeded, &log)
}

/// What a read is told of.
struct Files {
    manifest: Vec<u8>,
    config: Vec<u8>,
    catalog: Option<Vec<u8>>,
    state: Option<Vec<u8>>,
}

/// Whether a case succeeds, and what is written.
async fn in_process(case: &Value, Files { manifest, config, catalog, state }: Files) -> (bool, Vec<u8>) {
    let pause = Pause::virtual_time();
    let (start, passed): (jiff::Timestamp, _) = (case["frozen_time"].as_str().unwrap().parse().unwrap(), pause.clone());
    let clock = Clock::new(move || start + passed.elapsed());
    let cx = BuildContext { clock, base_dir: ".".into(), env: Arc::new(|_| None), allow_private_hosts: false };
    let tool = Tool {
        manifest,
        config,
        catalog,
        state,
        around: Surroundings { cx, pause, allow_hosts: vec!["127.0.0.1".to_owned()], sequential: true },
    };
    let operation = match case["op"].as_str().unwrap() {
        "check" => Operation::Check,
        "discover" => Operation::Discover,
        _ => Operation::Read,
    };
    let mut out = Vec::new();
    let mut emit = |lines: &[u8]| {
        out.extend_from_slice(lines);
        Ok(())
    };
    let done = tool.run(operation, &mut emit).await;
    (matches!(done, Ok(true)), out)
}

/// How many programs run at once.
static PROGRAMS: Semaphore = Semaphore::const_new(4);

async fn of_program(program: &str, case: &Value, Files { manifest, config, catalog, state }: Files) -> (bool, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let word = |name: &str| case[name].as_str().unwrap().to_owned();
    let mut args = vec!["read".to_owned(), "--operation".to_owned(), word("op"), "--now".to_owned(), word("frozen_time")];
    args.extend(["--allow-host", "127.0.0.1"].map(str::to_owned));
    for (name, bytes) in [("manifest", Some(manifest)), ("config", Some(config)), ("catalog", catalog), ("state", state)] {
        let Some(bytes) = bytes else { continue };
        let path = folder.path().join(format!("{name}.json"));
        std::fs::write(&path, bytes).unwrap();
        args.extend([format!("--{name}"), path.display().to_string()]);
    }
    let _turn = PROGRAMS.acquire().await.unwrap();
    let run = tokio::process::Command::new(program).args(&args).current_dir(folder.path()).output().await.unwrap();
    (run.status.success(), run.stdout)
}

fn compared(case: &Value, messages: &[Value], succeeded: bool, log: &Value) -> Vec<String> {
    let (expected, modes) = (&case["expect"], &case["compare"]);
    let of = |kind: &str| messages.iter().filter(|message| message["type"] == kind).collect::<Vec<_>>();
    let mut wrong = Vec::new();
    let mut differs = |mode: &Value, what: &str, wanted: &Value, found: &Value| {
        if !same(mode, wanted, found) {
            wrong.push(format!("{}: {what}\n  wanted {wanted}\n  found  {found}", case["id"]));
        }
    };
    let wanted = expected["requests"].as_array().cloned().unwrap_or_default();
    let headers: Vec<String> = wanted
        .iter()
        .flat_map(|one| one["headers"].as_object().into_iter().flatten().map(|(name, _)| name.to_lowercase()))
        .collect();
    differs(&modes["requests"], "requests", &requests(&expected["requests"], &headers), &requests(log, &headers));
    match case["op"].as_str().unwrap() {
        "check" => {
            let status =
                expected["check"].get("status").unwrap_or(&expected["check"]).as_str().unwrap().split('.').next_back().unwrap();
            differs(&Value::Null, "status", &json!(status), &of("CONNECTION_STATUS")[0]["connectionStatus"]["status"]);
        }
        "discover" => {
            let wanted: Vec<Value> = expected["catalog"]
                .as_array()
                .unwrap()
                .iter()
                .map(|stream| json!([stream["name"], stream["json_schema"]]))
                .collect();
            let found = of("CATALOG")[0]["catalog"]["streams"].as_array().unwrap().clone();
            let found: Vec<Value> = found.iter().map(|stream| json!([stream["name"], stream["json_schema"]])).collect();
            differs(&json!("multiset"), "catalog", &json!(wanted), &json!(found));
        }
        _ => {
            let records: Vec<Value> = of("RECORD")
                .iter()
                .map(|message| json!({ "stream": message["record"]["stream"], "data": message["record"]["data"] }))
                .collect();
            differs(&modes["records"], "records", &expected["records"], &json!(records));
            let mut states = Map::new();
            for message in of("STATE") {
                let stream = &message["state"]["stream"];
                states.insert(plain(&stream["stream_descriptor"]["name"]), stream["stream_state"].clone());
            }
            if let Some(wanted) = expected.get("final_state") {
                differs(&modes["final_state"], "state", wanted, &Value::Object(states));
            }
            let failed =
                expected["errors"].as_array().is_some_and(|errors| !errors.is_empty()) || !expected["exception"].is_null();
            differs(&Value::Null, "success", &json!(!failed), &json!(succeeded));
        }
    }
    wrong
}

async fn all_agree(by: By) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/lowcode/read");
    let mut running: JoinSet<Vec<String>> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| differences(by, std::fs::read_to_string(entry.unwrap().path()).unwrap()))
        .collect();
    assert_eq!(running.len(), 91);
    let mut wrong = Vec::new();
    while let Some(differences) = running.join_next().await {
        wrong.extend(differences.unwrap());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_reads_agree() {
    all_agree(By::Tool).await;
}

mod live {
    use super::*;

    /// The program is not built for a test of this package: `./test` builds it, and says where it is.
    #[tokio::test(flavor = "multi_thread")]
    async fn recorded_reads_agree_through_the_program() {
        all_agree(By::Program(headwater_sdk::testkit::live("HEADWATER_TEST_BINARY").leak())).await;
    }
}
