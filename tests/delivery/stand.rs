//! A stand-in of any vendor, that runs until it is dropped, and a project that writes into it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use headwater_fakes::hubspot::HubSpot;
use headwater_fakes::{Conditions, Counts, Running, Vendor, serve};
use headwater_tests::project::{Project, Run};
use tokio::runtime::{Builder, Runtime};

/// What HubSpot's stand-in takes.
pub(super) const TOKEN: &str = headwater_fakes::hubspot::TOKEN;

/// A vendor that answers until it is dropped.
pub(super) struct Stand<V> {
    fake: Running<V>,
    _runtime: Runtime,
}

impl<V: Vendor> Stand<V> {
    /// Starts it; its clock goes on by so many microseconds with every look.
    pub(super) fn start(vendor: V, conditions: Conditions, tick_us: i64) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let now = Arc::new(AtomicI64::new(1_793_610_000_000_000));
        let clock = move || now.fetch_add(tick_us, Ordering::Relaxed);
        let fake = runtime.block_on(serve(vendor, conditions, 0, clock))?;
        Ok(Self { fake, _runtime: runtime })
    }

    pub(super) fn url(&self) -> &str {
        self.fake.url()
    }

    pub(super) fn counts(&self) -> Counts {
        self.fake.counts()
    }

    pub(super) fn set(&self, conditions: Conditions) {
        self.fake.set(conditions);
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut V) -> T) -> T {
        self.fake.with(work)
    }

    pub(super) fn state(&self) -> serde_json::Value {
        self.fake.state()
    }
}

/// A HubSpot with a property for our id.
pub(super) fn hubspot(conditions: Conditions) -> io::Result<Stand<HubSpot>> {
    let mut vendor = HubSpot::default();
    vendor.add_property("contacts", "headwater_id", true);
    Stand::start(vendor, conditions, 1_000)
}

/// A project of a list and a HubSpot; `sink` is what its settings have beside the connection, four spaces in.
pub(super) fn project(url: &str, sink: &str) -> io::Result<Project> {
    Project::of(&format!(
        "
identity: {{ engine: exact }}
sources:
  list:
    connector: file
    path: list.csv
    key: id
    basis: {{ lawful_basis: contract }}
    channel: {{ group: list, vendor: fair }}
    map: {{ external_id: id, email: email, given_name: first, family_name: last, job_title: title, country: country, postal_code: zip, consent: consent }}
sinks:
  crm:
    connector: hubspot
    url: {url}
    token: {{ env: CRM_TOKEN }}
    match_on: [external_id, email]
{sink}"
    ))
}

/// Runs the program with the token that the stand-in takes.
pub(super) fn run(project: &Project, args: &[&str]) -> io::Result<Run> {
    project.finish(project.command(args).env("CRM_TOKEN", TOKEN))
}

/// A list of these people: id, address, first and last name, title, country, postal code, consent.
pub(super) fn list(people: &[[&str; 8]]) -> String {
    let mut list = "id,email,first,last,title,country,zip,consent\n".to_owned();
    for person in people {
        list.push_str(&person.join(","));
        list.push('\n');
    }
    list
}
