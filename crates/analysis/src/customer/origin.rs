//! Which origin brings good customers.

use std::collections::BTreeMap;

use super::{
    Refusal,
    buying::Buying,
    orders::Purchases,
    spending::{Horizon, Spending},
};
use crate::quality::{Z_95, interval::Interval, wilson};

/// The customers of one origin, in one currency.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The source or channel.
    pub name: String,
    /// Customers.
    pub customers: u64,
    /// Of them, those who bought on more than one day.
    pub repeaters: u64,
    /// The one by the other.
    pub repeat_rate: f64,
    /// Wilson's interval of it.
    pub interval: Interval,
    /// What a customer has spent, on average.
    pub mean_spent: f64,
    /// The part that is expected not to come back; nothing without a model.
    pub churn_risk: Option<f64>,
    /// What a customer is expected to spend within the horizon, on average; nothing without a model.
    pub mean_value: Option<f64>,
}

/// Both models, where they could be fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Models {
    /// When customers buy.
    pub buying: Result<Buying, Refusal>,
    /// How much.
    pub spending: Result<Spending, Refusal>,
}

impl Models {
    /// Fits both to all customers: an origin of few learns from the others.
    #[must_use]
    pub fn fit(customers: &[Purchases]) -> Self {
        let histories: Vec<_> = customers.iter().map(|customer| customer.history).collect();
        let amounts: Vec<_> = customers.iter().map(|customer| (customer.history.repeats, customer.repeat_mean)).collect();
        Self { buying: Buying::fit(&histories), spending: Spending::fit(&amounts) }
    }

    /// The probability that a customer does not come back.
    #[must_use]
    pub fn churn_risk(&self, customer: &Purchases) -> Option<f64> {
        self.buying.ok().map(|buying| 1.0 - buying.alive(&customer.history))
    }

    /// What a customer is expected to spend within the horizon.
    #[must_use]
    pub fn value(&self, customer: &Purchases, horizon: Horizon) -> Option<f64> {
        let (buying, spending) = (self.buying.ok()?, self.spending.ok()?);
        spending.lifetime_value(&buying, &customer.history, customer.repeat_mean, horizon)
    }
}

/// The origins of the customers, ordered by name.
#[must_use]
pub fn origins<'a>(
    customers: impl IntoIterator<Item = (&'a str, &'a Purchases)>,
    models: &Models,
    horizon: Horizon,
) -> Vec<Origin> {
    let mut of: BTreeMap<&str, Vec<&Purchases>> = BTreeMap::new();
    for (origin, customer) in customers {
        of.entry(origin).or_default().push(customer);
    }
    of.into_iter()
        .filter_map(|(name, own)| {
            let customers = own.len() as u64;
            let repeaters = own.iter().filter(|customer| customer.history.repeats > 0).count() as u64;
            let mean = |of: &dyn Fn(&Purchases) -> Option<f64>| {
                own.iter().map(|customer| of(customer)).sum::<Option<f64>>().map(|sum| sum / customers as f64)
            };
            Some(Origin {
                name: name.to_owned(),
                customers,
                repeaters,
                repeat_rate: repeaters as f64 / customers as f64,
                interval: wilson(repeaters, customers, Z_95)?,
                mean_spent: mean(&|customer| Some(customer.spent))?,
                churn_risk: mean(&|customer| models.churn_risk(customer)),
                mean_value: mean(&|customer| models.value(customer, horizon)),
            })
        })
        .collect()
}
