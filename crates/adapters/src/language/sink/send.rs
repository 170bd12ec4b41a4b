//! Sends rows, alone or in batches.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use headwater_sdk::{DeliveryRow, Error, ErrorKind, Fields, Result};

use super::DeclarativeSink;
use super::outcome::{Judged, Told, hidden};
use super::records::Answered;
use crate::engine::{self, Evaluate as _, Map, Value};
use crate::language::compile::WritePlan;
use crate::language::evaluate::Tree;

/// One row to send.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// Where its row stands in the call.
    pub(super) place: usize,
    pub(super) remote_id: Option<String>,
    pub(super) version: Option<Value>,
    pub(super) fields: Fields,
}

pub(super) type Sent = Vec<(Job, Option<Told>)>;

impl DeclarativeSink {
    /// Sends all jobs. What nobody knows of is nothing; after a failure that concerns all of them, no further request begins.
    pub(super) async fn send(&self, plan: &WritePlan, jobs: Vec<Job>, rows: &[DeliveryRow], failure: &mut Option<Error>) -> Sent {
        if let Some(job) = plan.job.as_ref().filter(|job| jobs.len() >= job.from_rows) {
            return self.run(plan, job, jobs, rows, failure).await;
        }
        let size = plan.batch.unwrap_or(1);
        let broken = AtomicBool::new(false);
        let broken = &broken;
        let chunks: Vec<Vec<Job>> = jobs.chunks(size).map(<[Job]>::to_vec).collect();
        let each = chunks.into_iter().map(|chunk| async move {
            if broken.load(Ordering::Relaxed) {
                return (chunk.into_iter().map(|job| (job, None)).collect(), None);
            }
            let (sent, error) = self.halving(plan, chunk, rows).await;
            broken.fetch_or(error.is_some(), Ordering::Relaxed);
            (sent, error)
        });
        let mut all = Vec::new();
        let mut answers = futures::stream::iter(each).buffered(self.plan.concurrent);
        while let Some((sent, error)) = answers.next().await {
            let sent: Sent = sent;
            all.extend(sent);
            if failure.is_none() {
                *failure = error;
            }
        }
        all
    }

    /// Sends one batch; if it is refused as a whole it is halved, so that only the rows at fault stay out.
    async fn halving(&self, plan: &WritePlan, jobs: Vec<Job>, rows: &[DeliveryRow]) -> (Sent, Option<Error>) {
        let mut sent = Sent::new();
        let mut todo = vec![jobs];
        while let Some(mut jobs) = todo.pop() {
            if jobs.is_empty() {
                continue;
            }
            let judged = match self.bodies(plan, &jobs, rows, &mut sent) {
                Bodies::Ready(body, left) => {
                    jobs = left;
                    if jobs.is_empty() {
                        continue;
                    }
                    match self.prepared(plan, body).await {
                        Ok(Some(body)) => self.exchange(plan, &body, &jobs, rows).await,
                        Ok(None) => Ok(Judged::Whole("the remote knows nothing of what the row is about".to_owned())),
                        Err(error) if error.kind() == ErrorKind::Rejected => Ok(Judged::Whole(error.message().to_owned())),
                        Err(error) => Err(error),
                    }
                }
                Bodies::Broken(error) => Err(error),
            };
            match judged {
                Ok(Judged::Rows(told)) => sent.extend(jobs.into_iter().zip(told)),
                Ok(Judged::Whole(reason)) if jobs.len() == 1 => {
                    sent.extend(jobs.into_iter().map(|job| {
                        let reason = hidden(&reason, &job, rows);
                        (job, Some(Told::Refused(reason)))
                    }));
                }
                Ok(Judged::Whole(_)) => {
                    let second = jobs.split_off(jobs.len() / 2);
                    todo.extend([second, jobs]);
                }
                Err(error) => {
                    sent.extend(jobs.into_iter().chain(todo.into_iter().flatten()).map(|job| (job, None)));
                    return (sent, Some(error));
                }
            }
        }
        (sent, None)
    }

    /// What stands in the request; a row whose values cannot be sent is refused here.
    fn bodies(&self, plan: &WritePlan, jobs: &[Job], rows: &[DeliveryRow], sent: &mut Sent) -> Bodies {
        let (mut items, mut left, mut only) = (Vec::new(), Vec::new(), Value::Null);
        for job in jobs {
            match self.row(&plan.add, job, left.len(), rows) {
                Ok(row) => {
                    let scope = engine::Scope { more: &[("row", &row)], ..self.scope() };
                    let item = match &plan.item {
                        Some(item) => item.value(&scope),
                        None => Ok(row.get("fields").cloned().unwrap_or_default()),
                    };
                    match item {
                        Ok(item) => items.push(item),
                        Err(error) => return Bodies::Broken(error),
                    }
                    left.push(job.clone());
                    only = row;
                }
                Err(error) => sent.push((job.clone(), Some(Told::Refused(error.message().to_owned())))),
            }
        }
        let body = if plan.batch.is_some() { Value::List(items) } else { only };
        Bodies::Ready(body, left)
    }

    /// A row as expressions see it.
    pub(super) fn row(&self, add: &[(String, Tree)], job: &Job, index: usize, rows: &[DeliveryRow]) -> Result<Value> {
        let mut row = Map::default();
        let id = rows.get(job.place).map(|row| row.prospect_id.as_str()).unwrap_or_default();
        row.insert("id", Value::text(id));
        row.insert("index", Value::Int(i64::try_from(index).unwrap_or(i64::MAX)));
        if let Some(remote_id) = &job.remote_id {
            row.insert("remote_id", Value::text(remote_id.as_str()));
        }
        if let Some(version) = &job.version {
            row.insert("version", version.clone());
        }
        let mut fields = self.body(&job.fields)?;
        let bare = Value::Map(row.clone());
        let scope = engine::Scope { more: &[("row", &bare)], ..self.scope() };
        for (name, tree) in add {
            engine::set(&mut fields, &[name], tree.value(&scope)?);
        }
        row.insert("fields", fields);
        Ok(Value::Map(row))
    }

    /// The body with what must be asked before; nothing where the remote knows of nothing there.
    async fn prepared(&self, plan: &WritePlan, body: Value) -> Result<Option<Value>> {
        match &plan.first {
            Some(first) => self.given(first, "row", &body).await,
            None => Ok(Some(body)),
        }
    }

    async fn exchange(&self, plan: &WritePlan, body: &Value, jobs: &[Job], rows: &[DeliveryRow]) -> Result<Judged> {
        let name = if plan.batch.is_some() { "rows" } else { "row" };
        let asked = self.executor.ask(&plan.request, &[(name, body)], plan.once).await?;
        let answer = Answered { status: asked.status, headers: asked.headers, body: asked.body };
        self.judge(plan, &answer, jobs, rows)
    }
}

enum Bodies {
    Ready(Value, Vec<Job>),
    Broken(Error),
}
