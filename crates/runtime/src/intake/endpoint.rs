//! One source's door: what a delivery must show to be kept, and what is kept of it.

use headwater_sdk::{BuildContext, Error, ErrorKind, Secret};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;
use url::{Url, form_urlencoded};

use super::config::IntakeConfig;
use super::key::delivery_key;
use super::log::IntakeRecord;
use super::payload::COOKIES;
use super::signature::{Refusal, Signature, Verifier};

/// The longest challenge that is answered: Meta's and LinkedIn's have less than forty characters.
const MAX_CHALLENGE_BYTES: usize = 256;

/// The headers that are kept beside the body: where the form stood and what it was filled in with, as evidence of consent. Signatures
/// and addresses of machines are not among them.
const KEPT_HEADERS: &[&str] = &["accept-language", "origin", "referer", "svix-id", "user-agent", "webhook-id"];

/// The longest value of a kept header; a longer one is left out.
const MAX_HEADER_BYTES: usize = 2048;

/// A delivery as it came over the wire.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    /// Every header line.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Its content type, as sent.
    pub content_type: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
    /// What stands behind the source's name in the path.
    pub token: Option<&'a str>,
    /// The time now, in microseconds of UTC.
    pub now_us: i64,
}

/// A question by GET or HEAD, which some senders put before they post.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The query of the address, as sent.
    pub query: &'a str,
    /// What stands behind the source's name in the path.
    pub token: Option<&'a str>,
}

impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}

/// The answer to such a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its content type.
    pub content_type: &'static str,
    /// What it says.
    pub body: String,
}

impl std::fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("body_bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// An intake source, ready to take deliveries.
#[derive(Debug)]
pub struct Endpoint {
    config: IntakeConfig,
    verifier: Verifier,
    verify_token: Option<Secret>,
    redirect: Option<Url>,
}

impl Endpoint {
    /// The door of a source with these settings.
    ///
    /// # Errors
    /// `Config` when a secret or the redirect address is not usable.
    pub fn new(config: IntakeConfig, cx: &BuildContext) -> Result<Self, Error> {
        let verifier = Verifier::new(&config.signature, &|reference| cx.secret(reference))?;
        let verify_token = match &config.signature {
            Signature::Meta(settings) => Some(cx.secret(&settings.verify_token)?),
            _ => None,
        };
        let redirect = config.redirect.as_deref().map(web_address).transpose()?;
        Ok(Self { config, verifier, verify_token, redirect })
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &IntakeConfig {
        &self.config
    }

    /// Where a browser goes after a plain form post.
    #[must_use]
    pub fn redirect(&self) -> Option<&str> {
        self.redirect.as_ref().map(Url::as_str)
    }

    /// Whether anybody may post here, so that the number of posts has to be limited.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.verifier.is_public()
    }

    /// Judges a delivery to `source` and makes the record to keep.
    ///
    /// # Errors
    /// Why it is not let in; then nothing of it may be kept.
    pub fn admit(&self, source: &str, incoming: &Incoming<'_>) -> Result<IntakeRecord, Refusal> {
        let verdict = self.verifier.verify(incoming)?;
        Ok(IntakeRecord {
            source: source.to_owned(),
            received_at_us: incoming.now_us,
            content_type: incoming.content_type.to_owned(),
            headers: kept_headers(incoming.headers),
            body: incoming.body.to_vec(),
            delivery_key: delivery_key(incoming, self.config.provider, verdict.signed_id.as_deref()),
            signature_status: verdict.status,
        })
    }
}

impl Endpoint {
    /// Answers a sender that asks before it posts: Meta shows the verify token and wants its challenge back, LinkedIn wants a proof
    /// made with the secret, others only look whether somebody is there. `None` where this source's sender asks nothing.
    ///
    /// # Errors
    /// When the token it shows, or the address's, is not ours.
    pub fn answer(&self, asked: &Asked<'_>) -> Result<Option<Reply>, Refusal> {
        if !self.verifier.token_fits(asked.token) {
            return Err(Refusal::Token);
        }
        let parameter = |wanted: &str| {
            let found = form_urlencoded::parse(asked.query.as_bytes()).find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.into_owned()).filter(|value| value.len() <= MAX_CHALLENGE_BYTES)
        };
        match &self.config.signature {
            Signature::Meta(_) => {
                let Some(challenge) = parameter("hub.challenge") else { return Ok(None) };
                let shown = parameter("hub.verify_token").unwrap_or_default();
                let fits = self.verify_token.as_ref().is_some_and(|ours| ours.expose().ct_eq(shown.as_bytes()).into());
                // Meta sends digits; nothing else is given back, so that the answer is never a page.
                if !fits || !challenge.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return Err(Refusal::Token);
                }
                Ok(Some(Reply { content_type: "text/plain; charset=utf-8", body: challenge }))
            }
            Signature::Linkedin(_) => {
                let Some(code) = parameter("challengeCode") else { return Ok(None) };
                let Some(proof) = self.verifier.prove(&code) else { return Ok(None) };
                let body = serde_json::json!({ "challengeCode": code, "challengeResponse": proof }).to_string();
                Ok(Some(Reply { content_type: "application/json", body }))
            }
            _ if self.config.provider.provider().is_some_and(|provider| provider.asks_first) => {
                Ok(Some(Reply { content_type: "text/plain; charset=utf-8", body: "ok\n".to_owned() }))
            }
            _ => Ok(None),
        }
    }
}

/// Whether a body of this content type is what a browser posts for a plain form.
#[must_use]
pub fn is_browser_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    ["application/x-www-form-urlencoded", "multipart/form-data"].iter().any(|form| essence.eq_ignore_ascii_case(form))
}

fn kept_headers(headers: &[(&str, &[u8])]) -> Value {
    let kept = headers.iter().filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let text = std::str::from_utf8(value).ok()?;
        if name == "cookie" {
            return click_cookies(text).map(|cookies| (name, Value::from(cookies)));
        }
        (text.len() <= MAX_HEADER_BYTES && KEPT_HEADERS.contains(&name.as_str())).then(|| (name, Value::from(text)))
    });
    Value::Object(kept.collect::<Map<_, _>>())
}

/// Of the cookies only those that say which click brought the person; a session's stay where they are.
fn click_cookies(header: &str) -> Option<String> {
    let pairs = header.split(';').map(str::trim);
    let known = pairs.filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        pair.len() <= MAX_HEADER_BYTES && COOKIES.iter().any(|(known, _, _)| *known == name)
    });
    let known: Vec<&str> = known.take(COOKIES.len()).collect();
    (!known.is_empty()).then(|| known.join("; "))
}

fn web_address(text: &str) -> Result<Url, Error> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(Error::new(ErrorKind::Config, "redirect is not a web address")
            .hint("write it in full, such as `redirect: https://www.example.com/thanks`")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use headwater_sdk::Clock;

    use super::*;

    fn endpoint(json: &str) -> Result<Endpoint, Error> {
        let env = |name: &str| (name == "SECRET").then(|| "typeform-secret".to_owned());
        let cx = BuildContext {
            clock: Clock::fixed(jiff::Timestamp::UNIX_EPOCH),
            base_dir: PathBuf::new(),
            env: Arc::new(env),
            allow_private_hosts: false,
        };
        Endpoint::new(serde_json::from_str(json).unwrap(), &cx)
    }

    #[test]
    fn a_redirect_is_a_whole_web_address() {
        let with = |address: &str| endpoint(&format!(r#"{{"signature":{{"type":"none"}},"redirect":"{address}"}}"#));
        assert_eq!(with("https://www.example.com/thanks").unwrap().redirect(), Some("https://www.example.com/thanks"));
        for wrong in ["/thanks", "//example.com", "javascript:alert(1)", "data:text/html,x", "ftp://example.com/"] {
            assert_eq!(with(wrong).unwrap_err().kind(), ErrorKind::Config, "{wrong}");
        }
    }

    #[test]
    fn a_missing_secret_is_named() {
        let error = endpoint(r#"{"signature":{"type":"typeform","secret":{"env":"ABSENT"}}}"#).unwrap_err();
        assert!(error.to_string().contains("ABSENT"), "{error}");
    }

    #[test]
    fn only_listed_headers_are_kept() {
        let endpoint = endpoint(r#"{"signature":{"type":"none"}}"#).unwrap();
        let long = "x".repeat(MAX_HEADER_BYTES + 1);
        let headers: &[(&str, &[u8])] = &[
            ("Referer", b"https://www.example.com/contact"),
            ("Cookie", b"session=1"),
            ("Authorization", b"Basic eA=="),
            ("User-Agent", long.as_bytes()),
            ("Origin", b"\xff"),
        ];
        let incoming = Incoming { headers, content_type: "application/json", body: b"{}", token: None, now_us: 7 };
        let record = endpoint.admit("site", &incoming).unwrap();
        assert_eq!(record.headers, serde_json::json!({ "referer": "https://www.example.com/contact" }));
        assert_eq!((record.source.as_str(), record.received_at_us, record.signature_status), ("site", 7, "unsigned"));
    }

    #[test]
    fn a_form_is_told_by_its_content_type() {
        assert!(is_browser_form("application/x-www-form-urlencoded; charset=UTF-8"));
        assert!(is_browser_form("Multipart/Form-Data; boundary=x"));
        assert!(!is_browser_form("application/json"));
    }
}
