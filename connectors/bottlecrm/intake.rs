//! Leads through the CRM's own lead webhook, which knows one that comes twice.
//!
//! Nothing can be read back: what a lead has is the CRM's to keep. It makes a lead of an id that it does not know, answers
//! `duplicate` to one that it does, and `merged` where the address is known already: then it fills what is empty and changes nothing.
//! Invariant: a change goes under an id of its own, so that the CRM looks at it, and only with an address, by which it finds the lead.

use std::time::Duration;

use async_trait::async_trait;
use headwater_sdk::{
    BuildContext, DeliveryRow, Error, ErrorKind, Operation, Result, Retry, RowOutcome, Sink, SinkCapability, WriteReport,
};
use serde_json::{Map, Value};

use super::client::{Client, refusal};
use super::config::SinkConfig;

/// Rows of one call; the CRM takes one a request.
const MAX_ROWS: usize = 100;
/// The field by which the CRM finds a lead.
const EMAIL: &str = "email";

/// A lead webhook of one organisation.
#[derive(Debug)]
pub(crate) struct IntakeSink {
    client: Client,
    intake: String,
}

impl IntakeSink {
    /// # Errors
    /// `Config` when the address, the key or the webhook's id is missing or cannot be used.
    pub(crate) fn new(config: &SinkConfig, cx: &BuildContext) -> Result<Self> {
        let intake = config.intake_id.clone().filter(|id| !id.is_empty()).ok_or_else(|| {
            Error::new(ErrorKind::Config, "`object: intake` needs the id of a lead webhook")
                .context("path", "object")
                .hint("write `intake_id`, which stands in the webhook's address: Settings, Lead webhooks")
        })?;
        Ok(Self { client: Client::new(config, cx)?, intake })
    }

    async fn take(&self, row: &DeliveryRow) -> Result<RowOutcome> {
        let mut body: Map<String, Value> = Map::new();
        for (name, value) in &row.fields {
            if let Some(value) = value {
                body.insert(name.clone(), Value::String(value.clone()));
            }
        }
        let id = match &row.operation {
            Operation::Create => row.prospect_id.clone(),
            Operation::Update { .. } if !body.contains_key(EMAIL) => {
                let reason = "the intake finds a lead that it has by its address alone: map `email`, or write `object: leads`";
                return Ok(RowOutcome::Rejected { reason: reason.to_owned() });
            }
            Operation::Update { .. } => format!("{}:{}", row.prospect_id, digest(row)),
        };
        body.insert("external_id".to_owned(), Value::String(id));
        let (result, lead) = match self.client.take_in(&self.intake, body).await {
            Ok(told) => told,
            Err(error) => return refusal(error).map(|reason| RowOutcome::Rejected { reason }),
        };
        Ok(match (result.as_str(), &row.operation) {
            ("created", _) => RowOutcome::Created { remote_id: lead },
            ("merged", _) => RowOutcome::Updated { remote_id: lead },
            ("duplicate", Operation::Create) => RowOutcome::Unchanged { remote_id: lead },
            // This very change was taken before.
            ("duplicate", Operation::Update { .. }) => RowOutcome::Updated { remote_id: lead },
            _ => RowOutcome::Rejected { reason: format!("the CRM answered `{result}` and kept no lead") },
        })
    }
}

#[async_trait]
impl Sink for IntakeSink {
    fn capability(&self) -> SinkCapability {
        SinkCapability { max_rows: MAX_ROWS, lookup: false, calls_per_row: 1 }
    }

    /// The CRM finds the lead of a change by its address.
    fn whole_rows(&self) -> bool {
        true
    }

    /// A post that holds nothing is refused once the key is known to be right.
    async fn check(&self) -> Result<()> {
        match self.client.take_in(&self.intake, Map::new()).await {
            Ok(_) => Ok(()),
            Err(error) => refusal(error).map(drop),
        }
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        let mut outcomes: Vec<RowOutcome> = Vec::with_capacity(rows.len());
        let mut stopped: Option<RowOutcome> = None;
        for row in rows {
            if let Some(later) = &stopped {
                outcomes.push(later.clone());
                continue;
            }
            match self.take(row).await {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) if outcomes.is_empty() => return Err(error),
                Err(error) => {
                    // What was taken must be reported; an error that stays will end the next call.
                    let later = RowOutcome::Retry { reason: error.message().to_owned(), after: asked(&error) };
                    outcomes.push(later.clone());
                    stopped = Some(later);
                }
            }
        }
        WriteReport::new(rows.len(), outcomes)
    }

    fn calls_made(&self) -> Option<u64> {
        Some(self.client.sent())
    }

    fn calls_today(&self) -> Option<u64> {
        self.client.sent_today()
    }
}

/// What a change says, in a few digits.
fn digest(row: &DeliveryRow) -> String {
    const DIGITS: usize = 12;
    let fields = serde_json::to_string(&row.fields).unwrap_or_default();
    let digits = blake3::hash(fields.as_bytes()).to_hex();
    digits.get(..DIGITS).unwrap_or(&digits).to_owned()
}

/// How long the CRM asked us to wait.
fn asked(error: &Error) -> Option<Duration> {
    match error.retry_advice() {
        Retry::After(wait) => Some(wait),
        Retry::Never | Retry::Backoff => None,
    }
}
