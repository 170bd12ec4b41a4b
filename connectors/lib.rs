//! The connectors that come with Headwater, one folder each.

mod bottlecrm;
mod file;
mod ghost;
mod hubspot;
mod mailchimp;
mod postgres;
mod sql;
mod webhook;

use std::sync::Arc;

use headwater_sdk::{Connector, Registry};

/// The connectors that are data: name, `connector.yaml` and README of every folder that has one. Whoever wires the program makes
/// connectors of them.
pub static DECLARATIVE: &[(&str, &str, &str)] = EMBEDDED.0;

/// Likewise the sinks that are data and have a file of their own, `sink.yaml`, beside that of the source.
pub static DECLARATIVE_SINKS: &[(&str, &str, &str)] = EMBEDDED.1;

type Files = &'static [(&'static str, &'static str, &'static str)];
const EMBEDDED: (Files, Files) = include!(concat!(env!("OUT_DIR"), "/declarative.rs"));

/// Every native connector in this package.
#[must_use]
pub fn registry() -> Registry {
    let all: [Arc<dyn Connector>; 9] = [
        Arc::new(bottlecrm::BottleCrm),
        Arc::new(file::File),
        Arc::new(ghost::Ghost),
        Arc::new(hubspot::HubSpot),
        Arc::new(mailchimp::Mailchimp),
        Arc::new(postgres::Postgres),
        Arc::new(sql::Mysql),
        Arc::new(sql::Sqlite),
        Arc::new(webhook::Webhook),
    ];
    Registry::new(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use headwater_sdk::testkit::recorded::{FILE, play};

    #[test]
    fn no_two_sources_have_one_name() {
        let registry = super::registry();
        let sources = registry.iter().map(|connector| connector.spec()).filter(|spec| spec.source_schema.is_some());
        let native: BTreeSet<&str> = sources.map(|spec| spec.name).collect();
        let clash: Vec<&str> = super::DECLARATIVE.iter().map(|(name, ..)| *name).filter(|name| native.contains(name)).collect();
        assert_eq!(clash, Vec::<&str>::new());
        assert!(!super::DECLARATIVE.is_empty());
    }
    /// The recordings of sinks that are data are played where the language is.
    #[tokio::test]
    async fn every_native_sink_asks_what_is_recorded_and_takes_the_answers_for_what_they_are() {
        let (mut played, mut problems) = (0, Vec::new());
        for connector in super::registry().iter().filter(|connector| connector.spec().sink_schema.is_some()) {
            let name = connector.name();
            let Ok(text) = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join(FILE)) else { continue };
            played += 1;
            for told in play(connector.as_ref(), &text).await.unwrap() {
                problems.extend(told.problems.iter().map(|problem| format!("{name}, {}: {problem}", told.case)));
            }
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        assert!(played >= 3, "those that speak HTTP have one each");
    }
}
