//! Whether a text mentions a person's addresses or numbers, however it is escaped.

use std::borrow::Cow;
use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;

/// The shortest number that is looked for in texts: a shorter one is too much like any other number.
const LEAST_DIGITS: usize = 7;

/// What a text is searched for.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    /// Normalised, so in lower case.
    addresses: Vec<String>,
    /// In E.164, and as sources wrote them.
    numbers: Vec<String>,
}

impl Mentions {
    pub(super) fn of(addresses: &BTreeSet<String>, numbers: &BTreeSet<String>) -> Self {
        let long = |number: &&String| number.bytes().filter(u8::is_ascii_digit).count() >= LEAST_DIGITS;
        Self { addresses: addresses.iter().cloned().collect(), numbers: numbers.iter().filter(long).cloned().collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.numbers.is_empty()
    }

    /// Whether the bytes mention one of them: as they stand, URL-encoded, or as JSON escapes them.
    pub(super) fn in_bytes(&self, bytes: &[u8]) -> bool {
        self.in_text(&String::from_utf8_lossy(bytes))
    }

    /// Likewise for a text.
    pub(super) fn in_text(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.plainly_in(&text)
            || (text.contains('%') && self.plainly_in(&percent_decode_str(&text).decode_utf8_lossy().to_lowercase()))
            || (text.contains("\\u") && self.plainly_in(&unescaped(&text)))
    }

    fn plainly_in(&self, text: &str) -> bool {
        self.addresses.iter().any(|address| stands_in(text, address, ends_address))
            || self.numbers.iter().any(|number| stands_in(text, number, ends_number))
    }
}

/// Whether `wanted` stands in `text` and is not part of something longer; `parts` judges what stands before and after it.
fn stands_in(text: &str, wanted: &str, parts: fn(Option<char>, &str) -> bool) -> bool {
    text.match_indices(wanted).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        parts(before, text.get(at + wanted.len()..).unwrap_or_default())
    })
}

/// `joann@example.com` and `ann@example.company` are others than `ann@example.com`.
fn ends_address(before: Option<char>, after: &str) -> bool {
    let mut after = after.chars();
    let goes_on = match after.next() {
        Some('.') => after.next().is_some_and(char::is_alphanumeric),
        Some('-') => true,
        next => next.is_some_and(char::is_alphanumeric),
    };
    !goes_on && before.is_none_or(|before| !before.is_alphanumeric() && !"._+-".contains(before))
}

fn ends_number(before: Option<char>, after: &str) -> bool {
    let digit = |next: Option<char>| next.is_some_and(|next| next.is_ascii_digit());
    !digit(before) && !digit(after.chars().next())
}

/// JSON's escapes of the ASCII characters that stand in addresses.
fn unescaped(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for (escape, plain) in [("\\u0040", "@"), ("\\u002b", "+"), ("\\u002e", "."), ("\\u002d", "-"), ("\\u005f", "_")] {
        if text.contains(escape) {
            text = Cow::Owned(text.replace(escape, plain));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_is_found_however_it_is_written_and_not_in_a_longer_address() {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        let mentions =
            Mentions::of(&set(&["ann@example.com", "a+b@example.com"]), &set(&["+49301234567", "030 / 123 45 67", "112"]));
        for text in [
            "ann@example.com",
            r#"{"email":"ANN@Example.com"}"#,
            "Write to <ann@example.com>.",
            "x=1&email=ann%40example.com&y=2",
            "email=a%2Bb%40example.com",
            r#"{"email":"ann\u0040example.com"}"#,
            "1,Ann,+49301234567",
            "1,Ann,030 / 123 45 67",
        ] {
            assert!(mentions.in_text(text), "{text}");
        }
        for text in [
            "joann@example.com",
            "jo.ann@example.com",
            "ann@example.com.au",
            "ann@example.company",
            "ann@example.com-net",
            "ann at example.com",
            "1,Ann,+493012345678",
            "call 112",
            "",
        ] {
            assert!(!mentions.in_text(text), "{text}");
        }
    }
}
