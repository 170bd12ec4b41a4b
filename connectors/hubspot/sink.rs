//! Rows into HubSpot, one outcome each.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use headwater_sdk::sink::{EXTERNAL_ID, MOVED};
use headwater_sdk::{
    BuildContext, DeliveryRow, Error, ErrorKind, Fields, Lookup, MatchKey, Operation, Pace, RemoteRecord, Removal, Result,
    RowOutcome, Sink, SinkCapability, WriteReport, Writes,
};
use tokio::sync::OnceCell;

use super::client::{Client, Input, MAX_BATCH, Property, Record, WINDOW, Written};
use super::config::{SinkConfig, Tie};

/// What HubSpot calls the time of a record's last change; no property has this name.
const CHANGED_AT: &str = "updatedAt";

/// One object of one account as a sink.
#[derive(Debug)]
pub(crate) struct HubSpotSink {
    client: Client,
    id_property: String,
    create_id_property: bool,
    create_properties: Vec<String>,
    tie: Option<Tie>,
    pace: Pace,
    /// The account's properties, read once: a sink lives for one run.
    properties: OnceCell<Properties>,
    /// Whether those that it lacked were made.
    made: OnceCell<()>,
}

/// What is known of the account's properties.
#[derive(Debug)]
struct Properties {
    /// Those that there are, and those to be made.
    all: Vec<Property>,
    /// Those that the settings ask for and the account lacks.
    to_make: Vec<String>,
}

impl HubSpotSink {
    /// # Errors
    /// `Config` when the address or the token cannot be used.
    pub(crate) fn new(config: &SinkConfig, cx: &BuildContext) -> Result<Self> {
        let client = Client::new(config, cx)?;
        let pace = Pace { calls: config.requests_per_10s.get(), per: WINDOW };
        Ok(Self {
            client,
            id_property: config.id_property.clone(),
            create_id_property: config.create_id_property,
            create_properties: config.create_properties.clone(),
            tie: config.object.tie(),
            pace,
            properties: OnceCell::new(),
            made: OnceCell::new(),
        })
    }

    /// The account's properties, among them the one that keeps our id, also if it is still to be made.
    async fn properties(&self) -> Result<&[Property]> {
        Ok(&self.known().await?.all)
    }

    async fn known(&self) -> Result<&Properties> {
        self.properties.get_or_try_init(|| self.read_properties()).await
    }

    /// Whether a property is still to be made.
    fn is_to_be_made(&self, name: &str) -> bool {
        let known = self.properties.get().filter(|_| !self.made.initialized());
        known.is_some_and(|known| known.to_make.iter().any(|lacking| lacking == name))
    }

    async fn read_properties(&self) -> Result<Properties> {
        let mut properties = self.client.properties().await?;
        let own = properties.iter().find(|property| property.name == self.id_property);
        let mut lacking: Vec<&str> = match own {
            Some(own) if own.unique => Vec::new(),
            Some(_) => return Err(self.no_place("has no unique values, so that it cannot keep our id")),
            None if self.create_id_property => vec![&self.id_property],
            None => return Err(self.no_place("does not exist")),
        };
        let further = self.create_properties.iter().map(String::as_str);
        lacking.extend(further.filter(|name| !properties.iter().any(|property| property.name == *name)));
        let to_make: Vec<String> = lacking.into_iter().map(str::to_owned).collect();
        properties.extend(to_make.iter().map(|name| Property::to_be_made(name, *name == self.id_property)));
        Ok(Properties { all: properties, to_make })
    }

    async fn make_all(&self, to_make: &[String]) -> Result<()> {
        if to_make.is_empty() {
            return Ok(());
        }
        for name in to_make {
            self.client.make_property(name).await?;
        }
        let there = self.client.properties().await?;
        match to_make.iter().find(|name| !there.iter().any(|property| property.name == **name)) {
            None => Ok(()),
            Some(name) => Err(Error::new(ErrorKind::Config, format!("the property `{name}` was made and is not there"))
                .hint("make it in HubSpot's settings, Properties")),
        }
    }

    fn no_place(&self, why: &str) -> Error {
        Error::new(ErrorKind::Config, format!("the property `{}` {why}", self.id_property)).context("path", "id_property").hint(
            "set `create_id_property: true`, or make a single-line text property with unique values and name it in `id_property`",
        )
    }

    /// The names of the properties to read back.
    async fn readable(&self) -> Result<(Vec<String>, BTreeSet<String>)> {
        let properties = self.properties().await?;
        let unique = properties.iter().filter(|property| property.unique || property.name == "email");
        let unique = unique.map(|property| property.name.clone()).collect();
        let writable = properties.iter().filter(|property| property.writable() && !self.is_to_be_made(&property.name));
        let mut names: Vec<String> = writable.map(|property| property.name.clone()).collect();
        if let Some(tie) = self.tie.filter(|tie| tie.is_property && !names.iter().any(|name| name == tie.field)) {
            names.push(tie.field.to_owned());
        }
        Ok((names, unique))
    }

    /// Puts into the records what they belong to, where no property shows it.
    async fn with_ties(&self, mut records: Vec<Record>) -> Result<Vec<Record>> {
        if let Some(tie) = self.tie.filter(|tie| !tie.is_property) {
            let ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
            let mut ties = self.client.associated(tie, &ids).await?;
            for record in &mut records {
                record.properties.insert(tie.field.to_owned(), ties.remove(&record.id));
            }
        }
        Ok(records)
    }

    /// Refuses fields that the account lacks: HubSpot would refuse every batch that holds one.
    async fn check_fields(&self, rows: &[DeliveryRow]) -> Result<()> {
        let properties = self.properties().await?;
        let known: BTreeSet<&str> =
            properties.iter().filter(|property| property.writable()).map(|property| property.name.as_str()).collect();
        let tie = self.tie.map_or("", |tie| tie.field);
        let unknown = rows.iter().flat_map(|row| row.fields.keys()).find(|name| *name != tie && !known.contains(name.as_str()));
        match unknown {
            None => Ok(()),
            Some(name) => Err(Error::new(ErrorKind::Config, format!("the account has no property `{name}` that can be written"))
                .hint("`headwater discover` lists them; make the property in HubSpot or map to another")),
        }
    }

    /// The records with these values in a field, each with its value as it is compared.
    async fn having(&self, field: &str, values: &[String], names: &[String], unique: &BTreeSet<String>) -> Result<Vec<Record>> {
        let property = if field == EXTERNAL_ID { self.id_property.as_str() } else { field };
        if self.is_to_be_made(property) {
            return Ok(Vec::new());
        }
        let records = if unique.contains(property) {
            self.client.read(Some(property), values, names).await?
        } else {
            self.client.search(property, values, names).await?
        };
        self.with_ties(records).await
    }

    /// Whether a record really holds the key's value: a filter might have been ignored.
    fn holds(&self, record: &Record, key: &MatchKey) -> bool {
        self.held(record, &key.field).contains(&fold(&key.value))
    }

    /// The values that a record holds in a key's field, as they are compared.
    fn held(&self, record: &Record, field: &str) -> Vec<String> {
        let property = if field == EXTERNAL_ID { self.id_property.as_str() } else { field };
        let value = |name: &str| record.properties.get(name).and_then(Option::as_deref).unwrap_or_default();
        let mut held = vec![fold(value(property))];
        if property == "email" {
            held.extend(value("hs_additional_emails").split(';').map(fold));
        }
        held
    }

    /// Records by what they hold in a key's field: a search for a thousand people must not compare each with each.
    fn by_value(&self, records: Vec<Record>, field: &str) -> ByValue {
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, record) in records.iter().enumerate() {
            for value in self.held(record, field) {
                places.entry(value).or_default().push(place);
            }
        }
        ByValue { records, places }
    }

    fn remote(&self, record: Record, matched_on: &str) -> RemoteRecord {
        let Record { id, mut properties, updated_at } = record;
        properties.insert(CHANGED_AT.to_owned(), updated_at);
        let set = |(name, value): (String, Option<String>)| Some((name, Some(value.filter(|value| !value.is_empty())?)));
        RemoteRecord {
            remote_id: id,
            fields: properties.into_iter().filter_map(set).collect(),
            matched_on: matched_on.to_owned(),
        }
    }

    /// What of the row the record lacks; our id too, unless another stands there.
    fn difference(&self, row: &DeliveryRow, record: &Record) -> Fields {
        let held = |name: &str| record.properties.get(name).and_then(Option::as_deref).filter(|value| !value.is_empty());
        let mut fields: Fields = row
            .fields
            .iter()
            .filter(|(name, value)| held(name) != value.as_deref().filter(|value| !value.is_empty()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // Email given by an additional address must not take the place of the primary one.
        if fields.get("email").is_some_and(|email| {
            email.as_ref().is_some_and(|email| self.holds(record, &MatchKey { field: "email".to_owned(), value: email.clone() }))
        }) {
            fields.remove("email");
        }
        if held(&self.id_property).is_none() {
            fields.insert(self.id_property.clone(), Some(row.prospect_id.clone()));
        }
        fields
    }

    /// Whether somebody changed what the row sets since it was planned.
    fn moved(&self, row: &DeliveryRow, record: &Record) -> Result<bool> {
        let blank = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(str::to_owned);
        row.moved(|name, value| {
            let held = blank(record.properties.get(name).and_then(Option::as_deref));
            let further = |email: &str| self.holds(record, &MatchKey { field: name.to_owned(), value: email.to_owned() });
            Ok(held == blank(value) || name == "email" && value.is_some_and(further))
        })
    }
}

#[async_trait]
impl Sink for HubSpotSink {
    fn capability(&self) -> SinkCapability {
        SinkCapability { max_rows: 10 * MAX_BATCH, lookup: true, calls_per_row: 1 }
    }

    async fn check(&self) -> Result<()> {
        self.properties().await.map(drop)
    }

    async fn fields(&self) -> Result<Vec<(String, String)>> {
        let properties = self.properties().await?;
        let writable = properties.iter().filter(|property| property.writable());
        Ok(writable.map(|property| (property.name.clone(), property.label.clone())).collect())
    }

    async fn fields_to_make(&self) -> Result<Vec<String>> {
        Ok(self.known().await?.to_make.clone())
    }

    async fn prepare(&self) -> Result<()> {
        let to_make = &self.known().await?.to_make;
        self.made.get_or_try_init(|| self.make_all(to_make)).await.copied()
    }

    async fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        let (mut names, unique) = self.readable().await?;
        names.push("hs_additional_emails".to_owned());
        let mut answers: Vec<Option<Lookup>> = vec![None; rows.len()];
        let deepest = rows.iter().map(Vec::len).max().unwrap_or(0);
        for depth in 0..deepest {
            // All rows' strongest keys first, in one batch per field; what they do not find, the next key may.
            let mut wanted: HashMap<&str, Vec<String>> = HashMap::new();
            for (keys, _) in rows.iter().zip(&answers).filter(|(_, answer)| answer.is_none()) {
                if let Some(key) = keys.get(depth).filter(|key| !key.value.is_empty()) {
                    wanted.entry(&key.field).or_default().push(key.value.clone());
                }
            }
            let mut found: HashMap<&str, ByValue> = HashMap::new();
            for (field, values) in wanted {
                found.insert(field, self.by_value(self.having(field, &values, &names, &unique).await?, field));
            }
            for (keys, answer) in rows.iter().zip(&mut answers).filter(|(_, answer)| answer.is_none()) {
                let Some(key) = keys.get(depth).filter(|key| !key.value.is_empty()) else { continue };
                let mut held: Vec<&Record> =
                    found.get(key.field.as_str()).into_iter().flat_map(|found| found.holding(&key.value)).collect();
                held.sort_by(|one, other| one.id.cmp(&other.id));
                held.dedup_by(|one, other| one.id == other.id);
                *answer = match held.as_slice() {
                    [] => None,
                    [record] => Some(Lookup::Found(self.remote((*record).clone(), &key.field))),
                    several => Some(Lookup::Ambiguous(several.len())),
                };
            }
        }
        Ok(answers.into_iter().map(|answer| answer.unwrap_or(Lookup::Absent)).collect())
    }

    async fn fetch(&self, remote_id: &str) -> Result<Option<RemoteRecord>> {
        let (names, _) = self.readable().await?;
        let records = self.with_ties(self.client.read(None, &[remote_id.to_owned()], &names).await?).await?;
        Ok(records.into_iter().find(|record| record.id == remote_id).map(|record| self.remote(record, "id")))
    }

    async fn fetch_all(&self, remote_ids: &[String]) -> Result<Vec<Option<RemoteRecord>>> {
        let (names, _) = self.readable().await?;
        let records = self.with_ties(self.client.read(None, remote_ids, &names).await?).await?;
        let mut records: HashMap<String, Record> = records.into_iter().map(|record| (record.id.clone(), record)).collect();
        Ok(remote_ids.iter().map(|id| records.remove(id).map(|record| self.remote(record, "id"))).collect())
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        if rows.is_empty() {
            return WriteReport::new(0, Vec::new());
        }
        self.prepare().await?;
        self.check_fields(rows).await?;
        let mut work = Work { outcomes: vec![None; rows.len()], ..Work::default() };
        self.sort(rows, &mut work).await?;
        let Work { mut outcomes, upserts, updates, knots } = work;
        for (kind, jobs) in [(Kind::Upsert, upserts), (Kind::Update, updates)] {
            let (places, inputs): (Vec<usize>, Vec<Input>) = jobs.into_iter().unzip();
            let written = match kind {
                _ if inputs.is_empty() => continue,
                Kind::Upsert => self.client.upsert(&inputs).await,
                Kind::Update => self.client.update(&inputs).await,
            };
            let written = match written {
                Ok(written) => written,
                // What the first kind wrote must be reported.
                Err(error) if kind == Kind::Update && outcomes.iter().any(Option::is_some) => {
                    drop(error);
                    vec![Written::Untold; inputs.len()]
                }
                Err(error) => return Err(error),
            };
            for (place, outcome) in places.into_iter().zip(written) {
                if let Some(slot) = outcomes.get_mut(place) {
                    *slot = Some(told(outcome, kind));
                }
            }
        }
        self.tie_all(knots, &mut outcomes).await;
        WriteReport::new(rows.len(), outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(untold)).collect())
    }

    fn changed_at_field(&self) -> Option<&str> {
        Some(CHANGED_AT)
    }

    fn company_field(&self) -> Option<&str> {
        self.tie.filter(|tie| tie.to == "companies").map(|tie| tie.field)
    }

    fn person_field(&self) -> Option<&str> {
        self.tie.filter(|tie| tie.to == "contacts").map(|tie| tie.field)
    }

    fn pace(&self) -> Option<Pace> {
        Some(self.pace)
    }

    fn calls_made(&self) -> Option<u64> {
        Some(self.client.sent())
    }

    fn calls_today(&self) -> Option<u64> {
        self.client.sent_today()
    }

    fn calls_to_write(&self, writes: Writes) -> usize {
        let Writes { creates, updates, removals, ties } = writes;
        let calls = |rows: usize| rows.div_ceil(MAX_BATCH);
        // What is changed or removed is read first, and what it belongs to where no property shows that.
        let reads = if self.tie.is_some_and(|tie| !tie.is_property) { 2 } else { 1 };
        calls(creates) + (reads + 1) * calls(updates) + 2 * calls(removals) + calls(ties)
    }

    fn removes(&self) -> bool {
        true
    }

    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        // HubSpot archives what is gone already without a word.
        let there = async || -> Result<BTreeSet<String>> {
            Ok(self.client.read(None, remote_ids, &[]).await?.into_iter().map(|record| record.id).collect())
        };
        let before = there().await?;
        let ids: Vec<&str> = remote_ids.iter().filter(|id| before.contains(*id)).map(String::as_str).collect();
        let left = match self.client.archive(&ids).await {
            Ok(()) => BTreeSet::new(),
            // What is removed already must be reported.
            Err(error) => match there().await {
                Ok(left) if left.len() < before.len() => left,
                Ok(_) | Err(_) => return Err(error),
            },
        };
        let removal = |id: &String| match (before.contains(id), left.contains(id)) {
            (false, _) => Removal::Gone,
            (true, false) => Removal::Removed,
            (true, true) => Removal::Refused { reason: "HubSpot did not archive it now".to_owned() },
        };
        Ok(remote_ids.iter().map(removal).collect())
    }

    async fn release(&self, remote_id: &str, prospect_id: &str) -> Result<()> {
        let id = remote_id.to_owned();
        let records = self.client.read(None, std::slice::from_ref(&id), std::slice::from_ref(&self.id_property)).await?;
        let ours = |record: &&Record| {
            record.id == id && record.properties.get(&self.id_property).and_then(Option::as_deref) == Some(prospect_id)
        };
        if records.iter().any(|record| ours(&record)) {
            let fields = Fields::from([(self.id_property.clone(), None)]);
            let written = self.client.update(&[Input { id, fields }]).await?;
            if !matches!(written.as_slice(), [Written::Done { .. }]) {
                return Err(Error::new(ErrorKind::Rejected, "our id was not taken out of the record"));
            }
        }
        Ok(())
    }
}

/// Records by the values that they hold in one field.
struct ByValue {
    records: Vec<Record>,
    places: HashMap<String, Vec<usize>>,
}

impl ByValue {
    fn holding(&self, value: &str) -> impl Iterator<Item = &Record> {
        let places = self.places.get(&fold(value)).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.records.get(*place))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Upsert,
    Update,
}

/// The rows of one call, sorted by what is to be done.
#[derive(Default)]
struct Work {
    outcomes: Vec<Option<RowOutcome>>,
    upserts: Vec<(usize, Input)>,
    updates: Vec<(usize, Input)>,
    knots: Vec<Knot>,
}

/// A record that is to belong to another one than before.
struct Knot {
    place: usize,
    before: Option<String>,
    after: Option<String>,
}

impl HubSpotSink {
    /// Reads what is there of the rows that may be there, and decides for each row.
    async fn sort(&self, rows: &[DeliveryRow], work: &mut Work) -> Result<()> {
        let (names, _) = self.readable().await?;
        let doubtful = rows.iter().filter(|row| row.doubtful && row.operation == Operation::Create);
        let doubtful: Vec<String> = doubtful.map(|row| row.prospect_id.clone()).collect();
        let named = rows.iter().filter_map(|row| match &row.operation {
            Operation::Update { remote_id } => Some(remote_id.clone()),
            Operation::Create => None,
        });
        let named: Vec<String> = named.collect();
        let mut ours: HashMap<String, Record> = HashMap::new();
        for record in self.with_ties(self.client.read(Some(&self.id_property), &doubtful, &names).await?).await? {
            if let Some(id) = record.properties.get(&self.id_property).cloned().flatten() {
                ours.insert(id, record);
            }
        }
        let known = self.with_ties(self.client.read(None, &named, &names).await?).await?;
        let known: HashMap<&str, &Record> = known.iter().map(|record| (record.id.as_str(), record)).collect();
        for (place, row) in rows.iter().enumerate() {
            let record = match &row.operation {
                Operation::Create => ours.get(&row.prospect_id),
                Operation::Update { remote_id } => known.get(remote_id.as_str()).copied(),
            };
            let outcome = match (record, &row.operation) {
                (Some(record), Operation::Update { .. }) if self.moved(row, record)? => {
                    Some(RowOutcome::Rejected { reason: MOVED.to_owned() })
                }
                (Some(record), _) => {
                    let mut fields = self.difference(row, record);
                    let held = |tie: Tie| record.properties.get(tie.field).cloned().flatten().filter(|held| !held.is_empty());
                    if let Some((tie, after)) = self.tie.and_then(|tie| Some((tie, fields.remove(tie.field)?))) {
                        work.knots.push(Knot { place, before: held(tie), after });
                    }
                    if fields.is_empty() {
                        Some(RowOutcome::Unchanged { remote_id: record.id.clone() })
                    } else {
                        work.updates.push((place, Input { id: record.id.clone(), fields }));
                        None
                    }
                }
                (None, Operation::Create) => {
                    // There is nothing yet that a null could clear.
                    let fields = row.fields.iter().filter(|(_, value)| value.is_some());
                    let mut fields: Fields = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
                    if let Some(after) = self.tie.and_then(|tie| fields.remove(tie.field)) {
                        work.knots.push(Knot { place, before: None, after });
                    }
                    work.upserts.push((place, Input { id: row.prospect_id.clone(), fields }));
                    None
                }
                (None, Operation::Update { .. }) => Some(RowOutcome::Rejected { reason: "the record is gone".to_owned() }),
            };
            if let Some(slot) = work.outcomes.get_mut(place) {
                *slot = outcome;
            }
        }
        Ok(())
    }
}

impl HubSpotSink {
    /// Ties the records that are there now to those that they belong to. A row counts as written only when that is done too.
    async fn tie_all(&self, knots: Vec<Knot>, outcomes: &mut [Option<RowOutcome>]) {
        let Some(tie) = self.tie else { return };
        for away in [true, false] {
            let pair = |knot: &Knot| {
                let id = outcomes.get(knot.place).and_then(Option::as_ref).and_then(written_id)?.to_owned();
                let other = if away { knot.before.clone().filter(|_| knot.before != knot.after)? } else { knot.after.clone()? };
                Some((knot.place, (id, other)))
            };
            let (places, pairs): (Vec<usize>, Vec<(String, String)>) = knots.iter().filter_map(pair).unzip();
            for (places, pairs) in places.chunks(MAX_BATCH).zip(pairs.chunks(MAX_BATCH)) {
                let told = self.client.associate(tie, pairs, away).await;
                if pairs.len() > 1 && matches!(told, Ok(Some(_))) {
                    // HubSpot does not say which of them it is about.
                    for (place, pair) in places.iter().zip(pairs) {
                        let told = self.client.associate(tie, std::slice::from_ref(pair), away).await;
                        outcomes.get_mut(*place).into_iter().for_each(|slot| tied(slot, &told));
                    }
                    continue;
                }
                for place in places {
                    outcomes.get_mut(*place).into_iter().for_each(|slot| tied(slot, &told));
                }
            }
        }
    }
}

/// The record of a row that was written.
fn written_id(outcome: &RowOutcome) -> Option<&str> {
    match outcome {
        RowOutcome::Created { remote_id } | RowOutcome::Updated { remote_id } | RowOutcome::Unchanged { remote_id } => {
            Some(remote_id)
        }
        RowOutcome::Rejected { .. } | RowOutcome::Retry { .. } => None,
    }
}

/// What became of a row whose record was tied.
fn tied(slot: &mut Option<RowOutcome>, told: &Result<Option<String>>) {
    *slot = match (slot.take(), told) {
        (Some(RowOutcome::Unchanged { remote_id }), Ok(None)) => Some(RowOutcome::Updated { remote_id }),
        (outcome, Ok(None)) => outcome,
        (_, Ok(Some(reason))) => Some(RowOutcome::Rejected { reason: reason.clone() }),
        (_, Err(error)) => Some(RowOutcome::Retry { reason: error.message().to_owned(), after: None }),
    };
}

fn told(written: Written, kind: Kind) -> RowOutcome {
    match written {
        Written::Done { remote_id, new } if new && kind == Kind::Upsert => RowOutcome::Created { remote_id },
        Written::Done { remote_id, .. } => RowOutcome::Updated { remote_id },
        Written::Refused(reason) => RowOutcome::Rejected { reason },
        Written::Untold => untold(),
    }
}

/// Silence is failure: the row is offered again, by our id.
fn untold() -> RowOutcome {
    RowOutcome::Retry { reason: "HubSpot's answer says nothing of this row".to_owned(), after: None }
}

fn fold(value: &str) -> String {
    value.trim().to_lowercase()
}
