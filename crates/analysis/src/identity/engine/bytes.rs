//! Plain arrays as bytes and back, little-endian: the stored form of what is read and written whole.
//!
//! Both go piece by piece, so that what is stored is in memory once. A digest of everything stands at the end.

use std::io::{Error, Read, Write};

use xxhash_rust::xxh3::Xxh3;

/// So many bytes go at once: what the processor's cache holds.
const PIECE: usize = 1 << 16;

/// The bytes of a slot of a shelf.
pub(super) const SLOT_BYTES: usize = 5;

/// What was read grows by one in so many without being moved.
const ROOM: usize = 32;

/// Where bytes go.
pub(super) struct Out<'a> {
    to: &'a mut dyn Write,
    piece: Vec<u8>,
    digest: Xxh3,
    failed: Option<Error>,
}

impl<'a> Out<'a> {
    pub(super) fn new(to: &'a mut dyn Write) -> Self {
        Self { to, piece: Vec::with_capacity(PIECE + 64), digest: Xxh3::new(), failed: None }
    }

    fn flush(&mut self) {
        self.digest.update(&self.piece);
        if self.failed.is_none() {
            self.failed = self.to.write_all(&self.piece).err();
        }
        self.piece.clear();
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.piece.len() + bytes.len() > PIECE {
            self.flush();
        }
        if bytes.len() > PIECE {
            bytes.chunks(PIECE).for_each(|part| {
                self.piece.extend_from_slice(part);
                self.flush();
            });
        } else {
            self.piece.extend_from_slice(bytes);
        }
    }

    pub(super) fn u64(&mut self, number: u64) {
        self.add(&number.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.add(text.as_bytes());
    }

    pub(super) fn u32s(&mut self, numbers: impl ExactSizeIterator<Item = u32>) {
        self.rows(numbers.map(|number| [number]));
    }

    pub(super) fn u64s(&mut self, numbers: impl ExactSizeIterator<Item = u64>) {
        self.u64(numbers.len() as u64);
        numbers.for_each(|number| self.add(&number.to_le_bytes()));
    }

    pub(super) fn slots(&mut self, slots: impl ExactSizeIterator<Item = [u8; SLOT_BYTES]>) {
        self.u64(slots.len() as u64);
        slots.for_each(|slot| self.add(&slot));
    }

    /// Rows of `N` numbers each.
    pub(super) fn rows<const N: usize>(&mut self, rows: impl ExactSizeIterator<Item = [u32; N]>) {
        self.u64(rows.len() as u64);
        rows.for_each(|row| row.iter().for_each(|number| self.add(&number.to_le_bytes())));
    }

    /// Ends with the digest.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.flush();
        match self.failed {
            Some(error) => Err(error),
            None => self.to.write_all(&self.digest.digest().to_le_bytes()),
        }
    }
}

/// Where bytes come from. Nothing comes where they end early, or cannot be read.
pub(super) struct In<'a> {
    from: &'a mut dyn Read,
    /// How many there are still, without the digest.
    left: u64,
    piece: Vec<u8>,
    digest: Xxh3,
}

impl<'a> In<'a> {
    /// Of so many bytes, the digest among them.
    pub(super) fn new(from: &'a mut dyn Read, bytes: u64) -> Option<Self> {
        let left = bytes.checked_sub(size_of::<u64>() as u64)?;
        Some(Self { from, left, piece: vec![0; PIECE], digest: Xxh3::new() })
    }

    /// Gives so many bytes to `take`, in pieces of whole items of this size.
    fn pieces(&mut self, items: usize, size: usize, mut take: impl FnMut(&[u8])) -> Option<()> {
        let mut bytes = items.checked_mul(size)?;
        self.left = self.left.checked_sub(bytes as u64)?;
        while bytes > 0 {
            let piece = self.piece.get_mut(..bytes.min(PIECE / size * size))?;
            self.from.read_exact(piece).ok()?;
            self.digest.update(piece);
            take(piece);
            bytes -= piece.len();
        }
        Some(())
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        let mut number = [0; 8];
        self.pieces(1, 8, |piece| number.copy_from_slice(piece))?;
        Some(u64::from_le_bytes(number))
    }

    /// How many items of this size are announced, which must be there.
    fn items(&mut self, size: usize) -> Option<usize> {
        let items = usize::try_from(self.u64()?).ok()?;
        (items.checked_mul(size)? as u64 <= self.left).then_some(items)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let bytes = self.items(1)?;
        String::from_utf8(self.bytes(bytes)?).ok()
    }

    /// So many bytes as they lie, read to where they stay.
    fn bytes(&mut self, many: usize) -> Option<Vec<u8>> {
        self.left = self.left.checked_sub(many as u64)?;
        let mut bytes = vec![0; many];
        for piece in bytes.chunks_mut(PIECE) {
            self.from.read_exact(piece).ok()?;
            self.digest.update(piece);
        }
        Some(bytes)
    }

    pub(super) fn u32s(&mut self) -> Option<Vec<u32>> {
        self.rows(|[number]| number)
    }

    pub(super) fn u64s(&mut self) -> Option<Vec<u64>> {
        self.longs(|number| number)
    }

    /// What `make` makes of long numbers.
    pub(super) fn longs<T>(&mut self, make: impl Fn(u64) -> T) -> Option<Vec<T>> {
        let items = self.items(8)?;
        let mut out = Vec::with_capacity(items + items / ROOM);
        self.pieces(items, 8, |piece| out.extend(piece.as_chunks().0.iter().map(|number| make(u64::from_le_bytes(*number)))))?;
        Some(out)
    }

    /// The slots of a shelf, one after the other.
    pub(super) fn slots(&mut self) -> Option<Vec<u8>> {
        let items = self.items(SLOT_BYTES)?;
        self.bytes(items * SLOT_BYTES)
    }

    /// What `make` makes of rows of `N` numbers.
    pub(super) fn rows<const N: usize, T>(&mut self, make: impl Fn([u32; N]) -> T) -> Option<Vec<T>> {
        let items = self.items(4 * N)?;
        let mut out = Vec::with_capacity(items + items / ROOM);
        self.pieces(items, 4 * N, |piece| {
            let (rows, _) = piece.as_chunks::<4>().0.as_chunks::<N>();
            out.extend(rows.iter().map(|row| make(row.map(u32::from_le_bytes))));
        })?;
        Some(out)
    }

    /// Whether everything was read, and is what was written.
    pub(super) fn ends_whole(mut self) -> bool {
        let digest = self.digest.digest();
        self.left == 0 && {
            self.left = size_of::<u64>() as u64;
            self.u64() == Some(digest)
        }
    }
}
