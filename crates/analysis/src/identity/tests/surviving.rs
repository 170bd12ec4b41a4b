//! Which value wins, and why.

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;

use super::super::{
    Exact, Field, Golden, Leads, OP_CLEAR, Policy, Prior, Resolved, SURVIVING, Stamp, Survived, Survivorship, identity_links,
    resolve,
};
use super::{Row, batch, leads, resolved, row, shuffled_world, world};
use headwater_model::tables::PROSPECT;

const PROFILE: (Field, &str) = (Field::LinkedinUrl, "linkedin.com/in/ada");

fn survive(leads: &Leads, resolved: &Resolved, policy: &Policy) -> Survived {
    Survivorship::new(leads, &resolved.clusters, &resolved.assignment, policy).survive(0..usize::MAX).unwrap()
}

/// One person's leads: all share a profile.
fn person(id: &str, cells: &[(Field, &str)], at: i64) -> Row {
    row(id, &[&[PROFILE], cells].concat()).observed(at)
}

/// The winner of a field and every candidate with its rule.
fn outcome(rows: &[Row], field: Field, policy: &Policy) -> (Option<String>, Vec<(String, bool, String)>) {
    let (leads, resolved) = resolved(rows, &Prior::default());
    assert_eq!(resolved.clusters.len(), 1);
    let Survived { golden, fields } = survive(&leads, &resolved, policy);
    let column = golden.column(field.name()).unwrap().as_string::<i32>();
    let winner = column.is_valid(0).then(|| column.value(0).to_owned());
    let text = |name| fields.column_by_name(name).unwrap().as_string::<i32>();
    let candidates = (0..fields.num_rows()).filter(|at| text("field").value(*at) == field.name());
    let is_winner = fields.column_by_name("is_winner").unwrap().as_boolean();
    let candidate = |at| (text("value").value(at).to_owned(), is_winner.value(at), text("rule").value(at).to_owned());
    (winner, candidates.map(candidate).collect())
}

/// The winner of a field between leads, and the rule that set it above the second.
fn winner(rows: &[Row], field: Field) -> (String, String) {
    let (winner, candidates) = outcome(rows, field, &Policy::default());
    (winner.unwrap(), candidates[0].2.clone())
}

fn won(value: &str, rule: &str) -> (String, String) {
    (value.to_owned(), rule.to_owned())
}

#[test]
fn the_only_value_wins_over_nothing() {
    let rows = [person("a", &[(Field::City, "Lyon")], 1), person("b", &[], 9)];
    assert_eq!(winner(&rows, Field::City), won("Lyon", "only_value"));
    assert_eq!(outcome(&rows, Field::Country, &Policy::default()), (None, Vec::new()));
}

#[test]
fn the_newest_value_wins_and_the_older_one_is_kept() {
    let rows = [person("a", &[(Field::JobTitle, "Lead")], 1), person("b", &[(Field::JobTitle, "Boss")], 2)];
    let (winner, candidates) = outcome(&rows, Field::JobTitle, &Policy::default());
    assert_eq!(winner.as_deref(), Some("Boss"));
    let candidate = |value: &str, won| (value.to_owned(), won, "most_recent".to_owned());
    assert_eq!(candidates, [candidate("Boss", true), candidate("Lead", false)]);
}

#[test]
fn a_trusted_source_wins_over_a_newer_one() {
    let rows = [
        person("a", &[(Field::JobTitle, "Lead"), (Field::Source, "crm")], 1),
        person("b", &[(Field::JobTitle, "Boss"), (Field::Source, "list")], 2),
    ];
    let policy = Policy { trust: [("crm".to_owned(), 1)].into() };
    let (winner, candidates) = outcome(&rows, Field::JobTitle, &policy);
    assert_eq!((winner.as_deref(), candidates[0].2.as_str()), (Some("Lead"), "trusted_source"));
}

#[test]
fn an_address_that_works_for_one_person_at_work_wins() {
    let email = |id, email, kind, status, at| {
        person(id, &[(Field::Email, email), (Field::EmailKind, kind), (Field::EmailStatus, status)], at)
    };
    let dead = email("a", "ada@example.com", "nominative_pro", "invalid", 9);
    let work = email("b", "ada@example.net", "nominative_pro", "unknown", 1);
    let home = email("c", "ada@gmail.com", "personal", "valid", 5);
    let desk = email("d", "info@example.com", "generic_pro", "valid", 7);
    let known = email("e", "a.stone@example.net", "nominative_pro", "valid", 0);
    assert_eq!(winner(&[dead.clone(), desk.clone()], Field::Email), won("info@example.com", "verified"));
    assert_eq!(winner(&[home.clone(), desk], Field::Email), won("ada@gmail.com", "email_kind"));
    assert_eq!(winner(&[dead, home, work.clone()], Field::Email), won("ada@example.net", "email_kind"));
    assert_eq!(winner(&[work, known], Field::Email), won("a.stone@example.net", "verified"));
}

#[test]
fn the_kind_goes_with_the_email_that_won() {
    let rows = [
        person("a", &[(Field::Email, "ada@example.com"), (Field::EmailKind, "nominative_pro")], 1),
        person("b", &[(Field::Email, "ada@gmail.com"), (Field::EmailKind, "personal")], 2),
    ];
    let (leads, resolved) = resolved(&rows, &Prior::default());
    let Survived { golden, fields: _ } = survive(&leads, &resolved, &Policy::default());
    assert_eq!(golden.column("email_kind").unwrap().as_string::<i32>().value(0), "nominative_pro");
}

#[test]
fn names_and_addresses_come_from_the_lead_that_says_most() {
    let full = [(Field::GivenName, "Ada"), (Field::FamilyName, "Stone")];
    let short = [(Field::GivenName, "A."), (Field::FamilyName, "Reed")];
    let rows = [person("a", &full, 1), person("b", &short, 2)];
    assert_eq!(winner(&rows, Field::FamilyName), won("Stone", "most_complete"));
    assert_eq!(winner(&rows, Field::GivenName), won("Ada", "most_complete"));
}

#[test]
fn a_cell_emptied_on_purpose_undoes_what_was_said_before() {
    let said = person("a", &[(Field::JobTitle, "Lead")], 1);
    let cleared = person("b", &[(Field::JobTitle, ""), (Field::Op, OP_CLEAR)], 2);
    let (value, candidates) = outcome(&[said.clone(), cleared.clone()], Field::JobTitle, &Policy::default());
    assert_eq!(value, None);
    assert_eq!(candidates[0], (String::new(), true, "cleared".to_owned()));
    assert_eq!(candidates[1], ("Lead".to_owned(), false, "cleared".to_owned()));
    assert_eq!(winner(&[said.clone().observed(3), cleared], Field::JobTitle), won("Lead", "most_recent"));
    let empty = person("b", &[(Field::JobTitle, ""), (Field::Op, "upsert")], 2);
    assert_eq!(winner(&[said, empty], Field::JobTitle), won("Lead", "only_value"));
}

#[test]
fn clearing_reaches_neither_later_nor_more_trusted_values() {
    let email = |id, email, kind, source, at| {
        person(id, &[(Field::Email, email), (Field::EmailKind, kind), (Field::Source, source), (Field::Op, OP_CLEAR)], at)
    };
    let best = email("a", "ada@example.com", "nominative_pro", "list", 1);
    let cleared = email("b", "", "nominative_pro", "list", 2);
    let later = email("c", "ada@gmail.com", "personal", "list", 3);
    assert_eq!(winner(&[best.clone(), cleared.clone(), later], Field::Email), won("ada@gmail.com", "most_recent"));
    let trusted = email("a", "ada@example.com", "nominative_pro", "crm", 1);
    let policy = Policy { trust: [("crm".to_owned(), 1)].into() };
    let (value, candidates) = outcome(&[trusted, cleared.clone()], Field::Email, &policy);
    assert_eq!((value.as_deref(), candidates[0].2.as_str()), (Some("ada@example.com"), "trusted_source"));
    assert_eq!(outcome(&[best, cleared], Field::Email, &policy).0, None);
}

#[test]
fn equal_claims_are_settled_by_record_id() {
    let rows = [person("b", &[(Field::City, "Lyon")], 1), person("a", &[(Field::City, "Nice")], 1)];
    assert_eq!(winner(&rows, Field::City), won("Nice", "smallest_record"));
}

#[test]
fn the_first_source_is_the_one_that_knew_them_first() {
    let mut early = person("b", &[(Field::Source, "crm")], 9);
    early.created_at = Some(1);
    let rows = [person("a", &[(Field::Source, "list")], 2), early];
    let (leads, resolved) = resolved(&rows, &Prior::default());
    let Survived { golden, fields: _ } = survive(&leads, &resolved, &Policy::default());
    assert_eq!(golden.column("first_source").unwrap().as_string::<i32>().value(0), "crm");
    let instant = |name| golden.column(name).unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!((instant("first_seen_at"), instant("last_seen_at")), (1, 9));
    let count = |name| golden.column(name).unwrap().as_primitive::<Int64Type>().value(0);
    assert_eq!((count("lead_count"), count("source_count")), (2, 2));
}

#[test]
fn every_column_is_one_of_the_prospect_table_and_of_its_type() {
    let (leads, first) = resolved(&[person("a", &[], 1)], &Prior::default());
    let Survived { golden, fields: _ } = survive(&leads, &first, &Policy::default());
    let schema = PROSPECT.schema();
    for (name, column) in golden.columns() {
        assert_eq!(schema.field_with_name(name).unwrap().data_type(), column.data_type(), "{name}");
        assert_eq!(column.len(), 1);
    }
}

#[test]
fn a_merged_prospect_says_only_where_it_went() {
    let apart = [row("a", &[(Field::Email, "ada@example.com")]), row("b", &[PROFILE]).observed(7)];
    let (leads, first) = resolved(&apart, &Prior::default());
    let prior = Prior::default().after(&leads, &first.clusters, &first.assignment, 1);
    let joined = [apart[0].clone(), apart[1].clone(), row("c", &[PROFILE, (Field::Email, "ada@example.com")])];
    let (leads, second) = resolved(&joined, &prior);
    let merged = Golden::merged(&leads, &second.clusters, &second.assignment);
    assert_eq!(merged.len(), 1);
    assert!(!merged.is_empty() && first.assignment.prospects.contains(&merged.prospects[0]));
    let text = |name| merged.column(name).unwrap().as_string::<i32>();
    assert_eq!(text("merged_into").value(0), second.assignment.prospects[0].to_string());
    assert!(SURVIVING.iter().all(|field| text(field.name()).is_null(0)));
    assert_eq!(merged.column("lead_count").unwrap().as_primitive::<Int64Type>().value(0), 0);
}

proptest! {
    #[test]
    fn order_of_the_input_changes_no_value((rows, other) in shuffled_world(20)) {
        let (leads_one, one) = resolved(&rows, &Prior::default());
        let (leads_two, two) = resolved(&other, &Prior::default());
        let one = survive(&leads_one, &one, &Policy::default());
        let two = survive(&leads_two, &two, &Policy::default());
        prop_assert_eq!(one.golden.columns(), two.golden.columns());
        prop_assert_eq!(one.fields, two.fields);
    }

    #[test]
    fn each_field_has_one_winner_and_it_is_the_value_shown(rows in world(20)) {
        let leads = leads(&rows);
        let resolved = resolve(&leads, &Exact::default(), &Prior::default()).unwrap();
        let Survived { golden, fields } = survive(&leads, &resolved, &Policy::default());
        let text = |name| fields.column_by_name(name).unwrap().as_string::<i32>();
        let is_winner = fields.column_by_name("is_winner").unwrap().as_boolean();
        let winners: Vec<_> = (0..fields.num_rows())
            .filter(|at| is_winner.value(*at))
            .map(|at| (text("prospect_id").value(at).to_owned(), text("field").value(at).to_owned(), text("value").value(at).to_owned()))
            .collect();
        let mut shown = Vec::new();
        for (at, prospect) in golden.prospects.iter().enumerate() {
            for field in SURVIVING {
                let column = golden.column(field.name()).unwrap().as_string::<i32>();
                let value = if column.is_valid(at) { column.value(at).to_owned() } else { String::new() };
                let is_known = winners.contains(&(prospect.to_string(), field.name().to_owned(), value.clone()));
                prop_assert!(is_known || value.is_empty());
                shown.extend((is_known).then_some(()));
            }
        }
        prop_assert_eq!(shown.len(), winners.len());
    }

    #[test]
    fn ranges_add_up_to_the_whole(rows in world(20), cut in 0_usize..20) {
        let leads = Leads::new(&[batch(&rows)]).unwrap();
        let resolved = resolve(&leads, &Exact::default(), &Prior::default()).unwrap();
        let survivorship = Survivorship::new(&leads, &resolved.clusters, &resolved.assignment, &Policy::default());
        let whole = survivorship.survive(0..usize::MAX).unwrap();
        let parts = [survivorship.survive(0..cut).unwrap(), survivorship.survive(cut..resolved.clusters.len()).unwrap()];
        let schema = whole.fields.schema();
        let fields = arrow::compute::concat_batches(&schema, parts.iter().map(|part| &part.fields)).unwrap();
        prop_assert_eq!(fields, whole.fields);
        prop_assert_eq!(parts.map(|part| part.golden.prospects).concat(), whole.golden.prospects);
    }

    #[test]
    fn some_people_alone_are_who_they_are_among_all(rows in world(20), chosen in proptest::collection::vec(any::<bool>(), 20)) {
        let (leads, whole) = resolved(&rows, &Prior::default());
        let chosen: Vec<usize> = (0..whole.clusters.len()).filter(|cluster| chosen[*cluster]).collect();
        let theirs: Vec<Row> = whole.leads_of(&chosen).into_iter().map(|row| rows[row as usize].clone()).collect();
        let (few, part) = (super::leads(&theirs), whole.part(&chosen));
        prop_assert_eq!(part.clusters.len(), chosen.len());
        let stamp = Stamp { model_version: "exact-1", run_id: "run_1", at: 5 };
        for (here, there) in chosen.into_iter().enumerate() {
            let alone = Survivorship::new(&few, &part.clusters, &part.assignment, &Policy::default()).survive(here..here + 1).unwrap();
            let among = Survivorship::new(&leads, &whole.clusters, &whole.assignment, &Policy::default()).survive(there..there + 1).unwrap();
            prop_assert_eq!(alone.golden.columns(), among.golden.columns());
            prop_assert_eq!(alone.fields, among.fields);
            let alone = identity_links(&few, &part.links, &part.clusters, &part.assignment, stamp, here..here + 1).unwrap();
            let among = identity_links(&leads, &whole.links, &whole.clusters, &whole.assignment, stamp, there..there + 1).unwrap();
            prop_assert_eq!(alone, among);
        }
    }
}
