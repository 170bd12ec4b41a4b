//! JSON text into a [`Value`] and back, without loss and within bounds.

use std::sync::Arc;

use headwater_sdk::{Error, ErrorKind, Result};

use super::value::{Key, Map, Value};

/// How deep values may be nested: each level costs stack.
const MAX_DEPTH: usize = 128;
/// How many names one answer's cache holds; records of one stream have far fewer.
const CACHED_KEYS: usize = 256;

/// Reads one JSON value.
///
/// # Errors
/// `Protocol`, with the place, never with a value out of it.
pub fn parse(bytes: &[u8]) -> Result<Value> {
    let mut parser = Parser::new(bytes);
    let value = parser.value(0)?;
    parser.space();
    if parser.at < bytes.len() { Err(parser.wrong("something follows the value")) } else { Ok(value) }
}

/// Writes a value as JSON on one line.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => write_int(*number, out),
        Value::Number(digits) => out.extend_from_slice(digits.as_bytes()),
        Value::Text(text) => write_text(text, out),
        Value::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Map(map) => {
            out.push(b'{');
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(key, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
    }
}

fn write_int(number: i64, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing into memory does not fail.
    drop(write!(out, "{number}"));
}

/// Writes a JSON string.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(index) = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\') {
        let (plain, special) = rest.split_at(index);
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Reads values one after another out of one text.
pub(crate) struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    keys: Vec<Key>,
    next_key: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, keys: Vec::new(), next_key: 0 }
    }

    /// The next value, or none at the end of the text.
    pub(crate) fn next(&mut self) -> Option<Result<Value>> {
        self.space();
        (self.at < self.bytes.len()).then(|| self.value(0))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn wrong(&self, what: &'static str) -> Error {
        Error::new(ErrorKind::Protocol, "the remote's answer is not the JSON we expect")
            .context("because", what)
            .context("byte", self.at.to_string())
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("it is nested too deeply"));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.map(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Value::Text(self.text()?)),
            Some(b't') => self.word(b"true", Value::Bool(true)),
            Some(b'f') => self.word(b"false", Value::Bool(false)),
            Some(b'n') => self.word(b"null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.wrong("a value is missing")),
        }
    }

    fn word(&mut self, word: &[u8], value: Value) -> Result<Value> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.wrong("a value is missing"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Value> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(items));
                }
                _ => return Err(self.wrong("a list does not end")),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value> {
        self.at += 1;
        let mut map = Map::with_capacity(8);
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Map(map));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a name is missing"));
            }
            let key = self.key()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.wrong("a colon is missing"));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            match map.get_mut(&key) {
                Some(place) => *place = value,
                None => map.push(key, value),
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Map(map));
                }
                _ => return Err(self.wrong("an object does not end")),
            }
        }
    }

    /// A name. Records repeat theirs in one order, so the name after the last one found is nearly always the next.
    fn key(&mut self) -> Result<Key> {
        let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
        let fits = |key: &Key| rest.starts_with(key.as_bytes()) && rest.get(key.len()) == Some(&b'"');
        let found = match self.keys.get(self.next_key) {
            Some(key) if fits(key) => Some(self.next_key),
            _ => self.keys.iter().position(fits),
        };
        if let Some(index) = found
            && let Some(key) = self.keys.get(index)
        {
            self.at += key.len() + 2;
            self.next_key = if index + 1 == self.keys.len() { 0 } else { index + 1 };
            return Ok(Arc::clone(key));
        }
        let from = self.at;
        let key: Key = self.text()?.into();
        // Only a name without escapes can be found again by its bytes.
        if self.keys.len() < CACHED_KEYS && self.at - from == key.len() + 2 {
            self.keys.push(Arc::clone(&key));
            self.next_key = 0;
        }
        Ok(key)
    }

    fn text(&mut self) -> Result<Box<str>> {
        self.at += 1;
        let from = self.at;
        let rest = self.bytes.get(from..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'"' || *byte == b'\\' || *byte < 0x20) else {
            return Err(self.wrong("a text does not end"));
        };
        let plain = rest.get(..end).unwrap_or_default();
        self.at += end;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return std::str::from_utf8(plain).map(Box::from).map_err(|_| self.wrong("a text is not UTF-8"));
        }
        let mut text = plain.to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return String::from_utf8(text).map(Box::from).map_err(|_| self.wrong("a text is not UTF-8"));
                }
                Some(b'\\') => self.escape(&mut text)?,
                Some(byte) if byte >= 0x20 => {
                    text.push(byte);
                    self.at += 1;
                }
                _ => return Err(self.wrong("a text does not end")),
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<()> {
        let byte = self.bytes.get(self.at + 1).copied();
        self.at += 2;
        text.push(match byte {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let letter = self.unicode()?;
                text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.wrong("an escape is not one")),
        });
        Ok(())
    }

    fn unicode(&mut self) -> Result<char> {
        let high = self.hex()?;
        if (0xd800..0xdc00).contains(&high) && self.bytes.get(self.at..self.at + 2) == Some(b"\\u") {
            let before = self.at;
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        // Half a pair is no letter; the mark for an unknown one keeps the rest of the text.
        Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.filter(|digits| !digits.starts_with('+')).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| self.wrong("an escape is not one"))
    }

    fn digits(&mut self) -> Result<()> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from { Err(self.wrong("a digit is missing")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Value> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            whole = false;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
            whole = false;
        }
        let digits = self.bytes.get(from..self.at).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or("0");
        match digits.parse::<i64>() {
            Ok(number) if whole && digits != "-0" => Ok(Value::Int(number)),
            _ => Ok(Value::Number(digits.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_is_written_as_it_was_read() {
        for text in [
            r#"{"b":1,"a":[10.10,1e400,12345678901234567890,-0,null,true,false,"ü\"\\\n"],"c":{}}"#,
            "[]",
            "0",
            "-12",
            r#""\u0001""#,
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().to_json(), text);
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "[1,]", "{\"a\"}", "01", "1.", "+1", "nul", "\"a", "[1] 2", "\"\\x\"", "{\"a\":1,}", "\"\n\"", "-"]
        {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn surrogates_make_one_letter_and_halves_none() {
        assert_eq!(parse(br#""\ud83d\ude00""#).unwrap().as_str(), Some("😀"));
        assert_eq!(parse(br#""\ud83dx""#).unwrap().as_str(), Some("\u{fffd}x"));
        assert_eq!(parse(br#""\ud83d\u0041""#).unwrap().as_str(), Some("\u{fffd}A"));
    }

    #[test]
    fn the_last_of_equal_names_counts() {
        assert_eq!(parse(br#"[{"a":1,"ab":2},{"ab":3,"a":4,"a":5}]"#).unwrap().to_json(), r#"[{"a":1,"ab":2},{"ab":3,"a":5}]"#);
    }

    proptest! {
        #[test]
        fn every_text_agrees_with_serde_json(text in r#"[\[\]{}:,"a0-9.eE\-+ntrufls\\ ]{0,24}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            let ours = parse(text.as_bytes());
            // A number that no machine type holds is an error for them.
            if !theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range")) {
                prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}", text);
            }
        }

        #[test]
        fn any_text_survives(text in any::<String>()) {
            let written = Value::text(text.as_str()).to_json();
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text.clone());
            let read = parse(written.as_bytes()).unwrap();
            prop_assert_eq!(read.as_str(), Some(text.as_str()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            drop(parse(&bytes));
        }
    }
}
