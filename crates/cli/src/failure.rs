//! What is told to the person whose command failed: what, where, why, and what to do.

use headwater_runtime::Error;
use headwater_runtime::project::ProjectError;
use headwater_sdk::ErrorKind;
use headwater_store::StoreError;

use crate::exit_code::Code;

/// A command that failed.
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
    /// A project error, shown with its place in the file.
    pub(crate) project: Option<Box<ProjectError>>,
}

impl Failure {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), causes: Vec::new(), hint: None, project: None }
    }

    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self::new(Code::Bug, message)
    }

    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::new(Code::Usage, message) }
    }

    /// The answer could not be written to the terminal or pipe.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        Self::new(Code::Unavailable, format!("the answer cannot be written: {error}"))
    }

    pub(crate) fn of(error: &Error) -> Self {
        Self { causes: causes(error), hint: hint_of(error), ..Self::new(code_of(error), error.to_string()) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Project(error) => (*error).into(),
            other => Self::of(&other),
        }
    }
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        let hint = error.help.clone();
        Self { hint, project: Some(Box::new(error)), ..Self::new(Code::Config, String::new()) }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}

/// The exit code of an error.
pub(crate) fn code_of(error: &Error) -> Code {
    match error {
        Error::Project(_) => Code::Config,
        Error::Store(error) => match error {
            StoreError::Locked { .. } | StoreError::Conflict { .. } => Code::Conflict,
            StoreError::Busy { .. } | StoreError::DiskFull { .. } | StoreError::Io { .. } => Code::Unavailable,
            StoreError::Unsupported { .. } | StoreError::Format { .. } | StoreError::NotFound { .. } => Code::Config,
            _ => Code::Bug,
        },
        Error::Connection { source, .. } => match source.kind() {
            ErrorKind::Config | ErrorKind::Unsupported | ErrorKind::NotFound | ErrorKind::Input => Code::Config,
            ErrorKind::Auth => Code::Auth,
            ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Protocol | ErrorKind::Rejected => Code::Unavailable,
            ErrorKind::Conflict => Code::Conflict,
            _ => Code::Bug,
        },
        Error::Query(_) | Error::NotFound { .. } | Error::Usage(_) => Code::Usage,
        Error::File { .. } => Code::Unavailable,
        Error::Interrupted => Code::Interrupted,
        Error::Internal(_) => Code::Bug,
    }
}

fn hint_of(error: &Error) -> Option<String> {
    match error {
        Error::Project(error) => error.help.clone(),
        Error::NotFound { hint, .. } => Some(hint.clone()),
        Error::Connection { source, .. } => source.hint_text().map(str::to_owned).or_else(|| match source.kind() {
            ErrorKind::Auth => Some("renew the credentials that the project names for it".to_owned()),
            ErrorKind::Unavailable | ErrorKind::RateLimited => Some("try again later; what was committed stays".to_owned()),
            _ => None,
        }),
        Error::Store(_)
        | Error::Query(_)
        | Error::Usage(_)
        | Error::File { .. }
        | Error::Interrupted
        | Error::Internal(_) => None,
    }
}

fn causes(error: &Error) -> Vec<String> {
    // A connection's error is part of the message already; what lies below it is not.
    let mut next = match error {
        Error::Connection { source, .. } => std::error::Error::source(source),
        other => std::error::Error::source(other),
    };
    let mut causes = Vec::new();
    while let Some(cause) = next {
        let text = cause.to_string();
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}
