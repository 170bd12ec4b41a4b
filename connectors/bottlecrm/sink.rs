//! Rows into the CRM, one outcome each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use headwater_sdk::sink::{EXTERNAL_ID, MOVED};
use headwater_sdk::{
    BuildContext, DeliveryRow, Error, ErrorKind, Lookup, MatchKey, Operation, Pace, RemoteRecord, Removal, Result, Retry,
    RowOutcome, Sink, SinkCapability, WriteReport, Writes,
};

use super::client::{Answer, Client, Record};
use super::config::{IdField, Object, SinkConfig};
use super::fields::{ACCOUNT_OF_CONTACT, CHANGED_AT, Field, Kind, body, built_in, read, same};

/// Rows go one by one, at some ten a second; a call should be over in less than a minute.
pub(super) const MAX_ROWS: usize = 200;
/// What one client gets done, as measured: the CRM names no limit for these calls.
pub(super) const CALLS_A_SECOND: u32 = 10;
/// So many failures one after the other mean that the CRM is down, and not that a row upsets it.
const MAX_FAILURES: usize = 3;

/// One object of one organisation as a sink.
#[derive(Debug)]
pub(crate) struct BottleCrmSink {
    client: Client,
    object: Object,
    id: IdField,
    create_id_field: bool,
    /// Whether the field for our id is still to be made.
    lacks_id: AtomicBool,
    built_in: BTreeMap<String, Field>,
}

impl BottleCrmSink {
    /// # Errors
    /// `Config` when the address, the token or the id's field cannot be used.
    pub(crate) fn new(config: &SinkConfig, cx: &BuildContext) -> Result<Self> {
        let id = IdField::parse(&config.id_field)?;
        if config.object == Object::Accounts && id == IdField::SourceRef {
            return Err(Error::new(ErrorKind::Config, "accounts have no `source_ref` to keep our id")
                .context("path", "id_field")
                .hint("set `id_field: cf_KEY`, and make a custom text field of that key for contacts and for accounts"));
        }
        let (object, create_id_field) = (config.object, config.create_id_field);
        Ok(Self {
            built_in: built_in(object, &id),
            client: Client::new(config, cx)?,
            object,
            create_id_field,
            lacks_id: AtomicBool::new(false),
            id,
        })
    }

    /// The fields that a row may set, with the organisation's own. The one for our id is made only if `make` says so.
    async fn all_fields(&self, make: bool) -> Result<BTreeMap<String, Field>> {
        let mut fields = self.built_in.clone();
        let mut keeps_id = self.id == IdField::SourceRef;
        let mut customs = self.client.custom_fields().await?;
        if let (IdField::Custom(key), true) = (&self.id, self.create_id_field)
            && !customs.iter().any(|custom| custom.key == *key)
        {
            if make {
                self.client.make_custom_field(key).await?;
                customs = self.client.custom_fields().await?;
            }
            (self.lacks_id).store(!make, Ordering::Relaxed);
            keeps_id = !make;
        }
        for custom in customs {
            if self.id == IdField::Custom(custom.key.clone()) {
                keeps_id = custom.of_type == "text";
                continue;
            }
            let kind = match custom.of_type.as_str() {
                "number" => Kind::Number,
                "checkbox" => Kind::Flag,
                _ => Kind::Text,
            };
            let about = format!("{} (custom {} field)", custom.label, custom.of_type);
            fields.insert(format!("cf_{}", custom.key), Field { kind, about });
        }
        if keeps_id {
            return Ok(fields);
        }
        // The CRM drops values of custom fields it does not have without a word, and our id with them.
        Err(Error::new(ErrorKind::Config, "the organisation has no custom text field of the name that `id_field` gives").hint(
            "set `create_id_field: true` with an administrator's token, make the field in the CRM's settings, or set `id_field: source_ref`",
        ))
    }

    /// The fields, checked against those the rows set; the organisation's own are read only if needed.
    async fn fields_for(&self, rows: &[DeliveryRow]) -> Result<BTreeMap<String, Field>> {
        let named: BTreeSet<&String> = rows.iter().flat_map(|row| row.fields.keys()).collect();
        let custom = self.id != IdField::SourceRef || named.iter().any(|name| name.starts_with("cf_"));
        let known = if custom { self.all_fields(true).await? } else { self.built_in.clone() };
        match named.into_iter().find(|name| !known.contains_key(*name)) {
            None => Ok(known),
            // The CRM would ignore it without a word.
            Some(name) => Err(Error::new(ErrorKind::Config, format!("the CRM has no field `{name}` that can be written"))
                .hint(format!("map to one of {}", known.keys().map(String::as_str).collect::<Vec<_>>().join(", ")))),
        }
    }
}

#[async_trait]
impl Sink for BottleCrmSink {
    fn capability(&self) -> SinkCapability {
        SinkCapability { max_rows: MAX_ROWS, lookup: true, calls_per_row: 2 }
    }

    async fn check(&self) -> Result<()> {
        self.client.probe().await?;
        if self.id == IdField::SourceRef { Ok(()) } else { self.all_fields(false).await.map(drop) }
    }

    async fn fields(&self) -> Result<Vec<(String, String)>> {
        Ok(self.all_fields(false).await?.into_iter().map(|(name, field)| (name, field.about)).collect())
    }

    async fn fields_to_make(&self) -> Result<Vec<String>> {
        let IdField::Custom(key) = &self.id else { return Ok(Vec::new()) };
        if !self.create_id_field {
            return Ok(Vec::new());
        }
        self.all_fields(false).await?;
        Ok(if self.lacks_id.load(Ordering::Relaxed) { vec![format!("cf_{key}")] } else { Vec::new() })
    }

    async fn prepare(&self) -> Result<()> {
        if self.create_id_field && self.id != IdField::SourceRef { self.all_fields(true).await.map(drop) } else { Ok(()) }
    }

    async fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        // No record can have our id where there is no field for it.
        let lacks_id = self.lacks_id.load(Ordering::Relaxed);
        let is_looked_for = |key: &&MatchKey| !(key.value.is_empty() || lacks_id && key.field == EXTERNAL_ID);
        let keys = || rows.iter().flatten().filter(is_looked_for);
        let mut hits: HashMap<(&str, String), Hit> = HashMap::new();
        if keys().any(|key| self.filter(key).is_none()) {
            hits = keys().map(|key| (folded(key), Hit::default())).collect();
            self.gather(None, &mut hits).await?;
        } else {
            for keys in rows {
                for key in keys.iter().filter(is_looked_for) {
                    if !hits.contains_key(&folded(key)) {
                        let mut hit = HashMap::from([(folded(key), Hit::default())]);
                        let filter = self.filter(key);
                        self.gather(filter.as_ref().map(|(name, value)| (name.as_str(), *value)), &mut hit).await?;
                        hits.extend(hit);
                    }
                    if hits.get(&folded(key)).is_some_and(|hit| !hit.ids.is_empty()) {
                        break;
                    }
                }
            }
        }
        let answer = |keys: &Vec<MatchKey>| {
            let found = keys.iter().find_map(|key| Some((key, hits.get(&folded(key)).filter(|hit| !hit.ids.is_empty())?)));
            match found {
                None => Lookup::Absent,
                Some((key, hit)) => hit.answer(key, &self.built_in),
            }
        };
        Ok(rows.iter().map(answer).collect())
    }

    async fn fetch(&self, remote_id: &str) -> Result<Option<RemoteRecord>> {
        let record = self.client.get(remote_id).await?;
        Ok(record.map(|record| RemoteRecord {
            remote_id: remote_id.to_owned(),
            fields: read(&record, &self.built_in),
            matched_on: "id".to_owned(),
        }))
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        if rows.is_empty() {
            return WriteReport::new(0, Vec::new());
        }
        let known = self.fields_for(rows).await?;
        let earlier = self.earlier(rows).await?;
        let mut work = OneByOne::default();
        for row in rows {
            if !work.waits() {
                work.note(self.write_row(row, &known, &earlier).await)?;
            }
        }
        work.report(rows.len())
    }

    fn calls_made(&self) -> Option<u64> {
        Some(self.client.sent())
    }

    fn calls_today(&self) -> Option<u64> {
        self.client.sent_today()
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: CALLS_A_SECOND, per: Duration::from_secs(1) })
    }

    fn calls_to_write(&self, writes: Writes) -> usize {
        let Writes { creates, updates, removals, ties: _ } = writes;
        // What is changed is read first; before each part of them the custom fields are.
        let fields = if self.id == IdField::SourceRef { 0 } else { (creates + updates).div_ceil(MAX_ROWS) };
        fields + creates + 2 * updates + removals
    }

    fn changed_at_field(&self) -> Option<&str> {
        Some(CHANGED_AT)
    }

    fn company_field(&self) -> Option<&str> {
        (self.object == Object::Contacts).then_some(ACCOUNT_OF_CONTACT)
    }

    fn removes(&self) -> bool {
        true
    }

    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        self.client.remove(remote_ids).await
    }

    async fn release(&self, remote_id: &str, prospect_id: &str) -> Result<()> {
        let Some(record) = self.client.get(remote_id).await? else { return Ok(()) };
        if self.id.read(&record) != Some(prospect_id) {
            return Ok(());
        }
        let mut body = Record::new();
        self.id.clear(&mut body);
        match self.client.change(remote_id, body).await? {
            Answer::Done(_) | Answer::Gone => Ok(()),
            Answer::Refused(reason) => {
                Err(Error::new(ErrorKind::Rejected, "the CRM keeps our id in the record").context("reason", reason))
            }
        }
    }
}

impl BottleCrmSink {
    /// What earlier attempts at the doubtful creates left behind, by our id.
    async fn earlier<'a>(&self, rows: &'a [DeliveryRow]) -> Result<HashMap<(&'a str, String), Hit>> {
        let doubtful = rows.iter().filter(|row| row.doubtful && row.operation == Operation::Create);
        let mut hits: HashMap<(&str, String), Hit> =
            doubtful.map(|row| ((EXTERNAL_ID, row.prospect_id.clone()), Hit::default())).collect();
        match &self.id {
            _ if hits.is_empty() => {}
            IdField::SourceRef => self.gather(None, &mut hits).await?,
            IdField::Custom(key) => {
                let filter = format!("cf_{key}");
                let ids: Vec<String> = hits.keys().map(|(_, id)| id.clone()).collect();
                for id in ids {
                    self.gather(Some((&filter, &id)), &mut hits).await?;
                }
            }
        }
        Ok(hits)
    }

    async fn write_row(
        &self,
        row: &DeliveryRow,
        known: &BTreeMap<String, Field>,
        earlier: &HashMap<(&str, String), Hit>,
    ) -> Result<RowOutcome> {
        let rejected = |reason: &str| Ok(RowOutcome::Rejected { reason: reason.to_owned() });
        match &row.operation {
            Operation::Update { remote_id } => match self.client.get(remote_id).await? {
                Some(record) => self.change(remote_id, &record, row, known).await,
                None => rejected("the record is gone"),
            },
            Operation::Create => match earlier.get(&(EXTERNAL_ID, row.prospect_id.clone())) {
                Some(Hit { ids, record: Some(record) }) if ids.len() == 1 => {
                    let remote_id = ids.iter().next().map(String::as_str).unwrap_or_default();
                    self.change(remote_id, record, row, known).await
                }
                Some(hit) if !hit.ids.is_empty() => rejected("several records hold our id: merge them in the CRM"),
                Some(_) | None => self.create(row, known).await,
            },
        }
    }

    async fn create(&self, row: &DeliveryRow, known: &BTreeMap<String, Field>) -> Result<RowOutcome> {
        // There is nothing yet that a null could clear.
        let mut body = body(known, row.fields.iter().filter(|(_, value)| value.is_some()));
        self.id.write(&mut body, &row.prospect_id);
        Ok(match self.client.create(body).await? {
            Answer::Done(remote_id) => RowOutcome::Created { remote_id },
            Answer::Refused(reason) => RowOutcome::Rejected { reason },
            Answer::Gone => RowOutcome::Rejected { reason: "the record is gone".to_owned() },
        })
    }

    /// Sends what differs, and our id where the record lacks it. Each change wakes the CRM's automation, so equal values stay home.
    async fn change(
        &self,
        remote_id: &str,
        record: &Record,
        row: &DeliveryRow,
        known: &BTreeMap<String, Field>,
    ) -> Result<RowOutcome> {
        let held = read(record, known);
        let differs = |(name, value): &(&String, &Option<String>)| {
            let kind = known.get(*name).map_or(Kind::Text, |field| field.kind);
            !same(kind, held.get(*name).and_then(Option::as_deref), value.as_deref())
        };
        let mut body = body(known, row.fields.iter().filter(differs));
        if self.id.read(record) != Some(row.prospect_id.as_str()) && !self.id.taken(record) {
            self.id.write(&mut body, &row.prospect_id);
        }
        let remote_id = remote_id.to_owned();
        if body.is_empty() {
            return Ok(RowOutcome::Unchanged { remote_id });
        }
        let holds = |name: &str, value: Option<&str>| {
            let kind = known.get(name).map_or(Kind::Text, |field| field.kind);
            Ok(same(kind, held.get(name).and_then(Option::as_deref), value))
        };
        if row.operation != Operation::Create && row.moved(holds)? {
            return Ok(RowOutcome::Rejected { reason: MOVED.to_owned() });
        }
        Ok(match self.client.change(&remote_id, body).await? {
            Answer::Done(remote_id) => RowOutcome::Updated { remote_id },
            Answer::Refused(reason) => RowOutcome::Rejected { reason },
            Answer::Gone => RowOutcome::Rejected { reason: "the record is gone".to_owned() },
        })
    }

    /// The query that narrows the list to a key's records, where the CRM has one.
    fn filter<'a>(&self, key: &'a MatchKey) -> Option<(String, &'a str)> {
        match (key.field.as_str(), &self.id) {
            ("email", _) if self.object != Object::Accounts => Some(("email".to_owned(), key.value.trim())),
            ("name", _) if self.object == Object::Accounts => Some(("name".to_owned(), key.value.trim())),
            (EXTERNAL_ID, IdField::Custom(custom)) => Some((format!("cf_{custom}"), &key.value)),
            _ => None,
        }
    }

    /// Reads the list, or the part of it that the filter names, and notes the records that hold the wanted values.
    async fn gather<'k>(&self, filter: Option<(&str, &str)>, hits: &mut HashMap<(&'k str, String), Hit>) -> Result<()> {
        let fields: BTreeSet<&'k str> = hits.keys().map(|(field, _)| *field).collect();
        let visit = |record: &Record| {
            let Some(id) = record.get("id").and_then(serde_json::Value::as_str) else { return };
            let cells = read(record, &self.built_in);
            for field in &fields {
                let value = match *field {
                    EXTERNAL_ID => self.id.read(record),
                    field => cells.get(field).and_then(Option::as_deref),
                };
                let Some(value) = value else { continue };
                if let Some(hit) = hits.get_mut(&(*field, fold(field, value))) {
                    hit.ids.insert(id.to_owned());
                    hit.record = Some(record.clone());
                }
            }
        };
        self.client.each(filter, visit).await
    }
}

/// What becomes of rows that are written one by one.
#[derive(Debug, Default)]
pub(super) struct OneByOne {
    outcomes: Vec<RowOutcome>,
    failures: usize,
    written: bool,
    stopped: Option<RowOutcome>,
}

impl OneByOne {
    /// Whether the next row waits for another call; then that is noted of it.
    pub(super) fn waits(&mut self) -> bool {
        self.outcomes.extend(self.stopped.clone());
        self.stopped.is_some()
    }

    /// Notes what became of the next row.
    ///
    /// # Errors
    /// The row's, where it concerns all of them and nothing was written yet.
    pub(super) fn note(&mut self, told: Result<RowOutcome>) -> Result<()> {
        match told {
            Ok(outcome) => {
                self.failures = 0;
                self.written |= !matches!(outcome, RowOutcome::Rejected { .. });
                self.outcomes.push(outcome);
            }
            Err(error) => {
                let passing = matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Protocol);
                if !passing && !self.written {
                    return Err(error);
                }
                // What was written must be reported; an error that stays will end the next call.
                self.failures += 1;
                let limited = error.kind() == ErrorKind::RateLimited;
                let outcome = RowOutcome::Retry { reason: error.to_string(), after: asked(&error) };
                if limited || !passing || self.failures >= MAX_FAILURES {
                    self.stopped = Some(outcome.clone());
                }
                self.outcomes.push(outcome);
            }
        }
        Ok(())
    }

    /// All outcomes, in row order.
    ///
    /// # Errors
    /// When they are not as many as the rows.
    pub(super) fn report(self, rows: usize) -> Result<WriteReport> {
        WriteReport::new(rows, self.outcomes)
    }
}

/// The records that hold one wanted value.
#[derive(Default)]
struct Hit {
    ids: BTreeSet<String>,
    /// One of them.
    record: Option<Record>,
}

impl Hit {
    fn answer(&self, key: &MatchKey, known: &BTreeMap<String, Field>) -> Lookup {
        match (self.ids.iter().next(), &self.record) {
            (Some(id), Some(record)) if self.ids.len() == 1 => {
                Lookup::Found(RemoteRecord { remote_id: id.clone(), fields: read(record, known), matched_on: key.field.clone() })
            }
            _ => Lookup::Ambiguous(self.ids.len()),
        }
    }
}

/// How long the CRM asked us to wait.
fn asked(error: &Error) -> Option<Duration> {
    match error.retry_advice() {
        Retry::After(wait) => Some(wait),
        Retry::Never | Retry::Backoff => None,
    }
}

fn folded(key: &MatchKey) -> (&str, String) {
    (&key.field, fold(&key.field, &key.value))
}

/// The form in which two values are compared: addresses differ by case in spelling only.
fn fold(field: &str, value: &str) -> String {
    // The names of accounts are unique whatever their case; nothing else has a field of that name.
    if field == "email" || field == "name" { value.trim().to_lowercase() } else { value.to_owned() }
}
