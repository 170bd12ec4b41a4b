//! Credits: rows of conversion, model, touch and share.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Builder, Float64Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use hashbrown::HashMap;
use headwater_analysis::attribution::journeys::{ConversionRow, Credits, Journeys, Share, TouchRow};
use headwater_analysis::attribution::{AVAILABLE, Lookback, Milestones, Model, apportion};
use headwater_analysis::lifecycle::{BuyingStage, ConversionKind, Stage};
use headwater_model::tables;
use headwater_store::{Cursor, Snapshot, StagedFiles, TableWriter};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::changes::{Changes, LEARNED_FROM};
use super::exchange::{Exchange, day_of};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::nearest;
use crate::rows::{amounts, at, instants, latest, load, text};

/// The channel of a conversion that no touch explains.
const UNATTRIBUTED: &str = "unattributed";
/// Credit rows of one batch.
const ROWS_AT_ONCE: usize = 16_384;

/// The models that the project asks for.
pub(crate) fn models(engine: &Engine) -> Result<Vec<Model>> {
    let names = &engine.project.file.attribution.models;
    let parse = |(index, name): (usize, &String)| {
        name.parse::<Model>().map_err(|_| {
            let complaint =
                engine.project.error(&format!("attribution.models[{index}]"), format!("there is no attribution model `{name}`"));
            Error::from(complaint.help(match nearest(name, AVAILABLE.split(", ")) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {AVAILABLE}"),
            }))
        })
    };
    let models: Vec<Model> = names.iter().enumerate().map(parse).collect::<Result<_>>()?;
    let distinct: BTreeSet<&str> = models.iter().map(|model| model.name()).collect();
    if distinct.len() < models.len() {
        return Err(engine.project.error("attribution.models", "a model is named twice").help("name each model once").into());
    }
    Ok(models)
}

pub(super) struct Credited {
    pub(super) files: StagedFiles,
    /// What changed of earlier credits, if anything did.
    pub(super) changes: Option<StagedFiles>,
    pub(super) changed: u64,
    pub(super) conversions: u64,
    pub(super) unattributed: u64,
    pub(super) rows: u64,
}

/// One conversion as it stands in the lake.
#[derive(Debug)]
pub(super) struct Conversion<'a> {
    pub(super) id: &'a str,
    kind: &'a str,
    pub(super) prospect: Option<&'a str>,
    pub(super) at_us: i64,
    /// Millionths.
    pub(super) amount: Option<i128>,
    pub(super) currency: Option<&'a str>,
    /// Millionths of the project's currency.
    converted: Option<i128>,
    category: Option<&'a str>,
    rep: Option<&'a str>,
}

impl Conversion<'_> {
    /// Whether it takes another one back, in whole or in part: it has a value, and is no conversion more.
    pub(super) fn reverses(&self) -> bool {
        is_refund(self.kind)
    }
}

/// One touch as it stands in the lake.
#[derive(Debug)]
pub(super) struct Touch<'a> {
    source: &'a str,
    campaign: Option<&'a str>,
    vendor: Option<&'a str>,
    row: TouchRow<'a>,
}

/// What one touch, or nobody, has of a conversion.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    touch: Option<&'a Touch<'a>>,
    pub(super) share: f64,
    /// Millionths.
    pub(super) value: Option<i128>,
    converted: Option<i128>,
}

impl<'a> Part<'a> {
    pub(super) fn channel(&self) -> &'a str {
        self.touch.map_or(UNATTRIBUTED, |touch| touch.row.channel)
    }

    pub(super) fn touch_id(&self) -> Option<&'a str> {
        self.touch.map(|touch| touch.row.id)
    }
}

/// Computes and writes the credits. `last` is where the last measure stood, `state` where this one will.
pub(super) fn write(
    engine: &Engine,
    snapshot: &Snapshot,
    (models, exchange): (&[Model], &Exchange),
    (last, state): (Option<&Cursor>, &Value),
    run: (&str, i64),
) -> Result<Credited> {
    let facts = load(snapshot, &tables::FACT_LINK, &["fact_id", "kind", "prospect_id"])?;
    let owners = owners(&facts)?;
    let columns = ["conversion_id", "kind", "value", "currency", "occurred_at", "category", "rep"];
    let batches = latest(load(snapshot, &tables::CONVERSION, &columns)?, "conversion_id")?;
    let conversions = conversions(&batches, &owners, exchange)?;
    let converted: hashbrown::HashSet<&str> = conversions.iter().filter_map(|conversion| conversion.prospect).collect();
    let links = load(snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"])?;
    let columns = ["touch_id", "lead_id", "source", "channel", "campaign", "vendor", "occurred_at", "click_id_kind", "click_id"];
    let touch_batches = latest(load(snapshot, &tables::TOUCH, &columns)?, "touch_id")?;
    // Models of all journeys learn from people who did not convert as well.
    let wanted_people = (!models.iter().any(|model| model.needs_all())).then_some(&converted);
    let touches = touches(&touch_batches, &people(&links, wanted_people)?)?;
    let rows: Vec<TouchRow<'_>> = touches.iter().map(|touch| touch.row).collect();
    let stages = load(snapshot, &tables::LIFECYCLE_TRANSITION, &["prospect_id", "to_stage", "at"])?;
    let journeys =
        Journeys::new(&rows).map_err(|error| Error::Internal(error.to_string()))?.with_milestones(milestones(&stages)?);
    let sales: Vec<&Conversion<'_>> = conversions.iter().filter(|conversion| !conversion.reverses()).collect();
    let reversals = reversals(&conversions, &sales);
    let wanted: Vec<ConversionRow<'_>> = sales
        .iter()
        // A conversion of nobody we know has no touches: a person of no name explains nothing.
        .map(|conversion| ConversionRow { person: conversion.prospect.unwrap_or_default(), at_us: conversion.at_us, value: 0.0 })
        .collect();
    let lookback = Lookback::days(f64::from(engine.project.file.attribution.lookback_days));
    let mut out = Output {
        writer: engine.store.writer(&tables::CREDIT, None)?,
        builder: Builder::default(),
        changes: Changes::load(snapshot, last, state)?,
        rows: 0,
    };
    let learned = models.iter().any(|model| model.needs_all()).then(|| learned_from(engine, &sales, &rows));
    let mut unattributed = 0;
    for model in models {
        let named = Named { name: model.name(), version: version(*model, learned), whole: model.needs_all() };
        let credits = journeys
            .credits(*model, lookback, &wanted)
            .map_err(|error| engine.project.error("attribution.models", error.to_string()).help("leave the model out"))?;
        unattributed = credits.unattributed.len() as u64;
        let shares = Shares::of(&credits);
        for (place, sale) in sales.iter().enumerate() {
            out.credit(&named, sale, &shares.parts(place, sale, &touches))?;
        }
        for (reversal, of) in &reversals {
            let parts = match of {
                Some(place) => shares.parts(*place, reversal, &touches),
                None => vec![Part { touch: None, share: 1.0, value: reversal.amount, converted: reversal.converted }],
            };
            out.credit(&named, reversal, &parts)?;
        }
    }
    let Output { mut writer, mut builder, changes, rows } = out;
    let rows = rows + builder.flush(&mut writer, 0)?;
    let known: Vec<(&'static str, bool)> = models.iter().map(|model| (model.name(), model.needs_all())).collect();
    let (changes, changed) = changes.write(engine, snapshot, &known, run)?;
    Ok(Credited { files: writer.finish()?, changes, changed, conversions: sales.len() as u64, unattributed, rows })
}

/// Rows on their way into the lake, beside what they change of those that are there.
struct Output<'a> {
    writer: TableWriter,
    builder: Builder,
    changes: Changes<'a>,
    rows: u64,
}

impl<'a> Output<'a> {
    fn credit(&mut self, model: &Named, conversion: &'a Conversion<'a>, parts: &[Part<'_>]) -> Result<()> {
        let names = (model.name, model.version.as_str());
        let revision = if model.whole {
            self.changes.total(names, conversion, parts);
            None
        } else {
            Some(self.changes.revision(names, conversion, parts))
        };
        for part in parts {
            self.builder.push(model, conversion, part, revision);
        }
        self.rows += self.builder.flush(&mut self.writer, ROWS_AT_ONCE)?;
        Ok(())
    }
}

/// The shares of one model by conversion.
struct Shares<'a> {
    by_conversion: HashMap<usize, &'a [Share]>,
    left_over: HashMap<usize, f64>,
}

impl<'a> Shares<'a> {
    fn of(credits: &'a Credits) -> Self {
        let chunks = credits.shares.chunk_by(|one, other| one.conversion == other.conversion);
        Self {
            by_conversion: chunks.filter_map(|chunk| Some((chunk.first()?.conversion, chunk))).collect(),
            left_over: credits.left_over.iter().copied().collect(),
        }
    }

    /// The credit of a conversion, shared as that at `place` is: what no touch earned is one part more, and the amounts add up.
    fn parts<'b>(&self, place: usize, conversion: &Conversion<'_>, touches: &'b [Touch<'b>]) -> Vec<Part<'b>> {
        let shares = self.by_conversion.get(&place).copied().unwrap_or_default();
        let left = match self.left_over.get(&place) {
            _ if shares.is_empty() => Some(1.0),
            left => left.copied(),
        };
        let divided: Vec<f64> = shares.iter().map(|share| share.share).chain(left).collect();
        let divide = |amount: Option<i128>| -> Option<Vec<i64>> {
            amount.map(|amount| apportion(i64::try_from(amount).unwrap_or(i64::MAX), &divided))
        };
        let (values, converted) = (divide(conversion.amount), divide(conversion.converted));
        let at = |parts: &Option<Vec<i64>>, place: usize| parts.as_ref()?.get(place).copied().map(i128::from);
        let owners = shares.iter().map(|share| touches.get(share.touch)).chain(left.map(|_| None));
        owners
            .zip(&divided)
            .enumerate()
            .map(|(place, (touch, share))| Part {
                touch,
                share: *share,
                value: at(&values, place),
                converted: at(&converted, place),
            })
            .collect()
    }
}

/// What each reversal takes back, by its place among the sales: of the same person in the same currency before it the last of that very
/// amount, else the last. Nothing where there is none.
fn reversals<'a>(conversions: &'a [Conversion<'a>], sales: &[&Conversion<'a>]) -> Vec<(&'a Conversion<'a>, Option<usize>)> {
    let mut by_person: HashMap<(&str, Option<&str>), Vec<usize>> = HashMap::new();
    for (place, sale) in sales.iter().enumerate() {
        if let Some(person) = sale.prospect {
            by_person.entry((person, sale.currency)).or_default().push(place);
        }
    }
    let of = |reversal: &Conversion<'_>| -> Option<usize> {
        let own = by_person.get(&(reversal.prospect?, reversal.currency))?;
        let before = own.iter().filter_map(|place| Some((*place, *sales.get(*place)?)));
        let before = before.filter(|(_, sale)| sale.at_us <= reversal.at_us);
        let is_whole = |sale: &Conversion<'_>| sale.amount.map(i128::abs) == reversal.amount.map(i128::abs);
        before.max_by_key(|(_, sale)| (is_whole(sale), sale.at_us, sale.id)).map(|(place, _)| place)
    };
    conversions.iter().filter(|conversion| conversion.reverses()).map(|reversal| (reversal, of(reversal))).collect()
}

/// What models of all journeys learn from, as a number that others do not have: the order of the rows does not count.
fn learned_from(engine: &Engine, sales: &[&Conversion<'_>], touches: &[TouchRow<'_>]) -> u64 {
    let sale = |sale: &&Conversion<'_>| xxh3_64(format!("{}\0{:?}\0{}", sale.id, sale.prospect, sale.at_us).as_bytes());
    let touch =
        |touch: &TouchRow<'_>| xxh3_64(format!("{}\0{}\0{}\0{}", touch.id, touch.person, touch.channel, touch.at_us).as_bytes());
    let window = u64::from(engine.project.file.attribution.lookback_days);
    sales.iter().map(sale).chain(touches.iter().map(touch)).fold(xxh3_64(&window.to_le_bytes()), u64::wrapping_add)
}

/// The version of a model as it is applied here: those that pay for milestones take them from the lifecycle, and those of all journeys
/// are others when the journeys are.
fn version(model: Model, learned: Option<u64>) -> String {
    match (model, learned) {
        (Model::W | Model::FullPath, _) => format!("{} milestones=lifecycle", model.version()),
        (other, Some(learned)) if other.needs_all() => format!("{}{LEARNED_FROM}{learned:016x}", other.version()),
        (other, _) => other.version(),
    }
}

/// When each person became a prospect and began to compare, as far as that is known.
fn milestones(stages: &[RecordBatch]) -> Result<HashMap<&str, Milestones>> {
    let mut met: HashMap<&str, Milestones> = HashMap::new();
    for batch in stages {
        let (person, stage, when) = (text(batch, "prospect_id")?, text(batch, "to_stage")?, instants(batch, "at")?);
        for row in 0..batch.num_rows() {
            let is = |wanted: &str| stage.value(row) == wanted;
            if !is(Stage::Prospect.as_str()) && !is(BuyingStage::EvaluationOfAlternatives.as_str()) {
                continue;
            }
            let own = met.entry(person.value(row)).or_default();
            let milestone = if is(Stage::Prospect.as_str()) { &mut own.lead_us } else { &mut own.opportunity_us };
            *milestone = Some(milestone.map_or(when.value(row), |first| first.min(when.value(row))));
        }
    }
    Ok(met)
}

fn owners(facts: &[RecordBatch]) -> Result<HashMap<&str, &str>> {
    let mut owners = HashMap::new();
    for batch in facts {
        let (id, prospect) = (text(batch, "fact_id")?, text(batch, "prospect_id")?);
        owners.extend((0..batch.num_rows()).map(|row| (id.value(row), prospect.value(row))));
    }
    Ok(owners)
}

fn conversions<'a>(
    batches: &'a [RecordBatch],
    owners: &HashMap<&'a str, &'a str>,
    exchange: &Exchange,
) -> Result<Vec<Conversion<'a>>> {
    let mut out = Vec::new();
    for batch in batches {
        let (id, kind, currency) = (text(batch, "conversion_id")?, text(batch, "kind")?, text(batch, "currency")?);
        let (value, when) = (amounts(batch, "value")?, instants(batch, "occurred_at")?);
        let (category, rep) = (text(batch, "category")?, text(batch, "rep")?);
        out.extend((0..batch.num_rows()).map(|row| {
            let amount = value.is_valid(row).then(|| signed(kind.value(row), value.value(row)));
            let (currency, at_us) = (at(currency, row), when.value(row));
            Conversion {
                id: id.value(row),
                kind: kind.value(row),
                prospect: owners.get(id.value(row)).copied(),
                at_us,
                amount,
                currency,
                converted: amount.and_then(|amount| exchange.convert(day_of(at_us), currency?, amount)),
                category: at(category, row),
                rep: at(rep, row),
            }
        }));
    }
    Ok(out)
}

/// Whether a conversion of this kind gives money back.
pub(crate) fn is_refund(kind: &str) -> bool {
    ConversionKind::from_name(kind) == ConversionKind::Refund
}

/// A refund takes away, whatever its sign in the source.
pub(crate) fn signed(kind: &str, amount: i128) -> i128 {
    if is_refund(kind) { -amount.abs() } else { amount }
}

/// The prospect of each lead, where only some are wanted for those alone.
fn people<'a>(links: &'a [RecordBatch], wanted: Option<&hashbrown::HashSet<&str>>) -> Result<HashMap<&'a str, &'a str>> {
    let mut people = HashMap::new();
    for batch in links {
        let (lead, prospect) = (text(batch, "lead_id")?, text(batch, "prospect_id")?);
        let pairs = (0..batch.num_rows()).map(|row| (lead.value(row), prospect.value(row)));
        people.extend(pairs.filter(|(_, prospect)| wanted.is_none_or(|wanted| wanted.contains(prospect))));
    }
    Ok(people)
}

fn touches<'a>(batches: &'a [RecordBatch], people: &HashMap<&'a str, &'a str>) -> Result<Vec<Touch<'a>>> {
    let mut out: Vec<Touch<'a>> = Vec::new();
    // The place of the first touch of each click: what a page, a form and a cookie tell of one click is one touch.
    let mut of_click: HashMap<(&str, &str, &str), usize> = HashMap::new();
    for batch in batches {
        let (id, lead, source) = (text(batch, "touch_id")?, text(batch, "lead_id")?, text(batch, "source")?);
        let (channel, campaign, when) = (text(batch, "channel")?, text(batch, "campaign")?, instants(batch, "occurred_at")?);
        let vendor = text(batch, "vendor")?;
        let (click_kind, click) = (text(batch, "click_id_kind")?, text(batch, "click_id")?);
        for row in 0..batch.num_rows() {
            let Some(person) = people.get(lead.value(row)).copied() else { continue };
            let touch = TouchRow { person, channel: channel.value(row), at_us: when.value(row), seq: 0, id: id.value(row) };
            let touch = Touch { source: source.value(row), campaign: at(campaign, row), vendor: at(vendor, row), row: touch };
            if let (Some(kind), Some(click)) = (at(click_kind, row), at(click, row)) {
                let place = *of_click.entry((person, kind, click)).or_insert(out.len());
                if let Some(known) = out.get_mut(place) {
                    if (touch.row.at_us, touch.row.id) < (known.row.at_us, known.row.id) {
                        *known = touch;
                    }
                    continue;
                }
            }
            out.push(touch);
        }
    }
    Ok(out)
}

/// Rows on their way into the lake, written when there are enough of them.
#[derive(Default)]
struct Builder {
    texts: [StringBuilder; 8],
    share: Float64Builder,
    value: Decimal128Builder,
    currency: StringBuilder,
    at: TimestampMicrosecondBuilder,
    levels: [StringBuilder; 4],
    converted: Decimal128Builder,
    revision: Int64Builder,
    rows: usize,
}

impl Builder {
    fn push(&mut self, model: &Named, conversion: &Conversion<'_>, part: &Part<'_>, revision: Option<i64>) {
        let Part { touch, share, value, converted } = *part;
        let [name, version, id, prospect, touch_id, channel, source, campaign] = &mut self.texts;
        name.append_value(model.name);
        version.append_value(&model.version);
        id.append_value(conversion.id);
        prospect.append_option(conversion.prospect);
        touch_id.append_option(part.touch_id());
        channel.append_value(part.channel());
        source.append_option(touch.map(|touch| touch.source));
        campaign.append_option(touch.and_then(|touch| touch.campaign));
        self.share.append_value(share);
        self.value.append_option(value);
        self.currency.append_option(conversion.currency);
        self.at.append_value(conversion.at_us);
        let [kind, vendor, category, rep] = &mut self.levels;
        kind.append_value(conversion.kind);
        vendor.append_option(touch.and_then(|touch| touch.vendor));
        category.append_option(conversion.category);
        rep.append_option(conversion.rep);
        self.converted.append_option(converted);
        self.revision.append_option(revision);
        self.rows += 1;
    }

    /// Writes what has gathered if it is more than `keep` rows; how many rows were written.
    fn flush(&mut self, writer: &mut TableWriter, keep: usize) -> Result<u64> {
        if self.rows <= keep {
            return Ok(0);
        }
        let mut columns: Vec<ArrayRef> = self.texts.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        columns.push(Arc::new(self.share.finish()));
        columns.push(Arc::new(self.value.finish().with_precision_and_scale(18, 6)?));
        columns.push(Arc::new(self.currency.finish()));
        columns.push(Arc::new(self.at.finish().with_timezone("UTC")));
        columns.extend(self.levels.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.push(Arc::new(self.converted.finish().with_precision_and_scale(18, 6)?));
        columns.push(Arc::new(self.revision.finish()));
        let batch = RecordBatch::try_new(tables::CREDIT.schema(), columns)?;
        writer.write(&batch)?;
        Ok(std::mem::take(&mut self.rows) as u64)
    }
}

/// A model with the words it is written down by.
struct Named {
    name: &'static str,
    version: String,
    /// Whether it is a model of all journeys.
    whole: bool,
}
