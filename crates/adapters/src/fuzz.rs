//! Doors for the fuzz targets into parsers of foreign bytes that nothing outside of this crate calls.

use headwater_sdk::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::engine::plan::Decoder;
use crate::{compat, engine, language, process};

/// An answer's body; the first byte chooses how it is decoded.
pub fn answer(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let csv = || Decoder::Csv { delimiter: b';', encoding: "windows-1252".to_owned(), nulls: vec![String::new()] };
    let decoder = match choice % 9 {
        0 => Decoder::Json,
        1 => Decoder::JsonLines,
        2 => Decoder::Lines,
        3 => Decoder::Csv { delimiter: b',', encoding: "utf-8".to_owned(), nulls: Vec::new() },
        4 => csv(),
        5 => Decoder::Xml,
        6 => Decoder::Gzip(Box::new(Decoder::JsonLines)),
        7 => Decoder::Zip(Box::new(csv())),
        _ => Decoder::Zip(Box::new(Decoder::Gzip(Box::new(Decoder::Xml)))),
    };
    if let Ok(value) = engine::decode(&decoder, body) {
        drop(value.to_json());
    }
}

/// The headers of an answer, one a line.
pub fn headers(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(100) {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    drop(engine::headers_value(&headers).to_json());
}

/// The position of a stream of ours, as a checkpoint keeps it.
pub fn position(data: &[u8]) {
    if let Ok(state) = serde_json::from_slice(data) {
        language::position(&state);
    }
}

/// An Airbyte manifest.
pub fn manifest(data: &[u8]) {
    compat::fuzz::manifest(data);
}

/// A template of a manifest and, behind a NUL, the record it is rendered over.
pub fn template(data: &[u8]) {
    compat::fuzz::template(data);
}

/// A configured catalog or a state of a manifest.
pub fn state(data: &[u8]) {
    compat::fuzz::state(data);
}

/// What a Singer tap prints.
pub fn singer(data: &[u8]) {
    process::feed_singer(data);
}

/// What an Airbyte source prints.
pub fn airbyte(data: &[u8]) {
    process::feed_airbyte(data);
}
