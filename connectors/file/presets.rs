//! Which columns mean what: vendors' exports by their fingerprint, other files by common names in four languages.

use std::collections::BTreeMap;

use headwater_model::aliases::{self, fold};
use headwater_model::mapping::{FieldRule, Mapping, Origin};

use super::config::Preset;

/// What a set of column names says about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// The name of the preset, for the user.
    pub(super) name: &'static str,
    /// How the columns map to our fields.
    pub(super) mapping: Mapping,
    /// By which way people came to be in the file.
    pub(super) origin: Origin,
    /// Whose ids `external_id` holds.
    pub(super) vendor: Option<&'static str>,
    /// The column of the vendor's id, if the file has it.
    pub(super) key: Option<String>,
    /// What the user should know about these columns.
    pub(super) note: Option<&'static str>,
}

/// What a vendor's export looks like.
struct Vendor {
    preset: Preset,
    name: &'static str,
    vendor: Option<&'static str>,
    /// The id column: alone enough to tell the vendor.
    id: Option<&'static str>,
    /// Columns that no other export has in this combination.
    signs: &'static [&'static str],
    /// How many of the signs are enough: exports differ in their columns.
    enough: usize,
    /// Our field and theirs; the first that is not empty wins.
    pairs: &'static [(&'static str, &'static str)],
    note: Option<&'static str>,
}

static VENDORS: &[Vendor] = &[
    Vendor {
        preset: Preset::Zoominfo,
        name: "zoominfo",
        vendor: Some("zoominfo"),
        id: Some("ZoomInfo Contact ID"),
        signs: &["ZoomInfo Contact Profile URL", "ZoomInfo Company ID", "Contact Accuracy Score", "LinkedIn Contact Profile URL"],
        enough: 2,
        pairs: &[
            ("external_id", "ZoomInfo Contact ID"),
            ("email", "Email Address"),
            ("given_name", "First Name"),
            ("family_name", "Last Name"),
            ("phone", "Direct Phone Number"),
            ("mobile", "Mobile phone"),
            ("job_title", "Job Title"),
            ("seniority", "Management Level"),
            ("seniority", "Job Title Hierarchy Level"),
            ("department", "Department"),
            ("department", "Job Function"),
            ("company_name", "Company Name"),
            ("company_domain", "Website"),
            ("website", "Website"),
            ("linkedin_url", "LinkedIn Contact Profile URL"),
            ("street", "Person Street"),
            ("city", "Person City"),
            ("region", "Person State"),
            ("postal_code", "Person Zip Code"),
            ("country", "Country"),
            ("notice_at", "Notice Provided Date"),
        ],
        note: Some("revenue and funding stand in thousands of US dollars; they are not mapped"),
    },
    Vendor {
        preset: Preset::Apollo,
        name: "apollo",
        vendor: Some("apollo"),
        id: Some("Apollo Contact Id"),
        signs: &[
            "Apollo Account Id",
            "Apollo Record Id",
            "Person Linkedin Url",
            "Company Name for Emails",
            "# Employees",
            "Work Direct Phone",
        ],
        enough: 3,
        pairs: &[
            ("external_id", "Apollo Contact Id"),
            ("email", "Email"),
            ("email_status", "Email Status"),
            ("given_name", "First Name"),
            ("family_name", "Last Name"),
            ("phone", "Work Direct Phone"),
            ("phone", "Other Phone"),
            ("mobile", "Mobile Phone"),
            ("job_title", "Title"),
            ("seniority", "Seniority"),
            ("department", "Departments"),
            ("company_name", "Company Name"),
            ("company_name", "Company"),
            ("company_domain", "Website"),
            ("website", "Website"),
            ("linkedin_url", "Person Linkedin Url"),
            ("city", "City"),
            ("region", "State"),
            ("country", "Country"),
            ("tags", "Lists"),
        ],
        note: Some("second and third email addresses are not mapped"),
    },
    Vendor {
        preset: Preset::Lusha,
        name: "lusha",
        vendor: Some("lusha"),
        id: Some("Lusha Person ID"),
        signs: &["Lusha Company ID", "Work email", "Personal email", "Email confidence", "Email verified"],
        enough: 3,
        pairs: &[
            ("external_id", "Lusha Person ID"),
            ("email", "Work email"),
            ("email_status", "Email verified"),
            ("given_name", "First name"),
            ("family_name", "Last name"),
            ("phone", "Phone 1"),
            ("phone", "Phone 2"),
            ("phone", "Phone 3"),
            ("job_title", "Job title"),
            ("seniority", "Seniority"),
            ("department", "Departments"),
            ("company_name", "Company name"),
            ("company_domain", "Company website"),
            ("website", "Company website"),
            ("linkedin_url", "Linkedin URL"),
            ("city", "City"),
            ("region", "State"),
            ("country", "Country"),
        ],
        note: Some(
            "personal addresses (`Personal email`) are not mapped: the grounds for writing to a work address do not cover them",
        ),
    },
    Vendor {
        preset: Preset::SalesNavigator,
        name: "sales_navigator",
        vendor: None,
        id: None,
        signs: &["profileUrl", "searchQuery", "emailStatus"],
        enough: 2,
        pairs: &[
            ("linkedin_url", "profileUrl"),
            ("full_name", "name"),
            ("given_name", "firstname"),
            ("family_name", "lastname"),
            ("company_name", "company"),
            ("email", "email"),
            ("email_status", "emailStatus"),
            ("job_title", "jobTitle"),
        ],
        note: Some("scraped profiles: check that you may use them"),
    },
];

/// What the column names say, given the preset the user chose.
pub(super) fn read(preset: Preset, fields: &[String]) -> Reading {
    let folded: BTreeMap<String, &String> = fields.iter().rev().map(|field| (fold(field), field)).collect();
    let has = |name: &str| folded.contains_key(&fold(name));
    let vendor = VENDORS.iter().find(|vendor| match preset {
        Preset::Auto => vendor.id.is_some_and(has) || vendor.signs.iter().filter(|sign| has(sign)).count() >= vendor.enough,
        Preset::None => false,
        Preset::Zoominfo | Preset::Apollo | Preset::Lusha | Preset::SalesNavigator => vendor.preset == preset,
    });
    if let Some(Vendor { preset: _, name, vendor, id, signs: _, enough: _, pairs, note }) = vendor {
        let present = pairs.iter().filter_map(|(ours, theirs)| Some((*ours, folded.get(&fold(theirs))?.as_str())));
        return Reading {
            name,
            mapping: Mapping::of(present),
            origin: Origin::List,
            vendor: *vendor,
            key: id.and_then(|id| folded.get(&fold(id))).map(|field| (*field).clone()),
            note: *note,
        };
    }
    let (name, mapping) = if preset == Preset::None { ("none", Mapping::default()) } else { ("auto", by_alias(&folded)) };
    Reading { name, mapping, origin: Origin::Import, vendor: None, key: None, note: None }
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
