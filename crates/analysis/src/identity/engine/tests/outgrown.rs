//! A firm of which ever more people come: when its block is left out in one run over all, an index says that it is stale.

use super::super::block::Rule;
use super::super::{Decisions, Index, Model, Options, Roster, resolve_by, resolve_roster};
use super::{COLUMNS, PEOPLE};

/// People of one firm whose names have nothing in common, after some of other firms.
fn world(of_firm: usize) -> Roster {
    let mut roster = Roster::new(&COLUMNS);
    for (id, cells) in PEOPLE {
        roster.push(id, cells).unwrap();
    }
    (0..of_firm).for_each(|at| roster.push(&format!("p{at}"), of(at).iter().map(String::as_str)).unwrap());
    roster
}

fn of(at: usize) -> [String; 5] {
    const LETTERS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";
    let name = |salt: usize| -> String { (0..6).map(|place| char::from(LETTERS[(at + 7) * (salt + place * 5) % 26])).collect() };
    [name(3), name(11), String::new(), String::new(), "Tidewater Brothers".to_owned()]
}

fn expect_same(index: &Index, of_firm: usize, model: &Model) {
    let batch = resolve_by(&world(of_firm), model, &Decisions::default(), &Options::default()).unwrap();
    let rows: Vec<u32> = (0..u32::try_from(index.roster().len()).unwrap()).collect();
    let (resolution, _) = index.answer(&rows, Options::default().review_at);
    assert_eq!((resolution.person, resolution.joins, resolution.doubts), (batch.person, batch.joins, batch.doubts));
}

fn leaves_the_firm_out(of_firm: usize, model: &Model) -> bool {
    let batch = resolve_by(&world(of_firm), model, &Decisions::default(), &Options::default()).unwrap();
    batch.largest_blocks.iter().any(|block| block.rule == Rule::Org && block.records >= of_firm && block.is_left_out)
}

fn put(index: &mut Index, at: usize) {
    index.put(&format!("p{at}"), 1, of(at).iter().map(String::as_str)).unwrap();
}

#[test]
fn a_key_that_one_run_would_leave_out_makes_an_index_stale_and_no_other_does() {
    let (_, model) = resolve_roster(&world(8), &Decisions::default(), &Options::default()).unwrap();
    let mut index = Index::new(world(8), model.clone(), Options::default()).unwrap();
    let mut firm = 8;
    while !index.is_stale() {
        assert!(!leaves_the_firm_out(firm, &model), "{firm} of a firm are too many, and the index does not know");
        expect_same(&index, firm, &model);
        (firm..firm + 9).for_each(|at| put(&mut index, at));
        firm += 9;
        index.settle(Decisions::default()).unwrap();
        assert!(firm < 400, "a block may grow without end");
    }
    assert!(leaves_the_firm_out(firm, &model), "{firm} of a firm are not too many");

    // Made anew, it goes on without that key.
    let mut index = Index::new(world(firm), model.clone(), Options::default()).unwrap();
    let mut bytes = Vec::new();
    put(&mut index, firm);
    index.settle(Decisions::default()).unwrap();
    assert!(!index.is_stale());
    expect_same(&index, firm + 1, &model);
    index.write(&mut bytes).unwrap();
    let length = bytes.len() as u64;
    let mut index = Index::read(&mut bytes.as_slice(), length, model.clone(), &Options::default()).unwrap();
    put(&mut index, firm + 1);
    index.settle(Decisions::default()).unwrap();
    assert!(!index.is_stale());
    expect_same(&index, firm + 2, &model);

    // With fewer, one run would use it again.
    index.drop(index.roster().find("p0").unwrap(), 2);
    index.settle(Decisions::default()).unwrap();
    assert!(index.is_stale());
}
