//! Finds out how text was saved and turns it into UTF-8.
//!
//! A byte order mark decides; then what the user declared; then evidence. Where the evidence allows two readings that both look
//! plausible, the user is asked: a name read in the wrong encoding is damaged for good.

use std::io::{self, Cursor, Read};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{DecoderResult, Encoding, MACINTOSH, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use headwater_sdk::{Error, ErrorKind, Result};

/// How much of a text is looked at.
const SAMPLE_BYTES: usize = 64 * 1024;
/// How much is decoded at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// The encodings that are taken on a guess. Others are right too seldom on short texts.
const GUESSED: [&str; 5] = ["windows-1252", "windows-1250", "windows-1254", "windows-1257", "ISO-8859-2"];

/// The text of `input` as UTF-8, and a word on how it was saved.
pub(super) fn decode(
    mut input: Box<dyn Read + Send>,
    declared: Option<&'static Encoding>,
    file: &str,
) -> Result<(Box<dyn Read + Send>, String)> {
    let mut sample = Vec::new();
    input
        .by_ref()
        .take(SAMPLE_BYTES as u64)
        .read_to_end(&mut sample)
        .map_err(|error| Error::new(ErrorKind::Input, format!("{file} cannot be read: {error}")).source(error))?;
    let whole = sample.len() < SAMPLE_BYTES;
    let Saved { encoding, mark, guessed } = match (Encoding::for_bom(&sample), declared) {
        (Some((encoding, mark)), _) => Saved { encoding, mark, guessed: false },
        (None, Some(encoding)) => Saved { encoding, mark: 0, guessed: false },
        (None, None) => detect(&sample, whole, file)?,
    };
    let name = encoding.name().to_lowercase();
    let note = if guessed { format!("encoding {name} (a guess)") } else { format!("encoding {name}") };
    let mut start = Cursor::new(sample);
    start.set_position(mark as u64);
    let bytes = start.chain(input);
    if encoding == UTF_8 {
        // The reader of the format checks it, and knows the line.
        return Ok((Box::new(bytes), note));
    }
    Ok((Box::new(Transcoded::new(bytes, encoding)), note))
}

/// How a text was saved.
#[derive(Debug, Clone, Copy)]
struct Saved {
    encoding: &'static Encoding,
    /// The length of the byte order mark.
    mark: usize,
    guessed: bool,
}

fn detect(sample: &[u8], whole: bool, file: &str) -> Result<Saved> {
    let plain = |encoding| Saved { encoding, mark: 0, guessed: false };
    if sample.contains(&0) {
        return utf16_without_mark(sample).map(plain).ok_or_else(|| {
            Error::new(ErrorKind::Input, format!("{file} holds zero bytes: it is not text"))
                .hint("check `format:`, or declare how it was saved, for example `encoding: utf-16le`")
        });
    }
    match std::str::from_utf8(sample) {
        Ok(_) => return Ok(plain(UTF_8)),
        // The sample may end in the middle of a character.
        Err(error) if error.error_len().is_none() && !whole => return Ok(plain(UTF_8)),
        Err(_) => {}
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(sample, whole);
    let encoding = detector.guess(None, Utf8Detection::Deny);
    if looks_mac(sample, encoding) {
        return Err(ask(sample, file, "may have been saved on an old Mac").hint(
            "declare how it was saved: `encoding: macintosh`, or `encoding: windows-1252` if the second reading is right",
        ));
    }
    if !GUESSED.contains(&encoding.name()) {
        return Err(ask(sample, file, "is in an encoding that cannot be told for sure")
            .hint(format!("declare how it was saved, perhaps `encoding: {}`", encoding.name().to_lowercase())));
    }
    Ok(Saved { encoding, mark: 0, guessed: true })
}

/// UTF-16 of mostly Latin text has a zero in every other byte.
fn utf16_without_mark(sample: &[u8]) -> Option<&'static Encoding> {
    let zeros = |parity: usize| sample.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, pairs) = (zeros(0), zeros(1), sample.len() / 2);
    match (even, odd) {
        (0, odd) if odd * 10 >= pairs => Some(UTF_16LE),
        (even, 0) if even * 10 >= pairs => Some(UTF_16BE),
        _ => None,
    }
}

/// Whether the text may be Mac Roman, which has its accented letters where the Windows encodings have capitals and signs.
fn looks_mac(sample: &[u8], guess: &'static Encoding) -> bool {
    let (mut mac, mut windows, mut feeds) = (0, 0, 0);
    for pair in sample.windows(2) {
        let [before, byte] = pair else { continue };
        feeds += usize::from(*byte == b'\n');
        // After a small letter Windows text has no capital such as Š, and none of the signs; Mac Roman has é, è, ê, ä, ç there.
        mac += usize::from(before.is_ascii_lowercase() && matches!(byte, 0x87 | 0x88 | 0x8a..=0x90));
        mac += usize::from(guess == WINDOWS_1252 && before.is_ascii_alphabetic() && *byte == 0x9f);
        windows += usize::from(before.is_ascii_alphabetic() && *byte >= 0xc0);
    }
    let returns = sample.iter().filter(|byte| **byte == b'\r').count();
    let returns_only = returns > 0 && feeds * 2 <= returns;
    mac * 2 > windows || (returns_only && windows == 0)
}

/// An error that shows a word of the column names in two readings; column names are no person's data.
fn ask(sample: &[u8], file: &str, why: &str) -> Error {
    let line = sample.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let word = line.split(|byte| !byte.is_ascii_alphabetic() && byte.is_ascii()).find(|word| !word.is_ascii());
    let error = Error::new(ErrorKind::Input, format!("{file} {why}"));
    match word {
        None => error,
        Some(word) => {
            let read = |encoding: &'static Encoding| encoding.decode_without_bom_handling(word).0.into_owned();
            error.context("as macintosh", read(MACINTOSH)).context("as windows-1252", read(WINDOWS_1252))
        }
    }
}

/// Text turned into UTF-8 as it is read.
struct Transcoded<R> {
    inner: R,
    decoder: encoding_rs::Decoder,
    raw: Vec<u8>,
    raw_left: std::ops::Range<usize>,
    text: Vec<u8>,
    text_left: std::ops::Range<usize>,
    ended: bool,
    finished: bool,
    malformed: bool,
}

impl<R: Read> Transcoded<R> {
    fn new(inner: R, encoding: &'static Encoding) -> Self {
        Self {
            inner,
            decoder: encoding.new_decoder_without_bom_handling(),
            raw: vec![0; CHUNK_BYTES],
            raw_left: 0..0,
            text: vec![0; CHUNK_BYTES],
            text_left: 0..0,
            ended: false,
            finished: false,
            malformed: false,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        if self.raw_left.is_empty() && !self.ended {
            let read = self.inner.read(&mut self.raw)?;
            self.ended = read == 0;
            self.raw_left = 0..read;
        }
        let raw = self.raw.get(self.raw_left.clone()).unwrap_or_default();
        let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(raw, &mut self.text, self.ended);
        self.raw_left.start += read;
        self.text_left = 0..written;
        match result {
            DecoderResult::InputEmpty => self.finished = self.ended,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(_, _) => self.malformed = true,
        }
        Ok(())
    }
}

impl<R: Read> Read for Transcoded<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.text_left.is_empty() {
            if self.malformed {
                let name = self.decoder.encoding().name().to_lowercase();
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("bytes that are not {name}; check `encoding:`")));
            }
            if self.finished {
                return Ok(0);
            }
            self.refill()?;
        }
        let mut text = self.text.get(self.text_left.clone()).unwrap_or_default();
        let read = text.read(to)?;
        self.text_left.start += read;
        Ok(read)
    }
}
