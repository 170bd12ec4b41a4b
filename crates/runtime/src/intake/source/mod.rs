//! The intake log as a source like any other.

mod answers;
mod mapping;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vendor_tests;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use headwater_model::checkpoint::Checkpoint;
use headwater_model::mapping::{Origin, Role};
use headwater_model::page::{Page, Places, Refused};
use headwater_sdk::{
    BuildContext, ConfigDoc, Connector, ConnectorSpec, Error, ErrorKind, EventStream, Result, Retry, Source, SourceEvent,
    StreamSpec,
};
use headwater_store::LedgerOp;
use serde_json::{Value, json};

use self::answers::Answers;
use crate::intake::config::IntakeConfig;
use crate::intake::endpoint::Endpoint;
use crate::intake::log::{Delivery, IntakeLog, LogError};
use crate::intake::payload::{self, Submission, Unreadable};
use crate::intake::signature::{TOKEN_ONLY, UNSIGNED, VERIFIED};

/// The name used in `connector:`.
pub const NAME: &str = "intake";

/// The one stream of an intake source.
const STREAM: &str = "submissions";

/// Where a delivery stands, before its number.
const PLACE: &str = "intake";
/// The version of the checkpoint's shape, `{"seq": N}`.
const CHECKPOINT_VERSION: u16 = 1;

/// Deliveries asked of the log at a time, at most; fewer where bodies may be large, so that they hold little more than a page.
const FETCH_ROWS: usize = 100;

/// Deliveries between two checkpoints.
const PAGE_ROWS: usize = 1_000;

/// Bytes of bodies after which a page is given early.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Columns of a page: forms differ, and a page has the columns of all of its rows.
const PAGE_COLUMNS: usize = 2_000;

/// How much of a refused body is kept beside the reason.
const REFUSED_RAW_BYTES: usize = 4_096;

/// Makes intake sources over one log. Without a log it can say what it is, so that a project can be loaded before its store is open.
#[derive(Default)]
pub struct IntakeConnector {
    log: Option<Arc<dyn IntakeLog>>,
}

impl IntakeConnector {
    /// Sources over `log`.
    #[must_use]
    pub fn over(log: Arc<dyn IntakeLog>) -> Self {
        Self { log: Some(log) }
    }
}

impl std::fmt::Debug for IntakeConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntakeConnector").field("has_log", &self.log.is_some()).finish()
    }
}

impl Connector for IntakeConnector {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: NAME,
            title: "Web forms",
            summary: "takes web forms and the webhooks of form, ad and email tools that are posted to `headwater serve`".into(),
            source_schema: Some(schemars::schema_for!(IntakeConfig).to_value()),
            sink_schema: None,
            readme: include_str!("../README.md"),
        }
    }

    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
        let log = self.log.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "the intake connector has no log to read"))?;
        Ok(Box::new(IntakeSource {
            source: config.connection.clone(),
            config: config.parse()?,
            cx: cx.clone(),
            log: Arc::clone(log),
        }))
    }
}

/// Reads the deliveries of one source from the log. Needs no secret: those were used when the deliveries came.
pub struct IntakeSource {
    source: String,
    config: IntakeConfig,
    cx: BuildContext,
    log: Arc<dyn IntakeLog>,
}

impl std::fmt::Debug for IntakeSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntakeSource").field("source", &self.source).finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for IntakeSource {
    /// That the log can be read, and that `serve` will find its secrets.
    async fn check(&self) -> Result<()> {
        Endpoint::new(self.config.clone(), &self.cx)?;
        Answers::new(&self.config, &self.cx)?;
        self.log.depth().await.map_err(unavailable).map(drop)
    }

    async fn streams(&self) -> Result<Vec<StreamSpec>> {
        let provider = self.config.provider.provider();
        Ok(vec![StreamSpec {
            name: STREAM.to_owned(),
            role: provider.map_or(Role::Leads, |provider| provider.role),
            origin: provider.map_or(Origin::Form, |provider| provider.origin),
            // Not known before they come: a list would make a rule for a field that is not among them look wrong.
            fields: Vec::new(),
            mapping: mapping::of(self.config.provider),
            vendor: provider.filter(|provider| provider.person_ids).map(|provider| provider.name.to_owned()),
            whole: false,
            notes: Some("the fields are those of each form; `preview` shows the ones that wait".to_owned()),
        }])
    }

    async fn read(&self, _: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream> {
        let seq = from.as_ref().map(position).transpose()?.unwrap_or(0);
        let (log, source) = (Arc::clone(&self.log), self.source.clone());
        let reading = Arc::new(Reading { config: self.config.clone(), answers: Answers::new(&self.config, &self.cx)? });
        let steps = stream::try_unfold(seq, move |seq| {
            let (log, source, reading) = (Arc::clone(&log), source.clone(), Arc::clone(&reading));
            async move {
                let fetch_rows = (PAGE_BYTES / reading.config.max_body_bytes()).clamp(1, FETCH_ROWS);
                let deliveries = next_deliveries(log.as_ref(), &source, seq, fetch_rows).await?;
                let Some(last) = deliveries.last().map(|delivery| delivery.seq) else {
                    return Ok(None);
                };
                let checkpoint = SourceEvent::Checkpoint(Checkpoint::new(CHECKPOINT_VERSION, json!({ "seq": last })));
                let pages = pages(&deliveries, &reading).await?.into_iter().map(SourceEvent::Page);
                let events: Vec<Result<SourceEvent>> = pages.chain([checkpoint]).map(Ok).collect();
                Ok::<_, Error>(Some((stream::iter(events), last)))
            }
        });
        Ok(steps.try_flatten().boxed())
    }
}

/// What belongs into the commit that takes the deliveries before `checkpoint` over into the lake: their bodies are then cleared, since the
/// lake has them.
#[must_use]
pub fn taken_over(source: &str, checkpoint: &Checkpoint) -> Option<LedgerOp> {
    let upto = position(checkpoint).ok()?;
    Some(LedgerOp::IntakeTaken { source: source.to_owned(), upto })
}

fn position(checkpoint: &Checkpoint) -> Result<i64> {
    let seq = checkpoint.state.get("seq").and_then(Value::as_i64).filter(|_| checkpoint.version == CHECKPOINT_VERSION);
    seq.ok_or_else(|| {
        Error::new(ErrorKind::Config, "the stored position of this source is of another kind")
            .hint("was the source's connector changed? read it again with `headwater sync --full-refresh`")
    })
}

fn unavailable(error: LogError) -> Error {
    let kind = match &error {
        LogError::Busy | LogError::Unavailable(_) => ErrorKind::Unavailable,
        LogError::DiskFull => ErrorKind::Internal,
    };
    Error::new(kind, error.to_string()).retry(Retry::Backoff).source(error)
}

/// The deliveries after `seq`, until there are enough for a page or no more.
async fn next_deliveries(log: &dyn IntakeLog, source: &str, mut seq: i64, fetch_rows: usize) -> Result<Vec<Delivery>> {
    let (mut all, mut bytes) = (Vec::new(), 0);
    while all.len() < PAGE_ROWS && bytes < PAGE_BYTES {
        let found = log.after(source, seq, fetch_rows.min(PAGE_ROWS - all.len())).await.map_err(unavailable)?;
        let Some(last) = found.last() else { break };
        // A log that does not move on would be read for ever.
        if last.seq <= seq {
            return Err(Error::new(ErrorKind::Internal, "the intake log gave a delivery that was read before"));
        }
        seq = last.seq;
        bytes += found.iter().map(|delivery| delivery.body.len()).sum::<usize>();
        all.extend(found);
    }
    Ok(all)
}

/// What a read of the log needs beside the log.
struct Reading {
    config: IntakeConfig,
    answers: Answers,
}

/// Pages of deliveries whose signatures were judged alike, in order.
async fn pages(deliveries: &[Delivery], reading: &Reading) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    let mut building = Building::default();
    for delivery in deliveries {
        let status = match delivery.signature_status.as_str() {
            VERIFIED => VERIFIED,
            TOKEN_ONLY => TOKEN_ONLY,
            _ => UNSIGNED,
        };
        if building.status != Some(status) && building.status.is_some() {
            pages.push(std::mem::take(&mut building).page()?);
        }
        building.status = Some(status);
        match payload::read(delivery, reading.config.provider, reading.config.honeypot.as_deref()) {
            Ok(submissions) => {
                let several = submissions.len() > 1;
                let submissions = reading.answers.to(submissions, status).await?;
                for (index, submission) in submissions.into_iter().enumerate() {
                    match submission {
                        Ok(submission) => {
                            if building.columns_with(&submission) > PAGE_COLUMNS {
                                pages.push(std::mem::replace(&mut building, Building::of(status)).page()?);
                            }
                            building.push(delivery, several.then_some(index), submission);
                        }
                        Err(refused) => building.refuse(delivery, refused),
                    }
                }
            }
            Err(unreadable) => building.refuse(delivery, unreadable),
        }
    }
    if building.status.is_some() {
        pages.push(building.page()?);
    }
    Ok(pages)
}

fn place(seq: i64) -> String {
    format!("{PLACE}:{seq}")
}

fn cut(body: &[u8]) -> String {
    String::from_utf8_lossy(body.get(..REFUSED_RAW_BYTES).unwrap_or(body)).into_owned()
}

/// A page while it is made.
#[derive(Default)]
struct Building {
    status: Option<&'static str>,
    names: Vec<String>,
    columns: HashMap<String, Vec<Option<String>>>,
    raw: Vec<String>,
    keys: Vec<String>,
    deleted: Vec<bool>,
    received_at: Vec<i64>,
    seqs: Vec<u64>,
    refused: Vec<Refused>,
}

impl Building {
    fn of(status: &'static str) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    fn columns_with(&self, submission: &Submission) -> usize {
        self.names.len() + submission.fields.iter().filter(|(name, _)| !self.columns.contains_key(name)).count()
    }

    fn refuse(&mut self, delivery: &Delivery, unreadable: Unreadable) {
        let Unreadable { code, field, reason } = unreadable;
        self.refused.push(Refused { place: place(delivery.seq), code, field, reason, raw: cut(&delivery.body) });
    }

    fn push(&mut self, delivery: &Delivery, index: Option<usize>, submission: Submission) {
        let Submission { fields, raw, id, deleted, fetch: _ } = submission;
        let row = self.raw.len();
        for (name, value) in fields {
            let column = self.columns.entry(name).or_insert_with_key(|name| {
                self.names.push(name.clone());
                Vec::new()
            });
            column.resize(row, None);
            column.push(value);
        }
        // Who may post anything must not be able to post a new version of somebody else's submission.
        let id = id.filter(|_| self.status != Some(UNSIGNED));
        self.keys.push(match (id, index) {
            (Some(id), _) => id,
            (None, None) => delivery.delivery_key.clone(),
            (None, Some(index)) => format!("{}#{index}", delivery.delivery_key),
        });
        self.raw.push(raw);
        self.deleted.push(deleted);
        self.received_at.push(delivery.received_at_us);
        self.seqs.push(delivery.seq.unsigned_abs());
    }

    fn page(self) -> Result<Page> {
        let Self { status, names, mut columns, raw, keys, deleted, received_at, seqs, refused } = self;
        let rows = raw.len();
        let arrays: Vec<ArrayRef> = names
            .iter()
            .map(|name| {
                let mut column = columns.remove(name).unwrap_or_default();
                column.resize(rows, None);
                Arc::new(StringArray::from(column)) as ArrayRef
            })
            .collect();
        let schema = Schema::new(names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>());
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options).map_err(bug)?;
        let places = Places::Lines { file: PLACE.to_owned(), lines: seqs };
        let mut page = Page::new(batch, places).map_err(bug)?;
        page.raw = Some(StringArray::from(raw));
        page.keys = Some(StringArray::from(keys));
        page.deleted = deleted.contains(&true).then_some(deleted);
        page.received_at = Some(Int64Array::from(received_at));
        page.signature_status = status;
        page.refused = refused;
        Ok(page)
    }
}

fn bug(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "a page of intake rows does not hold together").source(error)
}
