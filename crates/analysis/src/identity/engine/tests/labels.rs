//! What people said of pairs teaches what other pairs are.

use super::super::{Decisions, Model, Options, Resolution, quality, resolve_roster, resolve_taught};
use super::{COLUMNS, Roster};

const GIVEN: [&str; 24] = [
    "Anna", "Bruno", "Carla", "David", "Elena", "Frank", "Greta", "Hugo", "Irene", "Jakob", "Klara", "Lukas", "Maria", "Nils",
    "Olga", "Peter", "Quinn", "Rosa", "Stefan", "Tessa", "Ulrich", "Vera", "Walter", "Yara",
];
const HEADS: [&str; 20] = [
    "Ander", "Berg", "Carl", "Dorn", "Eber", "Fried", "Gold", "Hart", "Iser", "Jung", "Kess", "Lind", "Mehl", "Nord", "Oster",
    "Plank", "Reich", "Stern", "Thal", "Wald",
];
const TAILS: [&str; 10] = ["son", "mann", "er", "berg", "feld", "hof", "lein", "bach", "stein", "haus"];
const CITIES: [&str; 8] = ["Leeds", "Bonn", "Lyon", "Boston", "Malaga", "Krakow", "Uppsala", "Recife"];

/// So many pairs are asked about.
const ASKED: usize = 80;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.roll(words.len())]
    }
}

/// People with up to three records each: names mistyped, another mailbox, another firm, cells left empty. The numbers say who is who.
fn crowd(seed: u64, people: u32) -> (Roster, Vec<u32>) {
    let mut dice = Dice(seed);
    let (mut roster, mut truth) = (Roster::new(&COLUMNS), Vec::new());
    for person in 0..people {
        let given = dice.one_of(&GIVEN);
        let family = format!("{}{}", dice.one_of(&HEADS), dice.one_of(&TAILS));
        let phone = format!("+49 30 {:07}", dice.roll(10_000_000));
        let home = dice.one_of(&CITIES);
        for _ in 0..1 + dice.roll(3) {
            let firm = dice.roll(60);
            let (company, domain) = (format!("Firm {} {firm}", HEADS[firm % 20]), format!("firm{firm}.example"));
            let mut name = family.clone();
            if dice.roll(8) == 0 {
                name.remove(2);
            }
            let first = if dice.roll(6) == 0 { format!("{}.", given.chars().next().unwrap()) } else { given.to_owned() };
            let mail = match dice.roll(4) {
                0 => String::new(),
                1 => format!("{}{}@gmail.com", given.to_lowercase(), family.to_lowercase()),
                _ => format!("{}.{}@{domain}", given.to_lowercase(), family.to_lowercase()),
            };
            let phone = if dice.roll(3) == 0 { phone.as_str() } else { "" };
            let city = if dice.roll(3) == 0 {
                ""
            } else if dice.roll(6) == 0 {
                dice.one_of(&CITIES)
            } else {
                home
            };
            let cells = [&first, &name, &mail, phone, &company, city, "", ""];
            roster.push(&format!("r{}", truth.len()), cells).unwrap();
            truth.push(person);
        }
    }
    (roster, truth)
}

/// The most doubtful pairs, as these say.
fn answers(resolution: &Resolution, say: impl Fn(u32, u32) -> bool) -> Decisions {
    let mut labels = Decisions::default();
    for doubt in resolution.doubts.iter().take(ASKED) {
        let side = if say(doubt.one, doubt.two) { &mut labels.same } else { &mut labels.different };
        side.push((doubt.one, doubt.two));
    }
    labels
}

fn taught(roster: &Roster, labels: &Decisions) -> (Resolution, Model) {
    resolve_taught(roster, &Decisions::default(), labels, &Options::default()).unwrap()
}

#[test]
fn answers_move_the_chances_of_pairs_like_them() {
    let (roster, _) = crowd(7, 800);
    let (before, untaught) = resolve_roster(&roster, &Decisions::default(), &Options::default()).unwrap();
    assert!(before.doubts.len() >= ASKED, "{}", before.doubts.len());
    let asked: Vec<(u32, u32)> = before.doubts.iter().take(ASKED).map(|doubt| (doubt.one, doubt.two)).collect();
    let mean = |resolution: &Resolution| {
        let of = |pair: &(u32, u32)| resolution.scored().find(|one| (one.one, one.two) == *pair).map_or(0.0, |one| one.chance);
        asked.iter().map(of).sum::<f32>() / ASKED as f32
    };
    let (same, model) = taught(&roster, &answers(&before, |_, _| true));
    let (different, _) = taught(&roster, &answers(&before, |_, _| false));
    let (low, middle, high) = (mean(&different), mean(&before), mean(&same));
    assert!(low + 0.02 < middle && middle + 0.02 < high, "{low} {middle} {high}");
    assert_eq!((untaught.labels(), model.labels()), (0, ASKED as u64));
    assert_ne!(untaught.version(), model.version());
    assert_eq!(Model::from_bytes(&model.to_bytes()).unwrap(), model);
}

#[test]
fn answers_teach_the_same_in_any_order() {
    let (roster, truth) = crowd(7, 400);
    let (before, _) = resolve_roster(&roster, &Decisions::default(), &Options::default()).unwrap();
    let mut labels = answers(&before, |one, two| truth[one as usize] == truth[two as usize]);
    let (_, model) = taught(&roster, &labels);
    labels.same.reverse();
    labels.different.reverse();
    labels.different.iter_mut().for_each(|(one, two)| std::mem::swap(one, two));
    assert_eq!(taught(&roster, &labels).1, model);
}

#[test]
fn true_answers_do_not_cost_accuracy() {
    let mut gained = 0.0;
    for seed in [7, 11, 13] {
        let (roster, truth) = crowd(seed, 800);
        let (before, _) = resolve_roster(&roster, &Decisions::default(), &Options::default()).unwrap();
        let labels = answers(&before, |one, two| truth[one as usize] == truth[two as usize]);
        let f1 = |resolution: &Resolution| quality(&truth, &resolution.person).pairs.f1;
        let (untaught, taught) = (f1(&before), f1(&taught(&roster, &labels).0));
        println!("seed {seed}: {untaught:.4} untaught, {taught:.4} taught");
        assert!(taught >= untaught - 0.002, "seed {seed}: {untaught} {taught}");
        gained += taught - untaught;
    }
    assert!(gained > 0.0, "{gained}");
}
