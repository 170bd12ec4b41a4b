//! The customers, as audiences ask for them: what each bought, of which segment each is, and what each is expected to be worth.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use hashbrown::{HashMap, HashSet};
use headwater_analysis::customer::orders::{Order, Purchases, purchases};
use headwater_analysis::customer::origin::Models;
use headwater_analysis::customer::segment::{Activity, scores};
use headwater_analysis::customer::spending::Horizon;
use headwater_model::tables;
use headwater_store::{Snapshot, StagedFiles};

use super::credits::signed;
use super::exchange::{Exchange, day_of};
use super::people::living;
use crate::cells::each;
use crate::engine::Engine;
use crate::error::Result;
use crate::rows::{latest, load};

/// Twelve months, each taken off one per cent.
pub(crate) const HORIZON: Horizon = Horizon { periods: 12, length: 365.25 / 12.0, discount: 0.01 };

/// Orders of one currency: person, instant, amount.
type Orders = Vec<(String, i64, f64)>;

pub(super) fn write(engine: &Engine, snapshot: &Snapshot, exchange: &Exchange, now_us: i64) -> Result<StagedFiles> {
    let living: HashSet<String> = living(snapshot)?;
    let mut writer = engine.store.writer(&tables::CUSTOMER, None)?;
    for (currency, orders) in orders(snapshot, |id| living.contains(id), exchange)? {
        let rows: Vec<Order<'_>> =
            orders.iter().map(|(customer, at_us, amount)| Order { customer, at_us: *at_us, amount: *amount }).collect();
        writer.write(&batch(&currency, &purchases(&rows, now_us), now_us)?)?;
    }
    Ok(writer.finish()?)
}

fn batch(currency: &str, customers: &[Purchases], now_us: i64) -> Result<RecordBatch> {
    let models = Models::fit(customers);
    let segments = scores(&customers.iter().map(activity).collect::<Vec<_>>());
    #[expect(clippy::cast_possible_truncation, reason = "a history is of whole days since 1970")]
    let day = |days_ago: f64| day_of(now_us) - days_ago.round() as i32;
    let days = |of: &dyn Fn(&Purchases) -> f64| -> ArrayRef {
        Arc::new(Date32Array::from_iter_values(customers.iter().map(|customer| day(of(customer)))))
    };
    let floats =
        |of: &dyn Fn(&Purchases) -> Option<f64>| -> ArrayRef { Arc::new(customers.iter().map(of).collect::<Float64Array>()) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(customers.iter().map(|customer| Some(customer.customer.as_str())).collect::<StringArray>()),
        Arc::new(StringArray::new_repeated(currency, customers.len())),
        Arc::new(customers.iter().map(|customer| i64::from(customer.history.repeats) + 1).collect::<Int64Array>()),
        days(&|customer| customer.history.age),
        days(&|customer| customer.history.age - customer.history.last),
        floats(&|customer| Some(customer.spent)),
        Arc::new(segments.iter().map(|scores| Some(scores.segment.as_str())).collect::<StringArray>()),
        floats(&|customer| models.churn_risk(customer)),
        floats(&|customer| models.value(customer, HORIZON)),
        Arc::new(TimestampMicrosecondArray::from_value(now_us, customers.len()).with_timezone("UTC")),
    ];
    Ok(RecordBatch::try_new(tables::CUSTOMER.schema(), columns)?)
}

/// What segments go by.
pub(crate) fn activity(customer: &Purchases) -> Activity {
    Activity {
        idle_days: customer.history.age - customer.history.last,
        purchases: f64::from(customer.history.repeats) + 1.0,
        spent: customer.spent,
    }
}

/// What people bought, by currency. A refund takes away, whatever its sign in the source.
pub(crate) fn orders(
    snapshot: &Snapshot,
    is_known: impl Fn(&str) -> bool,
    exchange: &Exchange,
) -> Result<BTreeMap<String, Orders>> {
    let owners = owners(snapshot, is_known)?;
    let columns = ["conversion_id", "kind", "value", "currency", "occurred_at"];
    let mut orders: BTreeMap<String, Orders> = BTreeMap::new();
    for row in each(&latest(load(snapshot, &tables::CONVERSION, &columns)?, "conversion_id")?) {
        let owner = row.text("conversion_id")?.and_then(|id| owners.get(id));
        let (Some(owner), Some(amount), Some(at)) = (owner, row.amount("value")?, row.micros("occurred_at")?) else { continue };
        let amount = signed(row.text("kind")?.unwrap_or_default(), amount);
        let (currency, amount) = exchange.counted(day_of(at), row.text("currency")?.unwrap_or_default(), amount);
        #[expect(clippy::cast_precision_loss, reason = "millionths of any order fit 53 bits")]
        let amount = amount as f64 / 1e6;
        orders.entry(currency.to_owned()).or_default().push((owner.clone(), at, amount));
    }
    Ok(orders)
}

/// Whose each conversion is.
pub(crate) fn owners(snapshot: &Snapshot, is_known: impl Fn(&str) -> bool) -> Result<HashMap<String, String>> {
    let mut owners: HashMap<String, String> = HashMap::new();
    for row in each(&load(snapshot, &tables::FACT_LINK, &["fact_id", "kind", "prospect_id"])?) {
        let owner = row.word("prospect_id")?;
        if row.text("kind")? == Some("conversion") && is_known(&owner) {
            owners.insert(row.word("fact_id")?, owner);
        }
    }
    Ok(owners)
}
