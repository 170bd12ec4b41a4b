//! The leads as they are now: each one's last version, unless that says it is gone or it was only a test.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use hashbrown::HashSet;
use headwater_analysis::identity::{Leads, Probabilistic};
use headwater_model::tables;
use headwater_store::{Snapshot, SnapshotId, TableReader};

use super::internal;
use crate::error::Result;
use crate::rows::{at, booleans, latest, text};

/// By which an order or a click finds its person, besides the ids that [`Probabilistic::columns_of_known`] names.
const REACHED_BY: [&str; 3] = ["email", "phone", "mobile"];

/// Every lead with all that identity reads of it.
pub(super) fn all(snapshot: &Snapshot) -> Result<Leads> {
    Leads::new(&current(snapshot.read(&tables::LEAD, &with_op(Leads::columns()), None)?)?).map_err(internal)
}

/// Every lead with what identity must know of those whom it knows already; by `keys`, also what facts find their people by.
pub(super) fn known(snapshot: &Snapshot, keys: bool) -> Result<Leads> {
    let columns = Probabilistic::columns_of_known().chain(REACHED_BY.into_iter().filter(|_| keys));
    Leads::new(&current(snapshot.read(&tables::LEAD, &with_op(columns), None)?)?).map_err(internal)
}

/// The leads that came or changed after a snapshot.
pub(super) fn since(snapshot: &Snapshot, after: SnapshotId) -> Result<Leads> {
    Leads::new(&current(snapshot.read_since(&tables::LEAD, &with_op(Leads::columns()), after)?)?).map_err(internal)
}

/// These leads with all that identity reads of them.
pub(super) fn these(snapshot: &Snapshot, ids: &HashSet<&str>) -> Result<Leads> {
    let rows = snapshot.find_rows(&tables::LEAD, "lead_id", |id| ids.contains(id))?;
    Leads::new(&current(snapshot.read_rows(&tables::LEAD, &with_op(Leads::columns()), &rows)?)?).map_err(internal)
}

/// The columns, and those that say whether a lead counts.
fn with_op(columns: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut columns: Vec<&str> = columns.collect();
    columns.extend(["op", "is_test"].into_iter().filter(|extra| !columns.contains(extra)).collect::<Vec<_>>());
    columns
}

fn current(reader: TableReader) -> Result<Vec<RecordBatch>> {
    let batches = reader.map(|batch| Ok(batch?)).filter(|batch| !matches!(batch, Ok(batch) if batch.num_rows() == 0));
    let batches = latest(batches.collect::<Result<_>>()?, "lead_id")?;
    let live = batches.iter().map(|batch| {
        let (op, test) = (text(batch, "op")?, booleans(batch, "is_test")?);
        let mask: BooleanArray =
            (0..batch.num_rows()).map(|row| Some(at(op, row) != Some("delete") && !test.value(row))).collect();
        if mask.true_count() == batch.num_rows() { Ok(batch.clone()) } else { Ok(filter_record_batch(batch, &mask)?) }
    });
    live.collect()
}
