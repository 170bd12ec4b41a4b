//! Records as the result of a job: made, waited for, fetched file by file.
//!
//! What stands in a position is the job that was made, the file that is read, and how many of its records were given: a read
//! that was killed goes on with the same job. Where the remote has forgotten it meanwhile, a new one is made, so that rows repeat
//! and none is lost.

use headwater_sdk::{Error, ErrorKind, Result};

use super::expr::{Scope, Slice};
use super::pages::one;
use super::plan::{Inject, Job, JobStatus, Lookup};
use super::request::{Call, Shared};
use super::select::Selected;
use super::value::{Map, Value};

/// How many pages one file of a job may have.
const MAX_PAGES: usize = 100_000;
/// How many records are given at once, however many a file has.
const AT_ONCE: usize = 10_000;

/// The name under which requests see what was kept of the job.
const MADE_NAME: &str = "creation_response";
const MADE: &str = "job";
const FILE: &str = "file";
const GIVEN: &str = "given";

/// A job in the course of one read.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Whether the job was made in this read: what it says about itself then is final.
    own: bool,
    /// The answer that said that it is done, and where its files are.
    done: Option<(Value, Vec<Value>)>,
    /// Records of the file at hand that were not given yet.
    rest: Option<Vec<Value>>,
}

/// Where a job stands, as a position keeps it.
struct Place {
    made: Value,
    file: usize,
    given: usize,
}

impl Place {
    fn begin(made: Value) -> Self {
        Self { made, file: 0, given: 0 }
    }

    fn read(token: &Value) -> Option<Self> {
        let number = |name| usize::try_from(token.get(name)?.as_int()?).ok();
        Some(Self { made: token.get(MADE)?.clone(), file: number(FILE)?, given: number(GIVEN)? })
    }

    fn write(self) -> Value {
        let number = |number| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        Value::Map([(MADE, self.made), (FILE, number(self.file)), (GIVEN, number(self.given))].into_iter().collect::<Map>())
    }
}

impl Work {
    /// The next records of a job, and the token of what follows; none after the last. The first step makes the job and gives
    /// no records, so that a position is kept as soon as there is one.
    pub(super) async fn step(
        &mut self,
        shared: &Shared,
        (job, lookups): (&Job, &Value),
        slice: &Slice,
        fixed: &[(Inject, Value)],
        token: Option<Value>,
    ) -> Result<(Selected, Option<Value>)> {
        let Some(place) = token.as_ref().and_then(Place::read) else {
            return self.make(shared, job, slice, fixed).await;
        };
        match self.go_on(shared, (job, lookups), slice, place).await {
            // A job of an earlier read may be gone, its files too.
            Err(error) if !self.own && error.kind() != ErrorKind::Unavailable && error.kind() != ErrorKind::RateLimited => {
                tracing::warn!(request = job.create.name, error = %error, "an earlier job cannot be used and is made anew");
                self.make(shared, job, slice, fixed).await
            }
            other => other,
        }
    }

    async fn make(
        &mut self,
        shared: &Shared,
        job: &Job,
        slice: &Slice,
        fixed: &[(Inject, Value)],
    ) -> Result<(Selected, Option<Value>)> {
        let call = Call { slice: Some(slice), next_page_token: None, inject: fixed, more: &[], once: false };
        let page = shared.call(&job.create, &call).await?;
        *self = Self { own: true, ..Self::default() };
        if !page.taken {
            return Ok((Selected::default(), None));
        }
        let made = match &job.keep {
            None => page.body,
            Some(keep) => {
                let scope = Scope { response: Some(&page.body), headers: Some(&page.headers), ..shared.scope(&call) };
                keep.value(&scope)?
            }
        };
        Ok((Selected::default(), Some(Place::begin(made).write())))
    }

    async fn go_on(
        &mut self,
        shared: &Shared,
        (job, lookups): (&Job, &Value),
        slice: &Slice,
        place: Place,
    ) -> Result<(Selected, Option<Value>)> {
        let Place { made, file, given } = place;
        if self.done.is_none() {
            let Some(done) = waited(shared, job, slice, &made).await? else { return Ok((Selected::default(), None)) };
            self.done = Some(done);
        }
        let Some((polled, files)) = &self.done else { return Ok((Selected::default(), None)) };
        let Some(target) = files.get(file) else {
            forget(shared, job, slice, (&made, polled)).await?;
            return Ok((Selected::default(), None));
        };
        let mut rest = match self.rest.take() {
            Some(rest) => rest,
            None => {
                let mut records = fetched(
                    shared,
                    job,
                    slice,
                    [(MADE_NAME, &made), ("polling_response", polled), ("download_target", target), (Lookup::SEEN, lookups)],
                )
                .await?;
                records.split_off(given.min(records.len()))
            }
        };
        let later = rest.split_off(AT_ONCE.min(rest.len()));
        let next = if later.is_empty() {
            Place { made: made.clone(), file: file + 1, given: 0 }
        } else {
            Place { made: made.clone(), file, given: given + rest.len() }
        };
        let last = later.is_empty() && next.file >= files.len();
        if last {
            forget(shared, job, slice, (&made, polled)).await?;
        }
        self.rest = (!later.is_empty()).then_some(later);
        let selected = Selected { given: rest.len(), records: rest, ..Selected::default() };
        Ok((selected, (!last).then(|| next.write())))
    }
}

/// The answer that says that a job is done, and its files; nothing where the remote leaves it out.
async fn waited(shared: &Shared, job: &Job, slice: &Slice, made: &Value) -> Result<Option<(Value, Vec<Value>)>> {
    let more = [(MADE_NAME, made)];
    let call = Call { slice: Some(slice), next_page_token: None, inject: &[], more: &more, once: false };
    let begun = shared.pause.elapsed();
    loop {
        let page = shared.call(&job.poll, &call).await?;
        let scope = Scope { response: Some(&page.body), headers: Some(&page.headers), ..shared.scope(&call) };
        let word = job.status.text(&scope)?;
        match job.statuses.get(&word) {
            Some(JobStatus::Completed) => {
                let targets = match &job.targets {
                    None => vec![Value::Null],
                    Some(targets) => match targets.value(&scope)? {
                        Value::List(targets) => targets,
                        Value::Null => Vec::new(),
                        one => vec![one],
                    },
                };
                return Ok(Some((page.body, targets)));
            }
            Some(JobStatus::Skipped) => return Ok(None),
            Some(JobStatus::Running) => {}
            // Not a state that passes, but the next run makes a job of its own.
            Some(JobStatus::Failed) => return Err(failed(job, ErrorKind::Rejected, "the remote's job failed")),
            Some(JobStatus::TimedOut) => {
                return Err(failed(job, ErrorKind::Rejected, "the remote's job took too long for it"));
            }
            None => {
                let error = failed(job, ErrorKind::Protocol, "the remote's job is in a state that the connector does not know");
                return Err(error.context("state", word));
            }
        }
        if shared.pause.elapsed() - begun > job.timeout {
            if let Some(abort) = &job.abort {
                shared.call(abort, &call).await?;
            }
            let error = failed(job, ErrorKind::Unavailable, "the remote's job takes longer than we wait");
            return Err(error.context("waited_s", job.timeout.as_secs().to_string()));
        }
        shared.pause.sleep(job.poll_every).await;
    }
}

/// All records of one file.
async fn fetched(shared: &Shared, job: &Job, slice: &Slice, more: [(&str, &Value); 4]) -> Result<Vec<Value>> {
    let (mut out, mut token) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let (page, next) = one(shared, &job.download, slice, &[], (token, &more), None).await?;
        out.extend(page.records);
        token = next;
        if token.is_none() {
            return Ok(out);
        }
    }
    Err(failed(job, ErrorKind::Protocol, "the pages of the remote's file do not end"))
}

/// Tells the remote to forget a job that was read.
async fn forget(shared: &Shared, job: &Job, slice: &Slice, (made, polled): (&Value, &Value)) -> Result<()> {
    let Some(delete) = &job.delete else { return Ok(()) };
    let more = [(MADE_NAME, made), ("polling_response", polled)];
    let call = Call { slice: Some(slice), next_page_token: None, inject: &[], more: &more, once: false };
    shared.call(delete, &call).await.map(drop)
}

fn failed(job: &Job, kind: ErrorKind, what: &'static str) -> Error {
    Error::new(kind, what).context("request", job.poll.name.clone())
}
