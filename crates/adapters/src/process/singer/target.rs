//! A target as a sink: one start of the program per batch.
//!
//! Closing a target's input is the one thing that makes every target write out what it holds, so a batch is a whole run of it.
//! It is believed when it ends with 0 and has echoed the state that we sent last; and, where the user says how to look, when
//! what it holds grew by what it took. Its rows are all text, and whole: a target replaces records.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use headwater_sdk::{
    BuildContext, DeliveryRow, Error, ErrorKind, Operation, Result, RowOutcome, Sink, SinkCapability, WriteReport,
};
use serde_json::{Map, Value, json};
use tracing::error;

use super::message::Given;
use super::verify::{Held, Verify};
use crate::process::child::{Input, Program};
use crate::process::config::{Launch, TargetConfig};
use crate::process::mask::Mask;

/// The field that holds our id: the key of the stream, as the sinks of this program name it.
pub(super) const KEY: &str = "headwater_id";
/// How many rows a target may refuse one after the other before it took any: more, and it is the target that does not work.
const LONE_FAILURES: usize = 3;
/// What is written at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// A Singer target.
#[derive(Debug)]
pub(crate) struct TargetSink {
    program: Arc<Program>,
    stream: String,
    batch_rows: usize,
    verify: Option<Verify>,
}

impl TargetSink {
    pub(crate) fn new(config: TargetConfig, cx: &BuildContext) -> Result<Self> {
        let TargetConfig { command, config, config_file, env, silence_secs, max_line_bytes, stream, batch_rows, verify } = config;
        let launch = Launch {
            command: &command,
            config: &config,
            config_file: config_file.as_deref(),
            env: &env,
            silence_secs,
            max_line_bytes,
        };
        Ok(Self {
            program: Arc::new(launch.program(cx)?),
            stream,
            batch_rows: usize::try_from(batch_rows.get()).unwrap_or(usize::MAX),
            verify: verify.map(|verify| Verify::new(verify, cx)).transpose()?,
        })
    }

    /// Runs the target over these lines. Whether it echoed `mark` as its last word.
    async fn run(&self, lines: impl Iterator<Item = Result<Vec<u8>>>, mark: &Value, mask: Mask) -> Result<bool> {
        let (files, config) = self.program.files()?;
        let mut child = self.program.start(&["--config".as_ref(), &config], Some(files), Input::Pipe)?;
        child.mask_also(mask);
        let mut last = None;
        let mut heard = |line: Vec<u8>| {
            if let Ok(value) = serde_json::from_slice::<Value>(&line) {
                last = Some(value);
            }
        };
        let mut chunk = Vec::new();
        let mut takes = true;
        for line in lines {
            chunk.extend(line?);
            if chunk.len() >= CHUNK_BYTES {
                takes = takes && child.feed(&chunk, &mut heard).await?;
                chunk.clear();
            }
        }
        takes = takes && child.feed(&chunk, &mut heard).await?;
        child.close_input();
        while let Some(line) = child.line().await? {
            heard(line);
        }
        child.finish().await?;
        Ok(takes && last.as_ref() == Some(mark))
    }

    /// Runs the target over rows and says which it will not take, with the reason. A target that exits over them is given their halves
    /// apart, until the rows at fault stand alone. One that takes none of the first rows is at fault itself.
    async fn refused(&self, rows: &[&DeliveryRow]) -> Result<Vec<Option<String>>> {
        let mut refused: Vec<Option<String>> = vec![None; rows.len()];
        let (mut passed, mut alone) = (false, 0);
        let mut parts = vec![(0, rows.len())];
        while let Some((start, end)) = parts.pop() {
            let Some(given) = rows.get(start..end) else { continue };
            let mark = mark(&self.stream, given);
            let mut mask = Mask::default();
            given.iter().flat_map(|row| row.fields.values().flatten()).for_each(|value| mask.hide(value));
            match self.run(self.lines(given, &mark), &mark, mask).await {
                Ok(true) => passed = true,
                Ok(false) => {
                    return Err(Error::new(ErrorKind::Protocol, "the target ended without confirming the batch")
                        .context("rows", given.len().to_string())
                        .hint("a target prints the last STATE that it was given once all before it is safe"));
                }
                // What was loaded before the exit would stand there twice.
                Err(error) if self.verify.as_ref().is_some_and(Verify::appends) => return Err(error),
                Err(error) => match error.context_of("exit_code").map(str::to_owned) {
                    Some(_) if given.len() > 1 => {
                        let middle = start + given.len() / 2;
                        parts.extend([(middle, end), (start, middle)]);
                    }
                    Some(code) if rows.len() > 1 && (passed || alone < LONE_FAILURES) => {
                        alone += 1;
                        if let Some(slot) = refused.get_mut(start) {
                            *slot = Some(format!("the target exits with {code} over this row; what it said stands in the log"));
                        }
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(refused)
    }

    fn lines<'a>(&'a self, rows: &'a [&DeliveryRow], mark: &'a Value) -> impl Iterator<Item = Result<Vec<u8>>> + 'a {
        let names: BTreeSet<&str> = rows.iter().flat_map(|row| row.fields.keys()).map(String::as_str).collect();
        let text = json!({"type": ["string", "null"]});
        let mut properties: Map<String, Value> = names.into_iter().map(|name| (name.to_owned(), text.clone())).collect();
        properties.insert(KEY.to_owned(), json!({"type": "string"}));
        let schema = json!({"type": "object", "properties": properties});
        let schema = Given::Schema { stream: &self.stream, schema, key_properties: [KEY] };
        let record = |row: &&DeliveryRow| {
            let mut record: Map<String, Value> =
                row.fields.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            record.insert(KEY.to_owned(), id(row).into());
            Given::Record { stream: &self.stream, record: Value::Object(record) }
        };
        let given = std::iter::once(schema).chain(rows.iter().map(record)).chain([Given::State { value: mark }]);
        given.map(|given| {
            given.line().map_err(|error| Error::new(ErrorKind::Internal, "a message cannot be written").source(error))
        })
    }

    /// What became of rows that the target says it wrote.
    async fn outcomes(&self, rows: &[&DeliveryRow], before: Option<&Held>) -> Result<Vec<RowOutcome>> {
        let Some(verify) = &self.verify else { return Ok(rows.iter().map(|row| written(row)).collect()) };
        let ids: Vec<&str> = rows.iter().map(|row| id(row)).collect();
        let lost = match (before, verify.held(&self.program, &ids).await?) {
            (_, Held::Keys(held)) => {
                let lost: Vec<bool> = ids.iter().map(|id| !held.contains(*id)).collect();
                let count = lost.iter().filter(|lost| **lost).count();
                if count == 0 {
                    return Ok(rows.iter().map(|row| written(row)).collect());
                }
                error!(
                    target_program = self.program.name(),
                    sent = rows.len(),
                    lost = count,
                    "the target lost records that it confirmed"
                );
                let reason = "the target confirmed the row and does not hold it";
                return Ok(rows.iter().zip(lost).map(|(row, lost)| if lost { rejected(reason) } else { written(row) }).collect());
            }
            (Some(Held::Total(before)), Held::Total(after)) => verify.lost(rows, *before, after),
            (_, Held::Total(after)) => verify.lost(rows, 0, after),
        };
        let Some((least, grown)) = lost else { return Ok(rows.iter().map(|row| written(row)).collect()) };
        let sent = rows.len();
        error!(target_program = self.program.name(), sent, least, grown, "the target confirmed more records than it holds");
        let reason = format!(
            "the target confirmed {sent} rows, and what it holds grew by {grown}, not by {least}; a total cannot tell which are \
             missing: let `verify` answer with `keys`"
        );
        Ok(rows.iter().map(|_| rejected(&reason)).collect())
    }
}

#[async_trait]
impl Sink for TargetSink {
    fn capability(&self) -> SinkCapability {
        SinkCapability { max_rows: self.batch_rows, lookup: false, calls_per_row: 0 }
    }

    fn whole_rows(&self) -> bool {
        true
    }

    /// Runs the target on nothing but a state, and counts what it holds.
    async fn check(&self) -> Result<()> {
        let mark = json!({"headwater": "check"});
        let state = Given::State { value: &mark }.line();
        let state = state.map_err(|error| Error::new(ErrorKind::Internal, "a message cannot be written").source(error));
        // Not every target echoes a state that follows no record.
        self.run(std::iter::once(state), &mark, Mask::default()).await.map(drop)
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        if rows.iter().any(|row| row.fields.contains_key(KEY)) {
            return Err(Error::new(ErrorKind::Config, format!("the field `{KEY}` is the sink's own"))
                .hint("give the field in `map` another name"));
        }
        let ids: Vec<&str> = rows.iter().map(id).collect();
        let before = match &self.verify {
            Some(verify) if !rows.is_empty() => verify.before(&self.program, &ids).await,
            Some(_) | None => None,
        };
        // A create whose first answer was lost is not sent again where we can see that it arrived.
        let there = |row: &DeliveryRow| match &before {
            Some(Held::Keys(held)) => row.doubtful && row.operation == Operation::Create && held.contains(id(row)),
            Some(Held::Total(_)) | None => false,
        };
        let send: Vec<&DeliveryRow> = rows.iter().filter(|row| !there(row)).collect();
        let mut sent = Vec::new();
        if !send.is_empty() {
            let refused = self.refused(&send).await?;
            let taken: Vec<&DeliveryRow> =
                send.iter().zip(&refused).filter(|(_, refused)| refused.is_none()).map(|(row, _)| *row).collect();
            let mut taken = self.outcomes(&taken, before.as_ref()).await?.into_iter();
            sent = refused
                .into_iter()
                .filter_map(|refused| refused.map_or_else(|| taken.next(), |why| Some(rejected(&why))))
                .collect();
        }
        let mut sent = sent.into_iter();
        let unchanged = |row| RowOutcome::Unchanged { remote_id: id(row).to_owned() };
        let outcomes = rows.iter().filter_map(|row| if there(row) { Some(unchanged(row)) } else { sent.next() });
        WriteReport::new(rows.len(), outcomes.collect())
    }
}

/// The id under which the target has, or will have, the row.
fn id(row: &DeliveryRow) -> &str {
    match &row.operation {
        Operation::Create => &row.prospect_id,
        Operation::Update { remote_id } => remote_id,
    }
}

/// A state that no other batch has.
fn mark(stream: &str, rows: &[&DeliveryRow]) -> Value {
    let last = rows.last().map(|row| row.key.as_str()).unwrap_or_default();
    json!({"bookmarks": {stream: {"headwater_rows": rows.len(), "headwater_last": last}}})
}

fn written(row: &DeliveryRow) -> RowOutcome {
    let remote_id = id(row).to_owned();
    match row.operation {
        Operation::Create => RowOutcome::Created { remote_id },
        Operation::Update { .. } => RowOutcome::Updated { remote_id },
    }
}

fn rejected(reason: &str) -> RowOutcome {
    RowOutcome::Rejected { reason: reason.to_owned() }
}
