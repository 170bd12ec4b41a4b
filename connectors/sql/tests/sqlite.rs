//! SQLite, in this process.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use super::*;

struct File(tempfile::TempDir);

#[async_trait]
impl Database for File {
    async fn execute(&self, sql: &str) {
        let path = self.0.path().join("crm.db");
        let mut connection = SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }

    fn source(&self, mut config: Value) -> Result<Box<dyn Source>> {
        config["path"] = json!("crm.db");
        source(&crate::sql::Sqlite, self.0.path(), String::new(), config)
    }

    fn sink(&self, mut config: Value) -> Result<Box<dyn Sink>> {
        config["path"] = json!("crm.db");
        sinks::sink(&crate::sql::Sqlite, self.0.path(), String::new(), config)
    }
}

#[tokio::test]
async fn sqlite_keeps_what_sources_promise() {
    keeps_what_sources_promise(&File(tempfile::tempdir().unwrap())).await;
}

#[tokio::test]
async fn sqlite_keeps_what_sinks_promise() {
    sinks::keeps_what_sinks_promise(&File(tempfile::tempdir().unwrap())).await;
}

#[tokio::test]
async fn what_a_strict_table_or_a_trigger_refuses_is_told_without_its_value() {
    let file = File(tempfile::tempdir().unwrap());
    file.execute(
        "CREATE TABLE typed (headwater_id text PRIMARY KEY, score integer, double integer AS (score * 2)) STRICT;
         CREATE TRIGGER unlucky BEFORE INSERT ON typed WHEN NEW.score = 13 BEGIN SELECT RAISE(ABORT, 'secret-value'); END;",
    )
    .await;
    let sink = file.sink(json!({ "table": "typed" })).unwrap();
    let rows = ["7", "secret-value", "13"].map(|score| sinks::row(score, &[("score", Some(score))]));
    let outcomes = sinks::write(&*sink, &rows).await;
    let expected = [(1, "the value does not fit the column's type (field score)"), (2, "a trigger of the table refuses the row")];
    assert_eq!(sinks::reasons(&outcomes), expected);
    let error = sink.write(&[sinks::row("x", &[("double", Some("1"))])]).await.unwrap_err();
    assert!(error.to_string().contains("`double` takes no text"), "{error}");
}

#[tokio::test]
async fn a_file_is_made_only_where_that_is_wanted() {
    let file = File(tempfile::tempdir().unwrap());
    let error = file.sink(json!({ "table": "people" })).unwrap().check().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("crm.db"), "{error}");
    assert!(!file.0.path().join("crm.db").exists());
}

#[tokio::test]
async fn values_of_sqlite_come_as_exact_text() {
    let file = File(tempfile::tempdir().unwrap());
    file.execute("CREATE TABLE people (id integer PRIMARY KEY, any_value)").await;
    file.execute("INSERT INTO people VALUES (1, 9007199254740993), (2, 0.1), (3, '00501'), (4, NULL), (5, x'00ff'), (6, '')")
        .await;
    let source = file.source(settings(json!({ "cursor": null }))).unwrap();
    let read = all(source.as_ref(), None).await;
    let cell = |row: &headwater_sdk::testkit::Row| row.fields.get("any_value").cloned();
    let cells: Vec<_> = read.rows.iter().map(cell).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(cells, [text("9007199254740993"), text("0.1"), text("00501"), None, text("")]);
    assert_eq!(read.refused, ["not_text"]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let file = File(tempfile::tempdir().unwrap());
    let (kind, text) = refusal(&file, settings(json!({}))).await;
    assert!(kind == ErrorKind::Config && text.contains("crm.db"), "{kind:?} {text}");
    std::fs::write(file.0.path().join("crm.db"), vec![b'x'; 5_000]).unwrap();
    assert_eq!(refusal(&file, settings(json!({}))).await.0, ErrorKind::Config);
}

#[tokio::test]
async fn a_read_never_writes() {
    let file = File(tempfile::tempdir().unwrap());
    file.execute("CREATE TABLE people (id integer PRIMARY KEY, name, changed)").await;
    let before = std::fs::read(file.0.path().join("crm.db")).unwrap();
    let query = "WITH x AS (SELECT 1 AS id) INSERT INTO people SELECT id, '', '' FROM x RETURNING id, name, changed";
    refusal(&file, settings(json!({ "table": null, "query": query }))).await;
    assert_eq!(std::fs::read(file.0.path().join("crm.db")).unwrap(), before);
}
