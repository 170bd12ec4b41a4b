//! S3's signature of a request, version 4.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use headwater_sdk::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use headwater_sdk::http::{Method, Url};
use headwater_sdk::{Error, ErrorKind, Result, Secret};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// The hash of an empty body: we only get.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Who signs.
pub(in super::super) struct Keys {
    pub(super) id: Secret,
    pub(super) secret: Secret,
    pub(super) token: Option<Secret>,
    pub(super) region: String,
}

/// The URL with its query in the order that is signed, and the headers that sign it.
pub(super) fn sign(keys: &Keys, method: &Method, mut url: Url, now: Timestamp, headers: &mut HeaderMap) -> Result<Url> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = time.get(..8).unwrap_or_default();
    let query = canonical_query(&url);
    url.set_query((!query.is_empty()).then_some(&query));
    let path = canonical_path(&url);
    // The path is sent as it was signed.
    url.set_path(&path);
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let mut signed = vec![("host", host), ("x-amz-content-sha256", EMPTY.to_owned()), ("x-amz-date", time.clone())];
    if let Some(token) = &keys.token {
        signed.push(("x-amz-security-token", token.expose_str().to_owned()));
    }
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let request = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{EMPTY}");
    let scope = format!("{day}/{}/s3/aws4_request", keys.region);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(request.as_bytes())));
    let mut key = format!("AWS4{}", keys.secret.expose_str()).into_bytes();
    for part in [day, &keys.region, "s3", "aws4_request"] {
        key = mac(&key, part)?;
    }
    let signature = hex(&mac(&key, &text)?);
    let id = keys.id.expose_str();
    let authorization = format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| Error::new(ErrorKind::Config, "the key holds characters that cannot be sent"))
    };
    for (name, text) in signed.iter().skip(1) {
        headers.insert(HeaderName::from_static(name), value(text)?);
    }
    let mut authorization = value(&authorization)?;
    authorization.set_sensitive(true);
    headers.insert(AUTHORIZATION, authorization);
    Ok(url)
}

fn mac(key: &[u8], text: &str) -> Result<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything but letters, digits and `-._~` as `%XX`.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

fn canonical_query(url: &Url) -> String {
    let mut pairs: Vec<(String, String)> = url.query_pairs().map(|(name, value)| (encoded(&name), encoded(&value))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn canonical_path(url: &Url) -> String {
    let segments = url.path().split('/');
    let plain = |segment: &str| {
        let bytes = percent_decoded(segment);
        encoded(&String::from_utf8_lossy(&bytes))
    };
    segments.map(plain).collect::<Vec<_>>().join("/")
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let digits = || -> Option<u8> {
            let mut ahead = bytes.clone();
            let (high, low) = (ahead.next()?, ahead.next()?);
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            Some(digit(high)? * 16 + digit(low)?)
        };
        match (byte == b'%').then(digits).flatten() {
            Some(decoded) => {
                out.push(decoded);
                bytes.nth(1);
            }
            None => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of the example "GET Bucket (List Objects)" in the documentation of the signature.
    #[test]
    fn the_documented_example_is_signed_as_documented() {
        let keys = Keys {
            id: Secret::new("AKIAIOSFODNN7EXAMPLE"),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            token: None,
            region: "us-east-1".to_owned(),
        };
        let url = Url::parse("https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J").unwrap();
        let mut headers = HeaderMap::new();
        sign(&keys, &Method::GET, url, "2013-05-24T00:00:00Z".parse().unwrap(), &mut headers).unwrap();
        let authorization = headers[AUTHORIZATION].to_str().unwrap();
        let expected = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
        assert!(authorization.ends_with(&format!("Signature={expected}")), "{authorization}");
        assert!(headers[AUTHORIZATION].is_sensitive());
    }

    #[test]
    fn names_are_signed_and_sent_in_one_spelling() {
        let url = Url::parse("https://h.example/b/a b+c(é)/%25.csv?z=1&a=x y").unwrap();
        assert_eq!(canonical_path(&url), "/b/a%20b%2Bc%28%C3%A9%29/%25.csv");
        assert_eq!(canonical_query(&url), "a=x%20y&z=1");
    }
}
