//! What Singer and Airbyte have in common when a stream is read.

use std::time::Duration;

use async_stream::try_stream;
use futures::StreamExt as _;
use headwater_model::checkpoint::Checkpoint;
use headwater_sdk::{Clock, Error, ErrorKind, EventStream, Result, SourceEvent};
use serde::{Deserialize, Serialize};

use super::child::{Child, Ended};
use super::fields::without_bare_words;
use super::pager::Pager;

const VERSION: u16 = 1;
/// A checkpoint is a durable commit, and some programs print a state with every record. So one is handed on after this many
/// records, or when this much time has passed since the last.
const CHECKPOINT_ROWS: u64 = 5_000;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// How often states become checkpoints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) rows: u64,
    pub(super) every: Duration,
}

impl Pace {
    /// This pace, or none before the end where the program's states cannot be trusted.
    pub(super) fn where_resumable(self, resumable: bool) -> Self {
        if resumable { self } else { Self { rows: u64::MAX, every: Duration::MAX } }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { rows: CHECKPOINT_ROWS, every: CHECKPOINT_EVERY }
    }
}

/// A protocol's part of reading one stream.
pub(super) trait Dialect: Send + 'static {
    /// Takes a line of the program's output.
    fn line(&mut self, line: &[u8]) -> Result<Step>;

    /// The records so far.
    fn pager(&mut self) -> &mut Pager;

    /// The position that the last state says; `ended`: the stream was read to its end.
    fn position(&self, ended: bool) -> Position;

    /// What is wrong with a read that broke off, in the program's own words, where it said any.
    fn blame(&mut self) -> Option<Error>;

    /// What is wrong with a read that came to its end.
    fn verdict(&mut self, ended: &Ended) -> Result<()>;

    /// What a read that came to its end, with nothing wrong, says of records that are gone.
    fn whole(&self) -> Whole;
}

/// Whether a read that came to its end showed everything that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    /// Nobody says so.
    No,
    /// It did, together with the one that broke off in whose middle it began, if it began there.
    Yes {
        /// Whether it began in the middle of another.
        resumed: bool,
    },
}

/// What a line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A state, which covers every record before it.
    State,
    /// Anything else.
    Other,
}

/// The states that the program is given next time, each as the text that it came as.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// Key and text. Singer has one state, and its key is empty.
    pub(super) states: Vec<(String, String)>,
}

impl Position {
    /// The position of a checkpoint.
    pub(super) fn of(checkpoint: Option<Checkpoint>) -> Result<Self> {
        let Some(Checkpoint { version, state }) = checkpoint else { return Ok(Self::default()) };
        let wrong = || {
            Error::new(ErrorKind::Config, "the stored position is not one of this connector")
                .hint("`--full-refresh` reads the source from its beginning")
        };
        if version != VERSION {
            return Err(wrong().context("version", version.to_string()));
        }
        serde_json::from_value(state).map_err(|error| wrong().source(error))
    }

    /// Puts a state in the place of the one with its key.
    pub(super) fn set(&mut self, key: &str, text: &str) {
        match self.states.iter_mut().find(|(known, _)| known == key) {
            Some((_, state)) => text.clone_into(state),
            None => self.states.push((key.to_owned(), text.to_owned())),
        }
    }

    /// What a read that begins here shows, of a stream that is `declared` to show everything when it is read from its beginning.
    pub(super) fn whole(&self, declared: bool) -> Whole {
        if declared { Whole::Yes { resumed: !self.states.is_empty() } } else { Whole::No }
    }

    fn checkpoint(&self) -> Result<Checkpoint> {
        let state = serde_json::to_value(self)
            .map_err(|error| Error::new(ErrorKind::Internal, "a position cannot be written").source(error))?;
        Ok(Checkpoint::new(VERSION, state))
    }
}

/// The events of a running program. Dropping the stream kills it.
pub(super) fn events<D: Dialect>(mut child: Child, mut dialect: D, pace: Pace, clock: Clock) -> EventStream {
    try_stream! {
        let (mut covered, mut at) = (0, clock.now_us());
        let every = i64::try_from(pace.every.as_micros()).unwrap_or(i64::MAX);
        while let Some(line) = child.line().await? {
            let step = dialect.line(&line)?;
            let seen = dialect.pager().seen();
            let due = step == Step::State && seen > covered && (seen - covered >= pace.rows || clock.now_us() - at >= every);
            if due || dialect.pager().full() {
                for page in dialect.pager().take()? {
                    yield SourceEvent::Page(page);
                }
            }
            if due {
                (covered, at) = (seen, clock.now_us());
                yield SourceEvent::Checkpoint(dialect.position(false).checkpoint()?);
            }
        }
        let ended = child.finish().await.map_err(|error| dialect.blame().unwrap_or(error))?;
        dialect.verdict(&ended)?;
        dialect.pager().report();
        for page in dialect.pager().take()? {
            yield SourceEvent::Page(page);
        }
        if let Whole::Yes { resumed } = dialect.whole() {
            yield SourceEvent::Whole { resumed, shifting: false };
        }
        yield SourceEvent::Checkpoint(dialect.position(true).checkpoint()?);
    }
    .boxed()
}

/// The message that stands on a line; `spare` holds it where it had to be mended. None: the line is no message but something
/// that the program says.
///
/// # Errors
/// `Protocol` for a message that is broken: it may have been a record.
pub(super) fn message<'a, M: Deserialize<'a>>(line: &'a [u8], spare: &'a mut Vec<u8>) -> Result<Option<M>> {
    let line = line.trim_ascii();
    if line.first() != Some(&b'{') {
        return Ok(None);
    }
    match serde_json::from_slice(line) {
        Ok(message) => Ok(Some(message)),
        Err(error) => {
            *spare = without_bare_words(line).ok_or_else(|| broken(&error))?;
            serde_json::from_slice(spare).map(Some).map_err(|_| broken(&error))
        }
    }
}

/// A message that cannot be read; the cause is told without its text.
pub(super) fn broken(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Protocol, "the program printed a damaged message, which may have been a record")
        .context("column", error.column().to_string())
        .hint("nothing but messages may stand on its output; look whether two threads or a library print there too")
}
