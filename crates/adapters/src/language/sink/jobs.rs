//! Rows by a job of the remote: opened, filled, started, asked about until it ended, and asked what became of each row.
//!
//! Invariants: a row counts as written only if a result names it; a job that did not end leaves its rows untold, so that they are
//! looked up by our id before they are offered again.

use std::time::Duration;

use headwater_sdk::{DeliveryRow, Error, ErrorKind, Result};

use super::DeclarativeSink;
use super::outcome::Told;
use super::records::Answered;
use super::send::{Job, Sent};
use crate::engine::{self, Evaluate as _, Value};
use crate::language::compile::{JobPlan, WritePlan};

/// The most pages of one result: a remote that always names a next one must not be read for ever.
const MAX_PAGES: usize = 10_000;

impl DeclarativeSink {
    /// Sends all rows by one job.
    pub(super) async fn run(
        &self,
        plan: &WritePlan,
        job: &JobPlan,
        jobs: Vec<Job>,
        rows: &[DeliveryRow],
        failure: &mut Option<Error>,
    ) -> Sent {
        let (mut sent, mut items, mut left) = (Sent::new(), Vec::new(), Vec::new());
        for one in jobs {
            match self.item(job, &one, left.len(), rows) {
                Ok(item) => {
                    items.push(item);
                    left.push(one);
                }
                Err(error) => sent.push((one, Some(Told::Refused(error.message().to_owned())))),
            }
        }
        let mut told: Vec<Option<Told>> = vec![None; left.len()];
        if !left.is_empty()
            && let Err(error) = self.worked(job, Value::List(items), (&left, rows), &mut told).await
        {
            tracing::debug!(request = plan.request.name, "a job of the remote broke off");
            *failure = Some(error);
        }
        sent.extend(left.into_iter().zip(told));
        sent
    }

    /// A row as it stands in the job.
    fn item(&self, plan: &JobPlan, job: &Job, index: usize, rows: &[DeliveryRow]) -> Result<Value> {
        let row = self.row(&[], job, index, rows)?;
        match &plan.item {
            Some(item) => item.value(&engine::Scope { more: &[("row", &row)], ..self.scope() }),
            None => Ok(row.get("fields").cloned().unwrap_or_default()),
        }
    }

    async fn worked(
        &self,
        plan: &JobPlan,
        items: Value,
        jobs: (&[Job], &[DeliveryRow]),
        told: &mut [Option<Told>],
    ) -> Result<()> {
        let opened = self.step("opening of a job", &plan.open, &[]).await?;
        let id = plan.id.text(&self.answered(&opened))?;
        if id.is_empty() {
            return Err(Error::new(ErrorKind::Protocol, "the remote made a job without an id"));
        }
        let job = of_job(&id, None);
        self.step("filling of a job", &plan.fill, &[("job", &job), ("rows", &items)]).await?;
        drop(items);
        // A start whose answer got lost is refused the second time: the state says whether it runs.
        let started = self.step("start of a job", &plan.start, &[("job", &job)]).await;
        let mut waited = Duration::ZERO;
        loop {
            let state = self.step("question about a job", &plan.state, &[("job", &job)]).await?;
            if plan.done.test(&self.answered(&state))? {
                break;
            }
            if plan.failed.test(&self.answered(&state))? {
                started?;
                return Err(
                    Error::new(ErrorKind::Unavailable, "the remote gave up the job that held the rows").context("job", id)
                );
            }
            if waited >= plan.at_most {
                return Err(Error::new(ErrorKind::Unavailable, "the remote did not end the job that holds the rows in time")
                    .context("job", id));
            }
            self.executor.wait(plan.every).await;
            waited += plan.every.max(Duration::from_millis(1));
        }
        for result in &plan.results {
            let mut next: Option<String> = None;
            for _ in 0..MAX_PAGES {
                let answer = self.step("result of a job", &result.request, &[("job", &of_job(&id, next.as_deref()))]).await?;
                self.tell(&result.answers, &answer, jobs, told)?;
                next = match &result.next {
                    Some(next) => {
                        next.found(&self.answered(&answer))?.map(|next| next.to_plain()).filter(|next| !next.is_empty())
                    }
                    None => None,
                };
                if next.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn step(&self, what: &str, request: &engine::plan::Requester, more: &[(&str, &Value)]) -> Result<Answered> {
        let answer = self.ask(what, request, more).await?;
        answer.ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, format!("the remote does not know the job any more at the {what}"))
                .context("request", request.name.clone())
        })
    }

    fn answered<'a>(&'a self, answer: &'a Answered) -> engine::Scope<'a> {
        engine::Scope {
            response: Some(&answer.body),
            headers: Some(&answer.headers),
            status: Some(answer.status),
            ..self.scope()
        }
    }
}

/// A job as expressions see it.
fn of_job(id: &str, next: Option<&str>) -> Value {
    let next = next.map(|next| ("next", Value::text(next)));
    Value::Map([("id", Value::text(id))].into_iter().chain(next).collect())
}
