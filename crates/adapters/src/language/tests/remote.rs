//! A remote that answers as a test says, and a connection to it whose waits pass at once.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use headwater_model::checkpoint::Checkpoint;
use headwater_sdk::http::Pause;
use headwater_sdk::testkit::{Breach, Collected, collect};
use headwater_sdk::{BuildContext, Clock, Error, Source as _, StreamSpec};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::engine::Value;
use crate::language::compile::{Setup, compile};
use crate::language::load::Document;
use crate::language::source::DeclarativeSource;

/// When the tests take place.
pub(super) const NOW: &str = "2026-02-01T00:00:00Z";

/// Answers in order; the last one stays.
#[derive(Clone)]
struct Script(Arc<Mutex<VecDeque<ResponseTemplate>>>);

impl Respond for Script {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let mut answers = self.0.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers.front().unwrap().clone() }
    }
}

/// A remote and a connection to it.
pub(super) struct Remote {
    pub(super) server: MockServer,
    pub(super) pause: Pause,
}

pub(super) fn json(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body.to_owned(), "application/json")
}

pub(super) fn status(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status)
}

/// A file with these parts of `api` and of the stream `people`.
pub(super) fn file(api: &str, stream: &str) -> String {
    format!(
        "version: 1\nname: shop\ntitle: Shop\nsummary: reads people\nconnection:\n  url: {{ type: url, about: The server. }}\n  secret: {{ type: secret, about: A secret. }}\nhosts: [\"${{connection.url}}\"]\napi:\n  url: ${{connection.url}}\n{api}streams:\n  people:\n{stream}    key: record.id\n    fields: {{ id: , name: }}\n    map: {{ external_id: id, full_name: name }}\n"
    )
}

/// A stream without anything but a request.
pub(super) const PLAIN: &str = "    request: { path: /people }\n    records: { from: response }\n";

impl Remote {
    pub(super) async fn answering(answers: impl IntoIterator<Item = ResponseTemplate>) -> Self {
        let server = MockServer::start().await;
        let script = Script(Arc::new(Mutex::new(answers.into_iter().collect())));
        Mock::given(any()).respond_with(script).mount(&server).await;
        Self { server, pause: Pause::virtual_time() }
    }

    pub(super) fn at(url: &str, file: &str, secret: &str, pause: &Pause) -> DeclarativeSource {
        let (document, spec) = Document::parse("shop.yaml", file).unwrap();
        let config = [("url", Value::text(url)), ("secret", Value::text(secret))].into_iter().collect();
        let host = url.split_once("://").unwrap().1.to_owned();
        let setup = Setup { config: Value::Map(config), hosts: vec![host], allow_private: true, ..Setup::default() };
        let compiled = compile(&document, &spec, setup).unwrap_or_else(|error| panic!("{error}\n{file}"));
        let (passed, start) = (pause.clone(), NOW.parse::<jiff::Timestamp>().unwrap());
        let clock = Clock::new(move || start + passed.elapsed());
        let cx = BuildContext { clock, base_dir: PathBuf::from("."), env: Arc::new(|_| None), allow_private_hosts: true };
        DeclarativeSource::new(compiled, &cx, pause.clone()).unwrap()
    }

    pub(super) fn source(&self, file: &str) -> DeclarativeSource {
        Self::at(&self.server.uri(), file, "hunter2", &self.pause)
    }

    /// Reads the stream, after a position if there is one.
    pub(super) async fn read(&self, file: &str, from: Option<Checkpoint>) -> Result<Collected, Breach> {
        let source = self.source(file);
        let stream = people(&source).await;
        collect(&source, &stream, from).await
    }

    pub(super) async fn all(&self, file: &str) -> Collected {
        self.read(file, None).await.unwrap_or_else(|breach| panic!("{breach}"))
    }

    pub(super) async fn failure(&self, file: &str) -> Error {
        match self.read(file, None).await {
            Err(Breach::Source(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    /// The paths and queries that were asked for since the last time, in order.
    pub(super) async fn asked(&self) -> Vec<String> {
        let requests = self.requests().await;
        let text = |request: &Request| {
            let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
            format!("{}{query}", request.url.path())
        };
        requests.iter().map(text).collect()
    }

    pub(super) async fn requests(&self) -> Vec<Request> {
        self.server.received_requests().await.unwrap()
    }
}

pub(super) async fn people(source: &DeclarativeSource) -> StreamSpec {
    source.streams().await.unwrap().remove(0)
}
