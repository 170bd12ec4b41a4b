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

    #[test]
    fn no_two_sources_have_one_name() {
        let registry = super::registry();
        let sources = registry.iter().map(|connector| connector.spec()).filter(|spec| spec.source_schema.is_some());
        let native: BTreeSet<&str> = sources.map(|spec| spec.name).collect();
        let clash: Vec<&str> = super::DECLARATIVE.iter().map(|(name, ..)| *name).filter(|name| native.contains(name)).collect();
        assert_eq!(clash, Vec::<&str>::new());
        assert!(!super::DECLARATIVE.is_empty());
    }
}
