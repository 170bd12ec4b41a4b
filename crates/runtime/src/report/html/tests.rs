use headwater_model::tables;

use super::*;
use crate::world::World;

async fn measured_page() -> String {
    let world = World::of("").await;
    world.measured(&["first", "last"]).await;
    let credit = |model, channel, share| [("model", model), ("channel", channel), ("share", share)];
    world
        .put(
            &tables::CREDIT,
            &[&credit("last", "e-mail <b>", "2"), &credit("first", "list", "1.5"), &credit("first", "unattributed", "0.5")],
        )
        .await;
    let metric = |name, value| {
        [
            ("source", "q4 & co"),
            ("channel", "list"),
            ("metric", name),
            ("value", value),
            ("low", "0.1"),
            ("high", "0.4"),
            ("state", "ok"),
            ("unit", "share"),
        ]
    };
    let of_cohort =
        [("source", "q4 & co"), ("cohort", "2026-Q4"), ("metric", "conversion_rate"), ("value", "0.5"), ("state", "ok")];
    world.put(&tables::SCORECARD_COHORT, &[&of_cohort]).await;
    world.put(&tables::SCORECARD, &[&metric("conversion_rate", "0.25"), &metric("conversion_by_30d", "0.2")]).await;
    world
        .put(&tables::PROPENSITY_MODEL, &[&[("refusal", "too few to learn from: 3 converted and 9 did not within the horizon")]])
        .await;
    html(&world.engine, "first").await.unwrap()
}

#[tokio::test]
async fn page_stands_alone_and_shows_every_section() {
    let page = measured_page().await;
    for foreign in ["http://", "https://", "<script", "@import", "url(", "<link", "src="] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for heading in [
        "What each source is worth",
        "Whether sources got better or worse",
        "2026-Q4",
        "Which channel earned",
        "How far people are",
        "How long it takes",
        "Who is likely",
        "After the purchase",
    ] {
        assert!(page.contains(heading), "{heading}");
    }
    assert!(page.contains("Nobody can tell yet: too few to learn from"));
}

#[tokio::test]
async fn names_are_text_and_never_markup() {
    let page = measured_page().await;
    assert!(page.contains("q4 &amp; co") && page.contains("e-mail &lt;b&gt;") && !page.contains("e-mail <b>"));
}

#[tokio::test]
async fn every_chart_says_what_it_shows_and_every_table_has_headers() {
    let page = measured_page().await;
    let charts = page.matches("<svg role=\"img\"").count();
    assert!(charts >= 3, "{charts}");
    assert_eq!(page.matches("<title id=").count(), charts);
    assert_eq!(page.matches("<desc id=").count(), charts);
    assert_eq!(page.matches("<table>").count(), page.matches("<caption>").count());
    assert!(page.contains("<th scope=\"col\"") && page.contains("<th scope=\"row\""));
    assert!(page.contains("@media print") && page.contains("lang=\"en\""));
    let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len(), "an id occurs once: {ids:?}");
}
