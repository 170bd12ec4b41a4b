//! The result depends on the records alone, later records end where one run would put them, and every join can be explained.

use proptest::prelude::*;

use super::super::{
    Decisions, Doubt, Explainer, Gates, Index, Model, NotAModel, Options, Roster, quality, resolve_by, resolve_roster,
};
use super::{COLUMNS, PEOPLE, groups, people};

fn resolved(roster: &Roster, options: &Options) -> (Vec<Vec<String>>, Model) {
    let (resolution, model) = resolve_roster(roster, &Decisions::default(), options).unwrap();
    (groups(roster, &resolution.person), model)
}

#[test]
fn people_are_found_in_spite_of_spelling() {
    let (found, _) = resolved(&people(), &Options::default());
    let has =
        |group: &[&str]| assert!(found.contains(&group.iter().map(|id| (*id).to_owned()).collect()), "{group:?} in {found:?}");
    has(&["a1", "a2", "a3"]);
    has(&["b1", "b2"]);
    has(&["c1", "c2"]);
    has(&["f1", "f2"]);
}

#[test]
fn a_sister_at_one_switchboard_is_another_person() {
    let (found, _) = resolved(&people(), &Options::default());
    assert!(found.contains(&vec!["d1".to_owned()]), "{found:?}");
}

#[test]
fn a_shared_mailbox_joins_nobody() {
    let (found, _) = resolved(&people(), &Options::default());
    assert!(found.contains(&vec!["e1".to_owned()]), "{found:?}");
}

#[test]
fn a_model_survives_its_bytes() {
    let roster = people();
    let (found, model) = resolved(&roster, &Options::default());
    let read = Model::from_bytes(&model.to_bytes()).unwrap();
    assert_eq!(read, model);
    assert_eq!(read.version(), model.version());
    let again = resolve_by(&roster, &read, &Decisions::default(), &Options::default()).unwrap();
    assert_eq!(groups(&roster, &again.person), found);
    assert!(model.drift(&read) < 1e-9);
}

#[test]
fn damaged_and_foreign_bytes_are_no_model() {
    let (_, model) = resolved(&people(), &Options::default());
    let bytes = model.to_bytes();
    assert_eq!(Model::from_bytes(b"{}"), Err(NotAModel::Foreign));
    for end in (8..bytes.len()).step_by(97) {
        assert_eq!(Model::from_bytes(&bytes[..end]), Err(NotAModel::Damaged));
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(Model::from_bytes(&longer), Err(NotAModel::Damaged));
    // A length that no memory holds.
    let mut huge = bytes;
    let at = 8 + 8 + 4 + 12 + 14 * 16 * 4 + 4;
    huge[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(Model::from_bytes(&huge), Err(NotAModel::Damaged));
}

#[test]
fn weights_of_a_pair_add_up_to_its_odds() {
    let roster = people();
    let (_, model) = resolved(&roster, &Options::default());
    let explainer = Explainer::new(&roster, &model);
    let found = explainer.explain(0, 1).unwrap();
    let person = found.prior_bits + found.weights.iter().map(|weight| weight.bits).sum::<f64>();
    let others: f64 = 1.0 + found.rivals.iter().map(|(_, bits)| bits.exp2()).sum::<f64>();
    let chance = person.exp2() / (person.exp2() + others);
    assert!((chance - f64::from(found.chance)).abs() < 1e-3, "{chance} {}", found.chance);
    assert!(found.weights.iter().any(|weight| weight.field == "mailbox" && weight.bits > 5.0));
    assert_eq!(explainer.explain(0, 99), None);
}

#[test]
fn a_wild_run_is_stopped() {
    let roster = people();
    let (resolution, _) = resolve_roster(&roster, &Decisions::default(), &Options::default()).unwrap();
    assert!(resolution.check(&Gates::default()).is_ok());
    assert!(resolution.check(&Gates { largest: 1, ..Gates::default() }).is_err());
    assert!(resolution.check(&Gates { precision: 1.1, ..Gates::default() }).is_err());
}

#[test]
fn quality_counts_pairs_and_records() {
    let exact = quality(&[0, 0, 2], &[5, 5, 7]);
    assert!((exact.pairs.f1 - 1.0).abs() < 1e-12 && (exact.records.f1 - 1.0).abs() < 1e-12);
    let joined = quality(&[0, 0, 0], &[5, 5, 7]);
    assert!((joined.pairs.precision - 1.0 / 3.0).abs() < 1e-12 && (joined.pairs.recall - 1.0).abs() < 1e-12);
    assert!((joined.records.precision - 5.0 / 9.0).abs() < 1e-12);
}

/// Records put together from few values, so that many agree in part.
fn world(most: usize) -> impl Strategy<Value = Vec<[&'static str; COLUMNS.len()]>> {
    let record = (0..PEOPLE.len(), 0..PEOPLE.len(), proptest::bits::u8::ANY).prop_map(|(one, two, mask)| {
        let mut cells = PEOPLE[one].1;
        for (at, cell) in cells.iter_mut().enumerate() {
            // Most cells come from one person, some from another, some are empty.
            if mask >> at & 1 == 1 && at % 3 == two % 3 {
                *cell = PEOPLE[two].1[at];
            }
            if mask.rotate_left(3) >> at & 1 == 1 && at % 4 == one % 4 {
                *cell = "";
            }
        }
        cells
    });
    proptest::collection::vec(record, 2..most)
}

fn filled(rows: &[(usize, [&'static str; COLUMNS.len()])]) -> Roster {
    let mut roster = Roster::new(&COLUMNS);
    for (id, cells) in rows {
        roster.push(&format!("r{id}"), cells.iter().copied()).unwrap();
    }
    roster
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn order_and_threads_change_nothing(rows in world(40), turn in 0_usize..40) {
        let rows: Vec<_> = rows.into_iter().enumerate().collect();
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        turned.reverse();
        let (one, model) = resolved(&filled(&rows), &Options::default());
        let (two, other) = resolved(&filled(&turned), &Options { threads: 2, ..Options::default() });
        prop_assert_eq!(one, two);
        prop_assert_eq!(model.to_bytes(), other.to_bytes());
    }

    #[test]
    fn later_records_end_where_one_run_puts_them(rows in world(40), cut in 1_usize..40, step in 1_usize..5) {
        let rows: Vec<_> = rows.into_iter().enumerate().collect();
        let cut = cut.min(rows.len());
        let (_, model) = resolved(&filled(&rows[..cut]), &Options::default());
        let mut index = Index::new(filled(&rows[..cut]), model.clone(), Options::default()).unwrap();
        for part in rows[cut..].chunks(step) {
            let put = |(id, cells): &(usize, [&'static str; COLUMNS.len()])| index.put(&format!("r{id}"), 1, *cells).unwrap();
            let new: Vec<u32> = part.iter().map(put).collect();
            let touched = index.settle(Decisions::default()).unwrap();
            prop_assert!(new.iter().all(|row| touched.contains(row)));
        }
        prop_assert_eq!(told(&index, &rows), expected(&rows, &model, &Decisions::default()));
    }

    #[test]
    fn an_index_follows_changes_departures_and_decisions(
        rows in world(24),
        steps in proptest::collection::vec((0_u8..5, 0_usize..24, 0_usize..24), 1..8),
    ) {
        let mut rows: Vec<_> = rows.into_iter().enumerate().collect();
        let (_, model) = resolved(&filled(&rows), &Options::default());
        let mut index = Index::new(filled(&rows), model.clone(), Options::default()).unwrap();
        let mut said: Vec<(usize, usize, bool)> = Vec::new();
        for (kind, one, two) in steps {
            let (one, two) = (one % rows.len(), two % rows.len());
            match kind {
                // Somebody says what another says.
                0 => {
                    rows[one].1 = rows[two].1;
                    index.put(&format!("r{}", rows[one].0), 1, rows[one].1).unwrap();
                }
                1 if rows.len() > 2 => {
                    let (id, _) = rows.remove(one);
                    index.drop(index.roster().find(&format!("r{id}")).unwrap(), 0);
                }
                2 | 3 => {
                    let (one, two) = (rows[one].0, rows[two].0);
                    let is_free = said.iter().all(|(x, y, _)| ![*x, *y].contains(&one) && ![*x, *y].contains(&two));
                    if one != two && is_free {
                        said.push((one, two, kind == 2));
                    }
                }
                _ => drop(said.pop()),
            }
            let pairs = |wanted: bool, row: &dyn Fn(usize) -> Option<u32>| -> Vec<(u32, u32)> {
                let pairs = said.iter().filter(|(.., is_same)| *is_same == wanted);
                pairs.filter_map(|(one, two, _)| Some((row(*one)?, row(*two)?))).collect()
            };
            let is_there = |id: usize| rows.iter().any(|(known, _)| *known == id);
            let known = |id: usize| index.roster().find(&format!("r{id}")).filter(|_| is_there(id));
            let decisions = Decisions { same: pairs(true, &known), different: pairs(false, &known) };
            index.settle(decisions).unwrap();
            let place = |id: usize| rows.iter().position(|(known, _)| *known == id).map(|at| u32::try_from(at).unwrap());
            let decisions = Decisions { same: pairs(true, &place), different: pairs(false, &place) };
            prop_assert_eq!(told(&index, &rows), expected(&rows, &model, &decisions));
            index = read(&written(&index), model.clone(), &Options::default()).unwrap();
        }
    }
}

fn written(index: &Index) -> Vec<u8> {
    let mut bytes = Vec::new();
    index.write(&mut bytes).unwrap();
    bytes
}

fn read(mut bytes: &[u8], model: Model, options: &Options) -> Option<Index> {
    let length = bytes.len() as u64;
    Index::read(&mut bytes, length, model, options)
}

/// Persons, joins and doubts by an index, in the numbers of these rows.
fn told(index: &Index, rows: &[(usize, [&'static str; COLUMNS.len()])]) -> (Vec<u32>, Vec<Doubt>, Vec<Doubt>) {
    let numbers: Vec<u32> = rows.iter().map(|(id, _)| index.roster().find(&format!("r{id}")).unwrap()).collect();
    let (resolution, spoke) = index.answer(&numbers, Options::default().review_at);
    assert_eq!(spoke.len(), resolution.joins.len());
    (resolution.person, resolution.joins, resolution.doubts)
}

/// The same by one run over all rows.
fn expected(
    rows: &[(usize, [&'static str; COLUMNS.len()])],
    model: &Model,
    decisions: &Decisions,
) -> (Vec<u32>, Vec<Doubt>, Vec<Doubt>) {
    let resolution = resolve_by(&filled(rows), model, decisions, &Options::default()).unwrap();
    (resolution.person, resolution.joins, resolution.doubts)
}

#[test]
fn an_index_is_read_only_whole_and_with_its_model() {
    let (_, model) = resolved(&people(), &Options::default());
    let index = Index::new(people(), model.clone(), Options::default()).unwrap();
    let bytes = written(&index);
    let read_by = |bytes: &[u8], options: &Options| read(bytes, model.clone(), options);
    let again = read_by(&bytes, &Options::default()).unwrap();
    assert_eq!((again.person(), again.joins(), again.spoke()), (index.person(), index.joins(), index.spoke()));
    assert!(written(&again) == bytes, "an index is stored in one way");
    for end in (0..bytes.len()).step_by(311) {
        assert!(read_by(&bytes[..end], &Options::default()).is_none(), "{end}");
    }
    for at in (0..bytes.len()).step_by(97) {
        let mut broken = bytes.clone();
        broken[at] ^= 4;
        assert!(read_by(&broken, &Options::default()).is_none(), "{at}");
    }
    assert!(read_by(&bytes, &Options { merge_at: 0.9, ..Options::default() }).is_none());
    let roster = filled(&[(1, PEOPLE[0].1), (2, PEOPLE[1].1)]);
    let (_, other) = resolve_roster(&roster, &Decisions::default(), &Options::default()).unwrap();
    assert!(read(&bytes, other, &Options::default()).is_none());
}
