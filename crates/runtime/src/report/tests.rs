use headwater_model::tables;
use serde_json::Value;

use super::*;
use crate::world::{DAY, World};

fn money(pairs: &[(&str, &str)]) -> MoneyText {
    pairs.iter().map(|(currency, amount)| ((*currency).to_owned(), (*amount).to_owned())).collect()
}

fn hint(error: &Error) -> &str {
    match error {
        Error::NotFound { what: _, hint } => hint,
        other => panic!("not a missing thing: {other}"),
    }
}

async fn spent_and_earned() -> World {
    let world = World::of("").await;
    world.measured(&["first", "last"]).await;
    let credit = |model, channel, share, value, currency| {
        [("model", model), ("channel", channel), ("share", share), ("value", value), ("currency", currency)]
    };
    world
        .put(
            &tables::CREDIT,
            &[
                &credit("last", "email", "0.5", "50", "EUR"),
                &credit("last", "list", "0.5", "50", "EUR"),
                &credit("last", "email", "1", "30", "USD"),
                &credit("last", "unattributed", "1", "7", "EUR"),
                &credit("first", "direct", "1", "100", "EUR"),
            ],
        )
        .await;
    let old = [("cost_id", "c1"), ("channel", "email"), ("amount", "999"), ("currency", "EUR")];
    world.put(&tables::COST, &[&old]).await;
    world
        .put(
            &tables::COST,
            &[
                &[("cost_id", "c1"), ("channel", "email"), ("amount", "10"), ("currency", "EUR"), ("clicks", "4")],
                &[("cost_id", "c2"), ("for_source", "q4"), ("amount", "20"), ("currency", "CHF")],
                &[("cost_id", "c3"), ("for_source", "nobody_knows"), ("amount", "3"), ("currency", "EUR")],
            ],
        )
        .await;
    let metric = |source, channel, name, value, unit| {
        [
            ("source", source),
            ("channel", channel),
            ("metric", name),
            ("value", value),
            ("unit", unit),
            ("n", "9"),
            ("state", "immature"),
        ]
    };
    world
        .put(
            &tables::SCORECARD,
            &[
                &metric("q4", "list", "volume", "12", "records"),
                &metric("q4", "list", "revenue_per_lead", "4.5", "CHF"),
                &metric("q4", "list", "revenue_per_lead", "5.5", "EUR"),
                &metric("q4", "list", "cost_per_lead", "2", "CHF"),
            ],
        )
        .await;
    world
}

#[tokio::test]
async fn before_the_first_measure_a_report_says_what_to_run() {
    let world = World::of("").await;
    for error in [
        sources(&world.engine).await.unwrap_err(),
        channels(&world.engine, "first").await.unwrap_err(),
        funnel(&world.engine).await.unwrap_err(),
        spend(&world.engine, "first").await.unwrap_err(),
    ] {
        assert!(hint(&error).contains("headwater sync"), "{error}");
    }
}

#[tokio::test]
async fn a_model_that_was_not_computed_is_refused_with_those_that_were() {
    let world = spent_and_earned().await;
    for error in [channels(&world.engine, "markov").await.unwrap_err(), spend(&world.engine, "markov").await.unwrap_err()] {
        assert!(error.to_string().contains("markov"));
        assert!(hint(&error).contains("first, last"), "{}", hint(&error));
    }
}

#[tokio::test]
async fn channels_hold_one_models_credits_with_currencies_apart() {
    let world = spent_and_earned().await;
    let report = channels(&world.engine, "last").await.unwrap();
    let names: Vec<&str> = report.channels.iter().map(|row| row.channel.as_str()).collect();
    assert_eq!(names, ["email", "list"]);
    let email = &report.channels[0];
    assert_eq!((email.conversions, &email.value), (1.5, &money(&[("EUR", "50.00"), ("USD", "30.00")])));
    assert_eq!((report.unattributed, &report.unattributed_value), (1.0, &money(&[("EUR", "7.00")])));
    assert_eq!(report.window_days, 90);
}

#[tokio::test]
async fn a_cost_counts_once_for_its_channel_its_sources_channel_or_none() {
    let world = spent_and_earned().await;
    let report = channels(&world.engine, "last").await.unwrap();
    assert_eq!(report.channels[0].cost, money(&[("EUR", "10.00")]), "the latest version of a cost counts, and only it");
    assert_eq!(report.channels[1].cost, money(&[("CHF", "20.00")]), "the source's channel");
    assert_eq!(report.unallocated_cost, money(&[("EUR", "3.00")]));
}

#[tokio::test]
async fn the_channels_answer_has_the_public_keys() {
    let world = spent_and_earned().await;
    let answer = serde_json::to_value(channels(&world.engine, "last").await.unwrap()).unwrap();
    assert_eq!(
        (&answer["version"], &answer["model"], &answer["unattributed"]),
        (&Value::from(1), &Value::from("last"), &Value::from(1.0))
    );
    assert_eq!(answer.pointer("/channels/0/value/EUR"), Some(&Value::from("50.00")));
    assert_eq!(answer.pointer("/channels/1/cost/CHF"), Some(&Value::from("20.00")));
}

#[tokio::test]
async fn spend_divides_only_within_a_currency_and_by_whole_conversions() {
    let world = spent_and_earned().await;
    let report = spend(&world.engine, "last").await.unwrap();
    let [email, list] = report.channels.as_slice() else { panic!("two channels cost something") };
    assert_eq!(email.cost_per_conversion, money(&[("EUR", "6.67")]));
    assert_eq!(email.return_on_spend, money(&[("EUR", "5.00")]));
    assert_eq!(email.clicks, Some(4));
    assert_eq!(list.cost_per_conversion, MoneyText::new(), "half a conversion is no denominator");
    assert_eq!(list.return_on_spend, MoneyText::new(), "francs do not bring back euros");
    let q4 = report.sources.iter().find(|source| source.source == "q4").unwrap();
    assert_eq!((&q4.cost, q4.cost_per_lead.as_ref().unwrap().value), (&money(&[("CHF", "20.00")]), Some(2.0)));
    assert_eq!(q4.cac, None);
}

#[tokio::test]
async fn the_sources_answer_has_metrics_by_name_and_a_verdict() {
    let world = spent_and_earned().await;
    let report = sources(&world.engine).await.unwrap();
    assert_eq!(report.verdict, "no source has brought a new customer with a valid address yet");
    let answer = serde_json::to_value(&report).unwrap();
    assert_eq!(answer["as_of"], Value::from("2026-11-20T00:00:00Z"));
    let metrics = &answer["sources"][0]["metrics"];
    assert_eq!((&metrics["volume"]["value"], &metrics["volume"]["n"]), (&Value::from(12.0), &Value::from(9)));
    assert_eq!(metrics["volume"]["state"], Value::from("immature"));
    assert_eq!(metrics["volume"]["low"], Value::Null);
    assert_eq!(metrics["revenue_per_lead"]["unit"], Value::from("CHF"));
    assert_eq!(metrics["revenue_per_lead.EUR"]["value"], Value::from(5.5), "a second currency is not lost");
}

#[tokio::test]
async fn the_funnel_counts_living_people_and_each_of_them_once() {
    let world = World::of("").await;
    world.measured(&[]).await;
    let person =
        |id, source, stage| [("prospect_id", id), ("first_source", source), ("lifecycle", stage), ("buying_stage", "purchase")];
    world
        .put(
            &tables::PROSPECT,
            &[
                &person("prs_1", "a", "customer"),
                &person("prs_2", "a", "suspect"),
                &person("prs_3", "b", "suspect"),
                &[("prospect_id", "prs_4"), ("merged_into", "prs_1"), ("lifecycle", "merged"), ("buying_stage", "merged")],
            ],
        )
        .await;
    let after = (60 * DAY).to_string();
    let step = |id, to, at| [("prospect_id", id), ("to_stage", to), ("at", at)];
    world
        .put(
            &tables::LIFECYCLE_TRANSITION,
            &[&step("prs_1", "prospect", "0"), &step("prs_1", "customer", &after), &step("prs_2", "suspect", "0")],
        )
        .await;
    let report = funnel(&world.engine).await.unwrap();
    assert_eq!(report.people, 3);
    let lifecycle: Vec<_> = report.lifecycle.iter().map(|count| (count.stage, count.now, count.ever)).collect();
    assert_eq!(lifecycle, [("suspect", 2, 1), ("prospect", 0, 1), ("customer", 1, 1)]);
    let sources: Vec<_> = report.sources.iter().map(|source| (source.source.as_str(), source.people)).collect();
    assert_eq!(sources, [("a", 2), ("b", 1)]);
    let step = report.steps.iter().find(|step| step.to == "customer").unwrap();
    assert_eq!((step.entered, step.reached, step.median_days, step.state), (1, 1, Some(60.0), "ok"));
    assert!(
        report
            .steps
            .iter()
            .filter(|step| step.to != "customer")
            .all(|step| step.state == "not_reached" && step.median_days.is_none())
    );
}
