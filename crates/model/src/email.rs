//! E-mail addresses: one parse at the border, then a value that is always an address.

use std::borrow::Cow;
use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

use crate::lists;
use crate::text::is_invisible;

/// The longest address that mail systems carry (RFC 5321, 4.5.3.1.3, without the angle brackets).
const MAX_LEN: usize = 254;
/// The longest part before the `@` (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL_LEN: usize = 64;
/// The longest label of a domain (RFC 1035, 2.3.4).
const MAX_LABEL_LEN: usize = 63;

/// A syntactically valid address, trimmed, lower-cased, its domain in ASCII.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

/// What an address is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailKind {
    /// A named person at a company.
    NominativePro,
    /// A function at a company: `info@`, `sales@`.
    GenericPro,
    /// A person at a free provider.
    Personal,
    /// An address made to be thrown away.
    Disposable,
    /// Not an address.
    Invalid,
}

impl EmailKind {
    /// The word used in the lake.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NominativePro => "nominative_pro",
            Self::GenericPro => "generic_pro",
            Self::Personal => "personal",
            Self::Disposable => "disposable",
            Self::Invalid => "invalid",
        }
    }
}

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct NotAnEmail;

impl Email {
    /// Parses an address as people write it: with spaces around, in capitals, as `mailto:`, between angle brackets or after a name.
    ///
    /// # Errors
    /// When it is not an address that mail could reach over the public internet.
    pub fn parse(raw: &str) -> Result<Self, NotAnEmail> {
        normalise(raw).map(|text| Self(text.into_owned())).ok_or(NotAnEmail)
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is to us.
    #[must_use]
    pub fn kind(&self) -> EmailKind {
        kind_of(&self.0)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(***)")
    }
}

/// The normal form of an address, or nothing when it is none. Borrows when the text is in normal form already.
#[must_use]
pub fn normalise(raw: &str) -> Option<Cow<'_, str>> {
    let text = strip_wrapping(raw);
    if text.len() > MAX_LEN * 4 {
        return None;
    }
    let lowered: Cow<'_, str> = if !text.is_ascii() {
        // One address can be written in several sequences of code points; all of them are one person.
        let visible: String = text.chars().filter(|character| !is_invisible(*character)).collect();
        Cow::Owned(visible.trim().to_lowercase().nfc().collect())
    } else if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    };
    let (local, domain) = lowered.rsplit_once('@')?;
    if !valid_local(local) {
        return None;
    }
    let address = if domain.is_ascii() {
        lowered
    } else {
        let url::Host::Domain(ascii) = url::Host::parse(domain).ok()? else { return None };
        Cow::Owned(format!("{local}@{ascii}"))
    };
    let (_, domain) = address.rsplit_once('@')?;
    (address.len() <= MAX_LEN && valid_domain(domain)).then_some(address)
}

/// What a normalised address is to us.
#[must_use]
pub fn kind_of(address: &str) -> EmailKind {
    let Some((local, domain)) = address.rsplit_once('@') else { return EmailKind::Invalid };
    if lists::is_disposable(domain) {
        EmailKind::Disposable
    } else if lists::is_freemail(domain) {
        EmailKind::Personal
    } else if lists::is_role(local) {
        EmailKind::GenericPro
    } else {
        EmailKind::NominativePro
    }
}

/// The address in `Ann Example <ann@example.com>`, `mailto:ann@example.com` and the like.
fn strip_wrapping(raw: &str) -> &str {
    let text = raw.trim_matches(|character: char| character.is_whitespace() || is_invisible(character));
    let text = text.strip_suffix('>').and_then(|inner| inner.rsplit_once('<')).map_or(text, |(_, address)| address);
    let text = text.trim();
    match text.split_at_checked("mailto:".len()) {
        Some((scheme, address)) if scheme.eq_ignore_ascii_case("mailto:") => address.trim_start(),
        _ => text,
    }
}

fn valid_local(local: &str) -> bool {
    !local.is_empty()
        && local.len() <= MAX_LOCAL_LEN
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local.chars().all(|character| match character {
            '.' | '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_' | '`' | '{' | '|' | '}'
            | '~' => true,
            other if other.is_ascii() => other.is_ascii_alphanumeric(),
            other => !other.is_whitespace() && !other.is_control() && !is_invisible(other),
        })
}

fn valid_domain(domain: &str) -> bool {
    let mut labels = 0;
    let mut last = "";
    for label in domain.split('.') {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if label.is_empty() || label.len() > MAX_LABEL_LEN || !inner || label.starts_with('-') || label.ends_with('-') {
            return false;
        }
        labels += 1;
        last = label;
    }
    labels >= 2 && last.len() >= 2 && (last.bytes().all(|byte| byte.is_ascii_alphabetic()) || last.starts_with("xn--"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(raw: &str, expected: Option<&str>) {
        assert_eq!(normalise(raw).as_deref(), expected, "{raw:?}");
    }

    #[test]
    fn addresses_as_people_write_them() {
        check(" Ann+Web@Example.COM ", Some("ann+web@example.com"));
        check("<ann@example.com>", Some("ann@example.com"));
        check("mailto:ann@example.com", Some("ann@example.com"));
        check("zoë@müller.example.com", Some("zoë@xn--mller-kva.example.com"));
        check("o'neil@example.co.uk", Some("o'neil@example.co.uk"));
        check("Ann Example <Ann@Example.com>", Some("ann@example.com"));
        check("\"Example, Ann\" < ann@example.com >", Some("ann@example.com"));
        check("MAILTO:ann@example.com", Some("ann@example.com"));
    }

    #[test]
    fn what_nobody_sees_makes_no_other_address() {
        for raw in [
            "\u{feff}ann@example.com",
            "ann@example.com\u{200b}",
            "an\u{ad}n@exa\u{200d}mple.com",
            "\u{a0}ann@example.com\u{202c}",
        ] {
            check(raw, Some("ann@example.com"));
        }
        check("zoe\u{308}@example.com", Some("zo\u{eb}@example.com"));
        check("an\u{a0}n@example.com", None);
    }

    #[test]
    fn what_is_not_an_address() {
        for raw in ["", "n/a", "foo@", "bar.example.com", "a@b", "a b@example.com", ".a@example.com", "a..b@example.com"] {
            check(raw, None);
        }
        for raw in ["a@-x.com", "a@x-.com", "a@x..com", "a@1.2.3.4", "a@x.c", "@example.com", "a@example.c0m"] {
            check(raw, None);
        }
    }

    #[test]
    fn kinds() {
        assert_eq!(kind_of("ann@alder.example.com"), EmailKind::NominativePro);
        assert_eq!(kind_of("info@alder.example.com"), EmailKind::GenericPro);
        assert_eq!(kind_of("ann@gmail.com"), EmailKind::Personal);
        assert_eq!(kind_of("ann@mailinator.com"), EmailKind::Disposable);
    }

    proptest! {
        #[test]
        fn normal_form_is_a_fixed_point(raw in "\\PC{0,40}|[a-zA-Z.+]{1,8}@[a-zA-Z0-9.-]{1,12}\\.[a-z]{2,3}") {
            if let Some(once) = normalise(&raw) {
                let twice = normalise(&once);
                prop_assert_eq!(twice.as_deref(), Some(once.as_ref()));
            }
        }

        #[test]
        fn every_writing_of_an_address_is_that_address(
            local in "[a-z0-9]{1,8}([.+_-][a-z0-9]{1,4})?",
            domain in "[a-z]{1,8}\\.example\\.(com|de)",
            capitals in any::<u64>(),
            (before, after) in ("[ \t\u{a0}\u{200b}\u{feff}]{0,3}", "[ \r\n\u{2003}\u{200e}]{0,3}"),
            wrapping in 0..4_usize,
        ) {
            let plain = format!("{local}@{domain}");
            let capital = |(at, c): (usize, char)| if capitals >> (at % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c };
            let written: String = plain.chars().enumerate().map(capital).collect();
            let wrapped = [written.clone(), format!("<{written}>"), format!("mailto:{written}"), format!("A. B. <{written}>")];
            let raw = format!("{before}{}{after}", wrapped[wrapping]);
            let read = normalise(&raw);
            prop_assert_eq!(read.as_deref(), Some(plain.as_str()));
        }
    }
}
