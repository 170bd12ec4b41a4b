//! Requests: what is asked for, as whom, and how the answer is read.

use std::sync::Arc;
use std::time::Duration;

use headwater_sdk::http::Method;

use super::{ErrorRules, Path, Positions};
use crate::engine::expr::Expr;

/// A request.
#[derive(Debug)]
pub struct Requester {
    /// What messages call it: a path with its variables unfilled.
    pub name: String,
    /// The whole URL, or its part before `path`.
    pub url: Expr,
    /// The path below `url`.
    pub path: Option<Expr>,
    /// The method.
    pub method: Method,
    /// Query parameters: an object; a list repeats its name, null leaves it out.
    pub query: Option<Expr>,
    /// Headers: an object; null leaves one out.
    pub headers: Option<Expr>,
    /// What it carries.
    pub body: BodyPlan,
    /// Who we are.
    pub auth: Auth,
    /// How its answer is read.
    pub decoder: Decoder,
    /// How many calls the remote counts it as.
    pub cost: u32,
    /// How long an answer may take, where that is not the usual.
    pub timeout: Option<Duration>,
    /// What its answer means.
    pub errors: ErrorRules,
}

/// What a request carries.
#[derive(Debug, Clone, Default)]
pub enum BodyPlan {
    /// Nothing but what is injected.
    #[default]
    Empty,
    /// JSON: what the expression gives.
    Json(Expr),
    /// A form: an object.
    Form(Expr),
    /// Text as it is.
    Text(Expr),
}

/// A place in a request for a value.
#[derive(Debug, Clone)]
pub enum Inject {
    /// A query parameter.
    Query(Expr),
    /// A header.
    Header(Expr),
    /// A form field.
    Form(Expr),
    /// A member of the JSON body, by its path.
    Json(Vec<Expr>),
    /// The URL or path itself (only a page token).
    Url,
}

/// Who we are.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Nobody says.
    #[default]
    None,
    /// A value at a place, such as a key in a header.
    Key {
        /// Where.
        at: Inject,
        /// What.
        value: Expr,
    },
    /// `Authorization: Bearer …`.
    Bearer(Expr),
    /// `Authorization: Basic …`.
    Basic {
        /// The user.
        user: Expr,
        /// The password.
        password: Expr,
    },
    /// A token that is fetched or signed and lasts for a while; shared by all requesters that hold this plan.
    Token(Arc<TokenPlan>),
}

/// A token that lasts for a while.
#[derive(Debug)]
pub struct TokenPlan {
    /// Where it comes from.
    pub source: TokenSource,
    /// How long it lasts.
    pub lifetime: Lifetime,
    /// A token to begin with, and until when it lasts.
    pub initial: Option<(Expr, i64)>,
    /// Where it goes: `None` is `Authorization: Bearer …`.
    pub at: Option<Inject>,
    /// What stands before the token, such as `Token `; for `at` of `None` instead of `Bearer `.
    pub prefix: Option<String>,
}

/// Where a token comes from.
#[derive(Debug)]
pub enum TokenSource {
    /// A request. A refresh token of an earlier answer is seen as `refresh_token`.
    Request {
        /// The request.
        requester: Box<Requester>,
        /// Where the answer has the token.
        token: Path,
        /// Where the answer has the next refresh token, if it gives one.
        refresh_token: Option<Path>,
        /// What the request asserts, signed anew each time and for so long; seen as `assertion`.
        assertion: Option<(Jwt, Duration)>,
    },
    /// A JWT that we sign.
    Jwt(Jwt),
}

/// A JWT that we sign.
#[derive(Debug)]
pub struct Jwt {
    /// `HS256`, `HS384`, `HS512`, `RS256`, `RS384`, `RS512`, `PS256`, `ES256`, `EdDSA`, …
    pub algorithm: String,
    /// The key: text, or PEM for asymmetric algorithms.
    pub key: Expr,
    /// How the real key follows from it.
    pub key_form: KeyForm,
    /// Further members of the header: an object.
    pub headers: Option<Expr>,
    /// Claims: an object; `iat`, `nbf` and `exp` are added.
    pub claims: Option<Expr>,
}

/// How the real key follows from the one that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// It is the one.
    Plain,
    /// It is base64 of the real one.
    Decode,
    /// The real one is base64 of it.
    Encode,
}

/// How long a token lasts.
#[derive(Debug, Clone)]
pub enum Lifetime {
    /// As long as the run.
    Run,
    /// So long.
    Fixed(Duration),
    /// Seconds, where the answer says them.
    Seconds(Path),
    /// An instant, where the answer says it.
    Until(Path, Arc<dyn Positions>),
}

/// How an answer's body is read. Each bound is the engine's.
#[derive(Debug, Clone, Default)]
pub enum Decoder {
    /// JSON.
    #[default]
    Json,
    /// One JSON value a line.
    JsonLines,
    /// Each line is a record `{"record": line}`.
    Lines,
    /// CSV with a header.
    Csv {
        /// Between fields.
        delimiter: u8,
        /// The encoding's label.
        encoding: String,
        /// Values that become null.
        nulls: Vec<String>,
    },
    /// XML, as nested objects.
    Xml,
    /// The parts of a `multipart/mixed` of HTTP answers, each `{"status", "headers", "body"}`, the bodies in JSON.
    Multipart,
    /// Gzip around another.
    Gzip(Box<Self>),
    /// The files of a zip archive, each read by another.
    Zip(Box<Self>),
}
