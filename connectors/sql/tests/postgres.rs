//! A real PostgreSQL, as the tests of the sink start it.

use super::*;
use crate::postgres::tests::Cluster;

#[async_trait]
impl Database for Cluster {
    async fn execute(&self, sql: &str) {
        Self::execute(self, sql).await;
    }

    fn source(&self, mut config: Value) -> Result<Box<dyn Source>> {
        config["url"] = json!({ "env": "DATABASE" });
        source(&crate::postgres::Postgres, Path::new("."), self.url("postgres"), config)
    }

    fn sink(&self, mut config: Value) -> Result<Box<dyn Sink>> {
        config["url"] = json!({ "env": "DATABASE" });
        sinks::sink(&crate::postgres::Postgres, Path::new("."), self.url("postgres"), config)
    }
}

#[tokio::test]
async fn postgres_keeps_what_sources_promise() {
    keeps_what_sources_promise(&Cluster::start()).await;
}

#[tokio::test]
async fn values_of_postgres_come_as_exact_text() {
    let cluster = Cluster::start();
    cluster
        .execute(
            "CREATE SCHEMA crm; CREATE TABLE crm.\"Pe ople\" (id uuid PRIMARY KEY, price numeric(30,10), at timestamptz, local timestamp, \
             day date, doc json, tags text[], ok boolean, code char(5), ratio float8, picture bytea); \
             INSERT INTO crm.\"Pe ople\" VALUES ('6f9619ff-8b86-d011-b42d-00c04fc964ff', 12345678901234567890.0100000000, \
             '2026-03-29 02:30:00.000001+02', '2026-03-29 02:30:00', '2026-03-01', '{\"a\": 1.10}', '{x,\"y z\"}', true, 'ab', 0.1, '\\x00')",
        )
        .await;
    let config = json!({ "table": "crm.Pe ople", "key": ["id"], "cursor": { "column": "at", "type": "time" } });
    let (kind, text) = refusal(&cluster, config.clone()).await;
    assert!(kind == ErrorKind::Config && text.contains("`picture` holds bytes"), "{text}");
    let mut config = config;
    config["columns"] = json!(["price", "local", "day", "doc", "tags", "ok", "code", "ratio"]);
    let source = database_source(&cluster, config);
    let read = check_source_contract(source.as_ref(), "rows", 1).await.unwrap();
    let row = &read.rows[0];
    for (field, expected) in [
        ("id", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        ("price", "12345678901234567890.0100000000"),
        ("at", "2026-03-29T00:30:00.000001Z"),
        ("local", "2026-03-29T02:30:00"),
        ("day", "2026-03-01"),
        ("doc", "{\"a\": 1.10}"),
        ("tags", "{x,\"y z\"}"),
        ("ok", "true"),
        ("ratio", "0.1"),
    ] {
        assert_eq!(row.get(field), expected, "{field}");
    }
}

#[tokio::test]
async fn a_query_reads_and_cannot_write_and_is_stopped_in_time() {
    let cluster = Cluster::start();
    cluster.execute("CREATE TABLE people (id int, tag int, name text, PRIMARY KEY (id, tag)); INSERT INTO people VALUES (1, 1, 'a'), (1, 2, 'b')").await;
    cluster
        .execute("CREATE FUNCTION grow() RETURNS int LANGUAGE sql AS 'INSERT INTO people VALUES (9, 9, ''x'') RETURNING id'")
        .await;
    let config = |query: &str| json!({ "query": query, "key": ["id", "tag"], "page_rows": 1, "statement_timeout_secs": 1 });
    let source = database_source(&cluster, config("SELECT * FROM people -- all;"));
    let read = check_source_contract(source.as_ref(), "rows", 2).await.unwrap();
    assert_eq!(read.keys(), ["1\u{1f}1", "1\u{1f}2"]);
    let (_, text) = refusal(&cluster, config("SELECT grow() AS id, 1 AS tag")).await;
    assert!(text.contains("the query wants to write"), "{text}");
    let (kind, text) = refusal(&cluster, config("SELECT 1 AS id, 1 AS tag FROM pg_sleep(30)")).await;
    assert!(kind == ErrorKind::Unavailable && text.contains("took too long"), "{text}");
}

fn database_source(database: &dyn Database, config: Value) -> Box<dyn Source> {
    database.source(config).unwrap()
}
