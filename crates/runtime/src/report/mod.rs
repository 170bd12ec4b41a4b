//! The measures as they stand in the lake, for people and programs.
//!
//! Nothing is computed anew here but sums: a report shows what the last `measure` wrote, and says of when. Amounts of different
//! currencies are never added; a figure that was not measured is absent or says so in its state.

mod changes;
mod channels;
mod customers;
mod figure;
mod funnel;
mod html;
mod propensity;
mod rules;
mod sources;
mod spend;
#[cfg(test)]
mod tests;
mod what_if;

use std::collections::BTreeMap;

use headwater_analysis::attribution::Model;
use headwater_model::{money, tables};
use headwater_store::Snapshot;
use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value;

pub use changes::{ChangesReport, CreditChange, changes};
pub use channels::{ChannelRow, ChannelsReport, Level, channels};
pub use customers::{Affinity, ClusterRow, CurrencyCustomers, CustomersReport, OriginRow, customers};
pub use figure::money_text;
pub use funnel::{Cohort, FunnelReport, SourceFunnel, StageCount, Step, funnel};
pub use html::html;
pub use propensity::{Likely, NeedGroup, PropensityReport, propensity};
pub use rules::{ChannelRuleRow, RulesReport, rules};
pub use sources::{CohortsReport, DriftAlert, Metric, SourceCard, SourcesReport, cohorts, sources};
pub use spend::{ChannelSpend, SourceSpend, SpendReport, spend};
pub use what_if::{WhatIf, what_if};

use crate::cells::{each, instant};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::measure::Spent;
use crate::rows::load;

/// The version of the reports' shapes.
const VERSION: u32 = 1;
/// The cursor of the measure stage; it says under which settings the credits were computed.
const MEASURE_CURSOR: &str = "measure";

/// Exact amounts by currency, as decimal text.
pub type MoneyText = BTreeMap<String, String>;

/// Amounts in millionths by currency, as they are added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Amounts(BTreeMap<String, i128>);

impl Amounts {
    fn add(&mut self, currency: &str, amount: i128) {
        *self.0.entry(currency.to_owned()).or_default() += amount;
    }

    fn text(&self) -> MoneyText {
        self.0.iter().map(|(currency, amount)| (currency.clone(), money::format(*amount))).collect()
    }

    /// Each amount by a number of cases; nothing where there is less than one.
    fn per(&self, cases: f64) -> MoneyText {
        let Some(cases) = Decimal::try_from(cases).ok().filter(|cases| *cases >= Decimal::ONE) else { return MoneyText::new() };
        self.0.iter().map(|(currency, amount)| (currency.clone(), cents(decimal(*amount) / cases))).collect()
    }

    /// What each amount of `spent` brought back, where both are in one currency.
    fn over(&self, spent: &Self) -> MoneyText {
        let both = self
            .0
            .iter()
            .filter_map(|(currency, earned)| Some((currency, earned, spent.0.get(currency).filter(|spent| **spent > 0)?)));
        both.map(|(currency, earned, spent)| (currency.clone(), cents(decimal(*earned) / decimal(*spent)))).collect()
    }
}

/// A quotient with two decimals; the formatter alone would cut, not round.
fn cents(quotient: Decimal) -> String {
    format!("{:.2}", quotient.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero))
}

fn decimal(amount: i128) -> Decimal {
    Decimal::from_i128_with_scale(amount, money::SCALE)
}

/// What the last measure computed, and under which settings.
struct Measured {
    snapshot: Snapshot,
    at: Timestamp,
    at_us: i64,
    models: Vec<String>,
    window_days: u64,
    /// The currency in which amounts were added up.
    currency: Option<String>,
}

impl Measured {
    async fn load(engine: &Engine) -> Result<Self> {
        let cursor = engine.store.cursor(MEASURE_CURSOR).await?.ok_or_else(|| Error::NotFound {
            what: "nothing has been measured yet".to_owned(),
            hint: "run `headwater sync` first".to_owned(),
        })?;
        let models = cursor.value.get("models").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            snapshot: engine.store.snapshot().await?,
            at: instant(cursor.updated_at).unwrap_or_default(),
            at_us: cursor.updated_at,
            models: models.filter_map(Value::as_str).map(canonical).collect(),
            window_days: cursor.value.get("lookback_days").and_then(Value::as_u64).unwrap_or_default(),
            currency: cursor.value.get("currency").and_then(Value::as_str).map(str::to_owned),
        })
    }

    /// The name under which the credits of a model stand, if they are there.
    fn check_model(&self, model: &str) -> Result<String> {
        let name = canonical(model);
        if self.models.contains(&name) {
            return Ok(name);
        }
        let hint = format!(
            "computed are: {}; name it under `attribution: models:` and run `headwater sync` for more",
            self.models.join(", ")
        );
        Err(Error::NotFound { what: format!("the model `{model}` was not computed"), hint })
    }
}

/// The one name of a model that has several.
fn canonical(model: &str) -> String {
    model.parse::<Model>().map_or_else(|_| model.to_owned(), |model| model.name().to_owned())
}

/// An instant to the minute, in UTC.
fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A number of credited conversions without the dust that adding shares leaves.
fn tidy(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}

/// The channel on which something was spent: the one it names, else that of the source it was spent for.
fn channel_of<'a>(spent: &'a Spent, of_source: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let of_source = || spent.source.as_ref().and_then(|source| of_source.get(source)).filter(|channel| !channel.is_empty());
    spent.channel.as_ref().or_else(of_source).map(String::as_str)
}

/// The channel of each source that has a scorecard.
fn channel_of_source(snapshot: &Snapshot) -> Result<BTreeMap<String, String>> {
    let cards = load(snapshot, &tables::SCORECARD, &["source", "channel"])?;
    each(&cards).map(|row| Ok((row.word("source")?, row.word("channel")?))).collect()
}
