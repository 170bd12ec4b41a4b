//! The CRM's API: its addresses, its two shapes of a list, and the reasons it gives.

use headwater_sdk::http::header::AUTHORIZATION;
use headwater_sdk::http::{HttpClient, HttpError, HttpSettings, Method, RequestSpec, base_url};
use headwater_sdk::{BuildContext, Error, ErrorKind, Removal, Result};
use serde_json::{Map, Value, json};

use super::config::{Object, SinkConfig};

/// Records per page: the CRM needs some two seconds for them.
const PAGE: usize = 500;
/// Records by which pages overlap, so that a page shows whether it follows on the one before.
const OVERLAP: usize = 10;
/// Pages of one reading of a list: half a million records.
const MAX_PAGES: usize = 1_000;
/// How often a list that changes while it is read is begun anew.
const MAX_READS: usize = 3;
/// Characters of a reason.
const MAX_REASON: usize = 300;

/// A record as the CRM gives it.
pub(super) type Record = Map<String, Value>;

/// The API of one organisation.
#[derive(Debug)]
pub(super) struct Client {
    http: HttpClient,
    object: Object,
}

/// A custom field that the organisation has made.
pub(super) struct Custom {
    pub(super) key: String,
    pub(super) label: String,
    pub(super) of_type: String,
}

/// A page of one list, and how many records the list has.
struct Half {
    records: Vec<Record>,
    count: u64,
}

/// What a request did to a record.
pub(super) enum Answer {
    /// Done, on the record with this id.
    Done(String),
    /// Refused, with the reason.
    Refused(String),
    /// There is no such record.
    Gone,
}

impl Client {
    /// How many requests were sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.http.sent()
    }

    /// How many were sent today with this credential, by all processes.
    pub(super) fn sent_today(&self) -> Option<u64> {
        self.http.sent_today()
    }

    pub(super) fn new(config: &SinkConfig, cx: &BuildContext) -> Result<Self> {
        let token = cx.secret(&config.token)?;
        let bearer = format!("Bearer {}", token.expose_str());
        let settings = HttpSettings::new(base_url(&config.url)?, cx).secret_header(AUTHORIZATION, &bearer)?;
        Ok(Self { http: HttpClient::new(settings)?, object: config.object })
    }

    fn list_path(&self) -> &'static str {
        match self.object {
            Object::Contacts => "/api/contacts/",
            Object::Leads | Object::Intake => "/api/leads/",
            Object::Accounts => "/api/accounts/",
            Object::Tasks => "/api/tasks/",
        }
    }

    fn record_path(&self) -> &'static str {
        match self.object {
            Object::Contacts => "/api/contacts/{id}/",
            Object::Leads | Object::Intake => "/api/leads/{id}/",
            Object::Accounts => "/api/accounts/{id}/",
            Object::Tasks => "/api/tasks/{id}/",
        }
    }

    /// Posts a lead to a lead webhook; what came of it, and the lead's id. May be repeated: the CRM knows the id in it.
    pub(super) async fn take_in(&self, intake: &str, body: Record) -> Result<(String, String)> {
        let request = RequestSpec::post("/api/public/leads/{id}/", Value::Object(body)).param("id", intake).idempotent(true);
        let answer = self.http.json(&request).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::new(ErrorKind::Config, "the CRM has no lead webhook of this id, or it is switched off")
                .context("path", "intake_id")
                .hint("write the id that stands in the webhook's address: Settings, Lead webhooks"),
            _ => error,
        })?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        text("result").zip(text("lead")).ok_or_else(|| self.unexpected("POST"))
    }

    /// One small request that shows that the address, the token and the list are right.
    pub(super) async fn probe(&self) -> Result<()> {
        self.page(None, 0, 1).await.map(drop)
    }

    /// Shows every record that the filter lets through to `visit`, some perhaps twice. The CRM may let through more than asked.
    ///
    /// # Errors
    /// `Unavailable` when so much is deleted meanwhile that a record could be missed, and made again.
    pub(super) async fn each(&self, filter: Option<(&str, &str)>, mut visit: impl FnMut(&Record)) -> Result<()> {
        for _ in 0..MAX_READS {
            if self.read(filter, &mut visit).await? {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "the CRM's list shrinks faster than it can be read")
            .hint("run again when nobody cleans up there, or set `id_field: cf_KEY`, which needs no reading of the whole list"))
    }

    /// Reads the list once; false when records may have been missed.
    ///
    /// The CRM pages by offset, so what is deleted meanwhile moves later records to pages read already. Each page must therefore
    /// show the last record of the page before; all that follow it are then on this page or on later ones.
    async fn read(&self, filter: Option<(&str, &str)>, visit: &mut impl FnMut(&Record)) -> Result<bool> {
        let mut offset = 0;
        let mut anchors: [Option<Value>; 2] = [None, None];
        for _ in 0..MAX_PAGES {
            let (mut more, mut longest) = (false, 0);
            let halves = self.page(filter, offset, PAGE).await?;
            for (half, anchor) in halves.iter().zip(&mut anchors) {
                let follows = |last: &Value| half.records.iter().any(|record| record.get("id") == Some(last));
                if anchor.take().is_some_and(|last| !follows(&last)) {
                    return Ok(false);
                }
                half.records.iter().for_each(&mut *visit);
                if u64::try_from(offset + half.records.len()).is_ok_and(|end| end < half.count) {
                    more = true;
                    longest = longest.max(half.records.len());
                    *anchor = half.records.last().and_then(|record| record.get("id").cloned());
                }
            }
            if !more {
                return Ok(true);
            }
            if longest <= OVERLAP {
                return Ok(false);
            }
            offset += longest - OVERLAP;
        }
        Err(Error::new(ErrorKind::Unsupported, "the CRM has more records than we read through to find one")
            .hint("make a custom text field and set `id_field: cf_KEY`, which the CRM can search"))
    }

    /// A page of contacts or tasks; or of leads or accounts, where the open and the closed are paged side by side.
    async fn page(&self, filter: Option<(&str, &str)>, offset: usize, limit: usize) -> Result<Vec<Half>> {
        let mut request =
            RequestSpec::get(self.list_path()).query("limit", limit.to_string()).query("offset", offset.to_string());
        if let Some((name, value)) = filter {
            request = request.query(name, value);
        }
        if self.object == Object::Tasks {
            // Without the lists that a form for tasks needs.
            request = request.query("slim", "true");
        }
        let mut answer = self.http.json(&request).await.map_err(no_crm)?;
        let halves = match self.object {
            Object::Contacts => half(&mut answer, "results", "count").map(|half| vec![half]),
            Object::Tasks => half(&mut answer, "tasks", "tasks_count").map(|half| vec![half]),
            Object::Leads | Object::Intake => {
                ["open_leads", "close_leads"].into_iter().map(|name| half(answer.get_mut(name)?, name, "leads_count")).collect()
            }
            Object::Accounts => [
                ("active_accounts", "open_accounts", "open_accounts_count"),
                ("closed_accounts", "close_accounts", "close_accounts_count"),
            ]
            .into_iter()
            .map(|(half_name, list, count)| half(answer.get_mut(half_name)?, list, count))
            .collect(),
        };
        halves.ok_or_else(|| self.unexpected("GET"))
    }

    /// The record with this id, if it is there and the token's user may see it.
    pub(super) async fn get(&self, id: &str) -> Result<Option<Record>> {
        let wrapper = match self.object {
            Object::Contacts => "contact_obj",
            Object::Leads | Object::Intake => "lead_obj",
            Object::Accounts => "account_obj",
            Object::Tasks => "task_obj",
        };
        match self.http.json(&RequestSpec::get(self.record_path()).param("id", id)).await {
            Ok(mut answer) => match answer.get_mut(wrapper).map(Value::take) {
                Some(Value::Object(record)) => Ok(Some(record)),
                _ => Err(self.unexpected("GET")),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a record. A task's id is not told: it is empty.
    pub(super) async fn create(&self, body: Record) -> Result<Answer> {
        let answer = self.http.json(&RequestSpec::post(self.list_path(), Value::Object(body))).await;
        let answer = match answer {
            Ok(answer) if refused(&answer) => return Ok(Answer::Refused(reason(&answer))),
            Ok(answer) => answer,
            Err(error) => return refusal(error).map(Answer::Refused).map_err(no_crm),
        };
        if self.object == Object::Tasks {
            return Ok(Answer::Done(String::new()));
        }
        let id = answer.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        id.map(|id| Answer::Done(id.to_owned())).ok_or_else(|| self.unexpected("POST"))
    }

    pub(super) async fn change(&self, id: &str, body: Record) -> Result<Answer> {
        let request = RequestSpec::patch(self.record_path(), Value::Object(body)).param("id", id);
        match self.http.json(&request).await {
            Ok(answer) if refused(&answer) => Ok(Answer::Refused(reason(&answer))),
            Ok(_) => Ok(Answer::Done(id.to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Answer::Gone),
            Err(error) => refusal(error).map(Answer::Refused),
        }
    }

    /// Deletes the record with this id.
    pub(super) async fn delete(&self, id: &str) -> Result<Answer> {
        let request = RequestSpec::new(Method::DELETE, self.record_path()).param("id", id);
        match self.http.send(&request).await.map(|answer| answer.json::<Value>().unwrap_or_default()) {
            Ok(answer) if refused(&answer) => Ok(Answer::Refused(reason(&answer))),
            Ok(_) => Ok(Answer::Done(id.to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Answer::Gone),
            Err(error) => refusal(error).map(Answer::Refused),
        }
    }

    /// Deletes the records with these ids, one by one.
    pub(super) async fn remove(&self, ids: &[String]) -> Result<Vec<Removal>> {
        let mut removals = Vec::with_capacity(ids.len());
        for id in ids {
            removals.push(match self.delete(id).await? {
                Answer::Done(_) => Removal::Removed,
                Answer::Gone => Removal::Gone,
                Answer::Refused(reason) => Removal::Refused { reason },
            });
        }
        Ok(removals)
    }

    /// What the CRM calls the object where it defines fields.
    fn model(&self) -> &'static str {
        match self.object {
            Object::Contacts => "Contact",
            Object::Leads | Object::Intake => "Lead",
            Object::Accounts => "Account",
            Object::Tasks => "Task",
        }
    }

    /// Makes a custom text field of the object.
    pub(super) async fn make_custom_field(&self, key: &str) -> Result<()> {
        let body = json!({ "target_model": self.model(), "key": key, "label": "Headwater id", "field_type": "text" });
        match self.http.json(&RequestSpec::post("/api/custom-fields/", body)).await {
            Ok(answer) if refused(&answer) => {
                Err(Error::new(ErrorKind::Config, "the CRM does not make the field that `id_field` names")
                    .context("reason", reason(&answer)))
            }
            Ok(_) => Ok(()),
            // Another run may have been faster. One that made it at the same moment is answered with 500.
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                let is_there = self.custom_fields().await?.iter().any(|custom| custom.key == key);
                if is_there { Ok(()) } else { Err(error) }
            }
            // Whether it is there now is looked at next.
            Err(error) => refusal(error).map(drop),
        }
    }

    /// The custom fields that the object has.
    pub(super) async fn custom_fields(&self) -> Result<Vec<Custom>> {
        let model = self.model();
        let request = RequestSpec::get("/api/custom-fields/").query("target_model", model);
        let answer = self.http.json(&request).await.map_err(no_crm)?;
        let definitions = answer.get("definitions").and_then(Value::as_array).ok_or_else(|| self.unexpected("GET"))?;
        let custom = |definition: &Value| {
            let text = |name| definition.get(name).and_then(Value::as_str).map(str::to_owned);
            // Verified here too: an unknown filter would be ignored.
            let usable = text("target_model")? == model && definition.get("is_active")?.as_bool()?;
            usable.then_some(Custom { key: text("key")?, label: text("label")?, of_type: text("field_type")? })
        };
        Ok(definitions.iter().filter_map(custom).collect())
    }

    fn unexpected(&self, method: &'static str) -> Error {
        Error::new(ErrorKind::Protocol, "the CRM answered something else than BottleCRM 1.35 does")
            .context("request", format!("{method} {}", self.list_path()))
            .hint("check that `url` is the address of BottleCRM's API, and its version")
    }
}

fn half(answer: &mut Value, list: &str, count: &str) -> Option<Half> {
    let count = answer.get(count)?.as_u64()?;
    let Some(Value::Array(records)) = answer.get_mut(list).map(Value::take) else { return None };
    let record = |record| if let Value::Object(record) = record { Some(record) } else { None };
    Some(Half { records: records.into_iter().map(record).collect::<Option<_>>()?, count })
}

/// A list that is not there means that no CRM is.
fn no_crm(error: Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    Error::new(ErrorKind::Config, "there is no BottleCRM at this address")
        .hint("set `url` to where its API is, without `/api`")
        .source(error)
}

/// The reason behind an error that is about the row; any other error as it is.
pub(super) fn refusal(error: Error) -> Result<String> {
    match (error.kind(), HttpError::of(&error)) {
        (ErrorKind::Rejected | ErrorKind::Conflict, Some(answer)) => {
            let body = serde_json::from_str(answer.excerpt()).unwrap_or_default();
            Ok(reason(&body))
        }
        _ => Err(error),
    }
}

/// The CRM can answer 200 and say in the body that it failed.
fn refused(answer: &Value) -> bool {
    answer.get("error").and_then(Value::as_bool).unwrap_or(false)
}

/// The fields at fault and what is wrong with them, without the values that the CRM quotes.
fn reason(body: &Value) -> String {
    let mut parts = Vec::new();
    let told = body.get("errors").or_else(|| body.get("detail")).unwrap_or(body);
    collect("", told, &mut parts);
    if parts.is_empty() {
        return "the CRM refused the row and gave no reason".to_owned();
    }
    let text = parts.join("; ");
    if text.chars().count() <= MAX_REASON { text } else { text.chars().take(MAX_REASON).chain(['…']).collect() }
}

fn collect(path: &str, value: &Value, parts: &mut Vec<String>) {
    match value {
        Value::String(message) if path.is_empty() => parts.push(unquoted(message)),
        Value::String(message) => parts.push(format!("{path}: {}", unquoted(message))),
        Value::Array(values) => values.iter().for_each(|value| collect(path, value, parts)),
        Value::Object(values) => {
            for (name, value) in values {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(&path, value, parts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A message without what stands in double quotes: there the CRM repeats the value.
fn unquoted(message: &str) -> String {
    let (mut shown, mut rest) = (String::new(), message);
    while let Some((before, quoted)) = rest.split_once(['"', '“']) {
        shown.push_str(before);
        shown.push('…');
        // A value may hold quotes itself, so everything up to the last one goes.
        rest = quoted.rsplit_once(['"', '”']).map_or("", |(_, after)| after);
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reason_names_fields_and_messages_but_no_values() {
        let body = json!({ "error": true, "errors": {
            "country": ["\"Ada \"the\" Example\" is not a valid choice."],
            "account": ["“ada@example.com” is not a valid UUID."],
            "custom_fields": { "score": "must be a number" },
        }});
        let expected =
            "account: … is not a valid UUID.; country: … is not a valid choice.; custom_fields.score: must be a number";
        let told = reason(&body);
        let mut parts: Vec<&str> = told.split("; ").collect();
        parts.sort_unstable();
        assert_eq!(parts.join("; "), expected);
        assert_eq!(reason(&json!({ "detail": "no" })), "no");
        assert_eq!(
            reason(&json!({ "error": true, "errors": "A lead with these details already exists." })),
            "A lead with these details already exists."
        );
        assert_eq!(reason(&Value::Null), "the CRM refused the row and gave no reason");
        assert_eq!(reason(&json!({ "a": "x".repeat(900) })).chars().count(), MAX_REASON + 1);
    }
}
