//! Against a real PostgreSQL, started by each test on a socket of its own.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use headwater_sdk::testkit_sink::{
    AWKWARD_ADDRESSES, Awkward, Poison, check_awkward_values, check_moved, check_poison, check_removal_contract,
    check_sink_contract,
};
use headwater_sdk::{
    BuildContext, Clock, ConfigDoc, Connector as _, DeliveryRow, ErrorKind, Lookup, MatchKey, Operation, Result, Retry,
    RowOutcome, Sink,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

/// A database server that lives as long as the test.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    bin: PathBuf,
    owner: Option<(u32, u32)>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let owner = ordinary_user();
        let cluster = Self { folder: tempfile::tempdir().unwrap(), bin: binaries(), owner };
        let folder = cluster.folder.path();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        if let Some((user, group)) = owner {
            chown(folder, Some(user), Some(group)).unwrap();
        }
        let data = cluster.data();
        cluster.run("initdb", &["-D", &data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "--locale=C"]);
        let access = "local all poor scram-sha-256\nlocal all all trust\n";
        std::fs::write(folder.join("data/pg_hba.conf"), access).unwrap();
        let options = format!("-F -c listen_addresses='' -k {}", folder.display());
        let log = format!("{}/log", folder.display());
        cluster.run("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &options, "start"]);
        cluster
    }

    fn data(&self) -> String {
        format!("{}/data", self.folder.path().display())
    }

    /// Runs a program of the server as a user that the server accepts: never as root.
    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.bin.join(program));
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command.args(arguments).current_dir(self.folder.path()).env("LC_ALL", "C");
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{program} failed: {status}");
    }

    pub(crate) fn url(&self, user: &str) -> String {
        let host: String = url::form_urlencoded::byte_serialize(self.folder.path().as_os_str().as_encoded_bytes()).collect();
        format!("postgres://{user}@localhost/postgres?host={host}")
    }

    fn sink(&self, config: Value) -> Result<Box<dyn Sink>> {
        sink_at(self.url("postgres"), config)
    }

    async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url("postgres")).await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection().await).await.unwrap();
    }

    /// The rows of a query that gives one text column.
    async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.connection().await).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "stop"]);
    }
}

/// The folder with `initdb`. A machine without it fails the test: a skipped test proves nothing.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.extend(["/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"].map(PathBuf::from));
    folders.retain(|folder| folder.join("initdb").exists());
    folders.sort();
    folders
        .into_iter()
        .next_back()
        .expect("this test needs the PostgreSQL server: install `postgresql` (apt-get install postgresql)")
}

/// Whom to become, when we are root: PostgreSQL refuses to run as root.
pub(crate) fn ordinary_user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    let ours = tempfile::tempdir().unwrap();
    if std::fs::metadata(ours.path()).unwrap().uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).expect("root needs a user `postgres` or `nobody` to run the server"))
}

fn sink_at(url: String, mut config: Value) -> Result<Box<dyn Sink>> {
    config["url"] = json!({ "env": "DATABASE" });
    let Value::Object(values) = config else { unreachable!() };
    let cx = BuildContext {
        clock: Clock::fixed(Timestamp::UNIX_EPOCH),
        base_dir: Path::new("/").to_owned(),
        env: Arc::new(move |_| Some(url.clone())),
        allow_private_hosts: true,
    };
    super::Postgres.sink(&ConfigDoc { connection: "warehouse".to_owned(), values }, &cx)
}

fn row(id: &str, fields: &[(&str, Option<&str>)]) -> DeliveryRow {
    DeliveryRow {
        key: format!("{id}:1"),
        prospect_id: id.to_owned(),
        operation: Operation::Create,
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect(),
        match_keys: Vec::new(),
        doubtful: false,
        seen: headwater_sdk::sink::Fields::new(),
    }
}

fn update(id: &str, fields: &[(&str, Option<&str>)]) -> DeliveryRow {
    DeliveryRow { operation: Operation::Update { remote_id: id.to_owned() }, ..row(id, fields) }
}

/// Fields and their values.
type Values<'a> = &'a [(&'a str, Option<&'a str>)];

async fn write(sink: &dyn Sink, rows: &[DeliveryRow]) -> Vec<RowOutcome> {
    sink.write(rows).await.unwrap().into_outcomes()
}

fn key(field: &str, value: &str) -> MatchKey {
    MatchKey { field: field.to_owned(), value: value.to_owned() }
}

fn reasons(outcomes: &[RowOutcome]) -> String {
    let mut reasons = String::new();
    for outcome in outcomes {
        if let RowOutcome::Rejected { reason } = outcome {
            reasons.push_str(reason);
        }
    }
    reasons
}

#[tokio::test]
async fn a_made_table_keeps_the_sink_contract_and_grows_by_columns() {
    let cluster = Cluster::start();
    let make = || cluster.sink(json!({ "table": "People \"x\"", "create": true }));
    make().unwrap().check().await.unwrap();
    assert!(make().unwrap().lookup(&[vec![key("external_id", "p1")]]).await.unwrap() == [Lookup::Absent]);
    let people = [
        row("p1", &[("email", Some("Ada@example.com")), ("phone", Some("+33 1 23"))]),
        row("p2", &[("email", Some("bob@example.com")), ("First \"Name\"; --", Some("Bob'; DROP TABLE x; --"))]),
        row("p3", &[]),
        row("p4", &[("city", None)]),
    ];
    check_removal_contract(make, &people, |_| {}).await;
    check_sink_contract(make, &people).await;
    make().unwrap().check().await.unwrap();

    let sink = make().unwrap();
    let keys = [key("external_id", "p9"), key("email", " ada@EXAMPLE.com")];
    let found = sink.lookup(&[keys.to_vec(), vec![key("no_such_column", "x")]]).await.unwrap();
    let Lookup::Found(record) = &found[0] else { panic!("{found:?}") };
    assert_eq!((record.remote_id.as_str(), record.matched_on.as_str()), ("p1", "email"));
    assert_eq!(record.fields["phone"].as_deref(), Some("+33 1 23"));
    assert_eq!(record.fields["city"], None);
    assert_eq!(found[1], Lookup::Absent);

    write(&*sink, &[update("p1", &[("phone", None)]), row("p5", &[("email", Some("ADA@example.com"))])]).await;
    let record = sink.fetch("p1").await.unwrap().unwrap();
    assert_eq!((record.fields["phone"].clone(), record.fields["email"].as_deref()), (None, Some("Ada@example.com")));
    assert_eq!(sink.lookup(&[vec![key("email", "ada@example.com")]]).await.unwrap(), [Lookup::Ambiguous(2)]);
    assert_eq!(sink.fetch("p9").await.unwrap(), None);

    let twice =
        [row("p6", &[("a", Some("1"))]), row("p6", &[("a", Some("2"))]), update("p6", &[("a", Some("2"))]), update("p7", &[])];
    let outcomes = write(&*sink, &twice).await;
    assert!(
        matches!(
            outcomes[..],
            [RowOutcome::Created { .. }, RowOutcome::Updated { .. }, RowOutcome::Unchanged { .. }, RowOutcome::Rejected { .. }]
        ),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn what_somebody_changed_since_the_plan_stays() {
    let cluster = Cluster::start();
    let make = || cluster.sink(json!({ "table": "moved", "create": true }));
    check_moved(make, &row("m1", &[("email", Some("ada@example.com"))]), ("city", ["Wien", "O'Linz", "Graz"])).await;
}

#[tokio::test]
async fn poison_keeps_nobody_else_out_and_names_and_addresses_are_data() {
    let cluster = Cluster::start();
    cluster.execute("CREATE TABLE short (headwater_id text UNIQUE, code varchar(3) NOT NULL)").await;
    let rows: Vec<DeliveryRow> = (0..300).map(|n| row(&format!("k{n}"), &[("code", Some("abc"))])).collect();
    // PostgreSQL does not say which column a text is too long for.
    let poison = Poison { places: &[0, 7, 8, 299], field: "code", named: None, value: "Poison" };
    check_poison(|| cluster.sink(json!({ "table": "short" })), &rows, poison).await;
    let rows: Vec<DeliveryRow> = (0..AWKWARD_ADDRESSES.len()).map(|n| row(&format!("w{n}"), &[("name", Some("x"))])).collect();
    let awkward = Awkward { text: "name", email: Some("email"), addresses: &AWKWARD_ADDRESSES };
    check_awkward_values(|| cluster.sink(json!({ "table": "awkward", "create": true })), &rows, awkward).await;
}

#[tokio::test]
async fn in_a_typed_table_poison_rows_are_refused_alone() {
    let cluster = Cluster::start();
    cluster
        .execute(
            "CREATE TYPE stage AS ENUM ('prospect', 'customer');
             CREATE TABLE typed (headwater_id varchar(20) UNIQUE, score int, spent numeric(10,2), seen timestamptz, opted bool,
                 code varchar(3), tags text[], extra json, stage stage, born date, email text UNIQUE DEFERRABLE INITIALLY DEFERRED,
                 score2 int GENERATED ALWAYS AS (score * 2) STORED, note text NOT NULL DEFAULT 'none', updated_at timestamptz);
             CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
                 IF NEW.score = 13 THEN RETURN NULL; END IF;
                 IF NEW.score = 14 THEN RAISE EXCEPTION ''% is unlucky'', NEW.email; END IF; RETURN NEW; END';
             CREATE TRIGGER swallow BEFORE INSERT ON typed FOR EACH ROW EXECUTE FUNCTION swallow();",
        )
        .await;
    let make = || cluster.sink(json!({ "table": "typed" }));
    make().unwrap().check().await.unwrap();
    let all = [
        ("score", Some("7")),
        ("spent", Some("12.345")),
        ("seen", Some("2026-01-02T03:04:05Z")),
        ("opted", Some("yes")),
        ("code", Some("abc")),
        ("tags", Some("{a,b}")),
        ("extra", Some("{\"a\": 1}")),
        ("stage", Some("customer")),
        ("born", Some("2000-02-29")),
    ];
    check_sink_contract(make, &[row("t1", &all), row("t2", &all), row("t3", &all[..2])]).await;
    let shown = "SELECT concat_ws('|', score, spent, seen AT TIME ZONE 'UTC', opted, code, tags, extra, stage, born, note, updated_at IS NULL) FROM typed WHERE headwater_id = 't1'";
    assert_eq!(cluster.texts(shown).await, ["7|12.35|2026-01-02 03:04:05|t|abc|{a,b}|{\"a\": 1}|customer|2000-02-29|none|t"]);

    let sink = make().unwrap();
    let address = Some("ada@example.com");
    write(&*sink, &[row("t4", &[("email", address)])]).await;
    let mut rows: Vec<DeliveryRow> =
        (0..40).map(|n| row(&format!("good{n}"), &[("score", Some("1")), ("email", None)])).collect();
    let poison: [(usize, Values<'_>, &str); 10] = [
        (3, &[("score", Some("secret-value")), ("email", None)], "invalid input syntax for type integer: … (field score)"),
        (4, &[("score", Some("99999999999")), ("email", None)], "value … is out of range for type integer (field score)"),
        (
            8,
            &[("score", Some("13")), ("email", None)],
            "the database took the row and dropped it: a trigger, rule or policy is in the way",
        ),
        (9, &[("score", Some("14")), ("email", Some("x@example.com"))], "a trigger of the table refuses the row"),
        (15, &[("score", Some("2")), ("email", address)], "another row has the same value (constraint typed_email_key)"),
        (20, &[("code", Some("abcd"))], "value too long for type character varying(3)"),
        (21, &[("born", Some("03/04/2026"))], "date/time field value out of range: … (field born)"),
        (22, &[("stage", Some("")), ("seen", Some("soon"))], "(field seen, stage)"),
        (23, &[("note", None)], "the column must not be empty (column note)"),
        (39, &[("score", Some("")), ("email", None)], "invalid input syntax for type integer: … (field score)"),
    ];
    for (index, fields, _) in &poison {
        rows[*index] = row(&format!("bad{index}"), fields);
    }
    let outcomes = write(&*sink, &rows).await;
    for (index, outcome) in outcomes.iter().enumerate() {
        match (poison.iter().find(|(at, _, _)| *at == index), outcome) {
            (Some((_, _, expected)), RowOutcome::Rejected { reason }) => {
                assert!(reason.contains(expected), "{index}: {reason}")
            }
            (None, RowOutcome::Created { .. }) => {}
            (_, outcome) => panic!("{index}: {outcome:?}"),
        }
    }
    let all_reasons = reasons(&outcomes);
    assert!(!all_reasons.contains("secret-value") && !all_reasons.contains('@'), "{all_reasons}");
    assert_eq!(cluster.texts("SELECT count(*)::text FROM typed WHERE headwater_id LIKE 'good%'").await, ["30"]);

    let edits = [
        update("t1", &[("score", Some("8"))]),
        update("t2", &[("score", Some("x"))]),
        update("t3", &[("spent", Some("12.345"))]),
    ];
    let outcomes = write(&*sink, &edits).await;
    assert!(
        matches!(outcomes[..], [RowOutcome::Updated { .. }, RowOutcome::Rejected { .. }, RowOutcome::Unchanged { .. }]),
        "{outcomes:?}"
    );
    assert_eq!(cluster.texts("SELECT headwater_id FROM typed WHERE updated_at IS NOT NULL").await, ["t1"]);

    let fields = sink.fields().await.unwrap();
    assert!(fields.contains(&("score".to_owned(), "integer".to_owned())), "{fields:?}");
    assert!(!fields.iter().any(|(name, _)| name == "score2" || name == "headwater_id"), "{fields:?}");
    for (field, word) in [("scroe", "no column `scroe`"), ("score2", "by itself"), ("headwater_id", "the sink's own")] {
        let error = sink.write(&[row("t9", &[(field, Some("1"))])]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains(word) && error.hint_text().is_some(), "{error}");
    }
}

#[tokio::test]
async fn each_failure_says_what_to_do() {
    let cluster = Cluster::start();
    cluster
        .execute(
            "CREATE TABLE plain (email text); CREATE TABLE loose (headwater_id text); CREATE TABLE closed (headwater_id text PRIMARY KEY);
             CREATE ROLE poor LOGIN PASSWORD 'right'; CREATE ROLE guest LOGIN;",
        )
        .await;
    let failing = [
        (sink_at(cluster.url("poor:wrong"), json!({ "table": "closed" })), ErrorKind::Auth, "user or password"),
        (sink_at(cluster.url("guest"), json!({ "table": "closed" })), ErrorKind::Auth, "may not read and write"),
        (sink_at(cluster.url("guest"), json!({ "table": "fresh", "create": true })), ErrorKind::Auth, "may not create"),
        (cluster.sink(json!({ "table": "absent" })), ErrorKind::Config, "no such table"),
        (cluster.sink(json!({ "table": "absent", "schema": "nowhere", "create": true })), ErrorKind::Config, "no such schema"),
        (cluster.sink(json!({ "table": "plain" })), ErrorKind::Config, "no column `headwater_id`"),
        (cluster.sink(json!({ "table": "loose" })), ErrorKind::Config, "not unique"),
        (
            sink_at(cluster.url("postgres").replace("/postgres?", "/nothing?"), json!({ "table": "closed" })),
            ErrorKind::Config,
            "no such database",
        ),
        (
            sink_at("postgres://u@127.0.0.1:1/db".to_owned(), json!({ "table": "closed" })),
            ErrorKind::Unavailable,
            "cannot be reached",
        ),
    ];
    for (sink, kind, words) in failing {
        let sink = sink.unwrap();
        let (check, write) = (sink.check().await.unwrap_err(), sink.write(&[row("p1", &[])]).await.unwrap_err());
        assert_eq!((check.kind(), write.kind()), (kind, kind), "{check}; {write}");
        assert!(check.message().contains(words) && check.hint_text().is_some(), "{check}");
        assert_eq!(check.retry_advice() == Retry::Backoff, kind == ErrorKind::Unavailable);
    }
    let error = sink_at(cluster.url("postgres"), json!({ "table": "t".repeat(64) })).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);

    let adopted = cluster.sink(json!({ "table": "plain", "create": true })).unwrap();
    cluster.execute("INSERT INTO plain VALUES ('not-ours@example.com')").await;
    adopted.check().await.unwrap();
    assert!(matches!(
        write(&*adopted, &[row("p1", &[("email", Some("a@example.com"))])]).await[..],
        [RowOutcome::Created { .. }]
    ));
    adopted.check().await.unwrap();
    assert_eq!(adopted.lookup(&[vec![key("email", "not-ours@example.com")]]).await.unwrap(), [Lookup::Absent]);
}

#[tokio::test]
async fn a_call_that_fails_midway_writes_nothing() {
    let cluster = Cluster::start();
    cluster.execute("CREATE TABLE held (headwater_id text PRIMARY KEY, a text, b text)").await;
    let sink = cluster.sink(json!({ "table": "held" })).unwrap();
    write(&*sink, &[row("p1", &[("b", Some("1"))])]).await;
    // The function ends the sink's own session when it meets the last row, after the first was written.
    cluster
        .execute(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END';
             CREATE TRIGGER die BEFORE UPDATE ON held FOR EACH ROW EXECUTE FUNCTION die();",
        )
        .await;
    let error = sink.write(&[row("p2", &[("a", Some("1"))]), update("p1", &[("b", Some("2"))])]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(cluster.texts("SELECT headwater_id FROM held").await, ["p1"]);
}
