//! A real MariaDB, started by each test on a socket of its own.

mod live {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use sqlx::mysql::MySqlConnection;
    use sqlx::{AssertSqlSafe, Connection as _};

    use super::super::*;
    use crate::postgres::tests::ordinary_user;

    /// A database server that lives as long as the test.
    struct Maria {
        folder: tempfile::TempDir,
        server: Child,
    }

    impl Maria {
        async fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
            let owner = ordinary_user();
            if let Some((user, group)) = owner {
                chown(folder.path(), Some(user), Some(group)).unwrap();
            }
            // A MariaDB that starts empties its folder for temporary tables: in a shared one, those of its neighbours.
            let temporary = folder.path().join("temporary");
            std::fs::create_dir(&temporary).unwrap();
            if let Some((user, group)) = owner {
                chown(&temporary, Some(user), Some(group)).unwrap();
            }
            let run = |program: &str, arguments: &[String]| {
                let mut command = Command::new(program);
                command.env("TMPDIR", &temporary);
                if let Some((user, group)) = owner {
                    command.uid(user).gid(group);
                }
                command.arg("--no-defaults").args(arguments).current_dir(folder.path());
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                command
            };
            let place = |name: &str| format!("{}/{name}", folder.path().display());
            let data = format!("--datadir={}", place("data"));
            let install = [data.clone(), "--auth-root-authentication-method=normal".to_owned(), "--skip-test-db".to_owned()];
            let installed = run("mariadb-install-db", &install).stdout(Stdio::piped()).stderr(Stdio::piped()).output();
            let installed =
                installed.expect("this test needs MariaDB: install `mariadb-server` (apt-get install mariadb-server)");
            assert!(installed.status.success(), "mariadb-install-db failed: {installed:?}");
            let serve = [
                data,
                format!("--socket={}", place("s")),
                format!("--pid-file={}", place("pid")),
                "--skip-networking".to_owned(),
            ];
            let server = run("/usr/sbin/mariadbd", &serve).spawn().unwrap();
            let maria = Self { folder, server };
            for _ in 0..300 {
                if MySqlConnection::connect(&maria.url("mysql")).await.is_ok() {
                    maria.execute_in("mysql", "CREATE DATABASE crm").await;
                    return maria;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("MariaDB did not start");
        }

        fn url(&self, database: &str) -> String {
            format!("mysql://root@localhost/{database}?socket={}/s", self.folder.path().display())
        }

        async fn execute_in(&self, database: &str, sql: &str) {
            let mut connection = MySqlConnection::connect(&self.url(database)).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
    }

    impl Drop for Maria {
        fn drop(&mut self) {
            self.server.kill().unwrap();
            self.server.wait().unwrap();
        }
    }

    #[async_trait]
    impl Database for Maria {
        async fn execute(&self, sql: &str) {
            self.execute_in("crm", sql).await;
        }

        fn source(&self, mut config: Value) -> Result<Box<dyn Source>> {
            config["url"] = json!({ "env": "DATABASE" });
            source(&crate::sql::Mysql, Path::new("."), self.url("crm"), config)
        }

        fn sink(&self, mut config: Value) -> Result<Box<dyn Sink>> {
            config["url"] = json!({ "env": "DATABASE" });
            sinks::sink(&crate::sql::Mysql, Path::new("."), self.url("crm"), config)
        }
    }

    #[tokio::test]
    async fn mariadb_keeps_what_sources_promise() {
        let maria = Maria::start().await;
        keeps_what_sources_promise(&maria).await;
        values_come_as_exact_text(&maria).await;
    }

    #[tokio::test]
    async fn mariadb_keeps_what_sinks_promise() {
        let maria = Maria::start().await;
        sinks::keeps_what_sinks_promise(&maria).await;
        in_a_typed_table_values_are_refused_not_cut(&maria).await;
    }

    async fn in_a_typed_table_values_are_refused_not_cut(maria: &Maria) {
        maria
            .execute(
                "CREATE TABLE typed (headwater_id varchar(40) PRIMARY KEY, score int, code varchar(3), opted boolean, \
                 seen datetime(6), spent decimal(10,2), stage enum('lead', 'customer'), updated_at timestamp(6) NULL)",
            )
            .await;
        let sink = maria.sink(json!({ "table": "typed" })).unwrap();
        let all: sinks::Values<'_> = &[
            ("code", Some("abc")),
            ("opted", Some("true")),
            ("score", Some("7")),
            ("seen", Some("2026-01-02T03:04:05.5Z")),
            ("spent", Some("12.5")),
            ("stage", Some("customer")),
        ];
        sinks::write(&*sink, &[sinks::row("t1", all)]).await;
        let record = sink.fetch("t1").await.unwrap().unwrap();
        let shown: Vec<Option<&str>> = record.fields.values().map(Option::as_deref).collect();
        let expected = ["abc", "true", "7", "2026-01-02T03:04:05.5Z", "12.50", "customer"].map(Some);
        assert_eq!(shown, [&expected[..], &[None]].concat(), "in the order of their names, then updated_at");
        // The database writes 12.50 for 12.5, and nothing has changed.
        let again = sinks::write(&*sink, &[sinks::update("t1", all), sinks::update("t1", &[("score", Some("8"))])]).await;
        let [headwater_sdk::RowOutcome::Unchanged { .. }, headwater_sdk::RowOutcome::Updated { .. }] = &again[..] else {
            panic!("{again:?}")
        };
        assert!(sink.fetch("t1").await.unwrap().unwrap().fields["updated_at"].is_some());
        let poison: [(sinks::Values<'_>, &str); 5] = [
            (&[("code", Some("secret-value"))], "the value is too long for the column (field code)"),
            (&[("score", Some("secret-value"))], "the value does not fit the column's type (field score)"),
            (&[("score", Some("99999999999"))], "the value is out of range for the column (field score)"),
            (&[("stage", Some("secret-value"))], "the value is not one of those that the column takes (field stage)"),
            (&[("seen", Some("03/04/2026"))], "the value does not fit the column's type (field seen)"),
        ];
        for (number, (fields, expected)) in poison.iter().enumerate() {
            let rows =
                [sinks::row(&format!("bad{number}"), fields), sinks::row(&format!("good{number}"), &[("score", Some("1"))])];
            assert_eq!(sinks::reasons(&sinks::write(&*sink, &rows).await), [(0, *expected)]);
        }
    }

    async fn values_come_as_exact_text(maria: &Maria) {
        maria
            .execute(
                "SET time_zone = '+02:00'; DROP TABLE people; CREATE TABLE people (id bigint unsigned PRIMARY KEY, price decimal(30,10), \
                 at timestamp(6), local datetime, day date, doc json, ok boolean, name varchar(20) COLLATE utf8mb4_bin, ratio double); \
                 INSERT INTO people VALUES (18446744073709551615, 12345678901234567890.01, '2026-03-29 04:30:00.000001', \
                 '2026-03-29 02:30:00', '2026-03-01', '{\"a\": 1.10}', true, 'Zoë', 0.1)",
            )
            .await;
        let source = maria.source(json!({ "table": "people", "key": ["id"] })).unwrap();
        let read = check_source_contract(source.as_ref(), "rows", 1).await.unwrap();
        for (field, expected) in [
            ("id", "18446744073709551615"),
            ("price", "12345678901234567890.0100000000"),
            ("at", "2026-03-29T02:30:00.000001Z"),
            ("local", "2026-03-29T02:30:00"),
            ("day", "2026-03-01"),
            ("doc", "{\"a\": 1.10}"),
            ("ok", "1"),
            ("name", "Zoë"),
            ("ratio", "0.1"),
        ] {
            assert_eq!(read.rows[0].get(field), expected, "{field}");
        }
        maria.execute("ALTER TABLE people ADD picture blob").await;
        let (kind, text) = refusal(maria, json!({ "table": "people", "key": ["id"] })).await;
        assert!(kind == ErrorKind::Config && text.contains("`picture` holds bytes"), "{text}");
    }
}
