//! Web form intake, health and metrics over HTTP.
//!
//! The server does one thing that matters: it takes a delivery, makes it durable, and says so, within a second. It never works on
//! what it took; a run does that later. So no connector, sink or slow query stands between a form and the disk, and one source's
//! trouble never holds up another's deliveries.
//!
//! Invariants:
//! - A 2xx answer to a post means that the delivery is durable, and no other answer does.
//! - Everything is bounded: the size and the time of a body, the posts at work, the wait for the disk, the time to shut down.
//! - No answer, log line or metric holds a part of a body, a header or an address's token.

mod answer;
mod health;
mod intake;
mod metrics;
mod state;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{error, info, warn};

use crate::answer::problem;

pub use state::{AppState, LastRun, Setup};

/// How long requests in flight may take to finish once the server was told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// All paths of the server.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/in/{source}", post(intake::without_token).get(intake::asked_without_token))
        .route("/in/{source}/{token}", post(intake::with_token).get(intake::asked_with_token))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(state)
}

/// Serves until told to stop; then takes no new connection and lets requests in flight finish.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, state: AppState, shutdown: CancellationToken) -> io::Result<()> {
    if let Ok(address) = listener.local_addr() {
        info!(%address, "listening");
    }
    let told = shutdown.clone().cancelled_owned();
    let server = axum::serve(listener, router(state)).with_graceful_shutdown(told);
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = server => ended,
        // A sender that stopped in the middle of a request would keep the process for ever. It was given no answer, so it will
        // send again.
        () = late => {
            warn!(grace_secs = GRACE.as_secs(), "connections were still open when the time to finish was over");
            Ok(())
        }
    }
}

/// A bug of ours is no reason for a sender to switch its webhook off: it is told to come back.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    error!("a request handler panicked");
    problem(500, "internal", "an error of ours; send again later")
}
