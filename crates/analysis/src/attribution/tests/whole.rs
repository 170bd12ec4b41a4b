//! The models of all journeys: equality with an independent program, what is known to be true, and what must always hold.

use super::*;

pub(super) const MODELS: [Model; 5] = [markov(1), markov(2), markov(3), Model::ShapleyRate, Model::Counterfactual];

const fn markov(order: u32) -> Model {
    Model::Markov { order: NonZeroU32::new(order).unwrap() }
}

#[test]
fn chains_and_coalitions_equal_the_reference() {
    for set in ["public", "pathdata"] {
        let reference: Value = serde_json::from_str(&fixture(&format!("{set}.json"))).unwrap();
        let paths = paths_of(set);
        for order in 1..=3 {
            let name = format!("markov{order}");
            check_equal(&paths.credit(markov(order)).unwrap(), &reference, &name);
            let removal = paths.removal(NonZeroU32::new(order).unwrap()).unwrap();
            assert_eq!(removal.states as u64, reference["extra"][&name]["states"].as_u64().unwrap());
            let rate = reference["extra"][&name]["p_conv"].as_f64().unwrap();
            assert!((removal.conversion_rate - rate).abs() < 1e-10);
            let effects = reference["models"][format!("{name}|removal_conv")].as_object().unwrap();
            let expected: Vec<f64> = effects.values().map(|effect| effect.as_f64().unwrap()).collect();
            assert!(is_close(&removal.conversions, &expected), "{name} {:?} {expected:?}", removal.conversions);
            check_conversions(&paths.converting_only().credit(markov(order)).unwrap(), &reference, &format!("{name}_nonull"));
        }
        check_conversions(&paths.credit(Model::ShapleyRate).unwrap(), &reference, "shapley_rate");
        for (game, name) in paths.other_games().unwrap().iter().zip(["shapley_sum", "shapley_exactset_raw"]) {
            let expected = reference["models"][format!("{name}|conv")].as_object().unwrap();
            for (got, (channel, expected)) in game.iter().zip(expected) {
                assert!((got - expected.as_f64().unwrap()).abs() < 1e-6, "{name} {channel}");
            }
        }
    }
}

#[track_caller]
fn check_conversions(totals: &Totals, reference: &Value, name: &str) {
    let expected = &reference["models"][format!("{name}|conv")];
    for channel in &totals.channels {
        let expected = expected[&channel.channel].as_f64().unwrap();
        assert!(
            (channel.conversions - expected).abs() < 1e-6,
            "{name} {}: {} for {expected}",
            channel.channel,
            channel.conversions
        );
    }
}

/// The part of the credit that goes to channels which did not cause it: half the distance between shares and true shares.
pub(super) fn misallocated(totals: &Totals, truth: &BTreeMap<String, f64>) -> f64 {
    let earned: f64 = totals.channels.iter().map(|channel| channel.conversions.max(0.0)).sum();
    let caused: f64 = truth.values().map(|lost| lost.max(0.0)).sum();
    let distance: f64 = totals
        .channels
        .iter()
        .map(|channel| (channel.conversions.max(0.0) / earned - truth[&channel.channel].max(0.0) / caused).abs())
        .sum();
    distance / 2.0
}

#[test]
fn counterfactual_comes_near_the_truth_where_heuristics_do_not() {
    let truth: Value = serde_json::from_str(&fixture("public.truth.json")).unwrap();
    let truth: BTreeMap<String, f64> = serde_json::from_value(truth["truth_lost_conversions"].clone()).unwrap();
    let paths = public_paths();
    let off = |model| misallocated(&paths.credit(model).unwrap(), &truth);
    assert!(off(Model::Counterfactual) < 0.08, "{}", off(Model::Counterfactual));
    for (model, measured) in [(Model::Last, 0.251), (markov(1), 0.306), (Model::First, 0.328), (Model::ShapleyRate, 0.199)] {
        assert!((off(model) - measured).abs() < 0.001, "{model} {}", off(model));
    }
}

#[test]
fn times_and_paths_lead_to_the_same_totals() {
    let touch_rows = rows("public.touches.csv");
    let journey_rows = rows("public.journeys.csv");
    let at =
        |row: &BTreeMap<String, String>, column: &str| row[column].trim_end_matches(".0").parse::<i64>().unwrap() * 1_000_000;
    let touches: Vec<TouchRow<'_>> = touch_rows
        .iter()
        .map(|row| TouchRow {
            person: &row["journey_id"],
            channel: &row["channel"],
            at_us: at(row, "ts"),
            seq: 0,
            id: &row["seq"],
        })
        .collect();
    let conversions: Vec<ConversionRow<'_>> = journey_rows
        .iter()
        .filter(|row| row["converted"] == "1")
        .map(|row| ConversionRow { person: &row["journey_id"], at_us: at(row, "conv_ts"), value: row["value"].parse().unwrap() })
        .collect();
    let journeys = Journeys::new(&touches).unwrap();
    let paths = public_paths();
    for model in MODELS {
        let totals = journeys.totals(model, Lookback::UNLIMITED, &conversions).unwrap();
        let expected = paths.credit(model).unwrap();
        for (got, expected) in totals.channels.iter().zip(&expected.channels) {
            assert_eq!(got.channel, expected.channel);
            assert!((got.conversions - expected.conversions).abs() < 1e-6 && (got.value - expected.value).abs() < 1e-4);
        }
    }
    let credits = journeys.credits(markov(1), Lookback::UNLIMITED, &conversions).unwrap();
    let mut earned: BTreeMap<&str, f64> = BTreeMap::new();
    let mut of_conversion = vec![0.0; conversions.len()];
    for share in &credits.shares {
        *earned.entry(touches[share.touch].channel).or_default() += share.share;
        of_conversion[share.conversion] += share.share;
    }
    assert!(of_conversion.iter().all(|sum| (sum - 1.0).abs() < 1e-9));
    for channel in paths.credit(markov(1)).unwrap().channels {
        let got = earned[channel.channel.as_str()];
        assert!((got - channel.conversions).abs() < 1e-4, "{} {got} for {}", channel.channel, channel.conversions);
    }
}

#[test]
fn what_the_counterfactual_gives_to_nobody_is_a_part_of_each_conversion() {
    let touch = |person, channel| TouchRow { person, channel, at_us: 0, seq: 0, id: "" };
    let touches =
        [touch("a", "x"), touch("b", "y"), touch("c", "x"), touch("d", "y"), touch("e", "y"), touch("f", "x"), touch("g", "y")];
    let conversions = ["a", "b", "c"].map(|person| ConversionRow { person, at_us: 1, value: 1.0 });
    let credits = Journeys::new(&touches).unwrap().credits(Model::Counterfactual, Lookback::UNLIMITED, &conversions).unwrap();
    assert_eq!(credits.left_over.len(), 3);
    for at in 0..3 {
        let earned: f64 = credits.shares.iter().filter(|share| share.conversion == at).map(|share| share.share).sum();
        let left: f64 = credits.left_over.iter().filter(|(of, _)| *of == at).map(|(_, part)| part).sum();
        assert!((earned + left - 1.0).abs() < 1e-9);
    }
}

#[test]
fn nothing_converted_earns_nothing() {
    let mut table = PathTable::default();
    table.push("a > b", 0.0, 0.0, 10.0).unwrap();
    for model in MODELS {
        let totals = table.credit(model).unwrap();
        assert!(totals.channels.iter().all(|channel| channel.conversions == 0.0 && channel.value == 0.0), "{model}");
        assert_eq!((totals.unattributed, totals.unattributed_value), (0.0, 0.0));
    }
}

#[test]
fn everything_converted_is_shared_out_but_by_the_counterfactual() {
    let mut table = PathTable::default();
    table.push("a > b", 6.0, 60.0, 0.0).unwrap();
    table.push("a", 2.0, 10.0, 0.0).unwrap();
    for model in [markov(1), markov(3), Model::ShapleyRate] {
        let totals = table.credit(model).unwrap();
        assert!((totals.channels.iter().map(|channel| channel.conversions).sum::<f64>() - 8.0).abs() < 1e-9, "{model}");
    }
    assert_eq!(table.credit(Model::Counterfactual).unwrap().unattributed, 8.0);
}

#[test]
fn value_that_cancels_out_is_nobodys() {
    let mut table = PathTable::default();
    table.push("a", 1.0, 50.0, 3.0).unwrap();
    table.push("b", 1.0, -50.0, 3.0).unwrap();
    for model in MODELS {
        let totals = table.credit(model).unwrap();
        assert!(totals.channels.iter().all(|channel| channel.conversions.is_finite() && channel.value.is_finite()), "{model}");
        let value: f64 = totals.channels.iter().map(|channel| channel.value).sum();
        assert!((value + totals.unattributed_value).abs() < 1e-9, "{model}");
    }
}

#[test]
fn long_loop_is_solved_to_the_last_digit() {
    // A journey stays a million touches; the second channel takes over at its end.
    let mut table = PathTable::default();
    table.push(&vec!["a"; 1000].join(" > "), 0.0, 0.0, 1.0).unwrap();
    table.push("a > b", 1.0, 1.0, 0.0).unwrap();
    for at in 0..60 {
        table.push(&format!("x{at} > a > a"), 0.0, 0.0, 1.0).unwrap();
    }
    let removal = table.removal(NonZeroU32::MIN).unwrap();
    assert!(removal.conversions[0] > 0.999_999 && (removal.conversion_rate - 1.0 / 62.0).abs() < 1e-12, "{removal:?}");
}

#[test]
fn shapley_refuses_more_channels_than_it_can_combine() {
    let mut table = PathTable::default();
    table.push(&(0..21).map(|at| format!("c{at}")).collect::<Vec<_>>().join(" > "), 1.0, 1.0, 1.0).unwrap();
    let refused = table.credit(Model::ShapleyRate).unwrap_err().to_string();
    assert_eq!(
        refused,
        "`shapley_rate` can divide among at most 20 channels and there are 21; group them, or choose another model"
    );
    assert!(table.credit(markov(1)).is_ok());
}

fn any_paths() -> impl Strategy<Value = Vec<(Vec<u8>, u32, u32)>> {
    prop::collection::vec((prop::collection::vec(0..5_u8, 1..7), 0..9_u32, 0..40_u32), 1..20)
}

fn table_of(rows: &[(Vec<u8>, u32, u32)], name: impl Fn(u8) -> String) -> PathTable {
    let mut table = PathTable::default();
    for (steps, conversions, nulls) in rows {
        let path: Vec<String> = steps.iter().map(|step| name(*step)).collect();
        table.push(&path.join(" > "), f64::from(*conversions), f64::from(*conversions) * 10.0, f64::from(*nulls)).unwrap();
    }
    table
}

proptest! {
    #[test]
    fn credit_and_what_is_left_add_up_to_the_conversions(model in prop::sample::select(MODELS.to_vec()), rows in any_paths()) {
        let table = table_of(&rows, |channel| format!("c{channel}"));
        let Ok(totals) = table.credit(model) else { return Err(TestCaseError::fail("no answer")) };
        let earned: f64 = totals.channels.iter().map(|channel| channel.conversions).sum();
        prop_assert!((earned + totals.unattributed - table.journeys().0).abs() < 1e-6);
        prop_assert!(totals.channels.iter().all(|channel| channel.conversions.is_finite() && channel.value.is_finite()));
        if matches!(model, Model::Markov { order: _ }) {
            prop_assert!(totals.channels.iter().all(|channel| channel.conversions >= -1e-9));
        }
    }

    #[test]
    fn a_channel_that_mirrors_another_earns_the_same(model in prop::sample::select(MODELS.to_vec()), rows in any_paths()) {
        // Each path occurs once more with the first two channels exchanged.
        let mirrored = rows.iter().map(|(steps, conversions, nulls)| {
            let steps = steps.iter().map(|step| match step { 0 => 1, 1 => 0, other => *other }).collect();
            (steps, *conversions, *nulls)
        });
        let both: Vec<_> = rows.iter().cloned().chain(mirrored).collect();
        let totals = table_of(&both, |channel| format!("c{channel}")).credit(model).unwrap();
        let of = |name: &str| totals.channels.iter().find(|channel| channel.channel == name).map(|channel| channel.conversions);
        match (of("c0"), of("c1")) {
            (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-6, "{a} {b}"),
            (a, b) => prop_assert_eq!(a, b),
        }
    }

    #[test]
    fn order_of_rows_and_first_meeting_change_no_bit(
        model in prop::sample::select(MODELS.to_vec()),
        rows in any_paths().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        let [a, b] = [&rows.0, &rows.1].map(|rows| table_of(rows, |channel| format!("c{channel}")).credit(model));
        prop_assert_eq!(a, b);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn sweeps_and_elimination_agree(rows in prop::collection::vec((prop::collection::vec(0..80_u8, 1..12), 0..9_u32, 0..40_u32), 60..90)) {
        // Sixty channels and more are swept, the same journeys with names folded to forty are eliminated; both conserve.
        for fold in [80, 40] {
            let table = table_of(&rows, |channel| format!("c{}", channel % fold));
            let removal = table.removal(NonZeroU32::MIN).unwrap();
            let (converted, lost) = table.journeys();
            let rate = if converted + lost == 0.0 { 0.0 } else { converted / (converted + lost) };
            prop_assert!((removal.conversion_rate - rate).abs() < 1e-12, "{} {rate}", removal.conversion_rate);
        }
    }
}
