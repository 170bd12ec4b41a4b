//! Equality with an independent program, and what is known to be true.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use super::{
    affinity::rules,
    buying::Buying,
    orders::{Order, Purchases, purchases},
    origin::{Models, origins},
    segment::{Activity, Segment, clusters, scores},
    spending::{Horizon, Spending},
    *,
};

fn fixture(name: &str) -> String {
    fs::read_to_string(format!("{}/../../fixtures/customers/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn cdnow() -> Vec<Purchases> {
    csv::Reader::from_reader(fixture("cdnow_sample.csv").as_bytes())
        .deserialize::<BTreeMap<String, String>>()
        .map(|row| {
            let row = row.unwrap();
            let number = |column: &str| row[column].parse::<f64>().unwrap();
            Purchases {
                customer: row["ID"].clone(),
                history: History { repeats: row["x"].parse().unwrap(), last: number("t_x"), age: number("T") },
                repeat_mean: number("zbar"),
                spent: number("zbar") * number("x"),
            }
        })
        .collect()
}

#[track_caller]
fn close(got: f64, expected: &Value) {
    let expected = expected.as_f64().unwrap();
    assert!((got - expected).abs() <= 1e-3 * expected.abs().max(1e-9), "{got} for {expected}");
}

#[test]
fn both_models_equal_the_reference() {
    let reference: Value = serde_json::from_str(&fixture("cdnow_sample.json")).unwrap();
    let customers = cdnow();
    assert_eq!(customers.len(), 2357);
    let models = Models::fit(&customers);
    let (buying, spending) = (models.buying.unwrap(), models.spending.unwrap());
    for (got, name) in [(buying.r, "r"), (buying.alpha, "alpha"), (buying.a, "a"), (buying.b, "b")] {
        close(got, &reference["buying"][name]);
    }
    for (got, name) in [(spending.p, "p"), (spending.q, "q"), (spending.v, "v")] {
        close(got, &reference["spending"][name]);
    }
    let horizon = Horizon { periods: 12, length: 4.345, discount: 0.01 };
    let expected: Vec<f64> = customers.iter().map(|customer| buying.expected(&customer.history, 39.0)).collect();
    let alive: Vec<f64> = customers.iter().map(|customer| buying.alive(&customer.history)).collect();
    let spend: Vec<f64> =
        customers.iter().map(|customer| spending.mean(customer.history.repeats, customer.repeat_mean).unwrap()).collect();
    let value: Vec<f64> = customers.iter().map(|customer| models.value(customer, horizon).unwrap()).collect();
    for (got, name, whole, all) in [
        (&expected, "expected_39", expected.iter().sum::<f64>(), "sum"),
        (&alive, "alive", alive.iter().sum::<f64>() / 2357.0, "mean"),
        (&spend, "mean_spend", spend.iter().sum::<f64>() / 2357.0, "mean"),
        (&value, "value_12", value.iter().sum::<f64>(), "sum"),
    ] {
        close(whole, &reference[name][all]);
        for (got, expected) in got.iter().zip(reference[name]["first"].as_array().unwrap()) {
            close(*got, expected);
        }
    }
}

#[test]
fn unit_of_time_changes_no_expectation() {
    let weeks: Vec<History> = cdnow().iter().map(|customer| customer.history).collect();
    let days: Vec<History> =
        weeks.iter().map(|history| History { last: history.last * 7.0, age: history.age * 7.0, ..*history }).collect();
    let (by_week, by_day) = (Buying::fit(&weeks).unwrap(), Buying::fit(&days).unwrap());
    assert!((by_week.alpha * 7.0 / by_day.alpha - 1.0).abs() < 1e-4);
    assert!((by_week.expected(&weeks[0], 10.0) / by_day.expected(&days[0], 70.0) - 1.0).abs() < 1e-4);
    assert_eq!(by_week.expected(&weeks[0], 0.0), 0.0);
}

#[test]
fn too_few_repeaters_are_refused() {
    let once = vec![History { repeats: 0, last: 0.0, age: 9.0 }; 500];
    assert_eq!(Buying::fit(&once), Err(Refusal::TooFew { repeaters: 0 }));
    assert_eq!(
        Spending::fit(&[(1, 5.0), (2, -1.0)]).unwrap_err().to_string(),
        "too few to learn from: 1 customers bought again, 50 are needed"
    );
}

#[test]
fn orders_of_one_day_are_one_and_refunds_none() {
    const DAY: i64 = 86_400_000_000;
    let order = |customer, day: i64, amount| Order { customer, at_us: day * DAY + 5, amount };
    let orders = [
        order("a", 20, 30.0),
        order("a", 10, 50.0),
        order("a", 20, 10.0),
        order("a", 25, -40.0),
        order("b", 12, -9.0),
        order("b", 13, 0.0),
        order("c", 99, 5.0),
        order("d", 1, f64::NAN),
    ];
    let got = purchases(&orders, 30 * DAY);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].history, History { repeats: 1, last: 10.0, age: 20.0 });
    assert_eq!((got[0].repeat_mean, got[0].spent), (40.0, 50.0));
}

#[test]
fn segments_follow_what_customers_did() {
    let mut customers: Vec<Activity> = (0..20)
        .map(|at| Activity { idle_days: 10.0 * f64::from(at), purchases: f64::from(20 - at), spent: f64::from(200 - 9 * at) })
        .collect();
    customers.push(Activity { idle_days: 300.0, purchases: 30.0, spent: 500.0 });
    customers.push(Activity { idle_days: 0.0, purchases: 1.0, spent: 1.0 });
    let got: Vec<Segment> = scores(&customers).into_iter().map(|scores| scores.segment).collect();
    assert_eq!((got[0], got[19], got[20], got[21]), (Segment::Champion, Segment::Dormant, Segment::AtRisk, Segment::New));
    let equal = scores(&[customers[0]; 7]);
    assert!(equal.iter().all(|scores| *scores == equal[0]));
    assert!(scores(&[]).is_empty());
}

#[test]
fn groups_apart_are_found_as_groups() {
    let near = |idle_days: f64, purchases: f64, spent: f64| {
        (0..30).map(move |at| Activity { idle_days: idle_days + f64::from(at % 3), purchases, spent: spent + f64::from(at % 5) })
    };
    let customers: Vec<Activity> = near(3.0, 40.0, 5000.0).chain(near(400.0, 1.0, 20.0)).chain(near(5.0, 2.0, 100.0)).collect();
    let found = clusters(&customers, 3);
    assert_eq!(found.iter().map(|cluster| cluster.members.len()).collect::<Vec<_>>(), [30, 30, 30]);
    assert!(found.iter().all(|cluster| cluster.members.windows(2).all(|pair| pair[1] == pair[0] + 1)));
    assert!((found[0].middle.purchases - 40.0).abs() < 1e-9);
    assert_eq!(clusters(&[customers[0]; 9], 4).len(), 1);
    assert!(clusters(&[], 4).is_empty());
}

#[test]
fn products_that_go_together_are_found_and_chance_pairs_are_not() {
    let baskets: Vec<BTreeSet<&str>> = (0..300)
        .map(|at| {
            let mut basket = BTreeSet::from(["bread"]);
            if at % 3 == 0 {
                basket.insert("pasta");
            }
            if at % 3 == 0 && at % 5 != 0 || at % 50 == 1 {
                basket.insert("sauce");
            }
            if at % 7 == 0 {
                basket.insert("soap");
            }
            basket
        })
        .collect();
    let found = rules(&baskets, 0.05);
    let pairs: Vec<(&str, &str)> = found.iter().map(|rule| (rule.has.as_str(), rule.buys.as_str())).collect();
    assert_eq!(pairs, [("pasta", "sauce"), ("sauce", "pasta")]);
    assert!((found[0].confidence - 0.8).abs() < 1e-12 && found[0].lift > 2.0 && found[0].interval.covers(0.8));
    assert!(rules(&[], 0.05).is_empty());
}

#[test]
fn origin_of_good_customers_shows() {
    let customers = cdnow();
    let models = Models::fit(&customers);
    let horizon = Horizon { periods: 12, length: 4.345, discount: 0.01 };
    let named = customers.iter().map(|customer| (if customer.history.repeats > 2 { "webinar" } else { "list" }, customer));
    let got = origins(named, &models, horizon);
    assert_eq!(got.iter().map(|origin| origin.name.as_str()).collect::<Vec<_>>(), ["list", "webinar"]);
    assert_eq!(got.iter().map(|origin| origin.customers).sum::<u64>(), 2357);
    assert!(got[1].mean_value > got[0].mean_value && got[1].repeat_rate > 0.99);
    let none = Models { buying: Err(Refusal::Unsettled), spending: Err(Refusal::Unsettled) };
    let got = origins(customers.iter().map(|customer| ("all", customer)), &none, horizon);
    assert_eq!((got[0].churn_risk, got[0].mean_value), (None, None));
}
