//! What an answer says of each row.

use std::collections::{HashMap, HashSet};

use headwater_sdk::{DeliveryRow, Error, ErrorKind, Result, RowOutcome};

use super::DeclarativeSink;
use super::records::Answered;
use super::send::Job;
use crate::engine::{Evaluate as _, Scope, Value};
use crate::language::compile::{AnswersPlan, WritePlan};
use crate::language::spec::TiedBy;

/// Characters of a reason.
const MAX_REASON: usize = 300;
/// A shorter value is found in any message by chance, and tells nobody apart.
const MIN_HIDDEN: usize = 3;
/// The status that says that somebody else changed the record.
const PRECONDITION_FAILED: u16 = 412;

/// What became of a row.
#[derive(Debug, Clone)]
pub(super) enum Told {
    Done { remote_id: Option<String>, created: Option<bool> },
    Refused(String),
    Later(String),
    Conflict,
    Gone,
}

impl Told {
    /// The outcome of a row that was to be made, or of one whose record is known.
    pub(super) fn outcome(self, makes: bool, known: Option<String>) -> RowOutcome {
        match self {
            Self::Done { remote_id, created } => match (remote_id.or(known), created) {
                (Some(remote_id), Some(false)) => RowOutcome::Updated { remote_id },
                (Some(remote_id), _) if makes => RowOutcome::Created { remote_id },
                (Some(remote_id), _) => RowOutcome::Updated { remote_id },
                (None, _) => untold(),
            },
            Self::Refused(reason) => RowOutcome::Rejected { reason },
            Self::Later(reason) => RowOutcome::Retry { reason, after: None },
            Self::Conflict => RowOutcome::Retry { reason: "somebody changed the record meanwhile".to_owned(), after: None },
            Self::Gone => RowOutcome::Rejected { reason: "the record is gone".to_owned() },
        }
    }
}

/// Silence is failure.
pub(super) fn untold() -> RowOutcome {
    RowOutcome::Retry { reason: "the remote's answer says nothing of this row".to_owned(), after: None }
}

pub(super) fn refused(message: &str) -> Error {
    Error::new(ErrorKind::Rejected, message)
}

/// What an answer says of a batch.
pub(super) enum Judged {
    /// Something of each row, or nothing of it.
    Rows(Vec<Option<Told>>),
    /// It refuses the whole, which does not say which row is at fault.
    Whole(String),
}

impl DeclarativeSink {
    /// Judges an answer to a request that carried these rows.
    pub(super) fn judge(&self, plan: &WritePlan, answer: &Answered, jobs: &[Job], rows: &[DeliveryRow]) -> Result<Judged> {
        let ok = self.good(answer)?;
        let usual = [AnswersPlan::default()];
        let answers = if plan.answers.is_empty() { &usual[..] } else { &plan.answers };
        if plan.batch.is_none() {
            return self.single(answers, answer, jobs, rows);
        }
        let mut told: Vec<Option<Told>> = vec![None; jobs.len()];
        for answers in answers {
            self.tell(answers, answer, (jobs, rows), &mut told)?;
        }
        if !ok && told.iter().all(Option::is_none) {
            let reason = self.reason(answers.first(), answer, &answer.body)?;
            return Ok(Judged::Whole(reason));
        }
        Ok(Judged::Rows(told))
    }

    /// Notes what an answer's items say of their rows.
    pub(super) fn tell(
        &self,
        answers: &AnswersPlan,
        answer: &Answered,
        (jobs, rows): (&[Job], &[DeliveryRow]),
        told: &mut [Option<Told>],
    ) -> Result<()> {
        let Some(from) = &answers.from else { return Ok(()) };
        let items = match from.found(&self.answer_scope(answer))? {
            Some(Value::List(items)) => items,
            Some(item @ Value::Map(_)) => vec![item],
            _ => return Ok(()),
        };
        // A list of another length cannot be tied to the rows: none of them is known to be written.
        if answers.by == TiedBy::Position && items.len() != jobs.len() {
            return Ok(());
        }
        let ok = self.good(answer)?;
        let places = if answers.by == TiedBy::Id { places(jobs, rows) } else { HashMap::new() };
        for (index, item) in items.iter().enumerate() {
            let Some(place) = self.tied(answers, answer, item, index, &places)? else { continue };
            if let (Some(slot), Some(job)) = (told.get_mut(place), jobs.get(place)) {
                *slot = self.told(answers, answer, item, ok, (job, rows))?;
            }
        }
        Ok(())
    }

    /// Whether an answer takes what was sent, as far as it says so of the whole.
    fn good(&self, answer: &Answered) -> Result<bool> {
        Ok((200..300).contains(&answer.status) && !self.refuses(answer.status, &answer.headers, &answer.body)?)
    }

    fn single(&self, answers: &[AnswersPlan], answer: &Answered, jobs: &[Job], rows: &[DeliveryRow]) -> Result<Judged> {
        let ok = self.good(answer)?;
        let (Some(job), Some(answers)) = (jobs.first(), answers.first()) else { return Ok(Judged::Rows(Vec::new())) };
        let item = match &answers.from {
            Some(from) => match from.found(&self.answer_scope(answer))? {
                Some(Value::List(items)) => items.into_iter().next(),
                other => other,
            },
            None => Some(answer.body.clone()),
        };
        // A refusal says its reason in its own place.
        let item = item.filter(|item| !item.is_null()).or_else(|| (!ok).then(|| answer.body.clone()));
        let gone = matches!(answer.status, 404 | 410) && job.remote_id.is_some();
        let told = match item {
            _ if gone => Some(Told::Gone),
            Some(item) => self.told(answers, answer, &item, ok, (job, rows))?,
            None if job.remote_id.is_some() && answers.done.is_none() => Some(Told::Done { remote_id: None, created: None }),
            None => None,
        };
        Ok(Judged::Rows(vec![told]))
    }

    fn answer_scope<'a>(&'a self, answer: &'a Answered) -> Scope<'a> {
        Scope { response: Some(&answer.body), headers: Some(&answer.headers), status: Some(answer.status), ..self.scope() }
    }

    /// The row that an item of an answer is about.
    fn tied(
        &self,
        answers: &AnswersPlan,
        answer: &Answered,
        item: &Value,
        index: usize,
        places: &HashMap<&str, usize>,
    ) -> Result<Option<usize>> {
        let Some(tie) = &answers.tie else { return Ok(Some(index)) };
        let tie = tie.text(&self.answer_scope(answer).with_record(item))?;
        Ok(match answers.by {
            TiedBy::Position => Some(index),
            TiedBy::Index => tie.parse().ok(),
            TiedBy::Id => places.get(tie.as_str()).copied(),
        })
    }

    fn told(
        &self,
        answers: &AnswersPlan,
        answer: &Answered,
        item: &Value,
        ok: bool,
        (job, rows): (&Job, &[DeliveryRow]),
    ) -> Result<Option<Told>> {
        let scope = self.answer_scope(answer).with_record(item);
        let holds = |test: &Option<crate::language::evaluate::Placed>| match test {
            Some(test) => test.test(&scope).map(Some),
            None => Ok(None),
        };
        let done = holds(&answers.done)?.unwrap_or(ok);
        if done {
            let id = answers.id.as_ref().map(|id| id.text(&scope)).transpose()?.filter(|id| !id.is_empty());
            if id.is_none() && job.remote_id.is_none() {
                return Ok(None);
            }
            return Ok(Some(Told::Done { remote_id: id, created: holds(&answers.created)? }));
        }
        if holds(&answers.conflict)?.unwrap_or(answer.status == PRECONDITION_FAILED) {
            return Ok(Some(Told::Conflict));
        }
        let reason = self.ours(&self.reason(Some(answers), answer, item)?, job);
        let reason = blaming(hidden(&reason, job, rows), job.fields.keys());
        Ok(Some(if holds(&answers.retry)? == Some(true) { Told::Later(reason) } else { Told::Refused(reason) }))
    }

    /// A reason with the field at fault as the project calls it, where it was sent under another name.
    fn ours(&self, reason: &str, job: &Job) -> String {
        let Some((field, said)) = reason.split_once(": ").filter(|(field, _)| !job.fields.contains_key(*field)) else {
            return reason.to_owned();
        };
        let sent_as = |name: &&String| {
            let at = self.plan.fields.get(*name).and_then(|plan| plan.at.as_deref());
            at == Some(field) || at.is_none() && name.rsplit('.').next() == Some(field)
        };
        match job.fields.keys().find(sent_as) {
            Some(name) => format!("{name}: {said}"),
            None => reason.to_owned(),
        }
    }

    /// Why a row was refused, in the remote's words.
    fn reason(&self, answers: Option<&AnswersPlan>, answer: &Answered, item: &Value) -> Result<String> {
        let scope = self.answer_scope(answer).with_record(item);
        let text = |expr: Option<&crate::language::evaluate::Placed>| -> Result<Option<String>> {
            Ok(expr.map(|expr| expr.text(&scope)).transpose()?.filter(|text| !text.is_empty()))
        };
        let reason = text(answers.and_then(|answers| answers.reason.as_ref()))?;
        let reason = reason.unwrap_or_else(|| format!("the remote refused it with status {} and no reason", answer.status));
        Ok(match text(answers.and_then(|answers| answers.field.as_ref()))? {
            Some(field) => format!("{field}: {reason}"),
            None => reason,
        })
    }
}

/// A reason with the field at fault before it, where the remote names one alone of those that were sent, and only in passing.
fn blaming<'a>(reason: String, sent: impl Iterator<Item = &'a String>) -> String {
    let words: HashSet<&str> = reason.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let last = |field: &'a String| field.rsplit('.').next().unwrap_or_default();
    let named: Vec<&String> = sent.filter(|field| words.contains(last(field))).collect();
    match named.as_slice() {
        [field] if is_telling(last(field)) && !blames(&reason) => format!("{field}: {reason}"),
        _ => reason,
    }
}

/// Whether a reason begins with the field at fault.
fn blames(reason: &str) -> bool {
    let name = |c: char| c.is_alphanumeric() || "_.@-".contains(c);
    reason.split_once(": ").is_some_and(|(field, _)| !field.is_empty() && field.split(", ").all(|field| field.chars().all(name)))
}

/// Whether a word is a field's name and none of a sentence: `name` and `title` are both.
fn is_telling(word: &str) -> bool {
    let inner = |c: char| c == '_' || c.is_ascii_digit() || c.is_uppercase();
    matches!(word, "email" | "phone") || word.chars().skip(1).any(inner)
}

/// Where the job of a row stands, by our id of the row and the remote's.
fn places<'a>(jobs: &'a [Job], rows: &'a [DeliveryRow]) -> HashMap<&'a str, usize> {
    let ours = |job: &Job| rows.get(job.place).map(|row| row.prospect_id.as_str());
    let names = jobs.iter().enumerate().flat_map(|(place, job)| [(ours(job), place), (job.remote_id.as_deref(), place)]);
    names.filter_map(|(name, place)| Some((name.filter(|name| !name.is_empty())?, place))).collect()
}

/// The remote's words without the row's values, which remotes like to repeat.
pub(super) fn hidden(message: &str, job: &Job, rows: &[DeliveryRow]) -> String {
    let mut told = message.to_owned();
    let row = rows.get(job.place);
    let all = row.into_iter().flat_map(|row| row.fields.values()).chain(job.fields.values());
    let mut values: Vec<&str> = all.flatten().map(String::as_str).collect();
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in values.into_iter().filter(|value| value.len() >= MIN_HIDDEN) {
        told = told.replace(value, "…");
    }
    if told.chars().count() > MAX_REASON { told.chars().take(MAX_REASON).chain(['…']).collect() } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_names_one_field_alone_blames_it() {
        for (reason, sent, told) in [
            ("Invalid email address", &["email", "name"][..], "email: Invalid email address"),
            ("Invalid LASTNAME: …", &["attributes.LASTNAME", "email"], "attributes.LASTNAME: Invalid LASTNAME: …"),
            ("last_name is invalid", &["first_name", "last_name"], "last_name: last_name is invalid"),
            ("last_name: is invalid", &["first_name", "last_name"], "last_name: is invalid"),
            ("The name is too long", &["name"], "The name is too long"),
            ("email or mobile_number is needed", &["email", "mobile_number"], "email or mobile_number is needed"),
            ("the remote is full", &["email"], "the remote is full"),
        ] {
            let sent: Vec<String> = sent.iter().map(|field| (*field).to_owned()).collect();
            assert_eq!(blaming(reason.to_owned(), sent.iter()), told);
        }
    }
}
