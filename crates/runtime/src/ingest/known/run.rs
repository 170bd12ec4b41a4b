//! A sorted run of pairs in an unnamed file: written once, then searched.
//!
//! The index has a fixed size, whatever the run's: keys are uniform, so a few thousand leading values divide the longest run into
//! stretches in which the place of a key can be reckoned.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::iter::Peekable;
use std::path::Path;

use super::pairs::Pair;

/// Leading bits of a key that the index tells apart.
const INDEX_BITS: u32 = 14;
/// How many pairs one look at the file reads: a page of the system's cache.
const BLOCK: usize = 256;
/// The bytes of a pair.
const WIDTH: usize = 16;
/// What is read or written at once while a run is made.
const BUFFER_BYTES: usize = 128 * 1024;
/// After so many reckoned looks the rest is halved: keys that are not uniform are found as well, only later.
const RECKONED: u32 = 3;

/// A sorted run on disk. Its file has no name and goes with it.
#[derive(Debug)]
pub(super) struct Run {
    file: File,
    len: u64,
    /// Where each value of the leading bits begins, and at the end the length.
    index: Vec<u64>,
}

impl Run {
    /// Writes pairs, sorted by key and without repetition, to an unnamed file in `folder`.
    pub(super) fn write(folder: &Path, pairs: impl Iterator<Item = io::Result<Pair>>) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, tempfile::tempfile_in(folder)?);
        let mut index = Vec::with_capacity((1 << INDEX_BITS) + 1);
        let mut len = 0;
        for pair in pairs {
            let (key, value) = pair?;
            while index.len() as u64 <= key >> (u64::BITS - INDEX_BITS) {
                index.push(len);
            }
            out.write_all(&key.to_le_bytes())?;
            out.write_all(&value.to_le_bytes())?;
            len += 1;
        }
        index.resize((1 << INDEX_BITS) + 1, len);
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self { file, len, index })
    }

    /// How many pairs it holds.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// The value of a key.
    pub(super) fn get(&self, key: u64) -> io::Result<Option<u64>> {
        let bucket = usize::try_from(key >> (u64::BITS - INDEX_BITS)).unwrap_or(usize::MAX);
        let (Some(&low), Some(&high)) = (self.index.get(bucket), self.index.get(bucket + 1)) else { return Ok(None) };
        let (mut low, mut high) = (low, high);
        let (mut looks, most) = (0, BLOCK as u64);
        let mut block = [0; BLOCK * WIDTH];
        while low < high {
            let from = if looks < RECKONED { reckon(key, low, high) } else { low.midpoint(high) };
            let from = from.saturating_sub(most / 2).clamp(low, high.saturating_sub(most).max(low));
            let until = (from + most).min(high);
            looks += 1;
            let Some(bytes) = usize::try_from(until - from).ok().and_then(|pairs| block.get_mut(..pairs * WIDTH)) else {
                return Ok(None);
            };
            read_at(&self.file, bytes, from * WIDTH as u64)?;
            let (pairs, _) = bytes.as_chunks::<WIDTH>();
            match (pairs.first(), pairs.last()) {
                (Some(first), _) if key < pair(first).0 => high = from,
                (_, Some(last)) if key > pair(last).0 => low = until,
                _ => {
                    let found = pairs.binary_search_by_key(&key, |bytes| pair(bytes).0).ok();
                    return Ok(found.and_then(|at| pairs.get(at)).map(|bytes| pair(bytes).1));
                }
            }
        }
        Ok(None)
    }

    /// One run of two: where both have a key, the newer says what it is.
    pub(super) fn merge(folder: &Path, older: Self, newer: Self) -> io::Result<Self> {
        Self::write(folder, Merge { older: older.pairs()?.peekable(), newer: newer.pairs()?.peekable() })
    }

    fn pairs(mut self) -> io::Result<impl Iterator<Item = io::Result<Pair>>> {
        self.file.rewind()?;
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, self.file);
        Ok((0..self.len).map(move |_| {
            let mut bytes = [0; WIDTH];
            reader.read_exact(&mut bytes)?;
            Ok(pair(&bytes))
        }))
    }
}

/// Where in a stretch of its bucket a key would stand if the keys were spread evenly.
fn reckon(key: u64, low: u64, high: u64) -> u64 {
    let within = u128::from(key << INDEX_BITS);
    low + u64::try_from((within * u128::from(high - low)) >> u64::BITS).unwrap_or_default()
}

fn pair(bytes: &[u8; WIDTH]) -> Pair {
    let both = u128::from_le_bytes(*bytes);
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the key, the upper half is the value")]
    let key = both as u64;
    (key, (both >> u64::BITS) as u64)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    file.seek(io::SeekFrom::Start(at))?;
    file.read_exact(bytes)
}

/// Two sorted sequences as one.
struct Merge<A: Iterator, B: Iterator> {
    older: Peekable<A>,
    newer: Peekable<B>,
}

impl<A, B> Iterator for Merge<A, B>
where
    A: Iterator<Item = io::Result<Pair>>,
    B: Iterator<Item = io::Result<Pair>>,
{
    type Item = io::Result<Pair>;

    fn next(&mut self) -> Option<Self::Item> {
        match (self.older.peek(), self.newer.peek()) {
            (Some(Ok(older)), Some(Ok(newer))) if older.0 < newer.0 => self.older.next(),
            (Some(Ok(older)), Some(Ok(newer))) => {
                if older.0 == newer.0 {
                    drop(self.older.next());
                }
                self.newer.next()
            }
            (Some(_), None) | (Some(Err(_)), _) => self.older.next(),
            (None | Some(Ok(_)), _) => self.newer.next(),
        }
    }
}
