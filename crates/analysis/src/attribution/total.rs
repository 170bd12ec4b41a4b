//! Sums that do not depend on the order of what is added, and amounts that are shared out to the last unit.

use super::{ChannelCredit, ChannelId, Error, Totals, channels::Channels};

/// The largest amount of one row. With it four thousand million rows cannot overflow a [`Sum`].
const MAX_AMOUNT: f64 = 1e15;

/// A sum in fixed point: integer addition has one result in whatever order, float addition has not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum(i128);

/// What each channel has earned so far.
#[derive(Debug)]
pub(super) struct Tally {
    earned: Vec<(Sum, Sum)>,
    unattributed: (Sum, Sum),
}

/// Shares an amount out in whole units, so that the parts add up to the amount exactly.
///
/// The units left over by rounding go to the parts that lost most by it, the earlier first. Shares that add up to nothing earn
/// nothing.
///
/// ```
/// use headwater_analysis::attribution::apportion;
///
/// assert_eq!(apportion(100, &[1.0 / 3.0; 3]), [34, 33, 33]);
/// assert_eq!(apportion(-5, &[0.5, 0.5]), [-3, -2]);
/// ```
#[must_use]
pub fn apportion(amount: i64, shares: &[f64]) -> Vec<i64> {
    const UNITS_PER_ONE: f64 = (1_u64 << 53) as f64;
    #[expect(clippy::cast_possible_truncation, reason = "a share is near one, and 64 bits hold 2^10 times as much")]
    let weights: Vec<i128> = shares.iter().map(|share| i128::from((share * UNITS_PER_ONE).round() as i64)).collect();
    let total: i128 = weights.iter().sum();
    if total <= 0 {
        return vec![0; shares.len()];
    }
    let size = i128::from(amount).abs();
    let mut parts: Vec<i128> = weights.iter().map(|weight| (size * weight).div_euclid(total)).collect();
    let mut by_loss: Vec<usize> = (0..shares.len()).collect();
    by_loss.sort_by_key(|at| std::cmp::Reverse(weights.get(*at).map_or(0, |weight| (size * weight).rem_euclid(total))));

    let missing = usize::try_from(size - parts.iter().sum::<i128>()).unwrap_or(0);
    for at in by_loss.into_iter().take(missing) {
        if let Some(part) = parts.get_mut(at) {
            *part += 1;
        }
    }
    let sign = i128::from(amount.signum());
    parts.into_iter().map(|part| i64::try_from(part * sign).unwrap_or(i64::MAX)).collect()
}

impl Sum {
    const UNITS_PER_ONE: f64 = (1_u64 << 44) as f64;

    pub(super) fn add(&mut self, amount: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "amounts are checked against MAX_AMOUNT before")]
        let units = (amount * Self::UNITS_PER_ONE).round() as i128;
        self.0 += units;
    }

    pub(super) fn get(self) -> f64 {
        self.0 as f64 / Self::UNITS_PER_ONE
    }
}

impl Tally {
    pub(super) fn new(channels: &Channels) -> Self {
        Self { earned: vec![Default::default(); channels.len()], unattributed: Default::default() }
    }

    pub(super) fn earn(&mut self, channel: ChannelId, conversions: f64, value: f64) {
        if let Some((conversion_sum, value_sum)) = usize::try_from(channel.0).ok().and_then(|at| self.earned.get_mut(at)) {
            conversion_sum.add(conversions);
            value_sum.add(value);
        }
    }

    pub(super) fn leave(&mut self, conversions: f64, value: f64) {
        self.unattributed.0.add(conversions);
        self.unattributed.1.add(value);
    }

    pub(super) fn finish(self, channels: &Channels) -> Totals {
        let Self { earned, unattributed } = self;
        let mut channels: Vec<_> = channels
            .names()
            .zip(earned)
            .map(|(name, (conversions, value))| ChannelCredit {
                channel: name.to_owned(),
                conversions: conversions.get(),
                value: value.get(),
            })
            .collect();
        channels.sort_by(|a, b| a.channel.cmp(&b.channel));
        Totals { channels, unattributed: unattributed.0.get(), unattributed_value: unattributed.1.get() }
    }
}

/// A number of conversions: not negative, and small enough to be summed.
pub(super) fn checked_count(column: &'static str, count: f64) -> Result<f64, Error> {
    if (0.0..=MAX_AMOUNT).contains(&count) {
        Ok(count)
    } else {
        Err(Error::BadNumber { column, expected: "a number from 0 to 1e15" })
    }
}

/// A value: of either sign, since refunds are negative, and small enough to be summed.
pub(super) fn checked_value(column: &'static str, value: f64) -> Result<f64, Error> {
    if value.abs() <= MAX_AMOUNT { Ok(value) } else { Err(Error::BadNumber { column, expected: "a number from -1e15 to 1e15" }) }
}
