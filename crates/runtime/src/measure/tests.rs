//! The stage as a whole: what is credited, what changes of it later, and in which currency it stands.

use headwater_model::tables::{CONVERSION, COST, ENGAGEMENT, FACT_LINK, IDENTITY_LINK, LEAD, PROSPECT, TOUCH};

use super::*;
use crate::report::{ChangesReport, ChannelsReport, CreditChange, Level, changes, channels, sources};
use crate::world::{Cells, DAY, NOW, World};

async fn measure(world: &World) -> MeasureCounts {
    run(&world.engine, "run_1", &BTreeMap::new(), false).await.unwrap()
}

fn day(day: i64) -> String {
    (day * DAY).to_string()
}

/// Ada came through `list` on day 1 and `email` on day 5, and bought on day 10.
async fn bought(settings: &str) -> World {
    let world = World::of(settings).await;
    world.put(&PROSPECT, &[&[("prospect_id", "prs_ada"), ("first_source", "q4")]]).await;
    link(&world, &["led_1", "led_2"], "prs_ada").await;
    touch(&world, "tch_1", "led_1", "list", 1).await;
    touch(&world, "tch_2", "led_2", "email", 5).await;
    sale(&world, "cnv_1", "order", "100", 10).await;
    owned(&world, "cnv_1", "prs_ada").await;
    world
}

async fn link(world: &World, leads: &[&str], prospect: &str) {
    let rows: Vec<[(&str, &str); 2]> = leads.iter().map(|lead| [("lead_id", *lead), ("prospect_id", prospect)]).collect();
    world.put(&IDENTITY_LINK, &rows.iter().map(<[_; 2]>::as_slice).collect::<Vec<_>>()).await;
}

async fn touch(world: &World, id: &str, lead: &str, channel: &str, on: i64) {
    let at = day(on);
    let cells: Cells<'_> =
        &[("touch_id", id), ("lead_id", lead), ("channel", channel), ("source", "q4"), ("vendor", "acme"), ("occurred_at", &at)];
    world.put(&TOUCH, &[cells]).await;
}

async fn sale(world: &World, id: &str, kind: &str, value: &str, on: i64) {
    let at = day(on);
    let cells: Cells<'_> = &[
        ("conversion_id", id),
        ("kind", kind),
        ("value", value),
        ("currency", "EUR"),
        ("occurred_at", &at),
        ("rep", "Rhea Stone"),
        ("category", "planning"),
    ];
    world.put(&CONVERSION, &[cells]).await;
}

async fn owned(world: &World, fact: &str, prospect: &str) {
    world.put(&FACT_LINK, &[&[("fact_id", fact), ("kind", "conversion"), ("prospect_id", prospect)]]).await;
}

async fn credited(world: &World, model: &str, by: Level) -> ChannelsReport {
    channels(&world.engine, model, by).await.unwrap()
}

fn rows(report: &ChannelsReport) -> Vec<(&str, f64, Option<&str>)> {
    let rows = report.channels.iter();
    rows.map(|row| (row.channel.as_str(), row.conversions, row.value.get("EUR").map(String::as_str))).collect()
}

async fn changed(world: &World) -> ChangesReport {
    changes(&world.engine, None).await.unwrap()
}

#[tokio::test]
async fn a_refund_takes_its_order_back_and_is_no_conversion() {
    let world = bought("attribution: { models: [last] }").await;
    // After the refund Ada came through a third channel, which earned nothing and loses nothing.
    touch(&world, "tch_3", "led_2", "direct", 11).await;
    for kind in ["refund", "credit_note"] {
        sale(&world, kind, kind, "40", 12).await;
        owned(&world, kind, "prs_ada").await;
    }
    let counts = measure(&world).await;
    assert_eq!((counts.conversions, counts.unattributed), (1, 0));
    assert_eq!(rows(&credited(&world, "last", Level::Channel).await), [("email", 1.0, Some("20.00"))]);
}

#[tokio::test]
async fn one_click_told_by_two_sources_is_one_touch() {
    let world = bought("attribution: { models: [linear] }").await;
    let click = |id: &'static str, channel: &'static str, kind: &'static str, at: &'static str| {
        let who = [("touch_id", id), ("lead_id", "led_2"), ("channel", channel), ("source", "q4")];
        who.into_iter().chain([("click_id_kind", kind), ("click_id", "Cj0KCQ"), ("occurred_at", at)]).collect::<Vec<_>>()
    };
    let days: Vec<&'static str> = [6, 7, 8].iter().map(|on| &*day(*on).leak()).collect();
    // The page tells of it after the form, which is how they arrive; the same letters of another network are another click.
    let rows = [
        click("tch_3", "form", "gclid", days[1]),
        click("tch_4", "paid_search", "gclid", days[0]),
        click("tch_5", "paid_social", "ttclid", days[2]),
    ];
    world.put(&TOUCH, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    measure(&world).await;
    let quarter = Some("25.00");
    assert_eq!(
        rows_by_name(&credited(&world, "linear", Level::Channel).await),
        [("email", 0.25, quarter), ("list", 0.25, quarter), ("paid_search", 0.25, quarter), ("paid_social", 0.25, quarter)]
    );
}

fn rows_by_name(report: &ChannelsReport) -> Vec<(&str, f64, Option<&str>)> {
    let mut rows = rows(report);
    rows.sort_by_key(|(channel, ..)| *channel);
    rows
}

#[tokio::test]
async fn a_refund_of_nobody_takes_from_nobody() {
    let world = bought("attribution: { models: [last] }").await;
    sale(&world, "cnv_2", "refund", "-40", 12).await;
    measure(&world).await;
    let report = credited(&world, "last", Level::Channel).await;
    assert_eq!(rows(&report), [("email", 1.0, Some("100.00"))]);
    assert_eq!((report.unattributed, report.unattributed_value["EUR"].as_str()), (0.0, "-40.00"));
}

#[tokio::test]
async fn credits_are_added_up_by_whatever_is_known_of_touch_or_sale() {
    let world = bought("attribution: { models: [last] }").await;
    sale(&world, "cnv_2", "order", "7", 10).await;
    measure(&world).await;
    for (by, expected) in [
        (Level::Source, vec![("q4", 1.0, Some("100.00"))]),
        (Level::Vendor, vec![("acme", 1.0, Some("100.00"))]),
        (Level::Campaign, vec![]),
        // Who sold what nobody knows to have come through any channel is known all the same.
        (Level::Rep, vec![("Rhea Stone", 2.0, Some("107.00"))]),
        (Level::Category, vec![("planning", 2.0, Some("107.00"))]),
    ] {
        assert_eq!(rows(&credited(&world, "last", by).await), expected, "{by:?}");
    }
    let campaigns = credited(&world, "last", Level::Campaign).await;
    assert_eq!((campaigns.unnamed, campaigns.unattributed), (1.0, 1.0));
}

#[tokio::test]
async fn the_same_facts_change_no_credit() {
    let world = bought("attribution: { models: [first, linear, w, markov] }").await;
    measure(&world).await;
    let again = run(&world.engine, "run_2", &BTreeMap::new(), true).await.unwrap();
    assert_eq!((again.worked, again.changed), (true, 0));
    assert_eq!(changed(&world).await.total, 0);
}

#[tokio::test]
async fn a_contact_known_later_changes_a_credit_with_a_revision_and_a_reason() {
    let world = bought("attribution: { models: [first, last] }").await;
    measure(&world).await;
    touch(&world, "tch_3", "led_2", "webinar", 9).await;
    assert_eq!(measure(&world).await.changed, 1, "the first touch is the same");
    let report = changed(&world).await;
    let change = &report.changes[0];
    assert_eq!((change.model.as_str(), change.cause.as_str(), change.revision), ("last", "late_data", Some(2)));
    assert_eq!(change.conversion_id.as_deref(), Some("cnv_1"));
    assert_eq!((change.before[0]["channel"].as_str(), change.after[0]["channel"].as_str()), (Some("email"), Some("webinar")));
    assert_eq!(report.causes["late_data"], 1);
    touch(&world, "tch_4", "led_2", "event", 10).await;
    measure(&world).await;
    assert_eq!(changed(&world).await.changes[0].revision, Some(3));
}

#[tokio::test]
async fn a_new_conversion_changes_no_earlier_credit() {
    let world = bought("attribution: { models: [first, last, linear] }").await;
    measure(&world).await;
    sale(&world, "cnv_2", "order", "7", 11).await;
    owned(&world, "cnv_2", "prs_ada").await;
    assert_eq!(measure(&world).await.changed, 0);
}

#[tokio::test]
async fn other_people_other_settings_and_other_amounts_are_told_apart() {
    let world = bought("attribution: { models: [first] }").await;
    measure(&world).await;
    sale(&world, "cnv_1", "order", "90", 10).await;
    measure(&world).await;
    assert_eq!(changed(&world).await.changes[0].cause, "conversion");
    // The lead of the first contact turns out to be somebody else.
    let snapshot = world.engine.store.snapshot().await.unwrap();
    let mut commit = world.engine.store.commit("run_1", world.engine.clock().now_us());
    commit.replace(&snapshot, &IDENTITY_LINK, Vec::new());
    commit.execute().await.unwrap();
    link(&world, &["led_2"], "prs_ada").await;
    run(&world.engine, "run_2", &BTreeMap::new(), true).await.unwrap();
    assert_eq!(changed(&world).await.changes[0].cause, "identity");
    let world = world.later("attribution: { models: [first], lookback_days: 2 }", NOW).await;
    measure(&world).await;
    let change = &changed(&world).await.changes[0];
    assert_eq!((change.cause.as_str(), change.revision), ("settings", Some(4)));
    assert_eq!(CreditChange::told(&change.after), "unattributed 100 %");
}

#[tokio::test]
async fn a_model_of_all_journeys_is_a_new_version_when_it_learned_from_others() {
    let world = bought("attribution: { models: [markov] }").await;
    measure(&world).await;
    world.put(&PROSPECT, &[&[("prospect_id", "prs_bram")]]).await;
    link(&world, &["led_3"], "prs_bram").await;
    touch(&world, "tch_3", "led_3", "email", 2).await;
    assert!(measure(&world).await.changed > 0);
    let report = changed(&world).await;
    assert!(report.changes.iter().all(|change| change.cause == "journeys" && change.conversion_id.is_none()), "{report:?}");
    assert!(report.changes.iter().all(|change| change.from_version != change.to_version));
    assert_eq!(report.changes.iter().filter(|change| change.channel.as_deref() == Some("email")).count(), 1);
}

#[tokio::test]
async fn a_conversion_that_is_gone_is_told() {
    let world = bought("attribution: { models: [first] }").await;
    measure(&world).await;
    let snapshot = world.engine.store.snapshot().await.unwrap();
    let mut commit = world.engine.store.commit("run_1", world.engine.clock().now_us());
    commit.replace(&snapshot, &CONVERSION, Vec::new());
    commit.execute().await.unwrap();
    assert_eq!(measure(&world).await.changed, 1);
    let change = &changed(&world).await.changes[0];
    assert_eq!((change.cause.as_str(), change.revision), ("gone", None));
}

#[tokio::test]
async fn amounts_meet_in_one_currency_only_by_the_rate_of_their_day() {
    let world = bought("attribution: { models: [last] }\nmeasures: { currency: USD, rates_file: rates.csv }").await;
    std::fs::write(world.folder().join("rates.csv"), "day,currency,rate\n1970-01-09,EUR,1.25\n").unwrap();
    sale(&world, "cnv_2", "order", "7", 40).await;
    owned(&world, "cnv_2", "prs_ada").await;
    let cost = |id, on| [("cost_id", id), ("for_source", "q4"), ("amount", "8"), ("currency", "EUR"), ("day", on)];
    world.put(&COST, &[&cost("c1", "10"), &cost("c2", "40"), &cost("c3", "3")]).await;
    measure(&world).await;
    let report = credited(&world, "last", Level::Channel).await;
    let value = &report.channels.iter().find(|row| row.channel == "email").unwrap().value;
    // The second order has no rate within seven days: it stands apart, and is not lost.
    assert_eq!((value["USD"].as_str(), value["EUR"].as_str()), ("125.00", "7.00"));
    let spend = crate::report::spend(&world.engine, "last").await.unwrap();
    let cost = &spend.sources[0].cost;
    assert_eq!((cost["USD"].as_str(), cost["EUR"].as_str()), ("10.00", "16.00"));
}

#[tokio::test]
async fn a_scorecard_tells_mail_age_of_the_data_and_money_with_intervals() {
    let world = World::of("").await;
    let ages = [3, 5, 9];
    let now = world.engine.clock().now_us();
    let lock = world.engine.store.lock(now).await.unwrap();
    let run_row = headwater_store::NewRun { run_id: "run_1".to_owned(), command: "sync".to_owned(), version: "1".to_owned() };
    world.engine.store.start_run(&lock, &run_row, now).await.unwrap();
    for (at, age) in ages.into_iter().enumerate() {
        let (lead, person, fact) = (format!("led_{at}"), format!("prs_{at}"), format!("eng_{at}"));
        let (observed, sent) = ((now - age * DAY).to_string(), (now - DAY).to_string());
        let kind = if at == 0 { "bounced_hard" } else { "sent" };
        world.put(&LEAD, &[&[("lead_id", &lead), ("source", "q4"), ("observed_at", &observed), ("run_id", "run_1")]]).await;
        world.put(&PROSPECT, &[&[("prospect_id", &person), ("first_source", "q4")]]).await;
        link(&world, &[&lead], &person).await;
        world.put(&ENGAGEMENT, &[&[("engagement_id", &fact), ("kind", kind), ("occurred_at", &sent)]]).await;
        world.put(&FACT_LINK, &[&[("fact_id", &fact), ("kind", "engagement"), ("prospect_id", &person)]]).await;
    }
    measure(&world).await;
    let report = sources(&world.engine).await.unwrap();
    let metric = |name: &str| report.sources[0].metric(name).unwrap();
    let age = metric("freshness_days");
    assert_eq!((age.value, age.n, age.low, age.high), (Some(5.0), 3, Some(3.0), Some(9.0)));
    let bounce = metric("bounce");
    assert_eq!((bounce.numerator, bounce.n, bounce.state.as_str()), (Some(1.0), 3, "immature"));
    assert!(bounce.low.is_some() && bounce.high.is_some());
    assert_eq!(metric("engagement").n, 2);
}
