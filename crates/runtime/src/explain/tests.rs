use headwater_model::tables;
use headwater_store::{LedgerOp, LinkUpdate};

use super::*;
use crate::error::Error;
use crate::privacy;
use crate::world::World;

const SETTINGS: &str = "sinks:\n  crm: { connector: paper }\n";

async fn ada() -> World {
    let world = World::of(SETTINGS).await;
    let prospect = |id| [("prospect_id", id), ("lifecycle", "customer"), ("buying_stage", "purchase"), ("may_contact", "true")];
    world
        .put(
            &tables::PROSPECT,
            &[
                &prospect("prs_ada"),
                &prospect("prs_bram"),
                &[("prospect_id", "prs_old"), ("merged_into", "prs_older"), ("lifecycle", "merged")],
                &[("prospect_id", "prs_older"), ("merged_into", "prs_ada"), ("lifecycle", "merged")],
            ],
        )
        .await;
    let lead =
        |id, record, email| [("lead_id", id), ("record_id", record), ("email", email), ("source", "list"), ("stream", "records")];
    world
        .put(
            &tables::LEAD,
            &[
                &lead("led_1", "rec_1", "ada@example.com"),
                &lead("led_2", "rec_2", "ada@work.example"),
                &lead("led_3", "rec_3", "office@example.com"),
            ],
        )
        .await;
    // A later version of the first lead: the address changed, the old one still finds her.
    world.put(&tables::LEAD, &[&lead("led_1", "rec_1b", "office@example.com")]).await;
    world.put(&tables::SOURCE_RECORD, &[&[("record_id", "rec_1b"), ("place", "list.csv:7"), ("received_at", "5")]]).await;
    let link = |lead, prospect, to| {
        [
            ("lead_id", lead),
            ("prospect_id", prospect),
            ("joined_to", to),
            ("evidence", "email"),
            ("method", "exact"),
            ("score", "1"),
        ]
    };
    let first = [("lead_id", "led_1"), ("prospect_id", "prs_ada"), ("method", "exact"), ("score", "1")];
    world.put(&tables::IDENTITY_LINK, &[&link("led_2", "prs_ada", "led_1"), &first, &link("led_3", "prs_bram", "led_9")]).await;
    let field = |value, won, rule| {
        [("prospect_id", "prs_ada"), ("field", "email"), ("value", value), ("is_winner", won), ("rule", rule), ("source", "list")]
    };
    world
        .put(&tables::PROSPECT_FIELD, &[&field("ada@work.example", "false", "newer"), &field("ada@example.com", "true", "newer")])
        .await;
    world
        .put(
            &tables::FACT_LINK,
            &[&[("fact_id", "cnv_1"), ("kind", "conversion"), ("prospect_id", "prs_ada"), ("matched_on", "email")]],
        )
        .await;
    world
        .put(&tables::CONVERSION, &[&[("conversion_id", "cnv_1"), ("kind", "order"), ("value", "80"), ("currency", "EUR")]])
        .await;
    let credit = |model, channel, share| {
        [("model", model), ("conversion_id", "cnv_1"), ("channel", channel), ("share", share), ("value", "40")]
    };
    world
        .put(
            &tables::CREDIT,
            &[&credit("linear", "email", "0.5"), &credit("linear", "list", "0.5"), &credit("last", "email", "1")],
        )
        .await;
    let fields = r#"{"mail":"ada@example.com","stage":"customer"}"#;
    world
        .put(
            &tables::DELIVERY,
            &[&[
                ("sink", "crm"),
                ("prospect_id", "prs_old"),
                ("outcome", "updated"),
                ("fields", fields),
                ("before", r#"{"mail":"old@example.com","stage":null}"#),
            ]],
        )
        .await;
    let mut commit = world.engine.store.commit("run_1", 1);
    commit.ledger(LedgerOp::Link(LinkUpdate {
        sink: "crm".to_owned(),
        prospect_id: "prs_ada".to_owned(),
        remote_id: "4711".to_owned(),
        pushed_hash: String::new(),
        pushed_fields: "{}".to_owned(),
    }));
    commit.execute().await.unwrap();
    world
}

#[tokio::test]
async fn one_person_is_found_by_every_name_they_have() {
    let world = ada().await;
    for (who, by) in [
        ("ada@example.com", "email"),
        (" <ADA@Work.example> ", "email"),
        ("prs_ada", "prospect_id"),
        ("prs_old", "prospect_id"),
        ("led_2", "lead_id"),
        ("4711", "remote_id in crm"),
    ] {
        let found = explain(&world.engine, who).await.unwrap();
        assert_eq!((found.prospect_id.as_str(), found.found_by.as_str()), ("prs_ada", by), "{who}");
        assert_eq!(found.merged_ids, ["prs_old", "prs_older"]);
    }
}

#[tokio::test]
async fn an_address_that_two_people_share_names_the_other_too() {
    let found = explain(&ada().await.engine, "office@example.com").await.unwrap();
    assert_eq!((found.prospect_id.as_str(), found.also), ("prs_ada", vec!["prs_bram".to_owned()]));
}

#[tokio::test]
async fn everything_known_of_a_person_is_told_with_its_reason() {
    let found = explain(&ada().await.engine, "prs_ada").await.unwrap();
    let email = &found.fields[0];
    assert_eq!(email.winner.as_ref().unwrap().value, "ada@example.com");
    assert_eq!(email.losers.iter().map(|loser| loser.value.as_str()).collect::<Vec<_>>(), ["ada@work.example"]);
    let leads: Vec<_> = found
        .leads
        .iter()
        .map(|lead| (lead.lead_id.as_str(), lead.joined_to.as_deref(), lead.place.as_deref(), lead.versions))
        .collect();
    assert_eq!(leads, [("led_1", None, Some("list.csv:7"), 2), ("led_2", Some("led_1"), None, 1)]);
    let order = &found.conversions[0];
    assert_eq!((order.value.as_deref(), order.matched_on.as_str()), (Some("80.00"), "email"));
    assert_eq!((order.credits["linear"].len(), order.credits["last"].len()), (2, 1));
    assert_eq!(found.links[0].remote_id, "4711");
    let pushed = &found.deliveries[0];
    let fields: Vec<_> =
        pushed.fields.iter().map(|field| (field.field.as_str(), field.before.as_deref(), field.after.as_deref())).collect();
    assert_eq!(
        fields,
        [("mail", Some("old@example.com"), Some("ada@example.com")), ("stage", None, Some("customer"))],
        "pushed under an id merged since"
    );
}

#[tokio::test]
async fn nothing_of_another_person_is_told() {
    let found = explain(&ada().await.engine, "prs_bram").await.unwrap();
    assert_eq!(found.leads.iter().map(|lead| lead.lead_id.as_str()).collect::<Vec<_>>(), ["led_3"]);
    assert!(found.fields.is_empty() && found.conversions.is_empty() && found.deliveries.is_empty() && found.links.is_empty());
}

#[tokio::test]
async fn an_unknown_address_is_not_repeated_and_a_suppressed_one_is_called_so() {
    let world = ada().await;
    let address = "cleo@example.com";
    let error = explain(&world.engine, address).await.unwrap_err();
    assert!(matches!(&error, Error::NotFound { what, hint } if !what.contains("cleo") && hint.contains("quarantine")), "{error}");
    privacy::suppress(&world.engine, &[address.to_owned()], "objection", "test").await.unwrap();
    let error = explain(&world.engine, address).await.unwrap_err();
    assert!(error.to_string().contains("suppressed") && !error.to_string().contains("cleo"), "{error}");
    assert!(matches!(explain(&world.engine, "prs_nobody").await, Err(Error::NotFound { what: _, hint: _ })));
}
