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
    let part = |id, source: Option<&'static str>, channel: Option<&'static str>, amount, currency| {
        let known = [("source", source), ("channel", channel)].into_iter().filter_map(|(name, value)| Some((name, value?)));
        known.chain([("cost_id", id), ("amount", amount), ("currency", currency), ("rule", "stated")]).collect::<Vec<_>>()
    };
    let mut email = part("c1", None, Some("email"), "10", "EUR");
    email.push(("clicks", "4"));
    let (q4, nobody) = (part("c2", Some("q4"), None, "20", "CHF"), part("c3", Some("nobody_knows"), None, "3", "EUR"));
    world.put(&tables::SPEND, &[&email, &q4, &nobody]).await;
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
        channels(&world.engine, "first", Level::Channel).await.unwrap_err(),
        funnel(&world.engine).await.unwrap_err(),
        spend(&world.engine, "first").await.unwrap_err(),
    ] {
        assert!(hint(&error).contains("headwater sync"), "{error}");
    }
}

#[tokio::test]
async fn a_model_that_was_not_computed_is_refused_with_those_that_were() {
    let world = spent_and_earned().await;
    for error in
        [channels(&world.engine, "markov", Level::Channel).await.unwrap_err(), spend(&world.engine, "markov").await.unwrap_err()]
    {
        assert!(error.to_string().contains("markov"));
        assert!(hint(&error).contains("first, last"), "{}", hint(&error));
    }
}

#[tokio::test]
async fn a_model_is_found_by_each_of_its_names() {
    let world = World::of("").await;
    world.measured(&["shapley"]).await;
    for name in ["shapley", "shapley_rate"] {
        assert_eq!(channels(&world.engine, name, Level::Channel).await.unwrap().model, "shapley_rate");
    }
}

#[tokio::test]
async fn channels_hold_one_models_credits_with_currencies_apart() {
    let world = spent_and_earned().await;
    let report = channels(&world.engine, "last", Level::Channel).await.unwrap();
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
    let report = channels(&world.engine, "last", Level::Channel).await.unwrap();
    assert_eq!(report.channels[0].cost, money(&[("EUR", "10.00")]), "the latest version of a cost counts, and only it");
    assert_eq!(report.channels[1].cost, money(&[("CHF", "20.00")]), "the source's channel");
    assert_eq!(report.unallocated_cost, money(&[("EUR", "3.00")]));
}

#[tokio::test]
async fn the_channels_answer_has_the_public_keys() {
    let world = spent_and_earned().await;
    let answer = serde_json::to_value(channels(&world.engine, "last", Level::Channel).await.unwrap()).unwrap();
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

#[tokio::test]
async fn the_likeliest_who_may_be_contacted_come_first_with_reasons_and_needs() {
    let world = World::of("").await;
    world.measured(&[]).await;
    let person = |id, need, may| [("prospect_id", id), ("need", need), ("may_contact", may), ("first_source", "web")];
    world
        .put(
            &tables::PROSPECT,
            &[&person("prs_1", "heating", "true"), &person("prs_2", "roof", "true"), &person("prs_3", "roof", "false")],
        )
        .await;
    let score = |id, probability| {
        let reasons = r#"[{"feature":"replies","value":1.0,"weight":0.8},{"feature":"clicks","value":0.0,"weight":-0.3}]"#;
        [("prospect_id", id), ("probability", probability), ("reasons", reasons)]
    };
    world.put(&tables::PROPENSITY, &[&score("prs_1", "0.2"), &score("prs_2", "0.5"), &score("prs_3", "0.9")]).await;
    let report = propensity(&world.engine).await.unwrap();
    let ids: Vec<&str> = report.people.iter().map(|person| person.prospect_id.as_str()).collect();
    assert_eq!(ids, ["prs_2", "prs_1"]);
    assert_eq!(report.people[0].why(), "+ replies, − clicks");
    assert!((report.expected - 1.6).abs() < 1e-12);
    let needs: Vec<_> = report.needs.iter().map(|group| (group.need.as_deref(), group.people)).collect();
    assert_eq!(needs, [(Some("roof"), 1), (Some("heating"), 1)]);
}

#[tokio::test]
async fn customers_are_counted_by_currency_and_origin() {
    let world = World::of("").await;
    world.measured(&[]).await;
    let person = |id, source| [("prospect_id", id), ("first_source", source), ("first_channel", "list")];
    world.put(&tables::PROSPECT, &[&person("prs_1", "a"), &person("prs_2", "b")]).await;
    let link = |fact, owner| [("fact_id", fact), ("kind", "conversion"), ("prospect_id", owner)];
    world
        .put(&tables::FACT_LINK, &[&link("c1", "prs_1"), &link("c2", "prs_1"), &link("c3", "prs_2"), &link("c4", "prs_2")])
        .await;
    let day = |days: i64| (days * DAY).to_string();
    let (one, nine) = (day(1), day(9));
    let order = |id, kind, value, currency, at| {
        [("conversion_id", id), ("kind", kind), ("value", value), ("currency", currency), ("occurred_at", at)]
    };
    world
        .put(
            &tables::CONVERSION,
            &[
                &order("c1", "order", "10", "EUR", one.as_str()),
                &order("c2", "order", "30", "EUR", nine.as_str()),
                &order("c3", "order", "50", "EUR", one.as_str()),
                &order("c4", "refund", "20", "EUR", nine.as_str()),
            ],
        )
        .await;
    let report = customers(&world.engine).await.unwrap();
    let [euros] = report.currencies.as_slice() else { panic!("one currency") };
    let rows: Vec<_> =
        euros.sources.iter().map(|row| (row.origin.as_str(), row.customers, row.repeaters, row.mean_spent)).collect();
    assert_eq!(rows, [("a", 1, 1, 40.0), ("b", 1, 0, 30.0)]);
    assert_eq!((euros.channels.len(), euros.channels[0].customers), (1, 2));
    assert!(euros.refusal.as_deref().unwrap().contains("too few"));
}

#[tokio::test]
async fn budget_moves_only_between_sources_with_a_price() {
    let world = World::of("").await;
    world.measured(&[]).await;
    for (from, to, amount, expected) in
        [("a", "b", 10.0, "no source `a`"), ("a", "b", -1.0, "more than zero"), ("a", "b", f64::NAN, "more than zero")]
    {
        let error = what_if(&world.engine, from, to, amount).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
