use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt as _;
use headwater_model::checkpoint::Checkpoint;
use headwater_sdk::testkit::collect;
use headwater_sdk::{BuildContext, Clock, ConfigDoc, Connector as _, ErrorKind, Source, SourceEvent, StreamSpec};
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::language::Declarative;

const FILE: &str = r#"version: 1
name: shop
title: Shop
summary: reads people
connection:
  url: { type: url, about: The server. }
  token: { type: secret, about: A token. }
hosts: ["${connection.url}"]
api:
  url: ${connection.url}/v1
  auth: { type: bearer, token: "${connection.token}" }
  budget: { concurrent: 1 }
streams:
  people:
    request:
      path: /people
      query: { limit: "${page.size}", offset: "${page.offset}", since: "${cursor.start}" }
    paging: { type: offset, size: 2 }
    records: { from: response.people }
    cursor: { type: integer, value: record.version }
    key: record.id
    fields: { id: , version: }
    map: { external_id: id }
"#;
const PAGES: usize = 2_000;

/// `pages` pages of two people.
struct People {
    pages: usize,
    asked: Arc<AtomicUsize>,
}

impl Respond for People {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let asked = |name: &str| {
            let found = request.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
            found.and_then(|value| value.parse::<usize>().ok())
        };
        let (from, since) = (asked("offset").unwrap(), asked("since"));
        let known: Vec<usize> = (0..self.pages * 2 - 1).filter(|n| since.is_none_or(|since| *n >= since)).collect();
        let people: Vec<_> = known.iter().skip(from).take(2).map(|n| json!({"id": format!("p{n}"), "version": n})).collect();
        ResponseTemplate::new(200).set_body_json(json!({ "people": people }))
    }
}

fn cx() -> BuildContext {
    BuildContext {
        clock: Clock::fixed("2026-02-01T00:00:00Z".parse().unwrap()),
        base_dir: PathBuf::from("."),
        env: Arc::new(|name| (name == "TOKEN").then(|| "secret".to_owned())),
        allow_private_hosts: true,
    }
}

fn connection(values: &serde_json::Value) -> ConfigDoc {
    ConfigDoc { connection: "shop".to_owned(), values: values.as_object().unwrap().clone() }
}

async fn serve(pages: usize) -> (MockServer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(People { pages, asked: Arc::clone(&asked) }).mount(&server).await;
    (server, asked)
}

fn source(server: &MockServer) -> Box<dyn Source> {
    let shop = Declarative::parse("shop.yaml", FILE, "").unwrap();
    shop.source(&connection(&json!({ "url": server.uri(), "token": { "env": "TOKEN" } })), &cx()).unwrap()
}

async fn people(source: &dyn Source) -> StreamSpec {
    source.streams().await.unwrap().remove(0)
}

#[tokio::test]
async fn a_kill_after_a_thousand_of_two_thousand_pages_asks_again_only_for_what_was_in_flight() {
    let (server, asked) = serve(PAGES).await;
    let killed = source(&server);
    let stream = people(killed.as_ref()).await;
    let mut events = killed.read(&stream, None).await.unwrap();
    let (mut pages, mut rows, mut last) = (0, 0, None::<Checkpoint>);
    while pages < PAGES / 2 {
        match events.next().await.unwrap().unwrap() {
            SourceEvent::Page(page) => rows += page.rows(),
            SourceEvent::Whole { .. } => {}
            SourceEvent::Checkpoint(checkpoint) => {
                pages += 1;
                last = Some(checkpoint);
            }
        }
    }
    drop((events, killed));
    assert_eq!(rows, PAGES);
    let stored = serde_json::to_string(&last).unwrap();
    assert!(stored.len() < 300, "a checkpoint stays small: {stored}");
    let again = source(&server);
    let rest = collect(again.as_ref(), &stream, serde_json::from_str(&stored).unwrap()).await.unwrap();
    assert_eq!(rows + rest.rows.len(), PAGES * 2 - 1, "nothing is lost and nothing comes twice");
    assert_eq!(rest.keys().first(), Some(&format!("p{rows}").as_str()));
    let asked = asked.load(Ordering::Relaxed);
    assert!((PAGES..=PAGES + 1).contains(&asked), "{asked} requests");
}

#[tokio::test]
async fn the_next_read_asks_from_the_furthest_position() {
    let (server, asked) = serve(3).await;
    let source = source(&server);
    let stream = people(source.as_ref()).await;
    let all = collect(source.as_ref(), &stream, None).await.unwrap();
    assert_eq!(all.keys(), ["p0", "p1", "p2", "p3", "p4"]);
    asked.store(0, Ordering::Relaxed);
    let next = collect(source.as_ref(), &stream, all.last()).await.unwrap();
    assert_eq!((next.keys(), asked.load(Ordering::Relaxed)), (vec!["p4"], 1));
}

#[tokio::test]
async fn settings_are_checked_and_a_secret_is_never_shown() {
    let shop = Declarative::parse("shop.yaml", FILE, "").unwrap();
    let token = json!({ "env": "TOKEN" });
    for (values, path) in [
        (json!({ "url": "https://api.shop.example" }), "."),
        (json!({ "url": "https://api.shop.example", "token": "hunter2" }), "token"),
        (json!({ "url": "ftp://api.shop.example", "token": token }), "url"),
        (json!({ "url": 7, "token": token }), "url"),
        (json!({ "url": "https://api.shop.example", "token": token, "toekn": token }), "toekn"),
    ] {
        let error = shop.source(&connection(&values), &cx()).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.config_path()), (ErrorKind::Config, Some(path)), "{values}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    let made = shop.source(&connection(&json!({ "url": "https://api.shop.example", "token": token })), &cx()).map(drop);
    assert!(made.is_ok());
}

#[tokio::test]
async fn a_next_page_on_another_host_is_not_asked_for() {
    let server = MockServer::start().await;
    let answer = json!({ "people": [{ "id": "p1", "version": 1 }], "next": "https://evil.example/people?page=2" });
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(answer)).mount(&server).await;
    let file = FILE.replace("{ type: offset, size: 2 }", "{ type: next_url, next: response.next }");
    let file = file.replace(r#"limit: "${page.size}", offset: "${page.offset}", "#, "");
    let shop = Declarative::parse("shop.yaml", &file, "").unwrap();
    let values = json!({ "url": server.uri(), "token": { "env": "TOKEN" } });
    let source = shop.source(&connection(&values), &cx()).unwrap();
    let breach = collect(source.as_ref(), &people(source.as_ref()).await, None).await.unwrap_err();
    assert!(breach.to_string().contains("does not declare"), "{breach}");
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}
