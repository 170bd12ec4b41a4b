//! Odd answers from a local server, and the contract against a real CRM where the environment names one.

mod contacts;
mod intake;
mod live;
mod odd;

use std::path::Path;
use std::sync::Arc;

use headwater_sdk::{BuildContext, Clock, ConfigDoc, Connector as _, DeliveryRow, MatchKey, Operation, Result, RowOutcome, Sink};
use jiff::Timestamp;
use serde_json::{Value, json};

fn context(token: &str) -> BuildContext {
    let token = token.to_owned();
    BuildContext {
        clock: Clock::fixed(Timestamp::UNIX_EPOCH),
        base_dir: Path::new("/").to_owned(),
        env: Arc::new(move |_| Some(token.clone())),
        allow_private_hosts: true,
    }
}

fn sink_at(url: &str, token: &str, mut config: Value) -> Result<Box<dyn Sink>> {
    config["url"] = json!(url);
    config["token"] = json!({ "env": "CRM_TOKEN" });
    let Value::Object(values) = config else { unreachable!() };
    super::BottleCrm.sink(&ConfigDoc { connection: "crm".to_owned(), values }, &context(token))
}

fn row(id: &str, fields: &[(&str, Option<&str>)]) -> DeliveryRow {
    DeliveryRow {
        key: format!("{id}:1"),
        prospect_id: id.to_owned(),
        operation: Operation::Create,
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect(),
        match_keys: Vec::new(),
        doubtful: false,
        seen: headwater_sdk::sink::Fields::new(),
    }
}

fn named(id: &str) -> DeliveryRow {
    row(id, &[("first_name", Some("Ada")), ("last_name", Some(id))])
}

fn doubtful(row: DeliveryRow) -> DeliveryRow {
    DeliveryRow { doubtful: true, ..row }
}

fn update(remote_id: &str, row: DeliveryRow) -> DeliveryRow {
    DeliveryRow { operation: Operation::Update { remote_id: remote_id.to_owned() }, ..row }
}

fn key(field: &str, value: &str) -> MatchKey {
    MatchKey { field: field.to_owned(), value: value.to_owned() }
}

async fn write(sink: &dyn Sink, rows: &[DeliveryRow]) -> Vec<RowOutcome> {
    sink.write(rows).await.unwrap().into_outcomes()
}
