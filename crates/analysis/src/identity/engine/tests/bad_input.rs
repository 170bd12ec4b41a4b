//! Bad input: a clear result or a clear error, never a blob.

use super::super::{Decisions, Options, Problem, Resolution, Roster, resolve_roster};
use super::COLUMNS;

fn resolved(roster: &Roster) -> Resolution {
    resolve_roster(roster, &Decisions::default(), &Options::default()).unwrap().0
}

fn persons(resolution: &Resolution) -> usize {
    (0..).zip(&resolution.person).filter(|(row, person)| row == *person).count()
}

#[test]
fn empty_records_stay_alone() {
    let mut roster = Roster::new(&COLUMNS);
    for id in 0..5000 {
        roster.push(&id.to_string(), [" ", "", "n/a", "", "-"]).unwrap();
    }
    assert_eq!(persons(&resolved(&roster)), 5000);
}

#[test]
fn nothing_is_resolved_to_nothing() {
    assert!(resolved(&Roster::new(&COLUMNS)).person.is_empty());
}

#[test]
fn a_value_that_100_000_records_share_joins_nobody() {
    let mut roster = Roster::new(&COLUMNS);
    for id in 0..100_000 {
        let id = id.to_string();
        roster.push(&id, ["Kim", "Doe", "kim@placeholder.example", "+44 20 7946 0999"]).unwrap();
    }
    let resolution = resolved(&roster);
    assert_eq!((persons(&resolution), resolution.compared), (100_000, 0));
    assert!(resolution.largest_blocks.iter().any(|block| block.records == 100_000 && block.is_left_out));
}

#[test]
fn a_switchboard_of_many_names_joins_nobody() {
    let mut roster = Roster::new(&COLUMNS);
    let names = ["Abel", "Bork", "Cuno", "Dahl", "Ekwe", "Fenn", "Gold", "Hirt", "Ivor", "Jost"];
    for (id, (first, last)) in names.iter().flat_map(|first| names.iter().map(move |last| (first, last))).enumerate() {
        roster.push(&id.to_string(), [first, last, "", "+44 20 7946 0100", "Mill Lane Works"]).unwrap();
    }
    assert_eq!(persons(&resolved(&roster)), 100);
}

#[test]
fn strange_letters_and_huge_fields_are_taken() {
    let mut roster = Roster::new(&COLUMNS);
    let huge = "\u{fdfa}\u{301}x".repeat(10 << 20 >> 3);
    let marks = "a\u{300}\u{301}\u{302}\u{327}\u{20dd}".repeat(2000);
    for (id, cell) in
        ["\u{202e}\u{200d}\u{feff}", "李雷", "👩‍👩‍👧", "\0\u{1}", "İıſﬀ", "@", "@@@.", "a@b", "://", "....", &huge, &marks]
            .iter()
            .enumerate()
    {
        roster.push(&format!("x{id}"), [*cell; 8]).unwrap();
        roster.push(&format!("y{id}"), [*cell; 8]).unwrap();
    }
    let resolution = resolved(&roster);
    assert_eq!(resolution.person.len(), 24);
}

#[test]
fn ids_are_given_once() {
    let mut roster = Roster::new(&COLUMNS);
    roster.push("1", ["Ada"]).unwrap();
    assert_eq!(roster.push("1", ["Eve"]), Err(Problem::RepeatedId { record: 2 }));
    assert_eq!(roster.push("", ["Eve"]), Err(Problem::NoId { record: 2 }));
    assert_eq!(roster.len(), 1);
}

#[test]
fn a_chain_of_look_alikes_is_no_person() {
    let mut roster = Roster::new(&COLUMNS);
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "k", "l", "m"];
    for (id, window) in letters.windows(6).enumerate() {
        let last = window.concat();
        roster.push(&id.to_string(), ["Ada", &last, "", "", "Mill Lane Works"]).unwrap();
    }
    let resolution = resolved(&roster);
    let largest = (0..7_u32).map(|row| resolution.person.iter().filter(|person| **person == row).count()).max();
    assert!(largest.unwrap_or(0) <= 3, "{:?}", resolution.person);
}
