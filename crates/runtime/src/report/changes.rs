//! What new measures changed of credits that were given before.

use std::collections::BTreeMap;

use headwater_model::tables;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Measured, VERSION};
use crate::cells::each;
use crate::engine::Engine;
use crate::error::Result;

/// Changes that the report names; the table `credit_change` has all.
const SHOWN: usize = 200;

/// The changes of past credits.
#[derive(Debug, Serialize)]
pub struct ChangesReport {
    /// The version of this shape.
    pub version: u32,
    /// When it was measured last.
    pub as_of: Timestamp,
    /// All changes there were.
    pub total: u64,
    /// How many of them had which cause.
    pub causes: BTreeMap<String, u64>,
    /// The latest, newest first.
    pub changes: Vec<CreditChange>,
}

/// One change.
#[derive(Debug, Serialize)]
pub struct CreditChange {
    /// When.
    pub at: Timestamp,
    /// The attribution model.
    pub model: String,
    /// The version of the model before.
    pub from_version: String,
    /// The version since.
    pub to_version: String,
    /// The conversion whose credit changed; nothing for a model of all journeys.
    pub conversion_id: Option<String>,
    /// Its revision since; nothing where it is gone.
    pub revision: Option<i64>,
    /// For a model of all journeys the channel whose total changed.
    pub channel: Option<String>,
    /// The credit before: parts with `channel`, `touch_id` and `share`, or a total.
    pub before: Value,
    /// The credit since.
    pub after: Value,
    /// `model`, `settings`, `conversion`, `identity`, `late_data`, `milestones`, `journeys` or `gone`.
    pub cause: String,
}

impl CreditChange {
    /// A credit as a person reads it: `list 50 %, email 50 %`.
    #[must_use]
    pub fn told(credit: &Value) -> String {
        let Some(parts) = credit.as_array() else { return credit.to_string() };
        let mut by_channel: Vec<(&str, f64)> = Vec::new();
        for part in parts {
            let channel = part.get("channel").and_then(Value::as_str).unwrap_or_default();
            let share = part.get("share").and_then(Value::as_f64).unwrap_or_default();
            match by_channel.iter_mut().find(|(known, _)| *known == channel) {
                Some((_, sum)) => *sum += share,
                None => by_channel.push((channel, share)),
            }
        }
        let shown: Vec<String> = by_channel.iter().map(|(channel, share)| format!("{channel} {:.0} %", share * 100.0)).collect();
        if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
    }
}

/// The changes of past credits, of one model where one is named.
///
/// # Errors
/// [`crate::Error::NotFound`] when nothing was measured yet, or that model was not.
pub async fn changes(engine: &Engine, model: Option<&str>) -> Result<ChangesReport> {
    let measured = Measured::load(engine).await?;
    let wanted = model.map(|model| measured.check_model(model)).transpose()?;
    let mut report =
        ChangesReport { version: VERSION, as_of: measured.at, total: 0, causes: BTreeMap::new(), changes: Vec::new() };
    for batch in measured.snapshot.read(&tables::CREDIT_CHANGE, &[], None)? {
        for row in each(&[batch?]) {
            let model = row.word("model")?;
            if wanted.as_ref().is_some_and(|wanted| *wanted != model) {
                continue;
            }
            report.total += 1;
            *report.causes.entry(row.word("cause")?).or_default() += 1;
            let credit = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
            report.changes.push(CreditChange {
                at: row.instant("at")?.unwrap_or_default(),
                model,
                from_version: row.word("from_version")?,
                to_version: row.word("to_version")?,
                conversion_id: row.owned("conversion_id")?,
                revision: row.integer("revision")?,
                channel: row.owned("channel")?,
                before: credit(row.word("before")?),
                after: credit(row.word("after")?),
                cause: row.word("cause")?,
            });
        }
        // Files are read in the order of their commits.
        let old = report.changes.len().saturating_sub(SHOWN);
        report.changes.drain(..old);
    }
    report.changes.reverse();
    Ok(report)
}
