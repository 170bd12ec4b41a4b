//! T1: rows and the cursor that covers them commit together or not at all. T2: a stale cursor changes nothing.

use headwater_model::tables::{LEAD, PROSPECT, TOUCH};
use headwater_store::{DeliveryOp, LedgerOp, OutboxEntry, StoreError};
use serde_json::json;

use crate::{NOW, append, fresh, open, read, rows, stage, stage_into, texts};

fn push(key: &str) -> OutboxEntry {
    OutboxEntry {
        sink: "crm".to_owned(),
        prospect_id: format!("prospect of {key}"),
        delivery_key: key.to_owned(),
        op: DeliveryOp::Create,
        remote_id: None,
        payload: json!({"email": "ann@example.com"}).to_string(),
        before: None,
    }
}

#[tokio::test]
async fn rows_cursor_and_outbox_commit_together() {
    let (_folder, store) = fresh().await;
    let mut commit = store.commit("run", NOW);
    commit.append(stage(&store, &LEAD, 0, 3)).append(stage(&store, &TOUCH, 0, 2));
    commit.advance("web", None, &json!({"page": 1})).ledger(LedgerOp::Enqueue(push("a")));
    let id = commit.execute().await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((snapshot.id(), snapshot.rows(&LEAD), snapshot.rows(&TOUCH)), (id, 3, 2));
    let cursor = store.cursor("web").await.unwrap().unwrap();
    assert_eq!((cursor.sequence, cursor.value, cursor.run_id.as_str()), (1, json!({"page": 1}), "run"));
    assert_eq!(store.outbox_due("crm", NOW, 10).await.unwrap()[0].entry, push("a"));
}

#[tokio::test]
async fn stale_cursor_is_a_conflict_and_changes_nothing() {
    let (_folder, store) = fresh().await;
    for (seen, page) in [(None, 1), (Some(1), 2)] {
        let mut commit = store.commit("run", NOW);
        commit.advance("web", seen, &json!({ "page": page }));
        commit.execute().await.unwrap();
    }
    let before = store.snapshot().await.unwrap().id();
    for stale in [None, Some(1), Some(3)] {
        let mut commit = store.commit("late", NOW);
        commit.append(stage(&store, &LEAD, 0, 3)).ledger(LedgerOp::Enqueue(push("late")));
        commit.advance("other", None, &json!(1)).advance("web", stale, &json!({"page": 9}));
        let error = commit.execute().await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    }
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((snapshot.id(), snapshot.rows(&LEAD)), (before, 0));
    let cursors = store.cursors().await.unwrap();
    assert_eq!(cursors.keys().collect::<Vec<_>>(), ["web"]);
    assert_eq!((cursors["web"].sequence, &cursors["web"].value), (2, &json!({"page": 2})));
    assert!(store.outbox_due("crm", NOW, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn commit_that_is_never_executed_changes_nothing() {
    let (_folder, store) = fresh().await;
    let before = store.snapshot().await.unwrap().id();
    let mut commit = store.commit("run", NOW);
    commit.append(stage(&store, &LEAD, 0, 3)).advance("web", None, &json!(1));
    drop(commit.execute());
    assert_eq!(store.snapshot().await.unwrap().id(), before);
    assert!(store.cursors().await.unwrap().is_empty());
}

#[tokio::test]
async fn replace_ends_the_old_rows_and_keeps_them_for_time_travel() {
    let (_folder, store) = fresh().await;
    let old = append(&store, &PROSPECT, 0, 5).await;
    let base = store.snapshot().await.unwrap();
    let mut commit = store.commit("run", NOW);
    commit.replace(&base, &PROSPECT, vec![stage(&store, &PROSPECT, 10, 2), stage(&store, &PROSPECT, 12, 1)]);
    commit.execute().await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(read(&snapshot, &PROSPECT), rows(&PROSPECT, 10, 3));
    assert_eq!(read(&store.snapshot_at(old).await.unwrap(), &PROSPECT), rows(&PROSPECT, 0, 5));
}

#[tokio::test]
async fn replace_by_nothing_empties_the_table() {
    let (_folder, store) = fresh().await;
    append(&store, &PROSPECT, 0, 5).await;
    let base = store.snapshot().await.unwrap();
    let mut commit = store.commit("run", NOW);
    commit.replace(&base, &PROSPECT, Vec::new());
    let emptied = commit.execute().await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((snapshot.rows(&PROSPECT), snapshot.version(&PROSPECT)), (0, emptied));
    let mut again = store.commit("run", NOW);
    again.replace(&snapshot, &PROSPECT, Vec::new());
    assert_eq!(again.execute().await.unwrap(), emptied, "an empty table that stays empty is no new snapshot");
}

#[tokio::test]
async fn replace_of_a_table_that_moved_on_is_a_conflict() {
    let (_folder, store) = fresh().await;
    append(&store, &PROSPECT, 0, 5).await;
    let base = store.snapshot().await.unwrap();
    append(&store, &LEAD, 0, 1).await;
    let mut unharmed = store.commit("run", NOW);
    unharmed.replace(&base, &PROSPECT, vec![stage(&store, &PROSPECT, 20, 1)]);
    unharmed.execute().await.expect("another table's change is no conflict");
    let mut late = store.commit("late", NOW);
    late.replace(&base, &PROSPECT, vec![stage(&store, &PROSPECT, 30, 1)]).advance("resolve", None, &serde_json::json!(1));
    let error = late.execute().await.unwrap_err();
    assert!(error.to_string().contains("table `prospect` was changed by another run"), "{error}");
    assert_eq!(read(&store.snapshot().await.unwrap(), &PROSPECT), rows(&PROSPECT, 20, 1));
    assert!(store.cursor("resolve").await.unwrap().is_none());
}

#[tokio::test]
async fn rewritten_rows_keep_their_place_before_later_ones() {
    let (folder, store) = fresh().await;
    for from in [0, 10, 20] {
        append(&store, &LEAD, from, 2).await;
    }
    for round in 0..2 {
        let base = store.snapshot().await.unwrap();
        let file = &base.files(&LEAD)[1];
        let mut writer = store.rewriter(&LEAD, file).unwrap();
        writer.write(&rows(&LEAD, 11, 1)).unwrap();
        let mut commit = store.commit("run", NOW);
        commit.rewrite(&LEAD, std::slice::from_ref(file), vec![writer.finish().unwrap()]);
        commit.execute().await.unwrap();
        let ids = texts(&read(&store.snapshot().await.unwrap(), &LEAD), "lead_id");
        assert_eq!(ids, ["lead_id 0", "lead_id 1", "lead_id 11", "lead_id 20", "lead_id 21"], "round {round}");
    }
    drop(folder);
}

#[tokio::test]
async fn rewritten_file_stays_in_the_folder_of_its_partition() {
    let (_folder, store) = fresh().await;
    let mut commit = store.commit("run", NOW);
    commit.append(stage_into(&store, &LEAD, Some("a b"), 0, 2));
    commit.execute().await.unwrap();
    let base = store.snapshot().await.unwrap();
    let file = &base.files(&LEAD)[0];
    let mut writer = store.rewriter(&LEAD, file).unwrap();
    writer.write(&rows(&LEAD, 1, 1)).unwrap();
    let mut commit = store.commit("run", NOW);
    commit.rewrite(&LEAD, std::slice::from_ref(file), vec![writer.finish().unwrap()]);
    commit.execute().await.unwrap();
    let left = store.snapshot().await.unwrap().read(&LEAD, &["lead_id"], Some("a b")).unwrap().next().unwrap().unwrap();
    assert_eq!(left.num_rows(), 1);
}

#[tokio::test]
async fn rewrite_takes_out_named_files_and_no_others() {
    let (_folder, store) = fresh().await;
    append(&store, &LEAD, 0, 2).await;
    append(&store, &LEAD, 2, 2).await;
    let base = store.snapshot().await.unwrap();
    append(&store, &LEAD, 4, 2).await;
    let mut commit = store.commit("run", NOW);
    commit.rewrite(&LEAD, &base.files(&LEAD)[..1], vec![stage(&store, &LEAD, 1, 1)]);
    commit.execute().await.unwrap();
    let ids = texts(&read(&store.snapshot().await.unwrap(), &LEAD), "lead_id");
    assert_eq!(ids, ["lead_id 1", "lead_id 2", "lead_id 3", "lead_id 4", "lead_id 5"]);
    let mut late = store.commit("late", NOW);
    late.rewrite(&LEAD, &base.files(&LEAD)[..1], Vec::new());
    assert!(matches!(late.execute().await, Err(StoreError::Conflict { .. })));
}

#[tokio::test]
async fn file_staged_before_its_table_was_altered_is_a_conflict() {
    let (_folder, store) = fresh().await;
    let staged = stage(&store, &LEAD, 0, 1);
    let mut raw = crate::raw(&store).await;
    sqlx::raw_sql(
        "UPDATE ducklake_column SET end_snapshot = 2 WHERE column_name = 'need' AND table_id IN (SELECT table_id FROM ducklake_table WHERE table_name = 'lead')",
    )
    .execute(&mut raw)
    .await
    .unwrap();
    let mut commit = store.commit("run", NOW);
    commit.append(staged);
    assert!(matches!(commit.execute().await, Err(StoreError::Conflict { .. })));
}

#[tokio::test]
async fn appends_of_two_handles_do_not_conflict() {
    let (folder, one) = fresh().await;
    let other = open(folder.path()).await;
    let work = |store: headwater_store::Store, name: &'static str, first: usize| async move {
        for step in 0..8_usize {
            let mut commit = store.commit(name, NOW);
            commit.append(stage(&store, &LEAD, first + step, 1));
            let seen = (step > 0).then(|| i64::try_from(step).unwrap());
            commit.advance(name, seen, &json!(step));
            commit.execute().await.unwrap();
        }
    };
    tokio::join!(work(one.clone(), "one", 0), work(other, "other", 100));
    let snapshot = one.snapshot().await.unwrap();
    assert_eq!(snapshot.rows(&LEAD), 16);
    let mut ids: Vec<i64> = snapshot.files(&LEAD).iter().map(|file| file.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 16);
    let mut raw = crate::raw(&one).await;
    let starts: Vec<i64> = sqlx::query_scalar("SELECT row_id_start FROM ducklake_data_file ORDER BY row_id_start")
        .fetch_all(&mut raw)
        .await
        .unwrap();
    assert_eq!(starts, (0..16).collect::<Vec<_>>(), "row ids are given once");
}
