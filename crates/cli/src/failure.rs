//! What is told to the person whose command failed: what, where, why, and what to do.

use std::time::Duration;

use headwater_runtime::Error;
use headwater_runtime::project::ProjectError;
use headwater_sdk::{ErrorKind, Retry};
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
        Self { causes: error.causes(), hint: hint_of(error), ..Self::new(code_of(error), error.to_string()) }
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
        Error::Project(_) | Error::Wild(_) => Code::Config,
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
        Error::Moved { .. } => Code::Conflict,
        // A file that was named and is not there is a mistyped name; any other trouble may pass.
        Error::File { source, doing: "read", .. } if source.kind() == std::io::ErrorKind::NotFound => Code::Usage,
        Error::File { .. } => Code::Unavailable,
        Error::Interrupted => Code::Interrupted,
        Error::Internal(_) => Code::Bug,
    }
}

fn hint_of(error: &Error) -> Option<String> {
    match error {
        Error::Project(error) => error.help.clone(),
        Error::NotFound { hint, .. } => Some(hint.clone()),
        Error::Wild(_) => Some(
            "look at what came in last (`headwater status`), mend or leave out its source, or raise `identity.auto_merge_above`; if \
             it is right as it is, loosen `identity.gates`"
                .to_owned(),
        ),
        Error::Moved { .. } => Some("make the plan again with `headwater plan --out FILE`, and read it; one that was applied is not applied twice".to_owned()),
        Error::Connection { source, .. } => source.hint_text().map(str::to_owned).or_else(|| match source.kind() {
            ErrorKind::Auth => Some("renew the credentials that the project names for it".to_owned()),
            ErrorKind::Unavailable | ErrorKind::RateLimited => Some(match source.retry_advice() {
                Retry::After(wait) => format!("it asks for another try in {}; what was committed stays", span(wait)),
                Retry::Never | Retry::Backoff => "try again later; what was committed stays".to_owned(),
            }),
            _ => None,
        }),
        Error::Store(_) | Error::Query(_) | Error::Usage(_) | Error::File { .. } | Error::Interrupted | Error::Internal(_) => {
            None
        }
    }
}

/// A wait in the unit a person would choose, rounded up: who comes back early is only told to wait again.
fn span(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3_600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_a_unit_that_can_be_read() {
        for (millis, told) in
            [(1, "1 s"), (119_000, "119 s"), (120_000, "2 minutes"), (121_000, "3 minutes"), (100_000_000, "28 hours")]
        {
            assert_eq!(span(Duration::from_millis(millis)), told);
        }
    }

    #[test]
    fn the_wait_that_a_remote_asks_for_is_told() {
        let source = headwater_sdk::Error::new(ErrorKind::RateLimited, "slow down").retry(Retry::After(Duration::from_hours(3)));
        let error = Error::Connection { connection: "news".to_owned(), stream: None, source };
        let hint = Failure::of(&error).hint.unwrap_or_default();
        assert!(hint.contains("3 hours"), "{hint}");
    }

    #[test]
    fn a_file_that_is_not_there_is_a_mistyped_name() {
        let file = |kind: std::io::ErrorKind| Error::File { path: "a".to_owned(), doing: "read", source: kind.into() };
        assert_eq!(code_of(&file(std::io::ErrorKind::NotFound)), Code::Usage);
        assert_eq!(code_of(&file(std::io::ErrorKind::PermissionDenied)), Code::Unavailable);
    }
}
