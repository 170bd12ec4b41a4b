//! Which records hang together.

#![expect(clippy::indexing_slicing, reason = "rows are below the number of records that the forest was made for")]
#![expect(clippy::cast_possible_truncation, reason = "records are at most 2^31")]

/// Union-find whose root is always the smallest row.
#[derive(Debug)]
pub(crate) struct Forest(Vec<u32>);

impl Forest {
    pub(crate) fn new(records: usize) -> Self {
        Self((0..records as u32).collect())
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn root(&mut self, mut row: u32) -> u32 {
        while self.0[row as usize] != row {
            let above = self.0[self.0[row as usize] as usize];
            self.0[row as usize] = above;
            row = above;
        }
        row
    }

    /// Joins two rows and says whether they were apart.
    pub(crate) fn union(&mut self, one: u32, two: u32) -> bool {
        let (one, two) = (self.root(one), self.root(two));
        self.0[one.max(two) as usize] = one.min(two);
        one != two
    }
}
