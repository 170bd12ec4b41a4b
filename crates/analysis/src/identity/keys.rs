//! Matching forms: what two values have in common when they mean one thing.
//!
//! A matching form is compared and hashed, never shown or stored: it throws away what people write differently. The displayed
//! value stays as the source wrote it.

use std::borrow::Cow;

use headwater_model::lists;
use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The fewest digits that make a phone number; below it are extensions and placeholders.
const MIN_PHONE_DIGITS: usize = 7;

/// The matching form of an email address, or nothing where the text is no address.
///
/// Lower case; the plus tag is dropped everywhere; Gmail's dots are dropped and `googlemail.com` is `gmail.com`. No other
/// provider's habit is applied: a wrong join costs more than a missed one.
///
/// ```
/// use headwater_analysis::identity::match_key;
/// assert_eq!(match_key("Jane.Doe+news@GoogleMail.com").as_deref(), Some("janedoe@gmail.com"));
/// assert_eq!(match_key("jane.doe@example.com").as_deref(), Some("jane.doe@example.com"));
/// assert_eq!(match_key("n/a"), None);
/// ```
#[must_use]
pub fn match_key(email: &str) -> Option<String> {
    let (local, domain) = email.trim().rsplit_once('@')?;
    let domain = lowered(domain.strip_suffix('.').unwrap_or(domain));
    if local.is_empty() || !domain.contains('.') || email.trim().contains(char::is_whitespace) {
        return None;
    }
    let mut local = lowered(untagged(local));
    let domain = match domain.as_ref() {
        "gmail.com" | "googlemail.com" => {
            local.to_mut().retain(|letter| letter != '.');
            "gmail.com"
        }
        other => other,
    };
    (!local.is_empty()).then(|| format!("{local}@{domain}"))
}

/// Whether the address belongs to a desk that several people read, such as `info@` or `sales@`.
#[must_use]
pub fn is_role(email: &str) -> bool {
    let Some((local, _)) = email.trim().rsplit_once('@') else { return false };
    lists::is_role(&lowered(local))
}

/// The matching form of a person's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameKey {
    /// Lower case, without accents and punctuation, given name first.
    pub text: String,
    /// Whether it has at least two parts; a lone first name says little.
    pub is_full: bool,
}

/// The matching form of a name: given and family name where both are there, the full name otherwise.
#[must_use]
pub fn name_key(given: Option<&str>, family: Option<&str>, full: Option<&str>) -> Option<NameKey> {
    let mut text = String::new();
    match (filled(given), filled(family), filled(full)) {
        (Some(given), Some(family), _) => {
            fold_into(given, &mut text);
            fold_into(family, &mut text);
        }
        (_, _, Some(full)) => match full.split_once(',') {
            // "Doe, Jane" is how lists sort people.
            Some((family, given)) => {
                fold_into(given, &mut text);
                fold_into(family, &mut text);
            }
            None => fold_into(full, &mut text),
        },
        (given, family, None) => fold_into(given.or(family)?, &mut text),
    }
    let is_full = text.contains(' ');
    (!text.is_empty()).then_some(NameKey { text, is_full })
}

/// The matching form of a phone number: its digits without the extension.
#[must_use]
pub fn phone_key(phone: &str) -> Option<String> {
    let number = phone.split([';', 'x', 'X', '#']).next().unwrap_or_default();
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    (digits.len() >= MIN_PHONE_DIGITS).then_some(digits)
}

/// The matching form of a personal LinkedIn profile; company pages and searches have none.
#[must_use]
pub fn linkedin_key(url: &str) -> Option<String> {
    let lower = url.trim().to_lowercase();
    let rest = lower.split_once("://").map_or(lower.as_str(), |(_, rest)| rest);
    let (host, path) = rest.split_once('/')?;
    if host != "linkedin.com" && !host.ends_with(".linkedin.com") {
        return None;
    }
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let path: Cow<'_, str> = percent_decode_str(path).decode_utf8_lossy();
    match path.split_once('/')? {
        // What follows the name is a language or a tab of the same profile.
        ("in", rest) => rest.split('/').next().filter(|name| !name.is_empty()).map(|name| format!("in/{}", composed(name))),
        ("pub", rest) => Some(format!("pub/{}", composed(rest))),
        _ => None,
    }
}

fn filled(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// Lower case, without a copy where the text is that already, as conformed addresses are.
fn lowered(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

fn untagged(local: &str) -> &str {
    match local.split_once('+') {
        Some((before, _)) if !before.is_empty() => before,
        _ => local,
    }
}

fn composed(text: &str) -> String {
    text.to_lowercase().nfc().collect()
}

/// Appends the folded words of `text`, one space between words.
pub(super) fn fold_into(text: &str, out: &mut String) {
    let mut gap = !out.is_empty();
    let mut push = |letter: char| {
        if letter.is_alphanumeric() {
            if gap && !out.is_empty() {
                out.push(' ');
            }
            gap = false;
            out.push(letter);
        } else if !is_combining_mark(letter) && !matches!(letter, '\'' | '\u{2019}' | '`' | '\u{b4}') {
            gap = true;
        }
    };
    if text.is_ascii() {
        text.chars().for_each(|letter| push(letter.to_ascii_lowercase()));
        return;
    }
    for letter in text.nfkd().flat_map(char::to_lowercase).filter(|letter| !is_accent(*letter)) {
        match unligated(letter) {
            Some(letters) => letters.chars().for_each(&mut push),
            None => push(letter),
        }
    }
}

/// Accents of Latin, Greek and Cyrillic letters. The marks of other scripts are vowels and stay.
fn is_accent(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}')
}

/// Letters that Unicode does not take apart, as people write them without the key.
fn unligated(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ı' => "i",
        _ => return None,
    })
}
