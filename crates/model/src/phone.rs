//! Phone numbers in E.164, where they can be told without guessing.

use std::borrow::Cow;
use std::str::FromStr;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};

use crate::text::is_invisible;

/// The fewest digits an international number has, with its calling code.
const MIN_DIGITS: usize = 7;
/// The most digits an international number has (ITU-T E.164, 6.1).
const MAX_DIGITS: usize = 15;

/// The E.164 form of a number written internationally (`+` or `00` first), or nationally in the given country (ISO 3166
/// alpha-2). A national number without a country is not guessed at. Borrows when the text is in E.164 already.
#[must_use]
pub fn normalise<'a>(raw: &'a str, country: Option<&str>) -> Option<Cow<'a, str>> {
    let text = raw.trim_matches(|character: char| character.is_whitespace() || is_invisible(character));
    let digits_follow = |rest: &str| rest.len() <= MAX_DIGITS && rest.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = text.strip_prefix('+')
        && digits_follow(rest)
    {
        return plausible(rest).then_some(Cow::Borrowed(text));
    }
    match international_digits(text) {
        Some(digits) => plausible(&digits).then(|| Cow::Owned(format!("+{digits}"))),
        None => national(text, country?).map(Cow::Owned),
    }
}

/// The digits of a number written with `+` or `00`, without the separators people put between them and without an extension.
fn international_digits(text: &str) -> Option<String> {
    let rest = match text.strip_prefix('+') {
        Some(rest) => rest,
        None => text.strip_prefix("00")?,
    };
    // "+44 (0)20 …": the zero in brackets is the national trunk prefix, which an international number drops.
    let rest = rest.replacen("(0)", "", 1);
    let mut digits = String::with_capacity(MAX_DIGITS);
    for character in rest.chars() {
        match character {
            '0'..='9' => digits.push(character),
            '-' | '.' | '(' | ')' | '/' | '\u{2010}'..='\u{2015}' | '\u{2212}' => {}
            space if space.is_whitespace() || is_invisible(space) => {}
            'x' | 'X' | 'e' | 'E' | '#' | ';' | ',' => break,
            _ => return None,
        }
    }
    Some(digits)
}

/// Whether the digits can be a number: a calling code never begins with 0, and E.164 bounds the length.
fn plausible(digits: &str) -> bool {
    (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len()) && !digits.starts_with('0')
}

fn national(text: &str, country: &str) -> Option<String> {
    if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let region = Region::from_str(country).ok()?;
    let number = PHONE_NUMBER_UTIL.parse(text, Some(region)).ok()?;
    let written = number.is_valid().then(|| number.format_as(PhoneNumberFormat::E164).into_owned());
    // Some countries have numbers that are too long together with the calling code.
    written.filter(|written| written.strip_prefix('+').is_some_and(plausible))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn international_numbers_keep_their_digits() {
        for (raw, expected) in [
            ("+14155550100", Some("+14155550100")),
            ("0049301234567", Some("+49301234567")),
            ("+33 6 12 34 56 78", Some("+33612345678")),
            ("+44 (0)20 7946 0000", Some("+442079460000")),
            ("+1 (415) 555-0100 ext. 12", Some("+14155550100")),
            ("\u{202a}+49\u{a0}30\u{2009}123\u{2013}4567\u{202c}", Some("+49301234567")),
            ("+0123456789", None),
            ("+12", None),
            ("call me", None),
        ] {
            assert_eq!(normalise(raw, None).as_deref(), expected, "{raw:?}");
        }
    }

    #[test]
    fn a_national_number_needs_a_country() {
        assert_eq!(normalise("030 1234567", None), None);
        assert_eq!(normalise("030 1234567", Some("DE")).as_deref(), Some("+49301234567"));
        assert_eq!(normalise("06 12 34 56 78", Some("FR")).as_deref(), Some("+33612345678"));
        assert_eq!(normalise("12", Some("FR")), None);
    }

    #[test]
    fn no_number_is_longer_than_e_164_lets_it_be() {
        assert_eq!(normalise("05321 2610030143", Some("DE")), None);
        assert_eq!(normalise("+49532126-10-03T (0)143", Some("DE")), None);
    }

    proptest! {
        #[test]
        fn normal_form_is_a_fixed_point(raw in "[+0-9 ().x/-]{0,24}") {
            for country in [None, Some("DE")] {
                if let Some(once) = normalise(&raw, country) {
                    let twice = normalise(&once, None);
                    prop_assert_eq!(twice.as_deref(), Some(once.as_ref()));
                }
            }
        }
    }
}
