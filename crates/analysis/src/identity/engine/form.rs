//! Matching forms of the fields of a lead: what is left when habits of writing are taken away. Each is computed once per
//! distinct value.

use std::borrow::Cow;

use headwater_model::{country, lists as known};

use super::super::keys::fold_into;
use super::edit::within_one;
use super::lists::{MENDED, is_legal, is_nothing, title_word};

/// Longer values are cut: no name, address or title of a person is longer, and every step below is linear in this.
pub(super) const MAX_VALUE_BYTES: usize = 512;
/// The fewest digits that make a phone number.
const MIN_PHONE_DIGITS: usize = 7;
/// National numbers are written with and without their country and trunk prefixes; this many last digits stay the same.
const PHONE_TAIL: usize = 9;

/// The beginning of a value that is too long to be one.
pub(super) fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_VALUE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Lower case, no accents, words parted by one space; empty where the text stands for nothing.
pub(super) fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    fold_into(text, &mut out);
    if is_nothing(&out) {
        out.clear();
    }
    out
}

/// The words of a personal name, without numbers and titles of address.
pub(super) fn name_words(text: &str) -> Vec<String> {
    let mut out = String::with_capacity(text.len());
    fold_into(text, &mut out);
    if is_nothing(&out) {
        return Vec::new();
    }
    let is_word = |word: &&str| word.chars().any(|letter| !letter.is_numeric()) && !is_address_form(word);
    out.split(' ').filter(is_word).map(str::to_owned).collect()
}

/// A folded name without what transliteration adds: `ö` is written `oe` or `o`, `ø` too, `å` `aa` or `a`. So Jörg, Joerg and Jorg are
/// written in one way. Short names, such as Joe, are left alone.
pub(super) fn spelled(name: &str) -> Cow<'_, str> {
    let is_plain = !["ae", "oe", "ue", "aa"].iter().any(|pair| name.contains(pair));
    if is_plain || name.chars().nth(SHORTEST_SPELLED - 1).is_none() {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len());
    spell_into(name, &mut out);
    Cow::Owned(out)
}

/// Names of fewer letters are not taken for transliterated.
const SHORTEST_SPELLED: usize = 4;

/// Appends a name without what transliteration adds.
pub(super) fn spell_into(name: &str, out: &mut String) {
    let mut last = out.chars().next_back().unwrap_or_default();
    for letter in name.chars() {
        if !matches!((last, letter), ('a' | 'o' | 'u', 'e') | ('a', 'a')) {
            out.push(letter);
            last = letter;
        }
    }
}

fn is_address_form(word: &str) -> bool {
    matches!(word, "mr" | "mrs" | "ms" | "dr" | "prof" | "herr" | "frau" | "mme" | "mlle" | "phd" | "mba" | "ing" | "dipl")
}

/// What kind of mailbox an address is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Mailbox {
    /// None, or one that several people read.
    #[default]
    Shared,
    /// At a provider open to everybody.
    Free,
    /// At a domain of its own.
    Work,
}

/// Where mailboxes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// The registered domain.
    pub(super) domain: String,
    /// Whether everybody can have a mailbox there.
    pub(super) is_free: bool,
}

/// What stands before and after the `@` of an address; nothing where it is none.
pub(super) fn address(text: &str) -> Option<(&str, &str)> {
    let text = text.trim().trim_start_matches("mailto:");
    let (local, host) = text.rsplit_once('@')?;
    (!local.is_empty() && !text.contains(char::is_whitespace)).then_some((local, host))
}

/// Where the mailboxes of what stands after an `@` are; nothing where that is no domain.
pub(super) fn host(text: &str) -> Option<Host> {
    let domain = mended(text.trim_end_matches('.').to_lowercase());
    if !domain.contains('.') {
        return None;
    }
    let domain = psl::domain_str(&domain).unwrap_or(&domain).to_owned();
    let is_free = known::is_freemail(&domain) || known::is_disposable(&domain);
    Some(Host { domain, is_free })
}

/// The part before the `@` as it is compared, and what kind of mailbox it is at such a host.
pub(super) fn mailbox(local: &str, host: &Host) -> (String, Mailbox) {
    let mut local = local.to_lowercase();
    if let Some(tag) = local.find('+').filter(|tag| *tag > 0) {
        local.truncate(tag);
    }
    if host.domain == "gmail.com" {
        local.retain(|letter| letter != '.');
    }
    let kind = match host.is_free {
        _ if known::is_role(&local) || is_nothing(&local) => Mailbox::Shared,
        true => Mailbox::Free,
        false => Mailbox::Work,
    };
    (local, kind)
}

/// A domain with the slips undone that are common enough to be known.
fn mended(domain: String) -> String {
    let domain =
        match domain.strip_suffix(".con").or_else(|| domain.strip_suffix(".cmo")).or_else(|| domain.strip_suffix(".comm")) {
            Some(stem) => format!("{stem}.com"),
            None => domain,
        };
    if domain == "googlemail.com" {
        return "gmail.com".to_owned();
    }
    if known::is_freemail(&domain) {
        return domain;
    }
    let meant = MENDED.iter().find(|provider| within_one(provider.as_bytes(), domain.as_bytes()));
    meant.map_or(domain, |provider| (*provider).to_owned())
}

/// Hosts where everybody has a page: a link to one names no organisation.
const PLATFORMS: [&str; 10] = [
    "linkedin.com",
    "facebook.com",
    "instagram.com",
    "twitter.com",
    "x.com",
    "youtube.com",
    "github.io",
    "wordpress.com",
    "google.com",
    "linktr.ee",
];

/// The registrable domain of a website, unless it is a platform's or a mail provider's.
pub(super) fn site(text: &str) -> Option<String> {
    let lower = text.trim().to_lowercase();
    let rest = lower.split_once("://").map_or(lower.as_str(), |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':']).next()?.trim_end_matches('.');
    let host = mended(host.to_owned());
    let domain = psl::domain_str(&host)?;
    let is_own = domain.contains('.') && !known::is_freemail(domain) && !PLATFORMS.contains(&domain);
    is_own.then(|| domain.to_owned())
}

/// The letters of a domain's own label.
pub(super) fn stem(domain: &str) -> String {
    let label = domain.split('.').next().unwrap_or_default();
    label.chars().filter(|letter| letter.is_alphabetic()).collect()
}

/// The words of a company's name without its legal form.
pub(super) fn company(text: &str) -> String {
    let spelled: Cow<'_, str> = if text.contains(['&', '+', '.']) {
        Cow::Owned(text.replace(['&', '+'], " and ").replace('.', ""))
    } else {
        Cow::Borrowed(text)
    };
    let all = folded(&spelled);
    let mut words: Vec<&str> = all.split(' ').filter(|word| !word.is_empty()).collect();
    while words.len() > 1 && words.last().is_some_and(|word| is_legal(word) || *word == "and") {
        words.pop();
    }
    words.retain(|word| !matches!(*word, "and" | "und" | "et" | "the"));
    words.join(" ")
}

/// The last digits of a phone number without its extension; nothing for what cannot be one.
pub(super) fn phone(text: &str) -> String {
    let number = text.split([';', 'x', 'X', '#', 'e', 'E']).next().unwrap_or_default();
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    if digits.len() < MIN_PHONE_DIGITS || is_run(digits) {
        return String::new();
    }
    digits.get(digits.len().saturating_sub(PHONE_TAIL)..).unwrap_or_default().to_owned()
}

/// One digit over and over, or the row of keys.
fn is_run(digits: &str) -> bool {
    let steps = || digits.as_bytes().windows(2).map(|pair| pair.iter().copied().map(i16::from).rev().reduce(|a, b| a - b));
    steps().all(|step| step == Some(0)) || "01234567890123".contains(digits) || "98765432109876".contains(digits)
}

/// A job title in long words.
pub(super) fn title(text: &str) -> String {
    let all = folded(text);
    let words: Vec<&str> = all.split(' ').filter(|word| !word.is_empty()).map(title_word).collect();
    words.join(" ")
}

/// A country's code, or what was written.
pub(super) fn nation(text: &str) -> String {
    country::code(text).map_or_else(|| folded(text), str::to_owned)
}

/// Digits and letters alone: dates, numbers, postal codes.
pub(super) fn code(text: &str) -> String {
    let all = folded(text);
    all.chars().filter(|letter| *letter != ' ').collect()
}
