//! What the engine promises, on small worlds.

mod bad_input;
mod care;
mod decisions;
mod labels;
mod outgrown;
mod promises;
mod sheets;

use super::{Attribute, Roster};

const COLUMNS: [Attribute; 8] = [
    Attribute::FirstName,
    Attribute::LastName,
    Attribute::Email,
    Attribute::Phone,
    Attribute::Company,
    Attribute::City,
    Attribute::Website,
    Attribute::Title,
];

type Cells = [&'static str; COLUMNS.len()];

fn roster<'a>(rows: impl IntoIterator<Item = (&'a str, &'a [&'a str])>) -> Roster {
    let mut roster = Roster::new(&COLUMNS);
    for (id, cells) in rows {
        roster.push(id, cells.iter().copied()).unwrap();
    }
    roster
}

/// People of three firms, in several spellings each.
const PEOPLE: [(&str, Cells); 12] = [
    ("a1", ["Ada", "Lovett", "ada.lovett@northmill.example", "+44 20 7946 0101", "North Mill Ltd", "Leeds", "", "Head of Sales"]),
    ("a2", ["ADA", "LOVETT", "Ada.Lovett+fair@northmill.example", "", "North Mill", "", "", ""]),
    ("a3", ["A.", "Lovett", "", "020 7946 0101", "North Mill Limited", "Leeds", "www.northmill.example", ""]),
    ("b1", ["Bruno", "Ferrand", "bferrand@northmill.example", "", "North Mill Ltd", "Leeds", "", "CTO"]),
    ("b2", ["Bruno", "Ferand", "bferrand@northmill.example", "", "", "", "", "Chief Technology Officer"]),
    ("c1", ["Robert", "Quillon", "rob.quillon77@gmail.com", "+1 212 555 0147", "", "Boston", "", ""]),
    ("c2", ["Bob", "Quillon", "robquillon77@googlemail.com", "", "Harbour Optics Inc", "", "", ""]),
    ("d1", ["Mira", "Lovett", "mira.lovett@northmill.example", "+44 20 7946 0101", "North Mill Ltd", "Leeds", "", ""]),
    ("e1", ["", "", "info@northmill.example", "+44 20 7946 0000", "North Mill Ltd", "", "", ""]),
    ("f1", ["Tariq", "Osei", "tariq.osei@kestrelfoods.example", "", "Kestrel Foods GmbH", "Bonn", "", "Buyer"]),
    ("f2", ["Osei", "Tariq", "", "", "Kestrel Foods", "Bonn", "kestrelfoods.example", "Buyer"]),
    ("g1", ["Greta", "Lindqvist", "greta@kestrelfoods.example", "", "Kestrel Foods", "Bonn", "", ""]),
];

fn people() -> Roster {
    roster(PEOPLE.iter().map(|(id, cells)| (*id, cells.as_slice())))
}

/// The persons as sets of ids, in order.
fn groups(roster: &Roster, person: &[u32]) -> Vec<Vec<String>> {
    let mut by_person: std::collections::BTreeMap<u32, Vec<String>> = std::collections::BTreeMap::new();
    for (row, person) in (0..).zip(person) {
        by_person.entry(*person).or_default().push(roster.id(row).to_owned());
    }
    let mut groups: Vec<Vec<String>> = by_person.into_values().collect();
    groups.iter_mut().for_each(|group| group.sort());
    groups.sort();
    groups
}
