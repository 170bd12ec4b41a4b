//! What every table that prospects are written into has in common, whatever database it is in.
//!
//! A row of the table goes by the prospect's id, in a column of that name's own. Nothing here talks to a database.

use std::collections::{BTreeMap, HashMap, HashSet};

use headwater_sdk::sink::EXTERNAL_ID;
use headwater_sdk::{DeliveryRow, Lookup, MatchKey, Operation};

/// The column that holds our id.
pub(crate) const KEY: &str = "headwater_id";
/// The column that holds when we last changed the row, where the table has one.
pub(crate) const UPDATED_AT: &str = "updated_at";

/// Rows that one statement can write: the same operation on the same fields, no person twice.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape<'a> {
    /// How often the person occurs earlier in the call; first, so that a person's rows are written in their order.
    earlier: usize,
    /// Whether records are changed, not made.
    pub(crate) update: bool,
    /// The fields.
    pub(crate) fields: Vec<&'a str>,
}

/// The rows of a call by their shapes, as places in the call.
pub(crate) fn shapes(rows: &[DeliveryRow]) -> BTreeMap<Shape<'_>, Vec<usize>> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut shapes: BTreeMap<Shape<'_>, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let count = seen.entry(id_of(row)).or_default();
        let shape = Shape {
            earlier: *count,
            update: matches!(row.operation, Operation::Update { .. }),
            fields: row.fields.keys().map(String::as_str).collect(),
        };
        *count += 1;
        shapes.entry(shape).or_default().push(index);
    }
    shapes
}

/// The id of the row that is meant.
pub(crate) fn id_of(row: &DeliveryRow) -> &str {
    match &row.operation {
        Operation::Create => &row.prospect_id,
        Operation::Update { remote_id } => remote_id,
    }
}

/// The column that a match key's field means.
pub(crate) fn column(field: &str) -> &str {
    if field == EXTERNAL_ID { KEY } else { field }
}

/// A match key's value as it is compared: addresses differ by case in spelling only.
pub(crate) fn folded(field: &str, value: &str) -> String {
    if field == "email" { value.trim().to_lowercase() } else { value.to_owned() }
}

/// The values that are looked for, by the field of their keys; of the fields that the table has.
pub(crate) fn wanted(rows: &[Vec<MatchKey>], has: impl Fn(&str) -> bool) -> BTreeMap<&str, Vec<String>> {
    let mut wanted: BTreeMap<&str, HashSet<String>> = BTreeMap::new();
    for key in rows.iter().flatten().filter(|key| !key.value.is_empty() && has(column(&key.field))) {
        wanted.entry(&key.field).or_default().insert(folded(&key.field, &key.value));
    }
    wanted.into_iter().map(|(field, values)| (field, values.into_iter().collect())).collect()
}

/// The answer to each row: what its strongest key that hit found. `hits` are by field and value as it is compared.
pub(crate) fn answers(rows: &[Vec<MatchKey>], hits: &HashMap<(String, String), Lookup>) -> Vec<Lookup> {
    let answer = |keys: &Vec<MatchKey>| {
        let mut hit = keys.iter().filter_map(|key| hits.get(&(key.field.clone(), folded(&key.field, &key.value))));
        hit.next().cloned().unwrap_or(Lookup::Absent)
    };
    rows.iter().map(answer).collect()
}
