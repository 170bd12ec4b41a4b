//! What brought a person, where it stands in an address or in a cookie instead of in a field of its own.
//!
//! Forms are often filled in pages after the one that the click led to; what is left of the click then is the landing page's
//! address, or a cookie that the ad platform's script set. Nothing here displaces a field that the form itself has.

use percent_encoding::percent_decode_str;
use url::Url;

use super::fields::Field;

/// The parameters of an address that say what brought a person.
const PARAMETERS: &[&str] = &[
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "gclid",
    "gbraid",
    "wbraid",
    "dclid",
    "msclkid",
    "li_fat_id",
    "ttclid",
    "twclid",
    "fbclid",
];

/// The fields that may hold the address a person arrived at, the first arrival before later pages.
const ADDRESSES: &[&str] = &["landing_url", "landing_page", "page_url", "page_uri", "pageuri", "source_url"];

/// Cookies of ad platforms: the name, our field, and how many parts joined by dots stand before the click's id.
/// `_gcl_aw=GCL.<seconds>.<gclid>`, `_fbc=fb.<domain depth>.<milliseconds>.<fbclid>`, `_uetmsclkid=_uet<msclkid>`.
pub(in crate::intake) const COOKIES: &[(&str, &str, usize)] = &[
    ("_fbc", "fbclid", 3),
    ("_gcl_aw", "gclid", 2),
    ("_gcl_dc", "dclid", 2),
    ("_gcl_gb", "wbraid", 2),
    ("_uetmsclkid", "msclkid", 0),
    ("li_fat_id", "li_fat_id", 0),
    ("ttclid", "ttclid", 0),
];

/// Adds what cookies and addresses say and the form does not; `cookie` is the header, of which only [`COOKIES`] were kept.
pub(super) fn add(fields: &mut Vec<Field>, cookie: Option<&str>) {
    let pairs = cookie.unwrap_or_default().split(';').filter_map(|pair| pair.trim().split_once('='));
    let mut found: Vec<(&str, String)> =
        pairs.filter_map(|(name, value)| click_of(name, &percent_decode_str(value).decode_utf8_lossy())).collect();
    // Scripts copy the same cookies into hidden fields.
    found.extend(fields.iter().filter_map(|(name, value)| click_of(name, value.as_deref()?).filter(|(ours, _)| ours != name)));
    for address in ADDRESSES {
        let at = fields.iter().find(|(name, _)| name == address).and_then(|(_, value)| Url::parse(value.as_deref()?).ok());
        for (name, value) in at.iter().flat_map(Url::query_pairs) {
            if let Some(known) = PARAMETERS.iter().find(|known| **known == name) {
                found.push((known, value.into_owned()));
            }
        }
    }
    for (name, value) in found {
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) if old.as_deref().is_none_or(|old| old.trim().is_empty()) => *old = Some(value),
            Some(_) => {}
            None => fields.push((name.to_owned(), Some(value))),
        }
    }
}

fn click_of(cookie: &str, value: &str) -> Option<(&'static str, String)> {
    let (_, ours, before) = COOKIES.iter().find(|(name, _, _)| *name == cookie)?;
    let id = value.splitn(before + 1, '.').nth(*before)?;
    let id = id.strip_prefix("_uet").filter(|_| *ours == "msclkid").unwrap_or(id);
    (!id.is_empty()).then(|| (*ours, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fields: &[(&str, &str)], cookie: Option<&str>) -> Vec<(String, String)> {
        let mut all: Vec<Field> = fields.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
        add(&mut all, cookie);
        all.into_iter().skip(fields.len()).map(|(name, value)| (name, value.unwrap())).collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn cookies_of_ad_platforms_give_their_click() {
        let cookie = "_gcl_aw=GCL.1790000000.Cj0KC.x; _fbc=fb.1.1790000000000.IwAR0.y; _uetmsclkid=_uetabc; session=1; ttclid=";
        assert_eq!(with(&[], Some(cookie)), owned(&[("gclid", "Cj0KC.x"), ("fbclid", "IwAR0.y"), ("msclkid", "abc")]));
    }

    #[test]
    fn hidden_fields_that_hold_a_cookie_are_read_as_one() {
        assert_eq!(with(&[("_gcl_aw", "GCL.1790000000.Cj0")], None), owned(&[("gclid", "Cj0")]));
        assert_eq!(with(&[("li_fat_id", "x")], None), owned(&[]));
    }

    #[test]
    fn an_address_s_parameters_fill_what_the_form_leaves_open() {
        let page = ("page_url", "https://www.example.com/demo?utm_source=news&utm_medium=email&gclid=abc&secret=1");
        let found = with(&[page, ("utm_source", "own")], None);
        assert_eq!(found, owned(&[("utm_medium", "email"), ("gclid", "abc")]));
    }

    #[test]
    fn the_landing_page_goes_before_the_form_s_page() {
        let fields = [("page_url", "https://example.com/?gclid=later"), ("landing_url", "https://example.com/?gclid=first")];
        assert_eq!(with(&fields, None), owned(&[("gclid", "first")]));
    }
}
