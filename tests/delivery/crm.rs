//! The stand-in of a CRM that these tests write into: BottleCRM's, told to lose answers and to refuse values.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU64;

use headwater_fakes::bottlecrm::BottleCrm;
use headwater_fakes::{Conditions, Running, serve};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// A value that holds this is refused.
pub(super) const POISON: &str = "poison";
/// What its API takes.
pub(super) const TOKEN: &str = headwater_fakes::bottlecrm::TOKEN;

/// A CRM that runs until it is dropped.
pub(super) struct Crm {
    fake: Running<BottleCrm>,
    _runtime: Runtime,
}

impl Crm {
    /// Starts one without contacts.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let fake = runtime.block_on(serve(BottleCrm::default(), conditions(0), 0, || 0))?;
        Ok(Self { fake, _runtime: runtime })
    }

    /// Its address, for a project.
    pub(super) fn url(&self) -> &str {
        self.fake.url()
    }

    /// Loses the answer to every so many writes, after they are done; to none when 0.
    pub(super) fn lose_every(&self, writes: u64) {
        self.fake.set(conditions(writes));
    }

    /// Puts a contact there, as somebody by hand.
    pub(super) fn put(&self, id: &str, contact: &Value) {
        self.fake.with(|crm| crm.put(id, contact));
    }

    /// Every contact by id, without what is empty.
    pub(super) fn contacts(&self) -> BTreeMap<String, Value> {
        self.fake.with(|crm| crm.contacts())
    }

    /// Every account by id, without what is empty.
    pub(super) fn accounts(&self) -> BTreeMap<String, Value> {
        self.fake.with(|crm| crm.accounts())
    }

    /// How many requests wrote.
    pub(super) fn writes(&self) -> u64 {
        self.fake.counts().writes
    }
}

fn conditions(lose: u64) -> Conditions {
    Conditions { lose_answer_every: NonZeroU64::new(lose), refuse: Some(POISON.to_owned()), ..Conditions::default() }
}
