//! Equality with independent programs, and what must hold for every source.

mod estimators;

use std::{collections::BTreeMap, fs};

use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::Value;

use super::{
    Certainty, Metric, Settings, SourceCounts, State, Z_95, compare, scorecards,
    shrink::{Prior, beta_quantile, fit, log_likelihood},
    survival::{FollowUp, kaplan_meier},
    wilson,
};

fn fixture(name: &str) -> String {
    fs::read_to_string(format!("{}/../../fixtures/quality/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn reference() -> Value {
    serde_json::from_str(&fixture("leads_public.json")).unwrap()
}

fn counts(source: &str, people: u64, customers: u64) -> SourceCounts {
    SourceCounts {
        source: source.to_owned(),
        channel: "list".to_owned(),
        received: people,
        accepted: people,
        with_email: people,
        valid_email: people,
        distinct_persons: people,
        net_new: people,
        customers,
        net_new_valid_customers: customers,
        conversions: customers,
        median_age_days: Some(120.0),
        ..SourceCounts::default()
    }
}

/// The leads of the fixture, by source: follow-up, revenue and cost.
fn public_counts() -> Vec<SourceCounts> {
    let mut sources: BTreeMap<String, SourceCounts> = BTreeMap::new();
    for row in csv::Reader::from_reader(fixture("leads_public.csv").as_bytes()).deserialize::<BTreeMap<String, String>>() {
        let row = row.unwrap();
        let converted = row["converted"] == "1";
        let one = counts(&row["source"], 1, u64::from(converted));
        let sum = sources.entry(one.source.clone()).or_insert_with(|| counts(&one.source, 0, 0));
        for (sum, one) in [
            (&mut sum.received, one.received),
            (&mut sum.accepted, one.accepted),
            (&mut sum.distinct_persons, one.distinct_persons),
            (&mut sum.net_new, one.net_new),
            (&mut sum.customers, one.customers),
            (&mut sum.conversions, one.conversions),
            (&mut sum.net_new_valid_customers, one.net_new_valid_customers),
        ] {
            *sum += one;
        }
        let euros = |column: &str| row[column].parse::<Decimal>().unwrap();
        *sum.revenue.entry("EUR".to_owned()).or_default() += euros("revenue");
        *sum.cost.entry("EUR".to_owned()).or_default() += euros("cost");
        sum.follow_up.push(FollowUp { days: row["duration"].parse().unwrap(), converted });
    }
    sources.into_values().collect()
}

fn metric<'a>(metrics: &'a [Metric], name: &str) -> &'a Metric {
    metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no metric {name}"))
}

#[track_caller]
fn close(got: Option<f64>, expected: &Value, tolerance: f64) {
    let (got, expected) = (got.unwrap(), expected.as_f64().unwrap());
    assert!((got - expected).abs() <= tolerance * expected.abs().max(1.0), "{got} for {expected}");
}

#[test]
fn scorecards_equal_the_reference() {
    let reference = reference();
    let sources = public_counts();
    let cards = scorecards(&sources, Settings::default());
    assert_eq!(cards.len(), 10);
    for card in &cards {
        let expected = &reference["sources"][&card.source];
        let rate = metric(&card.metrics, "conversion_rate");
        assert_eq!(rate.n, expected["n"].as_u64().unwrap());
        close(rate.value, &expected["naive_rate"], 1e-12);
        close(rate.low, &expected["wilson95"][0], 1e-9);
        close(rate.high, &expected["wilson95"][1], 1e-9);
        let shrunk = metric(&card.metrics, "conversion_rate_shrunk");
        close(shrunk.value, &expected["eb_mean"], 1e-6);
        close(shrunk.low, &expected["eb_ci95"][0], 1e-6);
        close(shrunk.high, &expected["eb_ci95"][1], 1e-6);
        for age in ["30", "60", "90", "180"] {
            let by = metric(&card.metrics, &format!("conversion_by_{age}d"));
            let expected = &expected["km"][age];
            close(by.value, &expected["F"], 1e-6);
            close(by.low, &expected["lo"], 1e-6);
            close(by.high, &expected["hi"], 1e-6);
            assert_eq!(by.state == State::Immature, expected["at_risk"] == 0);
        }
        close(metric(&card.metrics, "cost_per_lead").value, &expected["cpl"], 1e-9);
        close(metric(&card.metrics, "cac").value, &expected["cac"], 1e-9);
        let roas = metric(&card.metrics, "roas");
        assert_eq!(roas.value.is_none(), expected["roas"].is_null());
        if roas.value.is_some() {
            close(roas.value, &expected["roas"], 1e-9);
        }
    }
}

#[test]
fn number_at_risk_equals_the_reference() {
    let reference = reference();
    for source in public_counts() {
        for estimate in kaplan_meier(&source.follow_up, &[30, 60, 90, 180]) {
            let expected = &reference["sources"][&source.source]["km"][estimate.days.to_string()];
            assert_eq!(estimate.at_risk, expected["at_risk"].as_u64().unwrap());
        }
    }
}

#[test]
fn prior_equals_the_reference() {
    let reference = reference();
    let sources: Vec<(u64, u64)> = public_counts().iter().map(|counts| (counts.customers, counts.distinct_persons)).collect();
    let Prior { alpha, beta } = fit(&sources).unwrap();
    close(Some(alpha), &reference["eb_alpha"], 1e-4);
    close(Some(beta), &reference["eb_beta"], 1e-4);
}

#[test]
fn prior_needs_sources_that_can_differ() {
    assert_eq!(fit(&[]), None);
    assert_eq!(fit(&[(3, 10)]), None);
    assert_eq!(fit(&[(3, 10), (0, 0)]), None);
    assert_eq!(fit(&[(0, 10), (0, 20)]), None);
    assert_eq!(fit(&[(10, 10), (20, 20)]), None);
    // Sources as alike as these have their likeliest prior at infinity: then all get the common rate.
    let shrunk = fit(&[(50, 1000), (50, 1000)]).unwrap().shrink(50, 1000);
    assert!((shrunk.rate - 0.05).abs() < 1e-6);
}

#[test]
fn beta_quantiles_have_their_closed_forms() {
    for probability in [0.025, 0.5, 0.975] {
        assert!((beta_quantile(1.0, 1.0, probability) - probability).abs() < 1e-12);
        assert!((beta_quantile(3.0, 1.0, probability) - probability.powf(1.0 / 3.0)).abs() < 1e-12);
        assert!((beta_quantile(1.0, 4.0, probability) - (1.0 - (1.0 - probability).powf(0.25))).abs() < 1e-12);
    }
    assert!((beta_quantile(5e5, 5e5, 0.5) - 0.5).abs() < 1e-9);
}

#[test]
fn wilson_ends_are_exact() {
    assert_eq!(wilson(0, 0, Z_95), None);
    assert_eq!(wilson(0, 10, Z_95).unwrap().low, 0.0);
    assert_eq!(wilson(10, 10, Z_95).unwrap().high, 1.0);
    assert_eq!(wilson(11, 10, Z_95), wilson(10, 10, Z_95));
}

#[test]
fn curve_without_conversions_still_has_an_upper_end() {
    let leads = [FollowUp { days: 50, converted: false }; 20];
    let [at_40, at_60]: [_; 2] = kaplan_meier(&leads, &[40, 60]).try_into().unwrap();
    assert_eq!((at_40.share, at_40.at_risk), (0.0, 20));
    assert_eq!(Some(at_40.interval), wilson(0, 20, Z_95));
    assert_eq!((at_60.at_risk, at_60.interval.low, at_60.interval.high), (0, 0.0, 1.0));
}

#[test]
fn lead_counts_until_it_was_last_seen() {
    // Two convert on day 10. One of the four was last seen on day 5, so that two of three did.
    let leads = [(5, false), (10, true), (10, true), (30, false)].map(|(days, converted)| FollowUp { days, converted });
    let estimate = kaplan_meier(&leads, &[20])[0];
    assert!((estimate.share - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(estimate.at_risk, 1);
}

#[test]
fn every_figure_has_its_own_cases_and_unit() {
    let source = SourceCounts {
        source: "vendor".to_owned(),
        channel: "list".to_owned(),
        cohort: None,
        received: 120,
        accepted: 100,
        quarantined: 15,
        suppressed: 5,
        with_email: 90,
        valid_email: 80,
        disposable_email: Some(4),
        role_email: Some(8),
        freemail: Some(20),
        deliverable_email: None,
        complete: Some(60),
        fields_filled: [("phone".to_owned(), 70)].into(),
        distinct_persons: 95,
        duplicate_within: 5,
        known_before: 15,
        net_new: 80,
        with_basis: 50,
        with_consent: 10,
        prospects: 38,
        customers: 19,
        net_new_valid_customers: 10,
        conversions: 25,
        revenue: money("EUR", 1900),
        cost: money("EUR", 400),
        median_age_days: Some(60.0),
        follow_up: Vec::new(),
        revenue_by_age: [("EUR".to_owned(), [(3, Decimal::from(300)), (7, Decimal::from(1600))].into())].into(),
        revenue_by_person: BTreeMap::new(),
        data_ages_days: vec![9.0, 4.5, 0.5],
        decay: Vec::new(),
        mail: Some(super::Mail { sent: 50, bounced: 10, complained: 2, unsubscribed: 4, engaged: 8, young: 0 }),
    };
    let cards = scorecards(&[source], Settings::default());
    let rows: Vec<(&str, Option<f64>, u64, &str)> =
        cards[0].metrics.iter().map(|metric| (metric.name.as_str(), metric.value, metric.n, metric.unit.as_str())).collect();
    assert_eq!(
        rows,
        [
            ("volume", Some(120.0), 120, "records"),
            ("accepted", Some(100.0), 120, "records"),
            ("quarantined", Some(0.125), 120, "share"),
            ("suppressed", Some(5.0 / 120.0), 120, "share"),
            ("distinct_persons", Some(95.0), 100, "persons"),
            ("freshness_days", Some(4.5), 3, "days"),
            ("validity", Some(80.0 / 90.0), 90, "share"),
            ("deliverable", None, 80, "share"),
            ("disposable", Some(0.05), 80, "share"),
            ("role", Some(0.1), 80, "share"),
            ("freemail", Some(0.25), 80, "share"),
            ("completeness", Some(0.6), 100, "share"),
            ("completeness.phone", Some(0.7), 100, "share"),
            ("duplicate_in", Some(0.05), 100, "share"),
            ("duplicate_base", Some(0.15), 100, "share"),
            ("net_new", Some(0.8), 100, "share"),
            ("basis_coverage", Some(0.5), 100, "share"),
            ("consent_coverage", Some(0.1), 100, "share"),
            ("bounce", Some(0.2), 50, "share"),
            ("complaint", Some(0.05), 40, "share"),
            ("unsubscribe", Some(0.1), 40, "share"),
            ("engagement", Some(0.2), 40, "share"),
            ("prospect_rate", Some(0.4), 95, "share"),
            ("conversion_rate", Some(0.2), 95, "share"),
            ("revenue_per_lead", Some(20.0), 95, "EUR"),
            ("cost_per_lead", Some(5.0), 80, "EUR"),
            ("cac", Some(400.0 / 19.0), 19, "EUR"),
            ("roas", Some(4.75), 25, "ratio"),
            ("payback_days", Some(7.0), 25, "days"),
        ]
    );
}

#[test]
fn young_source_is_immature_whatever_its_rate() {
    let young = SourceCounts { median_age_days: Some(29.9), ..counts("young", 500, 100) };
    let unknown = SourceCounts { median_age_days: None, ..counts("unknown", 500, 100) };
    let cards = scorecards(&[young, unknown, counts("old", 500, 10)], Settings::default());
    let state = |at: usize| metric(&cards[at].metrics, "conversion_rate").state;
    assert_eq!([state(0), state(1), state(2)], [State::Immature, State::Immature, State::Ok]);
    assert_eq!(metric(&cards[0].metrics, "validity").state, State::Ok, "what a record holds does not ripen");
}

#[test]
fn source_like_all_the_others_is_not_rankable() {
    let cards = scorecards(&[counts("small", 9, 1), counts("good", 1000, 150), counts("poor", 1000, 10)], Settings::default());
    let states: Vec<State> = cards.iter().map(|card| metric(&card.metrics, "conversion_rate").state).collect();
    assert_eq!(states, [State::NotRankable, State::Ok, State::Ok]);
}

#[test]
fn what_nobody_counted_is_unchecked_and_not_zero() {
    let cards = scorecards(&[counts("vendor", 10, 0)], Settings::default());
    let metrics = &cards[0].metrics;
    for name in
        ["deliverable", "disposable", "role", "freemail", "completeness", "bounce", "complaint", "unsubscribe", "engagement"]
            .into_iter()
            .chain(["revenue_per_lead", "cost_per_lead", "cac", "roas"])
    {
        let metric = metric(metrics, name);
        assert_eq!((metric.value, metric.low, metric.high, metric.state), (None, None, None, State::Unchecked), "{name}");
    }
    let counted = SourceCounts { disposable_email: Some(0), ..counts("vendor", 10, 0) };
    let cards = scorecards(&[counted], Settings::default());
    assert_eq!(metric(&cards[0].metrics, "disposable").value, Some(0.0));
}

#[test]
fn empty_source_has_no_rates() {
    let cards = scorecards(&[counts("empty", 0, 0)], Settings::default());
    for metric in &cards[0].metrics {
        let is_count = ["volume", "accepted", "distinct_persons"].contains(&metric.name.as_str());
        assert_eq!(metric.value, is_count.then_some(0.0), "{}", metric.name);
    }
}

fn money(currency: &str, amount: i64) -> super::Money {
    [(currency.to_owned(), Decimal::from(amount))].into()
}

#[test]
fn cost_of_a_customer_has_a_lower_end_without_customers() {
    let source = SourceCounts { cost: money("EUR", 1000), ..counts("vendor", 200, 0) };
    let cards = scorecards(&[source], Settings::default());
    let cac = metric(&cards[0].metrics, "cac");
    let most = wilson(0, 200, Z_95).unwrap().high * 200.0;
    assert_eq!((cac.value, cac.high, cac.unit.as_str()), (None, None, "EUR"));
    assert!((cac.low.unwrap() - 1000.0 / most).abs() < 1e-9);
}

#[test]
fn cost_of_a_customer_lies_inside_its_interval() {
    let source = SourceCounts { cost: money("EUR", 1000), ..counts("vendor", 200, 20) };
    let cards = scorecards(&[source], Settings::default());
    let cac = metric(&cards[0].metrics, "cac");
    assert_eq!(cac.value, Some(50.0));
    assert!(cac.low.unwrap() < 50.0 && 50.0 < cac.high.unwrap());
}

#[test]
fn return_is_never_taken_across_currencies() {
    let mixed = SourceCounts { cost: money("EUR", 100), revenue: money("USD", 900), ..counts("mixed", 50, 5) };
    let silent = SourceCounts { cost: money("USD", 100), ..counts("silent", 50, 0) };
    let cards = scorecards(&[mixed, silent], Settings::default());
    assert_eq!(metric(&cards[0].metrics, "roas").state, State::Unchecked);
    // Sales are known, and this source had none.
    assert_eq!(metric(&cards[1].metrics, "roas").value, Some(0.0));
    assert_eq!(metric(&cards[1].metrics, "revenue_per_lead").value, Some(0.0));
}

#[track_caller]
fn check_verdict(sources: &[SourceCounts], certainty: Certainty, sentence: &str) {
    let verdict = compare(sources, Settings::default());
    assert_eq!((verdict.certainty, verdict.to_string().as_str()), (certainty, sentence));
}

#[test]
fn verdict_is_one_sentence_that_says_how_sure_it_is() {
    check_verdict(&[], Certainty::NoEvidence, "no source has brought a new customer with a valid address yet");
    check_verdict(
        &[counts("a", 10, 0), counts("b", 10, 0)],
        Certainty::NoEvidence,
        "no source has brought a new customer with a valid address yet",
    );
    check_verdict(
        &[counts("a", 100, 16)],
        Certainty::OnlyOne,
        "a is best: 16 of 100 records became new customers with a valid address (16.0 %, 95 % interval 10.1 to 24.4 %); there is no \
         other source to compare with",
    );
    check_verdict(
        &[counts("a", 1000, 10), counts("b", 1000, 160)],
        Certainty::Clear,
        "b is best: 160 of 1000 records became new customers with a valid address (16.0 %, 95 % interval 13.9 to 18.4 %); no other \
         source reaches that range",
    );
    check_verdict(
        &[counts("a", 9, 2), counts("b", 1000, 160), counts("c", 400, 60), counts("d", 1000, 10)],
        Certainty::Overlapping,
        "b is best: 160 of 1000 records became new customers with a valid address (16.0 %, 95 % interval 13.9 to 18.4 %); not \
         certain, since the range overlaps with a, c",
    );
    let young = SourceCounts { median_age_days: Some(3.0), ..counts("young", 1000, 1) };
    check_verdict(
        &[young, counts("b", 1000, 160)],
        Certainty::Provisional,
        "b is best: 160 of 1000 records became new customers with a valid address (16.0 %, 95 % interval 13.9 to 18.4 %); no other \
         source reaches that range so far; still too young to judge: young",
    );
}

#[test]
fn volume_of_known_people_does_not_win() {
    let list = SourceCounts { net_new: 10, net_new_valid_customers: 1, ..counts("list", 1000, 300) };
    assert_eq!(compare(&[list, counts("form", 100, 20)], Settings::default()).best.unwrap().source, "form");
}

proptest! {
    #[test]
    fn wilson_covers_the_rate_and_mirrors((n, x) in (1..100_000_u64).prop_flat_map(|n| (Just(n), 0..=n))) {
        let interval = wilson(x, n, Z_95).unwrap();
        prop_assert!(interval.covers(x as f64 / n as f64));
        prop_assert!(0.0 <= interval.low && interval.high <= 1.0);
        let mirrored = wilson(n - x, n, Z_95).unwrap();
        prop_assert!((interval.low - (1.0 - mirrored.high)).abs() < 1e-9);
        let twice = wilson(2 * x, 2 * n, Z_95).unwrap();
        prop_assert!(twice.high - twice.low <= interval.high - interval.low);
    }

    #[test]
    fn curve_never_falls_and_is_the_plain_share_without_censoring(days in prop::collection::vec(1..200_u32, 1..60)) {
        let leads: Vec<FollowUp> = days.iter().map(|days| FollowUp { days: *days, converted: true }).collect();
        let estimates = kaplan_meier(&leads, &[0, 30, 60, 90, 180, 250]);
        for (a, b) in estimates.iter().zip(estimates.iter().skip(1)) {
            prop_assert!(a.share <= b.share + 1e-12);
        }
        for estimate in &estimates {
            let plain = days.iter().filter(|day| **day <= estimate.days).count() as f64 / days.len() as f64;
            prop_assert!((estimate.share - plain).abs() < 1e-9);
            prop_assert!(estimate.interval.low <= estimate.share + 1e-9 && estimate.share <= estimate.interval.high + 1e-9);
        }
    }

    #[test]
    fn no_other_prior_is_likelier(
        sources in prop::collection::vec((0..30_u64, 0..300_u64), 2..6).prop_map(|sources| {
            sources.into_iter().map(|(x, more)| (x, x + more)).collect::<Vec<_>>()
        }),
        mean in 0.001..0.999_f64,
        log_weight in -3.0..12.0_f64,
    ) {
        if let Some(prior) = fit(&sources) {
            let other = Prior { alpha: log_weight.exp() * mean, beta: log_weight.exp() * (1.0 - mean) };
            let sources: Vec<(f64, f64)> = sources.iter().map(|(x, n)| (*x as f64, *n as f64)).collect();
            prop_assert!(log_likelihood(prior, &sources) >= log_likelihood(other, &sources) - 1e-6);
        }
    }

    #[test]
    fn shrunk_rate_lies_between_its_own_and_the_common_one(
        sources in prop::collection::vec((0..30_u64, 0..300_u64), 2..6).prop_map(|sources| {
            sources.into_iter().map(|(x, more)| (x, x + more)).collect::<Vec<_>>()
        }),
    ) {
        if let Some(prior) = fit(&sources) {
            let common = prior.alpha / (prior.alpha + prior.beta);
            for (x, n) in sources.iter().filter(|(_, n)| *n > 0) {
                let shrunk = prior.shrink(*x, *n);
                let own = *x as f64 / *n as f64;
                prop_assert!((own.min(common) - 1e-9..=own.max(common) + 1e-9).contains(&shrunk.rate));
                prop_assert!(shrunk.interval.low <= shrunk.interval.high);
            }
        }
    }

    #[test]
    fn every_interval_covers_its_value(people in 0..500_u64, customers in 0..500_u64, known in 0..500_u64, cost in 0..9999_i64) {
        let customers = customers.min(people);
        let source = SourceCounts {
            known_before: known.min(people),
            net_new: people - known.min(people),
            cost: money("EUR", cost),
            revenue: money("EUR", cost * 2),
            ..counts("source", people, customers)
        };
        let cards = scorecards(&[source, counts("other", 300, 30)], Settings::default());
        for metric in &cards[0].metrics {
            if let (Some(value), Some(low), Some(high)) = (metric.value, metric.low, metric.high) {
                prop_assert!(low - 1e-9 <= value && value <= high + 1e-9, "{metric:?}");
            }
            prop_assert!(metric.value.is_none_or(f64::is_finite), "{metric:?}");
            prop_assert!(metric.value.is_some() || metric.state != State::Ok || metric.name == "cac", "{metric:?}");
        }
    }

    #[test]
    fn verdict_does_not_see_the_order(
        sources in prop::collection::vec((1..400_u64, 0..60_u64), 1..6)
            .prop_map(|rows| rows.into_iter().enumerate().map(|(at, (n, x))| counts(&format!("s{at}"), n, x.min(n))).collect::<Vec<_>>())
            .prop_flat_map(|sources| (Just(sources.clone()), Just(sources).prop_shuffle())),
    ) {
        let (sources, shuffled) = sources;
        prop_assert_eq!(compare(&sources, Settings::default()), compare(&shuffled, Settings::default()));
    }
}
