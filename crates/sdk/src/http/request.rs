//! One request, described.

use std::borrow::Cow;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use super::guard;
use crate::{Error, ErrorKind, Result};

/// What a request carries.
#[derive(Clone, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// JSON.
    Json(Value),
    /// Form fields, URL-encoded.
    Form(Vec<(String, String)>),
    /// Bytes as they are. Their type is said by a header.
    Raw(Vec<u8>),
}

/// One request. Its path is a template such as `/lists/{list}/members`: logs and errors show the template, and a value put in
/// for a name is encoded, so that it stays one path segment whatever it holds.
#[derive(Clone)]
pub struct RequestSpec {
    pub(super) method: Method,
    pub(super) template: Cow<'static, str>,
    params: Vec<(&'static str, String)>,
    query: Vec<(String, String)>,
    target: Option<Url>,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    pub(super) idempotent: bool,
    pub(super) any_status: bool,
    pub(super) timeout: Option<Duration>,
}

impl RequestSpec {
    /// A request. GET, HEAD, PUT and DELETE count as idempotent, others do not unless [`idempotent`](Self::idempotent) says so.
    #[must_use]
    pub fn new(method: Method, template: &'static str) -> Self {
        Self {
            idempotent: method.is_idempotent(),
            method,
            template: Cow::Borrowed(template),
            params: Vec::new(),
            query: Vec::new(),
            target: None,
            headers: HeaderMap::new(),
            body: Body::Empty,
            any_status: false,
            timeout: None,
        }
    }

    /// A GET.
    #[must_use]
    pub fn get(template: &'static str) -> Self {
        Self::new(Method::GET, template)
    }

    /// A POST of JSON.
    #[must_use]
    pub fn post(template: &'static str, json: Value) -> Self {
        Self::new(Method::POST, template).body(Body::Json(json))
    }

    /// A PUT of JSON.
    #[must_use]
    pub fn put(template: &'static str, json: Value) -> Self {
        Self::new(Method::PUT, template).body(Body::Json(json))
    }

    /// A PATCH of JSON.
    #[must_use]
    pub fn patch(template: &'static str, json: Value) -> Self {
        Self::new(Method::PATCH, template).body(Body::Json(json))
    }

    /// A GET of a URL that the remote gave us, such as the next page's. It must stand on the base URL's host.
    #[must_use]
    pub fn follow(template: &'static str, target: Url) -> Self {
        Self { target: Some(target), ..Self::get(template) }
    }

    /// A request of a whole URL, which messages call by `name`. The URL must stand on the base URL's host.
    #[must_use]
    pub fn to(method: Method, name: impl Into<Cow<'static, str>>, target: Url) -> Self {
        Self { template: name.into(), target: Some(target), ..Self::new(method, "") }
    }

    /// Puts a value in for `{name}` of the template.
    #[must_use]
    pub fn param(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.params.push((name, value.into()));
        self
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets what it carries.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Says whether sending it twice is as sending it once; only then is it tried again.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Returns a final refusal (a 404, 409, 422 …) as a response instead of an error, for a caller that reads its body.
    /// What may pass by itself (408, 429, 5xx) stays an error.
    #[must_use]
    pub fn any_status(mut self) -> Self {
        self.any_status = true;
        self
    }

    /// Says how long one attempt may take, instead of the client's own bound: for large files.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The request as messages name it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }

    /// The URL it goes to.
    pub(super) fn url(&self, base: &Url) -> Result<Url> {
        let mut url = match &self.target {
            Some(target) if guard::same_remote(base, target) => target.clone(),
            Some(_) => {
                return Err(Error::new(ErrorKind::Protocol, "the remote names a further page on another host")
                    .context("request", self.name()));
            }
            None => self.fill(base)?,
        };
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }

    fn fill(&self, base: &Url) -> Result<Url> {
        let internal = || Error::new(ErrorKind::Internal, "a path does not fit its template").context("request", self.name());
        let mut url = base.clone();
        {
            let mut path = url.path_segments_mut().map_err(|()| internal())?;
            path.pop_if_empty();
            for segment in self.template.trim_start_matches('/').split('/') {
                let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
                let value = match name {
                    Some(name) => self.params.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str()),
                    None => Some(segment),
                };
                match value {
                    // `url` drops these instead of encoding them, which would make another path.
                    None | Some("." | "..") => return Err(internal()),
                    Some(value) if name.is_some() && value.is_empty() => return Err(internal()),
                    Some(value) => path.push(value),
                };
            }
        }
        Ok(url)
    }
}

impl std::fmt::Debug for RequestSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestSpec").field("method", &self.method).field("template", &self.template).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Json(_) => "Json",
            Self::Form(_) => "Form",
            Self::Raw(_) => "Raw",
        })
    }
}
