//! Which channel earned the conversions.

use std::collections::BTreeMap;

use headwater_model::tables;
use jiff::Timestamp;
use serde::Serialize;

use super::{Amounts, Measured, MoneyText, VERSION, channel_of, channel_of_source, tidy};
use crate::cells::each;
use crate::engine::Engine;
use crate::error::Result;
use crate::measure::{is_refund, spent};

/// The channel that measure gives a conversion no touch explains.
pub(super) const UNATTRIBUTED: &str = "unattributed";

/// By what credits are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The channel of the touch.
    #[default]
    Channel,
    /// Its campaign.
    Campaign,
    /// The source, such as a list or a form, that the touch is from.
    Source,
    /// Who sold or runs it.
    Vendor,
    /// The sales representative of the conversion.
    Rep,
    /// The category of what was bought.
    Category,
}

impl Level {
    /// The word for it, which is the column of `credit` as well.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Campaign => "campaign",
            Self::Source => "source",
            Self::Vendor => "vendor",
            Self::Rep => "rep",
            Self::Category => "category",
        }
    }
}

/// The conversions of each channel under one model.
#[derive(Debug, Serialize)]
pub struct ChannelsReport {
    /// The version of this shape.
    pub version: u32,
    /// When it was measured.
    pub as_of: Timestamp,
    /// The attribution model.
    pub model: String,
    /// By what the credits are added up.
    pub by: Level,
    /// How many days before a conversion a touch may lie.
    pub window_days: u64,
    /// Every channel that earned or cost something, the one with the most conversions first.
    pub channels: Vec<ChannelRow>,
    /// Conversions that no touch of a known person explains.
    pub unattributed: f64,
    /// What those were worth.
    pub unattributed_value: MoneyText,
    /// Credited conversions of which nobody knows the campaign, vendor or what else they are added up by; zero by channel.
    pub unnamed: f64,
    /// What those were worth.
    pub unnamed_value: MoneyText,
    /// Costs that name neither a channel nor a source whose channel is known.
    pub unallocated_cost: MoneyText,
}

/// One channel, or one of what else credits are added up by.
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
    pub(super) unnamed: Tally,
    pub(super) unallocated: Amounts,
}

/// The credits of one model by channel, beside the costs.
///
/// # Errors
/// [`crate::Error::NotFound`] when nothing was measured yet, or that model was not.
pub async fn channels(engine: &Engine, model: &str, by: Level) -> Result<ChannelsReport> {
    let measured = Measured::load(engine).await?;
    let model = measured.check_model(model)?;
    let Tallies { channels, unattributed, unnamed, unallocated } = tally(&measured, &model, by)?;
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
        by,
        window_days: measured.window_days,
        channels,
        unattributed: tidy(unattributed.conversions),
        unattributed_value: unattributed.value.text(),
        unnamed: tidy(unnamed.conversions),
        unnamed_value: unnamed.value.text(),
        unallocated_cost: unallocated.text(),
    })
}

pub(super) fn tally(measured: &Measured, model: &str, by: Level) -> Result<Tallies> {
    let snapshot = &measured.snapshot;
    let target = measured.currency.as_deref();
    let mut tallies = Tallies::default();
    let mut columns = vec!["model", "channel", "share", "value", "currency", "converted", "kind"];
    if by != Level::Channel {
        columns.push(by.as_str());
    }
    for batch in snapshot.read(&tables::CREDIT, &columns, None)? {
        for row in each(&[batch?]) {
            if row.text("model")? != Some(model) {
                continue;
            }
            let tally = match (row.text("channel")?, row.text(by.as_str())?) {
                // Of a conversion that no touch explains, who sold it and what it was is known all the same.
                (None | Some(UNATTRIBUTED), _) if !matches!(by, Level::Rep | Level::Category) => &mut tallies.unattributed,
                (_, Some(name)) => of(&mut tallies.channels, name),
                (_, None) => &mut tallies.unnamed,
            };
            if !row.text("kind")?.is_some_and(is_refund) {
                tally.conversions += row.float("share")?.unwrap_or_default();
            }
            match (row.amount("converted")?, row.amount("value")?, target, row.text("currency")?) {
                (Some(converted), _, Some(target), _) => tally.value.add(target, converted),
                (_, Some(value), _, Some(currency)) => tally.value.add(currency, value),
                _ => {}
            }
        }
    }
    let of_source = channel_of_source(snapshot)?;
    for part in spent(snapshot)? {
        let (currency, amount) = part.counted(target);
        let name = match by {
            Level::Channel => channel_of(&part, &of_source),
            Level::Campaign => part.campaign.as_deref(),
            Level::Source => part.source.as_deref(),
            // Nobody says for which of them something was spent.
            Level::Vendor | Level::Rep | Level::Category => continue,
        };
        let Some(name) = name else {
            tallies.unallocated.add(currency, amount);
            continue;
        };
        let tally = of(&mut tallies.channels, name);
        tally.cost.add(currency, amount);
        for (sum, counted) in [(&mut tally.impressions, part.impressions), (&mut tally.clicks, part.clicks)] {
            if let Some(counted) = counted {
                *sum = Some(sum.unwrap_or_default() + counted);
            }
        }
    }
    Ok(tallies)
}

fn of<'a>(channels: &'a mut BTreeMap<String, Tally>, channel: &str) -> &'a mut Tally {
    channels.entry(channel.to_owned()).or_default()
}
