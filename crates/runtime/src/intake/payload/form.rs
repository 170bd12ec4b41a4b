//! What a browser posts for a plain HTML form: urlencoded, or multipart where the form asks for it.

use std::borrow::Cow;
use std::collections::HashMap;

use percent_encoding::percent_decode;
use serde_json::Value;

use super::Unreadable;
use super::json::Json;

/// The names and values of a form post, in order.
pub(in crate::intake) type Pairs = Vec<(String, String)>;

/// The most parts or pairs that are looked at before the caller's own bound on fields says no.
const MAX_PAIRS: usize = 2_000;

/// Reads a form post of either content type.
pub(in crate::intake) fn pairs(content_type: &str, body: &[u8]) -> Result<Pairs, Unreadable> {
    let mut parameters = content_type.split(';').map(str::trim);
    if !parameters.next().is_some_and(|essence| essence.eq_ignore_ascii_case("multipart/form-data")) {
        return urlencoded(body);
    }
    let boundary = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    });
    // RFC 2046 bounds a boundary at 70 characters.
    match boundary.filter(|boundary| (1..=70).contains(&boundary.len())) {
        Some(boundary) => multipart(boundary, body),
        None => Err(Unreadable::new("bad_multipart", "the content type names no boundary between the parts")),
    }
}

/// The values of each name, in the order of their first coming.
pub(in crate::intake) fn grouped(pairs: &Pairs) -> Vec<(&str, Vec<&str>)> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut grouped: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, value) in pairs {
        let place = *places.entry(name).or_insert(grouped.len());
        match grouped.get_mut(place) {
            Some((_, values)) => values.push(value),
            None => grouped.push((name, vec![value])),
        }
    }
    grouped
}

/// A form post as a JSON object, for the raw record.
pub(in crate::intake) fn as_json(pairs: &Pairs) -> String {
    let object = grouped(pairs).into_iter().map(|(name, values)| {
        let value = match values.as_slice() {
            [single] => Value::from(*single),
            several => Value::from(several.to_vec()),
        };
        (name.to_owned(), value)
    });
    Value::Object(object.collect()).to_string()
}

/// The pairs of a form post that was kept as JSON.
pub(in crate::intake) fn of_json(json: Json<'_>) -> Pairs {
    let members = json.members().unwrap_or_default().into_iter().take(MAX_PAIRS);
    let pairs = members.flat_map(|(name, value)| {
        let values = value.items().unwrap_or_else(|| vec![value]);
        values.into_iter().filter_map(move |value| Some((name.clone(), value.text()?)))
    });
    pairs.collect()
}

fn urlencoded(body: &[u8]) -> Result<Pairs, Unreadable> {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).take(MAX_PAIRS);
    pairs
        .map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let half = |bytes: Option<&[u8]>| decoded(bytes.unwrap_or_default());
            Ok((half(halves.next())?, half(halves.next())?))
        })
        .collect()
}

/// Strictly UTF-8: a lenient decoder would put replacement characters into a person's name and nobody would know.
fn decoded(bytes: &[u8]) -> Result<String, Unreadable> {
    let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).decode_utf8().map(Cow::into_owned).map_err(|_| Unreadable::not_utf8())
}

/// The plain fields of a multipart body. All its bytes are at hand and bounded, so a streaming parser would only add its machinery.
fn multipart(boundary: &str, body: &[u8]) -> Result<Pairs, Unreadable> {
    let broken = || Unreadable::new("bad_multipart", "the parts of the form post do not hold together");
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter has no line end before it.
    let mut rest = body.strip_prefix(delimiter.trim_start().as_bytes()).ok_or_else(broken)?;
    let mut pairs = Pairs::new();
    while !rest.starts_with(b"--") && pairs.len() < MAX_PAIRS {
        let part = rest.strip_prefix(b"\r\n").ok_or_else(broken)?;
        let (head, after) = split_at(part, b"\r\n\r\n").ok_or_else(broken)?;
        let (content, next) = split_at(after, delimiter.as_bytes()).ok_or_else(broken)?;
        let head = std::str::from_utf8(head).map_err(|_| Unreadable::not_utf8())?;
        let (name, file) = disposition(head).ok_or_else(broken)?;
        let value = match file {
            // The content of a file is no field; that there was one, and its name, is.
            Some(file) => file,
            None => std::str::from_utf8(content).map_err(|_| Unreadable::not_utf8())?.to_owned(),
        };
        pairs.push((name, value));
        rest = next;
    }
    Ok(pairs)
}

/// The field's name, and the file's if it is a file.
fn disposition(head: &str) -> Option<(String, Option<String>)> {
    let line = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    Some((parameter(line, "name")?, parameter(line, "filename")))
}

/// A quoted parameter; browsers write a quote in it as `%22`, some libraries as `\"`.
fn parameter(line: &str, wanted: &str) -> Option<String> {
    let (_, after) = line.split_once(&format!("; {wanted}=\"")).or_else(|| line.split_once(&format!(";{wanted}=\"")))?;
    let mut value = String::new();
    let mut chars = after.chars();
    loop {
        match chars.next()? {
            '"' => break,
            '\\' => value.push(chars.next()?),
            char => value.push(char),
        }
    }
    Some(value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
}

fn split_at<'a>(bytes: &'a [u8], by: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(by.len()).position(|window| window == by)?;
    Some((bytes.get(..at)?, bytes.get(at + by.len()..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";

    fn owned(pairs: &[(&str, &str)]) -> Pairs {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn urlencoded_pairs_are_decoded() {
        let body = b"name=Zo%C3%AB+Example&phone=%2B33+6&empty=&alone&&eq=a=b";
        let expected = [("name", "Zoë Example"), ("phone", "+33 6"), ("empty", ""), ("alone", ""), ("eq", "a=b")];
        assert_eq!(pairs(FORM, body).unwrap(), owned(&expected));
    }

    #[test]
    fn a_name_in_latin_1_is_refused_and_not_mangled() {
        assert_eq!(pairs(FORM, b"name=Zo%EB").unwrap_err().code, "not_utf8");
    }

    #[test]
    fn multipart_fields_are_read_and_files_give_their_name() {
        let body = "--xyz\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\nada@example.com\r\n\
                    --xyz\r\ncontent-disposition: form-data; name=\"note\"\r\nContent-Type: text/plain\r\n\r\nline\r\n\r\nline --xy\r\n\
                    --xyz\r\nContent-Disposition: form-data; name=\"cv\"; filename=\"ada %22x%22.pdf\"\r\n\r\n\0\u{1}\r\n\
                    --xyz--\r\n";
        let read = pairs("multipart/form-data; boundary=xyz", body.as_bytes()).unwrap();
        let expected = [("email", "ada@example.com"), ("note", "line\r\n\r\nline --xy"), ("cv", "ada \"x\".pdf")];
        assert_eq!(read, owned(&expected));
    }

    #[test]
    fn a_multipart_body_cut_short_is_refused() {
        let body = b"--xyz\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\nada@exam";
        assert_eq!(pairs("multipart/form-data; boundary=xyz", body).unwrap_err().code, "bad_multipart");
        assert_eq!(pairs("multipart/form-data", body).unwrap_err().code, "bad_multipart");
    }

    proptest! {
        #[test]
        fn any_pairs_survive_urlencoding(pairs_in in proptest::collection::vec(("\\PC{1,12}", "\\PC{0,12}"), 0..8)) {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs_in).finish();
            prop_assert_eq!(pairs(FORM, body.as_bytes()).unwrap(), pairs_in);
        }

        #[test]
        fn no_body_makes_the_parser_panic(body: Vec<u8>, multipart: bool) {
            let kind = if multipart { "multipart/form-data; boundary=\"-\"" } else { FORM };
            drop(pairs(kind, &body));
        }
    }
}
