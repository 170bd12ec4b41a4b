//! The order in which sources' values are believed, field by field, and the name of the rule that decides.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use super::leads::{Field, Leads};

/// An `op` that says: a cell that is empty text, not null, was emptied on purpose.
pub const OP_CLEAR: &str = "clear";

/// What the rules of survivorship are told from outside.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// How much each source is trusted; more is better, a source that is not listed has 0.
    pub trust: BTreeMap<String, i64>,
}

/// The rule that set a winner above another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A person said so, which stands above every source.
    Edited,
    /// Nobody says anything else.
    OnlyValue,
    /// A source emptied the cell on purpose, and nobody at least as trusted has said anything since.
    Cleared,
    /// One address is known to work or not known to fail, the other is worse.
    Verified,
    /// A named work address beats a personal one, that a desk's, and that one to be thrown away.
    EmailKind,
    /// The source is trusted more.
    TrustedSource,
    /// The lead says more of the name, or of the postal address.
    MostComplete,
    /// It was seen later.
    MostRecent,
    /// All else is equal: the smaller record id.
    SmallestRecord,
}

impl Rule {
    /// Its name in the lake.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::OnlyValue => "only_value",
            Self::Cleared => "cleared",
            Self::Verified => "verified",
            Self::EmailKind => "email_kind",
            Self::TrustedSource => "trusted_source",
            Self::MostComplete => "most_complete",
            Self::MostRecent => "most_recent",
            Self::SmallestRecord => "smallest_record",
        }
    }
}

/// Fields that come from one lead where one lead has them: half a name or half an address of each is nobody's.
const NAME: [Field; 3] = [Field::GivenName, Field::FamilyName, Field::FullName];
const ADDRESS: [Field; 5] = [Field::Street, Field::City, Field::Region, Field::PostalCode, Field::Country];

/// Whether a value still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Cleared,
    Clearing,
    Said,
}

/// The cells of one field that were emptied on purpose: the latest instant for each trust.
#[derive(Debug, Default)]
pub(super) struct Clearings(Vec<(i64, i64)>);

impl Clearings {
    pub(super) fn add(&mut self, trust: i64, at: i64) {
        match self.0.iter_mut().find(|(known, _)| *known == trust) {
            Some((_, latest)) => *latest = at.max(*latest),
            None => self.0.push((trust, at)),
        }
    }

    /// Whether someone no less trusted emptied the cell after this was said.
    fn reach(&self, trust: i64, at: i64) -> bool {
        self.0.iter().any(|(by, when)| *by >= trust && *when >= at)
    }
}

/// How much a lead's value of one field is worth. The best one is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing<'a> {
    tier: Tier,
    is_valid: bool,
    kind: u8,
    is_verified: bool,
    trust: i64,
    completeness: usize,
    observed_at: i64,
    record_id: Reverse<&'a str>,
}

impl<'a> Standing<'a> {
    /// The standing of a value that is compared with none.
    pub(super) const ALONE: Self = Self {
        tier: Tier::Said,
        is_valid: true,
        kind: 0,
        is_verified: true,
        trust: 0,
        completeness: 0,
        observed_at: 0,
        record_id: Reverse(""),
    };

    pub(super) fn of(leads: &'a Leads, row: u32, field: Field, trust: i64, clearings: &Clearings) -> Self {
        let observed_at = leads.observed_at(row);
        let tier = match leads.text(field, row) {
            Some("") => Tier::Clearing,
            _ if clearings.reach(trust, observed_at) => Tier::Cleared,
            _ => Tier::Said,
        };
        let (is_valid, kind, is_verified) = match field {
            Field::Email => email_worth(leads, row),
            _ => (true, 0, true),
        };
        let completeness = match field {
            Field::GivenName | Field::FamilyName | Field::FullName => filled(leads, row, &NAME),
            Field::Street | Field::City | Field::Region | Field::PostalCode | Field::Country => filled(leads, row, &ADDRESS),
            _ => 0,
        };
        let record_id = Reverse(leads.text(Field::RecordId, row).unwrap_or_default());
        Self { tier, is_valid, kind, is_verified, trust, completeness, observed_at, record_id }
    }

    /// The first rule that tells this standing from a lower one.
    pub(super) fn rule_over(&self, other: &Self) -> Rule {
        if self.tier != other.tier {
            match other.tier {
                Tier::Cleared => Rule::Cleared,
                Tier::Clearing | Tier::Said if self.trust > other.trust => Rule::TrustedSource,
                Tier::Clearing | Tier::Said => Rule::MostRecent,
            }
        } else if self.is_valid != other.is_valid {
            Rule::Verified
        } else if self.kind != other.kind {
            Rule::EmailKind
        } else if self.is_verified != other.is_verified {
            Rule::Verified
        } else if self.trust != other.trust {
            Rule::TrustedSource
        } else if self.completeness != other.completeness {
            Rule::MostComplete
        } else if self.observed_at != other.observed_at {
            Rule::MostRecent
        } else {
            Rule::SmallestRecord
        }
    }
}

impl Ord for Standing<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |it: &Self| (it.tier, it.is_valid, it.kind, it.is_verified, it.trust, it.completeness, it.observed_at);
        key(self).cmp(&key(other)).then_with(|| self.record_id.cmp(&other.record_id))
    }
}

impl PartialOrd for Standing<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether an address is not known to fail, what kind of mailbox it is, and whether it is known to work.
fn email_worth(leads: &Leads, row: u32) -> (bool, u8, bool) {
    let kind = leads.text(Field::EmailKind, row).unwrap_or("unknown");
    let status = Reachability::of(leads.text(Field::EmailStatus, row).unwrap_or_default());
    let is_valid = kind != "invalid" && status != Reachability::Fails;
    let rank = match kind {
        "nominative_pro" => 4,
        "personal" => 2,
        "generic_pro" => 1,
        "disposable" => 0,
        _ => 3,
    };
    (is_valid, rank, status == Reachability::Works)
}

/// What a source says of an address, in one vocabulary over every tool's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reachability {
    Works,
    Fails,
    Unknown,
}

impl Reachability {
    fn of(word: &str) -> Self {
        let letters = word.chars().filter(|letter| letter.is_alphanumeric());
        match letters.flat_map(char::to_lowercase).collect::<String>().as_str() {
            "valid" | "verified" | "deliverable" => Self::Works,
            "invalid"
            | "bounced"
            | "bounce"
            | "hardbounced"
            | "hardbounce"
            | "bouncedhard"
            | "cleaned"
            | "undeliverable"
            | "unavailable"
            | "emailnolongerverified" => Self::Fails,
            // The mails arrive, and their reader calls them spam: any other address is better.
            "complained" | "complaint" | "spam" => Self::Fails,
            _ => Self::Unknown,
        }
    }
}

/// How many of these fields the lead fills. An initial counts for nothing.
fn filled(leads: &Leads, row: u32, fields: &[Field]) -> usize {
    let is_word = |text: &str| text.chars().nth(1).is_some_and(|second| second != '.');
    fields.iter().filter(|field| leads.text(**field, row).is_some_and(is_word)).count()
}
