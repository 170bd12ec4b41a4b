//! Rows of `delivery`: what was done to a record, by which run, and what stood there before.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use headwater_model::tables;
use headwater_sdk::sink::EXTERNAL_ID;
use headwater_store::{Snapshot, StagedFiles};

use crate::engine::Engine;
use crate::error::Result;
use crate::rows::{at, text};

/// The field that stands for our id in a receipt's values before: it is there when the record did not hold our id.
pub(super) const OUR_ID: &str = EXTERNAL_ID;
/// The word for a record that was taken back.
pub(super) const UNDO: &str = "undo";

/// The word for a record that is not there any more.
pub(super) const REMOVED: &str = "removed";
/// What was done where a person was taken off a list.
pub(super) const REMOVE: &str = "remove";

/// What a link holds of content that somebody took back from the record: it is not what was pushed last, and is not pushed again.
pub(super) fn undone(hash: &str) -> String {
    const UNDONE: &str = "undone:";
    if hash.starts_with(UNDONE) { hash.to_owned() } else { format!("{UNDONE}{hash}") }
}

/// The fields of a receipt, as they are kept.
pub(super) type Values = BTreeMap<String, Option<String>>;

/// A receipt to be written; see [`Receipt`].
#[derive(Debug, Clone, Copy)]
pub(super) struct NewReceipt<'a> {
    pub(super) prospect_id: &'a str,
    pub(super) delivery_key: &'a str,
    pub(super) op: &'a str,
    pub(super) outcome: &'a str,
    pub(super) remote_id: Option<&'a str>,
    pub(super) fields: Option<&'a str>,
    pub(super) before: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
}

/// What was done to one record.
#[derive(Debug, Clone)]
pub(super) struct Receipt {
    pub(super) prospect_id: String,
    pub(super) delivery_key: String,
    /// `create`, `update`, `remove` or `undo`.
    pub(super) op: String,
    /// `created`, `updated`, `unchanged`, `removed`, `rejected` or `retry`.
    pub(super) outcome: String,
    pub(super) remote_id: Option<String>,
    /// What was set, as JSON.
    pub(super) fields: Option<String>,
    /// What stood there, as JSON; nothing of a record that was made.
    pub(super) before: Option<String>,
    pub(super) reason: Option<String>,
}

impl Receipt {
    pub(super) fn values(json: Option<&String>) -> Values {
        json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    pub(super) fn borrowed(&self) -> NewReceipt<'_> {
        let Self { prospect_id, delivery_key, op, outcome, remote_id, fields, before, reason } = self;
        NewReceipt {
            prospect_id,
            delivery_key,
            op,
            outcome,
            remote_id: remote_id.as_deref(),
            fields: fields.as_deref(),
            before: before.as_deref(),
            reason: reason.as_deref(),
        }
    }
}

/// Files of receipts, ready for a commit.
pub(super) fn staged(engine: &Engine, sink: &str, run_id: &str, receipts: &[NewReceipt<'_>], now_us: i64) -> Result<StagedFiles> {
    let rows = receipts.len();
    let same = |value: &str| -> ArrayRef { Arc::new(StringArray::new_repeated(value, rows)) };
    fn column<'a>(receipts: &[NewReceipt<'a>], value: impl Fn(&NewReceipt<'a>) -> Option<&'a str>) -> ArrayRef {
        Arc::new(receipts.iter().map(value).collect::<StringArray>())
    }
    let columns: Vec<ArrayRef> = vec![
        same(run_id),
        same(sink),
        column(receipts, |receipt| Some(receipt.prospect_id)),
        column(receipts, |receipt| Some(receipt.delivery_key)),
        column(receipts, |receipt| Some(receipt.op)),
        column(receipts, |receipt| Some(receipt.outcome)),
        column(receipts, |receipt| receipt.remote_id),
        column(receipts, |receipt| receipt.fields),
        column(receipts, |receipt| receipt.before),
        column(receipts, |receipt| receipt.reason),
        Arc::new(TimestampMicrosecondArray::from_value(now_us, rows).with_timezone("UTC")),
    ];
    let mut writer = engine.store.writer(&tables::DELIVERY, Some(sink))?;
    writer.write(&RecordBatch::try_new(tables::DELIVERY.schema(), columns)?)?;
    Ok(writer.finish()?)
}

/// The receipts of one run at one sink, in their order.
pub(super) fn of_run(snapshot: &Snapshot, sink: &str, run_id: &str) -> Result<Vec<Receipt>> {
    let mut receipts = Vec::new();
    for batch in snapshot.read(&tables::DELIVERY, &[], Some(sink))? {
        let batch = batch?;
        let run = text(&batch, "run_id")?;
        let word = |name: &str, row: usize| -> Result<Option<String>> { Ok(at(text(&batch, name)?, row).map(str::to_owned)) };
        for row in (0..batch.num_rows()).filter(|row| run.value(*row) == run_id) {
            receipts.push(Receipt {
                prospect_id: word("prospect_id", row)?.unwrap_or_default(),
                delivery_key: word("delivery_key", row)?.unwrap_or_default(),
                op: word("op", row)?.unwrap_or_default(),
                outcome: word("outcome", row)?.unwrap_or_default(),
                remote_id: word("remote_id", row)?,
                fields: word("fields", row)?,
                before: word("before", row)?,
                reason: word("reason", row)?,
            });
        }
    }
    Ok(receipts)
}
