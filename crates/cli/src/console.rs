//! The terminal has one owner: answers go to standard output, everything else to standard error.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use headwater_runtime::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::args::{ColorChoice, Format, Global};
use crate::exit_code::Code;
use crate::failure::Failure;

/// The widest a table gets where no terminal says how wide it is.
const PLAIN_WIDTH: u16 = 140;

/// Owns both streams.
pub(crate) struct Console {
    format: Format,
    color: bool,
    quiet: bool,
    bars: bool,
}

impl Console {
    pub(crate) fn new(global: &Global) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let color = match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !no_color(),
        };
        Self { format: global.format, color, quiet: global.quiet, bars: terminal && !global.quiet && global.verbose == 0 }
    }

    /// What form answers take.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Writes text to standard output. A reader that went away is no failure.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        self.pour(text).map_err(|error| Failure::output(&error))
    }

    /// The same for a part of an answer that is long.
    pub(crate) fn pour(&self, text: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes a line to standard output.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.write(&format!("{text}\n"))
    }

    /// Answers with JSON when it was asked for, else with what `human` makes.
    pub(crate) fn answer(&self, value: &impl Serialize, human: impl FnOnce() -> String) -> Result<Code, Failure> {
        match self.format {
            Format::Json => {
                let text = serde_json::to_string(value).map_err(|error| Failure::bug(error.to_string()))?;
                self.line(&text)?;
            }
            Format::Human | Format::Csv => self.line(human().trim_end())?,
        }
        Ok(Code::Done)
    }

    /// Says something to the person, beside the answer.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.aside(text);
        }
    }

    fn aside(&self, text: &str) {
        // If not even standard error takes it, there is nobody left to tell.
        drop(writeln!(std::io::stderr().lock(), "{text}"));
    }

    /// Shows why a command failed; its exit code.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        self.tell(failure);
        failure.code.into()
    }

    /// Shows a failure: what, where, because of what, and what to do. It is what `--quiet` leaves.
    pub(crate) fn tell(&self, failure: &Failure) {
        let Failure { code: _, message, causes, hint, project } = failure;
        match project {
            Some(project) => self.aside(self.project_error(project).trim_end()),
            None => {
                self.aside(&format!("{} {message}", self.paint("error:", "31;1")));
                for cause in causes {
                    self.aside(&format!("  because: {cause}"));
                }
            }
        }
        if let Some(hint) = hint {
            self.aside(&format!("{} {hint}", self.paint("hint:", "36;1")));
        }
    }

    /// Says what a person may do next.
    pub(crate) fn hint(&self, text: &str) {
        self.note(&format!("{} {text}", self.paint("hint:", "36;1")));
    }

    /// What is wrong with a project file, with the line it stands on.
    fn project_error(&self, error: &headwater_runtime::project::ProjectError) -> String {
        let place = match error.line {
            Some(line) => format!("{}:{line}", error.file.display()),
            None => error.file.display().to_string(),
        };
        let mut text = format!("{} {}\n  --> {place}", self.paint("error:", "31;1"), error.message);
        if let Some((number, line)) = error.line.zip(error.source_line()) {
            let shown = format!("\n{number:>5} | {line}");
            text.push_str(&shown);
        }
        text
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A progress bar that appears when something takes long, on a terminal only.
    pub(crate) fn progress(&self) -> Progress {
        if !self.bars {
            return Progress::silent();
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{msg:24} {wide_bar} {percent:>3}% {elapsed}");
        let spinner = ProgressStyle::with_template("{msg:24} {spinner} {pos} {elapsed}");
        if let (Ok(style), Ok(spinner)) = (style, spinner) {
            bar.set_style(spinner.clone());
            let styles = Arc::new(Mutex::new((style, spinner)));
            return Progress::new(move |what, done, of| {
                if let Ok(styles) = styles.lock() {
                    bar.set_style(if of.is_some() { styles.0.clone() } else { styles.1.clone() });
                }
                bar.set_message(what.to_owned());
                if let Some(of) = of {
                    bar.set_length(of);
                }
                bar.set_position(done);
                if of == Some(done) {
                    bar.finish_and_clear();
                    bar.reset();
                }
            });
        }
        Progress::silent()
    }
}

/// Whether the environment asks for no colour: by NO_COLOR, unless it is empty.
pub(crate) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// A table for people: headers, rows, numbers to the right.
pub(crate) struct Rows {
    table: Table,
    right: Vec<usize>,
}

impl Rows {
    pub(crate) fn new(headers: &[&str]) -> Self {
        let mut table = Table::new();
        // One line below the header; the rows need none between them.
        table
            .load_preset(presets::NOTHING)
            .set_style(TableComponent::HeaderLines, '─')
            .set_style(TableComponent::MiddleHeaderIntersections, '─')
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(headers);
        if table.width().is_none() {
            table.set_width(PLAIN_WIDTH);
        }
        Self { table, right: Vec::new() }
    }

    /// Puts these columns to the right.
    pub(crate) fn right(mut self, columns: impl IntoIterator<Item = usize>) -> Self {
        self.right.extend(columns);
        self
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.table.add_row(cells.into_iter().collect::<Vec<String>>());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.row_count() == 0
    }

    pub(crate) fn render(mut self) -> String {
        for column in self.right {
            if let Some(column) = self.table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.table.trim_fmt()
    }
}
