//! What a model must learn, what it must not see, and when it must refuse.

use proptest::prelude::*;

use super::{
    features::{Act, Person, Shape, past_cases},
    report::{Scored, report},
    *,
};

const DAY_US: i64 = 86_400_000_000;

/// Cases whose odds follow the features by a known law.
fn cases(n: usize, log_odds: impl Fn(f64, f64) -> f64) -> Cases {
    let rows = (0..n)
        .map(|at| {
            let unit = |seed| (draw(&at.to_string(), seed) >> 11) as f64 / (1_u64 << 53) as f64;
            let (a, b) = (unit(1) * 4.0 - 2.0, unit(2) * 4.0 - 2.0);
            let converted = unit(3) < crate::logistic::logistic(log_odds(a, b));
            let source = if at % 2 == 0 { "web" } else { "list" };
            Case { person: format!("p{at}"), source: source.to_owned(), features: vec![a, b, 7.0], converted }
        })
        .collect();
    Cases { names: ["clicks", "age", "constant"].map(str::to_owned).to_vec(), rows }
}

#[test]
fn linear_law_is_learned_calibrated_and_explained() {
    let cases = cases(4000, |a, b| -2.0 + a - 0.5 * b);
    let Trained { model, report, .. } = train(&cases, Settings::default()).unwrap();
    assert_eq!(model.method(), "logistic");
    assert!(report.all.auc.unwrap() > 0.75 && (0.9..1.1).contains(&report.calibration_slope.unwrap()), "{report:?}");
    assert!((report.all.expected_rate - report.all.converted as f64 / 4000.0).abs() < 0.01);
    let score = model.score(&[1.8, -0.1, 7.0]);
    assert!((score.probability - crate::logistic::logistic(-2.0 + 1.8 + 0.05)).abs() < 0.05, "{score:?}");
    assert_eq!(score.reasons[0].name, "clicks");
    assert!(score.reasons[0].weight > 0.0 && score.reasons.iter().all(|reason| reason.name != "constant"));
    assert!(model.score(&[-1.9, 0.0, 7.0]).reasons[0].weight < 0.0);
    assert_eq!(report.by_source.keys().collect::<Vec<_>>(), ["list", "web"]);
}

#[test]
fn trees_take_over_where_no_line_fits() {
    let cases = cases(3000, |a, b| if (a > 0.0) == (b > 0.0) { 1.5 } else { -2.5 });
    let trained = train(&cases, Settings::default()).unwrap();
    assert_eq!(trained.model.method(), "boosted trees");
    assert!(trained.report.all.auc.unwrap() > 0.8 && (0.85..1.15).contains(&trained.report.calibration_slope.unwrap()));
    let score = trained.model.score(&[1.0, 1.0, 7.0]);
    assert!(score.probability > 0.7 && !score.reasons.is_empty(), "{score:?}");
    let plain = train(&cases, Settings { boosting: false, ..Settings::default() }).unwrap();
    assert_eq!(plain.model.method(), "logistic");
    assert!(plain.report.all.auc.unwrap() < 0.6);
}

#[test]
fn order_of_cases_changes_no_model_and_a_seed_decides_the_folds() {
    let mut cases = cases(600, |a, b| a + b - 0.5);
    let first = train(&cases, Settings::default()).unwrap();
    cases.rows.reverse();
    let again = train(&cases, Settings::default()).unwrap();
    assert_eq!(first, again);
    assert_eq!(first.model.version(), again.model.version());
    let other = train(&cases, Settings { seed: 7, ..Settings::default() }).unwrap();
    assert_ne!(first.report, other.report);
    cases.rows[0].converted = !cases.rows[0].converted;
    assert_ne!(train(&cases, Settings::default()).unwrap().model.version(), first.model.version());
}

#[test]
fn too_few_cases_are_refused_with_their_number() {
    let refused = train(&cases(100, |_, _| -4.0), Settings::default()).unwrap_err().to_string();
    assert!(refused.starts_with("too few to learn from:") && refused.ends_with("30 of each are needed"), "{refused}");
    let mut same = cases(500, |_, _| 0.0);
    same.rows.iter_mut().for_each(|case| case.features = vec![1.0, 1.0, 1.0]);
    assert_eq!(train(&same, Settings::default()), Err(Refusal::NoFeatures));
}

#[test]
fn figures_have_their_known_values() {
    let scored: Vec<Scored> = [(0.9, true), (0.8, true), (0.7, false), (0.6, true), (0.2, false), (0.1, false), (0.1, false)]
        .into_iter()
        .chain(std::iter::repeat_n((0.1, false), 13))
        .map(|(probability, converted)| Scored { source: "a".to_owned(), probability, converted })
        .collect();
    let all = report(&scored).all;
    // Of 51 pairs one is in the wrong order.
    assert!((all.auc.unwrap() - 50.0 / 51.0).abs() < 1e-12);
    assert!((all.lift_at_10_percent.unwrap() - 1.0 / (3.0 / 20.0)).abs() < 1e-12);
    let one = report(&scored[..1]);
    assert_eq!((one.all.auc, one.calibration_slope, one.all.lift_at_10_percent), (None, None, None));
    assert_eq!(report(&[]).all.cases, 0);
}

fn person(first_day: i64, acts: &[(Act, i64)], converted_day: Option<i64>) -> Person {
    Person {
        id: "p".to_owned(),
        source: "web".to_owned(),
        first_at_us: first_day * DAY_US,
        acts: acts.iter().map(|(act, day)| (*act, day * DAY_US)).collect(),
        converted_at_us: converted_day.map(|day| day * DAY_US),
    }
}

#[test]
fn case_sees_nothing_of_its_future() {
    let before = person(0, &[(Act::Visit, 5)], None);
    let shape = Shape::of(std::slice::from_ref(&before));
    let after = person(0, &[(Act::Visit, 5), (Act::Reply, 11), (Act::Pricing, 12)], Some(13));
    assert_eq!(shape.features(&before, 10 * DAY_US), shape.features(&after, 10 * DAY_US));
    assert_ne!(shape.features(&before, 12 * DAY_US), shape.features(&after, 12 * DAY_US));
    assert_eq!(shape.features(&after, 13 * DAY_US), None, "a customer is no case");
    assert_eq!(shape.features(&after, -DAY_US), None, "nobody knew them");
    assert_eq!(shape.names().len(), shape.features(&before, 10 * DAY_US).unwrap().len());
}

#[test]
fn outcome_is_what_followed_within_the_horizon() {
    let people = [person(0, &[], Some(95)), Person { id: "q".to_owned(), ..person(0, &[], Some(65)) }];
    let cases = past_cases(&people, &Shape::of(&people), 100 * DAY_US, 30);
    let of = |id: &str| cases.rows.iter().filter(|case| case.person == id).map(|case| case.converted).collect::<Vec<_>>();
    // As of day 70, 40 and 10; the looks before that are at nobody.
    assert_eq!(of("p"), [true, false, false]);
    assert_eq!(of("q"), [true, false]);
}

proptest! {
    #[test]
    fn later_acts_change_no_earlier_case(
        acts in prop::collection::vec((0..8_usize, 0..100_i64), 0..20),
        late in prop::collection::vec((0..8_usize, 51..100_i64), 0..9),
    ) {
        let kinds =
            [Act::Touch, Act::Visit, Act::Pricing, Act::Click, Act::Reply, Act::Subscribed, Act::Gone, Act::Declared];
        let early: Vec<(Act, i64)> = acts.iter().map(|(kind, day)| (kinds[*kind], *day)).collect();
        let all: Vec<(Act, i64)> = early.iter().copied().chain(late.iter().map(|(kind, day)| (kinds[*kind], *day))).collect();
        let (some, more) = (person(0, &early, None), person(0, &all, Some(60)));
        let shape = Shape::of(std::slice::from_ref(&some));
        prop_assert_eq!(shape.features(&some, 50 * DAY_US), shape.features(&more, 50 * DAY_US));
    }
}
