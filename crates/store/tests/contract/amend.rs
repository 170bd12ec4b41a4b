//! Rows are taken out by their place, and every reader leaves them out, in the snapshots that do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use headwater_model::tables::{IDENTITY_EVENT, LEAD, Table};
use headwater_store::{FileRows, Snapshot, Store, StoreError};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use crate::{HOUR, NOW, append, files, fresh, raw, read, stage, stage_into, texts};

const LATER: i64 = 4_000_000_000_000_000;

/// The names of rows `numbers` in the id column of [`LEAD`].
fn names(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("lead_id {number}")).collect()
}

fn ids(snapshot: &Snapshot) -> Vec<String> {
    texts(&read(snapshot, &LEAD), "lead_id")
}

fn find(snapshot: &Snapshot, numbers: impl IntoIterator<Item = usize>) -> Vec<FileRows> {
    let wanted: BTreeSet<String> = names(numbers).into_iter().collect();
    snapshot.find_rows(&LEAD, "lead_id", |id| wanted.contains(id)).unwrap()
}

/// Takes rows of [`LEAD`] out and adds others.
async fn amend(store: &Store, out: impl IntoIterator<Item = usize>, from: usize, count: usize) -> i64 {
    let base = store.snapshot().await.unwrap();
    let mut commit = store.commit("run", NOW);
    commit.amend(&base, &LEAD, find(&base, out), vec![stage(store, &LEAD, from, count)]).unwrap();
    commit.execute().await.unwrap()
}

#[tokio::test]
async fn rows_that_are_out_are_gone_for_every_reader_and_stay_in_earlier_snapshots() {
    let (_folder, store) = fresh().await;
    let first = append(&store, &LEAD, 0, 10).await;
    append(&store, &LEAD, 10, 10).await;
    let before = store.snapshot().await.unwrap();
    let amended = amend(&store, [1, 2, 11], 20, 2).await;

    let snapshot = store.snapshot().await.unwrap();
    let left = names([0].into_iter().chain(3..11).chain(12..22));
    assert_eq!(ids(&snapshot), left);
    assert_eq!((snapshot.id(), snapshot.version(&LEAD)), (amended, amended));
    assert_eq!((snapshot.rows(&LEAD), snapshot.deleted_rows(&LEAD), snapshot.files(&LEAD).len()), (19, 3, 3));
    let file = &snapshot.files(&LEAD)[0];
    assert_eq!((file.rows, file.deleted, file.deleted_places().unwrap()), (10, 2, vec![1, 2]));
    let of_file: Vec<_> = snapshot.read_file(&LEAD, &["lead_id"], file).unwrap().map(Result::unwrap).collect();
    assert_eq!(of_file.iter().flat_map(|batch| texts(batch, "lead_id")).collect::<Vec<_>>(), left[..8]);
    let since: Vec<_> = snapshot.read_since(&LEAD, &["lead_id"], first).unwrap().map(Result::unwrap).collect();
    assert_eq!(since.iter().flat_map(|batch| texts(batch, "lead_id")).collect::<Vec<_>>(), left[8..]);
    assert_eq!(find(&snapshot, [1, 3, 11]), [FileRows { file: file.id, rows: vec![3] }]);

    for earlier in [before.clone(), store.snapshot_at(before.id()).await.unwrap()] {
        assert_eq!(ids(&earlier), names(0..20));
        assert_eq!((earlier.rows(&LEAD), earlier.deleted_rows(&LEAD)), (20, 0));
    }
}

#[tokio::test]
async fn named_rows_alone_are_read_in_the_order_of_the_table() {
    let (_folder, store) = fresh().await;
    append(&store, &LEAD, 0, 10).await;
    append(&store, &LEAD, 10, 10).await;
    amend(&store, [3, 12], 20, 1).await;
    let snapshot = store.snapshot().await.unwrap();
    let [first, second] = [0, 1].map(|file| snapshot.files(&LEAD)[file].id);
    let asked = [FileRows { file: second, rows: vec![0, 2, 9] }, FileRows { file: first, rows: vec![3, 4] }];
    let read: Vec<RecordBatch> = snapshot.read_rows(&LEAD, &["source", "lead_id"], &asked).unwrap().map(Result::unwrap).collect();
    assert_eq!(read.iter().flat_map(|batch| texts(batch, "lead_id")).collect::<Vec<_>>(), names([4, 10, 19]));
    assert_eq!(read[0].schema().field(0).name(), "source");
    assert_eq!(snapshot.read_rows(&LEAD, &[], &[]).unwrap().count(), 0);
    assert_eq!(snapshot.read_rows(&LEAD, &[], &[FileRows { file: first, rows: vec![3] }]).unwrap().count(), 0);
    for wrong in [vec![10], vec![4, 3], vec![4, 4]] {
        let refused = snapshot.read_rows(&LEAD, &[], &[FileRows { file: first, rows: wrong }]);
        assert!(matches!(refused, Err(StoreError::Misfit { .. })));
    }
    let refused = snapshot.read_rows(&LEAD, &[], &[FileRows { file: 99, rows: vec![0] }]);
    assert!(matches!(refused, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn text_that_repeats_is_asked_for_once_and_only_texts_are_looked_for() {
    let (_folder, store) = fresh().await;
    append(&store, &LEAD, 0, 10).await;
    amend(&store, [0], 10, 0).await;
    let snapshot = store.snapshot().await.unwrap();
    let mut asked = Vec::new();
    // Every third is missing.
    let found = snapshot.find_rows(&LEAD, "need", |text| {
        asked.push(text.to_owned());
        text != "need 4"
    });
    assert_eq!(found.unwrap()[0].rows, [1, 2, 5, 7, 8]);
    assert_eq!(asked, [1, 2, 4, 5, 7, 8].map(|row| format!("need {row}")), "a row that is out is not asked for");
    assert!(matches!(snapshot.find_rows(&LEAD, "shoe_size", |_| true), Err(StoreError::NotFound { .. })));
    assert!(matches!(snapshot.find_rows(&LEAD, "observed_at", |_| true), Err(StoreError::Misfit { .. })));
}

#[tokio::test]
async fn a_file_has_one_delete_file_and_a_file_without_rows_is_ended() {
    let (_folder, store) = fresh().await;
    append(&store, &LEAD, 0, 4).await;
    append(&store, &LEAD, 4, 4).await;
    let one = amend(&store, [1], 8, 0).await;
    let two = amend(&store, [2, 5], 8, 0).await;
    let three = amend(&store, [0, 3], 8, 0).await;
    let mut raw = raw(&store).await;
    let deletes: Vec<(i64, Option<i64>, i64, i64)> = sqlx::query_as(
        "SELECT begin_snapshot, end_snapshot, data_file_id, delete_count FROM ducklake_delete_file ORDER BY begin_snapshot, data_file_id",
    )
    .fetch_all(&mut raw)
    .await
    .unwrap();
    let files = store.snapshot_at(one).await.unwrap().files(&LEAD).to_vec();
    assert_eq!(deletes, [(one, Some(two), files[0].id, 1), (two, Some(three), files[0].id, 2), (two, None, files[1].id, 1)]);
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((ids(&snapshot), snapshot.files(&LEAD).len()), (names([4, 6, 7]), 1));
    for (at, left) in [(one, vec![0, 2, 3, 4, 5, 6, 7]), (two, vec![0, 3, 4, 6, 7]), (three, vec![4, 6, 7])] {
        assert_eq!(ids(&store.snapshot_at(at).await.unwrap()), names(left));
    }
    let changes: Vec<String> = sqlx::query_scalar("SELECT changes_made FROM ducklake_snapshot_changes WHERE snapshot_id >= ?")
        .bind(one)
        .fetch_all(&mut raw)
        .await
        .unwrap();
    assert!(changes.iter().all(|change| change.starts_with("deleted_from_table:")), "{changes:?}");
    // As DuckDB does: rows that are out count, since their file is read.
    let counted: (i64, i64) =
        sqlx::query_as("SELECT record_count, file_size_bytes FROM ducklake_table_stats").fetch_one(&mut raw).await.unwrap();
    assert_eq!(counted, (4, snapshot.files(&LEAD)[0].bytes));
}

#[tokio::test]
async fn amend_of_nothing_is_no_snapshot() {
    let (folder, store) = fresh().await;
    append(&store, &LEAD, 0, 4).await;
    let before = amend(&store, [1], 4, 0).await;
    let base = store.snapshot().await.unwrap();
    let file = base.files(&LEAD)[0].id;
    let mut commit = store.commit("run", NOW);
    let again = vec![FileRows { file, rows: vec![1] }, FileRows { file, rows: Vec::new() }];
    commit.amend(&base, &LEAD, again, Vec::new()).unwrap();
    assert_eq!(commit.execute().await.unwrap(), before, "it was out already");
    assert_eq!(files(&folder.path().join("lake")).len(), 2);
}

#[tokio::test]
async fn amend_of_a_table_that_moved_on_is_a_conflict() {
    let (_folder, store) = fresh().await;
    append(&store, &LEAD, 0, 4).await;
    let base = store.snapshot().await.unwrap();
    let out = || find(&base, [1]);
    let mut late = store.commit("late", NOW);
    late.amend(&base, &LEAD, out(), Vec::new()).unwrap();
    amend(&store, [2], 4, 1).await;
    assert!(matches!(late.execute().await, Err(StoreError::Conflict { .. })));
    let mut late = store.commit("late", NOW);
    late.replace(&base, &LEAD, Vec::new());
    assert!(matches!(late.execute().await, Err(StoreError::Conflict { .. })));
    // Rewritten without the row that was taken out in between, the file would bring it back.
    let mut late = store.commit("late", NOW);
    late.rewrite(&LEAD, base.files(&LEAD), vec![stage(&store, &LEAD, 0, 4)]);
    assert!(matches!(late.execute().await, Err(StoreError::Conflict { .. })));
    let base = store.snapshot().await.unwrap();
    let mut twice = store.commit("twice", NOW);
    twice.amend(&base, &LEAD, find(&base, [0]), Vec::new()).unwrap();
    twice.amend(&base, &LEAD, find(&base, [1]), Vec::new()).unwrap();
    assert!(matches!(twice.execute().await, Err(StoreError::Conflict { .. })), "the second would undo the first");
    assert_eq!(ids(&store.snapshot().await.unwrap()), names([0, 1, 3, 4]));
}

#[tokio::test]
async fn rewrite_and_replace_end_what_takes_rows_out() {
    let (_folder, store) = fresh().await;
    for from in [0, 4] {
        let mut commit = store.commit("run", NOW);
        commit.append(stage_into(&store, &LEAD, Some("web"), from, 4));
        commit.execute().await.unwrap();
    }
    let amended = amend(&store, [1, 6], 8, 0).await;
    let base = store.snapshot().await.unwrap();
    assert!(
        files(store.lake())
            .iter()
            .filter(|path| path.to_string_lossy().ends_with("-delete.parquet"))
            .all(|path| { path.parent().is_some_and(|folder| folder.ends_with("main/lead/web")) })
    );
    let worn = &base.files(&LEAD)[0];
    let mut writer = store.rewriter(&LEAD, worn).unwrap();
    for batch in base.read_file(&LEAD, &[], worn).unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    let mut commit = store.commit("run", NOW);
    commit.rewrite(&LEAD, std::slice::from_ref(worn), vec![writer.finish().unwrap()]);
    commit.execute().await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((ids(&snapshot), snapshot.deleted_rows(&LEAD)), (names([0, 2, 3, 4, 5, 7]), 1));

    let mut commit = store.commit("run", NOW);
    commit.replace(&snapshot, &LEAD, vec![stage(&store, &LEAD, 0, 1)]);
    commit.execute().await.unwrap();
    let live: i64 = sqlx::query_scalar("SELECT count(*) FROM ducklake_delete_file WHERE end_snapshot IS NULL")
        .fetch_one(&mut raw(&store).await)
        .await
        .unwrap();
    assert_eq!(live, 0);
    assert_eq!(ids(&store.snapshot().await.unwrap()), names([0]));
    assert_eq!(ids(&store.snapshot_at(amended).await.unwrap()), names([0, 2, 3, 4, 5, 7]));
}

#[tokio::test]
async fn delete_files_go_with_the_last_snapshot_that_shows_them() {
    let (folder, store) = fresh().await;
    let lock = store.lock(NOW).await.unwrap();
    append(&store, &LEAD, 0, 10).await;
    for row in 0..3 {
        amend(&store, [row], 10, 0).await;
    }
    let lake = folder.path().join("lake");
    assert_eq!(files(&lake).len(), 4);
    assert_eq!(store.sweep(&lock, NOW + HOUR, Duration::ZERO).await.unwrap().files, 2);
    assert_eq!((ids(&store.snapshot().await.unwrap()), files(&lake).len()), (names(3..10), 2));
    amend(&store, 3..10, 20, 1).await;
    assert_eq!(store.sweep(&lock, NOW + HOUR, Duration::ZERO).await.unwrap().files, 2);
    assert_eq!((ids(&store.snapshot().await.unwrap()), files(&lake).len()), (names([20]), 1));

    // Written for a commit that never came.
    let base = store.snapshot().await.unwrap();
    drop(store.commit("run", NOW).amend(&base, &LEAD, Vec::new(), Vec::new()));
    append(&store, &LEAD, 21, 2).await;
    let base = store.snapshot().await.unwrap();
    drop(store.commit("run", NOW).amend(&base, &LEAD, find(&base, [21]), Vec::new()));
    assert_eq!(store.sweep(&lock, LATER, Duration::MAX).await.unwrap().orphans, 1);
    assert_eq!(ids(&store.snapshot().await.unwrap()), names(20..23));
}

#[tokio::test]
async fn damaged_delete_file_is_refused_with_its_name() {
    let (_folder, store) = fresh().await;
    append(&store, &LEAD, 0, 4).await;
    amend(&store, [1, 2], 4, 0).await;
    let path = files(store.lake()).into_iter().find(|path| path.to_string_lossy().ends_with("-delete.parquet")).unwrap();
    let cases: [(&str, &[i64], &str); 6] = [
        ("pos", &[1, 4], "takes out row 4 of a data file that has 4"),
        ("pos", &[-1, 2], "takes out row -1"),
        ("pos", &[2, 2], "takes out row 2 twice"),
        ("pos", &[2], "has 1 rows, not 2 as the catalog says"),
        ("place", &[1, 2], "has no column `pos`"),
        ("pos", &[2, 1], ""),
    ];
    for (column, places, expected) in cases {
        write_deletes(&path, column, places);
        let snapshot = store.snapshot().await.unwrap();
        let read = snapshot.read(&LEAD, &["lead_id"], None).unwrap().next().unwrap();
        match read {
            Ok(batch) => assert_eq!((expected, texts(&batch, "lead_id")), ("", names([0, 3])), "any order will do"),
            Err(error) => {
                let error = error.to_string();
                assert!(!expected.is_empty() && error.contains(expected) && error.contains("-delete.parquet"), "{error}");
                assert!(snapshot.find_rows(&LEAD, "lead_id", |_| true).is_err());
            }
        }
    }
    std::fs::remove_file(&path).unwrap();
    let failed = store.snapshot().await.unwrap().read(&LEAD, &[], None).unwrap().next().unwrap();
    assert!(matches!(failed, Err(StoreError::Io { path: named, .. }) if named == path));
}

fn write_deletes(path: &std::path::Path, column: &str, places: &[i64]) {
    let paths: StringArray = places.iter().map(|_| Some("x.parquet")).collect();
    let columns = [("file_path", Arc::new(paths) as ArrayRef), (column, Arc::new(Int64Array::from(places.to_vec())) as ArrayRef)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// One step of a store's life.
#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    /// Takes out every n-th row from one on, and adds some.
    Amend(usize, usize, usize),
    Replace(usize),
    /// Writes a file anew.
    Compact(usize),
    Sweep(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..40_usize).prop_map(Step::Append),
        (1..6_usize, 0..6_usize, 0..9_usize).prop_map(|(every, from, more)| Step::Amend(every, from, more)),
        (1..6_usize, 0..6_usize, 0..9_usize).prop_map(|(every, from, more)| Step::Amend(every, from, more)),
        (0..20_usize).prop_map(Step::Replace),
        (0..4_usize).prop_map(Step::Compact),
        any::<bool>().prop_map(Step::Sweep),
    ]
}

const EVENT: &Table = &IDENTITY_EVENT;
const ID: &str = "prospect_id";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn every_snapshot_that_is_left_shows_what_a_list_would(steps in prop::collection::vec(step(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live_through(steps));
    }
}

async fn live_through(steps: Vec<Step>) {
    let (_folder, store) = fresh().await;
    let lock = store.lock(NOW).await.unwrap();
    let mut model: Vec<usize> = Vec::new();
    let mut shown: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    let mut next = 0;
    for (time, step) in (NOW..).step_by(usize::try_from(HOUR).unwrap()).zip(steps) {
        let base = store.snapshot().await.unwrap();
        let mut commit = store.commit("run", time);
        let mut fresh_rows = |count: usize| {
            next += count;
            (next - count..next, stage(&store, EVENT, next - count, count))
        };
        match step {
            Step::Append(count) => {
                let (rows, staged) = fresh_rows(count);
                commit.append(staged);
                model.extend(rows);
            }
            Step::Amend(every, from, more) => {
                let out: BTreeSet<usize> = model.iter().copied().skip(from).step_by(every).collect();
                let names: BTreeSet<String> = out.iter().map(|row| format!("{ID} {row}")).collect();
                let found = base.find_rows(EVENT, ID, |id| names.contains(id)).unwrap();
                let read = base.read_rows(EVENT, &[ID], &found).unwrap().map(Result::unwrap);
                let read: Vec<String> = read.flat_map(|batch| texts(&batch, ID)).collect();
                let expected: Vec<String> =
                    model.iter().filter(|row| out.contains(row)).map(|row| format!("{ID} {row}")).collect();
                assert_eq!(read, expected);
                let (rows, staged) = fresh_rows(more);
                commit.amend(&base, EVENT, found, vec![staged]).unwrap();
                model.retain(|row| !out.contains(row));
                model.extend(rows);
            }
            Step::Replace(count) => {
                let (rows, staged) = fresh_rows(count);
                commit.replace(&base, EVENT, vec![staged]);
                model = rows.collect();
            }
            Step::Compact(nth) => {
                let Some(file) = base.files(EVENT).get(nth) else { continue };
                let mut writer = store.rewriter(EVENT, file).unwrap();
                for batch in base.read_file(EVENT, &[], file).unwrap() {
                    writer.write(&batch.unwrap()).unwrap();
                }
                commit.rewrite(EVENT, std::slice::from_ref(file), vec![writer.finish().unwrap()]);
            }
            Step::Sweep(all) => {
                let keep = if all { Duration::ZERO } else { Duration::from_secs(2 * 3600) };
                store.sweep(&lock, time, keep).await.unwrap();
            }
        }
        shown.insert(commit.execute().await.unwrap(), model.clone());
        for (id, expected) in &shown {
            match store.snapshot_at(*id).await {
                Ok(snapshot) => check(&snapshot, expected),
                Err(error) => assert!(matches!(error, StoreError::NotFound { .. }) && *id < base.id(), "{error}"),
            }
        }
    }
    store.sweep(&lock, LATER, Duration::ZERO).await.unwrap();
    let last = store.snapshot().await.unwrap();
    check(&last, &model);
    let worn = last.files(EVENT).iter().filter(|file| file.deleted > 0).count();
    assert_eq!(files(store.lake()).len(), last.files(EVENT).len() + worn);
}

fn check(snapshot: &Snapshot, expected: &[usize]) {
    let expected: Vec<String> = expected.iter().map(|row| format!("{ID} {row}")).collect();
    assert_eq!(texts(&read(snapshot, &IDENTITY_EVENT), ID), expected);
    assert_eq!(snapshot.rows(EVENT), i64::try_from(expected.len()).unwrap());
}

/// Against DuckDB, which `./test e2e` installs.
mod live {
    use std::process::Command;

    use serde_json::{Value, json};

    use super::*;

    /// What DuckDB answers to each statement.
    #[expect(clippy::disallowed_methods, reason = "a test is told by the environment where DuckDB is")]
    fn ask(store: &Store, statements: &[&str]) -> Vec<Value> {
        let python = std::env::var("HEADWATER_TEST_DUCKDB_PYTHON").unwrap_or_default();
        assert!(!python.is_empty(), "HEADWATER_TEST_DUCKDB_PYTHON is not set: `./test e2e` installs DuckDB and sets it");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/duckdb.py");
        let done = Command::new(python).arg(script).arg(store.ledger()).args(statements).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How many rows there are and the sum of their numbers, now or at a snapshot: as DuckDB reads it, and as we do.
    async fn check_at(store: &Store, at: Option<i64>, expected: impl IntoIterator<Item = usize>) {
        let expected: Vec<usize> = expected.into_iter().collect();
        let sum: usize = expected.iter().sum();
        let when = at.map_or_else(String::new, |at| format!(" AT (VERSION => {at})"));
        let number = "split_part(lead_id, ' ', 2)::BIGINT";
        let answers = ask(
            store,
            &[
                &format!("SELECT count(*) FROM lead{when}"),
                &format!("SELECT count(DISTINCT lead_id), sum({number})::BIGINT FROM lead{when}"),
                &format!("SELECT count(*) FROM lead{when} WHERE lead_id = 'lead_id {}'", expected[0]),
            ],
        );
        assert_eq!(answers, [json!([[expected.len()]]), json!([[expected.len(), sum]]), json!([[1]])], "{at:?}");
        let snapshot = match at {
            Some(at) => store.snapshot_at(at).await.unwrap(),
            None => store.snapshot().await.unwrap(),
        };
        let mut found = ids(&snapshot);
        let mut expected = names(expected);
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{at:?}");
        assert_eq!(snapshot.rows(&LEAD), i64::try_from(found.len()).unwrap(), "{at:?}");
    }

    #[tokio::test]
    async fn duckdb_reads_a_table_that_was_amended_in_every_snapshot() {
        let (_folder, store) = fresh().await;
        let whole = append(&store, &LEAD, 0, 5000).await;
        append(&store, &LEAD, 5000, 10).await;
        let one = amend(&store, (0..5000).step_by(7), 5010, 3).await;
        let two = amend(&store, (1..2000).chain(5000..5010), 5013, 1).await;
        check_at(&store, Some(whole), 0..5000).await;
        let after_one = || (0..5000).filter(|row| row % 7 != 0).chain(5000..5013);
        check_at(&store, Some(one), after_one()).await;
        let after_two = || (2000..5000).filter(|row| row % 7 != 0).chain(5010..5014);
        check_at(&store, Some(two), after_two()).await;
        check_at(&store, None, after_two()).await;
        // The catalog's bounds still cover what is out; an answer must not be taken from them.
        let bounds =
            ask(&store, &["SELECT epoch_us(min(observed_at)), epoch_us(max(observed_at)) FROM lead WHERE lead_id < 'lead_id 5'"]);
        assert_eq!(bounds, [json!([[NOW + 2000, NOW + 4999]])]);
        assert_eq!(ask(&store, &["SELECT epoch_us(min(observed_at)) FROM lead"]), [json!([[NOW + 2000]])]);
        let lock = store.lock(NOW).await.unwrap();
        store.sweep(&lock, LATER, Duration::ZERO).await.unwrap();
        check_at(&store, None, after_two()).await;
        let lived = ask(&store, &["SELECT count(*) FROM ducklake_snapshots('lake')"]);
        assert_eq!(lived, [json!([[1]])]);
    }

    #[tokio::test]
    async fn we_read_what_duckdb_deleted_and_each_goes_on_from_the_other() {
        let (_folder, store) = fresh().await;
        append(&store, &LEAD, 0, 100).await;
        let head = |store: &Store| {
            let store = store.clone();
            async move { store.snapshot().await.unwrap().id() }
        };
        let number = "split_part(lead_id, ' ', 2)::BIGINT";
        let delete = |store: &Store, what: &str| drop(ask(store, &[&format!("DELETE FROM lead WHERE {number} {what}")]));
        delete(&store, "IN (3, 5)");
        let one = head(&store).await;
        delete(&store, "IN (4, 99)");
        let two = head(&store).await;
        delete(&store, "= 6");
        let three = head(&store).await;
        let four = amend(&store, [7, 8], 100, 5).await;
        delete(&store, "IN (9, 101)");
        let five = head(&store).await;
        let six = amend(&store, [10], 105, 1).await;
        let gone = |gone: &'static [usize], upto: usize| (0..upto).filter(move |row| !gone.contains(row));
        let check_all = || async {
            check_at(&store, Some(one), gone(&[3, 5], 100)).await;
            check_at(&store, Some(two), gone(&[3, 4, 5, 99], 100)).await;
            check_at(&store, Some(three), gone(&[3, 4, 5, 6, 99], 100)).await;
            check_at(&store, Some(four), gone(&[3, 4, 5, 6, 7, 8, 99], 105)).await;
            check_at(&store, Some(five), gone(&[3, 4, 5, 6, 7, 8, 9, 99, 101], 105)).await;
            check_at(&store, Some(six), gone(&[3, 4, 5, 6, 7, 8, 9, 10, 99, 101], 106)).await;
        };
        check_all().await;
        let all = [one, two, three, four, five, six];
        let mut versions = Vec::new();
        for at in all {
            versions.push(store.snapshot_at(at).await.unwrap().version(&LEAD));
        }
        assert_eq!(versions, all, "whoever asks whether rows changed hears of each deletion");

        // A file that DuckDB emptied: it ends the file, but not what took rows out of it.
        delete(&store, "BETWEEN 100 AND 104");
        let seven = head(&store).await;
        check_at(&store, Some(seven), gone(&[3, 4, 5, 6, 7, 8, 9, 10, 99, 100, 101, 102, 103, 104], 106)).await;
        check_all().await;
        let lock = store.lock(NOW).await.unwrap();
        store.sweep(&lock, LATER, Duration::ZERO).await.unwrap();
        check_at(&store, None, gone(&[3, 4, 5, 6, 7, 8, 9, 10, 99, 100, 101, 102, 103, 104], 106)).await;
        let last = store.snapshot().await.unwrap();
        let worn = last.files(&LEAD).iter().filter(|file| file.deleted > 0).count();
        assert_eq!(files(store.lake()).len(), last.files(&LEAD).len() + worn);

        // A row that DuckDB changed stands in a file of its own, which we find it in and take it out of.
        drop(ask(&store, &[&format!("UPDATE lead SET need = 'changed' WHERE {number} IN (20, 21)")]));
        let found = find(&store.snapshot().await.unwrap(), [20]);
        assert!(last.files(&LEAD).iter().all(|file| file.id != found[0].file), "{found:?}");
        amend(&store, [20], 106, 1).await;
        check_at(&store, None, gone(&[3, 4, 5, 6, 7, 8, 9, 10, 20, 99, 100, 101, 102, 103, 104], 107)).await;
    }
}
