//! The models that need all journeys: what each channel earns of the whole.

use super::{
    ChannelCredit, ChannelId, Error, Model, Totals, chain, channels::Channels, coalition::Game, outcome, paths::PathTable,
    total::Tally,
};

/// What every channel earns, in the order in which the table met them: conversions and value.
pub(super) struct Earned(pub(super) Vec<(f64, f64)>);

/// The totals under a model that needs all journeys.
pub(super) fn totals(paths: &PathTable, channels: &Channels, model: Model) -> Result<Totals, Error> {
    let Earned(earned) = earned(paths, channels, model)?;
    let mut tally = Tally::new(channels);
    for ((conversions, value), id) in earned.into_iter().zip(0..) {
        tally.earn(ChannelId(id), conversions, value);
    }
    let mut totals = tally.finish(channels);
    let (conversions, value) = paths.worth();
    // Sums of floats leave a crumb where nothing is left.
    let left = |whole: f64, of: fn(&ChannelCredit) -> f64| {
        let left = totals.channels.iter().fold(whole, |left, channel| left - of(channel));
        if left.abs() <= whole.abs() * 1e-12 { 0.0 } else { left }
    };
    let (conversions, value) = (left(conversions, |channel| channel.conversions), left(value, |channel| channel.value));
    (totals.unattributed, totals.unattributed_value) = (conversions, value);
    Ok(totals)
}

pub(super) fn earned(paths: &PathTable, channels: &Channels, model: Model) -> Result<Earned, Error> {
    let ranks = channels.ranks();
    // Conversions without a touch belong to nobody under any model.
    let (conversions, value) = paths.touched();
    let by_rank: [Vec<f64>; 2] = match model {
        Model::Markov { order } => {
            let removal = chain::removal(paths, &ranks, order.get() as usize)?;
            [scaled(&removal.conversions, conversions), scaled(&removal.value, value)]
        }
        Model::ShapleyRate => {
            let [by_conversions, by_value] = Game::of(paths, &ranks)?.rates();
            [scaled(&by_conversions, conversions), scaled(&by_value, value)]
        }
        Model::Counterfactual => {
            let effects = outcome::effects(paths, &ranks)?;
            let each = if conversions > 0.0 { value / conversions } else { 0.0 };
            let values = effects.iter().map(|effect| effect * each).collect();
            [effects, values]
        }
        _ => return Ok(Earned(Vec::new())),
    };
    let at = |of: &[f64], rank: u32| of.get(rank as usize).copied().unwrap_or(0.0);
    let [conversions, values] = by_rank;
    Ok(Earned(ranks.iter().map(|rank| (at(&conversions, *rank), at(&values, *rank))).collect()))
}

/// The parts in proportion, so that they add up to the whole; nothing where the parts cancel out.
fn scaled(parts: &[f64], whole: f64) -> Vec<f64> {
    let sum: f64 = parts.iter().sum();
    let size: f64 = parts.iter().map(|part| part.abs()).sum();
    if sum.abs() <= size * 1e-9 || !sum.is_finite() {
        return vec![0.0; parts.len()];
    }
    parts.iter().map(|part| whole * part / sum).collect()
}
