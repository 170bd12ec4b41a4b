//! The fields that the remote has, and those that are made there on request.

use std::time::Duration;

use headwater_sdk::{Error, ErrorKind, Result};

use super::DeclarativeSink;
use super::records::Answered;
use crate::engine::{Evaluate as _, Map, Scope, Value};
use crate::language::compile::MakeFieldPlan;

/// Fields of a remote: names, and what people call them.
type Fields = Vec<(String, String)>;

/// What is known of the remote's fields.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// Those that there are, as far as the remote tells, and those to be made.
    pub(super) fields: Fields,
    /// Those that the user wants to be made, and that the remote lacks; the one for our id first.
    pub(super) to_make: Vec<String>,
}

/// How long to wait between two questions whether a field is made, and how many there are at most.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(5);
const MAX_QUESTIONS: u32 = 60;

/// Why a field was not made.
struct NotMade {
    /// Which of the steps was refused, from 0.
    step: usize,
    status: u16,
    reason: String,
}

impl DeclarativeSink {
    /// The remote's fields, as far as it tells, with those that the user wants to be made. Nothing is made yet.
    pub(super) async fn describe(&self) -> Result<Described> {
        let Some(describe) = &self.plan.describe else {
            let fields = if self.plan.other_fields { Vec::new() } else { self.declared() };
            return Ok(Described { fields, to_make: Vec::new() });
        };
        let (answer, fields) = self.read_fields(describe).await?;
        let mut described = Described { fields, to_make: Vec::new() };
        let make = self.plan.make_field.as_ref();
        if !self.keeps_our_id(&described.fields) {
            let lacking = Error::new(ErrorKind::Config, self.lacking(&self.plan.external_id));
            let by_hand = describe.by_hand.as_ref().map(|hint| hint.text(&self.scope())).transpose()?;
            let by_hand = by_hand.unwrap_or_else(|| "make it as the connector's README says".to_owned());
            let Some(make) = make else { return Err(lacking.hint(by_hand)) };
            if let Some(error) = self.named_by_the_remote(make, &answer)? {
                return Err(error);
            }
            if !make.when.test(&self.scope())? {
                return Err(lacking.hint("set `create_id_field: true`, or make it as the connector's README says"));
            }
            if make.named.is_none() {
                described.fields.push(to_be_made(&self.plan.external_id));
            }
            described.to_make.push(self.plan.external_id.clone());
        }
        let Some(also) = make.and_then(|make| make.also.as_ref()) else { return Ok(described) };
        let wanted = also.found(&self.scope())?.as_ref().and_then(Value::as_list).map(<[Value]>::to_vec).unwrap_or_default();
        for name in wanted.iter().map(Value::to_plain).filter(|name| !name.is_empty()) {
            if !described.fields.iter().any(|(known, _)| *known == name) && !self.plan.fields.contains_key(&name) {
                described.fields.push(to_be_made(&name));
                described.to_make.push(name);
            }
        }
        Ok(described)
    }

    /// Makes what is lacking.
    pub(super) async fn make_all(&self, to_make: &[String]) -> Result<()> {
        let (Some(describe), Some(make)) = (&self.plan.describe, &self.plan.make_field) else { return Ok(()) };
        for name in to_make {
            let is_id = *name == self.plan.external_id;
            let refused = self.make(make, name, is_id).await?;
            let (answer, fields) = self.read_fields(describe).await?;
            let lacking = Error::new(ErrorKind::Config, self.lacking(name));
            if !is_id {
                match fields.iter().any(|(known, _)| known == name) {
                    true => continue,
                    false => return Err(unmade(lacking, refused)),
                }
            }
            if let Some(error) = self.named_by_the_remote(make, &answer)? {
                return Err(error);
            }
            // What was refused at once may be there all the same: another run was faster.
            match refused {
                Some(NotMade { step: 0, .. }) | None if self.keeps_our_id(&fields) => {}
                refused => return Err(unmade(lacking, refused)),
            }
        }
        Ok(())
    }

    /// What people are told of a field that is to be made.
    pub(super) fn called(&self, name: &str) -> String {
        let is_named_there = self.plan.make_field.as_ref().is_some_and(|make| make.named.is_some());
        match *name == self.plan.external_id && is_named_there {
            true => "one that keeps our id, which the remote names and the sync then tells".to_owned(),
            false => name.to_owned(),
        }
    }

    /// The fields that the file tells a user of.
    pub(super) fn declared(&self) -> Fields {
        let own = |name: &String| *name != self.plan.external_id && Some(name) != self.plan.changed_at.as_ref();
        let fields = self.plan.fields.iter().filter(|(name, _)| own(name));
        fields.filter_map(|(name, field)| Some((name.clone(), field.about.clone()?))).collect()
    }

    fn lacking(&self, name: &str) -> String {
        match name == self.plan.external_id {
            true if name.is_empty() => "no field of the remote is named to keep our id".to_owned(),
            true => format!("the remote has no field `{name}` to keep our id"),
            false => format!("the remote has no field `{name}`"),
        }
    }

    async fn read_fields(&self, describe: &crate::language::compile::DescribePlan) -> Result<(Option<Answered>, Fields)> {
        let answer = self.ask("description", &describe.request, &[]).await?;
        let mut fields = Vec::new();
        for record in self.listed(answer.as_ref(), &describe.from)? {
            let scope = self.scope().with_record(&record);
            if let Some(filter) = &describe.filter
                && !filter.test(&scope)?
            {
                continue;
            }
            let label = describe.label.as_ref().map(|label| label.text(&scope)).transpose()?.unwrap_or_default();
            fields.push((describe.name.text(&scope)?, label));
        }
        Ok((answer, fields))
    }

    /// The remote has the field under a name of its own, which the settings must hold.
    fn named_by_the_remote(&self, make: &MakeFieldPlan, answer: &Option<Answered>) -> Result<Option<Error>> {
        let (Some((is, setting)), Some(answer)) = (&make.named, answer) else { return Ok(None) };
        let scope = Scope { response: Some(&answer.body), status: Some(answer.status), ..self.scope() };
        let name = is.text(&scope)?;
        Ok((!name.is_empty()).then(|| {
            let message = format!("the field that keeps our id is called `{name}` by the remote");
            Error::new(ErrorKind::Config, message).context("path", setting.clone()).hint(format!("write `{setting}: {name}`"))
        }))
    }

    /// Makes a field; what was refused, where it was.
    async fn make(&self, make: &MakeFieldPlan, name: &str, is_id: bool) -> Result<Option<NotMade>> {
        let mut known: Map = [("name", Value::text(name)), ("is_id", Value::Bool(is_id))].into_iter().collect();
        for (step, plan) in make.steps.iter().enumerate() {
            let field = Value::Map(known.clone());
            let more = [("field", &field)];
            if let Some(when) = &plan.when
                && !when.test(&Scope { more: &more, ..self.scope() })?
            {
                continue;
            }
            let mut left = MAX_QUESTIONS;
            let asked = loop {
                let asked = self.executor.ask(&plan.request, &more, plan.until.is_none()).await?;
                let scope = Scope { response: Some(&asked.body), headers: Some(&asked.headers), more: &more, ..self.scope() };
                left -= 1;
                match &plan.until {
                    Some(until) if !until.test(&scope)? && left > 0 => self.executor.wait(BETWEEN_QUESTIONS).await,
                    _ => break asked,
                }
            };
            let scope = Scope {
                response: Some(&asked.body),
                headers: Some(&asked.headers),
                status: Some(asked.status),
                more: &more,
                ..self.scope()
            };
            let done = plan.until.as_ref().map_or(Ok(true), |until| until.test(&scope))?;
            if !done || !(200..300).contains(&asked.status) || self.refuses(asked.status, &asked.headers, &asked.body)? {
                let reason = plan.reason.as_ref().map(|reason| reason.text(&scope)).transpose()?.unwrap_or_default();
                let reason = if done { reason } else { "it is not done yet".to_owned() };
                return Ok(Some(NotMade { step, status: asked.status, reason }));
            }
            for (name, value) in &plan.give {
                if let Some(value) = value.found(&scope)?.filter(|value| !value.is_null()) {
                    known.insert(name.as_str(), value);
                }
            }
        }
        Ok(None)
    }
}

fn to_be_made(name: &str) -> (String, String) {
    (name.to_owned(), "made when a sync begins".to_owned())
}

fn unmade(lacking: Error, refused: Option<NotMade>) -> Error {
    let hint = "it was asked to make the field and did not: make it as the connector's README says";
    let Some(NotMade { status, reason, .. }) = refused else { return lacking.hint(hint) };
    lacking.context("status", status.to_string()).context("reason", reason).hint(hint)
}
