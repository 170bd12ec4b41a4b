//! A server on a free port, a client that knows it, and a log that does what the test says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_runtime::intake::{Appended, BuildContext, Clock, Delivery, Endpoint, IntakeLog, IntakeRecord, LogError};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{AppState, LastRun, Setup, serve};

pub(super) const NOW_SECS: i64 = 1_790_000_000;
pub(super) const TOKEN: &str = "0123456789abcdef01234567";
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(super) const MARK: &str = "ada.mark@example.com";

/// What the log does with the next appends.
#[derive(Clone, Copy)]
pub(super) enum Mood {
    Keeps,
    Busy,
    DiskFull,
    Fails,
    Hangs,
    Panics,
}

/// A log in memory.
pub(super) struct Log {
    kept: Mutex<Vec<IntakeRecord>>,
    mood: Mutex<Mood>,
    /// Appends take a permit each; a test that holds them back decides when an append ends.
    pub(super) gate: Semaphore,
    entered: AtomicUsize,
}

impl Log {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::default(),
            mood: Mutex::new(Mood::Keeps),
            gate: Semaphore::new(1_000),
            entered: AtomicUsize::new(0),
        })
    }

    pub(super) fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Ends when an append has begun.
    pub(super) async fn entered(&self) {
        while self.entered.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn kept(&self) -> Vec<IntakeRecord> {
        self.kept.lock().unwrap().clone()
    }
}

#[async_trait]
impl IntakeLog for Log {
    async fn append(&self, record: IntakeRecord) -> Result<Appended, LogError> {
        let mood = *self.mood.lock().unwrap();
        self.entered.fetch_add(1, Ordering::SeqCst);
        match mood {
            Mood::Keeps => {}
            Mood::Busy => return Err(LogError::Busy),
            Mood::DiskFull => return Err(LogError::DiskFull),
            Mood::Fails => return Err(LogError::Unavailable("broken".into())),
            Mood::Hangs => std::future::pending().await,
            Mood::Panics => panic!("a log that panics"),
        }
        self.gate.acquire().await.unwrap().forget();
        let mut kept = self.kept.lock().unwrap();
        let same = |old: &IntakeRecord| old.source == record.source && old.delivery_key == record.delivery_key;
        if let Some(at) = kept.iter().position(same) {
            return Ok(Appended { seq: i64::try_from(at).unwrap() + 1, duplicate: true });
        }
        kept.push(record);
        Ok(Appended { seq: i64::try_from(kept.len()).unwrap(), duplicate: false })
    }

    async fn after(&self, _: &str, _: i64, _: usize) -> Result<Vec<Delivery>, LogError> {
        Ok(Vec::new())
    }

    async fn depth(&self) -> Result<BTreeMap<String, u64>, LogError> {
        match *self.mood.lock().unwrap() {
            Mood::Keeps => Ok(BTreeMap::from([("typeform".to_owned(), 3)])),
            Mood::Hangs => Err(LogError::Busy),
            Mood::Busy | Mood::DiskFull | Mood::Fails | Mood::Panics => Err(LogError::DiskFull),
        }
    }
}

/// A server on a free port, and a client that knows it.
pub(super) struct Site {
    pub(super) base: String,
    client: Client,
    pub(super) state: AppState,
    pub(super) shutdown: CancellationToken,
    pub(super) tell_run: watch::Sender<Option<LastRun>>,
    pub(super) server: JoinSet<std::io::Result<()>>,
}

impl Site {
    pub(super) async fn over(log: Arc<dyn IntakeLog>) -> Self {
        let (tell_run, last_run) = watch::channel(None);
        let at = jiff::Timestamp::from_second(NOW_SECS).unwrap();
        let retired = BTreeSet::from(["renamed".to_owned()]);
        let setup = Setup { endpoints: endpoints(), retired, log, clock: Clock::fixed(at), last_run };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let mut server = JoinSet::new();
        let state = AppState::new(setup);
        server.spawn(serve(listener, state.clone(), shutdown.clone()));
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { base, client, state, shutdown, tell_run, server }
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    pub(super) fn json(&self, path: &str, body: &str) -> RequestBuilder {
        self.post(path).header("content-type", "application/json").body(body.to_owned())
    }

    pub(super) fn form(&self, path: &str, body: &str) -> RequestBuilder {
        self.post(path).header("content-type", "application/x-www-form-urlencoded").body(body.to_owned())
    }

    pub(super) fn typeform(&self, body: &str) -> RequestBuilder {
        self.json("/in/typeform", body).header("typeform-signature", format!("sha256={}", hmac64(b"typeform-secret", body)))
    }

    pub(super) fn standard(&self, id: &str, at_secs: i64, body: &str) -> RequestBuilder {
        let key = STANDARD.decode(WHSEC.trim_start_matches("whsec_")).unwrap();
        self.json("/in/standard", body)
            .header("webhook-id", id)
            .header("webhook-timestamp", at_secs.to_string())
            .header("webhook-signature", format!("v1,{}", hmac64(&key, &format!("{id}.{at_secs}.{body}"))))
    }

    pub(super) async fn head(&self, path: &str) -> Response {
        self.client.head(format!("{}{path}", self.base)).send().await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap()
    }
}

pub(super) fn hmac64(key: &[u8], signed: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

pub(super) fn hex_hmac(key: &[u8], signed: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn endpoints() -> BTreeMap<String, Endpoint> {
    let settings = json!({
        "typeform": { "signature": { "type": "typeform", "secret": { "env": "typeform-secret" } }, "max_body_bytes": 1024 },
        "standard": { "signature": { "type": "standard_webhooks", "secret": { "env": WHSEC } } },
        "linkedin": { "signature": { "type": "linkedin", "secret": { "env": "linkedin-secret" } }, "provider": "linkedin" },
        "meta": {
            "signature": { "type": "meta", "secret": { "env": "S" }, "verify_token": { "env": "verify-me" } }, "provider": "meta",
        },
        "mailchimp": { "signature": { "type": "none", "token": { "env": TOKEN } }, "provider": "mailchimp" },
        "mailgun": { "signature": { "type": "mailgun", "secret": { "env": "mailgun-key" } }, "provider": "mailgun" },
        "tokened": { "signature": { "type": "none", "token": { "env": TOKEN } } },
        "public": { "signature": { "type": "none" }, "redirect": "https://www.example.com/thanks", "honeypot": "url" },
        "plain": { "signature": { "type": "none" } },
        "narrow": { "signature": { "type": "none" }, "unsigned_per_minute": 1 },
        "paused": { "signature": { "type": "none" }, "paused": true },
    });
    let cx = BuildContext {
        clock: Clock::fixed(jiff::Timestamp::UNIX_EPOCH),
        base_dir: PathBuf::new(),
        // In these tests a variable's name is its value.
        env: Arc::new(|name| Some(name.to_owned())),
        allow_private_hosts: false,
    };
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    settings
        .into_iter()
        .map(|(name, value)| (name, Endpoint::new(serde_json::from_value(value).unwrap(), &cx).unwrap()))
        .collect()
}

/// Sends, and gives the status and the `code` or `status` of the answer.
pub(super) async fn answer(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let is_error = !response.status().is_success();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    if is_error {
        assert_eq!((kind.as_str(), &body["status"]), ("application/problem+json", &json!(status)));
    }
    (status, body[if is_error { "code" } else { "status" }].as_str().unwrap().to_owned())
}

pub(super) fn said(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
