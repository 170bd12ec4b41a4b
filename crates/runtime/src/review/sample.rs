//! `review sample`: joined pairs drawn by chance, and what people's answers say of all joins.

use std::collections::BTreeMap;

use headwater_analysis::identity::sample::{self, Estimate, JoinedPair, Layer};
use headwater_model::tables;
use headwater_store::{LedgerOp, Sample, SampledPair, Verdict};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Pair, Sides, VERSION, review_id};
use crate::cells::each;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::IdentitySection;
use crate::resolve;
use crate::rows::load;

/// A sample says something once so many in ten of its pairs are answered: who answers only the easy ones learns nothing.
const ANSWERED_IN_TEN: usize = 9;

/// The sample that was drawn last, and what it says.
#[derive(Debug, Serialize)]
pub struct SampleReport {
    /// The version of this shape.
    pub version: u32,
    /// When it was drawn.
    pub drawn_at: Option<Timestamp>,
    /// What the draw began with.
    pub seed: i64,
    /// By which model or rules the pairs were joined.
    pub model: String,
    /// Whether `identity.auto_merge_above` is another than that by which the pairs were joined.
    pub is_outdated: bool,
    /// Of how many joined pairs it was drawn.
    pub joined: u64,
    /// How many pairs it has.
    pub drawn: u64,
    /// How many wait for an answer.
    pub waiting: u64,
    /// The share of joined pairs that are right; nothing before there are answers of every layer.
    pub estimate: Option<EstimateView>,
    /// The pairs that wait, in no order that means anything.
    pub pairs: Vec<Pair>,
}

/// The share of joined pairs that are right.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct EstimateView {
    /// The share.
    pub precision: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// From how many answers.
    pub answered: u64,
}

/// What the answers of a sample say.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) estimate: Option<Estimate>,
    pub(crate) waiting: u64,
    /// Whether the pairs were joined from another chance on than now.
    pub(crate) is_outdated: bool,
    /// Whether enough is answered, of the joins as they are made now.
    pub(crate) is_telling: bool,
}

impl Checked {
    pub(crate) fn of(sample: &Sample, section: &IdentitySection) -> Self {
        let mut layers: Vec<Layer> = sample.layers.iter().map(|pairs| Layer { pairs: *pairs, ..Layer::default() }).collect();
        for SampledPair { layer, verdict, .. } in &sample.pairs {
            if let (Some(layer), Some(verdict)) = (layers.get_mut(*layer as usize), verdict) {
                layer.answered += 1;
                layer.right += u64::from(*verdict == Verdict::Same);
            }
        }
        let waiting = sample.pairs.iter().filter(|pair| pair.verdict.is_none()).count();
        let is_outdated = (sample.merge_at - section.auto_merge_above).abs() > f64::EPSILON;
        let is_answered = (sample.pairs.len() - waiting) * 10 >= sample.pairs.len() * ANSWERED_IN_TEN;
        let estimate = sample::precision(&layers);
        Self { estimate, waiting: waiting as u64, is_outdated, is_telling: is_answered && !is_outdated }
    }

    pub(crate) fn view(&self) -> Option<EstimateView> {
        self.estimate.map(|Estimate { precision, interval, answered }| EstimateView {
            precision,
            low: interval.low,
            high: interval.high,
            answered,
        })
    }
}

/// Draws pairs of leads that are one person now, in the place of the sample before. What was said of a pair earlier is its answer.
///
/// # Errors
/// [`Error::Usage`] when nobody has two leads; else when the store cannot be read or written.
pub async fn draw(engine: &Engine, size: usize, seed: i64) -> Result<()> {
    let snapshot = engine.store.snapshot().await?;
    let mut people: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for row in each(&load(&snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id", "score"])?) {
        people.entry(row.word("prospect_id")?).or_default().push((row.word("lead_id")?, row.float("score")?.unwrap_or(1.0)));
    }
    let pairs = people.values().flat_map(|leads| {
        leads.iter().enumerate().flat_map(move |(at, (one, sure))| {
            leads.iter().skip(at + 1).map(move |(two, other)| JoinedPair { one, two, score: sure.min(*other) })
        })
    });
    let drawn = sample::draw(pairs, size, seed.cast_unsigned());
    if drawn.pairs.is_empty() {
        return Err(Error::Usage("nobody has two leads, so there is no join to check".to_owned()));
    }
    let pair = |(one, two, layer): (&str, &str, u32)| SampledPair {
        review_id: review_id(one, two),
        one: one.to_owned(),
        two: two.to_owned(),
        layer,
        verdict: None,
    };
    let cursor = engine.store.cursor(resolve::CURSOR).await?;
    let model = cursor.as_ref().and_then(|cursor| cursor.value.pointer("/identity/model")).and_then(Value::as_str);
    let now = engine.clock().now_us();
    let mut commit = engine.store.commit("review", now);
    commit.ledger(LedgerOp::Sample(Sample {
        seed,
        drawn_at: now,
        model_version: model.unwrap_or_default().to_owned(),
        merge_at: engine.project.file.identity.auto_merge_above,
        layers: drawn.layers,
        pairs: drawn.pairs.into_iter().map(pair).collect(),
    }));
    commit.execute().await?;
    Ok(())
}

/// The sample that was drawn last, with so many of the pairs that wait.
///
/// # Errors
/// [`Error::NotFound`] when none was drawn; else when the store cannot be read.
pub async fn sample(engine: &Engine, limit: usize) -> Result<SampleReport> {
    let drawn = engine.store.sample().await?.ok_or_else(|| Error::NotFound {
        what: "no sample was drawn".to_owned(),
        hint: "`headwater review sample --size 200` draws one".to_owned(),
    })?;
    let checked = Checked::of(&drawn, &engine.project.file.identity);
    let snapshot = engine.store.snapshot().await?;
    let shown: Vec<&SampledPair> = drawn.pairs.iter().filter(|pair| pair.verdict.is_none()).take(limit).collect();
    let sides = Sides::of(&snapshot, shown.iter().flat_map(|pair| [pair.one.as_str(), pair.two.as_str()]))?;
    // How sure the model was is left out: who is asked must not know what is expected.
    let pairs = shown.into_iter().map(|pair| Pair {
        review_id: pair.review_id.clone(),
        chance: None,
        worth: None,
        one: sides.side(&pair.one),
        two: sides.side(&pair.two),
    });
    Ok(SampleReport {
        version: VERSION,
        drawn_at: Timestamp::from_microsecond(drawn.drawn_at).ok(),
        seed: drawn.seed,
        model: drawn.model_version.clone(),
        is_outdated: checked.is_outdated,
        joined: drawn.layers.iter().sum(),
        drawn: drawn.pairs.len() as u64,
        waiting: checked.waiting,
        estimate: checked.view(),
        pairs: pairs.collect(),
    })
}
