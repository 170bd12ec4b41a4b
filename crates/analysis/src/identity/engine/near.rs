//! Who is near whom: the scored pairs of records that are known.

#![expect(clippy::indexing_slicing, reason = "records are numbered by the roster that everything here is made from")]

use hashbrown::HashMap;

use super::bytes::{In, Out};
use super::group::Pair;
use super::run::{CONNECTED, KEPT};

/// The scored pairs of every record, told from both sides.
#[derive(Debug)]
pub(super) struct Near {
    /// Where each record's pairs begin.
    starts: Vec<u32>,
    others: Vec<u32>,
    /// A pair that is gone has none.
    chances: Vec<f32>,
    /// Pairs that came since.
    fresh: HashMap<u32, Vec<(u32, f32)>>,
}

impl Near {
    pub(super) fn of(pairs: &[Pair], records: usize) -> Self {
        let mut starts = vec![0_u32; records + 2];
        for pair in pairs {
            starts[pair.one as usize + 2] += 1;
            starts[pair.two as usize + 2] += 1;
        }
        for row in 2..starts.len() {
            starts[row] += starts[row - 1];
        }
        let mut others = vec![0_u32; 2 * pairs.len()];
        let mut chances = vec![0_f32; 2 * pairs.len()];
        for pair in pairs {
            for (row, other) in [(pair.one, pair.two), (pair.two, pair.one)] {
                let next = &mut starts[row as usize + 1];
                others[*next as usize] = other;
                chances[*next as usize] = pair.chance;
                *next += 1;
            }
        }
        starts.truncate(records + 1);
        Self { starts, others, chances, fresh: HashMap::new() }
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        out.u32s(self.starts.iter().copied());
        out.u32s(self.others.iter().copied());
        out.u32s(self.chances.iter().map(|chance| chance.to_bits()));
    }

    pub(super) fn read(bytes: &mut In<'_>) -> Option<Self> {
        let (starts, others) = (bytes.u32s()?, bytes.u32s()?);
        let chances = bytes.rows(|[chance]| f32::from_bits(chance))?;
        (others.len() == chances.len()).then(|| Self { starts, others, chances, fresh: HashMap::new() })
    }

    /// Of how many records it tells.
    pub(super) fn records(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Makes room for records.
    pub(super) fn grow(&mut self, records: usize) {
        let end = self.starts.last().copied().unwrap_or_default();
        self.starts.resize(records + 1, end);
    }

    pub(super) fn add(&mut self, Pair { one, two, chance }: Pair) {
        self.fresh.entry(one).or_default().push((two, chance));
        self.fresh.entry(two).or_default().push((one, chance));
    }

    /// Every pair, once.
    pub(super) fn each(&self, mut take: impl FnMut(Pair)) {
        let mut side = |one: u32, two: u32, chance: f32| {
            if one < two && chance >= KEPT {
                take(Pair { one, two, chance });
            }
        };
        for (row, bounds) in (0_u32..).zip(self.starts.windows(2)) {
            for at in bounds[0] as usize..bounds[1] as usize {
                side(row, self.others[at], self.chances[at]);
            }
        }
        for (row, pairs) in &self.fresh {
            pairs.iter().for_each(|(other, chance)| side(*row, *other, *chance));
        }
    }

    pub(super) fn all(&self) -> Vec<Pair> {
        let mut all = Vec::new();
        self.each(|pair| all.push(pair));
        all.sort_unstable_by_key(|pair| (pair.one, pair.two));
        all
    }

    /// The pairs of a record.
    pub(super) fn of_row(&self, row: u32) -> impl Iterator<Item = Pair> {
        let old = self.starts[row as usize] as usize..self.starts[row as usize + 1] as usize;
        let old = self.others[old.clone()].iter().copied().zip(self.chances[old].iter().copied());
        let found = old.chain(self.fresh.get(&row).into_iter().flatten().copied());
        let pair = move |(other, chance): (u32, f32)| Pair { one: row.min(other), two: row.max(other), chance };
        found.filter(|(_, chance)| *chance >= KEPT).map(pair)
    }

    /// Takes the pairs of a record away and gives those whom it was connected with.
    pub(super) fn forget(&mut self, row: u32) -> Vec<u32> {
        let mut others = Vec::new();
        let pairs: Vec<Pair> = self.of_row(row).collect();
        for pair in pairs {
            let other = if pair.one == row { pair.two } else { pair.one };
            if pair.chance >= CONNECTED {
                others.push(other);
            }
            self.drop(row, other);
            self.drop(other, row);
        }
        others
    }

    /// Takes a pair away as told from one side.
    fn drop(&mut self, row: u32, other: u32) {
        let old = self.starts[row as usize] as usize..self.starts[row as usize + 1] as usize;
        for at in old.filter(|at| self.others[*at] == other) {
            self.chances[at] = 0.0;
        }
        if let Some(fresh) = self.fresh.get_mut(&row) {
            fresh.retain(|(known, _)| *known != other);
        }
    }
}
