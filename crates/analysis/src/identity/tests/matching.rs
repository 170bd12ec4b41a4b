//! Matching forms.

use super::super::{is_role, linkedin_key, match_key, name_key, phone_key};
use proptest::prelude::*;

fn name(full: &str) -> String {
    name_key(None, None, Some(full)).unwrap().text
}

#[test]
fn plus_tag_is_dropped_for_matching_only() {
    assert_eq!(match_key("Ada.Stone+Fair@Example.com.").unwrap(), "ada.stone@example.com");
    assert_eq!(match_key("+tag@example.com").unwrap(), "+tag@example.com");
}

#[test]
fn dots_mean_nothing_at_gmail_and_something_elsewhere() {
    assert_eq!(match_key("a.d.a@googlemail.com"), match_key("ada@gmail.com"));
    assert_ne!(match_key("a.da@example.com"), match_key("ada@example.com"));
}

#[test]
fn what_is_no_address_has_no_key() {
    for text in ["", "n/a", "@example.com", "ada@", "ada@localhost", "ada stone@example.com", "...@gmail.com"] {
        assert_eq!(match_key(text), None, "{text}");
    }
}

#[test]
fn desks_are_not_people() {
    assert!(is_role("INFO@example.com") && is_role("sales+de@example.com"));
    assert!(!is_role("ada.stone@example.com") && !is_role("info"));
}

#[test]
fn case_accents_and_punctuation_of_names_fold() {
    assert_eq!(name("Zoë  O\u{2019}Hara-Lund"), name("ZOE OHARA LUND"));
    assert_eq!(name("Søren Weiß"), "soren weiss");
    assert_eq!(name("Łukasz Żak"), "lukasz zak");
    assert_eq!(name("İpek Aydın"), "ipek aydin");
    assert_eq!(name("Stone, Ada"), "ada stone");
    assert_eq!(name_key(Some("Ada"), Some("Stone"), Some("Dr. A. Stone")).unwrap().text, "ada stone");
}

#[test]
fn vowel_signs_of_other_scripts_tell_names_apart() {
    assert_ne!(name("रीता सेन"), name("रात सन"));
}

#[test]
fn one_word_is_not_a_full_name() {
    assert!(!name_key(Some("Ada"), None, None).unwrap().is_full);
    assert!(name_key(None, None, Some("Ada Stone")).unwrap().is_full);
    assert_eq!(name_key(Some(" "), None, Some("--")), None);
}

#[test]
fn phones_match_without_punctuation_and_extension() {
    assert_eq!(phone_key("+33 1 00 00 00 01;ext=12"), phone_key("+33100000001"));
    assert_eq!(phone_key("112"), None);
}

#[test]
fn profiles_match_and_company_pages_do_not() {
    let key = linkedin_key("https://www.linkedin.com/in/ada-stone-1a2b/").unwrap();
    for url in [
        "http://fr.linkedin.com/in/Ada-Stone-1a2b?x=1",
        "linkedin.com/in/ada-stone-1a2b/en",
        "LinkedIn.com/in/ada%2Dstone-1a2b#about",
    ] {
        assert_eq!(linkedin_key(url).as_ref(), Some(&key), "{url}");
    }
    assert_eq!(linkedin_key("linkedin.com/in/jürgen"), linkedin_key("linkedin.com/in/j%C3%BCrgen"));
    for url in ["https://linkedin.com/company/example", "linkedin.com/in/", "https://notlinkedin.com/in/ada", "linkedin.com"] {
        assert_eq!(linkedin_key(url), None, "{url}");
    }
}

proptest! {
    #[test]
    fn matching_twice_is_matching_once(text in "\\PC{0,40}", local in "[a-zA-Z.+]{1,12}") {
        for email in [text.clone(), format!("{local}@gmail.com"), format!("{local}@Example.com")] {
            if let Some(key) = match_key(&email) {
                prop_assert_eq!(match_key(&key), Some(key));
            }
        }
        if let Some(key) = name_key(None, None, Some(&text.replace(',', " "))) {
            prop_assert_eq!(name_key(None, None, Some(&key.text)).map(|again| again.text), Some(key.text));
        }
        if let Some(key) = linkedin_key(&text) {
            prop_assert!(key.starts_with("in/") || key.starts_with("pub/"));
        }
    }
}
