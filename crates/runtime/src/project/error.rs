//! What is wrong with a project file, where, and what to do.

use std::path::{Path, PathBuf};

use headwater_sdk::document::{self, Positions};
use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

/// A project that cannot be used as it is written.
#[derive(Debug, Error, Diagnostic)]
#[error("{message}")]
pub struct ProjectError {
    /// What is wrong.
    pub message: String,
    /// The file.
    pub file: PathBuf,
    /// The line, where one is to blame.
    pub line: Option<usize>,
    /// What to do.
    #[help]
    pub help: Option<String>,
    #[source_code]
    text: Option<NamedSource<String>>,
    #[label("here")]
    span: Option<SourceSpan>,
}

impl ProjectError {
    /// The line of the file that is to blame, as it stands there.
    #[must_use]
    pub fn source_line(&self) -> Option<&str> {
        let text = self.text.as_ref()?.inner();
        text.lines().nth(self.line?.checked_sub(1)?)
    }

    pub(crate) fn new(file: &Path, message: impl Into<String>) -> Self {
        Self { message: message.into(), file: file.to_owned(), line: None, help: None, text: None, span: None }
    }

    /// Says what to do.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        self.help(help)
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points at a path of the file's text.
    pub(crate) fn at(mut self, text: &str, path: &str) -> Self {
        if let Some(position) = Positions::of(text).get(path) {
            self.line = Some(position.line);
            self.span = Some((position.offset, position.len).into());
            self.text = Some(NamedSource::new(self.file.display().to_string(), text.to_owned()).with_language("yaml"));
        }
        self
    }

    /// Points at a line and column, both from 1.
    pub(crate) fn at_line(mut self, text: &str, line: usize, column: usize) -> Self {
        let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        self.line = Some(line);
        self.span = Some(((start + column.saturating_sub(1)).min(text.len()), 0).into());
        self.text = Some(NamedSource::new(self.file.display().to_string(), text.to_owned()).with_language("yaml"));
        self
    }
}

/// Makes a complaint of a parser's message: points at the key, and offers the nearest known one.
pub(crate) fn complaint(
    message: &str,
    path: &str,
    also_known: &[&str],
    error: impl FnOnce(&str, String) -> ProjectError,
) -> ProjectError {
    let (at, (message, hint)) = document::of_key(message, path, also_known);
    let complaint = error(&at, message);
    match hint {
        Some(hint) => complaint.help(hint),
        None => complaint,
    }
}
