//! `sync`: ingest, resolve, measure, deliver, once.
//!
//! One source or sink that fails does not stop the others: what can be done is done, and the failure decides the exit code.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use headwater_store::{NewRun, RunStatus};
use serde::Serialize;
use tracing::{error, info};

use crate::deliver::{self, Keep, Nobody, SavedPlan, SinkCounts};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ingest::{self, Buckets};
use crate::measure::{self, MeasureCounts};
use crate::privacy;
use crate::project::nearest;
use crate::resolve::{self, ResolveCounts};

/// The version of the report's shape.
const REPORT_VERSION: u32 = 1;

/// What the ledger calls a run that wrote nothing.
pub(crate) const DRY_RUN: &str = "sync --dry-run";

/// One of the four stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageName {
    /// Sources into the lake.
    Ingest,
    /// Leads into people.
    Resolve,
    /// Credits and scorecards.
    Measure,
    /// People into sinks.
    Deliver,
}

impl FromStr for StageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ingest" => Ok(Self::Ingest),
            "resolve" => Ok(Self::Resolve),
            "measure" => Ok(Self::Measure),
            "deliver" => Ok(Self::Deliver),
            _ => Err(format!("there is no stage `{text}`: there are ingest, resolve, measure and deliver")),
        }
    }
}

/// What a sync shall do.
#[derive(Debug, Clone, Default)]
pub struct SyncOptions {
    /// Only these sources and sinks; all when empty.
    pub only: Vec<String>,
    /// Only these stages; all when empty.
    pub stages: Vec<StageName>,
    /// Read and decide, but write nothing.
    pub dry_run: bool,
    /// Read every source from its beginning.
    pub full_refresh: bool,
    /// Deliver exactly this, and do nothing else.
    pub plan: Option<SavedPlan>,
    /// Push again what these runs pushed and an undo took back.
    pub push_again: Vec<String>,
}

/// What a sync did.
#[derive(Debug, Serialize)]
pub struct SyncReport {
    /// The version of this shape.
    pub version: u32,
    /// The run.
    pub run_id: String,
    /// How it ended.
    pub status: RunStatus,
    /// What became of each source's rows.
    pub sources: BTreeMap<String, Buckets>,
    /// What resolve did.
    pub resolve: ResolveCounts,
    /// What measure did.
    pub measure: MeasureCounts,
    /// What became of each sink's rows.
    pub sinks: BTreeMap<String, SinkCounts>,
    /// What failed, by connection.
    pub failures: BTreeMap<String, String>,
    /// How long it took.
    pub seconds: f64,
    /// The same failures in the order they came; the first decides the exit code.
    #[serde(skip)]
    pub errors: Vec<Error>,
}

impl SyncReport {
    /// Whether rows were refused, by us or by a sink.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.sources.values().any(|buckets| buckets.quarantined > 0) || self.sinks.values().any(|counts| counts.rejected > 0)
    }

    fn fail(&mut self, connection: &str, error: Error) -> Result<()> {
        // Somebody wants us to stop, or the store is in trouble: the other connections would fare no better.
        if matches!(error, Error::Interrupted | Error::Store(_) | Error::Internal(_)) {
            return Err(error);
        }
        error!(connection, error = error.in_one_line(), "connection failed; going on with the others");
        self.failures.insert(connection.to_owned(), error.in_one_line());
        self.errors.push(error);
        Ok(())
    }
}

/// Runs the wanted stages once.
///
/// # Errors
/// When the project is wrong, another run holds it, the store fails or the run is told to stop. A connection that fails is
/// reported, not returned.
pub async fn sync(engine: &Engine, options: &SyncOptions) -> Result<SyncReport> {
    preflight(engine, options)?;
    let began = engine.clock().now();
    let lock = engine.store.lock(began.as_microsecond()).await?;
    privacy::finish_pending(engine, &lock).await?;
    let run_id = engine.new_run_id();
    let command = if options.dry_run { DRY_RUN } else { "sync" };
    let run = NewRun { run_id: run_id.clone(), command: command.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    engine.store.start_run(&lock, &run, began.as_microsecond()).await?;
    info!(run = run_id, "sync begins");
    let mut report = SyncReport {
        version: REPORT_VERSION,
        run_id: run_id.clone(),
        status: RunStatus::Running,
        sources: BTreeMap::new(),
        resolve: ResolveCounts::default(),
        measure: MeasureCounts::default(),
        sinks: BTreeMap::new(),
        failures: BTreeMap::new(),
        seconds: 0.0,
        errors: Vec::new(),
    };
    let ended = Box::pin(stages(engine, options, &mut report)).await;
    let now = engine.clock().now();
    report.seconds = now.duration_since(began).as_secs_f64();
    report.status = match &ended {
        Err(Error::Interrupted) => RunStatus::Interrupted,
        Err(_) => RunStatus::Failed,
        Ok(()) if !report.errors.is_empty() => RunStatus::Failed,
        Ok(()) if report.refused() => RunStatus::Rejected,
        Ok(()) => RunStatus::Done,
    };
    let counts = serde_json::to_value(&report).map_err(|error| Error::Internal(error.to_string()))?;
    let reason = ended.as_ref().err().or(report.errors.first()).map(Error::in_one_line);
    let noted = engine.store.finish_run(&run_id, report.status, &counts, reason.as_deref(), now.as_microsecond()).await;
    ended?;
    noted?;
    let keep = Duration::from_secs(u64::from(engine.project.settings.store.keep_days) * 86_400);
    engine.store.sweep(&lock, now.as_microsecond(), keep).await?;
    info!(run = run_id, status = report.status.as_str(), "sync ends");
    Ok(report)
}

/// Checks the project's rules and values, without making a connection.
///
/// # Errors
/// The first that cannot be meant, with file and line.
pub fn check_rules(engine: &Engine) -> Result<()> {
    engine.project.check_values()?;
    measure::models(engine)?;
    Ok(())
}

/// Checks everything that can be checked before the first row moves.
fn preflight(engine: &Engine, options: &SyncOptions) -> Result<()> {
    let project = &engine.project;
    for name in &options.only {
        if project.source(name).is_none() && project.sink(name).is_none() {
            let names: Vec<&str> = project
                .sources
                .iter()
                .map(|source| source.name.as_str())
                .chain(project.sinks.iter().map(|sink| sink.name.as_str()))
                .collect();
            let hint = match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", names.join(", ")),
            };
            return Err(Error::NotFound { what: format!("there is no source or sink `{name}`"), hint });
        }
    }
    check_rules(engine)?;
    for source in wanted_sources(engine, options) {
        engine.source(source)?;
    }
    for sink in wanted_sinks(engine, options) {
        engine.sink(sink)?;
    }
    Ok(())
}

fn wanted_sources<'a>(engine: &'a Engine, options: &'a SyncOptions) -> impl Iterator<Item = &'a crate::project::SourceEntry> {
    let wanted = options.stages.is_empty() || options.stages.contains(&StageName::Ingest);
    engine.project.sources.iter().filter(move |source| wanted && (options.only.is_empty() || options.only.contains(&source.name)))
}

fn wanted_sinks<'a>(engine: &'a Engine, options: &'a SyncOptions) -> impl Iterator<Item = &'a crate::project::SinkEntry> {
    let wanted = options.stages.is_empty() || options.stages.contains(&StageName::Deliver);
    engine.project.sinks.iter().filter(move |sink| wanted && (options.only.is_empty() || options.only.contains(&sink.name)))
}

async fn stages(engine: &Engine, options: &SyncOptions, report: &mut SyncReport) -> Result<()> {
    let wanted = |stage| options.stages.is_empty() || options.stages.contains(&stage);
    let run_id = report.run_id.clone();
    if let Some(plan) = &options.plan {
        let applied = deliver::run_saved(engine, plan, &run_id, &mut report.sinks).await;
        return applied.map_err(|error| engine.naming_credentials(error));
    }
    for source in wanted_sources(engine, options) {
        engine.stop_if_told()?;
        let buckets = report.sources.entry(source.name.clone()).or_default();
        if let Err(error) = ingest::source(engine, source, &run_id, options, buckets).await {
            report.fail(&source.name, engine.naming_credentials(error))?;
        }
    }
    if options.dry_run {
        for sink in wanted_sinks(engine, options) {
            match deliver::plans(engine, &[sink], Keep::First(0), &mut Nobody).await {
                Ok(plans) => report.sinks.extend(plans.into_iter().map(|plan| (plan.sink.clone(), plan.would_be()))),
                Err(error) => report.fail(&sink.name, engine.naming_credentials(error))?,
            }
        }
        return Ok(());
    }
    if wanted(StageName::Resolve) {
        report.resolve = Box::pin(resolve::run(engine, &run_id, options.full_refresh)).await?;
    }
    for undone in &options.push_again {
        deliver::push_again(engine, undone).await?;
    }
    if wanted(StageName::Measure) {
        report.measure = measure::run(engine, &run_id, &report.sources, options.full_refresh).await?;
    }
    for sink in wanted_sinks(engine, options) {
        engine.stop_if_told()?;
        report.sinks.entry(sink.name.clone()).or_default();
        if let Err(error) = deliver::run(engine, sink, &run_id, &mut report.sinks).await {
            report.fail(&sink.name, engine.naming_credentials(error))?;
        }
    }
    Ok(())
}
