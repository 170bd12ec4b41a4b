//! Files: what is written is what is read, and what is not finished leaves nothing.

use headwater_model::tables::{self, CONVERSION, LEAD, PROSPECT, SCORECARD, TOUCH};
use headwater_store::StoreError;

use crate::{append, files, fresh, read, rows, stage_into, texts};

#[tokio::test]
async fn every_table_gives_back_the_rows_it_was_given() {
    let (_folder, store) = fresh().await;
    let mut commit = store.commit("run", crate::NOW);
    for table in tables::ALL {
        commit.append(crate::stage(&store, table, 0, 10));
    }
    commit.execute().await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    for table in tables::ALL {
        assert_eq!(read(&snapshot, table), rows(table, 0, 10), "{}", table.name);
        assert_eq!(snapshot.rows(table), 10);
    }
}

#[tokio::test]
async fn writer_without_rows_makes_no_file_and_no_snapshot() {
    let (folder, store) = fresh().await;
    let head = store.snapshot().await.unwrap().id();
    let mut writer = store.writer(&LEAD, None).unwrap();
    writer.write(&rows(&LEAD, 0, 0)).unwrap();
    let staged = writer.finish().unwrap();
    assert!(staged.is_empty());
    let mut commit = store.commit("run", crate::NOW);
    commit.append(staged);
    assert_eq!(commit.execute().await.unwrap(), head);
    assert_eq!(files(&folder.path().join("lake")), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn dropped_writer_leaves_nothing_behind() {
    let (folder, store) = fresh().await;
    let mut writer = store.writer(&LEAD, Some("web")).unwrap();
    writer.write(&rows(&LEAD, 0, 5)).unwrap();
    assert_eq!(files(&folder.path().join("lake")).len(), 1);
    drop(writer);
    assert_eq!(files(&folder.path().join("lake")).len(), 0);
}

#[tokio::test]
async fn staged_rows_are_invisible_until_they_are_committed() {
    let (_folder, store) = fresh().await;
    let staged = crate::stage(&store, &LEAD, 0, 5);
    assert_eq!(store.snapshot().await.unwrap().rows(&LEAD), 0);
    let mut commit = store.commit("run", crate::NOW);
    commit.append(staged);
    commit.execute().await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().rows(&LEAD), 5);
}

#[tokio::test]
async fn batch_of_another_shape_is_refused() {
    let (_folder, store) = fresh().await;
    let mut writer = store.writer(&LEAD, None).unwrap();
    assert!(matches!(writer.write(&rows(&TOUCH, 0, 1)), Err(StoreError::Misfit { table: "lead", .. })));
    let narrow = rows(&LEAD, 0, 1).project(&[0, 1, 2]).unwrap();
    assert!(matches!(writer.write(&narrow), Err(StoreError::Misfit { .. })));
}

#[tokio::test]
async fn columns_come_in_the_asked_order() {
    let (_folder, store) = fresh().await;
    append(&store, &LEAD, 0, 3).await;
    let snapshot = store.snapshot().await.unwrap();
    let mut reader = snapshot.read(&LEAD, &["source", "lead_id"], None).unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert_eq!(batch.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["source", "lead_id"]);
    assert_eq!(texts(&batch, "lead_id"), ["lead_id 0", "lead_id 1", "lead_id 2"]);
    assert!(matches!(snapshot.read(&LEAD, &["shoe_size"], None), Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn partition_is_read_alone() {
    let (folder, store) = fresh().await;
    let mut commit = store.commit("run", crate::NOW);
    commit.append(stage_into(&store, &LEAD, Some("web form"), 0, 3)).append(stage_into(&store, &LEAD, Some("list"), 3, 4));
    commit.execute().await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    let count =
        |partition| snapshot.read(&LEAD, &["lead_id"], partition).unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>();
    assert_eq!((count(None), count(Some("web form")), count(Some("list")), count(Some("other"))), (7, 3, 4, 0));
    assert!(folder.path().join("lake/main/lead/web+20form").is_dir());
}

#[tokio::test]
async fn read_since_sees_only_later_files() {
    let (_folder, store) = fresh().await;
    let first = append(&store, &LEAD, 0, 3).await;
    append(&store, &TOUCH, 0, 1).await;
    append(&store, &LEAD, 3, 2).await;
    let snapshot = store.snapshot().await.unwrap();
    let new: Vec<_> = snapshot.read_since(&LEAD, &["lead_id"], first).unwrap().map(Result::unwrap).collect();
    assert_eq!(new.iter().flat_map(|batch| texts(batch, "lead_id")).collect::<Vec<_>>(), ["lead_id 3", "lead_id 4"]);
}

#[tokio::test]
async fn pinned_snapshot_does_not_move() {
    let (_folder, store) = fresh().await;
    append(&store, &LEAD, 0, 3).await;
    let pinned = store.snapshot().await.unwrap();
    append(&store, &LEAD, 3, 2).await;
    assert_eq!(read(&pinned, &LEAD), rows(&LEAD, 0, 3));
    let again = store.snapshot_at(pinned.id()).await.unwrap();
    assert_eq!(read(&again, &LEAD), rows(&LEAD, 0, 3));
    assert!(matches!(store.snapshot_at(99).await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn version_moves_only_with_its_own_table() {
    let (_folder, store) = fresh().await;
    let touched = append(&store, &TOUCH, 0, 1).await;
    append(&store, &LEAD, 0, 1).await;
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.version(&TOUCH), touched);
    assert_eq!(snapshot.version(&LEAD), snapshot.id());
    assert_eq!(snapshot.version(&PROSPECT), 0);
}

#[tokio::test]
async fn missing_file_is_named() {
    let (_folder, store) = fresh().await;
    append(&store, &LEAD, 0, 3).await;
    let snapshot = store.snapshot().await.unwrap();
    let path = snapshot.files(&LEAD)[0].path.clone();
    std::fs::remove_file(&path).unwrap();
    let failed = snapshot.read(&LEAD, &[], None).unwrap().next().unwrap();
    assert!(matches!(failed, Err(StoreError::Io { path: named, .. }) if named == path));
}

#[tokio::test]
async fn rows_that_our_files_do_not_show_are_refused() {
    let (_folder, store) = fresh().await;
    append(&store, &LEAD, 0, 3).await;
    append(&store, &SCORECARD, 0, 3).await;
    append(&store, &CONVERSION, 0, 3).await;
    let mut raw = crate::raw(&store).await;
    let id = |table: &str| format!("(SELECT table_id FROM ducklake_table WHERE table_name = '{table}')");
    let delete =
        format!("INSERT INTO ducklake_delete_file(delete_file_id, table_id, begin_snapshot) VALUES (90, {}, 4)", id("lead"));
    sqlx::raw_sql(sqlx::AssertSqlSafe(delete)).execute(&mut raw).await.unwrap();
    let scorecard: i64 =
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT {}", id("scorecard")))).fetch_one(&mut raw).await.unwrap();
    let inlined = format!(
        "CREATE TABLE ducklake_inlined_data_{scorecard}_1(row_id BIGINT); INSERT INTO ducklake_inlined_data_{scorecard}_1 VALUES (1)"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(inlined)).execute(&mut raw).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert!(matches!(snapshot.read(&LEAD, &[], None), Err(StoreError::Unsupported { .. })));
    assert!(matches!(snapshot.read(&SCORECARD, &[], None), Err(StoreError::Unsupported { .. })));
    assert_eq!(read(&snapshot, &CONVERSION).num_rows(), 3);
}
