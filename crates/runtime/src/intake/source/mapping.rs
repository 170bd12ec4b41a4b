//! Which fields of a delivery are which of ours.
//!
//! Reading a body already put what the sender knows, and what a common name says, under our own names (`payload::fields`), and what
//! somebody did under names of its own (`provider::event`). So little is left to map.

use headwater_model::conform;
use headwater_model::mapping::{Mapping, Role};

use crate::intake::config::Format;
use crate::intake::payload::SUBMITTED_AT;
use crate::intake::provider::EVENT_FIELDS;

/// Instants that anybody may name in a form; ours come from the sender's own knowledge.
const NOT_BY_NAME: [&str; 3] = ["observed_at", "created_at", "notice_at"];

/// Where a form's page stands, which is as near as we come to the page where the person arrived.
const LANDING: [(&str, &str); 2] = [("landing_url", "landing_page"), ("landing_url", "page_url")];

pub(super) fn of(format: Format) -> Mapping {
    let provider = format.provider();
    if format.is_events() {
        return Mapping::of(EVENT_FIELDS.iter().copied());
    }
    let own = conform::fields_of(Role::Leads).iter().filter(|ours| !NOT_BY_NAME.contains(ours));
    let vendor = provider.map(|provider| provider.mapping).unwrap_or_default();
    let pairs = own.map(|ours| (*ours, *ours)).chain([("observed_at", SUBMITTED_AT)]);
    Mapping::of(pairs.chain(LANDING).chain(vendor.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_a_form_is_not_taken_for_the_time_it_was_sent() {
        let mapping = of(Format::Auto);
        assert_eq!(mapping.0["observed_at"].from, [SUBMITTED_AT]);
        assert!(!mapping.0.contains_key("created_at"));
        assert_eq!(of(Format::named("ghost").unwrap()).0["observed_at"].from, [SUBMITTED_AT, "updated_at"]);
    }

    #[test]
    fn every_field_an_event_gives_is_one_there_is() {
        let known = conform::fields_of(Role::Engagements);
        let mapping = of(Format::named("sendgrid").unwrap());
        assert!(mapping.0.keys().all(|ours| known.contains(&ours.as_str())));
        assert_eq!(mapping.0.len(), known.len());
    }
}
