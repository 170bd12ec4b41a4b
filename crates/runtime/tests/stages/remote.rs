//! The fake remote, watched.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use headwater_sdk::testkit::FakeSink;
use headwater_sdk::{
    BuildContext, Companion, ConfigDoc, Connector, ConnectorSpec, DeliveryRow, Error, ErrorKind, Lookup, MatchKey, RemoteRecord,
    Removal, Result, RowOutcome, Sink, SinkCapability, WriteReport,
};
use serde_json::json;

/// A remote in memory that counts what is asked of it.
#[derive(Debug, Default)]
pub(crate) struct Remote {
    pub(crate) inner: FakeSink,
    pub(crate) companies: FakeSink,
    pub(crate) tasks: FakeSink,
    pub(crate) list: FakeSink,
    pub(crate) blind: AtomicBool,
    /// Whether it refuses to delete.
    pub(crate) keeps: AtomicBool,
    /// Whether it removes records and its answer is lost.
    pub(crate) loses_removals: AtomicBool,
    /// The most rows of a call, if not two.
    pub(crate) most: AtomicUsize,
    looks: AtomicUsize,
    /// How often records were fetched, whatever their number.
    pub(crate) fetches: AtomicUsize,
    written: Mutex<Vec<DeliveryRow>>,
    fail: Mutex<Option<ErrorKind>>,
    later: Mutex<Option<Duration>>,
}

impl Remote {
    /// Lookups and fetches so far.
    pub(crate) fn looks(&self) -> usize {
        self.looks.load(Ordering::Relaxed)
    }

    /// Everything that counts as a call.
    fn asked(&self) -> usize {
        self.looks() + self.inner.calls()
    }

    /// Every row that was offered for writing, in order.
    pub(crate) fn written(&self) -> Vec<DeliveryRow> {
        self.written.lock().unwrap().clone()
    }

    /// Fails every write like this until told otherwise.
    pub(crate) fn fail(&self, kind: Option<ErrorKind>) {
        *self.fail.lock().unwrap() = kind;
    }

    /// Asks, at the next write and row by row, to be tried again after this long.
    pub(crate) fn ask_for_patience(&self, wait: Duration) {
        *self.later.lock().unwrap() = Some(wait);
    }

    /// The records, without the ids under which the remote keeps them.
    pub(crate) fn people(&self) -> Vec<BTreeMap<String, String>> {
        let fields = |fields: BTreeMap<String, Option<String>>| {
            fields
                .into_iter()
                .filter(|(field, _)| field != "external_id")
                .filter_map(|(field, value)| Some((field, value?)))
                .collect()
        };
        self.inner.records().into_values().map(fields).collect()
    }
}

/// The connector of the remote.
pub(crate) struct RemoteConnector(pub(crate) Arc<Remote>);

impl Connector for RemoteConnector {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "remote",
            title: "Remote",
            summary: "a test".into(),
            source_schema: None,
            sink_schema: Some(json!({})),
            readme: "",
        }
    }

    fn sink(&self, config: &ConfigDoc, _: &BuildContext) -> Result<Box<dyn Sink>> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Config {}
        let Config {} = config.parse()?;
        Ok(RemoteSink::boxed(&self.0, None))
    }

    fn companion(&self, companion: &Companion, _: &ConfigDoc, _: &BuildContext) -> Result<Box<dyn Sink>> {
        Ok(RemoteSink::boxed(&self.0, Some(companion.clone())))
    }
}

struct RemoteSink {
    remote: Arc<Remote>,
    companion: Option<Companion>,
    /// How often the remote had been called when the sink was made.
    before: usize,
}

impl RemoteSink {
    fn boxed(remote: &Arc<Remote>, companion: Option<Companion>) -> Box<dyn Sink> {
        Box::new(Self { remote: Arc::clone(remote), companion, before: remote.asked() })
    }

    fn inner(&self) -> &FakeSink {
        match &self.companion {
            None => &self.remote.inner,
            Some(Companion::Companies) => &self.remote.companies,
            Some(Companion::Tasks) => &self.remote.tasks,
            Some(Companion::List { .. }) => &self.remote.list,
        }
    }
}

#[async_trait]
impl Sink for RemoteSink {
    fn capability(&self) -> SinkCapability {
        let lookup = !self.remote.blind.load(Ordering::Relaxed);
        let max_rows = self.remote.most.load(Ordering::Relaxed).max(2);
        SinkCapability { max_rows, lookup, ..self.inner().capability() }
    }

    fn calls_made(&self) -> Option<u64> {
        Some((self.remote.asked() - self.before) as u64)
    }

    async fn check(&self) -> Result<()> {
        self.inner().check().await
    }

    async fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        self.remote.looks.fetch_add(rows.len(), Ordering::Relaxed);
        self.inner().lookup(rows).await
    }

    async fn fetch(&self, remote_id: &str) -> Result<Option<RemoteRecord>> {
        self.remote.looks.fetch_add(1, Ordering::Relaxed);
        self.inner().fetch(remote_id).await
    }

    async fn fetch_all(&self, remote_ids: &[String]) -> Result<Vec<Option<RemoteRecord>>> {
        self.remote.fetches.fetch_add(1, Ordering::Relaxed);
        let mut records = Vec::new();
        for remote_id in remote_ids {
            records.push(self.fetch(remote_id).await?);
        }
        Ok(records)
    }

    fn removes(&self) -> bool {
        !self.remote.keeps.load(Ordering::Relaxed)
    }

    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        let lost = || Error::new(ErrorKind::Unavailable, "the answer was lost");
        let removals = Sink::remove(self.inner(), remote_ids).await;
        if self.remote.loses_removals.load(Ordering::Relaxed) { Err(lost()) } else { removals }
    }

    async fn release(&self, remote_id: &str, prospect_id: &str) -> Result<()> {
        self.inner().release(remote_id, prospect_id).await
    }

    fn company_field(&self) -> Option<&str> {
        self.companion.is_none().then_some("company")
    }

    fn person_field(&self) -> Option<&str> {
        self.companion.as_ref().filter(|of| **of != Companion::Companies).map(|_| "contact")
    }

    fn changed_at_field(&self) -> Option<&str> {
        self.inner().changed_at_field()
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        let fail = *self.remote.fail.lock().unwrap();
        let later = self.remote.later.lock().unwrap().take();
        match (fail, later) {
            (Some(kind), _) => Err(Error::new(kind, "the remote was told to fail")),
            (None, Some(wait)) => {
                let outcome = RowOutcome::Retry { reason: "busy".to_owned(), after: Some(wait) };
                WriteReport::new(rows.len(), vec![outcome; rows.len()])
            }
            (None, None) => {
                self.remote.written.lock().unwrap().extend_from_slice(rows);
                self.inner().write(rows).await
            }
        }
    }
}
