//! `/metrics`, in the text format of Prometheus.
//!
//! Labels are names of sources and codes of ours, never a text of a sender.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Arguments, Display};
use std::sync::{Mutex, PoisonError};

use axum::extract::State;
use axum::response::Response;

use crate::answer::respond;
use crate::health::LOG_TIMEOUT;
use crate::state::AppState;

/// Stands for every source that there is not.
pub(crate) const UNKNOWN: &str = "(unknown)";

/// How many posts of each source had which outcome.
#[derive(Default)]
pub(crate) struct Counters(Mutex<BTreeMap<(String, &'static str), u64>>);

impl Counters {
    pub(crate) fn count(&self, source: &str, outcome: &'static str) {
        // A count is right whatever happened while another was made.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((source.to_owned(), outcome)).or_default() += 1;
    }

    fn read(&self) -> BTreeMap<(String, &'static str), u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(crate) async fn metrics(State(state): State<AppState>) -> Response {
    let mut page = Page(String::new());
    page.family("headwater_intake_total", "counter", "deliveries by source and outcome");
    for ((source, outcome), count) in state.0.counters.read() {
        page.sample("headwater_intake_total", &[("source", &source), ("outcome", outcome)], count);
    }
    let depth = tokio::time::timeout(LOG_TIMEOUT, state.0.log.depth()).await;
    page.family("headwater_store_up", "gauge", "whether the store answers");
    page.sample("headwater_store_up", &[], u8::from(matches!(depth, Ok(Ok(_)))));
    if let Ok(Ok(depth)) = depth {
        page.family("headwater_intake_depth", "gauge", "deliveries that no run has taken over yet");
        let names = state.0.doors.keys().chain(depth.keys()).collect::<BTreeSet<_>>();
        for source in names {
            let waiting = depth.get(source).copied().unwrap_or(0);
            page.sample("headwater_intake_depth", &[("source", source)], waiting);
        }
    }
    if let Some(run) = state.0.last_run.borrow().as_ref() {
        page.family("headwater_last_run_success", "gauge", "whether the last run did all it had to");
        page.sample("headwater_last_run_success", &[], u8::from(run.succeeded));
        page.family("headwater_last_run_finished_seconds", "gauge", "when the last run ended, in seconds since 1970");
        page.sample("headwater_last_run_finished_seconds", &[], run.finished_at_us.div_euclid(1_000_000));
        page.family("headwater_last_run_rows", "gauge", "rows of the last run by source and bucket");
        for ((source, bucket), rows) in &run.rows {
            page.sample("headwater_last_run_rows", &[("source", source), ("bucket", bucket)], rows);
        }
    }
    respond(200, "text/plain; version=0.0.4; charset=utf-8", page.0)
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        if labels.is_empty() {
            self.line(format_args!("{name} {value}\n"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}\n", labels.join(",")));
        }
    }

    fn line(&mut self, line: Arguments<'_>) {
        self.0.push_str(&line.to_string());
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let mut page = Page(String::new());
        page.sample("m", &[("source", "a\"} 9\nx\\")], 1);
        assert_eq!(page.0, "m{source=\"a\\\"} 9\\nx\\\\\"} 1\n");
    }
}
