//! Files in object stores, behind a server that answers as they do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use headwater_model::checkpoint::Checkpoint;
use headwater_sdk::testkit::{check_source_contract, collect};
use headwater_sdk::{BuildContext, Clock, ConfigDoc, Connector, Error, ErrorKind, Source};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// What a bucket holds: name → content. Its listing has two files a page.
#[derive(Clone, Default)]
struct Bucket(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

const KEY: &str = "AKIAEXAMPLE";

impl Bucket {
    fn put(&self, name: &str, content: &str) {
        self.0.lock().unwrap().insert(name.to_owned(), content.as_bytes().to_vec());
    }

    fn list(&self, prefix: &str, after: &str, is_azure: bool) -> ResponseTemplate {
        let files = self.0.lock().unwrap();
        let mut below = files.iter().filter(|(name, _)| name.starts_with(prefix) && name.as_str() > after);
        let page: Vec<_> = below.by_ref().take(2).collect();
        let next = below.next().and(page.last()).map(|(name, _)| (*name).clone()).unwrap_or_default();
        let entry = |(name, content): &(&String, &Vec<u8>)| {
            let (size, tag) = (content.len(), tag(content));
            if is_azure {
                format!(
                    "<Blob><Name>{name}</Name><Properties><Last-Modified>Sat, 03 Jan 2026 10:30:00 GMT</Last-Modified><Etag>{tag}</Etag><Content-Length>{size}</Content-Length></Properties></Blob>"
                )
            } else {
                format!(
                    "<Contents><Key>{name}</Key><LastModified>2026-01-03T10:30:00.000Z</LastModified><ETag>&quot;{tag}&quot;</ETag><Size>{size}</Size></Contents>"
                )
            }
        };
        let entries: String = page.iter().map(entry).collect();
        let xml = if is_azure {
            format!("<EnumerationResults><Blobs>{entries}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>")
        } else {
            format!("<ListBucketResult>{entries}<NextContinuationToken>{next}</NextContinuationToken></ListBucketResult>")
        };
        ResponseTemplate::new(200).set_body_raw(xml, "application/xml")
    }
}

fn tag(content: &[u8]) -> String {
    blake3::hash(content).to_hex().chars().take(8).collect()
}

impl Respond for Bucket {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let query: BTreeMap<String, String> = request.url.query_pairs().into_owned().collect();
        let is_azure = request.headers.contains_key("x-ms-version");
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_signed = if is_azure {
            query.get("sig").is_some_and(|sig| sig == "a+b=")
        } else {
            header("authorization").starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY}/20261101/eu-west-3/s3/aws4_request"))
        };
        if !is_signed {
            return ResponseTemplate::new(403);
        }
        let path = request.url.path().strip_prefix("/leads").unwrap();
        if path.is_empty() {
            let after = query.get("continuation-token").or(query.get("marker")).cloned().unwrap_or_default();
            return self.list(query.get("prefix").map_or("", String::as_str), &after, is_azure);
        }
        let files = self.0.lock().unwrap();
        let name = path.trim_start_matches('/').replace("%20", " ");
        let Some(content) = files.get(&name) else { return ResponseTemplate::new(404) };
        if header("if-match") != format!("\"{}\"", tag(content)) {
            return ResponseTemplate::new(412);
        }
        let (start, end) = header("range").strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
        ResponseTemplate::new(206).set_body_bytes(&content[start..=end])
    }
}

async fn store() -> (MockServer, Bucket) {
    let (server, bucket) = (MockServer::start().await, Bucket::default());
    Mock::given(any()).respond_with(bucket.clone()).mount(&server).await;
    (server, bucket)
}

fn source(server: &MockServer, path: &str, more: Value) -> Result<Box<dyn Source>, Error> {
    let mut config = json!({ "path": path, "storage": {
        "endpoint": server.uri(), "region": "eu-west-3", "access_key": { "env": KEY }, "secret_key": { "env": "secret" }, "sas": { "env": "?sv=1&sig=a%2Bb%3D" },
    } });
    let Value::Object(more) = more else { unreachable!() };
    for (key, value) in more {
        config[key] = value;
    }
    let Value::Object(values) = config else { unreachable!() };
    let cx = BuildContext {
        clock: Clock::fixed("2026-11-01T00:00:00Z".parse().unwrap()),
        base_dir: ".".into(),
        env: Arc::new(|name| Some(name.to_owned())),
        allow_private_hosts: true,
    };
    crate::file::File.source(&ConfigDoc { connection: "list".to_owned(), values }, &cx)
}

/// The addresses read, and the last checkpoint.
async fn emails(source: &dyn Source, from: Option<Checkpoint>) -> (Vec<String>, Option<Checkpoint>) {
    let stream = source.streams().await.unwrap().remove(0);
    let read = collect(source, &stream, from).await.unwrap();
    (read.rows.iter().map(|row| row.get("Email").to_owned()).collect(), read.last())
}

#[tokio::test]
async fn files_of_s3_and_azure_are_found_by_pattern_and_keep_the_contract() {
    let (server, bucket) = store().await;
    bucket.put("in/a b.csv", "Email,Name\na@example.com,A\nb@example.com,B\n");
    bucket.put("in/2026/01/c.csv", "Name,Email,Id\nC,c@example.com,00501\n");
    bucket.put("in/d.csv", "Email\nd@example.com\n");
    bucket.put("in/e.pdf", "no list");
    bucket.put("other/f.csv", "Email\nf@example.com\n");
    for path in ["s3://leads/in/**/*.csv", "az://account/leads/in/**/*.csv", "gs://leads/in/**/*.csv"] {
        let source = source(&server, path, json!({ "checkpoint_rows": 1 })).unwrap();
        let read = check_source_contract(source.as_ref(), "records", 0).await.unwrap();
        let all: Vec<&str> = read.rows.iter().map(|row| row.get("Email")).collect();
        assert_eq!(all, ["c@example.com", "a@example.com", "b@example.com", "d@example.com"], "{path}");
    }
}

#[tokio::test]
async fn new_and_changed_files_are_read_and_known_ones_are_not() {
    let (server, bucket) = store().await;
    bucket.put("a.csv", "Email\na@example.com\n");
    bucket.put("b.csv", "Email\nb@example.com\n");
    let source = source(&server, "s3://leads/*.csv", json!({})).unwrap();
    let (first, at) = emails(source.as_ref(), None).await;
    assert_eq!(first.len(), 2);
    let asked = server.received_requests().await.unwrap().len();
    assert_eq!(emails(source.as_ref(), at.clone()).await.0, [""; 0]);
    let gets = server.received_requests().await.unwrap().len() - asked;
    assert_eq!(gets, 4, "two listings and two heads, no file");
    // The same size at the same time: only its tag tells that it changed.
    bucket.put("a.csv", "Email\nA@example.com\n");
    bucket.put("c.csv", "Email\nc@example.com\n");
    assert_eq!(emails(source.as_ref(), at).await.0, ["A@example.com", "c@example.com"]);
}

#[tokio::test]
async fn a_file_of_several_parts_arrives_whole() {
    let (server, bucket) = store().await;
    let line = format!("{},x@example.com\n", "y".repeat(1_000));
    let content = format!("Note,Email\n{}", line.repeat(9_000));
    assert!(content.len() > 8 * 1024 * 1024);
    bucket.put("a.csv", &content);
    let source = source(&server, "s3://leads/a.csv", json!({})).unwrap();
    assert_eq!(emails(source.as_ref(), None).await.0.len(), 9_000);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_and_the_others_are_read() {
    use futures::StreamExt as _;
    let (server, bucket) = store().await;
    bucket.put("a.csv", "ann@example.com,no header\n");
    bucket.put("b.csv", "Email\nb@example.com\n");
    let source = source(&server, "s3://leads/*.csv", json!({})).unwrap();
    let stream = source.streams().await.unwrap().remove(0);
    assert!(stream.notes.as_ref().unwrap().contains("s3://leads/a.csv cannot be read"), "{:?}", stream.notes);
    let events: Vec<_> = source.read(&stream, None).await.unwrap().collect().await;
    assert_eq!(events.iter().filter(|event| event.is_ok()).count(), 2, "a page and a checkpoint");
    let error = events.into_iter().find_map(Result::err).unwrap();
    assert!(error.to_string().contains("a.csv") && !error.to_string().contains("ann@"), "{error}");
}

#[tokio::test]
async fn wrong_settings_are_told_apart() {
    let (server, bucket) = store().await;
    bucket.put("a.csv", "Email\n");
    for (path, more, kind) in [
        ("s3://leads", json!({}), ErrorKind::Config),
        ("az://account/leads", json!({}), ErrorKind::Config),
        ("s3://leads/*.csv", json!({ "storage": { "endpoint": server.uri(), "access_key": { "env": KEY } } }), ErrorKind::Config),
        ("s3://leads/*.csv", json!({ "storage": { "endpoint": server.uri() } }), ErrorKind::Auth),
        ("s3://leads/*.xlsx", json!({}), ErrorKind::Config),
    ] {
        let error = match source(&server, path, more.clone()) {
            Ok(source) => source.check().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), kind, "{path} {more}: {error}");
    }
}
