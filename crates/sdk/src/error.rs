//! What a connector says when something went wrong: a kind, whether to try again, and where.

use std::fmt;
use std::time::Duration;

/// The result of everything a connector does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The context that names a key of the connection's settings.
const CONFIG_PATH: &str = "path";
/// The context that names a reference to a secret, as its `Display` writes it.
pub(crate) const SECRET: &str = "secret";

/// What went wrong, by what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The connection's settings are wrong; a person must change the project file.
    Config,
    /// The remote refused our credentials; a person must renew them.
    Auth,
    /// The remote asks us to slow down.
    RateLimited,
    /// The remote, or the way to it, does not work now.
    Unavailable,
    /// The thing asked for does not exist.
    NotFound,
    /// The remote understood the request and refused it.
    Rejected,
    /// Somebody else changed the same thing.
    Conflict,
    /// The remote answered something its documentation does not allow.
    Protocol,
    /// The input itself cannot be read.
    Input,
    /// This connector cannot do what was asked.
    Unsupported,
    /// A bug of ours.
    Internal,
}

/// Whether the same call may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not without a change.
    Never,
    /// After a growing delay.
    Backoff,
    /// After exactly this long, as the remote told us.
    After(Duration),
}

/// An error of a connector. Small: one pointer.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    message: String,
    context: Vec<(&'static str, String)>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`. The message is a lowercase fragment without a full stop and without a person's data.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::RateLimited | ErrorKind::Unavailable => Retry::Backoff,
            ErrorKind::Config
            | ErrorKind::Auth
            | ErrorKind::NotFound
            | ErrorKind::Rejected
            | ErrorKind::Conflict
            | ErrorKind::Protocol
            | ErrorKind::Input
            | ErrorKind::Unsupported
            | ErrorKind::Internal => Retry::Never,
        };
        Self(Box::new(Inner { kind, retry, message: message.into(), context: Vec::new(), hint: None, source: None }))
    }

    /// Says whether trying again helps.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Adds where it happened: names and counts, never a person's data.
    #[must_use]
    pub fn context(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.context.push((key, value.into()));
        self
    }

    /// Says what the person at the terminal can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Keeps the cause; it is printed by whoever prints the chain, not by this message.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Its advice on trying again.
    #[must_use]
    pub fn retry_advice(&self) -> Retry {
        self.0.retry
    }

    /// Its message, without context.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The key of the connection's settings that is to blame: the context `path`.
    #[must_use]
    pub fn config_path(&self) -> Option<&str> {
        self.found(CONFIG_PATH)
    }

    /// The reference to a secret that is to blame, as its `Display` writes it: the context `secret`.
    #[must_use]
    pub fn secret_reference(&self) -> Option<&str> {
        self.found(SECRET)
    }

    fn found(&self, wanted: &str) -> Option<&str> {
        self.0.context.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value.as_str())
    }

    /// What was added about where it happened, by its name.
    #[must_use]
    pub fn context_of(&self, key: &str) -> Option<&str> {
        self.0.context.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }

    /// What the user can do, if the connector knows.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        // The key to blame is for whoever shows the line it stands on.
        let shown = || self.0.context.iter().filter(|(key, _)| *key != CONFIG_PATH && *key != SECRET);
        for (index, (key, value)) in shown().enumerate() {
            write!(f, "{}{key}={value}", if index == 0 { " (" } else { ", " })?;
        }
        if shown().next().is_none() { Ok(()) } else { f.write_str(")") }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("retry", &self.0.retry)
            .field("message", &format_args!("{self}"))
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}
