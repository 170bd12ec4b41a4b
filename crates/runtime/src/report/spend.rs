//! What was spent where, and what came of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::channels::{Level, Tallies, tally};
use super::{Amounts, Measured, Metric, MoneyText, VERSION, sources, tidy};
use crate::engine::Engine;
use crate::error::Result;
use crate::measure::spent;

/// What was spent, by channel and by source.
#[derive(Debug, Serialize)]
pub struct SpendReport {
    /// The version of this shape.
    pub version: u32,
    /// When it was measured.
    pub as_of: Timestamp,
    /// The attribution model that conversions and value are credited by.
    pub model: String,
    /// Every channel on which something was spent.
    pub channels: Vec<ChannelSpend>,
    /// Every source for which something was spent.
    pub sources: Vec<SourceSpend>,
    /// Costs that name neither a channel nor a source whose channel is known.
    pub unallocated_cost: MoneyText,
}

/// What was spent on a channel.
#[derive(Debug, Serialize)]
pub struct ChannelSpend {
    /// The channel.
    pub channel: String,
    /// What was spent.
    pub cost: MoneyText,
    /// How often something was shown, where that is known.
    pub impressions: Option<i64>,
    /// How often it was clicked, where that is known.
    pub clicks: Option<i64>,
    /// The conversions it is credited with.
    pub conversions: f64,
    /// What they were worth.
    pub value: MoneyText,
    /// Cost by conversions; absent while there is less than one.
    pub cost_per_conversion: MoneyText,
    /// Value by cost, where both are in one currency.
    pub return_on_spend: MoneyText,
}

/// What was spent for a source.
#[derive(Debug, Serialize)]
pub struct SourceSpend {
    /// The source.
    pub source: String,
    /// What was spent.
    pub cost: MoneyText,
    /// Cost by new people, as the scorecard has it.
    pub cost_per_lead: Option<Metric>,
    /// Cost by customers.
    pub cac: Option<Metric>,
    /// Revenue by cost.
    pub roas: Option<Metric>,
}

/// The costs, beside what the credits of one model and the scorecards say of them.
///
/// # Errors
/// [`crate::Error::NotFound`] when nothing was measured yet, or that model was not.
pub async fn spend(engine: &Engine, model: &str) -> Result<SpendReport> {
    let measured = Measured::load(engine).await?;
    let model = measured.check_model(model)?;
    let Tallies { channels, unattributed: _, unnamed: _, unallocated } = tally(&measured, &model, Level::Channel)?;
    let spent = channels.into_iter().filter(|(_, tally)| tally.cost != Amounts::default() || tally.clicks.is_some());
    let channels = spent.map(|(channel, tally)| ChannelSpend {
        channel,
        cost: tally.cost.text(),
        impressions: tally.impressions,
        clicks: tally.clicks,
        conversions: tidy(tally.conversions),
        value: tally.value.text(),
        cost_per_conversion: tally.cost.per(tally.conversions),
        return_on_spend: tally.value.over(&tally.cost),
    });
    Ok(SpendReport {
        version: VERSION,
        as_of: measured.at,
        model,
        channels: channels.collect(),
        sources: of_sources(&measured)?,
        unallocated_cost: unallocated.text(),
    })
}

fn of_sources(measured: &Measured) -> Result<Vec<SourceSpend>> {
    let mut by_source: BTreeMap<String, Amounts> = BTreeMap::new();
    for part in spent(&measured.snapshot)? {
        if let Some(source) = &part.source {
            let (currency, amount) = part.counted(measured.currency.as_deref());
            by_source.entry(source.clone()).or_default().add(currency, amount);
        }
    }
    let cards = sources::cards(measured)?;
    let rows = by_source.into_iter().map(|(source, cost)| {
        let card = cards.iter().find(|card| card.source == source);
        let metric = |name: &str| card.and_then(|card| card.metric(name)).cloned();
        SourceSpend {
            cost: cost.text(),
            cost_per_lead: metric("cost_per_lead"),
            cac: metric("cac"),
            roas: metric("roas"),
            source,
        }
    });
    Ok(rows.collect())
}
