//! What a run learned, frozen: the weights, how common values are, and which keys are too common to use.
//!
//! A model is a version: records that come later are judged by it, so that no earlier decision drifts. Its bytes begin with a
//! mark and the number of their format; integers and floats are little-endian.

use xxhash_rust::xxh3::xxh3_64;

use super::rates::{Counts, Frozen, TABLES};
use super::roster::Roster;
use super::weights::{Class, Weights};

/// The parameters of one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub(super) records: u64,
    pub(super) labels: u64,
    pub(super) weights: Weights,
    pub(super) counts: Vec<Frozen>,
    pub(super) phone_slip: f32,
    pub(super) left_out: Vec<u64>,
}

/// Why bytes are no model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAModel {
    /// They are something else, or of another format.
    #[error("the bytes are no identity model of this format; learn a new one")]
    Foreign,
    /// They end early or do not fit together.
    #[error("the identity model is damaged; learn a new one")]
    Damaged,
}

/// The mark and the number of the format.
const MARK: &[u8; 8] = b"hwident\x03";

impl Model {
    /// Names what the model decides by: a digest of its contents.
    #[must_use]
    pub fn version(&self) -> String {
        format!("engine-3-{:016x}", xxh3_64(&self.to_bytes()))
    }

    /// How many records it was learned from.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// How many pairs of records it was taught by people.
    #[must_use]
    pub fn labels(&self) -> u64 {
        self.labels
    }

    /// The model as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { records, labels, weights, counts, phone_slip, left_out } = self;
        let mut out = MARK.to_vec();
        out.extend(records.to_le_bytes());
        out.extend(labels.to_le_bytes());
        out.extend(phone_slip.to_le_bytes());
        for class in [&weights.person, &weights.kin, &weights.namesake] {
            out.extend(class.prior.to_le_bytes());
        }
        for chance in weights.person.table.iter().flatten() {
            out.extend(chance.to_le_bytes());
        }
        for table in counts {
            out.extend(table.total.to_le_bytes());
            out.extend((table.of.len() as u64).to_le_bytes());
            for (hash, count, names) in &table.of {
                out.extend(hash.to_le_bytes());
                out.extend(count.to_le_bytes());
                out.extend(names.to_le_bytes());
            }
        }
        out.extend((left_out.len() as u64).to_le_bytes());
        left_out.iter().for_each(|key| out.extend(key.to_le_bytes()));
        out
    }

    /// The model of these bytes.
    ///
    /// # Errors
    /// They are no model, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotAModel> {
        let mut rest = Reader(bytes.strip_prefix(MARK).ok_or(NotAModel::Foreign)?);
        let records = rest.u64()?;
        let labels = rest.u64()?;
        let phone_slip = rest.f32()?;
        let mut weights = Weights::start(usize::try_from(records).map_err(|_| NotAModel::Damaged)?);
        for class in [&mut weights.person, &mut weights.kin, &mut weights.namesake] {
            let Class { prior, table: _ } = class;
            *prior = rest.f32()?;
        }
        for chance in weights.person.table.iter_mut().flatten() {
            *chance = rest.f32()?;
        }
        weights.derive();
        let mut counts = Vec::with_capacity(TABLES);
        for _ in 0..TABLES {
            let total = rest.u32()?;
            let length = rest.length(16)?;
            let mut of = Vec::with_capacity(length);
            for _ in 0..length {
                of.push((rest.u64()?, rest.u32()?, rest.u32()?));
            }
            counts.push(Frozen { total, of });
        }
        let length = rest.length(8)?;
        let left_out = (0..length).map(|_| rest.u64()).collect::<Result<Vec<_>, _>>()?;
        let is_sorted = counts.iter().all(|table| table.of.is_sorted()) && left_out.is_sorted();
        if !rest.0.is_empty() || !is_sorted {
            return Err(NotAModel::Damaged);
        }
        Ok(Self { records, labels, weights, counts, phone_slip, left_out })
    }

    /// How far the values of a roster are from those that the model was learned from; see [`Model::drift`]. Keys that are newly
    /// too common are not looked for.
    #[must_use]
    pub fn drift_to(&self, roster: &Roster) -> f64 {
        let counts = Counts::of(roster).frozen(roster);
        let (weights, left_out) = (self.weights.clone(), self.left_out.clone());
        let (records, labels, phone_slip) = (roster.len() as u64, self.labels, self.phone_slip);
        self.drift(&Self { records, labels, weights, counts, phone_slip, left_out })
    }

    /// How much of a later roster the model does not know: the largest growth of a share among the commonest values, from 0 (the
    /// same) to 1. Above a tenth it is time to learn anew.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts as shares")]
    pub fn drift(&self, now: &Self) -> f64 {
        let mut most: f64 = 0.0;
        for (before, after) in self.counts.iter().zip(&now.counts) {
            if before.total == 0 || after.total == 0 {
                continue;
            }
            for (hash, count, _) in &after.of {
                let share = f64::from(*count) / f64::from(after.total);
                let known = before.of.binary_search_by_key(hash, |(known, ..)| *known).ok();
                let then = known.and_then(|at| before.of.get(at)).map_or(0.0, |(_, count, _)| f64::from(*count));
                most = most.max(share - then / f64::from(before.total));
            }
        }
        let keys = now.left_out.iter().filter(|key| self.left_out.binary_search(key).is_err()).count();
        most.max(keys as f64 / now.left_out.len().max(1000) as f64)
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], NotAModel> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(NotAModel::Damaged)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u64(&mut self) -> Result<u64, NotAModel> {
        self.take().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, NotAModel> {
        self.take().map(u32::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, NotAModel> {
        let number = self.take().map(f32::from_le_bytes)?;
        if number.is_nan() { Err(NotAModel::Damaged) } else { Ok(number) }
    }

    /// A number of items of this many bytes each, which must be there.
    fn length(&mut self, bytes: usize) -> Result<usize, NotAModel> {
        let length = usize::try_from(self.u64()?).map_err(|_| NotAModel::Damaged)?;
        let fits = length.checked_mul(bytes).is_some_and(|bytes| bytes <= self.0.len());
        if fits { Ok(length) } else { Err(NotAModel::Damaged) }
    }
}
