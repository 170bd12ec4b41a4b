//! Plain arrays as bytes and back, little-endian: the stored form of what is read and written whole.

/// Bytes that grow.
#[derive(Debug, Default)]
pub(super) struct Out(pub(super) Vec<u8>);

impl Out {
    pub(super) fn u64(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn u32s(&mut self, numbers: impl ExactSizeIterator<Item = u32>) {
        self.u64(numbers.len() as u64);
        self.0.reserve(numbers.len() * 4);
        numbers.for_each(|number| self.0.extend_from_slice(&number.to_le_bytes()));
    }

    pub(super) fn u64s(&mut self, numbers: impl ExactSizeIterator<Item = u64>) {
        self.u64(numbers.len() as u64);
        self.0.reserve(numbers.len() * 8);
        numbers.for_each(|number| self.0.extend_from_slice(&number.to_le_bytes()));
    }

    /// Rows of `N` numbers each.
    pub(super) fn rows<const N: usize>(&mut self, rows: impl ExactSizeIterator<Item = [u32; N]>) {
        self.u64(rows.len() as u64);
        self.0.reserve(rows.len() * N * 4);
        rows.for_each(|row| row.iter().for_each(|number| self.0.extend_from_slice(&number.to_le_bytes())));
    }
}

/// Bytes that are read from the front. Nothing comes where they end early.
#[derive(Debug)]
pub(super) struct In<'a>(pub(super) &'a [u8]);

impl<'a> In<'a> {
    pub(super) fn u64(&mut self) -> Option<u64> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*head))
    }

    /// As many items of this many bytes as are announced.
    fn items(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u64()?).ok()?.checked_mul(bytes)?;
        let (items, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(items)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.items(1)?).ok()
    }

    pub(super) fn u32s(&mut self) -> Option<Vec<u32>> {
        let (numbers, _) = self.items(4)?.as_chunks();
        Some(numbers.iter().map(|number| u32::from_le_bytes(*number)).collect())
    }

    pub(super) fn u64s(&mut self) -> Option<Vec<u64>> {
        let (numbers, _) = self.items(8)?.as_chunks();
        Some(numbers.iter().map(|number| u64::from_le_bytes(*number)).collect())
    }

    pub(super) fn rows<const N: usize>(&mut self) -> Option<Vec<[u32; N]>> {
        let (numbers, _) = self.items(4 * N)?.as_chunks::<4>();
        let (rows, _) = numbers.as_chunks::<N>();
        Some(rows.iter().map(|row| row.map(u32::from_le_bytes)).collect())
    }
}
