//! What a batch will commit: files per table, filled page by page.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use hashbrown::HashSet;
use headwater_analysis::channel::{Classified, Classifier, Origin, TouchFacts};
use headwater_model::conform::{Conformer, RowHash, TouchColumns};
use headwater_model::instant::{self, DateStyle};
use headwater_model::mapping::{self, Role};
use headwater_model::page::{Page, Refused};
use headwater_model::suppression::Screen;
use headwater_model::tables::{self, Table};
use headwater_model::{ids, money};
use headwater_sdk::StreamSpec;
use headwater_store::{Commit, TableWriter};
use xxhash_rust::xxh3::Xxh3;

use super::known::Seen;
use super::{Buckets, Sorted, origin};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::SourceEntry;

/// The longest raw record kept beside a refusal, in bytes; the start of it is what a person needs to find it.
const MAX_QUARANTINED_RAW: usize = 64 * 1024;

/// What became of the kept rows of a page.
pub(super) struct Conformed {
    /// Those that were refused.
    pub(super) refused: Vec<Refused>,
    /// New records, by what the lake keeps of their identity, of which nothing was taken.
    pub(super) left: Vec<i64>,
}

/// The files of one batch.
pub(super) struct Stage<'a> {
    engine: &'a Engine,
    entry: &'a SourceEntry,
    spec: &'a StreamSpec,
    pub(super) run_id: String,
    writers: HashMap<&'static str, TableWriter>,
    channels: Channels<'a>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(engine: &'a Engine, entry: &'a SourceEntry, spec: &'a StreamSpec, run_id: &str) -> Self {
        let channels = Channels::new(&engine.project.classifier, entry, spec);
        Self { engine, entry, spec, run_id: run_id.to_owned(), writers: HashMap::new(), channels }
    }

    fn write(&mut self, table: &'static Table, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let writer = match self.writers.entry(table.name) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(none) => {
                none.insert(self.engine.store.writer(table, Some(&self.entry.name))?)
            }
        };
        Ok(writer.write(batch)?)
    }

    /// Finishes the files and hands them to a commit; whether there were any.
    pub(super) fn drain(&mut self, commit: &mut Commit) -> Result<bool> {
        let mut names: Vec<&'static str> = self.writers.keys().copied().collect();
        names.sort_unstable();
        for name in &names {
            if let Some(writer) = self.writers.remove(name) {
                commit.append(writer.finish()?);
            }
        }
        Ok(!names.is_empty())
    }

    /// Throws away what is staged; the files are gone with their writers.
    pub(super) fn discard(&mut self) {
        self.writers.clear();
    }

    /// Conforms the kept rows of a page and stages what became of them.
    pub(super) fn conform(
        &mut self,
        conformer: &Conformer,
        page: &Page,
        sorted: &Sorted,
        screen: &Screen,
        buckets: &mut Buckets,
    ) -> Result<Conformed> {
        let now = self.engine.clock().now_us();
        let Sorted { keep, seen: _ } = sorted;
        let new = New::of(sorted);
        let (record, refused, suppressed) = match conformer.role() {
            Role::Leads | Role::Touches => {
                let leads = conformer.leads(page, keep, screen, now)?;
                self.leads(&leads.lead, &leads.record, &leads.touch, &new)?;
                (leads.record, leads.refused, leads.suppressed)
            }
            role @ (Role::Engagements | Role::Conversions | Role::Costs) => {
                let facts = conformer.facts(page, keep, screen, now)?;
                self.write(table_of(role), &facts.rows)?;
                self.write(&tables::SOURCE_RECORD, &new.unrecorded(&facts.record)?)?;
                (facts.record, facts.refused, facts.suppressed)
            }
        };
        self.refuse(&refused)?;
        buckets.accepted += u64::try_from(record.num_rows()).unwrap_or(u64::MAX);
        buckets.quarantined += u64::try_from(refused.len()).unwrap_or(u64::MAX);
        buckets.suppressed += suppressed;
        let left = if record.num_rows() == keep.rows.len() { Vec::new() } else { new.left(&record)? };
        Ok(Conformed { refused, left })
    }

    fn leads(&mut self, lead: &RecordBatch, record: &RecordBatch, touch: &TouchColumns, new: &New) -> Result<()> {
        self.write(&tables::LEAD, lead)?;
        self.write(&tables::SOURCE_RECORD, &new.unrecorded(record)?)?;
        let touches = self.touches(lead, touch)?;
        let first = new.dated(record)?;
        self.write(&tables::TOUCH, &filter_record_batch(&touches, &first)?)?;
        if let Some(consents) = consents(lead, &self.entry.name, &self.run_id)? {
            self.write(&tables::CONSENT, &consents)?;
        }
        Ok(())
    }

    /// The contact that brought each lead. A later version of a record is no new contact; the same version under other rules is the
    /// same contact, said anew.
    fn touches(&mut self, lead: &RecordBatch, touch: &TouchColumns) -> Result<RecordBatch> {
        let rows = lead.num_rows();
        let lead_ids = text(lead, "lead_id")?;
        let mut ids = StringBuilder::with_capacity(rows, rows * 30);
        let mut channel = StringBuilder::with_capacity(rows, rows * 12);
        let mut rule = StringBuilder::with_capacity(rows, rows * 16);
        let mut buffer = String::new();
        for row in 0..rows {
            buffer.clear();
            buffer.push_str("tch_");
            buffer.push_str(lead_ids.value(row).get(4..).unwrap_or_default());
            ids.append_value(&buffer);
            let Classified { channel: name, rule_id } = self.channels.of(touch, row);
            channel.append_value(self.channels.forced.as_deref().unwrap_or(name));
            rule.append_value(if self.channels.forced.is_some() { "project.channel" } else { rule_id });
        }
        let same = |value: Option<&str>| -> ArrayRef {
            Arc::new(value.map_or_else(|| StringArray::new_null(rows), |value| StringArray::new_repeated(value, rows)))
        };
        let section = self.entry.section.channel.as_ref();
        let vendor = section.and_then(|channel| channel.vendor.as_deref()).or(self.spec.vendor.as_deref());
        let campaign: ArrayRef = match section.and_then(|channel| channel.campaign.as_deref()) {
            Some(campaign) => same(Some(campaign)),
            None => Arc::new(touch.utm_campaign.clone()),
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids.finish()),
            Arc::new(lead_ids.clone()),
            Arc::new(text(lead, "record_id")?.clone()),
            same(Some(&self.entry.name)),
            Arc::new(touch.occurred_at.clone()),
            Arc::new(channel.finish()),
            Arc::new(rule.finish()),
            same(Some(self.engine.project.classifier.rules_version())),
            Arc::new(touch.utm_source.clone()),
            Arc::new(touch.utm_medium.clone()),
            Arc::new(touch.utm_campaign.clone()),
            Arc::new(touch.utm_term.clone()),
            Arc::new(touch.utm_content.clone()),
            Arc::new(touch.click_id_kind.clone()),
            Arc::new(touch.click_id.clone()),
            Arc::new(touch.landing_url.clone()),
            Arc::new(touch.referrer.clone()),
            same(vendor),
            campaign,
            same(Some(&self.run_id)),
        ];
        Ok(RecordBatch::try_new(tables::TOUCH.schema(), columns)?)
    }

    /// Stages refused rows for quarantine. The same row refused twice has the same id.
    pub(super) fn refuse(&mut self, refused: &[Refused]) -> Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let (source, stream) = (self.entry.name.clone(), self.spec.name.clone());
        let rows = refused.len();
        let column = |value: &dyn Fn(&Refused) -> Option<String>| -> ArrayRef {
            Arc::new(refused.iter().map(value).collect::<StringArray>())
        };
        let same = |value: &str| -> ArrayRef { Arc::new(StringArray::new_repeated(value, rows)) };
        let id = |row: &Refused| Some(quarantine_id(&source, &stream, row));
        let now = self.engine.clock().now_us();
        let columns: Vec<ArrayRef> = vec![
            column(&id),
            same(&source),
            same(&stream),
            column(&|row| Some(row.place.clone())),
            same("ingest"),
            column(&|row| Some(row.code.to_owned())),
            column(&|row| row.field.clone()),
            column(&|row| Some(row.reason.clone())),
            column(&|row| Some(cut(&row.raw).to_owned())),
            Arc::new(TimestampMicrosecondArray::from_value(now, rows).with_timezone("UTC")),
            same(&self.run_id),
        ];
        let batch = RecordBatch::try_new(tables::QUARANTINE.schema(), columns)?;
        self.write(&tables::QUARANTINE, &batch)
    }
}

/// The id of a refused row: the same row refused for the same reason is the same.
pub(super) fn quarantine_id(source: &str, stream: &str, row: &Refused) -> String {
    ids::derived("qrn_", &[source, stream, &row.place, row.code, &row.raw])
}

fn cut(raw: &str) -> &str {
    raw.get(..raw.floor_char_boundary(MAX_QUARANTINED_RAW)).unwrap_or(raw)
}

fn table_of(role: Role) -> &'static Table {
    match role {
        Role::Leads | Role::Touches => &tables::LEAD,
        Role::Engagements => &tables::ENGAGEMENT,
        Role::Conversions => &tables::CONVERSION,
        Role::Costs => &tables::COST,
    }
}

pub(crate) fn text<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    let column = batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
    column.ok_or_else(|| Error::Internal(format!("a batch has no text column {name}")))
}

/// The records that the lake has no earlier version of, by what it keeps of their identity.
struct New {
    identities: HashSet<i64>,
    /// Versions that the lake has and that are conformed again, by identity and content.
    again: HashSet<(i64, i64)>,
    /// Whether every kept row is a record of its own that the lake does not have.
    all: bool,
}

impl New {
    fn of(sorted: &Sorted) -> Self {
        let of = |wanted: fn(&Seen) -> bool| {
            sorted.keep.hashes.iter().zip(&sorted.seen).filter(move |(_, seen)| wanted(seen)).map(|(hash, _)| hash)
        };
        let identities: HashSet<i64> = of(|seen| *seen == Seen::New).map(RowHash::identity_hash).collect();
        let again = of(|seen| matches!(seen, Seen::Unchanged { .. }));
        let again = again.map(|hash| (hash.identity_hash(), hash.content.cast_signed())).collect();
        let all = identities.len() == sorted.keep.hashes.len();
        Self { identities, again, all }
    }

    /// Which rows say when and how a record came: the first version of it to be taken, and the one that was taken before.
    fn dated(&self, record: &RecordBatch) -> Result<BooleanArray> {
        if self.all {
            return Ok(BooleanArray::from(vec![true; record.num_rows()]));
        }
        let mut awaited = self.identities.clone();
        let versions = whole(record, "identity_hash")?.values().iter().zip(whole(record, "content_hash")?.values());
        Ok(versions
            .map(|(identity, content)| Some(awaited.remove(identity) || self.again.contains(&(*identity, *content))))
            .collect())
    }

    /// The records of which the lake does not have the raw text.
    fn unrecorded(&self, record: &RecordBatch) -> Result<RecordBatch> {
        if self.again.is_empty() {
            return Ok(record.clone());
        }
        let versions = whole(record, "identity_hash")?.values().iter().zip(whole(record, "content_hash")?.values());
        let mask: BooleanArray = versions.map(|(identity, content)| Some(!self.again.contains(&(*identity, *content)))).collect();
        Ok(filter_record_batch(record, &mask)?)
    }

    /// The new records of which `record` has no version.
    fn left(&self, record: &RecordBatch) -> Result<Vec<i64>> {
        let mut left = self.identities.clone();
        whole(record, "identity_hash")?.values().iter().for_each(|identity| {
            left.remove(identity);
        });
        Ok(left.into_iter().collect())
    }
}

fn whole<'a>(record: &'a RecordBatch, name: &str) -> Result<&'a Int64Array> {
    let column = record.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
    column.ok_or_else(|| Error::Internal(format!("source_record has no {name}")))
}

/// The channels of a stream's rows. Rows of a source say few different things, so each combination is classified once.
struct Channels<'a> {
    classifier: &'a Classifier,
    forced: Option<String>,
    origin: Origin,
    memo: hashbrown::HashMap<u64, Classified<'a>>,
}

/// The most combinations remembered at once.
const MAX_MEMO: usize = 4096;

impl<'a> Channels<'a> {
    fn new(classifier: &'a Classifier, entry: &SourceEntry, spec: &StreamSpec) -> Self {
        let origin = match origin(entry, spec) {
            mapping::Origin::Form => Origin::Form,
            mapping::Origin::List => Origin::List,
            mapping::Origin::EmailTool => Origin::EmailTool,
            mapping::Origin::Web => Origin::Web,
            mapping::Origin::Offline => Origin::Offline,
            mapping::Origin::Import => Origin::Import,
        };
        let forced = entry.section.channel.as_ref().map(|channel| channel.group.clone());
        Self { classifier, forced, origin, memo: hashbrown::HashMap::new() }
    }

    fn of(&mut self, touch: &TouchColumns, row: usize) -> Classified<'a> {
        fn at(column: &StringArray, row: usize) -> Option<&str> {
            column.is_valid(row).then(|| column.value(row))
        }
        let facts = TouchFacts {
            utm_source: at(&touch.utm_source, row),
            utm_medium: at(&touch.utm_medium, row),
            utm_campaign: at(&touch.utm_campaign, row),
            click_id_kind: at(&touch.click_id_kind, row),
            referrer_host: at(&touch.referrer, row).and_then(host),
            landing_host: at(&touch.landing_url, row).and_then(host),
            origin: self.origin,
        };
        let mut hasher = Xxh3::new();
        let parts = [
            facts.utm_source,
            facts.utm_medium,
            facts.utm_campaign,
            facts.click_id_kind,
            facts.referrer_host,
            facts.landing_host,
        ];
        for part in parts {
            hasher.update(part.unwrap_or("\u{1e}").as_bytes());
            hasher.update(b"\x1f");
        }
        if self.memo.len() >= MAX_MEMO {
            self.memo.clear();
        }
        *self.memo.entry(hasher.digest()).or_insert_with(|| self.classifier.classify(&facts))
    }
}

/// The host of a page's address.
fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':']).next()?;
    (!host.is_empty()).then_some(host)
}

/// What the leads of a page say about consent and notice; nothing when they say nothing.
fn consents(lead: &RecordBatch, source: &str, run_id: &str) -> Result<Option<RecordBatch>> {
    let (status, basis) = (text(lead, "consent")?, text(lead, "lawful_basis")?);
    let says: BooleanArray = (0..lead.num_rows()).map(|row| Some(status.is_valid(row) || basis.is_valid(row))).collect();
    if says.true_count() == 0 {
        return Ok(None);
    }
    let lead = filter_record_batch(lead, &says)?;
    let rows = lead.num_rows();
    let (record, status, basis) = (text(&lead, "record_id")?, text(&lead, "consent")?, text(&lead, "lawful_basis")?);
    let id = (0..rows).map(|row| Some(format!("cns_{}", record.value(row).get(4..).unwrap_or_default())));
    let column = |name: &str| lead.column_by_name(name).cloned().ok_or_else(|| Error::Internal(format!("lead has no {name}")));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(id.collect::<StringArray>()),
        column("lead_id")?,
        column("record_id")?,
        Arc::new(StringArray::new_repeated(source, rows)),
        Arc::new(
            (0..rows).map(|row| Some(if basis.is_valid(row) { basis.value(row) } else { "consent" })).collect::<StringArray>(),
        ),
        Arc::new(
            (0..rows).map(|row| Some(if status.is_valid(row) { status.value(row) } else { "unasked" })).collect::<StringArray>(),
        ),
        Arc::new(StringArray::new_repeated("marketing", rows)),
        Arc::new(StringArray::new_null(rows)),
        column("basis_obtained_at")?,
        column("notice_at")?,
        Arc::new(StringArray::new_repeated(run_id, rows)),
    ];
    Ok(Some(RecordBatch::try_new(tables::CONSENT.schema(), columns)?))
}

/// Stages what a source cost as a whole, when the project says so and the lake does not have it yet.
pub(super) async fn whole_cost(engine: &Engine, entry: &SourceEntry, run_id: &str) -> Result<()> {
    let Some(cost) = &entry.section.cost else { return Ok(()) };
    let amount =
        money::parse(&cost.amount, money::NumberStyle::Point).map_err(|error| entry.error("cost.amount", error.to_string()))?;
    let currency = money::currency(&cost.currency)
        .ok_or_else(|| entry.error("cost.currency", "not a currency").help("write its ISO 4217 code such as EUR"))?;
    let key = format!("cost/{}", entry.name);
    let cursor = engine.store.cursor(&key).await?;
    let mut said = serde_json::json!({ "amount": cost.amount, "currency": currency, "kind": cost.kind, "day": cost.day });
    // Not said where not written, so that costs of older projects are not taken for new ones.
    if let Some(said) = said.as_object_mut() {
        said.extend(cost.until_day.as_ref().map(|day| ("until_day".to_owned(), day.as_str().into())));
        said.extend(cost.per.as_str().map(|per| ("per".to_owned(), per.into())));
    }
    if cursor.as_ref().is_some_and(|cursor| cursor.value == said) {
        return Ok(());
    }
    let now = engine.clock().now();
    let day = match &cost.day {
        Some(day) => {
            instant::parse_day(day, &DateStyle::default()).map_err(|error| entry.error("cost.day", error.to_string()))?
        }
        None => instant::day_of(now.to_zoned(jiff::tz::TimeZone::UTC).date()),
    };
    let until = cost.until_day.as_ref().map(|day| instant::parse_day(day, &DateStyle::default())).transpose();
    let until = until.map_err(|error| entry.error("cost.until_day", error.to_string()))?;
    let one = |value: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let columns: Vec<ArrayRef> = vec![
        one(Some(&ids::derived("cst_", &["project", &entry.name]))),
        one(None),
        one(Some(&entry.name)),
        one(Some(&entry.name)),
        one(entry.section.channel.as_ref().map(|channel| channel.group.as_str())),
        one(entry.section.channel.as_ref().and_then(|channel| channel.campaign.as_deref())),
        one(Some(&cost.kind)),
        Arc::new(Date32Array::from(vec![day])),
        Arc::new(Date32Array::from(vec![until])),
        Arc::new(Decimal128Array::from(vec![amount]).with_precision_and_scale(18, 6)?),
        one(Some(&currency)),
        Arc::new(Int64Array::from(vec![None])),
        Arc::new(Int64Array::from(vec![None])),
        one(Some(run_id)),
        one(cost.per.as_str()),
    ];
    let mut writer = engine.store.writer(&tables::COST, Some(&entry.name))?;
    writer.write(&RecordBatch::try_new(tables::COST.schema(), columns)?)?;
    let mut commit = engine.store.commit(run_id, now.as_microsecond());
    commit.append(writer.finish()?);
    commit.advance(&key, cursor.map(|cursor| cursor.sequence), &said);
    commit.execute().await?;
    Ok(())
}
