//! What can stop a command, by what the person who typed it can do.

use headwater_model::conform::ConformError;
use headwater_store::StoreError;

use crate::project::ProjectError;

/// The result of the runtime's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command could not go on. What was committed before stays.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The project file is wrong.
    #[error(transparent)]
    Project(Box<ProjectError>),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A connection could not do it.
    #[error("{connection}{}: {source}", stream.as_deref().map(|stream| format!(" ({stream})")).unwrap_or_default())]
    Connection {
        /// The source or sink.
        connection: String,
        /// The stream, where one was being read.
        stream: Option<String>,
        /// What the connector said.
        source: headwater_sdk::Error,
    },
    /// A query could not be answered.
    #[error("the query cannot be answered: {0}")]
    Query(String),
    /// What was asked for is not there.
    #[error("{what}")]
    NotFound {
        /// What was asked for, and what there is.
        what: String,
        /// What to do.
        hint: String,
    },
    /// The arguments do not fit together.
    #[error("{0}")]
    Usage(String),
    /// The world is another one than a saved plan was made for; nothing was written.
    #[error("the world moved since the plan was made ({made_at}); nothing was written: {what}")]
    Moved {
        /// When the plan was made.
        made_at: String,
        /// What differs, by prospect and field.
        what: String,
    },
    /// Joining people would go wrong; nobody was joined.
    #[error("nobody was joined and nothing was pushed: {0}")]
    Wild(String),
    /// A file beside the store could not be read or written.
    #[error("{path} cannot be {doing}: {source}")]
    File {
        /// The file.
        path: String,
        /// What was being done: `read` or `written`.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The run was told to stop; what was committed stays.
    #[error("interrupted; what was committed stays, and the next run goes on from there")]
    Interrupted,
    /// A bug of ours.
    #[error("{0}; this is a bug")]
    Internal(String),
}

impl From<ProjectError> for Error {
    fn from(error: ProjectError) -> Self {
        Self::Project(Box::new(error))
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<ConformError> for Error {
    fn from(error: ConformError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<datafusion::error::DataFusionError> for Error {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Self::Query(error.strip_backtrace())
    }
}

impl Error {
    /// What is wrong, where, and what lies below it, for a log line or a list.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let place = match self {
            Self::Project(error) => error.line.map(|line| format!("{}:{line}: ", error.file.display())),
            _ => None,
        };
        let whole = std::iter::once(self.to_string()).chain(self.causes());
        format!("{}{}", place.unwrap_or_default(), whole.collect::<Vec<_>>().join(": "))
    }

    /// What lies below this error and is not part of its message.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut next = match self {
            // Their messages name what lies below.
            Self::File { .. } => None,
            Self::Connection { source, .. } => std::error::Error::source(source),
            other => std::error::Error::source(other),
        };
        let mut causes: Vec<String> = Vec::new();
        let mut above = self.to_string();
        while let Some(cause) = next {
            let text = cause.to_string();
            // What the level above says already is said once.
            if !above.ends_with(&text) {
                causes.push(text.clone());
            }
            above = text;
            next = cause.source();
        }
        causes
    }

    /// An error of a connection.
    pub(crate) fn connection(connection: &str, stream: Option<&str>, source: headwater_sdk::Error) -> Self {
        Self::Connection { connection: connection.to_owned(), stream: stream.map(str::to_owned), source }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use headwater_sdk::ErrorKind;

    use super::*;

    #[test]
    fn one_line_has_the_connection_and_the_cause_once_each() {
        let source =
            headwater_sdk::Error::new(ErrorKind::Unavailable, "the remote cannot be reached").source(io::Error::other("refused"));
        let error = Error::connection("news", Some("members"), source);
        assert_eq!(error.in_one_line(), "news (members): the remote cannot be reached: refused");
        let source =
            headwater_sdk::Error::new(ErrorKind::Input, "a.gz cannot be read: cut off").source(io::Error::other("cut off"));
        assert_eq!(Error::connection("list", None, source).in_one_line(), "list: a.gz cannot be read: cut off");
        let file = Error::File { path: "a.csv".to_owned(), doing: "read", source: io::Error::other("gone") };
        assert_eq!(file.in_one_line(), "a.csv cannot be read: gone");
    }
}
