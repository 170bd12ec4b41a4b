//! Who is likely to convert soon, with which need, and what the scores are worth.

use std::collections::BTreeMap;

use headwater_model::tables;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Measured, VERSION};
use crate::cells::each;
use crate::engine::Engine;
use crate::error::Result;
use crate::measure::{HORIZON_DAYS, Known, known};
use crate::rows::load;

/// People whom the report names; the table `propensity` has all.
const SHOWN: usize = 25;
/// People whom it names of each need.
const SHOWN_OF_NEED: usize = 5;

/// Who is likely to convert.
#[derive(Debug, Serialize)]
pub struct PropensityReport {
    /// The version of this shape.
    pub version: u32,
    /// When it was measured.
    pub as_of: Timestamp,
    /// A probability is that of a conversion within so many days.
    pub horizon_days: u32,
    /// Why there are no scores, where there are none.
    pub refusal: Option<String>,
    /// The version of the model.
    pub model_version: Option<String>,
    /// `logistic` or `boosted trees`.
    pub method: Option<String>,
    /// What the scores of people left out of the fit were worth: `all`, `calibration_slope`, `by_source` and more.
    pub quality: Option<Value>,
    /// The people with scores.
    pub scored: u64,
    /// The sum of the probabilities: the conversions to expect.
    pub expected: f64,
    /// Those who may be contacted with the highest scores.
    pub people: Vec<Likely>,
    /// What is to be expected by the need that was stated, so that each can go to who knows it.
    pub needs: Vec<NeedGroup>,
}

/// One person.
#[derive(Debug, Clone, Serialize)]
pub struct Likely {
    /// The prospect.
    pub prospect_id: String,
    /// The source that brought them.
    pub source: String,
    /// The need they stated.
    pub need: Option<String>,
    /// The probability.
    pub probability: f64,
    /// Why: features with their weight in log odds, the strongest first.
    pub reasons: Value,
}

impl Likely {
    /// The reasons as a person reads them: `+` speaks for, `−` against.
    #[must_use]
    pub fn why(&self) -> String {
        let reasons = self.reasons.as_array().into_iter().flatten().filter_map(|reason| {
            let sign = if reason.get("weight")?.as_f64()? < 0.0 { '−' } else { '+' };
            Some(format!("{sign} {}", reason.get("feature")?.as_str()?))
        });
        reasons.collect::<Vec<_>>().join(", ")
    }
}

/// The people of one need.
#[derive(Debug, Serialize)]
pub struct NeedGroup {
    /// The need, as it was stated; nothing where none was.
    pub need: Option<String>,
    /// People who may be contacted.
    pub people: u64,
    /// The conversions to expect of them.
    pub expected: f64,
    /// Of them, those with the highest scores: whom to call this week.
    pub call: Vec<Likely>,
}

/// The scores as last measured.
///
/// # Errors
/// [`crate::Error::NotFound`] when nothing was measured yet.
pub async fn propensity(engine: &Engine) -> Result<PropensityReport> {
    let measured = Measured::load(engine).await?;
    let snapshot = &measured.snapshot;
    let mut report = PropensityReport {
        version: VERSION,
        as_of: measured.at,
        horizon_days: HORIZON_DAYS,
        refusal: None,
        model_version: None,
        method: None,
        quality: None,
        scored: 0,
        expected: 0.0,
        people: Vec::new(),
        needs: Vec::new(),
    };
    for row in each(&load(snapshot, &tables::PROPENSITY_MODEL, &["model_version", "method", "report", "refusal"])?) {
        report.refusal = row.owned("refusal")?;
        report.model_version = row.owned("model_version")?;
        report.method = row.owned("method")?;
        report.quality = row.text("report")?.and_then(|text| serde_json::from_str(text).ok());
    }
    let known: BTreeMap<String, Known> = known(snapshot)?.into_iter().map(|known| (known.person.id.clone(), known)).collect();
    let mut needs: BTreeMap<Option<String>, (u64, f64)> = BTreeMap::new();
    for row in each(&load(snapshot, &tables::PROPENSITY, &["prospect_id", "probability", "reasons"])?) {
        let (id, probability) = (row.word("prospect_id")?, row.float("probability")?.unwrap_or_default());
        report.scored += 1;
        report.expected += probability;
        let Some(person) = known.get(&id).filter(|known| known.may_contact) else { continue };
        let group = needs.entry(person.need.clone()).or_default();
        *group = (group.0 + 1, group.1 + probability);
        report.people.push(Likely {
            prospect_id: id,
            source: person.person.source.clone(),
            need: person.need.clone(),
            probability,
            reasons: row.text("reasons")?.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
        });
    }
    report.people.sort_by(|a, b| b.probability.total_cmp(&a.probability).then_with(|| a.prospect_id.cmp(&b.prospect_id)));
    let first_of = |need: &Option<String>| -> Vec<Likely> {
        report.people.iter().filter(|person| person.need == *need).take(SHOWN_OF_NEED).cloned().collect()
    };
    let groups = needs.into_iter().map(|(need, (people, expected))| NeedGroup { call: first_of(&need), need, people, expected });
    report.needs = groups.collect();
    report.people.truncate(SHOWN);
    // Those who stated a need come first: they can go to who knows it.
    report.needs.sort_by(|a, b| a.need.is_none().cmp(&b.need.is_none()).then(b.expected.total_cmp(&a.expected)));
    report.needs.truncate(SHOWN);
    Ok(report)
}
