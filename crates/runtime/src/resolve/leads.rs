//! The leads as they are now: each one's last version, unless that says it is gone or it was only a test.

use arrow::array::{BooleanArray, RecordBatch};
use hashbrown::HashSet;
use headwater_analysis::identity::{Exact, Leads, Probabilistic};
use headwater_model::tables;
use headwater_store::{Snapshot, SnapshotId};

use super::internal;
use crate::cells::matching;
use crate::error::Result;
use crate::rows::{at, booleans, load, text};

/// By which an order or a click finds its person, besides the ids that [`Probabilistic::columns_of_known`] names.
const REACHED_BY: [&str; 3] = ["email", "phone", "mobile"];

/// Every lead with all that identity reads of it.
pub(super) fn all(snapshot: &Snapshot) -> Result<Leads> {
    current(Leads::columns(), |columns| load(snapshot, &tables::LEAD, columns))
}

/// Every lead with what identity must know of those whom it knows already; by `keys`, also what facts find their people by. Names are
/// read where `exact` asks for them.
pub(super) fn known(snapshot: &Snapshot, exact: &Exact, keys: bool) -> Result<Leads> {
    let read = |names| {
        let columns = Probabilistic::columns_of_known(names).chain(REACHED_BY.into_iter().filter(|_| keys));
        current(columns, |columns| load(snapshot, &tables::LEAD, columns))
    };
    let leads = read(false)?;
    if exact.needs_names(&leads) { read(true) } else { Ok(leads) }
}

/// The leads that came or changed after a snapshot.
pub(super) fn since(snapshot: &Snapshot, after: SnapshotId) -> Result<Leads> {
    current(Leads::columns(), |columns| snapshot.read_since(&tables::LEAD, columns, after)?.map(|batch| Ok(batch?)).collect())
}

/// These leads with all that identity reads of them.
pub(super) fn these(snapshot: &Snapshot, ids: &HashSet<&str>) -> Result<Leads> {
    current(Leads::columns(), |columns| matching(snapshot, &tables::LEAD, columns, "lead_id", ids))
}

/// The columns of the leads as they are now. Beside them is read what says whether a lead counts.
fn current(columns: impl Iterator<Item = &'static str>, read: impl FnOnce(&[&str]) -> Result<Vec<RecordBatch>>) -> Result<Leads> {
    let mut columns: Vec<&str> = columns.collect();
    let wanted = columns.len();
    columns.extend(["op", "is_test"].into_iter().filter(|extra| !columns.contains(extra)).collect::<Vec<_>>());
    let mut batches = read(&columns)?;
    let live = batches.iter().map(|batch| {
        let (op, test) = (text(batch, "op")?, booleans(batch, "is_test")?);
        Ok((0..batch.num_rows()).map(|row| Some(at(op, row) != Some("delete") && !test.value(row))).collect())
    });
    let live = live.collect::<Result<Vec<BooleanArray>>>()?;
    let wanted: Vec<usize> = (0..wanted).collect();
    for batch in &mut batches {
        *batch = batch.project(&wanted)?;
    }
    Leads::of_last(&batches, &live).map_err(internal)
}
