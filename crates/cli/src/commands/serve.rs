//! `serve`: web forms in, syncs on schedule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_runtime::intake::{self, Endpoint, IntakeConfig};
use headwater_runtime::project::Schedule;
use headwater_runtime::sync::{SyncOptions, SyncReport, check_rules, sync};
use headwater_runtime::{Engine, Error};
use headwater_server::{AppState, LastRun, Setup, serve};
use headwater_store::{RunStatus, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::args::Global;
use crate::console::Console;
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn run(global: &Global, listen: Option<&str>, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::engine(global, console).await?;
    check_rules(&engine)?;
    let schedule = Schedule::of(&engine.project)?;
    let address = listen.unwrap_or(&engine.project.settings.serve.listen).to_owned();
    let listener = bind(&engine, listen, &address).await?;
    let bound = listener.local_addr().map_or(address, |address| address.to_string());
    let (told, last_run) = watch::channel(None);
    let setup = Setup {
        endpoints: endpoints(&engine)?,
        retired: retired(&engine).await?,
        log: Arc::new(engine.store.clone()),
        clock: engine.clock().clone(),
        last_run,
    };
    let names: Vec<&String> = setup.endpoints.keys().collect();
    for name in &names {
        console.line(&format!("takes web forms at http://{bound}/in/{name}"))?;
    }
    console.line(&format!("listening on {bound}; health at /healthz and /readyz, metrics at /metrics"))?;
    // A task of its own: a sync that is busy with rows must not keep a sender waiting.
    let mut server = JoinSet::new();
    server.spawn(serve(listener, AppState::new(setup), engine.cancel.clone()));
    match schedule {
        Some(schedule) => on_schedule(&engine, &schedule, &told).await,
        None => engine.cancel.cancelled().await,
    }
    match server.join_next().await {
        Some(Ok(Err(source))) => Err(Error::File { path: bound, doing: "served", source }.into()),
        Some(Err(error)) => Err(Failure::bug(error.to_string())),
        Some(Ok(Ok(()))) | None => Ok(Code::Done),
    }
}

/// The listener at an address that the flag or the project names.
async fn bind(engine: &Engine, flag: Option<&str>, address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|source| {
        let message = format!("`{address}` cannot be listened on: {source}");
        let hint = match source.kind() {
            std::io::ErrorKind::AddrInUse => "another program listens there; name another with `--listen HOST:PORT`",
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need rights; name another with `--listen HOST:PORT`",
            _ => "write HOST:PORT, such as 127.0.0.1:8088",
        };
        match flag {
            Some(_) => Failure::usage(message, hint),
            None => engine.project.error("serve.listen", message).with_help(hint).into(),
        }
    })
}

/// The doors of the project's intake sources.
fn endpoints(engine: &Engine) -> Result<BTreeMap<String, Endpoint>, Failure> {
    let cx = engine.surroundings.build_context(&engine.project.base_dir);
    let mut endpoints = BTreeMap::new();
    for source in engine.project.sources.iter().filter(|source| source.section.connector == intake::NAME) {
        let config: IntakeConfig = source.config.parse().map_err(|error| source.config_error(&error))?;
        let endpoint = Endpoint::new(config, &cx).map_err(|error| source.config_error(&error))?;
        endpoints.insert(source.name.clone(), endpoint);
    }
    Ok(endpoints)
}

/// Intake sources that deliveries once came in through, and that the project no longer has.
async fn retired(engine: &Engine) -> Result<BTreeSet<String>, Failure> {
    let known = engine.store.intake_sources().await?;
    Ok(known.into_iter().filter(|name| engine.project.source(name).is_none()).collect())
}

/// Waits, runs a sync, and again; a run that fails is logged and tried anew at its next time.
async fn on_schedule(engine: &Engine, schedule: &Schedule, told: &watch::Sender<Option<LastRun>>) {
    let mut wait = schedule.before_first(engine.clock().now());
    loop {
        tokio::select! {
            () = engine.cancel.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        match Box::pin(sync(engine, &SyncOptions::default())).await {
            Ok(report) => {
                info!(run = report.run_id, status = report.status.as_str(), "scheduled sync ended");
                told.send_replace(Some(last_run(&report, engine.clock().now_us())));
            }
            Err(Error::Interrupted) => return,
            Err(Error::Store(StoreError::Locked { pid, .. })) => {
                warn!(pid, "another run holds the project; trying again at the next time")
            }
            Err(error) => {
                error!(error = %error, "scheduled sync failed");
                let failed = LastRun {
                    run_id: String::new(),
                    succeeded: false,
                    finished_at_us: engine.clock().now_us(),
                    rows: BTreeMap::new(),
                };
                told.send_replace(Some(failed));
            }
        }
        wait = schedule.before_next(engine.clock().now());
    }
}

fn last_run(report: &SyncReport, finished_at_us: i64) -> LastRun {
    let rows = report.sources.iter().flat_map(|(name, buckets)| {
        let counts = [
            ("accepted", buckets.accepted),
            ("unchanged", buckets.unchanged),
            ("merged", buckets.merged),
            ("suppressed", buckets.suppressed),
            ("quarantined", buckets.quarantined),
        ];
        counts.map(|(bucket, count)| ((name.clone(), bucket.to_owned()), count))
    });
    LastRun {
        run_id: report.run_id.clone(),
        succeeded: matches!(report.status, RunStatus::Done | RunStatus::Rejected),
        finished_at_us,
        rows: rows.collect(),
    }
}
