//! A project in a folder of its own, with everything around it in the test's hands.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use headwater_runtime::Engine;
use headwater_runtime::project::{Project, ProjectError, Surroundings};
use headwater_runtime::query::query;
use headwater_runtime::sync::{SyncOptions, SyncReport, sync};
use headwater_sdk::{Clock, Connector, Registry};
use headwater_store::RunStatus;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::remote::{Remote, RemoteConnector};
use crate::script::{ScriptConnector, Scripts};

/// 2026-11-02T09:00:00Z.
const BEGIN: i64 = 1_793_610_000_000_000;
pub(crate) const HOUR: i64 = 3_600_000_000;
pub(crate) const DAY: i64 = 24 * HOUR;

pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) remote: Arc<Remote>,
    now: Arc<AtomicI64>,
    dir: TempDir,
}

impl Rig {
    /// A new project of this text, `version` aside.
    pub(crate) async fn new(project: &str) -> Self {
        Self::try_new(project).await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) async fn try_new(project: &str) -> headwater_runtime::Result<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (scripts, remote) = (Arc::new(Scripts::default()), Arc::new(Remote::default()));
        let now = Arc::new(AtomicI64::new(BEGIN));
        let engine = open(dir.path(), project, &scripts, &remote, &now).await?;
        Ok(Self { engine, scripts, remote, now, dir })
    }

    /// The same store under another project.
    pub(crate) async fn change(&mut self, project: &str) {
        self.engine = open(self.dir.path(), project, &self.scripts, &self.remote, &self.now).await.unwrap();
    }

    pub(crate) fn wait(&self, micros: i64) {
        self.now.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Syncs an hour later; whatever happens, the buckets add up.
    pub(crate) async fn try_sync(&self, options: &SyncOptions) -> headwater_runtime::Result<SyncReport> {
        self.wait(HOUR);
        let report = sync(&self.engine, options).await?;
        for (source, buckets) in &report.sources {
            buckets.check(source).unwrap();
        }
        Ok(report)
    }

    pub(crate) async fn sync(&self) -> SyncReport {
        let report = self.try_sync(&SyncOptions::default()).await.unwrap();
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        report
    }

    /// Syncs while something does not work.
    pub(crate) async fn sync_failing(&self) -> SyncReport {
        let report = self.try_sync(&SyncOptions::default()).await.unwrap();
        assert_eq!((report.status, report.failures.len()), (RunStatus::Failed, 1), "{:?}", report.failures);
        report
    }

    /// The answer to a query, as text; null is `-`.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let mut answer = query(&self.engine, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let options = FormatOptions::default().with_null("-");
        let mut rows = Vec::new();
        while let Some(batch) = answer.next().await.unwrap() {
            let columns: Vec<_> =
                batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
            rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row).to_string()).collect()));
        }
        rows
    }

    /// The one cell of an answer.
    pub(crate) async fn cell(&self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        assert_eq!((rows.len(), rows.first().map(Vec::len)), (1, Some(1)), "{sql}: {rows:?}");
        rows[0][0].clone()
    }

    /// The answer in lines, for a comparison at a glance.
    pub(crate) async fn table(&self, sql: &str) -> Vec<String> {
        self.rows(sql).await.into_iter().map(|row| row.join(" | ")).collect()
    }
}

fn surroundings(now: &Arc<AtomicI64>) -> Surroundings {
    let now = Arc::clone(now);
    // Time goes on with every look at it, as it does outside.
    let clock = Clock::new(move || Timestamp::from_microsecond(now.fetch_add(1_000, Ordering::Relaxed)).unwrap());
    let env = BTreeMap::from([("TOKEN".to_owned(), "secret".to_owned())]);
    Surroundings { clock, env: Arc::new(env), flags: Vec::new() }
}

async fn open(
    dir: &Path,
    project: &str,
    scripts: &Arc<Scripts>,
    remote: &Arc<Remote>,
    now: &Arc<AtomicI64>,
) -> headwater_runtime::Result<Engine> {
    std::fs::write(dir.join("headwater.yaml"), format!("version: 1\n{project}")).unwrap();
    let registry = registry(scripts, remote);
    let surroundings = surroundings(now);
    let project = Project::load(dir, &registry, &surroundings)?;
    Engine::open(project, registry, surroundings).await
}

fn registry(scripts: &Arc<Scripts>, remote: &Arc<Remote>) -> Registry {
    let script: Arc<dyn Connector> = Arc::new(ScriptConnector(Arc::clone(scripts)));
    Registry::new([script, Arc::new(RemoteConnector(Arc::clone(remote)))])
}

/// Loads a project file of exactly this text.
pub(crate) fn load(text: &str) -> Result<Project, ProjectError> {
    load_in(text, [])
}

/// The same in an environment with these variables.
pub(crate) fn load_in<const N: usize>(text: &str, env: [(&str, &str); N]) -> Result<Project, ProjectError> {
    let mut surroundings = surroundings(&Arc::new(AtomicI64::new(BEGIN)));
    surroundings.env = Arc::new(env.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("headwater.yaml"), text).unwrap();
    Project::load(dir.path(), &registry(&Arc::default(), &Arc::default()), &surroundings)
}
