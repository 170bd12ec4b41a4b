use super::super::{Attribute, Columns, Misfit, Problem, Sheet, Wanted};

fn wanted(id: Option<&str>, truth: Option<&str>, map: &[(Attribute, &str)]) -> Wanted {
    let map = map.iter().map(|(attribute, column)| (*attribute, (*column).to_owned())).collect();
    Wanted { id: id.map(str::to_owned), truth: truth.map(str::to_owned), map }
}

#[test]
fn only_attributes_by_name_or_map_are_evidence() {
    let names = ["Who", "E-Mail", "ID", "First Name", "notes", "company", "email"];
    let columns = Columns::of(names, &wanted(None, Some("who"), &[(Attribute::Company, "Notes")])).unwrap();
    assert_eq!((columns.id, columns.truth), (2, Some(0)));
    assert_eq!(columns.evidence, [(3, Attribute::FirstName), (4, Attribute::Company), (6, Attribute::Email)]);
    assert_eq!(columns.ignored, [1, 5], "`e_mail` is no attribute, and another column is the company");
}

#[test]
fn the_id_and_the_truth_are_no_evidence_even_if_mapped() {
    let map = [(Attribute::Email, "email"), (Attribute::Phone, "id"), (Attribute::City, "town")];
    let columns = Columns::of(["id", "email", "town"], &wanted(None, Some("email"), &map)).unwrap();
    assert_eq!(columns.evidence, [(2, Attribute::City)]);
    assert!(columns.ignored.is_empty());
}

#[test]
fn columns_that_cannot_be_told_apart_are_refused() {
    let of = |names: &[&str], wanted: &Wanted| Columns::of(names.iter().copied(), wanted).unwrap_err();
    assert_eq!(of(&["email"], &Wanted::default()), Misfit::Missing("id".to_owned()));
    assert_eq!(of(&["id", "email", "EMAIL"], &Wanted::default()), Misfit::Twice("email".to_owned()));
    assert_eq!(of(&["id", "email"], &wanted(None, Some("id"), &[])), Misfit::IdIsTruth("id".to_owned()));
    assert_eq!(of(&["id", "email"], &wanted(None, None, &[(Attribute::City, "town")])), Misfit::Missing("town".to_owned()));
    assert_eq!(of(&["id", "notes"], &Wanted::default()), Misfit::Mute);
}

#[test]
fn unknown_persons_count_neither_as_one_nor_as_many() {
    let columns = Columns::of(["id", "email", "who"], &wanted(None, Some("who"), &[])).unwrap();
    let mut sheet = Sheet::new(columns);
    for row in [["1", "a@firm.example", "x"], ["2", "a@firm.example", "x"], ["3", "", " "], ["4", " ", ""]] {
        sheet.push(|at| row[at]).unwrap();
    }
    assert_eq!(sheet.push(|at| ["  ", "b@firm.example", "y"][at]), Err(Problem::NoId { record: 5 }));
    assert_eq!((sheet.len(), sheet.silent()), (4, 2));
    let (roster, truth) = sheet.finish();
    let truth = truth.unwrap();
    assert_eq!(truth.known(), 2);
    let quality = truth.quality(&[0, 0, 2, 2]);
    assert!((quality.pairs.precision - 1.0).abs() < 1e-9, "the pair of unknown persons is not judged");
    assert_eq!((quality.largest, quality.largest_true), (2, 2));
    assert!((truth.blocking_recall(&roster) - 1.0).abs() < 1e-9);
}
