//! Intervals of proportions.

/// A range of plausible values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether a value lies inside; the ends do.
    #[must_use]
    pub fn covers(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// Wilson's score interval of `successes` among `cases`, `z` standard errors wide to each side; without cases there is none.
///
/// Unlike the textbook interval it stays inside 0 to 1 and keeps its coverage for the small counts that sources begin with.
/// More successes than cases are taken as all.
///
/// ```
/// use headwater_analysis::quality::{Z_95, wilson};
///
/// let interval = wilson(2, 60, Z_95).unwrap();
/// assert!((interval.low - 0.009189).abs() < 1e-6 && (interval.high - 0.113638).abs() < 1e-6);
/// ```
#[must_use]
pub fn wilson(successes: u64, cases: u64, z: f64) -> Option<Interval> {
    if cases == 0 {
        return None;
    }
    let (centre, half, rate) = around(successes.min(cases) as f64 / cases as f64, cases as f64, z);
    // At the ends the two terms cancel in theory and differ by a rounding error in floats.
    let low = if successes == 0 { 0.0 } else { (centre - half).clamp(0.0, rate) };
    let high = if successes >= cases { 1.0 } else { (centre + half).clamp(rate, 1.0) };
    Some(Interval { low, high })
}

/// The same for a rate that was not counted: of so many cases in effect, which need not be a whole number.
#[must_use]
pub fn wilson_of(rate: f64, cases: f64, z: f64) -> Interval {
    let (centre, half, rate) = around(rate.clamp(0.0, 1.0), cases, z);
    Interval { low: (centre - half).clamp(0.0, rate), high: (centre + half).clamp(rate, 1.0) }
}

/// Wilson's centre and half width, and the rate.
fn around(rate: f64, n: f64, z: f64) -> (f64, f64, f64) {
    let z2 = z * z;
    let centre = (rate + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    (centre, half, rate)
}
