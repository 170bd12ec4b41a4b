//! Cure, velocity, drift, cost and what-if: equality with the reference, and what is known to be true.

use super::*;
use crate::quality::{
    Mail, bootstrap,
    cost::{Part, Rates, Rule, allocate},
    cure,
    drift::{Change, Comparison, FALSE_DISCOVERIES, alerts, discoveries},
    survival::median,
    what_if::{Record, shift},
};

#[test]
fn cure_equals_the_reference() {
    let reference = reference();
    for counts in public_counts() {
        let expected = &reference["sources"][&counts.source]["cure"];
        let got = cure::fit(&counts.follow_up);
        assert_eq!(got.is_some(), !expected.is_null(), "{}", counts.source);
        if let Some(got) = got {
            close(Some(got.ultimate), &expected["pi"], 1e-3);
            close(Some(got.shape), &expected["shape"], 1e-3);
            close(Some(got.scale_days), &expected["scale"], 1e-3);
            close(Some(got.loss), &expected["nll"], 1e-6);
            assert!(got.interval.covers(got.ultimate) && got.interval.high - got.interval.low < 0.2, "{got:?}");
            assert!(got.interval.covers(reference["true_ultimate"][&counts.source].as_f64().unwrap()), "{}", counts.source);
        }
    }
}

#[test]
fn slow_conversions_are_not_told_from_none() {
    // Thirty of a thousand converted at a steady pace over the whole watch: the plateau is not in sight.
    let steady = (1..=30).map(|day| FollowUp { days: day * 8, converted: true });
    let leads: Vec<FollowUp> = steady.chain(std::iter::repeat_n(FollowUp { days: 240, converted: false }, 970)).collect();
    assert_eq!(cure::fit(&leads), None);
}

#[test]
fn median_is_not_reached_while_most_have_not_converted() {
    let leads = |converted: u32, others: usize| -> Vec<FollowUp> {
        let converted = (0..converted).map(|at| FollowUp { days: 10 + at, converted: true });
        converted.chain(std::iter::repeat_n(FollowUp { days: 100, converted: false }, others)).collect()
    };
    assert_eq!(median(&leads(10, 90)).days, None);
    let reached = median(&leads(60, 40));
    assert_eq!(reached.days, Some(59));
    assert!(reached.low.unwrap() < 59 && reached.high.is_none_or(|high| high >= 59));
    assert_eq!(median(&[]).days, None);
    assert_eq!(median(&[FollowUp { days: 3, converted: true }; 2]).days, Some(3));
}

#[test]
fn few_customers_make_velocity_not_reached_and_payback_a_day() {
    let mut counts = counts("vendor", 100, 2);
    counts.follow_up = vec![FollowUp { days: 50, converted: false }; 98];
    counts.follow_up.extend([FollowUp { days: 9, converted: true }, FollowUp { days: 20, converted: true }]);
    counts.cost.insert("EUR".to_owned(), Decimal::from(150));
    counts.revenue.insert("EUR".to_owned(), Decimal::from(200));
    counts.revenue_by_age.insert("EUR".to_owned(), [(9, Decimal::from(100)), (20, Decimal::from(100))].into());
    let card = |counts: SourceCounts| scorecards(&[counts], Settings::default()).remove(0).metrics;
    let metrics = card(counts.clone());
    assert_eq!(
        (metric(&metrics, "velocity_median_days").value, metric(&metrics, "velocity_median_days").state),
        (None, State::NotReached)
    );
    assert_eq!(metric(&metrics, "payback_days").value, Some(20.0));
    assert_eq!(metric(&metrics, "conversion_ultimate").state, State::Immature);

    counts.cost.insert("EUR".to_owned(), Decimal::from(300));
    assert_eq!(metric(&card(counts.clone()), "payback_days").state, State::NotReached);
    counts.revenue_by_age.insert("CHF".to_owned(), [(1, Decimal::from(9999))].into());
    assert_eq!(metric(&card(counts), "payback_days").state, State::Unchecked);
}

#[test]
fn rare_mail_events_are_drawn_to_all_sources() {
    let with_mail = |source: &str, sent, bounced| SourceCounts {
        mail: Some(Mail { sent, bounced, complained: 0, unsubscribed: bounced / 2, engaged: 1, young: 0 }),
        ..counts(source, sent, 1)
    };
    let cards = scorecards(
        &[with_mail("a", 1000, 10), with_mail("b", 20, 4), with_mail("c", 500, 60), with_mail("d", 800, 30)],
        Settings::default(),
    );
    let bounce = metric(&cards[1].metrics, "bounce");
    assert!(bounce.value.unwrap() > 0.02 && bounce.value.unwrap() < 0.2, "{bounce:?}");
    assert_eq!((bounce.numerator, bounce.n), (Some(4.0), 20));
    assert_eq!(metric(&cards[1].metrics, "engagement").n, 16);
}

#[test]
fn discoveries_follow_benjamini_and_hochberg() {
    // The example of their paper: four of fifteen at 5 %.
    let probabilities =
        [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0];
    assert_eq!(discoveries(&probabilities, 0.05), 4);
    assert_eq!(discoveries(&[], 0.05), 0);
    assert_eq!(discoveries(&[0.04], 0.05), 1);
}

#[test]
fn changed_source_is_alerted_and_the_others_are_not() {
    let same = |at: u64| Comparison {
        source: format!("steady{at}"),
        figure: "validity".to_owned(),
        change: Change::Share { base: (900, 1000), now: (88 + at % 4, 100) },
    };
    let mut comparisons: Vec<Comparison> = (0..50).map(same).collect();
    comparisons.push(Comparison {
        source: "broken".to_owned(),
        figure: "validity".to_owned(),
        change: Change::Share { base: (900, 1000), now: (60, 100) },
    });
    comparisons.push(Comparison {
        source: "silent".to_owned(),
        figure: "volume".to_owned(),
        change: Change::Volume { base: (280, 28.0), now: (20, 7.0) },
    });
    let mix = |of: &[(&str, u64)]| of.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect();
    comparisons.push(Comparison {
        source: "mixed".to_owned(),
        figure: "domain".to_owned(),
        change: Change::Mix {
            base: mix(&[("a.example", 500), ("b.example", 500)]),
            now: mix(&[("a.example", 90), ("c.example", 10)]),
        },
    });
    comparisons.push(Comparison {
        source: "new".to_owned(),
        figure: "volume".to_owned(),
        change: Change::Share { base: (0, 0), now: (1, 9) },
    });
    let mut raised: Vec<String> = alerts(&comparisons, FALSE_DISCOVERIES).into_iter().map(|alert| alert.source).collect();
    raised.sort();
    assert_eq!(raised, ["broken", "mixed", "silent"]);
}

#[test]
fn normal_tail_has_its_known_values() {
    use crate::quality::drift::normal_beyond;
    for (z, expected) in [(0.0, 0.5), (1.0, 0.158_655_253_931), (Z_95, 0.025), (3.5, 2.326_290_790e-4), (6.0, 9.865_876_45e-10)] {
        let got = normal_beyond(z);
        assert!((got / expected - 1.0).abs() < 1e-7, "{z}: {got} for {expected}");
    }
}

#[test]
fn parts_of_a_bill_add_up_to_it() {
    let third = Rule::PerRecord([("a".to_owned(), 1), ("b".to_owned(), 2), ("idle".to_owned(), 0)].into());
    let parts = allocate(Decimal::new(10000, 2), &third);
    assert_eq!(parts.iter().map(|part| part.amount).sum::<Decimal>(), Decimal::new(10000, 2));
    assert_eq!(parts.len(), 2);
    let days = allocate(Decimal::ONE, &Rule::PerDay { source: "a".to_owned(), first: 10, last: 12 });
    assert_eq!(days.iter().map(|part| part.amount).sum::<Decimal>(), Decimal::ONE);
    assert_eq!(days.iter().filter_map(|part| part.day).collect::<Vec<_>>(), [10, 11, 12]);
    let unclicked = allocate(Decimal::from(4), &Rule::PerCampaign([("a".to_owned(), 0), ("b".to_owned(), 0)].into()));
    assert_eq!(unclicked.iter().map(|part| part.amount).collect::<Vec<_>>(), [Decimal::TWO, Decimal::TWO]);
    let nobody = allocate(Decimal::from(4), &Rule::PerRecord(BTreeMap::new()));
    assert_eq!(nobody, [Part { source: None, day: None, amount: Decimal::from(4) }]);
}

#[test]
fn amounts_without_a_rate_stand_apart() {
    let mut rates = Rates::into("EUR");
    rates.set("USD", 100, Decimal::new(9, 1));
    rates.set("USD", 103, Decimal::new(8, 1));
    rates.set("USD", 104, Decimal::ZERO);
    let converted = rates.convert([
        (100, "USD", Decimal::TEN),
        (104, "USD", Decimal::TEN),
        (99, "USD", Decimal::ONE),
        (1, "EUR", Decimal::ONE),
    ]);
    assert_eq!(converted.amount, Decimal::from(18));
    assert_eq!(converted.apart, [("USD".to_owned(), Decimal::ONE)].into());
    assert_eq!(rates.convert([(200, "USD", Decimal::ONE)]).apart.len(), 1);
}

#[test]
fn moving_budget_to_the_better_source_is_a_gain() {
    let poor = Record { cost_per_lead: 10.0, leads: 1000, customers: 10 };
    let good = Record { cost_per_lead: 20.0, leads: 400, customers: 60 };
    let answer = shift(1000.0, poor, good, None).unwrap();
    assert!((answer.leads + 50.0).abs() < 1e-9);
    // 50 more at 15 % against 100 fewer at 1 %.
    assert!((answer.customers - 6.5).abs() < 0.1, "{answer:?}");
    assert!(answer.interval.low > 3.0 && answer.interval.high < 10.0 && answer.gain > 0.99, "{answer:?}");
    let back = shift(1000.0, good, poor, None).unwrap();
    assert!((back.customers + answer.customers).abs() < 1e-9);
    assert_eq!(shift(1000.0, Record { cost_per_lead: 0.0, ..poor }, good, None), None);
}

/// What `scipy.stats.bootstrap` (BCa, 200,000 resamples) says of the same people.
#[test]
fn intervals_of_amounts_are_those_of_a_long_bootstrap() {
    let few: Vec<f64> = vec![960.0, 4800.0, 480.0, 1450.0, 1980.0, 2400.0, 960.0, 6400.0, 480.0, 1450.0, 3900.0, 960.0];
    let many: Vec<f64> = (1..=400).map(|at| f64::from(at % 40 + 1).powi(2)).collect();
    for (amounts, people, low, high) in [(&few, 180, 69.44, 300.78), (&many, 5_000, 39.01, 50.36)] {
        let interval = bootstrap::mean(amounts, people).unwrap();
        let width = high - low;
        assert!((interval.low - low).abs() < 0.05 * width, "{interval:?}");
        assert!((interval.high - high).abs() < 0.05 * width, "{interval:?}");
    }
}

#[test]
fn few_payers_have_no_interval_and_equal_ones_no_width() {
    assert_eq!(bootstrap::mean(&[100.0; 4], 50), None);
    assert_eq!(bootstrap::mean(&[100.0; 50], 50), None, "everybody paid the same: nothing varies");
    assert_eq!(bootstrap::mean(&[f64::NAN; 9], 50), None);
    assert_eq!(bootstrap::mean(&[1.0; 9], 5), None, "more payers than people");
}

#[test]
fn resampling_and_its_expansion_agree_where_one_takes_over() {
    let amounts: Vec<f64> = (1..=300).map(|at| f64::from(at % 30 + 1) * 100.0).collect();
    let (resampled, expanded) = (bootstrap::mean(&amounts[1..], 4_000).unwrap(), bootstrap::mean(&amounts, 4_000).unwrap());
    let width = expanded.high - expanded.low;
    assert!((resampled.low - expanded.low).abs() < 0.08 * width, "{resampled:?} {expanded:?}");
    assert!((resampled.high - expanded.high).abs() < 0.08 * width, "{resampled:?} {expanded:?}");
}

#[test]
fn money_has_the_interval_of_its_people() {
    let mut source = counts("vendor", 180, 12);
    let paid = vec![960.0, 4800.0, 480.0, 1450.0, 1980.0, 2400.0, 960.0, 6400.0, 480.0, 1450.0, 3900.0, 960.0];
    let sum: f64 = paid.iter().sum();
    source.revenue.insert("EUR".to_owned(), Decimal::try_from(sum).unwrap());
    source.revenue_by_person.insert("EUR".to_owned(), paid);
    source.cost.insert("EUR".to_owned(), Decimal::from(1_000));
    let metrics = scorecards(&[source], Settings::default()).remove(0).metrics;
    let (each, roas) = (metric(&metrics, "revenue_per_lead"), metric(&metrics, "roas"));
    assert!(each.low.unwrap() < each.value.unwrap() && each.value.unwrap() < each.high.unwrap(), "{each:?}");
    assert!((roas.low.unwrap() - each.low.unwrap() * 180.0 / 1_000.0).abs() < 1e-9, "{roas:?}");
    assert!((roas.high.unwrap() - each.high.unwrap() * 180.0 / 1_000.0).abs() < 1e-9, "{roas:?}");
}

#[test]
fn mail_of_the_last_weeks_is_immature() {
    let mail = |young| Mail { sent: 100, bounced: 4, complained: 0, unsubscribed: 1, engaged: 9, young };
    let state = |young| {
        let source = SourceCounts { mail: Some(mail(young)), ..counts("vendor", 100, 5) };
        let metrics = scorecards(&[source], Settings::default()).remove(0).metrics;
        ["bounce", "complaint", "unsubscribe", "engagement"].map(|name| metric(&metrics, name).state)
    };
    assert_eq!(state(50), [State::Ok; 4]);
    assert_eq!(state(51), [State::Immature; 4]);
}
