//! Which columns mean what: vendors' exports by their fingerprint, other files by common names in several languages.
//!
//! A fingerprint is the columns that no other export has in this combination. Order, case, accents, signs, missing and additional
//! columns do not matter; columns that tell two vendors equally well tell none, and that is an error.

mod mend;
mod vendors;

use std::collections::BTreeMap;

use headwater_model::aliases::{self, fold};
use headwater_model::mapping::{FieldRule, Mapping, Origin};
use headwater_sdk::{Error, ErrorKind, Result};

use super::config::Preset;
pub(super) use mend::Mender;
use vendors::{VENDORS, Vendor};

/// How many signs an id column is worth: a vendor's own id is hardly in anybody else's file.
const ID_WORTH: usize = 3;

/// What a set of column names says about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// The name of the preset, for the user.
    pub(super) name: &'static str,
    /// Why it was chosen, for the user.
    pub(super) why: String,
    /// How the columns map to our fields.
    pub(super) mapping: Mapping,
    /// By which way people came to be in the file.
    pub(super) origin: Origin,
    /// Whose ids `external_id` holds.
    pub(super) vendor: Option<&'static str>,
    /// The column of the vendor's id, if the file has it.
    pub(super) key: Option<String>,
    /// What is put right in the rows.
    pub(super) mender: Mender,
    /// What the user should know about these columns.
    pub(super) note: Option<&'static str>,
}

/// What the column names say, given the preset the user chose.
///
/// # Errors
/// `Config` when they fit two presets equally well and the user chose none.
pub(super) fn read(preset: Preset, fields: &[String]) -> Result<Reading> {
    let folded: BTreeMap<String, &String> = fields.iter().rev().map(|field| (fold(field), field)).collect();
    let chosen = match preset {
        Preset::Auto => told(&folded)?,
        Preset::None => None,
        declared => VENDORS.iter().find(|vendor| vendor.preset == declared).map(|vendor| (vendor, "declared".to_owned())),
    };
    let Some((vendor, why)) = chosen else {
        let (name, why, mapping) = match preset {
            Preset::None => ("none", "declared".to_owned(), Mapping::default()),
            _ => ("auto", "common names of columns".to_owned(), by_alias(&folded)),
        };
        let mender = Mender::default();
        return Ok(Reading { name, why, mapping, origin: Origin::Import, vendor: None, key: None, mender, note: None });
    };
    let Vendor { preset: _, name, vendor, id, signs: _, enough: _, pairs, mend, note } = vendor;
    let column = |theirs: &str| folded.get(&fold(theirs)).map(|field| (*field).clone());
    let present = pairs.iter().filter_map(|(ours, theirs)| Some((*ours, folded.get(&fold(theirs))?.as_str())));
    Ok(Reading {
        name,
        why,
        mapping: Mapping::of(present),
        origin: Origin::List,
        vendor: *vendor,
        key: id.and_then(column),
        mender: Mender::new(mend, column),
        note: *note,
    })
}

/// The vendor that the columns tell best, if any.
fn told(folded: &BTreeMap<String, &String>) -> Result<Option<(&'static Vendor, String)>> {
    let has = |name: &&str| folded.contains_key(&fold(name));
    let mut best: Vec<(usize, &'static Vendor)> = Vec::new();
    for vendor in VENDORS {
        let Some(enough) = vendor.enough else { continue };
        let signs = vendor.signs.iter().filter(|sign| has(sign)).count();
        // An id's name alone may be anybody's where it is a common word.
        let id = vendor.id.filter(|id| has(id)).map_or(0, |_| ID_WORTH);
        if signs >= enough || (id > 0 && (signs > 0 || vendor.id_alone())) {
            let worth = signs + id;
            best.retain(|(other, _)| *other >= worth);
            if best.first().is_none_or(|(other, _)| *other == worth) {
                best.push((worth, vendor));
            }
        }
    }
    match best.as_slice() {
        [] => Ok(None),
        [(_, vendor)] => {
            let signs: Vec<String> =
                vendor.id.iter().chain(vendor.signs).filter(|sign| has(sign)).map(|sign| format!("`{sign}`")).collect();
            Ok(Some((vendor, format!("told by {}", signs.join(", ")))))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|(_, vendor)| vendor.name).collect();
            Err(Error::new(ErrorKind::Config, format!("the columns fit {} equally well", names.join(" and ")))
                .context("path", "preset")
                .hint(format!("say which it is: `preset: {}`", names.first().copied().unwrap_or("none"))))
        }
    }
}

impl Vendor {
    /// Whether the id column is enough without any other sign: it names its vendor.
    fn id_alone(&self) -> bool {
        self.id.zip(self.vendor).is_some_and(|(id, vendor)| fold(id).starts_with(vendor))
    }
}

/// Each of our fields from the one column that names it best; two id columns of different systems must not fill in for each other.
fn by_alias(folded: &BTreeMap<String, &String>) -> Mapping {
    let mut rules: BTreeMap<String, FieldRule> = BTreeMap::new();
    for (ours, name) in aliases::all() {
        if let Some(column) = folded.get(name) {
            rules.entry(ours.to_owned()).or_insert_with(|| FieldRule::from_field((*column).clone()));
        }
    }
    Mapping(rules)
}

#[cfg(test)]
mod tests {
    use headwater_model::conform;
    use headwater_model::mapping::Role;

    use super::*;

    fn fields(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_preset_maps_to_fields_there_are() {
        for vendor in VENDORS {
            for (ours, _) in vendor.pairs {
                assert!(conform::fields_of(Role::Leads).contains(ours), "{}: {ours}", vendor.name);
            }
            assert!(vendor.enough.is_none_or(|enough| enough <= vendor.signs.len()), "{}", vendor.name);
        }
    }

    #[test]
    fn order_case_accents_and_additional_columns_do_not_matter() {
        let mut names = vec!["civility", "Email Qualification", "NAF5 code", "naf5_des", "e-mail", "first name", "My note"];
        for _ in 0..names.len() {
            names.rotate_left(1);
            let reading = read(Preset::Auto, &fields(&names)).unwrap();
            assert_eq!(reading.name, "dropcontact");
            assert_eq!(reading.mapping.0["email"].from, ["e-mail"]);
        }
    }

    #[test]
    fn columns_that_fit_two_vendors_equally_are_refused_and_a_choice_settles_it() {
        let both = fields(&["ZoomInfo Contact ID", "Apollo Contact Id", "Email"]);
        let error = read(Preset::Auto, &both).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("zoominfo and apollo"), "{error}");
        assert_eq!(read(Preset::Apollo, &both).unwrap().name, "apollo");
    }

    #[test]
    fn the_better_fit_wins() {
        let mixed = fields(&["ZoomInfo Contact ID", "Contact Accuracy Score", "Apollo Contact Id", "Email"]);
        assert_eq!(read(Preset::Auto, &mixed).unwrap().name, "zoominfo");
    }

    #[test]
    fn a_list_of_ours_with_a_register_number_is_not_taken_for_the_register() {
        let ours = fields(&["Email", "Nom", "SIREN"]);
        assert_eq!(read(Preset::Auto, &ours).unwrap().name, "auto");
    }

    #[test]
    fn a_preset_whose_header_is_not_known_for_sure_is_only_declared() {
        let names = fields(&["First Name", "Last Name", "Work Email", "LinkedIn", "Personal Email"]);
        assert_eq!(read(Preset::Auto, &names).unwrap().name, "auto");
        let reading = read(Preset::Kaspr, &names).unwrap();
        assert_eq!(reading.mapping.0["email"].from, ["Work Email"]);
        assert_eq!((reading.vendor, reading.origin), (Some("kaspr"), Origin::List));
    }
}
