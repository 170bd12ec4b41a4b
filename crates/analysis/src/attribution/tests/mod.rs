//! Equality with an independent program, and what must hold for every model.

mod whole;
mod worlds;

use std::{collections::BTreeMap, fs, num::NonZeroU32};

use proptest::prelude::*;
use serde_json::Value;

use super::{
    ChannelId, Error, Lookback, Milestones, Model, Totals, TouchPoint, apportion, eligible,
    journeys::{ConversionRow, Journeys, TouchRow},
    paths::PathTable,
    shares,
};

const DAY_US: i64 = 86_400_000_000;

const MODELS: [Model; 14] = [
    Model::PositionalDecay,
    Model::First,
    Model::Last,
    Model::LastNonDirect,
    Model::Linear,
    Model::LinearUnique,
    Model::Position,
    Model::J,
    Model::InverseJ,
    Model::W,
    Model::FullPath,
    decay(7),
    decay(30),
    Model::ShapleySum,
];

const fn decay(days: u32) -> Model {
    Model::TimeDecay { half_life_days: NonZeroU32::new(days).unwrap() }
}

fn fixture(name: &str) -> String {
    fs::read_to_string(format!("{}/../../fixtures/attribution/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn rows(name: &str) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_reader(fixture(name).as_bytes()).deserialize().map(Result::unwrap).collect()
}

fn public_paths() -> PathTable {
    paths_of("public")
}

fn paths_of(set: &str) -> PathTable {
    let mut table = PathTable::default();
    for row in rows(&format!("{set}.paths.csv")) {
        let number = |column: &str| row[column].parse().unwrap();
        table.push(&row["path"], number("total_conversions"), number("total_conversion_value"), number("total_null")).unwrap();
    }
    table
}

#[track_caller]
fn check_equal(totals: &Totals, reference: &Value, name: &str) {
    for (kind, of) in [("conv", 0), ("value", 1)] {
        let Some(expected) = reference["models"][format!("{name}|{kind}")].as_object() else {
            assert!(name.starts_with("shapley") && kind == "value", "the reference has it");
            continue;
        };
        assert_eq!(totals.channels.len(), expected.len());
        for channel in &totals.channels {
            let got = [channel.conversions, channel.value][of];
            let expected = expected[&channel.channel].as_f64().unwrap();
            assert!((got - expected).abs() < 1e-6, "{name} {kind} {}: {got} for {expected}", channel.channel);
        }
    }
}

#[test]
fn credit_of_paths_equals_the_reference() {
    for (set, journeys) in [("public", (582.0, 3418.0)), ("pathdata", (19785.0, 68602.0))] {
        let reference: Value = serde_json::from_str(&fixture(&format!("{set}.json"))).unwrap();
        let paths = paths_of(set);
        assert_eq!(paths.journeys(), journeys);
        check_models(&paths, &reference);
    }
}

fn check_models(paths: &PathTable, reference: &Value) {
    for (model, name) in [
        (Model::First, "first_touch"),
        (Model::Last, "last_touch"),
        (Model::LastNonDirect, "last_non_direct"),
        (Model::Linear, "linear"),
        (Model::LinearUnique, "linear_unique"),
        (Model::Position, "position_40_20_40"),
        (Model::J, "j_20_20_60"),
        (Model::InverseJ, "inverse_j_60_20_20"),
        (Model::W, "w_30_30_30_10_mid"),
        (Model::FullPath, "full_path_22_5"),
        (Model::PositionalDecay, "decay_positional_half"),
        (Model::ShapleySum, "shapley_sum"),
    ] {
        check_equal(&paths.credit(model).unwrap(), reference, name);
    }
}

#[test]
fn credit_of_touches_equals_the_reference() {
    let reference: Value = serde_json::from_str(&fixture("public.json")).unwrap();
    let touch_rows = rows("public.touches.csv");
    let journey_rows = rows("public.journeys.csv");
    let seconds = |text: &str| text.parse::<i64>().unwrap() * 1_000_000;
    let touches: Vec<TouchRow<'_>> = touch_rows
        .iter()
        .map(|row| TouchRow {
            person: &row["journey_id"],
            channel: &row["channel"],
            at_us: seconds(&row["ts"]),
            seq: row["seq"].parse().unwrap(),
            id: "",
        })
        .collect();
    let conversions: Vec<ConversionRow<'_>> = journey_rows
        .iter()
        .filter(|row| row["converted"] == "1")
        .map(|row| ConversionRow {
            person: &row["journey_id"],
            at_us: seconds(row["conv_ts"].trim_end_matches(".0")),
            value: row["value"].parse().unwrap(),
        })
        .collect();
    let journeys = Journeys::new(&touches).unwrap();
    let day = Lookback::days;
    for (model, lookback, name) in [
        (Model::First, Lookback::UNLIMITED, "first_touch"),
        (Model::LastNonDirect, Lookback::UNLIMITED, "last_non_direct"),
        (Model::Position, Lookback::UNLIMITED, "position_40_20_40"),
        (decay(7), Lookback::UNLIMITED, "time_decay_hl7d"),
        (decay(30), Lookback::UNLIMITED, "time_decay_hl30d"),
        (Model::Linear, day(0.5), "linear_lookback0.5d"),
        (Model::Linear, day(7.0), "linear_lookback7d"),
        (Model::Linear, day(30.0), "linear_lookback30d"),
        (Model::First, day(0.5), "first_touch_lookback0.5d"),
        (Model::First, day(7.0), "first_touch_lookback7d"),
        (Model::First, day(30.0), "first_touch_lookback30d"),
    ] {
        let totals = journeys.totals(model, lookback, &conversions).unwrap();
        check_equal(&totals, &reference, name);
        let unattributed = reference["extra"][format!("{name}_unattributed")].as_f64();
        if let Some(unattributed) = unattributed {
            assert_eq!(totals.unattributed, unattributed, "{name}");
            assert_eq!(
                journeys.credits(model, lookback, &conversions).unwrap().unattributed.len() as f64,
                unattributed,
                "{name}"
            );
        }
    }
}

fn journey(channels: &[u32]) -> Vec<TouchPoint> {
    channels.iter().map(|channel| TouchPoint { channel: ChannelId(*channel), at_us: 0 }).collect()
}

#[track_caller]
fn check_shares(model: Model, channels: &[u32], expected: &[f64]) {
    let got = shares(model, &journey(channels), 0, Some(ChannelId(0)));
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-12), "{model} {got:?}");
}

#[test]
fn short_journeys_are_shared_as_defined() {
    for model in MODELS {
        check_shares(model, &[], &[]);
        check_shares(model, &[1], &[1.0]);
        check_shares(model, &[0], &[1.0]);
    }
    check_shares(Model::Position, &[1, 2], &[0.5, 0.5]);
    check_shares(Model::J, &[1, 2], &[0.25, 0.75]);
    check_shares(Model::InverseJ, &[1, 2], &[0.75, 0.25]);
    check_shares(Model::W, &[1, 2], &[2.0 / 3.0, 1.0 / 3.0]);
    check_shares(Model::W, &[1, 2, 3], &[1.0 / 3.0; 3]);
    check_shares(Model::W, &[1, 2, 3, 4], &[0.3, 0.3, 0.1, 0.3]);
    check_shares(Model::FullPath, &[1, 2, 3, 4, 5, 6], &[0.225, 0.225, 0.05, 0.225, 0.05, 0.225]);
    check_shares(Model::Position, &[1, 2, 3, 4], &[0.4, 0.1, 0.1, 0.4]);
    check_shares(Model::LinearUnique, &[1, 2, 1], &[0.5, 0.5, 0.0]);
    check_shares(Model::Linear, &[1, 2, 1, 1], &[0.25; 4]);
}

#[test]
fn direct_is_passed_over_unless_there_is_nothing_else() {
    check_shares(Model::LastNonDirect, &[1, 2, 0, 0], &[0.0, 1.0, 0.0, 0.0]);
    check_shares(Model::LastNonDirect, &[0, 0], &[0.0, 1.0]);
    assert_eq!(shares(Model::LastNonDirect, &journey(&[1, 0]), 0, None), [0.0, 1.0]);
}

#[test]
fn touch_one_half_life_older_earns_half() {
    let touches = [-7 * DAY_US, 0].map(|at_us| TouchPoint { channel: ChannelId(1), at_us });
    let got = shares(decay(7), &touches, 3 * DAY_US, None);
    assert!((got[0] * 2.0 - got[1]).abs() < 1e-12);
}

#[test]
fn decay_of_ages_old_journey_still_adds_up() {
    let touches = [i64::MIN, i64::MIN + 1].map(|at_us| TouchPoint { channel: ChannelId(1), at_us });
    let got = shares(decay(1), &touches, i64::MAX, None);
    assert!((got[0] - 0.5).abs() < 1e-6 && (got[1] - 0.5).abs() < 1e-6);
}

#[test]
fn lookback_includes_its_last_instant_and_no_touch_after_the_conversion() {
    let touches = [-DAY_US - 1, -DAY_US, 0, 1].map(|at_us| TouchPoint { channel: ChannelId(1), at_us });
    assert_eq!(eligible(&touches, 0, Lookback::days(1.0)), 1..3);
    assert_eq!(eligible(&touches, 0, Lookback::UNLIMITED), 0..3);
    assert_eq!(eligible(&touches, 0, Lookback::days(0.0)), 2..3);
    assert_eq!(eligible(&touches, 0, Lookback::days(-1.0)), 2..3);
    assert_eq!(eligible(&touches, -2 * DAY_US, Lookback::days(9.0)), 0..0);
    assert_eq!(eligible(&touches, i64::MAX, Lookback::days(f64::MAX)), 0..4);
}

#[test]
fn conversion_of_a_stranger_is_unattributed() {
    let journeys = Journeys::new(&[TouchRow { person: "a", channel: "email", at_us: 5, seq: 0, id: "" }]).unwrap();
    let conversion = |person, at_us| ConversionRow { person, at_us, value: 10.0 };
    let conversions = [conversion("b", 9), conversion("a", 9), conversion("a", 4)];
    let credits = journeys.credits(Model::Linear, Lookback::UNLIMITED, &conversions).unwrap();
    assert_eq!(credits.unattributed, [0, 2]);
    assert_eq!(credits.shares.iter().map(|share| (share.conversion, share.touch)).collect::<Vec<_>>(), [(1, 0)]);
    let totals = journeys.totals(Model::Linear, Lookback::UNLIMITED, &conversions).unwrap();
    assert_eq!((totals.unattributed, totals.unattributed_value, totals.channels[0].value), (2.0, 20.0, 10.0));
}

#[test]
fn value_that_is_no_number_is_refused() {
    let journeys = Journeys::new(&[]).unwrap();
    let conversions = [ConversionRow { person: "a", at_us: 0, value: f64::NAN }];
    let refused = journeys.totals(Model::Linear, Lookback::UNLIMITED, &conversions).unwrap_err();
    assert_eq!(refused.to_string(), "`value` must be a number from -1e15 to 1e15");
}

#[test]
fn milestones_are_met_by_the_touch_before_them() {
    let touch = |channel, at_us| TouchRow { person: "a", channel, at_us, seq: 0, id: "" };
    let touches = [touch("ad", 0), touch("form", 10), touch("mail", 20), touch("demo", 30), touch("mail", 40)];
    let conversions = [ConversionRow { person: "a", at_us: 50, value: 1.0 }];
    let shares = |met: Option<Milestones>, model| -> Vec<f64> {
        let journeys = Journeys::new(&touches).unwrap();
        let journeys = match met {
            Some(met) => journeys.with_milestones([("a", met)].into()),
            None => journeys,
        };
        let credits = journeys.credits(model, Lookback::UNLIMITED, &conversions).unwrap();
        credits.shares.iter().map(|share| share.share).collect()
    };
    let met = Some(Milestones { lead_us: Some(15), opportunity_us: Some(30) });
    assert!(is_close(&shares(met, Model::W), &[0.3, 0.3, 0.05, 0.3, 0.05]));
    assert!(is_close(&shares(met, Model::FullPath), &[0.225, 0.225, 0.1, 0.225, 0.225]));
    assert_eq!(shares(met, Model::Linear), [0.2; 5]);
    assert_eq!(shares(Some(Milestones::default()), Model::FullPath), shares(None, Model::FullPath));
    let early = Some(Milestones { lead_us: Some(-5), opportunity_us: Some(99) });
    assert!(is_close(&shares(early, Model::W), &[0.6, 0.1 / 3.0, 0.1 / 3.0, 0.1 / 3.0, 0.3]));
}

#[test]
fn touches_of_one_instant_are_ordered_by_number_then_id() {
    let touch = |channel, seq, id| TouchRow { person: "a", channel, at_us: 0, seq, id };
    let journeys = Journeys::new(&[touch("late", 2, "1"), touch("second", 1, "9"), touch("first", 1, "3")]).unwrap();
    let conversions = [ConversionRow { person: "a", at_us: 0, value: 1.0 }];
    let credits = |model| journeys.credits(model, Lookback::UNLIMITED, &conversions).unwrap().shares[0].touch;
    assert_eq!((credits(Model::First), credits(Model::Last)), (2, 0));
}

#[test]
fn names_are_read_back_and_others_are_refused() {
    for model in MODELS.into_iter().chain(whole::MODELS) {
        assert_eq!(model.name().parse::<Model>().unwrap().name(), model.name());
        assert!(super::AVAILABLE.split(", ").any(|name| name == model.name()));
    }
    assert_eq!("time_decay".parse(), Ok(decay(7)));
    assert_ne!(decay(7).version(), decay(30).version());
    assert_eq!("shapley".parse(), Ok(Model::ShapleyRate));
    assert_eq!(
        "lineal".parse::<Model>().unwrap_err().to_string(),
        "no attribution model is called `lineal`; choose one of first, last, last_non_direct, linear, linear_unique, position, \
         positional_decay, j, inverse_j, w, full_path, time_decay, markov, markov2, markov3, shapley_sum, shapley_rate, counterfactual"
    );
}

#[test]
fn arrow_without_blanks_belongs_to_the_channel() {
    let mut table = PathTable::default();
    table.push("A>B > C", 1.0, 0.0, 0.0).unwrap();
    let names: Vec<String> = table.credit(Model::Linear).unwrap().channels.into_iter().map(|channel| channel.channel).collect();
    assert_eq!(names, ["A>B", "C"]);
}

#[test]
fn empty_path_keeps_its_conversion() {
    let mut table = PathTable::default();
    table.push("", 1.0, 20.0, 0.0).unwrap();
    table.push("email", 1.0, 5.0, 0.0).unwrap();
    let totals = table.credit(Model::Linear).unwrap();
    assert_eq!((totals.unattributed, totals.unattributed_value, totals.channels[0].conversions), (1.0, 20.0, 1.0));
}

#[test]
fn refused_row_leaves_the_table_as_it_was() {
    let mut table = PathTable::default();
    assert_eq!(table.push("email >  > webinar", 1.0, 0.0, 0.0), Err(Error::EmptyStep));
    assert_eq!(table.push("email > ", 1.0, 0.0, 0.0), Err(Error::EmptyStep));
    for bad in [f64::NAN, f64::INFINITY, -1.0, 1e16] {
        assert!(matches!(table.push("email", bad, 0.0, 0.0), Err(Error::BadNumber { column: "total_conversions", expected: _ })));
        assert!(matches!(table.push("email", 0.0, 0.0, bad), Err(Error::BadNumber { column: "total_null", expected: _ })));
    }
    assert!(table.push("email", 0.0, f64::NAN, 0.0).is_err());
    assert!(table.is_empty());
    assert!(table.credit(Model::Linear).unwrap().channels.is_empty());
}

#[test]
fn time_decay_refuses_paths() {
    assert_eq!(public_paths().credit(decay(7)), Err(Error::NeedsTimes { name: "time_decay" }));
}

#[test]
fn amounts_are_shared_out_to_the_last_unit() {
    assert_eq!(apportion(10, &[0.4, 0.2, 0.4]), [4, 2, 4]);
    assert_eq!(apportion(1, &[0.5, 0.5]), [1, 0]);
    assert_eq!(apportion(7, &[]), [0_i64; 0]);
    assert_eq!(apportion(7, &[0.0, f64::NAN]), [0, 0]);
    assert_eq!(apportion(i64::MAX, &[1.0]), [i64::MAX]);
}

fn any_model() -> impl Strategy<Value = Model> {
    prop::sample::select(MODELS.to_vec())
}

fn any_journey() -> impl Strategy<Value = Vec<TouchPoint>> {
    prop::collection::vec((0..5_u32, 0..90 * DAY_US), 1..30).prop_map(|mut touches| {
        touches.sort_by_key(|(_, at_us)| *at_us);
        touches.into_iter().map(|(channel, at_us)| TouchPoint { channel: ChannelId(channel), at_us }).collect()
    })
}

fn by_channel(touches: &[TouchPoint], shares: &[f64]) -> [f64; 5] {
    let mut sums = [0.0; 5];
    for (touch, share) in touches.iter().zip(shares) {
        sums[touch.channel.0 as usize] += share;
    }
    sums
}

fn is_close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
}

proptest! {
    #[test]
    fn shares_are_parts_of_one(model in any_model(), touches in any_journey()) {
        let got = shares(model, &touches, 90 * DAY_US, Some(ChannelId(0)));
        prop_assert_eq!(got.len(), touches.len());
        prop_assert!(got.iter().all(|share| (0.0..=1.0).contains(share)));
        prop_assert!((got.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn reversed_journey_mirrors_the_shares(touches in any_journey()) {
        let reversed: Vec<TouchPoint> = touches.iter().rev().copied().collect();
        for (model, mirror) in [
            (Model::First, Model::Last), (Model::J, Model::InverseJ), (Model::Position, Model::Position), (Model::Linear, Model::Linear),
        ] {
            let mut got = shares(model, &reversed, 0, None);
            got.reverse();
            prop_assert!(is_close(&got, &shares(mirror, &touches, 0, None)));
        }
    }

    #[test]
    fn linear_models_do_not_see_the_order(touches in any_journey().prop_flat_map(|touches| (Just(touches.clone()), Just(touches).prop_shuffle()))) {
        let (touches, shuffled) = touches;
        for model in [Model::Linear, Model::LinearUnique, Model::ShapleySum] {
            let [a, b] = [&touches, &shuffled].map(|touches| by_channel(touches, &shares(model, touches, 0, None)));
            prop_assert!(is_close(&a, &b));
        }
    }

    #[test]
    fn renamed_channels_keep_their_shares(model in any_model(), touches in any_journey(), shift in 1..99_u32) {
        let renamed: Vec<TouchPoint> =
            touches.iter().map(|touch| TouchPoint { channel: ChannelId(touch.channel.0 + shift), ..*touch }).collect();
        prop_assert_eq!(
            shares(model, &touches, 90 * DAY_US, Some(ChannelId(0))),
            shares(model, &renamed, 90 * DAY_US, Some(ChannelId(shift)))
        );
    }

    #[test]
    fn decay_depends_on_ages_alone(touches in any_journey(), shift in 0..1000 * DAY_US) {
        let later: Vec<TouchPoint> = touches.iter().map(|touch| TouchPoint { at_us: touch.at_us + shift, ..*touch }).collect();
        prop_assert_eq!(shares(decay(7), &touches, 90 * DAY_US, None), shares(decay(7), &later, 90 * DAY_US + shift, None));
    }

    #[test]
    fn eligible_touches_are_those_inside_the_window(touches in any_journey(), converted in 0..90 * DAY_US, days in 0..100_u32) {
        let naive: Vec<usize> = (0..touches.len())
            .filter(|at| (0..=i64::from(days) * DAY_US).contains(&(converted - touches[*at].at_us)))
            .collect();
        prop_assert_eq!(eligible(&touches, converted, Lookback::days(f64::from(days))).collect::<Vec<_>>(), naive);
    }

    #[test]
    fn order_of_paths_changes_no_bit(
        model in prop::sample::select(vec![Model::Linear, Model::Position, Model::LastNonDirect, Model::FullPath]),
        rows in prop::collection::vec((prop::collection::vec("[a-c]|direct", 1..6), 0..9_u32, -1e6..1e6), 1..12)
            .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        let (rows, shuffled) = rows;
        let [a, b] = [&rows, &shuffled].map(|rows| {
            let mut table = PathTable::default();
            for (steps, conversions, value) in rows {
                table.push(&steps.join(" > "), f64::from(*conversions), *value, 1.0).unwrap();
            }
            table.credit(model).unwrap()
        });
        prop_assert_eq!(&a, &b);
        let conversions: f64 = a.channels.iter().map(|channel| channel.conversions).sum();
        let value: f64 = a.channels.iter().map(|channel| channel.value).sum();
        prop_assert!((conversions - rows.iter().map(|row| f64::from(row.1)).sum::<f64>()).abs() < 1e-6);
        prop_assert!((value - rows.iter().map(|row| row.2).sum::<f64>()).abs() < 1e-3);
    }

    #[test]
    fn order_of_touches_changes_no_bit(
        model in any_model(),
        rows in prop::collection::vec(("[ab]", "[x-z]|direct", 0..40 * DAY_US, 0..2_i64), 1..20)
            .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        let conversions = ["a", "b", "c"].map(|person| ConversionRow { person, at_us: 30 * DAY_US, value: 99.5 });
        let (rows, shuffled) = rows;
        let [a, b] = [&rows, &shuffled].map(|rows| {
            let touches: Vec<TouchRow<'_>> =
                rows.iter().map(|(person, channel, at_us, seq)| TouchRow { person, channel, at_us: *at_us, seq: *seq, id: "" }).collect();
            Journeys::new(&touches).unwrap().totals(model, Lookback::days(20.0), &conversions).unwrap()
        });
        prop_assert_eq!(&a, &b);
        let earned: f64 = a.channels.iter().map(|channel| channel.conversions).sum();
        prop_assert!((earned + a.unattributed - 3.0).abs() < 1e-9);
    }

    #[test]
    fn apportioned_amounts_add_up(amount in any::<i64>().prop_filter("has an opposite", |amount| *amount != i64::MIN), touches in any_journey(), model in any_model()) {
        let shares = shares(model, &touches, 90 * DAY_US, None);
        let parts = apportion(amount, &shares);
        prop_assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(amount));
        prop_assert!(parts.iter().all(|part| part.signum() * amount.signum() >= 0));
        prop_assert!(parts.iter().zip(&shares).all(|(part, share)| (*part as f64 - share * amount as f64).abs() < 1.0 + amount.unsigned_abs() as f64 * 1e-14));
    }
}
