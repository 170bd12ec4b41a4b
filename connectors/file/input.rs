//! The bytes of a file: unpacked, counted and bounded.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Crc;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use headwater_model::decoding::decode;
use headwater_sdk::{Error, ErrorKind, Result};
use zip::{CompressionMethod, ZipArchive};

use super::config::Format;

/// The most bytes that a packed file may unpack to.
const MAX_UNPACKED_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// How many times its packed size a file may unpack to. Lists shrink 3 to 30 times.
const MAX_RATIO: u64 = 200;
/// Below this many bytes the ratio does not count: a short file of one repeated row is harmless.
const RATIO_FLOOR_BYTES: u64 = 16 * 1024 * 1024;

/// How a file is written, as far as reading it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Csv,
    Tsv,
    Xlsx,
    Jsonl,
    Parquet,
}

/// What a file is packed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
    Zip,
}

/// A file whose kind is known, not yet open.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) kind: Kind,
    packing: Packing,
}

impl Input {
    /// Finds out what the file at `path` is, from its name and what the user declared. A packed archive is looked into.
    pub(super) fn of(path: &Path, name: &str, declared: Format) -> Result<Self> {
        let lower = name.to_lowercase();
        let (inner, packing) = [(".gz", Packing::Gzip), (".zst", Packing::Zstd), (".zip", Packing::Zip)]
            .into_iter()
            .find_map(|(ending, packing)| lower.strip_suffix(ending).map(|inner| (inner.to_owned(), packing)))
            .unwrap_or((lower, Packing::Plain));
        let inner = if packing == Packing::Zip { zip_entry(path, name)?.name.to_lowercase() } else { inner };
        let by_ending = match inner.rsplit_once('.').map(|(_, ending)| ending) {
            Some("csv" | "txt") => Some(Kind::Csv),
            Some("tsv" | "tab") => Some(Kind::Tsv),
            Some("xlsx" | "xlsm") => Some(Kind::Xlsx),
            Some("jsonl" | "ndjson") => Some(Kind::Jsonl),
            Some("parquet") => Some(Kind::Parquet),
            Some(_) | None => None,
        };
        let kind = match declared {
            Format::Auto => by_ending.ok_or_else(|| {
                Error::new(ErrorKind::Config, format!("{name} has no ending that tells its format"))
                    .hint("say `format: csv`, tsv, xlsx, jsonl or parquet, or narrow `path:`; save an .xls file as .xlsx first")
            })?,
            Format::Csv => Kind::Csv,
            Format::Tsv => Kind::Tsv,
            Format::Xlsx => Kind::Xlsx,
            Format::Jsonl => Kind::Jsonl,
            Format::Parquet => Kind::Parquet,
        };
        if packing != Packing::Plain && matches!(kind, Kind::Xlsx | Kind::Parquet) {
            return Err(Error::new(ErrorKind::Unsupported, format!("{name} is packed twice"))
                .hint("an XLSX or Parquet file is packed in itself: unpack the outer layer first"));
        }
        Ok(Self { kind, packing })
    }

    /// Opens the text; `consumed` counts the bytes taken from the disk.
    pub(super) fn open(&self, path: &Path, name: &str, consumed: &Arc<AtomicU64>) -> Result<Box<dyn Read + Send>> {
        let mut file = File::open(path).map_err(|error| unreadable(name, error))?;
        let unpack = |error: io::Error| Error::new(ErrorKind::Input, format!("{name} cannot be unpacked")).source(error);
        let counted = |file: File| Counted { inner: file, consumed: Arc::clone(consumed) };
        let inner: Box<dyn Read + Send> = match self.packing {
            Packing::Plain => return Ok(Box::new(counted(file))),
            Packing::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(counted(file)))),
            Packing::Zstd => Box::new(zstd::Decoder::new(counted(file)).map_err(unpack)?),
            Packing::Zip => {
                let Entry { name: _, start, packed, method, crc } = zip_entry(path, name)?;
                file.seek(SeekFrom::Start(start)).map_err(unpack)?;
                let body = BufReader::new(counted(file)).take(packed);
                match method {
                    CompressionMethod::Deflated => Box::new(Checked::new(DeflateDecoder::new(body), crc)),
                    _ => Box::new(Checked::new(body, crc)),
                }
            }
        };
        Ok(Box::new(Capped { inner, consumed: Arc::clone(consumed), given: 0, most: MAX_UNPACKED_BYTES }))
    }
}

/// The hash of a file's content, in hex.
pub(super) fn hash(path: &Path, name: &str) -> Result<String> {
    let file = File::open(path).map_err(|error| unreadable(name, error))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(|error| unreadable(name, error))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// A file that is there but cannot be opened.
pub(super) fn unreadable(name: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Config, format!("{name} cannot be opened"))
        .hint("check that the file is still there and that this user may read it")
        .source(error)
}

/// What a library decoded of a file, or why the file cannot be read as what it should be.
pub(super) fn decoded<T, E>(name: &str, format: &str, decoder: impl FnOnce() -> std::result::Result<T, E>) -> Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    decode(decoder).map_err(|error| {
        Error::new(ErrorKind::Input, format!("{name} cannot be read as {format}"))
            .hint("export it again, or as CSV")
            .source(error)
    })
}

/// Where the one file in an archive stands.
struct Entry {
    name: String,
    start: u64,
    packed: u64,
    method: CompressionMethod,
    crc: u32,
}

fn zip_entry(path: &Path, name: &str) -> Result<Entry> {
    let file = File::open(path).map_err(|error| unreadable(name, error))?;
    let broken = |error: zip::result::ZipError| {
        Error::new(ErrorKind::Input, format!("{name} is not a readable zip archive")).source(error)
    };
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    // What the Mac's Finder adds is not the user's.
    let files: Vec<(usize, String)> = archive
        .file_names()
        .enumerate()
        .filter_map(|(index, name)| Some((index, name.ok()?.into_owned())))
        .filter(|(_, name)| !name.ends_with('/') && !name.starts_with("__MACOSX/"))
        .collect();
    let [(index, only)] = files.as_slice() else {
        return Err(Error::new(ErrorKind::Config, format!("{name} holds {} files, not one", files.len()))
            .hint("unpack it and name the files by `path:`"));
    };
    let entry = archive.by_index_raw(*index).map_err(broken)?;
    let method = entry.compression();
    let known = matches!(method, CompressionMethod::Deflated | CompressionMethod::Stored);
    let (false, true, Some(start)) = (entry.encrypted(), known, entry.data_start()) else {
        return Err(Error::new(ErrorKind::Unsupported, format!("{name} is encrypted or packed in an unusual way"))
            .hint("unpack it and name the file by `path:`"));
    };
    Ok(Entry { name: only.clone(), start, packed: entry.compressed_size(), method, crc: entry.crc32() })
}

/// Counts what is read, for progress and for the ratio.
struct Counted {
    inner: File,
    consumed: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(to)?;
        self.consumed.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Stops a file that unpacks to far more than lists do.
struct Capped<R> {
    inner: R,
    consumed: Arc<AtomicU64>,
    given: u64,
    most: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(to)?;
        self.given += read as u64;
        let packed = self.consumed.load(Ordering::Relaxed).max(1);
        if self.given > self.most || (self.given > RATIO_FLOOR_BYTES && self.given / packed > MAX_RATIO) {
            let (most, ratio) = (self.most >> 30, MAX_RATIO);
            return Err(io::Error::other(format!(
                "it unpacks to more than {ratio} times its size, or {most} GiB; unpack it first"
            )));
        }
        Ok(read)
    }
}

/// Compares the checksum at the end.
struct Checked<R> {
    inner: R,
    crc: Crc,
    wanted: u32,
}

impl<R> Checked<R> {
    fn new(inner: R, wanted: u32) -> Self {
        Self { inner, crc: Crc::new(), wanted }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(to)?;
        self.crc.update(to.get(..read).unwrap_or_default());
        if read == 0 && !to.is_empty() && self.crc.sum() != self.wanted {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is wrong"));
        }
        Ok(read)
    }
}
