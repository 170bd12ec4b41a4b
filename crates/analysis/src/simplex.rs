//! The minimum of a function of a few numbers, without derivatives (Nelder and Mead 1965).
//!
//! Deterministic: the same start leads to the same answer. It is started anew from its answer until that no longer moves, since a
//! simplex that has become flat stops short of the minimum.

/// Steps of one run; a function of three or four numbers needs some two hundred.
const MAX_STEPS: u32 = 4_000;
/// Runs from the answer of the one before.
const MAX_RUNS: u32 = 12;
/// The spread of the values at the corners below which a run ends.
const FLAT: f64 = 1e-11;
/// The gain of a run below which there is no further one.
const SETTLED: f64 = 1e-10;

/// The place of a minimum near `start`, and the value there.
pub(crate) fn minimise<const N: usize>(start: [f64; N], mut f: impl FnMut(&[f64; N]) -> f64) -> ([f64; N], f64) {
    let mut best = (start, finite(f(&start)));
    for _ in 0..MAX_RUNS {
        let found = run(best.0, &mut f);
        let gain = best.1 - found.1;
        if gain > 0.0 {
            best = found;
        }
        if gain <= SETTLED * (1.0 + best.1.abs()) {
            break;
        }
    }
    best
}

fn run<const N: usize>(start: [f64; N], f: &mut impl FnMut(&[f64; N]) -> f64) -> ([f64; N], f64) {
    let mut corners: Vec<([f64; N], f64)> = vec![(start, finite(f(&start)))];
    for axis in 0..N {
        let mut corner = start;
        if let Some(value) = corner.get_mut(axis) {
            *value += if value.abs() > 1.0 { 0.1 * *value } else { 0.1 };
        }
        corners.push((corner, finite(f(&corner))));
    }
    for _ in 0..MAX_STEPS {
        corners.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (Some(&(best, low)), Some(&(worst, high))) = (corners.first(), corners.last()) else { break };
        if high - low <= FLAT * (1.0 + low.abs()) {
            break;
        }
        let next_to_worst = corners.iter().rev().nth(1).map_or(high, |corner| corner.1);
        let centre = centre(corners.get(..N).unwrap_or(&corners));
        let mut tried = |along: f64| {
            let place = std::array::from_fn(|axis| at(&centre, axis) + along * (at(&worst, axis) - at(&centre, axis)));
            (place, finite(f(&place)))
        };
        let reflected = tried(-1.0);
        let replacement = if reflected.1 < low {
            let further = tried(-2.0);
            Some(if further.1 < reflected.1 { further } else { reflected })
        } else if reflected.1 < next_to_worst {
            Some(reflected)
        } else {
            let inner = tried(if reflected.1 < high { -0.5 } else { 0.5 });
            (inner.1 < high.min(reflected.1)).then_some(inner)
        };
        match (replacement, corners.last_mut()) {
            (Some(replacement), Some(last)) => *last = replacement,
            _ => {
                for corner in corners.iter_mut().skip(1) {
                    corner.0 = std::array::from_fn(|axis| f64::midpoint(at(&best, axis), at(&corner.0, axis)));
                    corner.1 = finite(f(&corner.0));
                }
            }
        }
    }
    corners.sort_by(|a, b| a.1.total_cmp(&b.1));
    corners.first().copied().unwrap_or((start, f64::INFINITY))
}

fn centre<const N: usize>(corners: &[([f64; N], f64)]) -> [f64; N] {
    std::array::from_fn(|axis| corners.iter().map(|(corner, _)| at(corner, axis)).sum::<f64>() / corners.len() as f64)
}

fn at<const N: usize>(place: &[f64; N], axis: usize) -> f64 {
    place.get(axis).copied().unwrap_or(0.0)
}

/// What is no number is as bad as can be.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curved_valley_is_followed_to_its_end() {
        let (place, value) = minimise([-1.2, 1.0], |[x, y]| 100.0 * (y - x * x).powi(2) + (1.0 - x).powi(2));
        assert!(value < 1e-10 && (place[0] - 1.0).abs() < 1e-5 && (place[1] - 1.0).abs() < 1e-5, "{place:?}");
    }

    #[test]
    fn what_is_no_number_is_no_minimum() {
        let (place, _) = minimise([3.0], |[x]| if *x < 1.0 { f64::NAN } else { (x - 1.5).powi(2) });
        assert!((place[0] - 1.5).abs() < 1e-4);
    }
}
