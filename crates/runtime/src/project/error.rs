//! What is wrong with a project file, where, and what to do.

use std::path::{Path, PathBuf};

use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

use super::positions::Positions;

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

/// The known word nearest to a mistyped one, if any is near.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}
