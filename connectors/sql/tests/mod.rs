//! What every database keeps, then the oddities of each.

mod mariadb;
mod postgres;
mod sinks;
mod sqlite;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use headwater_model::checkpoint::Checkpoint;
use headwater_sdk::testkit::{Collected, Resumed, check_deletion_arrives, check_source_contract, collect};
use headwater_sdk::{BuildContext, Clock, ConfigDoc, Connector, ErrorKind, Result, Sink, Source};
use serde_json::{Value, json};

/// A database with a connector's settings for it.
#[async_trait]
trait Database: Sync {
    async fn execute(&self, sql: &str);
    fn source(&self, config: Value) -> Result<Box<dyn Source>>;
    fn sink(&self, config: Value) -> Result<Box<dyn Sink>>;
}

/// A source of the connector with the settings; `url` is what the variable `DATABASE` holds.
fn source(connector: &dyn Connector, folder: &Path, url: String, config: Value) -> Result<Box<dyn Source>> {
    let Value::Object(values) = config else { unreachable!() };
    let cx = BuildContext {
        clock: Clock::fixed("2026-11-01T00:00:00Z".parse().unwrap()),
        base_dir: folder.to_owned(),
        env: Arc::new(move |_| Some(url.clone())),
        allow_private_hosts: true,
    };
    connector.source(&ConfigDoc { connection: "crm".to_owned(), values }, &cx)
}

fn settings(more: Value) -> Value {
    let mut config = json!({
        "table": "people", "key": ["id"], "page_rows": 2,
        "cursor": { "column": "changed", "type": "time", "overlap": 60 },
    });
    let Value::Object(more) = more else { unreachable!() };
    for (key, value) in more {
        config[key] = value;
    }
    config
}

async fn all(source: &dyn Source, from: Option<Checkpoint>) -> Collected {
    let stream = source.streams().await.unwrap().remove(0);
    collect(source, &stream, from).await.unwrap()
}

/// The key and the name of each row.
fn names(read: &Collected) -> Vec<String> {
    read.rows.iter().map(|row| format!("{}={}", row.key.as_deref().unwrap_or("?"), row.get("name"))).collect()
}

async fn refusal(database: &dyn Database, config: Value) -> (ErrorKind, String) {
    let read = async {
        let source = database.source(config)?;
        let stream = source.streams().await?.remove(0);
        use futures::TryStreamExt as _;
        source.read(&stream, None).await?.try_collect::<Vec<_>>().await
    };
    let error = read.await.unwrap_err();
    (error.kind(), format!("{error} {}", error.hint_text().unwrap_or_default()))
}

/// The scenarios, one after the other, each with a table `people` of its own.
async fn keeps_what_sources_promise(database: &dyn Database) {
    equal_times_at_a_pages_border_are_neither_lost_nor_skipped(database).await;
    what_changes_later_is_seen(database).await;
    a_number_is_a_cursor(database).await;
    without_a_cursor_every_run_reads_all(database).await;
    what_is_gone_is_a_deletion(database).await;
    a_mark_is_a_deletion(database).await;
    settings_that_would_lose_rows_are_refused(database).await;
}

async fn people(database: &dyn Database, rows: &str) {
    database.execute("DROP TABLE IF EXISTS people").await;
    database.execute("CREATE TABLE people (id bigint PRIMARY KEY, name varchar(50), changed timestamp NULL, gone int)").await;
    database.execute(&format!("INSERT INTO people (id, name, changed) VALUES {rows}")).await;
}

async fn equal_times_at_a_pages_border_are_neither_lost_nor_skipped(database: &dyn Database) {
    let rows: Vec<String> = (1..=9).map(|id| format!("({id}, 'n{id}', '2026-01-01 10:00:0{}')", id / 5)).collect();
    people(database, &rows.join(", ")).await;
    database.execute("INSERT INTO people (id, name) VALUES (20, 'unmarked')").await;
    for page_rows in [1, 2, 3, 4, 100] {
        let source = database.source(settings(json!({ "page_rows": page_rows }))).unwrap();
        let read = check_source_contract(source.as_ref(), "rows", 10).await.unwrap();
        let mut keys: Vec<i64> = read.keys().iter().map(|key| key.parse().unwrap()).collect();
        keys.sort_unstable();
        assert_eq!(keys, [1, 2, 3, 4, 5, 6, 7, 8, 9, 20], "{page_rows} rows a page");
    }
}

async fn what_changes_later_is_seen(database: &dyn Database) {
    people(database, "(1, 'a', '2026-01-01 10:00:00'), (2, 'b', '2026-01-01 11:00:00'), (3, 'c', NULL)").await;
    let source = database.source(settings(json!({}))).unwrap();
    let first = all(source.as_ref(), None).await;
    assert_eq!(names(&first), ["3=c", "1=a", "2=b"]);
    // An old row edited, a row whose transaction ended late, and a row without a time edited.
    database.execute("UPDATE people SET name = 'A', changed = '2026-01-01 12:00:00' WHERE id = 1").await;
    database.execute("INSERT INTO people (id, name, changed) VALUES (4, 'late', '2026-01-01 10:59:30')").await;
    database.execute("UPDATE people SET name = 'C' WHERE id = 3").await;
    let second = all(source.as_ref(), first.last()).await;
    assert_eq!(names(&second), ["3=C", "4=late", "2=b", "1=A"]);
    // A time in the future hides nothing that changes before it.
    database.execute("UPDATE people SET changed = '2030-01-01 00:00:00' WHERE id = 2").await;
    let third = all(source.as_ref(), second.last()).await;
    database.execute("UPDATE people SET name = 'after', changed = '2026-11-01 00:00:30' WHERE id = 4").await;
    let fourth = all(source.as_ref(), third.last()).await;
    assert!(names(&fourth).contains(&"4=after".to_owned()), "{:?}", names(&fourth));
}

async fn a_number_is_a_cursor(database: &dyn Database) {
    people(database, "(9, 'nine', NULL), (10, 'ten', NULL), (9007199254740993, 'large', NULL)").await;
    let number = |overlap: u32| settings(json!({ "cursor": { "column": "id", "type": "integer", "overlap": overlap } }));
    let source = database.source(number(0)).unwrap();
    let read = check_source_contract(source.as_ref(), "rows", 1).await.unwrap();
    assert_eq!(read.keys(), ["9", "10", "9007199254740993"]);
    database.execute("INSERT INTO people (id, name) VALUES (9007199254740992, 'late'), (9007199254740994, 'next')").await;
    assert_eq!(names(&all(source.as_ref(), read.last()).await), ["9007199254740993=large", "9007199254740994=next"]);
    let source = database.source(number(1)).unwrap();
    assert!(names(&all(source.as_ref(), read.last()).await).contains(&"9007199254740992=late".to_owned()));
}

async fn without_a_cursor_every_run_reads_all(database: &dyn Database) {
    people(database, "(1, 'a', NULL), (2, 'b', NULL), (3, 'c', NULL)").await;
    let source = database.source(settings(json!({ "cursor": null }))).unwrap();
    let read = check_source_contract(source.as_ref(), "rows", 3).await.unwrap();
    assert_eq!(names(&all(source.as_ref(), read.last()).await), names(&read));
    // A read that was stopped goes on where it was.
    let stopped = read.checkpoints.first().unwrap().1.clone();
    assert_eq!(names(&all(source.as_ref(), Some(stopped)).await), ["3=c"]);
}

async fn what_is_gone_is_a_deletion(database: &dyn Database) {
    people(database, "(1, 'a', NULL), (2, 'b', NULL), (3, 'c', NULL)").await;
    let source = database.source(settings(json!({ "cursor": null, "deletions": "snapshot" }))).unwrap();
    let read = check_source_contract(source.as_ref(), "rows", 3).await.unwrap();
    database.execute("DELETE FROM people WHERE id = 2").await;
    let second = check_deletion_arrives(source.as_ref(), "rows", &read, "2").await.unwrap();
    assert_eq!(names(&second), ["1=a", "3=c"]);
    assert_eq!(second.whole, Some(Resumed::No));
    // A read that was stopped goes on where it was, and says that it showed only the rest.
    let stopped = read.checkpoints.first().unwrap().1.clone();
    let resumed = all(source.as_ref(), Some(stopped)).await;
    assert_eq!(names(&resumed), ["3=c"]);
    assert_eq!(resumed.whole, Some(Resumed::Yes));
}

async fn a_mark_is_a_deletion(database: &dyn Database) {
    people(database, "(1, 'a', '2026-01-01 10:00:00'), (2, 'b', '2026-01-01 10:00:00')").await;
    database.execute("UPDATE people SET gone = 1 WHERE id = 2").await;
    let source = database.source(settings(json!({ "deleted_column": "gone", "columns": ["name"] }))).unwrap();
    let read = all(source.as_ref(), None).await;
    assert_eq!(read.rows.iter().map(|row| row.deleted).collect::<Vec<_>>(), [false, true]);
}

async fn settings_that_would_lose_rows_are_refused(database: &dyn Database) {
    people(database, "(1, 'a', '2026-01-01 10:00:00'), (2, 'a', NULL)").await;
    for (config, expected) in [
        (settings(json!({ "key": ["name"], "cursor": null })), "two rows have the same key"),
        (settings(json!({ "key": ["gone"], "cursor": null })), "some row has no value in the key"),
        (settings(json!({ "key": ["nr"] })), "the columns are: id, name, changed, gone"),
        (settings(json!({ "cursor": { "column": "name", "type": "time" } })), "are no times"),
        (settings(json!({ "cursor": { "column": "name", "type": "integer" } })), "more than whole numbers"),
        (settings(json!({ "deletions": "snapshot" })), "leave `cursor` out"),
        (settings(json!({ "key": [] })), "no key is set"),
        (settings(json!({ "query": "SELECT 1" })), "either `table` or `query`"),
        (settings(json!({ "table": "nobody" })), "table"),
        (settings(json!({ "table": null, "query": "SELECT id, id FROM people" })), "column"),
        (settings(json!({ "table": null, "query": "DELETE FROM people" })), ""),
    ] {
        let (kind, text) = refusal(database, config.clone()).await;
        assert!(kind == ErrorKind::Config && text.contains(expected), "{config}: {kind:?} {text}");
        assert!(!text.contains("'a'"), "{text}");
    }
    let source = database.source(settings(json!({ "cursor": null }))).unwrap();
    assert_eq!(all(source.as_ref(), None).await.rows.len(), 2);
}
