//! A real OpenSSH server, started by each test on a port of its own.

mod live {
    use std::collections::BTreeMap;
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use headwater_model::checkpoint::Checkpoint;
    use headwater_sdk::testkit::{check_source_contract, collect};
    use headwater_sdk::{BuildContext, Clock, ConfigDoc, Connector, Error, ErrorKind, Source};
    use serde_json::{Value, json};

    /// A server that lives as long as the test, with a folder of files.
    struct Server {
        folder: tempfile::TempDir,
        process: Child,
        port: u16,
    }

    const INSTALL: &str = "this test needs OpenSSH: install `openssh-server` (apt-get install openssh-server)";

    impl Server {
        async fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let place = |name: &str| folder.path().join(name);
            std::fs::create_dir_all(place("out/2026")).unwrap();
            for (name, passphrase) in [("host", ""), ("stranger", ""), ("user", ""), ("locked", "swordfish")] {
                let mut make = Command::new("ssh-keygen");
                make.args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]).arg(place(name));
                assert!(make.status().expect(INSTALL).success());
            }
            let known = ["user.pub", "locked.pub"].map(|name| std::fs::read_to_string(place(name)).unwrap());
            std::fs::write(place("authorized"), known.concat()).unwrap();
            // As root it separates privileges, and wants a folder for that.
            drop(std::fs::create_dir_all("/run/sshd"));
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = format!(
                "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n",
                place("host").display(),
                place("authorized").display()
            );
            std::fs::write(place("config"), config).unwrap();
            let mut serve = Command::new("/usr/sbin/sshd");
            serve.args(["-D", "-e", "-f"]).arg(place("config"));
            let process = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect(INSTALL);
            let server = Self { folder, process, port };
            for _ in 0..100 {
                if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                    return server;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            panic!("sshd did not start");
        }

        fn place(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Writes a file that is so many seconds old; SFTP tells times by the second.
        fn put(&self, name: &str, content: &str, age: u64) {
            let path = self.place("out").join(name);
            std::fs::write(&path, content).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 - age)).unwrap();
        }

        /// The files below `out` that the pattern names.
        fn source(&self, pattern: &str, storage: &[(&str, &str)]) -> Result<Box<dyn Source>, Error> {
            let path = format!("sftp://127.0.0.1:{}{}/{pattern}", self.port, self.place("out").display());
            self.of(&path, storage)
        }

        fn of(&self, path: &str, storage: &[(&str, &str)]) -> Result<Box<dyn Source>, Error> {
            let mut settings: BTreeMap<&str, Value> = BTreeMap::new();
            settings.insert("host_key", json!(std::fs::read_to_string(self.place("host.pub")).unwrap()));
            settings.insert("private_key", json!({ "file": self.place("user") }));
            for (key, value) in storage {
                settings.insert(key, if *key == "host_key" { json!(value) } else { json!({ "env": value }) });
            }
            let Value::Object(values) = json!({ "path": path, "storage": settings, "checkpoint_rows": 1 }) else {
                unreachable!()
            };
            let keys = self.folder.path().to_owned();
            let cx = BuildContext {
                clock: Clock::fixed("2026-11-01T00:00:00Z".parse().unwrap()),
                base_dir: ".".into(),
                // `NAME.key` is that key; anything else stands for itself.
                env: Arc::new(move |name| match name.strip_suffix(".key") {
                    Some(key) => std::fs::read_to_string(keys.join(key)).ok(),
                    None => Some(name.to_owned()),
                }),
                allow_private_hosts: true,
            };
            crate::file::File.source(&ConfigDoc { connection: "list".to_owned(), values }, &cx)
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.process.kill().unwrap();
            self.process.wait().unwrap();
        }
    }

    async fn emails(source: &dyn Source, from: Option<Checkpoint>) -> (Vec<String>, Option<Checkpoint>) {
        let stream = source.streams().await.unwrap().remove(0);
        let read = collect(source, &stream, from).await.unwrap();
        (read.rows.iter().map(|row| row.get("Email").to_owned()).collect(), read.last())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_of_sftp_are_found_by_pattern_and_keep_the_contract() {
        let server = Server::start().await;
        server.put("a b.csv", "Email,Name\na@example.com,A\nb@example.com,B\n", 90);
        server.put("2026/c.csv", "Name,Email,Id\nC,c@example.com,00501\n", 90);
        server.put("2026/.hidden.csv", "Email\nh@example.com\n", 90);
        server.put("e.pdf", "no list", 90);
        std::os::unix::fs::symlink(server.place("out"), server.place("out/2026/circle")).unwrap();
        std::os::unix::fs::symlink(server.place("out/a b.csv"), server.place("out/link.csv")).unwrap();
        let source = server.source("**/*.csv", &[]).unwrap();
        let read = check_source_contract(source.as_ref(), "records", 0).await.unwrap();
        let all: Vec<&str> = read.rows.iter().map(|row| row.get("Email")).collect();
        // What `link.csv` leads to is the content of `a b.csv`, which was read.
        assert_eq!(all, ["c@example.com", "a@example.com", "b@example.com"]);
        for (pattern, expected) in [("2026/?.csv", 1), ("20*/c.csv", 1), ("a b.csv", 2)] {
            let source = server.source(pattern, &[]).unwrap();
            assert_eq!(emails(source.as_ref(), None).await.0.len(), expected, "{pattern}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn new_and_changed_files_are_read_and_a_large_one_arrives_whole() {
        let server = Server::start().await;
        server.put("a.csv", "Email\na@example.com\n", 90);
        let source = server.source("*.csv", &[]).unwrap();
        let (first, at) = emails(source.as_ref(), None).await;
        assert_eq!(first, ["a@example.com"]);
        assert_eq!(emails(source.as_ref(), at.clone()).await.0, [""; 0]);
        server.put("a.csv", "Email\nA@example.com\n", 30);
        let line = format!("{},x@example.com\n", "y".repeat(1_000));
        server.put("b.csv", &format!("Note,Email\n{}", line.repeat(3_000)), 30);
        let (then, _) = emails(source.as_ref(), at).await;
        assert_eq!((then.len(), then[0].as_str(), then[3_000].as_str()), (3_001, "A@example.com", "x@example.com"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_may_not_and_what_is_not_the_server_are_told_apart() {
        let server = Server::start().await;
        server.put("a.csv", "Email\na@example.com\n", 90);
        let stranger = std::fs::read_to_string(server.place("stranger.pub")).unwrap();
        // The passphrase opens the locked key.
        let source = server.source("*.csv", &[("private_key", "locked.key"), ("password", "swordfish")]).unwrap();
        assert_eq!(emails(source.as_ref(), None).await.0.len(), 1);
        for (storage, kind, what) in [
            (vec![("private_key", "stranger.key")], ErrorKind::Auth, "does not let this user in"),
            (vec![("private_key", "not a key")], ErrorKind::Auth, "private_key"),
            (vec![("private_key", "locked.key"), ("password", "wrong")], ErrorKind::Auth, "does not open the key"),
            (vec![("host_key", stranger.as_str())], ErrorKind::Auth, "does not show the key"),
        ] {
            let error = server.source("*.csv", &storage).unwrap().check().await.unwrap_err();
            assert!(error.kind() == kind && error.to_string().contains(what), "{storage:?}: {error:?}");
            assert!(!format!("{error:?}").contains("swordfish"));
        }
        let error = server.source("*.xlsx", &[]).unwrap().check().await.unwrap_err();
        assert!(error.to_string().contains("no file matches"), "{error}");
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let nobody = server.of(&format!("sftp://127.0.0.1:{closed}/a.csv"), &[]).unwrap();
        let error = nobody.check().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Unavailable && format!("{error:?}").contains("refused"), "{error:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_that_ends_is_made_anew() {
        let server = Server::start().await;
        server.put("a.csv", "Email\na@example.com\n", 90);
        let source = server.source("*.csv", &[]).unwrap();
        assert_eq!(emails(source.as_ref(), None).await.0.len(), 1);
        let ended = Command::new("pkill").args(["-P", &server.process.id().to_string()]).status().unwrap();
        assert!(ended.success());
        assert_eq!(source.check().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(emails(source.as_ref(), None).await.0.len(), 1);
    }
}
