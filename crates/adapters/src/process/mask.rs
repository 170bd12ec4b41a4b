//! What other programs say on their way into our logs: without secrets, and without people.
//!
//! A program may print whatever it was working on. What is certain is taken out for certain: the secrets of its configuration,
//! and for a target every word of the rows that it was given. What only looks like a person's data is taken out as well:
//! addresses, long numbers, quoted values, lists and records. A name in plain prose cannot be told from other words.

use std::collections::HashSet;

use headwater_sdk::Secret;

const SECRET: &str = "***";
/// A secret shorter than this would mask every other word; nothing that short protects anything.
const SHORTEST_SECRET: usize = 3;
/// A word shorter than this names nobody.
const SHORTEST_WORD: usize = 3;
/// A number with this many digits may be a phone's or an account's.
const NUMBER_DIGITS: usize = 7;
/// What is kept of a line.
const MOST_CHARS: usize = 500;

/// What must not be seen.
#[derive(Clone, Default)]
pub(super) struct Mask {
    secrets: Vec<String>,
    words: HashSet<String>,
}

impl Mask {
    /// Hides these secrets.
    pub(super) fn new(secrets: &[Secret]) -> Self {
        let mut hidden: Vec<String> = Vec::new();
        for secret in secrets {
            let text = secret.expose_str();
            let escaped = serde_json::to_string(text).unwrap_or_default();
            hidden.extend(text.lines().map(str::to_owned));
            hidden.push(escaped.trim_matches('"').to_owned());
        }
        hidden.retain(|text| text.len() >= SHORTEST_SECRET);
        // The longest first: one may stand in another.
        hidden.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        hidden.dedup();
        Self { secrets: hidden, words: HashSet::new() }
    }

    /// Hides every word of this value as well.
    pub(super) fn hide(&mut self, value: &str) {
        let words = value.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= SHORTEST_WORD);
        self.words.extend(words.map(str::to_lowercase));
    }

    /// Hides what the other one hides, too.
    pub(super) fn join(&mut self, other: Self) {
        self.secrets.extend(other.secrets);
        self.words.extend(other.words);
    }

    /// A line that may be shown.
    pub(super) fn line(&self, line: &[u8]) -> String {
        let text = String::from_utf8_lossy(line);
        self.text(&text)
    }

    /// The same of text. Also of several lines, which become one.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), SECRET);
            }
        }
        let chars: Vec<char> = text.chars().take(MOST_CHARS).collect();
        let mut out = String::with_capacity(chars.len());
        let mut rest = chars.as_slice();
        while let Some(first) = rest.first() {
            let (shown, used) = span(rest, *first, out.chars().next_back()).unwrap_or_else(|| self.word(rest, *first));
            out.push_str(&shown);
            rest = rest.get(used.max(1)..).unwrap_or_default();
        }
        out
    }

    /// The word, or the one other character, at the start.
    fn word(&self, rest: &[char], first: char) -> (String, usize) {
        let word: String = rest.iter().take_while(|c| is_word(**c)).collect();
        let used = word.chars().count();
        if used == 0 {
            return (first.to_string(), 1);
        }
        let bare = word.trim_matches(['.', '-', '_']);
        if is_address(&word) {
            return ("<email>".to_owned(), used);
        }
        let hidden = !self.words.is_empty()
            && bare.split(|c: char| !c.is_alphanumeric()).any(|part| self.words.contains(&part.to_lowercase()));
        (if hidden { "…".to_owned() } else { word }, used)
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mask").finish_non_exhaustive()
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '@' | '.' | '_' | '-' | '+' | '%')
}

fn is_address(word: &str) -> bool {
    word.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

/// A quoted value, a bracketed list or a long number at the start: what is shown of it, and its length.
fn span(rest: &[char], first: char, before: Option<char>) -> Option<(String, usize)> {
    match first {
        '"' | '`' => quoted(rest, first),
        // In mid-word it is an apostrophe.
        '\'' if !before.is_some_and(char::is_alphanumeric) => quoted(rest, first),
        '{' => Some(("{…}".to_owned(), closed(rest, '{', '}').unwrap_or(rest.len()))),
        '[' => listed(rest, '[', ']', before),
        '(' => listed(rest, '(', ')', before),
        '+' | '0'..='9' if !before.is_some_and(char::is_alphanumeric) => number(rest),
        _ => None,
    }
}

/// Names of fields and types are kept: without them no complaint can be understood.
fn quoted(rest: &[char], quote: char) -> Option<(String, usize)> {
    let length = rest.iter().skip(1).position(|c| *c == quote)?;
    let inner: String = rest.iter().skip(1).take(length).collect();
    let plain = inner.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let name =
        plain && (inner.trim_matches('_').contains('_') || ["Type", "Error", "Exception"].iter().any(|end| inner.ends_with(end)));
    let shown = if name { inner } else { "…".to_owned() };
    Some((format!("{quote}{shown}{quote}"), length + 2))
}

/// A list of values is hidden; one word in brackets, such as a level, is not.
fn listed(rest: &[char], open: char, close: char, before: Option<char>) -> Option<(String, usize)> {
    let used = closed(rest, open, close)?;
    let inner = rest.get(1..used - 1).unwrap_or_default();
    let values = before == Some('=') || inner.iter().any(|c| matches!(c, ',' | '"' | '\'' | '=' | '{' | '@'));
    values.then(|| (format!("{open}…{close}"), used))
}

fn closed(rest: &[char], open: char, close: char) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, c) in rest.iter().enumerate() {
        if *c == open {
            depth += 1;
        } else if *c == close {
            depth -= 1;
            if depth == 0 {
                return Some(index + 1);
            }
        }
    }
    None
}

fn number(rest: &[char]) -> Option<(String, usize)> {
    let belongs = |c: &&char| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')' | '.' | '/');
    let run: Vec<char> = rest.iter().take_while(belongs).copied().collect();
    // A date is none.
    let date = |index: usize, c: &char| if matches!(index, 4 | 7) { *c == '-' } else { c.is_ascii_digit() };
    if run.len() >= 10 && run.iter().take(10).enumerate().all(|(index, c)| date(index, c)) {
        return Some((run.iter().take(10).collect(), 10));
    }
    let used = run.iter().rposition(char::is_ascii_digit)? + 1;
    let digits = run.iter().take(used).filter(|c| c.is_ascii_digit()).count();
    (digits >= NUMBER_DIGITS).then(|| ("<number>".to_owned(), used))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(line: &str, shown: &str) {
        let mask = Mask::new(&[Secret::new("hunter2/ü"), Secret::new("hunter2"), Secret::new("-----BEGIN\nMIIabc\n")]);
        assert_eq!(mask.text(line), shown);
    }

    #[test]
    fn what_looks_like_a_person_or_a_secret_is_not_shown() {
        for (line, shown) in [
            ("INFO connecting with hunter2 and hunter2/ü", "INFO connecting with *** and ***"),
            ("key MIIabc of -----BEGIN", "key *** of ***"),
            ("mail to ada.ashgrove+x@example.com failed", "mail to <email> failed"),
            ("call +33 6 12 34 56 78, or 020-7946-0018.", "call <number>, or <number>."),
            ("2026-11-22 10:00:00,123 [INFO] 1000 rows", "2026-11-22 10:00:00,123 [INFO] 1000 rows"),
            ("KeyError: 'first_name' of 'NoneType', not 'Ada'", "KeyError: 'first_name' of 'NoneType', not '…'"),
            (r#"bad record {"name": {"first": "Ada"}} here"#, "bad record {…} here"),
            ("open {\"name\": \"Ada", "open {…}"),
            ("Key (email)=(Ada) exists, row (1, Ada)", "Key (email)=(…) exists, row (…)"),
            ("it didn't and can't", "it didn't and can't"),
            ("\u{1b}[31mred\u{1b}[0m\nnext", " [31mred [0m next"),
        ] {
            check(line, shown);
        }
    }

    #[test]
    fn no_word_of_a_row_that_was_sent_is_shown() {
        let mut mask = Mask::default();
        mask.hide("Ada Ashgrove");
        mask.hide("Løvås & Søn");
        assert_eq!(mask.text("cannot load ADA of løvås, ashgrove.x too, I-Ada"), "cannot load … of …, … too, …");
    }

    proptest! {
        #[test]
        fn a_secret_is_never_shown(secret in "[a-zA-Z0-9/+=,{}'\"]{4,20}", before in ".{0,30}", after in ".{0,30}") {
            let mask = Mask::new(&[Secret::new(secret.clone())]);
            let shown = mask.text(&format!("{before} {secret} {after}"));
            let elsewhere = before.contains(&secret) || after.contains(&secret) || "<email><number>***{…}".contains(&secret);
            prop_assert!(elsewhere || !shown.contains(&secret), "{shown}");
        }

        #[test]
        fn any_bytes_become_one_bounded_line(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let shown = Mask::default().line(&bytes);
            prop_assert!(!shown.contains('\n') && shown.chars().count() <= 8 * MOST_CHARS);
        }
    }
}
