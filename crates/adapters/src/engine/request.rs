//! Makes requests out of a plan, sends them within every bound, and judges the answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater_sdk::http::header::{HeaderName, HeaderValue};
use headwater_sdk::http::{Body, HttpClient, HttpResponse, HttpSettings, Pause, RequestSpec, Url};
use headwater_sdk::{BuildContext, Clock, Error, ErrorKind, Result, Retry};

use super::auth::Tokens;
use super::budget::{Budget, Sent};
use super::credential::{Credential, basic};
use super::decode::decode;
use super::expr::{Expr, Scope, Slice};
use super::plan::{Action, Auth, BodyPlan, HostRules, Inject, Requester, SourcePlan};
use super::rules::{Answer, Verdict, judge};
use super::value::{Map, Value};

/// The status by which a remote tells that it was asked too often.
const TOO_MANY: u16 = 429;

/// What the executor and all its reads share.
pub(super) struct Shared {
    pub(super) plan: Arc<SourcePlan>,
    pub(super) clock: Clock,
    pub(super) pause: Pause,
    cx: BuildContext,
    clients: Arc<Mutex<HashMap<String, HttpClient>>>,
    pub(super) tokens: Arc<Tokens>,
    budget: Arc<Budget>,
    /// How many answers said nothing to this read: passed over by a rule, or empty.
    silent: AtomicU64,
    /// What its requests cost, told from all clones.
    spent: Arc<AtomicU64>,
}

/// What a request is made for, beside its requester.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) slice: Option<&'a Slice>,
    pub(super) next_page_token: Option<&'a Value>,
    /// Values and the places where the request says them.
    pub(super) inject: &'a [(Inject, Value)],
    pub(super) more: &'a [(&'a str, &'a Value)],
    /// Whether it must not be sent again when nobody knows what became of it.
    pub(super) once: bool,
}

/// A judged answer.
pub(super) struct Page {
    pub(super) body: Value,
    /// Its headers as expressions see them.
    pub(super) headers: Value,
    pub(super) status: u16,
    /// Whether its records count.
    pub(super) taken: bool,
    /// Whether paging begins anew.
    pub(super) reset: bool,
}

/// A request before it is sent.
#[derive(Default)]
struct Draft {
    url: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    form: Vec<(String, String)>,
    json: Option<Value>,
    text: Option<String>,
}

impl Shared {
    pub(super) fn new(plan: SourcePlan, cx: &BuildContext, pause: Pause) -> Self {
        Self {
            clock: cx.clock.clone(),
            cx: cx.clone(),
            clients: Arc::default(),
            tokens: Arc::default(),
            budget: Budget::of(Credential::of(&plan, cx.clock.now()), plan.budget.clone(), plan.concurrency, pause.clone()),
            pause,
            plan: Arc::new(plan),
            silent: AtomicU64::new(0),
            spent: Arc::default(),
        }
    }

    /// The same for one read of a stream: what is silent to others is not its matter.
    pub(super) fn of_read(&self) -> Self {
        Self {
            plan: Arc::clone(&self.plan),
            clock: self.clock.clone(),
            pause: self.pause.clone(),
            cx: self.cx.clone(),
            clients: Arc::clone(&self.clients),
            tokens: Arc::clone(&self.tokens),
            budget: Arc::clone(&self.budget),
            silent: AtomicU64::new(0),
            spent: Arc::clone(&self.spent),
        }
    }

    pub(super) fn scope<'a>(&'a self, call: &Call<'a>) -> Scope<'a> {
        Scope {
            slice: call.slice,
            next_page_token: call.next_page_token,
            more: call.more,
            ..Scope::new(&self.plan.config, self.clock.now())
        }
    }

    /// Sends a request until its answer counts or its rules give up.
    pub(super) async fn call(&self, requester: &Requester, call: &Call<'_>) -> Result<Page> {
        let mut tries = vec![0_u32; requester.errors.handlers.len() + 1];
        let mut waited = Duration::ZERO;
        let mut renewed = false;
        loop {
            let draft = self.draft(requester, call)?;
            let host = host_of(&draft.url);
            let (draft, token) = Box::pin(self.authorize(requester, draft)).await?;
            let answer = match self.send(requester, draft).await {
                Ok(answer) => Ok(Answer::new(requester, answer)),
                Err(broken) if broken.kind() == ErrorKind::Unavailable && !call.once => Err(broken),
                Err(other) => return Err(other),
            };
            let (verdict, handler) = judge(&requester.errors, &self.scope(call), answer.as_ref(), &tries, waited)
                .map_err(|error| error.context("host", host.clone()))?;
            let refused = matches!(&answer, Ok(answer) if answer.status == 401);
            let too_many = matches!(&answer, Ok(answer) if answer.status == TOO_MANY);
            let wait = match verdict {
                Verdict::Take(action) => {
                    let answer = answer?;
                    return self.page(answer, requester, action);
                }
                // A token may end before its time: one new one is worth a try.
                Verdict::Fail(_) if refused && !renewed && matches!(requester.auth, Auth::Token(_)) => {
                    self.forget_token(requester, token.as_deref()).await;
                    renewed = true;
                    continue;
                }
                Verdict::Fail(error) => return Err(error.context("host", host)),
                Verdict::Renew => {
                    self.forget_token(requester, token.as_deref()).await;
                    Duration::ZERO
                }
                Verdict::Wait(wait) => {
                    if too_many {
                        self.budget.close_for(wait);
                    }
                    wait
                }
            };
            if let Some(count) = tries.get_mut(handler) {
                *count += 1;
            }
            waited += wait;
            tracing::debug!(request = requester.name, wait_ms = wait.as_millis(), "request tried again");
            self.pause.sleep(wait).await;
        }
    }

    /// How many answers said nothing so far.
    pub(super) fn silent(&self) -> u64 {
        self.silent.load(Ordering::Relaxed)
    }

    fn page(&self, answer: Answer, requester: &Requester, action: Action) -> Result<Page> {
        let taken = action == Action::Success;
        let (status, headers) = (answer.status, answer.headers());
        let body = match answer.into_body(requester) {
            Ok(body) => body,
            // What is ignored need not be readable.
            Err(_) if !taken => Value::Map(Map::default()),
            Err(error) => return Err(error),
        };
        let empty = body.is_null() || matches!(&body, Value::Map(map) if map.is_empty());
        if empty || !(taken || action == Action::ResetPages) {
            self.silent.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Page { body, headers, status, taken, reset: action == Action::ResetPages })
    }

    fn draft(&self, requester: &Requester, call: &Call<'_>) -> Result<Draft> {
        let scope = self.scope(call);
        let mut draft = Draft { url: address(requester, &scope, call)?, ..Draft::default() };
        if let Some(query) = &requester.query {
            draft.query = pairs(&query.value(&scope)?);
        }
        if let Some(headers) = &requester.headers {
            draft.headers = pairs(&headers.value(&scope)?);
        }
        match &requester.body {
            BodyPlan::Empty => {}
            BodyPlan::Json(json) => draft.json = Some(json.value(&scope)?).filter(Value::truthy),
            BodyPlan::Form(form) => draft.form = pairs(&form.value(&scope)?),
            BodyPlan::Text(text) => draft.text = Some(text.text(&scope)?),
        }
        for (at, value) in call.inject {
            put(&mut draft, at, value, &scope)?;
        }
        Ok(draft)
    }

    /// The request with what shows who we are, and the token that it was given, if it is one that changes.
    async fn authorize(&self, requester: &Requester, mut draft: Draft) -> Result<(Draft, Option<String>)> {
        let scope = Scope::new(&self.plan.config, self.clock.now());
        let header = |name: &str, value: String| (name.to_owned(), value);
        match &requester.auth {
            Auth::None => {}
            Auth::Key { at, value } => {
                let value = Value::text(value.text(&scope)?);
                put(&mut draft, at, &value, &scope)?;
            }
            Auth::Bearer(token) => draft.headers.push(header("Authorization", format!("Bearer {}", token.text(&scope)?))),
            Auth::Basic { user, password } => {
                draft.headers.push(header("Authorization", basic(&user.text(&scope)?, &password.text(&scope)?)));
            }
            Auth::Token(plan) => {
                let token = self.token(plan).await?;
                let shown =
                    format!("{}{token}", plan.prefix.as_deref().unwrap_or(if plan.at.is_none() { "Bearer " } else { "" }));
                match &plan.at {
                    None => draft.headers.push(header("Authorization", shown)),
                    Some(at) => put(&mut draft, at, &Value::text(shown), &scope)?,
                }
                return Ok((draft, Some(token)));
            }
        }
        Ok((draft, None))
    }

    async fn send(&self, requester: &Requester, draft: Draft) -> Result<HttpResponse> {
        let Draft { url, query, headers, form, json, text } = draft;
        let mut url = Url::parse(&url).map_err(|error| {
            Error::new(ErrorKind::Config, "a url of the connector cannot be read")
                .context("request", requester.name.clone())
                .source(error)
        })?;
        // A next page's URL may say already what is always said.
        let said: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let more: Vec<_> = query.iter().filter(|pair| !said.contains(pair)).collect();
        if !more.is_empty() {
            url.query_pairs_mut().extend_pairs(more);
        }
        let client = self.client(&url, requester)?;
        // Messages put the method before a request's name, which may begin with it.
        let method = format!("{} ", requester.method);
        let name = requester.name.strip_prefix(&method).unwrap_or(&requester.name).to_owned();
        let mut request = RequestSpec::to(requester.method.clone(), name, url.clone());
        if let Some(timeout) = requester.timeout {
            request = request.timeout(timeout);
        }
        for (name, value) in &headers {
            let bad = |_| Error::new(ErrorKind::Config, "a header cannot be sent").context("header", name.clone());
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad(()))?;
            let mut value = HeaderValue::from_str(value).map_err(|_| bad(()))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        request = match (json, text) {
            (Some(json), _) => {
                let json = json.to_json().into_bytes();
                let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
                let request = request.body(Body::Raw(json));
                if typed { request } else { request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")) }
            }
            (None, Some(text)) => request.body(Body::Raw(text.into_bytes())),
            (None, None) if !form.is_empty() => request.body(Body::Form(form)),
            (None, None) => request,
        };
        let sent = Sent { method: &requester.method, url: &url, headers: &headers };
        let slot = self.budget.slots.take().await.ok_or_else(|| Error::new(ErrorKind::Internal, "the source is closed"))?;
        self.budget.take(&sent, requester.cost).await;
        self.spent.fetch_add(u64::from(requester.cost), Ordering::Relaxed);
        let answer = client.exchange(&request).await?;
        drop(slot);
        self.budget.learn(&sent, &answer, self.clock.now());
        Ok(answer)
    }

    /// How many requests were sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).values().map(HttpClient::sent).sum()
    }

    /// What they cost, as the remote counts them.
    pub(crate) fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// What the requests cost that were sent with this credential on the present day, by all processes that count together.
    pub(crate) fn sent_today(&self) -> Option<u64> {
        self.budget.sent_today()
    }

    /// The client for a URL's host, if the plan lets it be called.
    fn client(&self, url: &Url, requester: &Requester) -> Result<HttpClient> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let key = format!("{}://{host}{port}", url.scheme());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        if !matches!(url.scheme(), "http" | "https") || !allowed(&self.plan.hosts, host, &port) {
            return Err(Error::new(ErrorKind::Config, "the connector wants to call a host that it does not declare")
                .context("request", requester.name.clone())
                .context("host", format!("{host}{port}"))
                .hint(format!("if that is right, allow it with `--allow-host {host}`")));
        }
        let base = headwater_sdk::http::base_url(&key)?;
        let mut settings = HttpSettings::new(base, &self.cx);
        settings.allow_private_hosts = self.plan.hosts.allow_private;
        settings.pause = self.pause.clone();
        settings.budget.concurrent = std::num::NonZeroUsize::new(self.plan.concurrency).unwrap_or(settings.budget.concurrent);
        let client = HttpClient::new(settings)?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

const CONTENT_TYPE: HeaderName = headwater_sdk::http::header::CONTENT_TYPE;

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("source", &self.plan.name).finish_non_exhaustive()
    }
}

/// Whether a host is one of the rules'.
pub(super) fn allowed(rules: &HostRules, host: &str, port: &str) -> bool {
    rules.allowed.iter().any(|rule| match rule.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|sub| sub.ends_with('.')),
        None => rule == host || *rule == format!("{host}{port}"),
    })
}

/// The host of an address, for messages: never its path or query, which may hold anything.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    host.rsplit_once('@').map_or(host, |(_, host)| host).to_owned()
}

fn address(requester: &Requester, scope: &Scope<'_>, call: &Call<'_>) -> Result<String> {
    let base = requester.url.text(scope)?;
    let whole = |text: &str| text.starts_with("http://") || text.starts_with("https://");
    let next = call.inject.iter().find(|(at, _)| matches!(at, Inject::Url)).map(|(_, value)| value.to_plain());
    let path = match (next, &requester.path) {
        (Some(next), _) => Some(next),
        (None, Some(path)) => Some(path.text(scope)?),
        (None, None) => None,
    };
    Ok(match path {
        None => base,
        Some(path) if path.is_empty() => base,
        Some(path) if whole(&path) => path,
        Some(path) => format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/')),
    })
}

/// The members of an object as pairs of text: a list gives one pair an item, null none.
fn pairs(value: &Value) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (name, value) in value.as_map().into_iter().flat_map(Map::iter) {
        match value {
            Value::Null => {}
            Value::List(items) => out.extend(items.iter().map(|item| (name.to_owned(), item.to_plain()))),
            other => out.push((name.to_owned(), other.to_plain())),
        }
    }
    out
}

/// Says a value at its place. A value that is null is not said.
fn put(draft: &mut Draft, at: &Inject, value: &Value, scope: &Scope<'_>) -> Result<()> {
    if value.is_null() {
        return Ok(());
    }
    match at {
        Inject::Url => {}
        Inject::Query(name) => {
            let name = name.text(scope)?;
            draft.query.retain(|(known, _)| *known != name);
            let one = |value: &Value| (name.clone(), value.to_plain());
            match value {
                Value::List(items) => draft.query.extend(items.iter().map(one)),
                other => draft.query.push(one(other)),
            }
        }
        Inject::Header(name) => draft.headers.push((name.text(scope)?, value.to_plain())),
        Inject::Form(name) => draft.form.push((name.text(scope)?, value.to_plain())),
        Inject::Json(path) => {
            let path: Result<Vec<String>> = path.iter().map(|step: &Expr| step.text(scope)).collect();
            let body = draft.json.get_or_insert_with(|| Value::Map(Map::default()));
            super::select::set(body, &path?, value.clone());
        }
    }
    Ok(())
}

/// An error that tells how long the remote wants to be left alone.
pub(super) fn later(wait: Duration) -> Error {
    Error::new(ErrorKind::RateLimited, "the remote asks for a longer wait than one run makes").retry(Retry::After(wait))
}

/// The body of an answer by a requester's decoder.
pub(super) fn read_body(requester: &Requester, body: &[u8]) -> Result<Value> {
    decode(&requester.decoder, body).map_err(|error| error.context("request", requester.name.clone()))
}
