//! The connectors that come with Headwater, one folder each.

mod bottlecrm;
mod file;
mod ghost;
mod hubspot;
mod mailchimp;
mod postgres;
mod sql;

use std::sync::Arc;

use headwater_sdk::{Connector, Registry};

/// Every connector in this package.
#[must_use]
pub fn registry() -> Registry {
    let all: [Arc<dyn Connector>; 8] = [
        Arc::new(bottlecrm::BottleCrm),
        Arc::new(file::File),
        Arc::new(ghost::Ghost),
        Arc::new(hubspot::HubSpot),
        Arc::new(mailchimp::Mailchimp),
        Arc::new(postgres::Postgres),
        Arc::new(sql::Mysql),
        Arc::new(sql::Sqlite),
    ];
    Registry::new(all)
}
