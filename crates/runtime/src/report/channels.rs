//! Which channel earned the conversions.

use std::collections::BTreeMap;

use headwater_model::tables;
use jiff::Timestamp;
use serde::Serialize;

use super::{Amounts, COST_COLUMNS, Measured, MoneyText, VERSION, channel_of_source, costs, tidy};
use crate::cells::each;
use crate::engine::Engine;
use crate::error::Result;
use crate::rows::{latest, load};

/// The channel that measure gives a conversion no touch explains.
pub(super) const UNATTRIBUTED: &str = "unattributed";

/// The conversions of each channel under one model.
#[derive(Debug, Serialize)]
pub struct ChannelsReport {
    /// The version of this shape.
    pub version: u32,
    /// When it was measured.
    pub as_of: Timestamp,
    /// The attribution model.
    pub model: String,
    /// How many days before a conversion a touch may lie.
    pub window_days: u64,
    /// Every channel that earned or cost something, the one with the most conversions first.
    pub channels: Vec<ChannelRow>,
    /// Conversions that no touch of a known person explains.
    pub unattributed: f64,
    /// What those were worth.
    pub unattributed_value: MoneyText,
    /// Costs that name neither a channel nor a source whose channel is known.
    pub unallocated_cost: MoneyText,
}

/// One channel.
#[derive(Debug, Serialize)]
pub struct ChannelRow {
    /// Its name.
    pub channel: String,
    /// The conversions it is credited with; a shared one counts by its share.
    pub conversions: f64,
    /// What they were worth.
    pub value: MoneyText,
    /// What it cost.
    pub cost: MoneyText,
}

/// What one channel earned and cost.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) conversions: f64,
    pub(super) value: Amounts,
    pub(super) cost: Amounts,
    pub(super) impressions: Option<i64>,
    pub(super) clicks: Option<i64>,
}

/// What every channel earned under a model, and what it cost; the last is what cannot be told.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    pub(super) channels: BTreeMap<String, Tally>,
    pub(super) unattributed: Tally,
    pub(super) unallocated: Amounts,
}

/// The credits of one model by channel, beside the costs.
///
/// # Errors
/// [`crate::Error::NotFound`] when nothing was measured yet, or that model was not.
pub async fn channels(engine: &Engine, model: &str) -> Result<ChannelsReport> {
    let measured = Measured::load(engine).await?;
    let model = measured.check_model(model)?;
    let Tallies { channels, unattributed, unallocated } = tally(&measured, &model)?;
    let row = |(channel, tally): (String, Tally)| ChannelRow {
        channel,
        conversions: tidy(tally.conversions),
        value: tally.value.text(),
        cost: tally.cost.text(),
    };
    let mut channels: Vec<ChannelRow> = channels.into_iter().map(row).collect();
    channels.sort_by(|one, two| two.conversions.total_cmp(&one.conversions).then_with(|| one.channel.cmp(&two.channel)));
    Ok(ChannelsReport {
        version: VERSION,
        as_of: measured.at,
        model,
        window_days: measured.window_days,
        channels,
        unattributed: tidy(unattributed.conversions),
        unattributed_value: unattributed.value.text(),
        unallocated_cost: unallocated.text(),
    })
}

pub(super) fn tally(measured: &Measured, model: &str) -> Result<Tallies> {
    let snapshot = &measured.snapshot;
    let mut tallies = Tallies::default();
    for row in each(&load(snapshot, &tables::CREDIT, &["model", "channel", "share", "value", "currency"])?) {
        if row.text("model")? != Some(model) {
            continue;
        }
        let tally = match row.text("channel")? {
            Some(channel) if channel != UNATTRIBUTED => of(&mut tallies.channels, channel),
            _ => &mut tallies.unattributed,
        };
        tally.conversions += row.float("share")?.unwrap_or_default();
        if let (Some(value), Some(currency)) = (row.amount("value")?, row.text("currency")?) {
            tally.value.add(currency, value);
        }
    }
    let of_source = channel_of_source(snapshot)?;
    for cost in costs(&latest(load(snapshot, &tables::COST, COST_COLUMNS)?, "cost_id")?)? {
        let Some(channel) = cost.channel(&of_source)? else {
            tallies.unallocated.add(cost.currency, cost.amount);
            continue;
        };
        let tally = of(&mut tallies.channels, channel);
        tally.cost.add(cost.currency, cost.amount);
        for (sum, column) in [(&mut tally.impressions, "impressions"), (&mut tally.clicks, "clicks")] {
            if let Some(counted) = cost.row.integer(column)? {
                *sum = Some(sum.unwrap_or_default() + counted);
            }
        }
    }
    Ok(tallies)
}

fn of<'a>(channels: &'a mut BTreeMap<String, Tally>, channel: &str) -> &'a mut Tally {
    channels.entry(channel.to_owned()).or_default()
}
