//! What scorecards cost: those of 100 sources over 1,000,000 made-up leads, made and judged in one process.
//!
//! `cargo run --release -p headwater-analysis --example scorecard_speed`
#![expect(clippy::print_stdout, reason = "a measuring tool")]

use std::collections::BTreeMap;

use headwater_analysis::quality::{Mail, Settings, SourceCounts, compare, scorecards, survival::FollowUp};
use rust_decimal::Decimal;

const SOURCES: u64 = 100;
const LEADS: u64 = 10_000;

fn main() {
    let counts: Vec<SourceCounts> = (0..SOURCES).map(source).collect();
    let cards = scorecards(&counts, Settings::default());
    let figures: usize = cards.iter().map(|card| card.metrics.len()).sum();
    println!("{figures} figures of {} sources; {}", cards.len(), compare(&counts, Settings::default()));
}

fn source(number: u64) -> SourceCounts {
    let mut luck = number + 1;
    let mut follow_up = Vec::new();
    let mut revenue: BTreeMap<u32, Decimal> = BTreeMap::new();
    let mut paid: Vec<f64> = Vec::new();
    for _ in 0..LEADS {
        luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [a, b, c] = [luck >> 33, luck >> 43, luck >> 23].map(|bits| bits % 1_000);
        let age = u32::try_from(a % 365).unwrap_or(0);
        let converts = u32::try_from(c % 90).unwrap_or(0);
        let converted = b < 20 + number && converts <= age;
        if converted {
            *revenue.entry(converts).or_default() += Decimal::from(100);
            paid.push(100.0);
        }
        follow_up.push(FollowUp { days: if converted { converts } else { age }, converted });
    }
    let customers = follow_up.iter().filter(|lead| lead.converted).count() as u64;
    SourceCounts {
        source: format!("source {number}"),
        received: LEADS,
        accepted: LEADS,
        with_email: LEADS,
        valid_email: LEADS - 50 * (number % 7),
        distinct_persons: LEADS,
        net_new: LEADS,
        prospects: customers * 2,
        customers,
        net_new_valid_customers: customers,
        conversions: customers,
        revenue: [("EUR".to_owned(), revenue.values().sum())].into(),
        revenue_by_person: [("EUR".to_owned(), paid)].into(),
        revenue_by_age: [("EUR".to_owned(), revenue)].into(),
        cost: [("EUR".to_owned(), Decimal::from(LEADS))].into(),
        median_age_days: Some(180.0),
        follow_up,
        mail: Some(Mail {
            sent: LEADS,
            bounced: 10 * (number % 9),
            complained: number % 4,
            unsubscribed: number,
            engaged: 300,
            young: 0,
        }),
        ..SourceCounts::default()
    }
}
