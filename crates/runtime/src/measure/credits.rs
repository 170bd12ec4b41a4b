//! Credits: rows of conversion, model, touch and share.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Builder, Float64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use hashbrown::HashMap;
use headwater_analysis::attribution::journeys::{ConversionRow, Journeys, TouchRow};
use headwater_analysis::attribution::{AVAILABLE, Lookback, Milestones, Model, apportion};
use headwater_analysis::lifecycle::{BuyingStage, Stage};
use headwater_model::tables;
use headwater_store::{Snapshot, StagedFiles, TableWriter};

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
    pub(super) conversions: u64,
    pub(super) unattributed: u64,
    pub(super) rows: u64,
}

/// One conversion as it stands in the lake.
struct Conversion<'a> {
    id: &'a str,
    prospect: Option<&'a str>,
    at_us: i64,
    /// Millionths.
    amount: Option<i128>,
    currency: Option<&'a str>,
}

/// One touch as it stands in the lake.
struct Touch<'a> {
    source: &'a str,
    campaign: Option<&'a str>,
    row: TouchRow<'a>,
}

pub(super) fn write(engine: &Engine, snapshot: &Snapshot, models: &[Model]) -> Result<Credited> {
    let facts = load(snapshot, &tables::FACT_LINK, &["fact_id", "kind", "prospect_id"])?;
    let owners = owners(&facts)?;
    let batches = latest(
        load(snapshot, &tables::CONVERSION, &["conversion_id", "kind", "value", "currency", "occurred_at"])?,
        "conversion_id",
    )?;
    let conversions = conversions(&batches, &owners)?;
    let converted: hashbrown::HashSet<&str> = conversions.iter().filter_map(|conversion| conversion.prospect).collect();
    let links = load(snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"])?;
    let columns = ["touch_id", "lead_id", "source", "channel", "campaign", "occurred_at"];
    let touch_batches = latest(load(snapshot, &tables::TOUCH, &columns)?, "touch_id")?;
    // Models of all journeys learn from people who did not convert as well.
    let wanted_people = (!models.iter().any(|model| model.needs_all())).then_some(&converted);
    let touches = touches(&touch_batches, &people(&links, wanted_people)?)?;
    let rows: Vec<TouchRow<'_>> = touches.iter().map(|touch| touch.row).collect();
    let stages = load(snapshot, &tables::LIFECYCLE_TRANSITION, &["prospect_id", "to_stage", "at"])?;
    let journeys =
        Journeys::new(&rows).map_err(|error| Error::Internal(error.to_string()))?.with_milestones(milestones(&stages)?);
    let wanted: Vec<ConversionRow<'_>> = conversions
        .iter()
        // A conversion of nobody we know has no touches: a person of no name explains nothing.
        .map(|conversion| ConversionRow { person: conversion.prospect.unwrap_or_default(), at_us: conversion.at_us, value: 0.0 })
        .collect();
    let lookback = Lookback::days(f64::from(engine.project.file.attribution.lookback_days));
    let mut writer = engine.store.writer(&tables::CREDIT, None)?;
    let mut builder = Builder::default();
    let (mut unattributed, mut written) = (0, 0);
    for model in models {
        let named = Named { name: model.name(), version: version(*model) };
        let credits = journeys
            .credits(*model, lookback, &wanted)
            .map_err(|error| engine.project.error("attribution.models", error.to_string()).help("leave the model out"))?;
        unattributed = credits.unattributed.len() as u64;
        let mut left_over: HashMap<usize, f64> = credits.left_over.into_iter().collect();
        let mut shares = credits.shares.as_slice();
        while let Some(first) = shares.first() {
            let (of_one, rest) = shares.split_at(shares.iter().take_while(|share| share.conversion == first.conversion).count());
            shares = rest;
            let Some(conversion) = conversions.get(first.conversion) else { continue };
            let left = left_over.remove(&first.conversion);
            let parts = conversion.amount.map(|amount| {
                let amount = i64::try_from(amount).unwrap_or(i64::MAX);
                apportion(amount, &of_one.iter().map(|share| share.share).chain(left).collect::<Vec<_>>())
            });
            let part = |place: usize| parts.as_ref().and_then(|parts| parts.get(place)).map(|part| i128::from(*part));
            for (place, share) in of_one.iter().enumerate() {
                builder.push(&named, conversion, touches.get(share.touch), share.share, part(place));
            }
            if let Some(left) = left {
                builder.push(&named, conversion, None, left, part(of_one.len()));
            }
            written += builder.flush(&mut writer, ROWS_AT_ONCE)?;
        }
        // A conversion of which no touch earned anything.
        let mut nobodys: Vec<usize> = left_over.into_keys().collect();
        nobodys.sort_unstable();
        for conversion in nobodys.into_iter().filter_map(|place| conversions.get(place)) {
            builder.push(&named, conversion, None, 1.0, conversion.amount);
            written += builder.flush(&mut writer, ROWS_AT_ONCE)?;
        }
        for place in credits.unattributed {
            if let Some(conversion) = conversions.get(place) {
                builder.push(&named, conversion, None, 1.0, conversion.amount);
            }
        }
    }
    written += builder.flush(&mut writer, 0)?;
    Ok(Credited { files: writer.finish()?, conversions: conversions.len() as u64, unattributed, rows: written })
}

/// The version of a model as it is applied here: those that pay for milestones take them from the lifecycle.
fn version(model: Model) -> String {
    match model {
        Model::W | Model::FullPath => format!("{} milestones=lifecycle", model.version()),
        other => other.version(),
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

fn conversions<'a>(batches: &'a [RecordBatch], owners: &HashMap<&'a str, &'a str>) -> Result<Vec<Conversion<'a>>> {
    let mut out = Vec::new();
    for batch in batches {
        let (id, kind, currency) = (text(batch, "conversion_id")?, text(batch, "kind")?, text(batch, "currency")?);
        let (value, when) = (amounts(batch, "value")?, instants(batch, "occurred_at")?);
        out.extend((0..batch.num_rows()).map(|row| Conversion {
            id: id.value(row),
            prospect: owners.get(id.value(row)).copied(),
            at_us: when.value(row),
            amount: value.is_valid(row).then(|| signed(kind.value(row), value.value(row))),
            currency: at(currency, row),
        }));
    }
    Ok(out)
}

/// A refund takes away, whatever its sign in the source.
pub(super) fn signed(kind: &str, amount: i128) -> i128 {
    if kind == "refund" { -amount.abs() } else { amount }
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
    let mut out = Vec::new();
    for batch in batches {
        let (id, lead, source) = (text(batch, "touch_id")?, text(batch, "lead_id")?, text(batch, "source")?);
        let (channel, campaign, when) = (text(batch, "channel")?, text(batch, "campaign")?, instants(batch, "occurred_at")?);
        out.extend((0..batch.num_rows()).filter_map(|row| {
            let person = people.get(lead.value(row)).copied()?;
            let touch = TouchRow { person, channel: channel.value(row), at_us: when.value(row), seq: 0, id: id.value(row) };
            Some(Touch { source: source.value(row), campaign: at(campaign, row), row: touch })
        }));
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
    rows: usize,
}

impl Builder {
    fn push(&mut self, model: &Named, conversion: &Conversion<'_>, touch: Option<&Touch<'_>>, share: f64, value: Option<i128>) {
        let [name, version, id, prospect, touch_id, channel, source, campaign] = &mut self.texts;
        name.append_value(model.name);
        version.append_value(&model.version);
        id.append_value(conversion.id);
        prospect.append_option(conversion.prospect);
        touch_id.append_option(touch.map(|touch| touch.row.id));
        channel.append_value(touch.map_or(UNATTRIBUTED, |touch| touch.row.channel));
        source.append_option(touch.map(|touch| touch.source));
        campaign.append_option(touch.and_then(|touch| touch.campaign));
        self.share.append_value(share);
        self.value.append_option(value);
        self.currency.append_option(conversion.currency);
        self.at.append_value(conversion.at_us);
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
        let batch = RecordBatch::try_new(tables::CREDIT.schema(), columns)?;
        writer.write(&batch)?;
        Ok(std::mem::take(&mut self.rows) as u64)
    }
}

/// A model with the words it is written down by.
struct Named {
    name: &'static str,
    version: String,
}
