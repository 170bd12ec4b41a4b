//! `/healthz` and `/readyz`.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use crate::answer::{json_body, problem};
use crate::state::AppState;

/// How long the log may take to say that it is there.
pub(crate) const LOG_TIMEOUT: Duration = Duration::from_secs(1);

/// The process lives. Asks nobody else: a restart mends nothing that is wrong elsewhere.
pub(crate) async fn alive() -> Response {
    json_body(200, "application/json", &json!({ "status": "alive" }))
}

/// Deliveries can be made durable. That the last run failed is told and does not change the status: whoever routes by it would turn
/// forms away because a CRM is down, though the log is there to take them.
pub(crate) async fn ready(State(state): State<AppState>) -> Response {
    let reached = tokio::time::timeout(LOG_TIMEOUT, state.0.log.depth()).await;
    if !matches!(reached, Ok(Ok(_))) {
        return problem(503, "store_unavailable", "the store cannot be reached");
    }
    let last_run = match state.0.last_run.borrow().as_ref() {
        None => "none",
        Some(run) if run.succeeded => "succeeded",
        Some(_) => "failed",
    };
    json_body(200, "application/json", &json!({ "status": "ready", "last_run": last_run }))
}
