//! What an answer means, and how long to wait before the next attempt.

use std::cell::OnceCell;
use std::time::Duration;

use headwater_sdk::http::HttpResponse;
use headwater_sdk::http::header::HeaderMap;
use headwater_sdk::{Error, ErrorKind, Result};

use super::expr::{Expr, Scope};
use super::plan::{Action, ErrorRules, Handler, Requester, Rule, Wait};
use super::request::{later, read_body};
use super::value::{Map, Value};

/// The first wait where no rule knows one; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait that we choose ourselves.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// The longest wait that a remote may ask for; for a longer one the stream fails and tells how long.
const LONGEST_ASKED_WAIT: Duration = Duration::from_hours(1);
/// How often a request is tried again where no handler says.
const RETRIES: u32 = 5;
/// How much longer an overloaded remote is borne with than one that fails.
const OVERLOAD_FACTOR: u32 = 4;

/// An answer with its body, which is read when something asks for it.
pub(super) struct Answer {
    pub(super) status: u16,
    raw: HttpResponse,
    decoded: OnceCell<Value>,
    name: String,
}

/// What is to be done.
pub(super) enum Verdict {
    /// The answer counts: its records by `Success`, as an empty page by the others.
    Take(Action),
    /// Again, after this.
    Wait(Duration),
    /// Again, with a new token.
    Renew,
    Fail(Box<Error>),
}

impl Answer {
    pub(super) fn new(requester: &Requester, raw: HttpResponse) -> Self {
        let decoded = OnceCell::new();
        Self { status: raw.status().as_u16(), raw, decoded, name: requester.name.clone() }
    }

    fn ok(&self) -> bool {
        self.raw.status().is_success()
    }

    /// The body as JSON, for rules to look at; nothing where it is none.
    fn body(&self) -> &Value {
        self.decoded.get_or_init(|| super::json::parse(self.raw.body()).unwrap_or_else(|_| Value::Map(Map::default())))
    }

    pub(super) fn headers(&self) -> Value {
        headers_value(self.raw.headers())
    }

    pub(super) fn into_body(self, requester: &Requester) -> Result<Value> {
        // A page to sign in, or a proxy's: it may look like one odd line of CSV.
        if self.is_web_page() {
            return Err(Error::new(ErrorKind::Protocol, "the remote answers with a web page")
                .context("request", self.name)
                .hint("is the address that of the API, and does nothing stand before it?"));
        }
        if matches!(requester.decoder, super::plan::Decoder::Json)
            && let Some(body) = self.decoded.into_inner()
            && !matches!(&body, Value::Map(map) if map.is_empty())
        {
            return Ok(body);
        }
        read_body(requester, self.raw.body())
    }

    fn is_web_page(&self) -> bool {
        let kind = self.raw.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let begin = self.raw.body().trim_ascii_start();
        let begins = |with: &str| begin.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with.as_bytes()));
        kind.trim_start().to_ascii_lowercase().starts_with("text/html") && (begins("<!doctype html") || begins("<html"))
    }
}

/// Headers as an object, with `link` read into its relations.
pub(crate) fn headers_value(headers: &HeaderMap) -> Value {
    let mut map = Map::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        let joined = match map.get(name.as_str()).and_then(Value::as_str) {
            Some(before) => format!("{before}, {text}"),
            None => text.into_owned(),
        };
        map.insert(name.as_str(), Value::text(joined));
    }
    if let Some(link) = map.get("link").and_then(Value::as_str).map(links) {
        map.insert("link", link);
    }
    Value::Map(map)
}

/// `<https://…?page=2>; rel="next", …` as `{next: {url, rel}}`.
fn links(text: &str) -> Value {
    let mut out = Map::default();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((url, after)) = after.split_once('>') else { break };
        let (parameters, next) = after
            .split_once('<')
            .map_or((after, ""), |(parameters, _)| (parameters, after.get(parameters.len()..).unwrap_or_default()));
        let mut link: Map = [("url", Value::text(url))].into_iter().collect();
        for parameter in parameters.split(';') {
            if let Some((name, value)) = parameter.split_once('=') {
                link.insert(name.trim().to_owned(), Value::text(value.trim().trim_end_matches(',').trim().trim_matches('"')));
            }
        }
        let name = link.get("rel").and_then(Value::as_str).unwrap_or(url).to_owned();
        out.insert(name, Value::Map(link));
        rest = next;
    }
    Value::Map(out)
}

/// Judges an answer, or that there was none; says which handler did.
pub(super) fn judge(
    rules: &ErrorRules,
    scope: &Scope<'_>,
    answer: Result<&Answer, &Error>,
    tries: &[u32],
    waited: Duration,
) -> Result<(Verdict, usize)> {
    let headers = answer.ok().filter(|_| !rules.handlers.is_empty()).map(Answer::headers);
    for (index, handler) in rules.handlers.iter().enumerate() {
        let last = index + 1 == rules.handlers.len();
        let decided = match answer {
            // What only the usual rules refuse, a later handler may still allow.
            Ok(answer) => decide(handler, scope, answer, headers.as_ref())?
                .filter(|decided| last || decided.rule.is_some() || decided.action != Action::Fail),
            Err(_) => handler.fallback.map(|_| Decided::plain(Action::Retry)),
        };
        if let Some(decided) = decided {
            let tried = tries.get(index).copied().unwrap_or_default();
            return Ok((settle(decided, Some(handler), scope, (answer, headers.as_ref()), (tried, waited))?, index));
        }
    }
    let decided = match answer {
        Ok(answer) => usual(answer),
        Err(_) => Decided::plain(Action::Retry),
    };
    let last = rules.handlers.len();
    let tried = tries.get(last).copied().unwrap_or_default();
    Ok((settle(decided, None, scope, (answer, headers.as_ref()), (tried, waited))?, last))
}

#[derive(Clone, Copy)]
struct Decided<'r> {
    action: Action,
    rule: Option<&'r Rule>,
}

impl Decided<'_> {
    fn plain(action: Action) -> Self {
        Self { action, rule: None }
    }
}

fn decide<'r>(handler: &'r Handler, scope: &Scope<'_>, answer: &Answer, headers: Option<&Value>) -> Result<Option<Decided<'r>>> {
    for rule in &handler.rules {
        let by_status = rule.statuses.contains(&answer.status);
        let by_text = || {
            rule.contains.as_ref().is_some_and(|part| error_text(answer.body()).is_some_and(|text| text.contains(part.as_str())))
        };
        if by_status || by_text() || holds(rule.when.as_ref(), scope, answer, headers)? {
            return Ok(Some(Decided { action: rule.action, rule: Some(rule) }));
        }
    }
    Ok(match handler.fallback {
        Some(super::plan::Fallback::Usual) => Some(usual(answer)),
        None if answer.ok() => Some(Decided::plain(Action::Success)),
        None => None,
    })
}

fn holds(when: Option<&Expr>, scope: &Scope<'_>, answer: &Answer, headers: Option<&Value>) -> Result<bool> {
    let Some(when) = when else { return Ok(false) };
    when.test(&Scope { response: Some(answer.body()), headers, status: Some(answer.status), ..*scope })
}

fn usual(answer: &Answer) -> Decided<'static> {
    Decided::plain(match answer.status {
        200..=299 => Action::Success,
        429 => Action::RateLimited,
        408 | 425 | 500..=599 => Action::Retry,
        _ => Action::Fail,
    })
}

fn settle(
    decided: Decided<'_>,
    handler: Option<&Handler>,
    scope: &Scope<'_>,
    (answer, headers): (Result<&Answer, &Error>, Option<&Value>),
    (tried, waited): (u32, Duration),
) -> Result<Verdict> {
    let fail = |retries: bool| Ok(Verdict::Fail(Box::new(failure(&decided, scope, (answer, headers), retries)?)));
    let most = handler.map_or(RETRIES, |handler| handler.max_retries);
    match decided.action {
        Action::Success | Action::Ignore | Action::ResetPages => Ok(Verdict::Take(decided.action)),
        Action::Fail => fail(false),
        Action::RefreshToken if tried >= most => fail(true),
        Action::RefreshToken => Ok(Verdict::Renew),
        Action::Retry | Action::RateLimited => {
            let most = if decided.action == Action::RateLimited { most.saturating_mul(OVERLOAD_FACTOR) } else { most };
            if tried >= most {
                return fail(true);
            }
            let wait = wait(handler, scope, (answer, headers), tried)?;
            if wait > LONGEST_ASKED_WAIT {
                return Ok(Verdict::Fail(Box::new(later(wait))));
            }
            let patience = handler.map_or(Duration::MAX, |handler| handler.max_time);
            if decided.action == Action::Retry && waited + wait > patience { fail(true) } else { Ok(Verdict::Wait(wait)) }
        }
    }
}

fn wait(
    handler: Option<&Handler>,
    scope: &Scope<'_>,
    (answer, headers): (Result<&Answer, &Error>, Option<&Value>),
    tried: u32,
) -> Result<Duration> {
    if let Some(handler) = handler {
        let body = answer.ok().map(Answer::body);
        let scope = Scope { response: body, headers, status: answer.ok().map(|answer| answer.status), ..*scope };
        for rule in &handler.waits {
            if let Some(wait) = planned(rule, &scope, answer.ok(), tried)? {
                return Ok(wait + handler.extra_wait);
            }
        }
    }
    let asked = answer.ok().and_then(|answer| {
        let text = answer.raw.headers().get("retry-after")?.to_str().ok()?.trim().to_owned();
        text.parse().map(Duration::from_secs).ok().or_else(|| {
            let at = jiff::fmt::rfc2822::parse(&text).ok()?.timestamp();
            Duration::try_from(at.duration_since(scope.now)).ok()
        })
    });
    Ok(asked.unwrap_or_else(|| FIRST_WAIT.saturating_mul(1 << tried.min(10)).min(LONGEST_WAIT)))
}

fn planned(rule: &Wait, scope: &Scope<'_>, answer: Option<&Answer>, tried: u32) -> Result<Option<Duration>> {
    let seconds = |secs: f64| Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or(Duration::MAX);
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    let header = |name: &Expr, pattern: &Option<std::sync::Arc<dyn super::plan::Capture>>| -> Result<Option<f64>> {
        let name = name.text(scope)?;
        let text = answer.and_then(|answer| answer.raw.headers().get(name.as_str())?.to_str().ok());
        let found = text.and_then(|text| match pattern {
            Some(pattern) => pattern.capture(text),
            None => Some(text.to_owned()),
        });
        Ok(found.and_then(|text| text.trim().parse().ok()))
    };
    Ok(match rule {
        Wait::Constant(value) => number(&value.value(scope)?).map(seconds),
        Wait::Exponential(factor) => {
            let factor = number(&factor.value(scope)?).unwrap_or(5.0);
            Some(seconds(factor * f64::from(1_u32 << (tried + 1).min(20))).min(LONGEST_ASKED_WAIT))
        }
        Wait::Header { name, pattern, max } => match header(name, pattern)?.map(seconds) {
            Some(wait) if max.is_some_and(|max| wait > max) => return Err(later(wait)),
            wait => wait,
        },
        Wait::Until { name, pattern, min } => {
            let min = min.as_ref().map(|min| min.value(scope)).transpose()?.as_ref().and_then(number).map(seconds);
            #[expect(clippy::cast_precision_loss, reason = "seconds of Unix time fit a float for a long while")]
            let until = header(name, pattern)?.map(|at| seconds(at - scope.now.as_microsecond() as f64 / 1e6));
            match (until, min) {
                (Some(until), min) => Some(until.max(min.unwrap_or_default())),
                (None, min) => min,
            }
        }
    })
}

fn failure(
    decided: &Decided<'_>,
    scope: &Scope<'_>,
    (answer, headers): (Result<&Answer, &Error>, Option<&Value>),
    retried: bool,
) -> Result<Error> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(broken) => {
            let mut error = Error::new(broken.kind(), broken.message().to_owned()).context("tries", "all");
            if let Some(request) = broken.context_of("request") {
                error = error.context("request", request);
            }
            return Ok(match std::error::Error::source(broken) {
                Some(cause) => error.source(cause.to_string()),
                None => error,
            });
        }
    };
    let kind = decided.rule.and_then(|rule| rule.kind).unwrap_or(match answer.status {
        401 | 403 => ErrorKind::Auth,
        404 | 410 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        409 => ErrorKind::Conflict,
        408 | 425 | 500..=599 => ErrorKind::Unavailable,
        400..=499 => ErrorKind::Rejected,
        _ => ErrorKind::Protocol,
    });
    let said = match decided.rule.and_then(|rule| rule.message.as_ref()) {
        Some(message) => {
            let scope = Scope { response: Some(answer.body()), headers, status: Some(answer.status), ..*scope };
            Some(message.text(&scope)?).filter(|text| !text.is_empty())
        }
        None => None,
    };
    let usual = match (kind, retried) {
        (ErrorKind::Auth, _) => "the remote refused our credentials",
        (ErrorKind::RateLimited, _) => "the remote asks us to slow down",
        (ErrorKind::NotFound, _) => "the remote does not know this",
        (ErrorKind::Unavailable, _) => "the remote does not work now",
        (_, true) => "the remote's answer stayed one to try again",
        _ => "the remote refused the request",
    };
    let error = Error::new(kind, said.unwrap_or_else(|| usual.to_owned()));
    Ok(error.context("request", answer.name.clone()).context("status", answer.status.to_string()))
}

/// What an error body says, where it says it in one of the usual members.
fn error_text(body: &Value) -> Option<String> {
    match body {
        Value::Text(text) => Some(text.to_string()),
        Value::List(items) => {
            let texts: Vec<String> = items.iter().filter_map(error_text).collect();
            (!texts.is_empty()).then(|| texts.join(", "))
        }
        Value::Map(map) => [
            "message",
            "messages",
            "error",
            "errors",
            "failures",
            "failure",
            "detail",
            "err",
            "error_message",
            "msg",
            "reason",
            "status_message",
        ]
        .iter()
        .filter_map(|name| map.get(name).filter(|value| value.truthy()))
        .find_map(error_text),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_headers_are_read_into_relations() {
        let links = links(r#"<https://api.example.com/a?page=2,3>; rel="next", <https://api.example.com/a?page=9>; rel=last"#);
        assert_eq!(
            links.to_json(),
            r#"{"next":{"url":"https://api.example.com/a?page=2,3","rel":"next"},"last":{"url":"https://api.example.com/a?page=9","rel":"last"}}"#
        );
    }

    #[test]
    fn an_error_text_is_found_wherever_it_usually_stands() {
        for body in [r#"{"message":"no"}"#, r#"{"error":{"message":"no"}}"#, r#"{"errors":[{"detail":"no"}]}"#, r#""no""#] {
            assert_eq!(error_text(&super::super::json::parse(body.as_bytes()).unwrap()).as_deref(), Some("no"), "{body}");
        }
    }
}
