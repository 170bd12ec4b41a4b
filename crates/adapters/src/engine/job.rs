//! Records as the result of a job: made, waited for, fetched.

use headwater_sdk::{Error, ErrorKind, Result};

use super::expr::{Scope, Slice};
use super::pages::one;
use super::plan::{Inject, Job, JobStatus};
use super::request::{Call, Shared};
use super::select::Selected;
use super::value::Value;

/// How many pages one file of a job may have.
const MAX_PAGES: usize = 100_000;

/// Runs a job to its end and gives all its records.
pub(super) async fn run(shared: &Shared, job: &Job, slice: &Slice, fixed: &[(Inject, Value)]) -> Result<Selected> {
    let call = |more| Call { slice: Some(slice), next_page_token: None, inject: &[], more, once: false };
    let made = shared.call(&job.create, &Call { inject: fixed, ..call(&[]) }).await?.body;
    let begun = shared.pause.elapsed();
    let more = [("creation_response", &made)];
    let polled = loop {
        let page = shared.call(&job.poll, &call(&more)).await?;
        let scope = Scope { response: Some(&page.body), headers: Some(&page.headers), ..shared.scope(&call(&more)) };
        let word = job.status.text(&scope)?;
        match job.statuses.get(&word) {
            Some(JobStatus::Completed) => break page,
            Some(JobStatus::Skipped) => return Ok(Selected::default()),
            Some(JobStatus::Running) => {}
            Some(JobStatus::Failed) => return Err(failed(job, "the remote's job failed")),
            Some(JobStatus::TimedOut) => return Err(failed(job, "the remote's job took too long for it")),
            None => {
                return Err(failed(job, "the remote's job is in a state that the connector does not know").context("state", word));
            }
        }
        if shared.pause.elapsed() - begun > job.timeout {
            if let Some(abort) = &job.abort {
                shared.call(abort, &call(&more)).await?;
            }
            return Err(failed(job, "the remote's job takes longer than we wait"));
        }
        shared.pause.sleep(job.poll_every).await;
    };
    let scope = Scope { response: Some(&polled.body), headers: Some(&polled.headers), ..shared.scope(&call(&more)) };
    let targets = match &job.targets {
        None => vec![Value::Null],
        Some(targets) => match targets.value(&scope)? {
            Value::List(targets) => targets,
            Value::Null => Vec::new(),
            one => vec![one],
        },
    };
    let mut out = Selected::default();
    for target in &targets {
        let more = [("creation_response", &made), ("polling_response", &polled.body), ("download_target", target)];
        let mut token = None;
        for _ in 0..MAX_PAGES {
            let (page, next) = one(shared, &job.download, slice, &[], (token, &more), None).await?;
            out.given += page.given;
            out.records.extend(page.records);
            token = next;
            if token.is_none() {
                break;
            }
        }
    }
    if let Some(delete) = &job.delete {
        let more = [("creation_response", &made), ("polling_response", &polled.body)];
        shared.call(delete, &call(&more)).await?;
    }
    Ok(out)
}

fn failed(job: &Job, what: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, what).context("request", job.poll.name.clone())
}
