//! A child process: started in a group of its own, listened to, and killed with all its descendants.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use headwater_sdk::{Error, ErrorKind, Result, Secret};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tracing::{debug, warn};

use super::files::Files;
use super::lines::{Line, Lines};
use super::mask::Mask;

/// The longest line of a log; the rest of it says nothing new.
const MAX_LOG_LINE_BYTES: usize = 16 * 1024;
/// The lines that are shown when a program fails: a trace's end names what broke.
const LAST_WORDS: usize = 12;

/// A program as the settings describe it.
#[derive(Debug)]
pub(super) struct Program {
    /// Its path or name, and the fixed arguments.
    pub(super) argv: Vec<String>,
    /// All of its environment.
    pub(super) env: Vec<(String, String)>,
    /// The folder it runs in: the project's.
    pub(super) dir: PathBuf,
    /// Its own configuration, as JSON.
    pub(super) config: Secret,
    /// How long it may say nothing.
    pub(super) silence: Duration,
    /// The longest line of its output.
    pub(super) max_line: usize,
    /// What must not be seen of what it says.
    pub(super) mask: Mask,
}

impl Program {
    /// Its name, for messages.
    pub(super) fn name(&self) -> &str {
        self.argv.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default()
    }

    /// Files for a start of it, and the path of its configuration among them.
    pub(super) fn files(&self) -> Result<(Files, OsString)> {
        let files = Files::new()?;
        let config = files.write("config.json", self.config.expose())?;
        Ok((files, config))
    }

    /// Starts it with these further arguments. The files stay until it is gone.
    pub(super) fn start(&self, arguments: &[&OsStr], files: Option<Files>, input: Input) -> Result<Child> {
        self.run(&self.argv, arguments, files, input)
    }

    /// Starts another command in the same surroundings.
    pub(super) fn start_other(&self, argv: &[String], input: Input) -> Result<Child> {
        self.run(argv, &[], None, input)
    }

    fn run(&self, argv: &[String], arguments: &[&OsStr], files: Option<Files>, input: Input) -> Result<Child> {
        let name = argv.first().map(String::as_str).unwrap_or_default();
        let mut command = Command::new(name);
        command.args(argv.iter().skip(1)).args(arguments);
        command.env_clear().envs(self.env.iter().map(|(name, value)| (name, value))).current_dir(&self.dir);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if input == Input::Pipe { Stdio::piped() } else { Stdio::null() });
        command.process_group(0).kill_on_drop(true);
        let mut process = command.spawn().map_err(|error| unstartable(name, error))?;
        let lost = || Error::new(ErrorKind::Internal, "a child process has no pipes");
        let (out, err) = (process.stdout.take().ok_or_else(lost)?, process.stderr.take().ok_or_else(lost)?);
        let group = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        debug!(program = name, pid = process.id(), "program started");
        Ok(Child {
            name: name.rsplit('/').next().unwrap_or_default().to_owned(),
            input: process.stdin.take(),
            out: Lines::new(out, self.max_line),
            err: Some(Lines::new(err, MAX_LOG_LINE_BYTES)),
            silence: self.silence,
            mask: self.mask.clone(),
            last_words: VecDeque::new(),
            metrics: Vec::new(),
            process,
            status: None,
            group,
            _files: files,
        })
    }
}

/// Whether a child is given anything to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Nothing.
    None,
    /// What [`Child::feed`] writes.
    Pipe,
}

/// A running program. Dropping it kills it and whatever it started.
#[derive(Debug)]
pub(super) struct Child {
    name: String,
    input: Option<ChildStdin>,
    out: Lines<ChildStdout>,
    /// None when it was closed.
    err: Option<Lines<ChildStderr>>,
    silence: Duration,
    mask: Mask,
    last_words: VecDeque<String>,
    metrics: Vec<Vec<u8>>,
    process: tokio::process::Child,
    /// Known once it ended.
    status: Option<ExitStatus>,
    group: Option<Pid>,
    _files: Option<Files>,
}

/// What happened first.
enum Heard {
    Line(Option<Line>),
    Said(Option<Line>),
    Took(std::io::Result<usize>),
    Ended(ExitStatus),
}

impl Child {
    /// The next line of its output; none at the end of it.
    ///
    /// # Errors
    /// `Unavailable` when it was silent for too long, `Protocol` when the line is longer than it may be.
    pub(super) async fn line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            match self.hear(&[]).await? {
                Heard::Line(Some(Line { bytes, cut: false })) => return Ok(Some(bytes)),
                Heard::Line(Some(Line { cut: true, .. })) => return Err(self.oversized()),
                Heard::Line(None) => return Ok(None),
                Heard::Said(line) => self.said(line),
                Heard::Ended(status) => self.ended(status),
                Heard::Took(_) => {}
            }
        }
    }

    /// Writes to its input, and hands what it prints meanwhile to `heard`. `false`: it takes no more.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub(super) async fn feed(&mut self, mut bytes: &[u8], heard: &mut impl FnMut(Vec<u8>)) -> Result<bool> {
        while !bytes.is_empty() {
            match self.hear(bytes).await? {
                Heard::Took(Ok(0) | Err(_)) => return Ok(false),
                Heard::Took(Ok(taken)) => bytes = bytes.get(taken..).unwrap_or_default(),
                Heard::Line(Some(Line { bytes, cut: false })) => heard(bytes),
                Heard::Line(Some(Line { cut: true, .. })) => return Err(self.oversized()),
                Heard::Line(None) => return Ok(false),
                Heard::Said(line) => self.said(line),
                Heard::Ended(status) => self.ended(status),
            }
        }
        Ok(true)
    }

    /// Hides further words of what it says.
    pub(super) fn mask_also(&mut self, more: Mask) {
        self.mask.join(more);
    }

    /// Says that no more input comes.
    pub(super) fn close_input(&mut self) {
        self.input = None;
    }

    /// Waits for its end. Everything it still prints on its output is dropped.
    ///
    /// # Errors
    /// `Unavailable` when it failed or does not end.
    pub(super) async fn finish(mut self) -> Result<Ended> {
        self.close_input();
        while self.line().await?.is_some() {}
        let name = self.name.clone();
        while self.err.is_some() || self.status.is_none() {
            match self
                .patiently(Self::hear_the_rest)
                .await?
                .map_err(|error| failed(&name, "cannot be waited for").source(error))?
            {
                Heard::Said(line) => self.said(line),
                Heard::Ended(status) => self.ended(status),
                Heard::Line(_) | Heard::Took(_) => {}
            }
        }
        let lost = || Error::new(ErrorKind::Internal, "a child process ended without a status");
        let status = self.status.ok_or_else(lost)?;
        if !status.success() {
            self.show_last_words();
            return Err(exited(&name, status));
        }
        debug!(program = name, "program ended");
        Ok(Ended { metrics: std::mem::take(&mut self.metrics) })
    }

    /// Notes that it ended, and kills what it left behind: that would hold its outputs open.
    fn ended(&mut self, status: ExitStatus) {
        self.status = Some(status);
        self.kill();
        self.group = None;
    }

    /// What comes when its output is closed.
    async fn hear_the_rest(&mut self) -> std::io::Result<Heard> {
        let Self { err, process, status, .. } = self;
        tokio::select! {
            line = said(err) => Ok(Heard::Said(line)),
            status = end(process, *status) => status.map(Heard::Ended),
        }
    }

    async fn patiently<T>(&mut self, step: impl AsyncFnOnce(&mut Self) -> T) -> Result<T> {
        let silence = self.silence;
        match tokio::time::timeout(silence, step(self)).await {
            Ok(heard) => Ok(heard),
            Err(_) => Err(self.hangs()),
        }
    }

    async fn hear(&mut self, bytes: &[u8]) -> Result<Heard> {
        let name = self.name.clone();
        let step = async |child: &mut Self| {
            let Self { input, out, err, process, status, .. } = child;
            let took = async {
                match input {
                    Some(input) if !bytes.is_empty() => input.write(bytes).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                line = out.next() => line.map(Heard::Line),
                line = said(err) => Ok(Heard::Said(line)),
                taken = took => Ok(Heard::Took(taken)),
                status = end(process, *status) => status.map(Heard::Ended),
            }
        };
        self.patiently(step).await?.map_err(|error| failed(&name, "cannot be read").source(error))
    }

    /// Notes a line of its stderr.
    fn said(&mut self, line: Option<Line>) {
        let Some(Line { bytes, cut: _ }) = line else {
            self.err = None;
            return;
        };
        if bytes.windows(METRIC.len()).any(|window| window == METRIC) {
            self.metrics.push(bytes.clone());
            if self.metrics.len() > MOST_METRICS {
                self.metrics.clear();
            }
        }
        let line = self.mask.line(&bytes);
        if line.trim().is_empty() {
            return;
        }
        if ["ERROR", "CRITICAL", "FATAL"].iter().any(|level| line.contains(level)) {
            warn!(program = self.name, line, "the program complains");
        } else {
            debug!(program = self.name, line, "the program says");
        }
        if self.last_words.len() == LAST_WORDS {
            self.last_words.pop_front();
        }
        self.last_words.push_back(line);
    }

    fn show_last_words(&mut self) {
        for line in self.last_words.drain(..) {
            warn!(program = self.name, line, "its last words");
        }
    }

    fn hangs(&mut self) -> Error {
        self.kill();
        self.show_last_words();
        failed(&self.name, "said nothing for too long and was stopped")
            .context("silence_secs", self.silence.as_secs().to_string())
            .hint("where it may well wait that long, raise `silence_secs`")
    }

    fn oversized(&mut self) -> Error {
        self.kill();
        Error::new(ErrorKind::Protocol, format!("{} printed a line that is longer than it may be", self.name))
            .hint("where records may be that long, raise `max_line_bytes`")
    }

    /// Kills the group: the program and what it started, unless that left the group.
    fn kill(&self) {
        if let Some(group) = self.group {
            // An error means that nobody is left.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The next line of an output that may be closed; one that cannot be read counts as closed.
async fn said(err: &mut Option<Lines<ChildStderr>>) -> Option<Line> {
    match err {
        Some(err) => err.next().await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

/// The end of a process that has not ended yet.
async fn end(process: &mut tokio::process::Child, status: Option<ExitStatus>) -> std::io::Result<ExitStatus> {
    match status {
        None => process.wait().await,
        Some(_) => std::future::pending().await,
    }
}

/// A program that ended well.
#[derive(Debug)]
pub(super) struct Ended {
    metrics: Vec<Vec<u8>>,
}

/// How Singer programs mark a metric on their stderr.
const METRIC: &[u8] = b"METRIC: ";
/// More metrics than this are not counted: what they would sum up to is not known then.
const MOST_METRICS: usize = 10_000;

impl Ended {
    /// The metrics that it printed.
    pub(super) fn metrics(&self) -> impl Iterator<Item = &[u8]> {
        self.metrics.iter().filter_map(|line| {
            let start = line.windows(METRIC.len()).position(|window| window == METRIC)? + METRIC.len();
            line.get(start..)
        })
    }
}

fn failed(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{name} {what}"))
}

fn unstartable(name: &str, error: std::io::Error) -> Error {
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => "install it, or write its path in `command`",
        std::io::ErrorKind::PermissionDenied => "make it executable for this user",
        _ => "look at the cause",
    };
    Error::new(ErrorKind::Config, format!("{name} cannot be started")).context("path", "command").hint(hint).source(error)
}

fn exited(name: &str, status: ExitStatus) -> Error {
    let error = match (status.code(), status.signal()) {
        (Some(code), _) => failed(name, "failed").context("exit_code", code.to_string()),
        (None, Some(signal)) => failed(name, "was killed").context("signal", signal.to_string()),
        (None, None) => failed(name, "failed"),
    };
    error.hint("what it said stands in the log, with secrets and people's data masked; run the program by hand to see all of it")
}
