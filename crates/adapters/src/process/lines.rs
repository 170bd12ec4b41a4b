//! Lines of a stranger, with a bound.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// What is read from a pipe at once: the size of a pipe in Linux.
const CHUNK_BYTES: usize = 64 * 1024;

/// Reads lines. Waiting for the next one may be given up and taken up again without losing a byte.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    cap: usize,
    line: Vec<u8>,
    cut: bool,
}

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its bytes, or the first of them.
    pub(super) bytes: Vec<u8>,
    /// Whether it was longer than the bound; what lay beyond is gone.
    pub(super) cut: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of at most `cap` bytes.
    pub(super) fn new(reader: R, cap: usize) -> Self {
        Self { reader: BufReader::with_capacity(CHUNK_BYTES, reader), cap, line: Vec::new(), cut: false }
    }

    /// The next line; a last one without an end counts.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                let rest = !self.line.is_empty() || self.cut;
                return Ok(rest.then(|| self.take()));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            let room = self.cap.saturating_sub(self.line.len());
            self.cut |= part.len() > room;
            self.line.extend(part.iter().take(room));
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        let mut bytes = std::mem::take(&mut self.line);
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Line { bytes, cut: std::mem::take(&mut self.cut) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn read(text: &str, cap: usize) -> Vec<(String, bool)> {
        let mut lines = Lines::new(text.as_bytes(), cap);
        let mut out = Vec::new();
        while let Some(Line { bytes, cut }) = lines.next().await.unwrap() {
            out.push((String::from_utf8(bytes).unwrap(), cut));
        }
        out
    }

    #[tokio::test]
    async fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let long = "x".repeat(3 * CHUNK_BYTES);
        let read = read(&format!("a\r\n\n{long}\nlast"), 10).await;
        let whole = |text: &str| (text.to_owned(), false);
        assert_eq!(read, [whole("a"), whole(""), ("x".repeat(10), true), whole("last")]);
    }

    #[tokio::test]
    async fn a_line_of_exactly_the_bound_is_whole() {
        assert_eq!(read("12345\n123456\n", 5).await, [("12345".to_owned(), false), ("12345".to_owned(), true)]);
    }

    #[tokio::test]
    async fn giving_up_in_mid_line_loses_nothing() {
        let (mut write, read) = tokio::io::duplex(64);
        let mut lines = Lines::new(read, 100);
        tokio::io::AsyncWriteExt::write_all(&mut write, b"half a ").await.unwrap();
        assert!(futures::FutureExt::now_or_never(lines.next()).is_none());
        tokio::io::AsyncWriteExt::write_all(&mut write, b"line\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap().bytes, b"half a line");
    }

    proptest! {
        #[test]
        fn any_bytes_become_lines_within_the_bound(bytes in proptest::collection::vec(prop::sample::select(b"a\xff\0\r\n".to_vec()), 0..60), cap in 1_usize..8) {
            let read = async {
                let mut lines = Lines::new(bytes.as_slice(), cap);
                let mut out = Vec::new();
                while let Some(line) = lines.next().await.unwrap() {
                    out.push(line);
                }
                out
            };
            let lines = futures::executor::block_on(read);
            prop_assert!(lines.iter().all(|line| line.bytes.len() <= cap && !line.bytes.contains(&b'\n')));
            let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(lines.len(), ends + usize::from(bytes.last().is_some_and(|last| *last != b'\n')));
        }
    }
}
