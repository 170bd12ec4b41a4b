//! The CRMs that are data, each against a fake of its vendor: the contract, what may go wrong with any of them, and what each
//! vendor is known to do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code all through"
)]

mod audiences;
mod benches;
mod companies;
mod conformance;
mod fields;
mod jobs;
mod keys;
mod moved;
mod oddities;
mod tasks;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use headwater_adapters::language::Declarative;
use headwater_fakes::{Conditions, Counts, Running, Vendor, serve};
use headwater_sdk::{
    BuildContext, Clock, Companion, ConfigDoc, Connector as _, DeliveryRow, MatchKey, Operation, Result, RowOutcome, Sink,
};
use serde_json::Value;

/// A sink of a connector's file, with settings and the one secret that all of its references give.
fn sink_of(name: &str, config: Value, secret: &str) -> Result<Box<dyn Sink>> {
    sink_from(&connector(name), config, secret)
}

fn connector(name: &str) -> Declarative {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors").join(name);
    // A connector whose settings differ by half has a file of its own for its sink.
    let half = folder.join("sink.yaml");
    Declarative::open(&if half.is_file() { half } else { folder.join("connector.yaml") }).unwrap()
}

fn sink_from(connector: &Declarative, config: Value, secret: &str) -> Result<Box<dyn Sink>> {
    let (config, cx) = settings(config, secret);
    connector.sink(&config, &cx)
}

/// The companies of the people that a sink writes.
fn companies_of(name: &str, config: Value, secret: &str) -> Result<Box<dyn Sink>> {
    let (config, cx) = settings(config, secret);
    connector(name).companion(&Companion::Companies, &config, &cx)
}

/// The answer to the next call that writes gets lost, or none does any more.
fn losing(lose: bool, so_far: Counts) -> Conditions {
    let next = NonZeroU64::new(so_far.writes + 1).filter(|_| lose);
    Conditions { lose_answer_every: next, ..Conditions::default() }
}

fn settings(config: Value, secret: &str) -> (ConfigDoc, BuildContext) {
    let Value::Object(values) = config else { unreachable!() };
    let secret = secret.to_owned();
    let cx = BuildContext {
        clock: Clock::system(),
        base_dir: Path::new("/").to_owned(),
        env: Arc::new(move |_| Some(secret.clone())),
        allow_private_hosts: true,
    };
    (ConfigDoc { connection: "crm".to_owned(), values }, cx)
}

async fn fake<V: Vendor>(vendor: V, conditions: Conditions) -> Running<V> {
    serve(vendor, conditions, 0, || Clock::system().now_us()).await.unwrap()
}

fn row(number: usize, fields: &[(&str, String)]) -> DeliveryRow {
    DeliveryRow {
        key: format!("prs{number}:1"),
        prospect_id: format!("prs_{number}"),
        operation: Operation::Create,
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), Some(value.clone()))).collect(),
        match_keys: Vec::new(),
        doubtful: false,
        seen: headwater_sdk::sink::Fields::new(),
    }
}

fn change(remote_id: &str, fields: &[(&str, &str)]) -> DeliveryRow {
    let fields: Vec<(&str, String)> = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    DeliveryRow { operation: Operation::Update { remote_id: remote_id.to_owned() }, ..row(0, &fields) }
}

fn key(field: &str, value: &str) -> Vec<MatchKey> {
    vec![MatchKey { field: field.to_owned(), value: value.to_owned() }]
}

async fn write(sink: &dyn Sink, rows: &[DeliveryRow]) -> Vec<RowOutcome> {
    sink.write(rows).await.unwrap().into_outcomes()
}

fn added(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The rows that were refused, and that everything else was made.
fn refused(outcomes: &[RowOutcome]) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            RowOutcome::Rejected { reason } => out.push((number, reason.as_str())),
            RowOutcome::Created { .. } => {}
            other => panic!("row {number} is {other:?}"),
        }
    }
    out
}
