//! What people said stands above every chance.

use super::super::{Decisions, Options, Problem, resolve_roster};
use super::{groups, people};

fn with(same: &[(&str, &str)], different: &[(&str, &str)]) -> Result<Vec<Vec<String>>, Problem> {
    let roster = people();
    let rows = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(one, two)| (roster.find(one).unwrap(), roster.find(two).unwrap())).collect::<Vec<_>>()
    };
    let decisions = Decisions { same: rows(same), different: rows(different) };
    let (resolution, _) = resolve_roster(&roster, &decisions, &Options::default())?;
    Ok(groups(&roster, &resolution.person))
}

fn together(groups: &[Vec<String>], one: &str, two: &str) -> bool {
    groups.iter().any(|group| group.iter().any(|id| id == one) && group.iter().any(|id| id == two))
}

#[test]
fn two_said_to_be_one_are_one() {
    let found = with(&[("a1", "g1"), ("g1", "e1")], &[]).unwrap();
    assert!(together(&found, "a1", "e1") && together(&found, "a1", "a2"), "{found:?}");
}

#[test]
fn one_said_to_be_two_is_two() {
    let found = with(&[], &[("a1", "a2")]).unwrap();
    assert!(!together(&found, "a1", "a2"), "{found:?}");
}

#[test]
fn a_third_record_cannot_join_two_said_to_be_apart() {
    let found = with(&[("a3", "a1")], &[("a1", "a2"), ("a3", "a2")]).unwrap();
    assert!(together(&found, "a1", "a3") && !together(&found, "a1", "a2"), "{found:?}");
}

#[test]
fn contradiction_is_told() {
    assert_eq!(with(&[("a1", "a2"), ("a2", "a3")], &[("a3", "a1")]), Err(Problem::Contradiction { pairs: 1 }));
    assert_eq!(with(&[], &[("a1", "a1")]), Err(Problem::Contradiction { pairs: 1 }));
}

#[test]
fn decisions_about_unknown_records_are_refused() {
    let roster = people();
    let decisions = Decisions { same: vec![(0, 99)], different: Vec::new() };
    assert_eq!(resolve_roster(&roster, &decisions, &Options::default()).err(), Some(Problem::ForeignRecord));
}
