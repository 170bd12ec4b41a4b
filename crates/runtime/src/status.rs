//! Where every source and sink stands, and what the last runs did.

use std::collections::BTreeMap;

use headwater_model::tables;
use headwater_store::{Run, RunStatus, Snapshot};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::cells::{each, instant};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ingest::CURSOR_PREFIX;
use crate::quarantine;
use crate::resolve;
use crate::review::{Checked, EstimateView};
use crate::rows::{latest, load};

/// The version of the answers' shapes.
const VERSION: u32 = 1;

/// Where everything stands.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// The version of this shape.
    pub version: u32,
    /// The store.
    pub store: StoreStatus,
    /// Every source, by name.
    pub sources: Vec<SourceStatus>,
    /// Every sink, by name.
    pub sinks: Vec<SinkStatus>,
    /// Who is who.
    pub identity: IdentityStatus,
    /// The last run.
    pub last_run: Option<RunView>,
}

/// How people are told apart.
#[derive(Debug, Default, Serialize)]
pub struct IdentityStatus {
    /// The version of the model or the rules that decided last.
    pub model: Option<String>,
    /// From how many leads the model was learned.
    pub learned_from: Option<u64>,
    /// How far the leads are from those; above 0.1 it is learned anew.
    pub drift: Option<f64>,
    /// Pairs that wait for `review`.
    pub review: u64,
    /// Pairs of leads that somebody decided.
    pub decided: u64,
    /// The share of joined pairs that are right, by those that people checked.
    pub precision: Option<EstimateView>,
}

/// How large the store is.
#[derive(Debug, Serialize)]
pub struct StoreStatus {
    /// The ledger's file.
    pub ledger: String,
    /// The lake's folder.
    pub lake: String,
    /// The last snapshot.
    pub snapshot: i64,
    /// The live files.
    pub files: u64,
    /// Their bytes.
    pub bytes: i64,
    /// Their rows.
    pub rows: i64,
}

/// Where a source stands.
#[derive(Debug, Default, Serialize)]
pub struct SourceStatus {
    /// Its name.
    pub source: String,
    /// Its connector; nothing when the project no longer has the source.
    pub connector: Option<String>,
    /// Current leads.
    pub leads: u64,
    /// Refused rows that nobody has dealt with.
    pub quarantined: u64,
    /// When its last checkpoint was committed; a quiet source commits none.
    pub checkpoint_at: Option<Timestamp>,
    /// By which run.
    pub checkpoint_run: Option<String>,
    /// How long ago that was, in seconds.
    pub lag_seconds: Option<i64>,
    /// Its streams that have a checkpoint.
    pub streams: Vec<String>,
    /// Deliveries that came in and were not taken over yet.
    pub waiting: i64,
}

/// Where a sink stands.
#[derive(Debug, Serialize)]
pub struct SinkStatus {
    /// Its name.
    pub sink: String,
    /// Its connector; nothing when the project no longer has the sink.
    pub connector: Option<String>,
    /// Prospects whose record there is known.
    pub links: u64,
    /// Refused pushes that nobody has dealt with.
    pub quarantined: u64,
    /// How many pushes stand how.
    pub outbox: BTreeMap<String, i64>,
}

/// One run.
#[derive(Debug, Serialize)]
pub struct RunView {
    /// Its id.
    pub run_id: String,
    /// The command.
    pub command: String,
    /// How it ended.
    pub status: RunStatus,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it took.
    pub seconds: Option<f64>,
    /// What it counted.
    pub counts: Value,
    /// Why it failed.
    pub error: Option<String>,
    /// The program's version.
    pub program: String,
}

/// The last runs.
#[derive(Debug, Serialize)]
pub struct RunsReport {
    /// The version of this shape.
    pub version: u32,
    /// The runs, newest first.
    pub runs: Vec<RunView>,
}

/// Where every source and sink stands.
///
/// # Errors
/// When the store cannot be read.
pub async fn status(engine: &Engine) -> Result<StatusReport> {
    let snapshot = engine.store.snapshot().await?;
    let open = quarantine::open_counts(engine, &snapshot).await?;
    let last_run = engine.store.list_runs(1).await?.into_iter().next().map(RunView::of);
    Ok(StatusReport {
        version: VERSION,
        store: store(engine, &snapshot),
        sources: sources(engine, &snapshot, &open).await?,
        sinks: sinks(engine, &open).await?,
        identity: identity(engine).await?,
        last_run,
    })
}

/// The last runs, newest first.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn runs(engine: &Engine, limit: u32) -> Result<RunsReport> {
    let runs = engine.store.list_runs(limit).await?;
    Ok(RunsReport { version: VERSION, runs: runs.into_iter().map(RunView::of).collect() })
}

/// One run.
///
/// # Errors
/// [`Error::NotFound`] when there is none of that id.
pub async fn run(engine: &Engine, id: &str) -> Result<RunView> {
    engine.store.run(id).await?.map(RunView::of).ok_or_else(|| Error::NotFound {
        what: format!("there is no run `{id}`"),
        hint: "`headwater runs` lists the last ones".to_owned(),
    })
}

impl RunView {
    fn of(run: Run) -> Self {
        let Run { run_id, command, started_at, ended_at, status, counts, error, version, pid: _ } = run;
        let seconds = ended_at.and_then(|ended| Some(instant(ended)?.duration_since(instant(started_at)?).as_secs_f64()));
        Self {
            run_id,
            command,
            status,
            started_at: instant(started_at),
            ended_at: ended_at.and_then(instant),
            seconds,
            counts,
            error,
            program: version,
        }
    }
}

async fn identity(engine: &Engine) -> Result<IdentityStatus> {
    let cursor = engine.store.cursor(resolve::CURSOR).await?;
    let note = |key: &str| cursor.as_ref().and_then(|cursor| cursor.value.get("identity")).and_then(|note| note.get(key));
    let sample = engine.store.sample().await?;
    Ok(IdentityStatus {
        model: note("model").and_then(Value::as_str).map(str::to_owned),
        learned_from: note("learned_from").and_then(Value::as_u64),
        drift: note("drift").and_then(Value::as_f64),
        review: engine.store.reviews().await?.len() as u64,
        decided: engine.store.decisions().await?.len() as u64,
        precision: sample.and_then(|sample| Checked::of(&sample, &engine.project.file.identity).view()),
    })
}

fn store(engine: &Engine, snapshot: &Snapshot) -> StoreStatus {
    let files = || tables::ALL.iter().flat_map(|table| snapshot.files(table));
    StoreStatus {
        ledger: engine.store.ledger().display().to_string(),
        lake: engine.store.lake().display().to_string(),
        snapshot: snapshot.id(),
        files: files().count() as u64,
        bytes: files().map(|file| file.bytes).sum(),
        rows: files().map(|file| file.rows - file.deleted).sum(),
    }
}

async fn sources(engine: &Engine, snapshot: &Snapshot, open: &quarantine::OpenCounts) -> Result<Vec<SourceStatus>> {
    let mut sources: BTreeMap<String, SourceStatus> = BTreeMap::new();
    for entry in &engine.project.sources {
        sources.entry(entry.name.clone()).or_default().connector = Some(entry.section.connector.clone());
    }
    let leads = latest(load(snapshot, &tables::LEAD, &["lead_id", "source", "op", "is_test"])?, "lead_id")?;
    for row in each(&leads) {
        if row.text("op")? != Some("delete") && !row.flag("is_test")? {
            sources.entry(row.word("source")?).or_default().leads += 1;
        }
    }
    let now = engine.clock().now();
    for (key, cursor) in engine.store.cursors().await? {
        let parts: Vec<&str> = key.splitn(3, '/').collect();
        let [CURSOR_PREFIX, source, stream] = parts.as_slice() else { continue };
        let status = sources.entry((*source).to_owned()).or_default();
        status.streams.push((*stream).to_owned());
        let at = instant(cursor.updated_at);
        if at > status.checkpoint_at {
            status.checkpoint_at = at;
            status.checkpoint_run = Some(cursor.run_id);
            status.lag_seconds = at.map(|at| now.duration_since(at).as_secs());
        }
    }
    for (source, depth) in engine.store.intake_depth().await? {
        sources.entry(source).or_default().waiting = depth;
    }
    let named =
        sources.into_iter().map(|(source, status)| SourceStatus { quarantined: open.at_ingest(&source), source, ..status });
    Ok(named.collect())
}

async fn sinks(engine: &Engine, open: &quarantine::OpenCounts) -> Result<Vec<SinkStatus>> {
    let mut outbox = engine.store.outbox_counts().await?;
    let mut names: Vec<(String, Option<String>)> =
        engine.project.parts().map(|sink| (sink.name, Some(sink.section.connector))).collect();
    let known: std::collections::BTreeSet<String> = names.iter().map(|(name, _)| name.clone()).collect();
    names.extend(outbox.keys().filter(|name| !known.contains(*name)).map(|name| (name.clone(), None)));
    names.sort();
    let mut sinks = Vec::new();
    for (sink, connector) in names {
        let counts = outbox.remove(&sink).unwrap_or_default();
        sinks.push(SinkStatus {
            links: engine.store.links(&sink).await?.len() as u64,
            quarantined: open.at_deliver(&sink),
            outbox: counts.into_iter().map(|(state, count)| (state.as_str().to_owned(), count)).collect(),
            connector,
            sink,
        });
    }
    Ok(sinks)
}

#[cfg(test)]
mod tests {
    use headwater_model::mapping::Role;

    use super::*;
    use crate::world::{Paper, World};

    const SETTINGS: &str = "sources:\n  paper: { connector: paper }\n  quiet: { connector: paper }\n";

    #[tokio::test]
    async fn a_source_shows_its_leads_its_refusals_and_how_old_its_checkpoint_is() {
        let paper = Paper {
            role: Role::Leads,
            fields: &["email", "created_at"],
            rows: vec![vec!["ada@example.com", "2026-10-01"], vec!["bram@example.com", "02/03/2026"]],
            key: None,
            raw: None,
        };
        let before = status(&World::of(SETTINGS).await.engine).await.unwrap();
        assert!(before.last_run.is_none() && before.sources.iter().all(|source| source.checkpoint_at.is_none()));
        let world = World::of("sources:\n  paper: { connector: paper }\n").await.reading(paper).await;
        let run_id = world.sync(false).await.run_id;
        let world = world.later(SETTINGS, "2026-11-20T01:00:00Z").await;
        let report = status(&world.engine).await.unwrap();
        let [paper, quiet] = report.sources.as_slice() else { panic!("two sources") };
        assert_eq!((paper.leads, paper.quarantined, paper.lag_seconds), (1, 1, Some(3_600)));
        assert_eq!((paper.checkpoint_run.as_ref(), paper.streams.as_slice()), (Some(&run_id), ["records".to_owned()].as_slice()));
        assert_eq!((quiet.leads, quiet.lag_seconds), (0, None));
        assert!(report.store.files > 0 && report.store.bytes > 0);
        assert_eq!(report.last_run.unwrap().run_id, run_id);
        assert_eq!(runs(&world.engine, 9).await.unwrap().runs.len(), 1);
        assert!(run(&world.engine, &run_id).await.is_ok());
        assert!(matches!(run(&world.engine, "run_x").await, Err(Error::NotFound { what: _, hint: _ })));
    }
}
