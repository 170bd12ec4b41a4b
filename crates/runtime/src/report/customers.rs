//! Which origin brings good customers: who buys again, who is leaving, what they will be worth.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use headwater_analysis::customer::affinity::{Rule, rules};
use headwater_analysis::customer::orders::{Order, Purchases, purchases};
use headwater_analysis::customer::origin::{Models, Origin, origins};
use headwater_analysis::customer::segment::{Activity, clusters, scores};
use headwater_analysis::quality::drift::FALSE_DISCOVERIES;
use headwater_model::tables;
use jiff::Timestamp;
use serde::Serialize;

use super::{Measured, VERSION};
use crate::cells::each;
use crate::engine::Engine;
use crate::error::Result;
use crate::measure::{Exchange, HORIZON, activity, is_refund, known, orders, owners};
use crate::rows::{latest, load};

/// The groups that are looked for.
const CLUSTERS: usize = 4;
/// Customers below which groups are chance.
const CLUSTERED: usize = 20;
/// Rules about products that the report names.
const SHOWN: usize = 25;

/// The customers, by currency: amounts of two are never one.
#[derive(Debug, Serialize)]
pub struct CustomersReport {
    /// The version of this shape.
    pub version: u32,
    /// When it was measured.
    pub as_of: Timestamp,
    /// The months over which value is expected.
    pub horizon_months: u32,
    /// Every currency in which somebody bought.
    pub currencies: Vec<CurrencyCustomers>,
    /// Products that are bought by the same customers more often than by chance, the strongest first.
    pub affinity: Vec<Affinity>,
    /// Customers of whom a product is known.
    pub with_product: u64,
}

/// Who buys the one buys the other.
#[derive(Debug, Clone, Serialize)]
pub struct Affinity {
    /// What they have.
    pub has: String,
    /// What they buy as well.
    pub buys: String,
    /// Customers with both.
    pub both: u64,
    /// Of those with the one, the part that has the other.
    pub confidence: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How many times as often as among all customers.
    pub lift: f64,
}

/// A group that customers form by how long ago, how often and for how much they bought.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterRow {
    /// Customers.
    pub customers: u64,
    /// Days since the last purchase, in the middle of the group.
    pub idle_days: f64,
    /// Purchases.
    pub purchases: f64,
    /// What they have spent.
    pub spent: f64,
}

/// The customers who buy in one currency.
#[derive(Debug, Serialize)]
pub struct CurrencyCustomers {
    /// The currency.
    pub currency: String,
    /// Customers.
    pub customers: u64,
    /// Why no value and no risk is expected, where none is.
    pub refusal: Option<String>,
    /// By the source that brought them first.
    pub sources: Vec<OriginRow>,
    /// By the channel they came through first.
    pub channels: Vec<OriginRow>,
    /// How many are of which segment.
    pub segments: BTreeMap<&'static str, u64>,
    /// The groups that they form by themselves, the largest first.
    pub clusters: Vec<ClusterRow>,
}

/// The customers of one origin.
#[derive(Debug, Serialize)]
pub struct OriginRow {
    /// The source or channel.
    pub origin: String,
    /// Customers.
    pub customers: u64,
    /// Of them, those who bought on more than one day.
    pub repeaters: u64,
    /// The one by the other.
    pub repeat_rate: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// What a customer has spent so far, on average.
    pub mean_spent: f64,
    /// The part that is expected not to come back.
    pub churn_risk: Option<f64>,
    /// What a customer is expected to spend within the horizon, on average.
    pub expected_value: Option<f64>,
}

/// The customers by origin.
///
/// # Errors
/// [`crate::Error::NotFound`] when nothing was measured yet.
pub async fn customers(engine: &Engine) -> Result<CustomersReport> {
    let measured = Measured::load(engine).await?;
    let people: HashMap<String, (String, String)> =
        known(&measured.snapshot)?.into_iter().map(|known| (known.person.id, (known.person.source, known.channel))).collect();
    let mut currencies = Vec::new();
    for (currency, orders) in orders(&measured.snapshot, |id| people.contains_key(id), &Exchange::load(engine)?)? {
        let rows: Vec<Order<'_>> =
            orders.iter().map(|(customer, at_us, amount)| Order { customer, at_us: *at_us, amount: *amount }).collect();
        let bought = purchases(&rows, measured.at_us);
        if !bought.is_empty() {
            currencies.push(of_currency(currency, &bought, &people));
        }
    }
    let baskets = baskets(&measured, &people)?;
    let sets: Vec<BTreeSet<&str>> = baskets.values().map(|products| products.iter().map(String::as_str).collect()).collect();
    let affinity = rules(&sets, FALSE_DISCOVERIES).into_iter().take(SHOWN).map(affinity).collect();
    let with_product = baskets.len() as u64;
    Ok(CustomersReport {
        version: VERSION,
        as_of: measured.at,
        horizon_months: HORIZON.periods,
        currencies,
        affinity,
        with_product,
    })
}

fn affinity(rule: Rule) -> Affinity {
    let Rule { has, buys, both, support: _, confidence, interval, lift } = rule;
    Affinity { has, buys, both, confidence, low: interval.low, high: interval.high, lift }
}

/// The products of each customer. An order may name several, with `;` between them.
fn baskets(measured: &Measured, people: &HashMap<String, (String, String)>) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let owners = owners(&measured.snapshot, |id| people.contains_key(id))?;
    let mut baskets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let columns = ["conversion_id", "kind", "product"];
    for row in each(&latest(load(&measured.snapshot, &tables::CONVERSION, &columns)?, "conversion_id")?) {
        let owner = row.text("conversion_id")?.and_then(|id| owners.get(id));
        let (Some(owner), Some(products)) = (owner, row.text("product")?) else { continue };
        if !is_refund(row.text("kind")?.unwrap_or_default()) {
            let named = products.split(';').map(str::trim).filter(|product| !product.is_empty());
            baskets.entry(owner.clone()).or_default().extend(named.map(str::to_owned));
        }
    }
    baskets.retain(|_, products| !products.is_empty());
    Ok(baskets)
}

fn of_currency(currency: String, bought: &[Purchases], people: &HashMap<String, (String, String)>) -> CurrencyCustomers {
    let models = Models::fit(bought);
    let refusal = models.buying.err().or(models.spending.err()).map(|refusal| refusal.to_string());
    let by = |of: fn(&(String, String)) -> &str| {
        let named = bought.iter().filter_map(|customer| Some((of(people.get(&customer.customer)?), customer)));
        origins(named, &models, HORIZON).into_iter().map(row).collect()
    };
    let activities: Vec<Activity> = bought.iter().map(activity).collect();
    let mut segments = BTreeMap::new();
    for scores in scores(&activities) {
        *segments.entry(scores.segment.as_str()).or_default() += 1;
    }
    CurrencyCustomers {
        currency,
        customers: bought.len() as u64,
        refusal,
        sources: by(|(source, _)| source),
        channels: by(|(_, channel)| channel),
        segments,
        clusters: if activities.len() < CLUSTERED { Vec::new() } else { groups(&activities) },
    }
}

fn groups(activities: &[Activity]) -> Vec<ClusterRow> {
    let row = |cluster: headwater_analysis::customer::segment::Cluster| ClusterRow {
        customers: cluster.members.len() as u64,
        idle_days: cluster.middle.idle_days,
        purchases: cluster.middle.purchases,
        spent: cluster.middle.spent,
    };
    clusters(activities, CLUSTERS).into_iter().map(row).collect()
}

fn row(origin: Origin) -> OriginRow {
    let Origin { name, customers, repeaters, repeat_rate, interval, mean_spent, churn_risk, mean_value } = origin;
    OriginRow {
        origin: name,
        customers,
        repeaters,
        repeat_rate,
        low: interval.low,
        high: interval.high,
        mean_spent,
        churn_risk,
        expected_value: mean_value,
    }
}
