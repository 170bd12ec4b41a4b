//! Groups of customers by recency, frequency and amount.
//!
//! [`scores`] gives each customer a fifth of all from 1 to 5 in each of the three, and a segment with a name. [`clusters`] finds groups
//! that the customers themselves form.

/// What is known of a customer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Activity {
    /// Days since the last purchase.
    pub idle_days: f64,
    /// Purchases.
    pub purchases: f64,
    /// What was spent.
    pub spent: f64,
}

/// A kind of customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// Bought lately, often, and much.
    Champion,
    /// Buys often.
    Loyal,
    /// Bought lately, not often yet.
    New,
    /// Used to buy often and has not for long.
    AtRisk,
    /// Bought little, long ago.
    Dormant,
    /// None of these.
    Regular,
}

/// The scores of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scores {
    /// 5 for the fifth that bought last.
    pub recency: u8,
    /// 5 for the fifth that bought most often.
    pub frequency: u8,
    /// 5 for the fifth that spent most.
    pub amount: u8,
    /// What they add up to.
    pub segment: Segment,
}

impl Segment {
    /// Its name in the lake and in audiences.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Loyal => "loyal",
            Self::New => "new",
            Self::AtRisk => "at_risk",
            Self::Dormant => "dormant",
            Self::Regular => "regular",
        }
    }
}

/// The scores of each customer, in their order. Equals have equal scores.
#[must_use]
pub fn scores(customers: &[Activity]) -> Vec<Scores> {
    let fifths = |of: fn(&Activity) -> f64| {
        let mut sorted: Vec<f64> = customers.iter().map(of).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        move |activity: &Activity| {
            // The middle of the places that equals take.
            let below = sorted.partition_point(|value| *value < of(activity));
            let up_to = sorted.partition_point(|value| *value <= of(activity));
            u8::try_from((below + up_to.saturating_sub(1)) / 2 * 5 / sorted.len().max(1)).unwrap_or(4).min(4) + 1
        }
    };
    let recency = fifths(|activity| -activity.idle_days);
    let frequency = fifths(|activity| activity.purchases);
    let amount = fifths(|activity| activity.spent);
    customers
        .iter()
        .map(|activity| {
            let (recency, frequency, amount) = (recency(activity), frequency(activity), amount(activity));
            Scores { recency, frequency, amount, segment: segment(recency, frequency, amount) }
        })
        .collect()
}

fn segment(recency: u8, frequency: u8, amount: u8) -> Segment {
    match (recency, frequency, amount) {
        (4.., 4.., 4..) => Segment::Champion,
        (..=2, 4.., _) => Segment::AtRisk,
        (_, 4.., _) => Segment::Loyal,
        (4.., ..=2, _) => Segment::New,
        (..=2, ..=2, _) => Segment::Dormant,
        _ => Segment::Regular,
    }
}

/// A group that customers form.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Its customers, by their place.
    pub members: Vec<usize>,
    /// The geometric middle of its members.
    pub middle: Activity,
}

/// Rounds after which groups stay as they are.
const ROUNDS: usize = 100;

/// Groups of customers that are near each other on logarithmic scales (k-means, started from the customers farthest apart, so that
/// it needs no seed). Largest first; fewer than `groups` where customers are too alike.
#[must_use]
pub fn clusters(customers: &[Activity], groups: usize) -> Vec<Cluster> {
    let places = standardised(customers);
    let mut middles: Vec<[f64; 3]> = Vec::new();
    // The first start is the customer nearest to the middle of all.
    let mut next = places.iter().copied().min_by(|a, b| distance(a, &[0.0; 3]).total_cmp(&distance(b, &[0.0; 3])));
    while let Some(start) = next.filter(|_| middles.len() < groups) {
        middles.push(start);
        let apart = |place: &[f64; 3]| middles.iter().map(|middle| distance(place, middle)).fold(f64::INFINITY, f64::min);
        next = places.iter().copied().max_by(|a, b| apart(a).total_cmp(&apart(b))).filter(|farthest| apart(farthest) > 1e-12);
    }
    let mut group_of: Vec<usize> = Vec::new();
    for _ in 0..ROUNDS {
        let nearest = |place: &[f64; 3]| {
            let by_distance =
                |a: &(usize, &[f64; 3]), b: &(usize, &[f64; 3])| distance(place, a.1).total_cmp(&distance(place, b.1));
            middles.iter().enumerate().min_by(by_distance).map_or(0, |(group, _)| group)
        };
        let now: Vec<usize> = places.iter().map(nearest).collect();
        if now == group_of {
            break;
        }
        group_of = now;
        for (group, middle) in middles.iter_mut().enumerate() {
            let members: Vec<&[f64; 3]> =
                places.iter().zip(&group_of).filter(|(_, own)| **own == group).map(|(place, _)| place).collect();
            if !members.is_empty() {
                *middle = std::array::from_fn(|axis| {
                    members.iter().filter_map(|place| place.get(axis)).sum::<f64>() / members.len() as f64
                });
            }
        }
    }
    let mut found: Vec<Cluster> = (0..middles.len())
        .map(|group| {
            let members: Vec<usize> = (0..customers.len()).filter(|at| group_of.get(*at) == Some(&group)).collect();
            Cluster { middle: middle(customers, &members), members }
        })
        .filter(|cluster| !cluster.members.is_empty())
        .collect();
    found.sort_by_key(|cluster| (std::cmp::Reverse(cluster.members.len()), cluster.members.first().copied()));
    found
}

fn logs(Activity { idle_days, purchases, spent }: &Activity) -> [f64; 3] {
    [idle_days, purchases, spent].map(|value| value.max(0.0).ln_1p())
}

fn standardised(customers: &[Activity]) -> Vec<[f64; 3]> {
    let mut places: Vec<[f64; 3]> = customers.iter().map(logs).collect();
    let n = places.len().max(1) as f64;
    for axis in 0..3 {
        let at = |place: &[f64; 3]| place.get(axis).copied().unwrap_or(0.0);
        let mean = places.iter().map(at).sum::<f64>() / n;
        let deviation = (places.iter().map(|place| (at(place) - mean).powi(2)).sum::<f64>() / n).sqrt();
        for value in places.iter_mut().filter_map(|place| place.get_mut(axis)) {
            *value = if deviation > 0.0 { (*value - mean) / deviation } else { 0.0 };
        }
    }
    places
}

fn middle(customers: &[Activity], members: &[usize]) -> Activity {
    let n = members.len().max(1) as f64;
    let mean = |axis: usize| {
        let logs = members.iter().filter_map(|at| customers.get(*at)).filter_map(|customer| logs(customer).get(axis).copied());
        (logs.sum::<f64>() / n).exp_m1()
    };
    Activity { idle_days: mean(0), purchases: mean(1), spent: mean(2) }
}

fn distance(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}
