//! From text to a [`Spec`], or to a complaint that names file and line.

use headwater_sdk::document::{self, Positions};
use headwater_sdk::{Error, ErrorKind};
use serde_json::Value as Json;

use super::expr::ExprError;
use super::spec::Spec;

/// The longest connector file that is read: it is written by hand.
pub(super) const MAX_FILE_BYTES: usize = 1024 * 1024;

/// A connector file that cannot be used as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {message}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct LanguageError {
    /// The file, as the user knows it.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl From<LanguageError> for Error {
    fn from(error: LanguageError) -> Self {
        let out = Self::new(ErrorKind::Config, error.to_string());
        match error.help {
            Some(help) => out.hint(help),
            None => out,
        }
    }
}

/// A connector file with the places of its keys.
#[derive(Debug)]
pub(super) struct Document {
    file: String,
    text: String,
    positions: Positions,
}

impl Document {
    /// Reads a file's text into what it says.
    pub(super) fn parse(file: &str, text: &str) -> Result<(Self, Spec), LanguageError> {
        let fail = |message: String| LanguageError { file: file.to_owned(), line: None, message, help: None };
        if text.len() > MAX_FILE_BYTES {
            return Err(fail(format!("longer than {MAX_FILE_BYTES} bytes")));
        }
        let value: Json = serde_saphyr::from_str(text).map_err(|error| {
            let at = error.location().map(|at| (at.line(), at.column()));
            let line = at.map_or(1, |(line, _)| usize::try_from(line).unwrap_or(1));
            let message = error.to_string();
            let message = message.lines().next().unwrap_or("cannot be read");
            let place = at.map(|(line, column)| format!("line {line} column {column}: ")).unwrap_or_default();
            let message = message.rsplit_once(&place).map_or(message, |(_, rest)| rest);
            let ((message, help), line) = document::of_yaml(message, text, line);
            LanguageError { line: Some(line), help, ..fail(message) }
        })?;
        let document = Self { file: file.to_owned(), text: text.to_owned(), positions: Positions::of(text) };
        match serde_path_to_error::deserialize::<_, Spec>(value) {
            Ok(spec) => Ok((document, spec)),
            Err(error) => {
                let path = error.path().to_string();
                let (path, (message, help)) = document::of_key(&error.into_inner().to_string(), &path, &[]);
                let complaint = document.error(&path, message);
                Err(match help {
                    Some(help) => LanguageError { help: Some(help), ..complaint },
                    None => complaint,
                })
            }
        }
    }

    /// A complaint about a key.
    pub(super) fn error(&self, path: &str, message: impl Into<String>) -> LanguageError {
        let line = self.positions.get(path).map(|position| position.line);
        LanguageError { file: self.file.clone(), line, message: message.into(), help: None }
    }

    /// A complaint about an expression: its line is that of the key, or of the line below it where the text has several.
    pub(super) fn expression(&self, path: &str, text: &str, error: ExprError) -> LanguageError {
        let before = text.get(..error.at).unwrap_or_default();
        let further = before.matches('\n').count();
        let mut out = self.error(path, error.message);
        if let Some(line) = out.line.as_mut().filter(|_| further > 0) {
            // A text of several lines begins on the line after its key.
            *line = (*line + 1 + further).min(self.text.lines().count());
        }
        out.help = error.help;
        out
    }
}

impl LanguageError {
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}
