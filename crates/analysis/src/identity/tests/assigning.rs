//! Ids that last.

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use proptest::prelude::*;

use super::super::{Change, Counts, Error, Field, Moved, Prior, ProspectId, Resolved, Stamp, identity_events, identity_links};
use super::{Row, resolved, row, world};

const STAMP: Stamp<'static> = Stamp { model_version: "exact-1", run_id: "run_1", at: 5 };

fn by_email(id: &str, email: &str) -> Row {
    row(id, &[(Field::Email, email)])
}

fn both(id: &str, email: &str, profile: &str) -> Row {
    row(id, &[(Field::Email, email), (Field::LinkedinUrl, profile)])
}

/// What the next run starts from when these leads were resolved at that time.
fn after(rows: &[Row], prior: Prior, at: i64) -> (Prior, Vec<ProspectId>) {
    let (leads, resolved) = resolved(rows, &prior);
    let ids = resolved.assignment.prospects.clone();
    (prior.after(&leads, &resolved.clusters, &resolved.assignment, at), ids)
}

fn changes(rows: &[Row], prior: &Prior) -> Vec<(Change, ProspectId, Option<ProspectId>)> {
    let (_, resolved) = resolved(rows, prior);
    resolved.assignment.events.iter().map(|event| (event.change, event.prospect, event.other)).collect()
}

#[test]
fn an_id_is_text_that_sorts_and_reads_back() {
    let (one, two) = (ProspectId::mint("a", 0), ProspectId::mint("b", 0));
    assert_eq!(one.to_string().len(), 30);
    assert_eq!(one.to_string().parse::<ProspectId>().unwrap(), one);
    assert_eq!(one.cmp(&two), one.to_string().cmp(&two.to_string()));
    for text in ["", "prs_", "prs_zzzzzzzzzzzzzzzzzzzzzzzzzz", "prs_0000000000000000000000000I", "led_00000000000000000000000000"]
    {
        assert!(matches!(text.parse::<ProspectId>(), Err(Error::ForeignProspectId)), "{text}");
    }
}

#[test]
fn the_oldest_id_survives_a_merge_and_the_other_becomes_its_alias() {
    let old = [by_email("b", "ada@example.com")];
    let (prior, old_ids) = after(&old, Prior::default(), 1);
    let young = [old[0].clone(), row("a", &[(Field::LinkedinUrl, "linkedin.com/in/ada")])];
    let (prior, ids) = after(&young, prior, 2);
    let (kept, lost) = (old_ids[0], ids[0]);
    let joined = [young[0].clone(), young[1].clone(), both("c", "ada@example.com", "linkedin.com/in/ada")];

    let (leads, resolved) = resolved(&joined, &prior);
    assert_eq!(resolved.assignment.prospects, [kept]);
    assert_eq!(resolved.assignment.aliases.get(&lost), Some(&kept));
    assert_eq!(resolved.assignment.counts, Counts { merged: 1, joined: 1, ..Counts::default() });
    let event = &resolved.assignment.events[0];
    assert_eq!((event.change, event.prospect, event.other), (Change::Merge, kept, Some(lost)));
    assert_eq!(event.evidence.as_deref(), Some("email; linkedin"));
    let next = prior.after(&leads, &resolved.clusters, &resolved.assignment, 3);
    assert_eq!(super::resolved(&joined, &next).1.assignment.aliases.get(&lost), Some(&kept));
}

#[test]
fn what_was_merged_and_is_parted_again_has_the_ids_it_had() {
    let own = [by_email("a", "ada@example.com"), by_email("b", "bob@example.com"), by_email("c", "bob@example.com")];
    let (prior, ids) = after(&own, Prior::default(), 1);
    let (ada, bob) = (ids[0], ids[1]);
    let joined = [
        own[0].clone(),
        both("b", "bob@example.com", "linkedin.com/in/x"),
        own[2].clone(),
        both("d", "ada@example.com", "linkedin.com/in/x"),
    ];
    let (mut prior, ids) = after(&joined, prior, 2);
    assert_eq!(ids.len(), 1);
    let lost = if ids[0] == ada { bob } else { ada };
    let of_lost: &[&str] = if lost == bob { &["b", "c"] } else { &["a"] };
    let text = lost.to_string();
    prior.remember(of_lost.iter().map(|lead| (*lead, text.as_str()))).unwrap();
    let (leads, resolved) = resolved(&own, &prior);
    assert_eq!(resolved.assignment.prospects, [ada, bob]);
    assert!(resolved.assignment.aliases.is_empty());
    let next = prior.after(&leads, &resolved.clusters, &resolved.assignment, 3);
    assert_eq!(changes(&own, &next), [], "and nothing changes after that");
}

#[test]
fn aliases_of_a_merged_prospect_follow_it() {
    let rows = [
        both("a", "a@example.com", "linkedin.com/in/a"),
        both("b", "b@example.com", "linkedin.com/in/b"),
        by_email("c", "c@example.com"),
    ];
    let (prior, first) = after(&rows[2..], Prior::default(), 1);
    let (prior, second) = after(&rows[1..], prior, 2);
    let (prior, third) = after(&rows, prior, 3);
    let (oldest, middle, youngest) = (first[0], second[0], third[0]);
    assert_ne!(middle, youngest);
    let bridge = both("d", "a@example.com", "linkedin.com/in/b");
    let (prior, _) = after(&[&rows[..], std::slice::from_ref(&bridge)].concat(), prior, 4);
    let all =
        [&rows[..], &[bridge, both("e", "b@example.com", "linkedin.com/in/e"), both("f", "c@example.com", "linkedin.com/in/e")]]
            .concat();
    let (_, resolved) = resolved(&all, &prior);
    assert_eq!(resolved.assignment.prospects, [oldest]);
    assert_eq!(
        resolved.assignment.aliases.into_iter().collect::<std::collections::BTreeSet<_>>(),
        [(middle, oldest), (youngest, oldest)].into()
    );
}

#[test]
fn the_larger_part_keeps_the_id_of_a_split() {
    let whole: Vec<Row> = ["a", "b", "c"].iter().map(|id| by_email(id, "ada@example.com")).collect();
    let (prior, ids) = after(&whole, Prior::default(), 1);
    let parted = [by_email("a", "zoe@example.com"), whole[1].clone(), whole[2].clone()];
    let (_, resolved) = resolved(&parted, &prior);
    let minted = resolved.assignment.prospects[0];
    // The lead that founded the prospect leaves it, and must not take its id along.
    assert_eq!(resolved.assignment.prospects, [minted, ids[0]]);
    assert_ne!(minted, ids[0]);
    assert_eq!(changes(&parted, &prior), [(Change::Mint, minted, None), (Change::Split, ids[0], Some(minted))]);
}

#[test]
fn the_oldest_lead_keeps_the_id_of_an_even_split() {
    let lead = |id, email, at| by_email(id, email).observed(at);
    let (prior, ids) = after(&[lead("a", "ada@example.com", 2), lead("b", "ada@example.com", 1)], Prior::default(), 1);
    let (_, resolved) = resolved(&[lead("a", "ada@example.com", 2), lead("b", "zoe@example.com", 1)], &prior);
    assert_eq!(resolved.assignment.prospects[1], ids[0]);
}

#[test]
fn leads_that_change_over_are_a_split_without_a_mint() {
    let rows = [by_email("a", "ada@example.com"), by_email("b", "ada@example.com"), by_email("c", "zoe@example.com")];
    let (prior, ids) = after(&rows, Prior::default(), 1);
    let moved = [rows[0].clone(), by_email("b", "zoe@example.com"), rows[2].clone()];
    assert_eq!(changes(&moved, &prior), [(Change::Split, ids[0], Some(ids[1]))]);
}

#[test]
fn a_prospect_without_leads_retires_once_and_its_id_is_not_used_again() {
    let rows = [by_email("a", "ada@example.com"), by_email("b", "bob@example.com")];
    let (prior, ids) = after(&rows, Prior::default(), 1);
    assert_eq!(changes(&rows[..1], &prior), [(Change::Retire, ids[1], None)]);
    let (prior, _) = after(&rows[..1], prior, 2);
    assert_eq!(changes(&rows[..1], &prior), []);
    let (_, resolved) = resolved(&rows, &prior);
    assert_ne!(resolved.assignment.prospects[1], ids[1]);
}

#[test]
fn the_lake_rows_give_the_next_run_the_same_start() {
    let rows = [by_email("a", "ada@example.com"), by_email("b", "ada@example.com"), by_email("c", "bob@example.com")];
    let (leads, first) = resolved(&rows, &Prior::default());
    let links = identity_links(&leads, &first.links, &first.clusters, &first.assignment, STAMP, 0..10).unwrap();
    let events = identity_events(&first.assignment, STAMP).unwrap();
    assert_eq!((links.num_rows(), events.num_rows()), (3, 2));
    let prior = Prior::read(&[links], &[events]).unwrap();
    let (_, again) = resolved(&rows, &prior);
    assert_eq!(again.assignment.prospects, first.assignment.prospects);
    assert_eq!(again.assignment.events, []);
}

proptest! {
    #[test]
    fn twice_is_once(rows in world(20)) {
        let (prior, ids) = after(&rows, Prior::default(), 1);
        let (_, again) = resolved(&rows, &prior);
        prop_assert_eq!(again.assignment.prospects, ids);
        prop_assert_eq!(again.assignment.events, []);
        prop_assert_eq!(again.assignment.counts, Counts::default());
    }

    #[test]
    fn the_lake_rows_may_stand_in_any_order(rows in world(20), part in 0_usize..20, order in Just((0..20_u32).collect::<Vec<_>>()).prop_shuffle()) {
        let (leads, first) = resolved(&rows[..part.min(rows.len())], &Prior::default());
        let links = identity_links(&leads, &first.links, &first.clusters, &first.assignment, STAMP, 0..20).unwrap();
        let events = identity_events(&first.assignment, STAMP).unwrap();
        let shuffled = |batch: &RecordBatch| {
            let rows: UInt32Array = order.iter().copied().filter(|row| (*row as usize) < batch.num_rows()).collect();
            let half = batch.num_rows() / 2;
            let batch = take_record_batch(batch, &rows).unwrap();
            [batch.slice(0, half), batch.slice(half, batch.num_rows() - half)]
        };
        let prior = Prior::read(&shuffled(&links), &shuffled(&events)).unwrap();
        prop_assert_eq!(resolved(&rows, &prior).1, resolved(&rows, &Prior::read(&[links], &[events]).unwrap()).1);
    }

    #[test]
    fn new_leads_never_rename_a_prospect(rows in world(24), part in 0_usize..24) {
        let part = part.min(rows.len());
        let (prior, ids) = after(&rows[..part], Prior::default(), 1);
        let (_, resolved) = resolved(&rows, &prior);
        for id in ids {
            let is_live = resolved.assignment.prospects.contains(&id);
            let became = resolved.assignment.aliases.get(&id);
            prop_assert!(is_live != became.is_some_and(|now| resolved.assignment.prospects.contains(now)));
        }
    }

    #[test]
    fn merging_does_not_depend_on_who_came_first_in_the_file(rows in world(20), flip in any::<bool>()) {
        let (half, rest) = rows.split_at(rows.len() / 2);
        let (prior, _) = after(half, Prior::default(), 1);
        let (prior, _) = after(&rows, prior, 2);
        let ways = if flip { [rest, half].concat() } else { rows.iter().rev().cloned().collect() };
        prop_assert_eq!(resolved(&ways, &prior).1, resolved(&rows, &prior).1);
    }

    #[test]
    fn whoever_did_not_move_is_the_prospect_of_the_same_leads(versions in proptest::collection::vec(world(14), 2..4)) {
        let mut prior = Prior::default();
        let mut before: BTreeMap<ProspectId, Vec<String>> = BTreeMap::new();
        let mut led: BTreeMap<ProspectId, ProspectId> = BTreeMap::new();
        for (rows, at) in versions.iter().zip(0..) {
            let (leads, resolved) = resolved(rows, &prior);
            let Resolved { clusters, assignment, .. } = &resolved;
            let moved = &assignment.moved;
            let ids = |members: &[u32]| -> Vec<String> { members.iter().map(|row| leads.id(*row).to_owned()).collect() };
            let now: BTreeMap<ProspectId, Vec<String>> =
                clusters.iter().zip(&assignment.prospects).map(|(members, prospect)| (*prospect, ids(members))).collect();
            for (cluster, prospect) in assignment.prospects.iter().enumerate() {
                prop_assert!(moved.clusters.contains(&cluster) || before.get(prospect) == now.get(prospect));
            }
            for (prospect, leads) in &before {
                prop_assert!(moved.prospects.contains(prospect) || now.get(prospect).is_some_and(|now| leads.iter().all(|lead| now.contains(lead))));
            }
            for (alias, target) in &assignment.aliases {
                let is_written = assignment.prospects.iter().position(|id| id == target).is_some_and(|at| moved.clusters.contains(&at));
                prop_assert!(is_written || led.get(alias) == Some(target));
            }
            (before, led) = (now, assignment.aliases.clone());
            prior = prior.after(&leads, clusters, assignment, at);
            let (_, again) = super::resolved(rows, &prior);
            prop_assert_eq!(again.assignment.moved, Moved::default());
        }
    }

    #[test]
    fn any_history_keeps_ids_apart_and_settles(versions in proptest::collection::vec(world(14), 1..5)) {
        let mut prior = Prior::default();
        for (rows, at) in versions.iter().zip(0..) {
            let (leads, resolved) = resolved(rows, &prior);
            let ids: std::collections::BTreeSet<_> = resolved.assignment.prospects.iter().copied().collect();
            prop_assert_eq!(ids.len(), resolved.clusters.len());
            for (alias, target) in &resolved.assignment.aliases {
                prop_assert!(!ids.contains(alias) && ids.contains(target));
            }
            prior = prior.after(&leads, &resolved.clusters, &resolved.assignment, at);
            prop_assert_eq!(super::resolved(rows, &prior).1.assignment.events, []);
        }
    }
}
