//! The XML in which object stores list files: S3's `ListBucketResult` and Azure's `EnumerationResults`.

use headwater_sdk::{Error, ErrorKind, Result};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::position::Stamp;

/// A file, as the store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Object {
    pub(in super::super) name: String,
    pub(in super::super) stamp: Stamp,
}

/// A page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) objects: Vec<Object>,
    /// What the next page is asked for with.
    pub(super) next: Option<String>,
}

/// What is said of the file in progress.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    size: Option<u64>,
    mtime_us: Option<i64>,
    etag: Option<String>,
}

/// # Errors
/// `Protocol` when it is no listing, or a file in it has no size or time.
pub(super) fn parse(body: &[u8]) -> Result<Listing> {
    let broken = |what: &str| Error::new(ErrorKind::Protocol, format!("the store's listing {what}"));
    let text = std::str::from_utf8(body).map_err(|_| broken("is not UTF-8"))?;
    let mut reader = Reader::from_str(text);
    let mut listing = Listing::default();
    let mut draft: Option<Draft> = None;
    let (mut value, mut is_listing) = (String::new(), false);
    loop {
        match reader.read_event().map_err(|_| broken("is not XML"))? {
            Event::Start(tag) => {
                value.clear();
                match tag.local_name().as_ref() {
                    "ListBucketResult" | "EnumerationResults" => is_listing = true,
                    "Contents" | "Blob" => draft = Some(Draft::default()),
                    _ => {}
                }
            }
            Event::Text(piece) => value.push_str(&piece),
            Event::CData(piece) => value.push_str(&piece),
            Event::GeneralRef(reference) => {
                let name: &str = &reference;
                let plain = match (name, reference.resolve_char_ref()) {
                    ("amp", _) => Some('&'),
                    ("lt", _) => Some('<'),
                    ("gt", _) => Some('>'),
                    ("quot", _) => Some('"'),
                    ("apos", _) => Some('\''),
                    (_, Ok(character)) => character,
                    (_, Err(_)) => None,
                };
                value.push(plain.ok_or_else(|| broken("holds an unknown entity"))?);
            }
            Event::End(tag) => {
                let said = std::mem::take(&mut value);
                match (tag.local_name().as_ref(), &mut draft) {
                    ("Key" | "Name", Some(draft)) => draft.name = Some(said),
                    ("Size" | "Content-Length", Some(draft)) => draft.size = said.parse().ok(),
                    ("LastModified" | "Last-Modified", Some(draft)) => draft.mtime_us = instant(&said),
                    ("ETag" | "Etag", Some(draft)) => draft.etag = Some(quoted(&said)),
                    ("Contents" | "Blob", _) => listing.objects.extend(finished(draft.take(), broken)?),
                    ("NextContinuationToken" | "NextMarker", None) => listing.next = Some(said).filter(|next| !next.is_empty()),
                    _ => {}
                }
            }
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    if is_listing { Ok(listing) } else { Err(broken("is none")) }
}

fn finished(draft: Option<Draft>, broken: impl Fn(&str) -> Error) -> Result<Option<Object>> {
    let Some(Draft { name, size, mtime_us, etag }) = draft else { return Ok(None) };
    match (name, size, mtime_us) {
        (Some(name), Some(size), Some(mtime_us)) => Ok(Some(Object { name, stamp: Stamp { size, mtime_us, etag } })),
        _ => Err(broken("names a file without its size and time")),
    }
}

/// S3 writes `2026-01-03T10:30:00.000Z`, Azure `Sat, 03 Jan 2026 10:30:00 GMT`.
fn instant(text: &str) -> Option<i64> {
    let rfc3339 = text.parse::<jiff::Timestamp>().ok();
    let at = rfc3339.or_else(|| jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok());
    at.map(jiff::Timestamp::as_microsecond)
}

/// A tag as requests repeat it: in quotes, which Azure's listing leaves out.
fn quoted(tag: &str) -> String {
    if tag.starts_with('"') { tag.to_owned() } else { format!("\"{tag}\"") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_vendors_listings_are_read() {
        let s3 = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name>\
                  <NextContinuationToken>t/1==</NextContinuationToken><Contents><Key>a&amp;b/c d.csv</Key>\
                  <LastModified>2026-01-03T10:30:00.000Z</LastModified><ETag>&quot;abc&quot;</ETag><Size>12</Size>\
                  <Owner><ID>x</ID></Owner></Contents></ListBucketResult>";
        let stamp = Stamp { size: 12, mtime_us: 1_767_436_200_000_000, etag: Some("\"abc\"".to_owned()) };
        let object = Object { name: "a&b/c d.csv".to_owned(), stamp: stamp.clone() };
        assert_eq!(parse(s3.as_bytes()).unwrap(), Listing { objects: vec![object], next: Some("t/1==".to_owned()) });
        let azure = "\u{feff}<?xml version=\"1.0\"?><EnumerationResults ContainerName=\"c\"><Blobs><Blob><Name>x.csv</Name><Properties>\
                     <Last-Modified>Sat, 03 Jan 2026 10:30:00 GMT</Last-Modified><Etag>abc</Etag><Content-Length>12</Content-Length>\
                     </Properties></Blob></Blobs><NextMarker /></EnumerationResults>";
        let object = Object { name: "x.csv".to_owned(), stamp };
        assert_eq!(parse(azure.as_bytes()).unwrap(), Listing { objects: vec![object], next: None });
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        for body in
            ["", "<html></html>", "{}", "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>", "<a><b></a>"]
        {
            assert_eq!(parse(body.as_bytes()).unwrap_err().kind(), ErrorKind::Protocol, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in "(<|>|/|&|;|ListBucketResult|Contents|Key|Size|[a-z0-9]){0,40}") {
            drop(parse(body.as_bytes()));
        }
    }
}
