use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/attribution").join(name)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[track_caller]
fn check_equal(got: &Attribution, reference: &str) {
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(fixture("public.json")).unwrap()).unwrap();
    for (kind, of) in [("conv", 0), ("value", 1)] {
        let Some(expected) = expected["models"].get(format!("{reference}|{kind}")) else {
            assert!(reference.starts_with("shapley") && kind == "value", "the reference has it");
            continue;
        };
        assert_eq!(got.channels.len(), expected.as_object().unwrap().len());
        for channel in &got.channels {
            let earned = [channel.conversions, channel.value][of];
            let expected = expected[&channel.channel].as_f64().unwrap();
            assert!((earned - expected).abs() < 1e-6, "{reference} {kind} {}: {earned} for {expected}", channel.channel);
        }
    }
    assert!((got.conversions - 582.0).abs() < 1e-9 && (got.value - 171_907.99).abs() < 1e-6);
    let shared: f64 = got.channels.iter().map(|channel| channel.conversions).sum();
    assert!((shared + got.unattributed - got.conversions).abs() < 1e-6);
}

const REFERENCES: [(&str, &str); 16] = [
    ("markov", "markov1"),
    ("markov2", "markov2"),
    ("markov3", "markov3"),
    ("shapley", "shapley_rate"),
    ("positional_decay", "decay_positional_half"),
    ("first", "first_touch"),
    ("last", "last_touch"),
    ("last_non_direct", "last_non_direct"),
    ("linear", "linear"),
    ("linear_unique", "linear_unique"),
    ("position", "position_40_20_40"),
    ("j", "j_20_20_60"),
    ("inverse_j", "inverse_j_60_20_20"),
    ("w", "w_30_30_30_10_mid"),
    ("full_path", "full_path_22_5"),
    ("shapley_sum", "shapley_sum"),
];

#[test]
fn counted_paths_earn_what_the_reference_says() {
    let paths = fixture("public.paths.csv");
    for (model, reference) in REFERENCES {
        check_equal(&attribute(Input::Paths(&paths), model, Options::default()).unwrap(), reference);
    }
}

#[test]
fn touches_and_conversions_earn_what_the_reference_says() {
    let (touches, conversions) = (fixture("public.touches.csv"), fixture("public.journeys.csv"));
    let input = Input::Journeys { touches: &touches, conversions: &conversions };
    for (model, reference) in REFERENCES {
        check_equal(&attribute(input, model, Options::default()).unwrap(), reference);
    }
    for (half_life, reference) in [(7, "time_decay_hl7d"), (30, "time_decay_hl30d")] {
        let options = Options { half_life_days: NonZeroU32::new(half_life), ..Options::default() };
        check_equal(&attribute(input, "time_decay", options).unwrap(), reference);
    }
    for (days, unattributed) in [(0.5, 67.0), (7.0, 0.0)] {
        let options = Options { lookback_days: Some(days), ..Options::default() };
        let got = attribute(input, "linear", options).unwrap();
        check_equal(&got, &format!("linear_lookback{days}d"));
        assert!((got.unattributed - unattributed).abs() < 1e-9);
    }
}

#[test]
fn a_chain_remembers_as_many_steps_as_asked() {
    let options = Options { order: NonZeroU32::new(3), ..Options::default() };
    check_equal(&attribute(Input::Paths(&fixture("public.paths.csv")), "markov", options).unwrap(), "markov3");
}

#[test]
fn what_no_channel_caused_is_left_over() {
    let got = attribute(Input::Paths(&fixture("public.paths.csv")), "counterfactual", Options::default()).unwrap();
    let caused: f64 = got.channels.iter().map(|channel| channel.conversions).sum();
    assert!((caused + got.unattributed - 582.0).abs() < 1e-6);
    let of = |name: &str| got.channels.iter().find(|channel| channel.channel == name).unwrap().conversions;
    assert!(of("direct") < 5.0 && of("webinar") > 60.0);
}

#[test]
fn times_may_be_text_or_numbers_of_any_unit() {
    let conversions = file("prospect_id,occurred_at,value\na,2026-01-03T00:00:00Z,10\n");
    for before in ["2026-01-02T00:00:00Z", "2026-01-02", "1767312000", "1767312000.0", "1767312000000", "1767312000000000"] {
        let touches = file(&format!("prospect_id,occurred_at,channel\na,{before},early\na,2026-01-04,late\n"));
        let input = Input::Journeys { touches: touches.path(), conversions: conversions.path() };
        let options = Options { lookback_days: Some(1.0), ..Options::default() };
        let got = attribute(input, "last", options).unwrap();
        let earned: Vec<_> = got.channels.iter().map(|channel| (channel.channel.as_str(), channel.value)).collect();
        assert_eq!(earned, [("early", 10.0), ("late", 0.0)], "{before}");
    }
}

#[test]
fn the_answer_is_csv_with_a_row_per_channel() {
    let paths = file("path,total_conversions,total_conversion_value,total_null\n\"a, b > c\",2,10.5,0\n,1,3,0\n");
    let got = attribute(Input::Paths(paths.path()), "linear", Options::default()).unwrap();
    let mut out = Vec::new();
    write_csv(&got, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "channel,conversions,value\n\"a, b\",1,5.25\nc,1,5.25\n");
    assert_eq!((got.conversions, got.unattributed, got.unattributed_value), (3.0, 1.0, 3.0));
}

#[test]
fn an_order_exported_twice_counts_once_and_one_before_every_touch_for_nobody() {
    let touches = file("prospect_id,occurred_at,channel\na,2026-01-02,mail\nb,2026-01-09,mail\n");
    let conversions = file(
        "prospect_id,order_id,occurred_at,value\na,7,2026-01-03,10\na,7,2026-01-03,10\nb,8,2026-01-03,5\na,,2026-01-04,-4\n",
    );
    let input = Input::Journeys { touches: touches.path(), conversions: conversions.path() };
    let got = attribute(input, "last", Options::default()).unwrap();
    assert_eq!((got.conversions, got.repeated, got.unattributed, got.unattributed_value), (3.0, 1, 1.0, 5.0));
    assert_eq!((got.channels[0].conversions, got.channels[0].value), (2.0, 6.0));
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let file = file(text);
    let error = attribute(Input::Paths(file.path()), "first", Options::default()).unwrap_err().to_string();
    assert_eq!(error, format!("{}{expected}", file.path().display()));
}

#[test]
fn a_bad_row_is_named_with_file_and_line() {
    const HEADER: &str = "path,total_conversions,total_conversion_value,total_null\n";
    check_refused(&format!("{HEADER}a > b,1,2,3\na,one,2,3\n"), ":3: `total_conversions` is not a number");
    check_refused(
        &format!("{HEADER}\"a\n > b\",1,2,3\na >  > b,1,2,3\n"),
        ":4: a step of the path has no name; write the steps as `first > second`",
    );
    check_refused(&format!("{HEADER}a,1,2\n"), ":2: has 3 fields where the header has 4");
    check_refused(&format!("{HEADER}a,-1,2,3\n"), ":2: `total_conversions` must be a number from 0 to 1e15");
    check_refused("", " is empty: it has no line with column names");
    check_refused("route,total_conversions\na,1\n", ":1: has no column `path`; its columns are: route, total_conversions");
}

#[test]
fn touches_without_conversions_are_told_what_is_missing() {
    let path = fixture("public.touches.csv");
    let error = attribute(Input::Paths(&path), "first", Options::default()).unwrap_err().to_string();
    assert!(error.contains("--conversions FILE"), "{error}");
}

#[test]
fn options_that_do_not_fit_the_model_are_refused() {
    let paths = fixture("public.paths.csv");
    let order = Options { order: NonZeroU32::new(2), ..Options::default() };
    let half_life = Options { half_life_days: NonZeroU32::new(2), ..Options::default() };
    let lookback = Options { lookback_days: Some(2.0), ..Options::default() };
    for (model, options, expected) in [
        ("frist", Options::default(), "choose one of"),
        ("first", order, "has no order"),
        ("first", half_life, "has no half-life"),
        ("first", lookback, "do not tell when"),
        ("first", Options { lookback_days: Some(f64::NAN), ..lookback }, "zero or more"),
        ("time_decay", half_life, "needs the time of each touch"),
    ] {
        let error = attribute(Input::Paths(&paths), model, options).unwrap_err();
        assert!(matches!(&error, Error::Usage(message) if message.contains(expected)), "{model}: {error}");
    }
    assert!(matches!(attribute(Input::Paths(&fixture("none.csv")), "first", Options::default()), Err(Error::File { .. })));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_with_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut text = b"path,total_conversions,total_null\n".to_vec();
        text.extend(bytes);
        std::fs::write(file.path(), text).unwrap();
        if let Err(error) = attribute(Input::Paths(file.path()), "linear", Options::default()) {
            prop_assert!(error.to_string().starts_with(&format!("{}:", file.path().display())), "{error}");
        }
    }
}
