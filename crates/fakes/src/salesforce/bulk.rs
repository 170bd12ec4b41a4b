//! Jobs of Bulk API 2.0: made, filled, closed, worked on, asked for what became of each row.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Refusal, Salesforce, failure};
use crate::call::text;
use crate::{Answer, Call, Conditions};

/// Rows of one page of results, so that there are several.
const PAGE: usize = 1_000;
/// What clears a field.
const CLEARED: &str = "#N/A";

/// A job.
#[derive(Debug)]
pub(super) struct Job {
    id: String,
    object: &'static str,
    operation: String,
    by: String,
    state: &'static str,
    /// How often its state is asked for before it is done.
    asked: u64,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    good: Vec<Vec<String>>,
    bad: Vec<Vec<String>>,
}

impl Job {
    pub(super) fn is_done(&self) -> bool {
        self.state == "JobComplete"
    }

    fn shown(&self) -> Value {
        json!({ "id": self.id, "operation": self.operation, "object": self.object, "state": self.state, "contentType": "CSV",
                "contentUrl": format!("services/data/v62.0/jobs/ingest/{}/batches", self.id),
                "numberRecordsProcessed": self.good.len() + self.bad.len(), "numberRecordsFailed": self.bad.len() })
    }
}

impl Salesforce {
    pub(super) fn bulk(&mut self, rest: &[&str], call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let body = call.json();
        if let ("POST", []) = (call.method.as_str(), rest) {
            let operation = text(&body, "operation");
            let by = text(&body, "externalIdFieldName");
            let fits = operation == "update" || operation == "upsert" && Some(by) == self.external.as_deref();
            let named = self.named(text(&body, "object")).map(|(object, _)| object);
            let Some(object) = named.filter(|_| fits && text(&body, "contentType") == "CSV") else {
                return failure(400, "INVALIDJOB", "the object, the operation or the external id is not known");
            };
            let id = format!("750{:012}", self.jobs.len() + 1);
            let (operation, by) = (operation.to_owned(), by.to_owned());
            let (header, rows, good, bad) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let job = Job { id, object, operation, by, state: "Open", asked: 0, header, rows, good, bad };
            let answer = Answer::json(200, &job.shown());
            self.jobs.push(job);
            return answer;
        }
        let Some(place) = rest.first().and_then(|id| self.jobs.iter().position(|job| job.id == *id)) else {
            return failure(404, "NOT_FOUND", "the job is not known");
        };
        match (call.method.as_str(), rest.get(1..).unwrap_or_default()) {
            ("PUT", ["batches"]) => self.fill(place, call),
            ("PATCH", []) if text(&body, "state") == "UploadComplete" => match self.jobs.get_mut(place) {
                Some(job) if job.state == "Open" => {
                    job.state = "UploadComplete";
                    Answer::json(200, &job.shown())
                }
                _ => failure(400, "INVALIDJOBSTATE", "Invalid job state"),
            },
            ("GET", []) => self.state_of(place, conditions, now_us),
            ("GET", ["successfulResults"]) => self.results(place, true, call),
            ("GET", ["failedResults"]) => self.results(place, false, call),
            ("GET", ["unprocessedrecords"]) => Answer::json(200, &Value::Null),
            _ => failure(404, "NOT_FOUND", "The requested resource does not exist"),
        }
    }

    fn fill(&mut self, place: usize, call: &Call) -> Answer {
        let wrong = || failure(400, "INVALIDBATCH", "the content is not CSV, or there is some already");
        let csv = std::str::from_utf8(&call.body).ok().and_then(read);
        let Some((job, mut lines)) = self.jobs.get_mut(place).zip(csv) else { return wrong() };
        let typed = call.header("content-type").is_some_and(|kind| kind.starts_with("text/csv"));
        if !typed || job.state != "Open" || !job.rows.is_empty() || lines.is_empty() {
            return wrong();
        }
        job.header = lines.remove(0);
        job.rows = lines;
        Answer::empty(201)
    }

    /// A job is worked on at the second question.
    fn state_of(&mut self, place: usize, conditions: &Conditions, now_us: i64) -> Answer {
        let Some(job) = self.jobs.get_mut(place) else { return failure(404, "NOT_FOUND", "the job is not known") };
        job.asked += 1;
        if job.state == "UploadComplete" && job.asked > 1 {
            job.state = "JobComplete";
            let (header, rows, by, update, object) =
                (job.header.clone(), std::mem::take(&mut job.rows), job.by.clone(), job.operation == "update", job.object);
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            for row in rows {
                match self.line((object, &header), &row, (!update).then_some(by.as_str()), conditions, now_us) {
                    Ok((id, created)) => good.push([vec![id, created.to_string()], row].concat()),
                    Err((code, message, fields)) => {
                        let told = format!("{code}:{message}:{} --", fields.join(", "));
                        bad.push([vec![String::new(), told], row].concat());
                    }
                }
            }
            if let Some(job) = self.jobs.get_mut(place) {
                (job.good, job.bad) = (good, bad);
                return Answer::json(200, &job.shown()).wrote();
            }
        }
        self.jobs.get(place).map_or_else(|| Answer::empty(404), |job| Answer::json(200, &job.shown()))
    }

    fn line(
        &mut self,
        (object, header): (&'static str, &[String]),
        row: &[String],
        by: Option<&str>,
        conditions: &Conditions,
        now_us: i64,
    ) -> Result<(String, bool), Refusal> {
        let mut cells: BTreeMap<&str, &str> = header.iter().map(String::as_str).zip(row.iter().map(String::as_str)).collect();
        let id = cells.remove("Id").unwrap_or_default();
        let value = |name: &str, cell: &str| match (name, cell) {
            (_, CLEARED) => Value::Null,
            ("HasOptedOutOfEmail", cell) => json!(cell == "true"),
            (_, cell) => json!(cell),
        };
        let given = cells.iter().filter(|(_, cell)| !cell.is_empty());
        let values: Map<String, Value> = given.map(|(name, cell)| ((*name).to_owned(), value(name, cell))).collect();
        self.apply(object, (&values.into(), by.ok_or(id)), (conditions, false), now_us)
    }

    fn results(&self, place: usize, good: bool, call: &Call) -> Answer {
        let Some(job) = self.jobs.get(place).filter(|job| job.is_done()) else {
            return failure(400, "INVALIDJOBSTATE", "the job is not done");
        };
        let rows = if good { &job.good } else { &job.bad };
        let from: usize = call.parameter("locator").and_then(|locator| locator.parse().ok()).unwrap_or(0);
        let first = if good { ["sf__Id", "sf__Created"] } else { ["sf__Id", "sf__Error"] };
        let header: Vec<String> = first.iter().map(|name| (*name).to_owned()).chain(job.header.iter().cloned()).collect();
        let mut text = written(&header);
        rows.iter().skip(from).take(PAGE).for_each(|row| text.push_str(&written(row)));
        let next = if from + PAGE < rows.len() { (from + PAGE).to_string() } else { "null".to_owned() };
        Answer { body: text, ..Answer::empty(200) }.with("sforce-locator", next)
    }
}

/// A line of CSV.
fn written(cells: &[String]) -> String {
    let cell = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
    cells.iter().map(cell).collect::<Vec<_>>().join(",") + "\n"
}

/// The lines of CSV, with quotes as RFC 4180 has them.
fn read(text: &str) -> Option<Vec<Vec<String>>> {
    let (mut lines, mut line, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            '\r' if !quoted => {}
            other => cell.push(other),
        }
    }
    let width = lines.first().map_or(0, Vec::len);
    (!quoted && cell.is_empty() && line.is_empty() && lines.iter().all(|line: &Vec<String>| line.len() == width)).then_some(lines)
}
