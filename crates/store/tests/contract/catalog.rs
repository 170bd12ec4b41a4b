//! The catalog: DuckLake 1.0, grown but never misread, and free of a person's data.

use std::path::PathBuf;

use headwater_model::tables::{self, LEAD, PROSPECT, SCORECARD, TOUCH, Table};
use headwater_store::{Store, StoreConfig, StoreError};
use parquet::file::reader::{FileReader, SerializedFileReader};
use sqlx::{AssertSqlSafe, Row};

use crate::{NOW, append, config, fresh, open, read, rows};

static LEAD_ONLY: &[&Table] = &[&LEAD];

async fn refusal_after(change: &str) -> String {
    let (folder, store) = fresh().await;
    sqlx::raw_sql(AssertSqlSafe(change.to_owned())).execute(&mut crate::raw(&store).await).await.unwrap();
    let error = Store::create_or_open(&config(folder.path()), tables::ALL, NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::Format { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn foreign_formats_are_refused_and_left_alone() {
    let of_lead = "table_id IN (SELECT table_id FROM ducklake_table WHERE table_name = 'lead')";
    let cases = [
        ("UPDATE ducklake_metadata SET \"value\" = '1.1' WHERE \"key\" = 'version'".to_owned(), "DuckLake format `1.1`"),
        ("UPDATE hw_meta SET value = '4' WHERE key = 'schema_version'".to_owned(), "written by a newer version (layout 4"),
        (format!("UPDATE ducklake_column SET column_name = 'shoe_size' WHERE column_name = 'need' AND {of_lead}"), "`shoe_size`"),
        (
            format!("UPDATE ducklake_column SET column_type = 'int64' WHERE column_name = 'need' AND {of_lead}"),
            "`need` as int64, not as varchar",
        ),
        (
            format!("DELETE FROM ducklake_column WHERE column_name = 'is_test' AND {of_lead}"),
            "lacks the required column `is_test`",
        ),
    ];
    for (change, expected) in cases {
        let refusal = refusal_after(&change).await;
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[tokio::test]
async fn ledger_that_is_not_sqlite_is_refused_without_showing_its_password() {
    for ledger in ["postgres://ann:secret@db.example.com/headwater", "mysql://ann:secret@db.example.com/headwater", "sqlite://"] {
        let config = StoreConfig { ledger: ledger.to_owned(), lake: PathBuf::from("/nowhere") };
        let error = Store::create_or_open(&config, tables::ALL, NOW).await.unwrap_err();
        assert!(matches!(error, StoreError::Unsupported { .. }) && !error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn open_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Store::open(&config(folder.path()), tables::ALL, NOW).await.unwrap().is_none());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    std::fs::write(folder.path().join("ledger.db"), b"").unwrap();
    assert!(Store::open(&config(folder.path()), tables::ALL, NOW).await.unwrap().is_none());
    open(folder.path()).await;
    assert!(Store::open(&config(folder.path()), tables::ALL, NOW).await.unwrap().is_some());
}

#[tokio::test]
async fn opening_again_writes_nothing() {
    let (folder, store) = fresh().await;
    append(&store, &LEAD, 0, 1).await;
    let before = store.snapshot().await.unwrap().id();
    let again = open(folder.path()).await;
    assert_eq!(again.snapshot().await.unwrap().id(), before);
}

#[tokio::test]
async fn missing_tables_and_columns_are_added() {
    let folder = tempfile::tempdir().unwrap();
    let old = Store::create_or_open(&config(folder.path()), LEAD_ONLY, NOW).await.unwrap();
    let before = old.snapshot().await.unwrap().id();
    assert!(matches!(old.writer(&TOUCH, None), Err(StoreError::NotFound { .. })));
    sqlx::raw_sql("DELETE FROM ducklake_column WHERE column_name IN ('need', 'language')")
        .execute(&mut crate::raw(&old).await)
        .await
        .unwrap();
    old.close().await;

    let store = open(folder.path()).await;
    assert_eq!(store.snapshot().await.unwrap().id(), before + 1, "all growth is one snapshot");
    append(&store, &LEAD, 0, 4).await;
    append(&store, &TOUCH, 0, 4).await;
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(read(&snapshot, &LEAD), rows(&LEAD, 0, 4));
    let mut raw = crate::raw(&store).await;
    let ids: Vec<i64> = sqlx::query_scalar(
        "SELECT column_id FROM ducklake_column WHERE begin_snapshot = ? AND table_id = 1 ORDER BY column_order",
    )
    .bind(before + 1)
    .fetch_all(&mut raw)
    .await
    .unwrap();
    let columns = i64::try_from(LEAD.columns.len()).unwrap();
    assert_eq!(ids, [columns + 1, columns + 2], "ids go on after the last one");
    let versions: Vec<i64> =
        sqlx::query_scalar("SELECT schema_version FROM ducklake_schema_versions WHERE table_id = 1 ORDER BY 1")
            .fetch_all(&mut raw)
            .await
            .unwrap();
    assert_eq!(versions, [1, 2]);
}

#[tokio::test]
async fn catalog_keeps_no_bounds_of_personal_columns() {
    let (_folder, store) = fresh().await;
    append(&store, &LEAD, 0, 7).await;
    append(&store, &SCORECARD, 0, 7).await;
    let mut raw = crate::raw(&store).await;
    let stats = sqlx::query(
        "SELECT c.column_name, t.table_name, s.min_value, s.max_value, s.null_count, s.value_count, g.min_value, g.max_value \
         FROM ducklake_file_column_stats s JOIN ducklake_column c USING (table_id, column_id) JOIN ducklake_table t USING (table_id) \
         JOIN ducklake_table_column_stats g USING (table_id, column_id)",
    )
    .fetch_all(&mut raw)
    .await
    .unwrap();
    assert_eq!(stats.len(), LEAD.columns.len() + SCORECARD.columns.len());
    for row in stats {
        let (name, table): (&str, &str) = (row.get(0), row.get(1));
        let column = tables::by_name(table).unwrap().columns.iter().find(|column| column.name == name).unwrap();
        for bound in [2, 3, 6, 7] {
            assert_eq!(row.get::<Option<&str>, _>(bound).is_none(), column.personal, "{table}.{name}");
        }
        let nulls = if column.required { 0 } else { 3 };
        assert_eq!((row.get::<i64, _>(4), row.get::<i64, _>(5)), (nulls, 7 - nulls), "{table}.{name}");
    }
    let bounds: (String, String) = sqlx::query_as("SELECT min_value, max_value FROM ducklake_file_column_stats JOIN ducklake_column USING (table_id, column_id) WHERE column_name = 'as_of'").fetch_one(&mut raw).await.unwrap();
    assert_eq!(bounds, ("2026-09-21 14:13:20+00".to_owned(), "2026-09-21 14:13:20.000006+00".to_owned()));
}

#[tokio::test]
async fn footers_keep_no_bounds_of_personal_columns() {
    let (_folder, store) = fresh().await;
    append(&store, &LEAD, 0, 7).await;
    let snapshot = store.snapshot().await.unwrap();
    let file = std::fs::File::open(&snapshot.files(&LEAD)[0].path).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    for (column, chunk) in LEAD.columns.iter().zip(reader.metadata().row_group(0).columns()) {
        let bounds = chunk.statistics().is_some_and(|statistics| statistics.min_bytes_opt().is_some());
        assert_eq!(bounds, !column.personal, "{}", column.name);
    }
}

#[tokio::test]
async fn bounds_cover_every_snapshot_and_narrow_with_a_sweep() {
    let (_folder, store) = fresh().await;
    append(&store, &PROSPECT, 5, 5).await;
    append(&store, &PROSPECT, 1, 2).await;
    assert_eq!(lead_count_bounds(&store).await, ("1".to_owned(), "9".to_owned(), 7));
    let base = store.snapshot().await.unwrap();
    let mut commit = store.commit("run", NOW);
    commit.replace(&base, &PROSPECT, vec![crate::stage(&store, &PROSPECT, 20, 2)]);
    commit.execute().await.unwrap();
    // DuckDB asks these bounds also when it reads an earlier snapshot.
    assert_eq!(lead_count_bounds(&store).await, ("1".to_owned(), "21".to_owned(), 2));
    let lock = store.lock(NOW).await.unwrap();
    store.sweep(&lock, NOW + crate::HOUR, std::time::Duration::ZERO).await.unwrap();
    assert_eq!(lead_count_bounds(&store).await, ("20".to_owned(), "21".to_owned(), 2));
}

async fn lead_count_bounds(store: &Store) -> (String, String, i64) {
    sqlx::query_as(
        "SELECT min_value, max_value, record_count FROM ducklake_table_column_stats JOIN ducklake_column USING (table_id, column_id) \
         JOIN ducklake_table_stats USING (table_id) WHERE column_name = 'lead_count'",
    )
    .fetch_one(&mut crate::raw(store).await)
    .await
    .unwrap()
}

#[tokio::test]
async fn moved_project_is_opened_and_a_wrong_lake_is_refused() {
    let (folder, store) = fresh().await;
    append(&store, &LEAD, 0, 3).await;
    store.close().await;
    let wrong = StoreConfig { lake: folder.path().join("elsewhere"), ..config(folder.path()) };
    let error = Store::create_or_open(&wrong, tables::ALL, NOW).await.unwrap_err();
    assert!(error.to_string().contains("set the lake's folder right"), "{error}");
    std::fs::rename(folder.path().join("lake"), folder.path().join("moved")).unwrap();
    let moved = StoreConfig { lake: folder.path().join("moved"), ..config(folder.path()) };
    let store = Store::create_or_open(&moved, tables::ALL, NOW).await.unwrap();
    assert_eq!(read(&store.snapshot().await.unwrap(), &LEAD), rows(&LEAD, 0, 3));
}

#[tokio::test]
async fn deleted_values_are_gone_from_the_ledgers_file() {
    let (folder, store) = fresh().await;
    let secret = "needle-in-the-ledger";
    let mut commit = store.commit("run", NOW);
    commit.advance("web", None, &serde_json::json!(secret.repeat(200)));
    commit.execute().await.unwrap();
    let mut commit = store.commit("run", NOW);
    commit.advance("web", Some(1), &serde_json::json!(0));
    commit.execute().await.unwrap();
    store.close().await;
    let bytes = std::fs::read(folder.path().join("ledger.db")).unwrap();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
}
