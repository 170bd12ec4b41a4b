//! People into events, one outcome each.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use headwater_sdk::{
    BuildContext, Clock, DeliveryRow, Error, ErrorKind, Operation, Pace, Result, RowOutcome, Sink, SinkCapability, WriteReport,
    Writes,
};
use serde::Serialize;

use super::client::{Client, Told, WINDOW};
use super::config::SinkConfig;

/// Events of one call, where each person has their own.
const EVENTS: usize = 200;
/// Events under way at once.
const AT_ONCE: usize = 4;
/// Hexadecimal digits of an id: 128 bits.
const ID_DIGITS: usize = 32;

/// A receiver as a sink.
#[derive(Debug)]
pub(crate) struct WebhookSink {
    client: Client,
    clock: Clock,
    batch_rows: usize,
    pace: Pace,
}

/// An event, as it is posted.
#[derive(Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    of_type: &'a str,
    timestamp: String,
    data: T,
}

/// What an event says of one person.
#[derive(Serialize)]
struct Person<'a> {
    /// What this delivery is known by: the same delivery has the same id in every attempt and in every batch.
    id: String,
    change: &'static str,
    prospect_id: &'a str,
    fields: &'a headwater_sdk::Fields,
}

/// What an event says of several.
#[derive(Serialize)]
struct Several<'a> {
    prospects: Vec<Person<'a>>,
}

impl WebhookSink {
    /// # Errors
    /// `Config` when the address or a secret cannot be used.
    pub(crate) fn new(config: &SinkConfig, cx: &BuildContext) -> Result<Self> {
        let pace = Pace { calls: config.requests_per_10s.get(), per: WINDOW };
        let client = Client::new(config, cx)?;
        Ok(Self { client, clock: cx.clock.clone(), batch_rows: usize::from(config.batch_rows.get()), pace })
    }

    /// The events that tell of these rows: each with its id, its body and how many rows it is about.
    fn events(&self, rows: &[DeliveryRow]) -> Result<Vec<(String, Vec<u8>, usize)>> {
        let timestamp = self.clock.now().to_string();
        let json = |event: serde_json::Result<Vec<u8>>| {
            event.map_err(|error| Error::new(ErrorKind::Internal, "an event cannot be written").source(error))
        };
        if self.batch_rows == 1 {
            let event = |row| {
                let data = about(row);
                let id = data.id.clone();
                let of_type = if data.change == "created" { "prospect.created" } else { "prospect.updated" };
                Ok((id, json(serde_json::to_vec(&Event { of_type, timestamp: timestamp.clone(), data }))?, 1))
            };
            return rows.iter().map(event).collect();
        }
        let event = |rows: &[DeliveryRow]| {
            let prospects: Vec<Person<'_>> = rows.iter().map(about).collect();
            let ids: Vec<&str> = prospects.iter().map(|told| told.id.as_str()).collect();
            let id = hashed(&ids);
            let of_type = "prospects.changed";
            let data = Several { prospects };
            Ok((id, json(serde_json::to_vec(&Event { of_type, timestamp: timestamp.clone(), data }))?, rows.len()))
        };
        rows.chunks(self.batch_rows).map(event).collect()
    }
}

#[async_trait]
impl Sink for WebhookSink {
    fn capability(&self) -> SinkCapability {
        // A batch is a call of its own, so that a refused one can be halved.
        let max_rows = if self.batch_rows == 1 { EVENTS } else { self.batch_rows };
        SinkCapability { max_rows, lookup: false, calls_per_row: 1 }
    }

    /// An event says all that we have of a person: its receiver cannot be asked what it knows already.
    fn whole_rows(&self) -> bool {
        true
    }

    async fn check(&self) -> Result<()> {
        self.client.probe().await
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        let mut outcomes: Vec<RowOutcome> = Vec::with_capacity(rows.len());
        let mut rest = rows;
        let mut pause: Option<(String, Option<Duration>)> = None;
        let events = self.events(rows)?;
        for group in events.chunks(AT_ONCE) {
            if let Some((reason, after)) = &pause {
                // A receiver that asks for patience is asked nothing more in this call.
                let waits = group.iter().map(|(_, _, rows)| rows).sum();
                outcomes.extend(std::iter::repeat_n(later(reason, *after), waits));
                continue;
            }
            let answers = join_all(group.iter().map(|(id, body, _)| self.client.post(id, body.clone()))).await;
            let heard = |answer: &Result<Told>| matches!(answer, Ok(Told::Taken | Told::Known | Told::Refused(_)));
            let any = answers.iter().any(heard) || outcomes.iter().any(is_told);
            for ((_, _, about), told) in group.iter().zip(answers) {
                let (these, others) = rest.split_at_checked(*about).unwrap_or((rest, &[]));
                rest = others;
                match told {
                    Ok(Told::Taken) => outcomes.extend(these.iter().map(taken)),
                    Ok(Told::Known) => outcomes.extend(these.iter().map(|row| RowOutcome::Unchanged { remote_id: id_of(row) })),
                    // Of a batch nobody knows which row is at fault, unless it is the only one.
                    Ok(Told::Refused(reason)) if *about > 1 => return Err(Error::new(ErrorKind::Rejected, reason)),
                    Ok(Told::Refused(reason)) => outcomes.push(RowOutcome::Rejected { reason }),
                    Ok(Told::Later { reason, after }) => {
                        outcomes.extend(std::iter::repeat_n(later(&reason, after), *about));
                        pause = Some((reason, after));
                    }
                    Err(error) if any => {
                        // What was told must be reported; the next call will end with this error.
                        let reason = error.message().to_owned();
                        outcomes.extend(std::iter::repeat_n(later(&reason, None), *about));
                        pause = Some((reason, None));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        WriteReport::new(rows.len(), outcomes)
    }

    fn calls_to_write(&self, writes: Writes) -> usize {
        let Writes { creates, updates, removals: _, ties: _ } = writes;
        (creates + updates).div_ceil(self.batch_rows)
    }

    fn calls_made(&self) -> Option<u64> {
        Some(self.client.sent())
    }

    fn calls_today(&self) -> Option<u64> {
        self.client.sent_today()
    }

    fn pace(&self) -> Option<Pace> {
        Some(self.pace)
    }
}

fn about(row: &DeliveryRow) -> Person<'_> {
    let change = match row.operation {
        Operation::Create => "created",
        Operation::Update { .. } => "updated",
    };
    let fields = serde_json::to_string(&row.fields).unwrap_or_default();
    Person { id: hashed(&[change, &row.key, &fields]), change, prospect_id: &row.prospect_id, fields: &row.fields }
}

/// An id made of what it names.
fn hashed(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let digits = hasher.finalize().to_hex();
    format!("msg_{}", digits.get(..ID_DIGITS).unwrap_or(&digits))
}

/// What the receiver keeps a person under, as far as we know: our own id.
fn id_of(row: &DeliveryRow) -> String {
    match &row.operation {
        Operation::Create => row.prospect_id.clone(),
        Operation::Update { remote_id } => remote_id.clone(),
    }
}

fn taken(row: &DeliveryRow) -> RowOutcome {
    match row.operation {
        Operation::Create => RowOutcome::Created { remote_id: id_of(row) },
        Operation::Update { .. } => RowOutcome::Updated { remote_id: id_of(row) },
    }
}

fn later(reason: &str, after: Option<Duration>) -> RowOutcome {
    RowOutcome::Retry { reason: reason.to_owned(), after }
}

fn is_told(outcome: &RowOutcome) -> bool {
    !matches!(outcome, RowOutcome::Retry { .. })
}
