//! How careful the engine is where little is known, or where many fields tell one thing.

use super::super::{Attribute, Decisions, Explainer, Options, Roster, resolve_by, resolve_roster};
use super::{COLUMNS, groups, roster};

const PLACED: [Attribute; 6] =
    [Attribute::FirstName, Attribute::LastName, Attribute::Phone, Attribute::City, Attribute::Postcode, Attribute::Region];

/// Many people of a few cities, nobody twice; every city has one postal code and one region.
fn townspeople(phone: impl Fn(u32) -> String) -> Roster {
    let mut roster = Roster::new(&PLACED);
    for n in 0..400_u32 {
        let (given, family, town) = (word(n % 25), word(40 + n), n / 25 % 7);
        let (city, code, region) =
            (format!("Town {}", word(town)), format!("{}", 10_000 + town * 371), format!("Shire {}", word(town)));
        let cells = [given.as_str(), family.as_str(), &phone(n), &city, &code, &region];
        roster.push(&format!("r{n}"), cells).unwrap();
    }
    roster
}

/// Four letters that are another word for every number below 400.
fn word(n: u32) -> String {
    let syllable = |n: u32| [letter("bcdfghjklmnpqrstvwxz", n), letter("aeiou", n)];
    [n / 20, n % 20].into_iter().flat_map(syllable).collect()
}

fn letter(letters: &str, n: u32) -> char {
    letters.chars().nth(n as usize % letters.len()).unwrap()
}

#[test]
fn city_postal_code_and_region_are_one_place_told_three_times() {
    let roster = townspeople(|_| String::new());
    let (resolution, model) = resolve_roster(&roster, &Decisions::default(), &Options::default()).unwrap();
    assert_eq!(groups(&roster, &resolution.person).len(), roster.len(), "a given name and a town are nobody");
    let explainer = Explainer::new(&roster, &model);
    // Given name and town come again after 175 people.
    let found = explainer.explain(0, 175).unwrap();
    let bits = |field: &str| found.weights.iter().find(|weight| weight.field == field).unwrap().bits;
    assert!(bits("city") > 2.0, "{found:?}");
    assert!(bits("postcode") < 1.0 && bits("region") < 1.0, "{found:?}");
}

#[test]
fn a_stroke_between_numbers_says_little_where_numbers_lie_close() {
    let close = townspeople(|n| format!("+33 1 99 00 {n:04}"));
    let wide = townspeople(|n| format!("+33 {}", 100_000_000 + (u64::from(n) * 7_919_317) % 800_000_000));
    let slip = |roster: &Roster| resolve_roster(roster, &Decisions::default(), &Options::default()).unwrap().1.phone_slip;
    assert!(slip(&close) > -5.0, "{}", slip(&close));
    assert!(slip(&wide) < -9.0, "{}", slip(&wide));
}

#[test]
fn a_handful_of_leads_is_judged_as_leads_in_general_are() {
    let ann = ["Ann", "Alder", "ann@alder.example", "", "", "", "", ""];
    let namesake = ["Ann", "Alder", "", "", "Kestrel", "", "", ""];
    let first = roster([("1", &ann[..])]);
    let (_, model) = resolve_roster(&first, &Decisions::default(), &Options::default()).unwrap();
    let by = |other: &[&'static str; COLUMNS.len()]| {
        let both = roster([("1", &ann[..]), ("2", &other[..])]);
        let options = Options { merge_at: 0.9, ..Options::default() };
        resolve_by(&both, &model, &Decisions::default(), &options).unwrap().person
    };
    assert_eq!(by(&ann), [0, 0], "one address and one name, known from a single lead");
    assert_eq!(by(&namesake), [0, 1], "a name alone is nobody");
}

#[test]
fn numbers_in_names_and_mailboxes_tell_people_apart() {
    let rows: Vec<[String; 3]> =
        (0..9).map(|n| [format!("First{n}"), format!("Last{n}"), format!("p{n}@alder.example")]).collect();
    let mut roster = Roster::new(&[Attribute::FirstName, Attribute::LastName, Attribute::Email]);
    for [first, last, email] in &rows {
        roster.push(email, [first.as_str(), last, email]).unwrap();
    }
    let (resolution, _) = resolve_roster(&roster, &Decisions::default(), &Options::default()).unwrap();
    assert_eq!(groups(&roster, &resolution.person).len(), rows.len());
}

#[test]
fn a_transliterated_name_is_the_name() {
    let firm = |name: [&'static str; 2], mail: &'static str| [name[0], name[1], mail, "", "", "", "nordlicht.example", ""];
    let said = [
        firm(["Jörg", "Müller"], "info@nordlicht.example"),
        firm(["Joerg", "Mueller"], ""),
        firm(["JORG", "MULLER"], ""),
        firm(["", ""], "joerg.mueller@nordlicht.example"),
        firm(["Søren", "Ågård"], ""),
        firm(["Soeren", "Aagaard"], ""),
        firm(["Joe", "Noe"], ""),
        firm(["Jo", "No"], ""),
    ];
    let ids: Vec<String> = (0..said.len()).map(|at| format!("r{at}")).collect();
    let roster = roster(ids.iter().map(String::as_str).zip(said.iter().map(<[&str; 8]>::as_slice)));
    let (resolution, model) = resolve_roster(&roster, &Decisions::default(), &Options::default()).unwrap();
    assert_eq!(resolution.person[..6], [0, 0, 0, 0, 4, 4]);
    let explainer = Explainer::new(&roster, &model);
    for two in [1, 2] {
        let found = explainer.explain(0, two).unwrap();
        let seen: Vec<&str> = found.weights.iter().map(|weight| weight.seen).take(2).collect();
        assert_eq!(seen, ["the same", "the same"], "{two}");
    }
}

#[test]
fn a_file_in_which_nobody_is_twice_does_not_teach_that_people_differ_in_everything() {
    let mut roster = Roster::new(&COLUMNS);
    for n in 0..1_500_u32 {
        let (given, family) = (format!("Given{}", n % 497), format!("Family{}", n % 1_499));
        let (email, phone) = (format!("lead{n}@mail{}.example", n % 491), format!("+4420{}", 70_000_000 + n));
        let company = format!("Works {} Ltd", n % 1_399);
        let cells = [given.as_str(), &family, &email, &phone, &company, "", "", "Buyer"];
        roster.push(&format!("r{n}"), cells).unwrap();
    }
    let (found, _) = resolve_roster(&roster, &Decisions::default(), &Options::default()).unwrap();
    let joined: Vec<Vec<String>> = groups(&roster, &found.person).into_iter().filter(|group| group.len() > 1).collect();
    assert!(joined.is_empty(), "{} groups, such as {:?}", joined.len(), &joined[..joined.len().min(3)]);
}
