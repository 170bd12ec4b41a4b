//! An answer's body into values.

use std::io::Read as _;

use headwater_sdk::{Error, ErrorKind, Result};
use quick_xml::events::{BytesStart, Event};

use super::json;
use super::plan::Decoder;
use super::value::{Map, Value};

/// The largest body after unpacking: a packed one may be a bomb.
const MAX_UNPACKED: u64 = 256 * 1024 * 1024;
/// How many files of an archive are read.
const MAX_FILES: usize = 1_000;
/// How many parts of a multipart answer are read: no batch has more.
const MAX_PARTS: usize = 10_001;
/// How deep XML may be nested: each level costs stack where the value is used.
const MAX_XML_DEPTH: usize = 128;

/// Reads a body. What is a sequence of records by its format becomes a list.
pub(crate) fn decode(decoder: &Decoder, body: &[u8]) -> Result<Value> {
    match decoder {
        Decoder::Json if body.iter().all(u8::is_ascii_whitespace) => Ok(Value::Map(Map::default())),
        Decoder::Json => json::parse(body),
        Decoder::JsonLines => {
            let mut parser = json::Parser::new(body);
            let mut rows = Vec::new();
            while let Some(row) = parser.next() {
                rows.push(row?);
            }
            Ok(Value::List(rows))
        }
        Decoder::Lines => {
            let text = String::from_utf8_lossy(body);
            let row = |line: &str| Value::Map([("record", Value::text(line))].into_iter().collect());
            Ok(Value::List(text.lines().map(row).collect()))
        }
        Decoder::Csv { delimiter, encoding, nulls } => csv(body, *delimiter, encoding, nulls),
        Decoder::Xml => xml(body),
        // What refuses the whole of a batch is no multipart.
        Decoder::Multipart if !body.trim_ascii_start().starts_with(b"--") => decode(&Decoder::Json, body),
        Decoder::Multipart => multipart(body),
        Decoder::Gzip(inner) => {
            if !body.starts_with(&[0x1f, 0x8b]) {
                // The transport has unpacked it already.
                return decode(inner, body);
            }
            decode(inner, &bounded(flate2::read::MultiGzDecoder::new(body), MAX_UNPACKED)?)
        }
        Decoder::Zip(inner) => unzip(inner, body, MAX_UNPACKED),
    }
}

/// The answers of a batch (RFC 2046, section 5.1, around HTTP messages), in their order; those of a change set stand among the others.
fn multipart(body: &[u8]) -> Result<Value> {
    let text = std::str::from_utf8(body).map_err(|_| wrong("multipart answer"))?;
    let text = text.trim_start();
    let boundary =
        text.lines().next().map(str::trim_end).filter(|line| line.len() > 2).ok_or_else(|| wrong("multipart answer"))?;
    let mut answers = Vec::new();
    let mut ended = false;
    for part in text.split(boundary).skip(1).take(MAX_PARTS) {
        if part.starts_with("--") {
            ended = true;
            break;
        }
        let (head, inner) = halves(part.trim_start_matches(['\r', '\n']));
        if head.to_ascii_lowercase().contains("multipart/mixed") {
            match multipart(inner.as_bytes())? {
                Value::List(more) => answers.extend(more),
                _ => return Err(wrong("multipart answer")),
            }
            continue;
        }
        answers.push(http_answer(inner)?);
    }
    // A part that is missing at the end must not let rows look unanswered.
    if ended { Ok(Value::List(answers)) } else { Err(wrong("multipart answer")) }
}

/// What stands before the first empty line, and behind it.
fn halves(text: &str) -> (&str, &str) {
    let empty = ["\r\n\r\n", "\n\n"].iter().filter_map(|mark| Some((text.find(mark)?, mark.len()))).min();
    let Some((at, length)) = empty else { return (text, "") };
    (text.get(..at).unwrap_or_default(), text.get(at + length..).unwrap_or_default())
}

/// An HTTP message: its status, its headers with names in lower case, its body in JSON.
fn http_answer(text: &str) -> Result<Value> {
    let (head, body) = halves(text.trim_start());
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/")?.split_whitespace().nth(1)?.parse::<u16>().ok());
    let status = status.ok_or_else(|| wrong("answer of a batch"))?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_ascii_lowercase(), Value::text(value.trim())))
    };
    let headers: Map = lines.filter_map(header).collect();
    let body = decode(&Decoder::Json, body.trim().as_bytes())?;
    let answer = [("status", Value::Int(status.into())), ("headers", Value::Map(headers)), ("body", body)];
    Ok(Value::Map(answer.into_iter().collect()))
}

fn wrong(what: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, format!("the remote's answer is not the {what} we expect"))
}

fn bounded(reader: impl std::io::Read, most: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    reader.take(most.saturating_add(1)).read_to_end(&mut out).map_err(|_| wrong("compressed file"))?;
    if u64::try_from(out.len()).unwrap_or(u64::MAX) > most {
        let error = Error::new(ErrorKind::Protocol, "the remote's answer is larger than we keep in memory");
        return Err(error.context("limit_bytes", most.to_string()));
    }
    Ok(out)
}

/// All files of an archive; `left` bounds what they have in all.
fn unzip(inner: &Decoder, body: &[u8], mut left: u64) -> Result<Value> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(body)).map_err(|_| wrong("zip archive"))?;
    let mut rows = Vec::new();
    for index in 0..archive.len().min(MAX_FILES) {
        let file = archive.by_index(index).map_err(|_| wrong("zip archive"))?;
        if file.is_dir() {
            continue;
        }
        let bytes = bounded(file, left)?;
        left = left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        match decode(inner, &bytes)? {
            Value::List(more) => rows.extend(more),
            other => rows.push(other),
        }
    }
    Ok(Value::List(rows))
}

fn csv(body: &[u8], delimiter: u8, encoding: &str, nulls: &[String]) -> Result<Value> {
    let encoding = encoding_rs::Encoding::for_label(encoding.as_bytes()).ok_or_else(|| {
        Error::new(ErrorKind::Config, "the encoding of the CSV is not known").context("encoding", encoding.to_owned())
    })?;
    let (text, _, _) = encoding.decode(body);
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let names: Vec<super::value::Key> = reader.headers().map_err(|_| wrong("CSV"))?.iter().map(Into::into).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|_| wrong("CSV"))?;
        let cell = |text: &str| if nulls.iter().any(|null| null == text) { Value::Null } else { Value::text(text) };
        let cells = record.iter().map(cell).chain(std::iter::repeat(Value::Null));
        rows.push(Value::Map(names.iter().cloned().zip(cells).collect()));
    }
    Ok(Value::List(rows))
}

/// XML as nested objects: attributes as `@name`, text beside them as `#text`, repeated elements as a list.
fn xml(body: &[u8]) -> Result<Value> {
    let text = String::from_utf8_lossy(body);
    let mut reader = quick_xml::Reader::from_str(&text);
    let mut open: Vec<(String, Map, String)> = vec![(String::new(), Map::default(), String::new())];
    loop {
        match reader.read_event().map_err(|_| wrong("XML"))? {
            Event::Start(tag) => {
                if open.len() > MAX_XML_DEPTH {
                    return Err(wrong("XML"));
                }
                open.push((tag.name().as_ref().to_owned(), attributes(&tag)?, String::new()));
            }
            Event::Empty(tag) => add(&mut open, tag.name().as_ref().to_owned(), attributes(&tag)?, ""),
            Event::End(_) => {
                let (name, map, text) = open.pop().ok_or_else(|| wrong("XML"))?;
                add(&mut open, name, map, &text);
            }
            Event::Text(text) => {
                if let Some((_, _, into)) = open.last_mut() {
                    into.push_str(&text);
                }
            }
            Event::GeneralRef(name) => {
                let letter = match name.resolve_char_ref().map_err(|_| wrong("XML"))? {
                    Some(letter) => letter,
                    // Entities of a document's own are not resolved: they can name files and grow without end.
                    None => match name.as_ref() {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return Err(wrong("XML")),
                    },
                };
                if let Some((_, _, into)) = open.last_mut() {
                    into.push(letter);
                }
            }
            Event::CData(text) => {
                if let Some((_, _, into)) = open.last_mut() {
                    into.push_str(&text);
                }
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some((_, map, _)), true) => Ok(Value::Map(map)),
        _ => Err(wrong("XML")),
    }
}

fn attributes(tag: &BytesStart<'_>) -> Result<Map> {
    let mut map = Map::default();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|_| wrong("XML"))?;
        let value = quick_xml::escape::unescape(&attribute.value).map_err(|_| wrong("XML"))?.into_owned();
        map.insert(format!("@{}", attribute.key.as_ref()), Value::text(value));
    }
    Ok(map)
}

fn add(open: &mut [(String, Map, String)], name: String, mut map: Map, text: &str) {
    let text = text.trim();
    let value = if map.is_empty() {
        if text.is_empty() { Value::Null } else { Value::text(text) }
    } else {
        if !text.is_empty() {
            map.insert("#text", Value::text(text));
        }
        Value::Map(map)
    };
    let Some((_, into, _)) = open.last_mut() else { return };
    match into.get_mut(&name) {
        Some(Value::List(items)) => items.push(value),
        Some(first) => *first = Value::List(vec![std::mem::take(first), value]),
        None => {
            into.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in files {
            out.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            out.write_all(bytes).unwrap();
        }
        out.finish().unwrap().into_inner()
    }

    fn text(decoder: &Decoder, body: &[u8]) -> String {
        decode(decoder, body).unwrap().to_json()
    }

    #[test]
    fn gzip_is_unpacked_unless_the_transport_has_done_it() {
        let decoder = Decoder::Gzip(Box::new(Decoder::Json));
        assert_eq!(text(&decoder, &gzip(b"[10.10]")), "[10.10]");
        assert_eq!(text(&decoder, b"[10.10]"), "[10.10]");
        let whole = gzip(b"[10.10]");
        assert!(decode(&decoder, &whole[..whole.len() - 9]).is_err(), "half a file is no file");
    }

    #[test]
    fn all_files_of_an_archive_are_read() {
        let decoder = Decoder::Zip(Box::new(Decoder::JsonLines));
        assert_eq!(
            text(&decoder, &archive(&[("a", b"{\"a\":1}\n{\"a\":2}"), ("b/c", b"{\"a\":3}")])),
            r#"[{"a":1},{"a":2},{"a":3}]"#
        );
        assert!(decode(&decoder, b"PK no archive").is_err());
    }

    #[test]
    fn what_unpacks_to_more_than_the_bound_is_refused() {
        let zeros = vec![b' '; 100_000];
        let packed = gzip(&zeros);
        assert!(packed.len() < 1_000);
        let unpack = |most| bounded(flate2::read::MultiGzDecoder::new(&*packed), most);
        assert_eq!(unpack(100_000).unwrap().len(), 100_000);
        assert!(unpack(99_999).unwrap_err().to_string().contains("larger than we keep"));
        let two = archive(&[("a", &zeros), ("b", &zeros)]);
        assert!(unzip(&Decoder::Lines, &two, 200_000).is_ok());
        assert!(unzip(&Decoder::Lines, &two, 199_999).is_err(), "the files count together");
    }

    #[test]
    fn xml_becomes_nested_objects() {
        let body = br#"<?xml version="1.0"?><r n="1"><p id="7">A &amp; B &#233;</p><p><x/></p><c><![CDATA[<y>]]></c></r>"#;
        assert_eq!(
            text(&Decoder::Xml, body),
            "{\"r\":{\"@n\":\"1\",\"p\":[{\"@id\":\"7\",\"#text\":\"A & B \u{e9}\"},{\"x\":null}],\"c\":\"<y>\"}}"
        );
    }

    #[test]
    fn xml_opens_no_files_and_does_not_grow() {
        let named = br#"<!DOCTYPE r [<!ENTITY f SYSTEM "file:///etc/hostname">]><r>&f;</r>"#;
        assert!(decode(&Decoder::Xml, named).is_err());
        assert!(decode(&Decoder::Xml, "<a>".repeat(MAX_XML_DEPTH + 2).as_bytes()).is_err());
        assert!(decode(&Decoder::Xml, b"<a><b></a>").is_err());
    }

    #[test]
    fn csv_keeps_its_text_and_its_encoding() {
        let decoder = Decoder::Csv { delimiter: b';', encoding: "windows-1252".to_owned(), nulls: vec!["NULL".to_owned()] };
        assert_eq!(text(&decoder, b"a;b\n007;caf\xe9\nNULL;\n"), "[{\"a\":\"007\",\"b\":\"caf\u{e9}\"},{\"a\":null,\"b\":\"\"}]");
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let csv = Decoder::Csv { delimiter: b',', encoding: "utf-8".to_owned(), nulls: Vec::new() };
            for decoder in [Decoder::Json, Decoder::JsonLines, Decoder::Lines, csv, Decoder::Xml, Decoder::Multipart] {
                drop(decode(&decoder, &bytes));
                drop(decode(&Decoder::Gzip(Box::new(decoder.clone())), &bytes));
                drop(decode(&Decoder::Zip(Box::new(decoder)), &bytes));
            }
        }

        #[test]
        fn no_text_of_xml_makes_the_decoder_panic(text in r#"[<>/a-b ="'&;!?#x0-9\[\]-]{0,60}"#) {
            drop(decode(&Decoder::Xml, text.as_bytes()));
        }
    }

    const BATCH: &str = "--batchresponse_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 201 Created\r\nETag: W/\"7\"\r\n\r\n{\"contactid\":\"1\"}\r\n--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changeset_2\r\n\r\n--changeset_2\r\nContent-Type: application/http\r\nContent-ID: 1\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n--changeset_2--\r\n--batchresponse_1\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 412 Precondition Failed\r\n\r\n{\"error\":{\"code\":\"0x80060882\"}}\r\n--batchresponse_1--\r\n";

    #[test]
    fn the_answers_of_a_batch_come_in_their_order() {
        let answers = decode(&Decoder::Multipart, BATCH.as_bytes()).unwrap().to_json();
        let expected = r#"[{"status":201,"headers":{"etag":"W/\"7\""},"body":{"contactid":"1"}},{"status":204,"headers":{},"body":{}},{"status":412,"headers":{},"body":{"error":{"code":"0x80060882"}}}]"#;
        assert_eq!(answers, expected);
        assert_eq!(decode(&Decoder::Multipart, b"{\"error\":1}").unwrap().to_json(), r#"{"error":1}"#);
    }

    #[test]
    fn a_batch_that_breaks_off_is_no_answer() {
        let whole = BATCH.trim_end();
        for cut in [whole.len() - 2, whole.len() - 20, whole.len() / 2, 40] {
            assert!(decode(&Decoder::Multipart, &whole.as_bytes()[..cut]).is_err(), "{cut}");
        }
        assert!(decode(&Decoder::Multipart, b"--b\r\n\r\nno status\r\n--b--").is_err());
    }
}
