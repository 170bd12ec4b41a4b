//! Numbers that registers and tax offices give to companies.

/// The fewest characters of a number.
const LEAST: usize = 3;

/// A company's number as it is compared: upper case, without blanks, dots, dashes and slashes. `732 829 320` is `732829320`,
/// `hrb-12345` is `HRB12345`. Nothing of what only fills a form: a text without a digit, with noughts or nines alone, or shorter
/// than three characters.
#[must_use]
pub fn normalise(text: &str) -> Option<String> {
    let kept = |letter: &char| !letter.is_whitespace() && !matches!(letter, '.' | '-' | '/' | '\\' | '\u{2010}'..='\u{2015}');
    let number: String = text.chars().filter(kept).flat_map(char::to_uppercase).collect();
    let mut digits = number.chars().filter(char::is_ascii_digit);
    let is_filler = digits.next().is_none_or(|first| matches!(first, '0' | '9') && digits.all(|digit| digit == first));
    (!is_filler && number.chars().count() >= LEAST).then_some(number)
}

/// Registers of German courts: of merchants, of companies, of cooperatives.
const OF_COURTS: [&str; 3] = ["HRA", "HRB", "GNR"];

/// Whether a normalised number was given by one of many courts, each of which counts for itself (Handelsregisterverordnung §§ 3 and 13):
/// it names a company together with the court's place only. With the court written into it, it names one.
#[must_use]
pub fn is_of_a_court(number: &str) -> bool {
    let digits = OF_COURTS.iter().find_map(|register| number.strip_prefix(register));
    // Berlin and some others put a letter behind theirs.
    digits.is_some_and(|digits| {
        digits.trim_end_matches(|letter: char| letter.is_ascii_uppercase()).bytes().all(|byte| byte.is_ascii_digit())
    }) && number.len() <= "HRB1234567B".len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_number_is_one_text_however_it_is_written() {
        for (text, number) in [
            ("732 829 320", "732829320"),
            ("732.829.320", "732829320"),
            ("hrb-12345", "HRB12345"),
            ("HRB 12345", "HRB12345"),
            ("12/345/67890", "1234567890"),
            (" sc000007 ", "SC000007"),
            ("FR\u{a0}83\u{2013}404833048", "FR83404833048"),
        ] {
            assert_eq!(normalise(text).as_deref(), Some(number), "{text}");
        }
    }

    #[test]
    fn what_only_fills_a_form_is_no_number() {
        for text in
            ["", "  ", "-", "n/a", "N.A.", "none", "unknown", "[ND]", "0", "000 000 000", "999999999", "DE000000000", "12"]
        {
            assert_eq!(normalise(text), None, "{text}");
        }
    }

    #[test]
    fn a_courts_number_is_told_from_a_countrys() {
        for number in ["HRB12345", "HRA1", "HRB123456B", "GNR77"] {
            assert!(is_of_a_court(number), "{number}");
        }
        for number in ["HRB12345MÜNCHEN", "AMTSGERICHTMÜNCHENHRB12345", "732829320", "DE123456789", "SC000007", "FN12345A"] {
            assert!(!is_of_a_court(number), "{number}");
        }
    }

    proptest! {
        #[test]
        fn a_normalised_number_stays_as_it_is(text in "\\PC{0,20}") {
            if let Some(number) = normalise(&text) {
                prop_assert_eq!(normalise(&number), Some(number));
            }
        }
    }
}
