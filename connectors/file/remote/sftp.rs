//! SFTP, over the machine's own `ssh`: its ciphers, its known hosts, its agent and its jump hosts are those that the machine's owner
//! keeps in order, and none of them is ours to get wrong.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use futures::StreamExt as _;
use headwater_sdk::{BuildContext, Error, ErrorKind, Result, Secret};
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::metadata::MetaData;
use openssh_sftp_client::{Error as SftpError, Sftp as Client, SftpOptions};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::super::paths::{MAX_ENTRIES, MAX_FILES, matches};
use super::super::position::Stamp;
use super::{Storage, changed, gone, spool, too_many};

/// How a path on an SFTP server begins.
pub(super) const SCHEME: &str = "sftp://";
/// How much of a file one request takes: what OpenSSH's server gives at most.
const PART_BYTES: u64 = 255 * 1024;
/// How much of what `ssh` says is kept for an error.
const MAX_SAID: u64 = 16 * 1024;
const USUAL_PORT: u16 = 22;

/// The files of one SFTP server.
pub(in super::super) struct Sftp {
    place: Place,
    access: Access,
    /// One connection for all files; it is made when first needed.
    session: Arc<Mutex<Option<Session>>>,
}

/// Where the files are.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    user: Option<String>,
    host: String,
    port: u16,
    /// From the root, or from the user's own folder where it begins with `~`.
    pattern: String,
}

/// How both ends prove who they are.
struct Access {
    private_key: Option<Secret>,
    password: Option<Secret>,
    /// The line of a file of known hosts.
    known_host: Option<String>,
}

struct Session {
    client: Client,
    ssh: Ssh,
}

/// The `ssh` that carries the session. It ends when this is dropped.
struct Ssh {
    child: Child,
    /// The task that listens to what it says.
    said: JoinSet<String>,
    /// Holds key, known host and password helper while `ssh` runs.
    _files: TempDir,
}

impl Sftp {
    pub(super) fn new(path: &str, storage: &Storage, cx: &BuildContext) -> Result<Self> {
        let place = Place::of(path)?;
        let secret = |reference: &Option<_>| reference.as_ref().map(|reference| cx.secret(reference)).transpose();
        let known_host = storage.host_key.as_deref().map(|key| place.known_host(key)).transpose()?;
        let access = Access { private_key: secret(&storage.private_key)?, password: secret(&storage.password)?, known_host };
        Ok(Self { place, access, session: Arc::default() })
    }

    /// The files that the pattern names, sorted by name, with their stamps.
    pub(super) async fn find(&self) -> Result<Vec<(String, Stamp)>> {
        let mut session = self.session.lock().await;
        let client = self.connected(&mut session).await?;
        let walked = self.walk(client).await;
        self.settled(&mut session, walked).await
    }

    /// Writes the first `wanted` bytes of a file.
    pub(super) async fn copy(&self, name: &str, stamp: &Stamp, wanted: u64, to: &mut File) -> Result<()> {
        let mut session = self.session.lock().await;
        let client = self.connected(&mut session).await?;
        let copied = self.take(client, name, stamp, (wanted, to)).await;
        self.settled(&mut session, copied).await
    }

    /// What was done, with an error that says what `ssh` said where the connection broke.
    async fn settled<T>(&self, session: &mut Option<Session>, done: std::result::Result<T, Fault>) -> Result<T> {
        match done {
            Ok(value) => Ok(value),
            Err(Fault::Ours(error)) => Err(error),
            Err(Fault::Theirs(cause)) => Err(match session.take() {
                Some(Session { client, ssh }) => {
                    drop(client);
                    self.explained(&ssh.last_words().await, cause)
                }
                None => self.explained("", cause),
            }),
        }
    }

    async fn connected<'a>(&self, session: &'a mut Option<Session>) -> Result<&'a Client> {
        if session.is_none() {
            let mut ssh = self.ssh()?;
            let (Some(to), Some(from)) = (ssh.child.stdin.take(), ssh.child.stdout.take()) else {
                return Err(Error::new(ErrorKind::Internal, "`ssh` was started without its pipes"));
            };
            *session = match Client::new(to, from, SftpOptions::new()).await {
                Ok(client) => Some(Session { client, ssh }),
                Err(cause) => return Err(self.explained(&ssh.last_words().await, cause)),
            };
        }
        session.as_ref().map(|session| &session.client).ok_or_else(|| Error::new(ErrorKind::Internal, "no session"))
    }

    fn ssh(&self) -> Result<Ssh> {
        let files = TempDir::new().map_err(spool)?;
        let mut command = Command::new("ssh");
        command.args(["-T", "-x", "-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"]);
        command.args(["-o", "StrictHostKeyChecking=yes", "-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no"]);
        let Access { private_key, password, known_host } = &self.access;
        if let Some(line) = known_host {
            let file = keep(&files, "known_hosts", line.as_bytes(), 0o600)?;
            command.arg("-o").arg(format!("UserKnownHostsFile=\"{}\"", file.display()));
            command.args(["-o", "GlobalKnownHostsFile=/dev/null"]);
        }
        if let Some(key) = private_key {
            // A key without its last line end is taken for a broken one.
            let text = [key.expose_str().trim_end().as_bytes(), b"\n"].concat();
            command.arg("-i").arg(keep(&files, "key", &text, 0o600)?);
            command.args(["-o", "IdentitiesOnly=yes", "-o", "PreferredAuthentications=publickey"]);
        }
        match password {
            Some(password) => {
                // `ssh` takes no password from an argument or a pipe: it asks a program for it.
                const HELPER: &[u8] = b"#!/bin/sh\nprintf '%s\\n' \"$HEADWATER_SSH_PASSWORD\"\n";
                command.env("SSH_ASKPASS", keep(&files, "askpass", HELPER, 0o700)?).env("SSH_ASKPASS_REQUIRE", "force");
                command.env("HEADWATER_SSH_PASSWORD", password.expose_str());
                command.args(["-o", "NumberOfPasswordPrompts=1"]);
                if private_key.is_none() {
                    command.args(["-o", "PreferredAuthentications=password,keyboard-interactive"]);
                }
            }
            None => drop(command.args(["-o", "BatchMode=yes"])),
        }
        command.arg("-p").arg(self.place.port.to_string());
        if let Some(user) = &self.place.user {
            command.arg("-l").arg(user);
        }
        command.args(["-s", "--"]).arg(&self.place.host).arg("sftp");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            Error::new(ErrorKind::Config, "SFTP needs the program `ssh`, which cannot be started")
                .context("path", "path")
                .hint("install OpenSSH's client (Debian: `apt-get install openssh-client`)")
                .source(error)
        })?;
        let stderr = child.stderr.take();
        let mut said = JoinSet::new();
        said.spawn(async move {
            let mut kept = Vec::new();
            if let Some(mut stderr) = stderr {
                // What cannot be read of it is missed by nobody; the rest is read so that it never waits for us.
                drop((&mut stderr).take(MAX_SAID).read_to_end(&mut kept).await);
                drop(tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await);
            }
            String::from_utf8_lossy(&kept).into_owned()
        });
        Ok(Ssh { child, said, _files: files })
    }

    /// Goes down the folders that the pattern names.
    async fn walk(&self, client: &Client) -> std::result::Result<Vec<(String, Stamp)>, Fault> {
        let (start, pattern) = match self.place.pattern.strip_prefix("~/") {
            Some(below) => (".", below),
            None => ("", self.place.pattern.as_str()),
        };
        let segments: Vec<&str> = pattern.split('/').filter(|segment| !segment.is_empty() && *segment != ".").collect();
        let mut found: BTreeMap<String, Stamp> = BTreeMap::new();
        let (mut folders, mut seen) = (vec![(start.to_owned(), segments.as_slice())], 0);
        while let Some((folder, segments)) = folders.pop() {
            let Some((&segment, rest)) = segments.split_first() else { continue };
            let is_deep = segment == "**";
            if is_deep {
                folders.push((folder.clone(), if rest.is_empty() { &["*"] } else { rest }));
            } else if !segment.contains(['*', '?']) {
                self.step(client, &mut found, &mut folders, (format!("{folder}/{segment}"), rest)).await?;
                continue;
            }
            for (name, what) in entries(client, &folder, &mut seen).await? {
                let path = format!("{folder}/{name}");
                let is_hidden = name.starts_with("~$") || (name.starts_with('.') && !segment.starts_with('.'));
                if is_deep {
                    // Links to folders are not followed here: they can form a circle.
                    if !is_hidden && what.file_type().is_some_and(|kind| kind.is_dir()) {
                        folders.push((path, segments));
                    }
                } else if !is_hidden && matches(segment, &name) {
                    self.step(client, &mut found, &mut folders, (path, rest)).await?;
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Takes a path where it is a file that the pattern ends at, or goes into it where it is a folder on the way.
    async fn step<'a>(
        &self,
        client: &Client,
        found: &mut BTreeMap<String, Stamp>,
        folders: &mut Vec<(String, &'a [&'a str])>,
        (path, rest): (String, &'a [&'a str]),
    ) -> std::result::Result<(), Fault> {
        // Asked anew, since a listing tells of links and not of what they lead to.
        let what = match client.fs().metadata(Path::new(&path)).await {
            Ok(what) => what,
            Err(SftpError::SftpError(SftpErrorKind::NoSuchFile, _)) => return Ok(()),
            Err(error) => return Err(refused(&path, error)),
        };
        let kind = what.file_type();
        if !rest.is_empty() {
            if kind.is_some_and(|kind| kind.is_dir()) {
                folders.push((path, rest));
            }
        } else if kind.is_none_or(|kind| kind.is_file()) {
            found.insert(self.place.named(&path), stamp(&path, &what)?);
            if found.len() > MAX_FILES {
                return Err(Fault::Ours(too_many()));
            }
        }
        Ok(())
    }

    async fn take(
        &self,
        client: &Client,
        name: &str,
        stamp_then: &Stamp,
        (wanted, to): (u64, &mut File),
    ) -> std::result::Result<(), Fault> {
        let path = self.place.path_of(name);
        let broken = |error| match error {
            SftpError::SftpError(SftpErrorKind::NoSuchFile, _) => Fault::Ours(gone(name)),
            error => refused(&path, error),
        };
        let same = |what: &MetaData| match stamp(&path, what) {
            Ok(now) if now == *stamp_then => Ok(()),
            Ok(_) => Err(Fault::Ours(changed(name))),
            Err(fault) => Err(fault),
        };
        let mut file = client.open(Path::new(&path)).await.map_err(broken)?;
        same(&file.metadata().await.map_err(broken)?)?;
        let (mut have, mut buffer) = (0, bytes::BytesMut::new());
        while have < wanted {
            let part = u32::try_from(PART_BYTES.min(wanted - have)).unwrap_or(u32::MAX);
            buffer.clear();
            buffer = file.read(part, buffer).await.map_err(broken)?.ok_or_else(|| Fault::Ours(changed(name)))?;
            to.write_all(&buffer).map_err(|error| Fault::Ours(spool(error)))?;
            have += buffer.len() as u64;
        }
        same(&file.metadata().await.map_err(broken)?)
    }

    /// What `ssh` said, in our words.
    fn explained(&self, said: &str, cause: SftpError) -> Error {
        let has = |text: &str| said.contains(text);
        let (kind, what, hint) = if has("Host key verification failed") || has("host key is known") {
            let what = match self.access.known_host {
                Some(_) => "the server does not show the key of `storage.host_key`",
                None => "the server's key is not known here",
            };
            let hint = "ask the server's owner for its public key and write it as `storage.host_key` (`ssh-keyscan HOST` prints what it shows)";
            (ErrorKind::Auth, what, hint)
        } else if has("invalid format") || has("error in libcrypto") || has("incorrect passphrase") {
            let hint = "use the whole private key in OpenSSH's form or PEM; its passphrase goes to `storage.password`";
            (ErrorKind::Auth, "`storage.private_key` cannot be read", hint)
        } else if has("Permission denied (") || has("Too many authentication failures") {
            let hint = "check the user in `path`, and `storage.private_key` or `storage.password`";
            // Of a key that its passphrase does not open, `ssh` says no more than this.
            let what = match (&self.access.private_key, &self.access.password) {
                (Some(_), Some(_)) => "the server does not let this user in, or `storage.password` does not open the key",
                _ => "the server does not let this user in",
            };
            (ErrorKind::Auth, what, hint)
        } else if has("subsystem request failed") {
            (ErrorKind::Config, "the server does not offer SFTP", "ask its owner to allow the subsystem `sftp`")
        } else {
            (
                ErrorKind::Unavailable,
                "the connection to the server failed",
                "check the host and port in `path`, and that it can be reached",
            )
        };
        let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let error = Error::new(kind, what).context("server", self.place.root()).hint(hint);
        match last {
            // That its pipes ended then says nothing more.
            Some(last) => error.context("ssh", last.to_owned()),
            None => error.source(cause),
        }
    }
}

/// What went wrong: with what was asked, or with the connection.
enum Fault {
    Ours(Error),
    Theirs(SftpError),
}

/// An answer that refuses one path, or no answer.
fn refused(path: &str, error: SftpError) -> Fault {
    match error {
        SftpError::SftpError(SftpErrorKind::PermDenied, _) => Fault::Ours(
            Error::new(ErrorKind::Config, format!("the server does not let this user read {path}"))
                .context("path", "path")
                .hint("ask its owner for the right to list and read it"),
        ),
        error @ SftpError::SftpError(..) => Fault::Ours(
            Error::new(ErrorKind::Unavailable, format!("the server refused to read {path}")).hint("run again").source(error),
        ),
        error => Fault::Theirs(error),
    }
}

/// The entries of a folder; none where there is no such folder.
async fn entries(client: &Client, folder: &str, seen: &mut usize) -> std::result::Result<Vec<(String, MetaData)>, Fault> {
    let path = if folder.is_empty() { "/" } else { folder };
    let opened = match client.fs().open_dir(Path::new(path)).await {
        Ok(opened) => opened,
        Err(SftpError::SftpError(SftpErrorKind::NoSuchFile, _)) => return Ok(Vec::new()),
        Err(error) => return Err(refused(path, error)),
    };
    let mut listing = std::pin::pin!(opened.read_dir());
    let mut entries = Vec::new();
    while let Some(entry) = listing.next().await {
        let entry = entry.map_err(|error| refused(path, error))?;
        let name = entry.filename().to_string_lossy().into_owned();
        *seen += 1;
        if *seen > MAX_ENTRIES {
            return Err(Fault::Ours(too_many()));
        }
        // A name is one step: what would lead elsewhere is not gone after.
        if name != "." && name != ".." && !name.contains('/') {
            entries.push((name, entry.metadata()));
        }
    }
    Ok(entries)
}

fn stamp(path: &str, what: &MetaData) -> std::result::Result<Stamp, Fault> {
    let modified = what.modified().and_then(|at| at.as_system_time().duration_since(UNIX_EPOCH).ok());
    match (what.len(), modified.and_then(|since| i64::try_from(since.as_micros()).ok())) {
        (Some(size), Some(mtime_us)) => Ok(Stamp { size, mtime_us, etag: None }),
        _ => Err(Fault::Ours(Error::new(ErrorKind::Unsupported, format!("the server does not tell size and time of {path}")))),
    }
}

/// A file for `ssh` that only this user may read.
fn keep(folder: &TempDir, name: &str, content: &[u8], mode: u32) -> Result<PathBuf> {
    let path = folder.path().join(name);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(spool)?;
    file.write_all(content).map_err(spool)?;
    Ok(path)
}

impl Ssh {
    /// What it said until it ended; it is ended where it has not.
    async fn last_words(mut self) -> String {
        // It ends by itself when its pipes are closed; one that hangs is not waited for.
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
        if tokio::time::timeout(PATIENCE, self.child.wait()).await.is_err() {
            drop(self.child.kill().await);
        }
        self.said.join_next().await.and_then(std::result::Result::ok).unwrap_or_default()
    }
}

impl Place {
    fn of(path: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::new(ErrorKind::Config, what)
                .context("path", "path")
                .hint("write sftp://user@host/folder/*.csv, sftp://user@host:2222/… or, from the user's own folder, sftp://user@host/~/folder/*.csv")
        };
        let rest = path.strip_prefix(SCHEME).unwrap_or(path);
        let (server, pattern) = rest.split_once('/').ok_or_else(|| wrong("the path names no files"))?;
        let (user, address) = server.rsplit_once('@').map_or((None, server), |(user, address)| (Some(user), address));
        if user.is_some_and(|user| user.contains(':')) {
            return Err(Error::new(ErrorKind::Config, "a password does not belong in the path")
                .context("path", "path")
                .hint("write it as `storage: { password: { env: NAME } }`"));
        }
        let (host, port) = match address.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, after)) => (host, Some(after.strip_prefix(':').ok_or_else(|| wrong("the path names no server"))?)),
            None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| wrong("the port is no number from 1 to 65535"))?,
            None => USUAL_PORT,
        };
        let is_name = |text: &str| {
            !text.is_empty() && !text.starts_with('-') && text.chars().all(|c| c.is_ascii_alphanumeric() || "._:-%".contains(c))
        };
        if !is_name(host) || port == 0 {
            return Err(wrong("the path names no server"));
        }
        if user.is_some_and(|user| user.is_empty() || user.starts_with('-') || user.contains(char::is_whitespace)) {
            return Err(wrong("the path names no user"));
        }
        if pattern.split('/').any(|segment| segment == "..") || pattern.trim_matches('/').is_empty() {
            return Err(wrong("the path names no files"));
        }
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned(), port, pattern: pattern.to_owned() })
    }

    /// The server, as names of files begin.
    fn root(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == USUAL_PORT { format!("{SCHEME}{host}") } else { format!("{SCHEME}{host}:{}", self.port) }
    }

    /// The name of a file, by its path on the server: `/folder/file`, or `./file` from the user's own folder.
    fn named(&self, path: &str) -> String {
        let path = path.strip_prefix("./").map_or_else(|| path.to_owned(), |below| format!("/~/{below}"));
        format!("{}{path}", self.root())
    }

    /// The path on the server of what [`Self::named`] named.
    fn path_of(&self, name: &str) -> String {
        let path = name.strip_prefix(&self.root()).unwrap_or(name);
        path.strip_prefix("/~/").map_or_else(|| path.to_owned(), |below| format!("./{below}"))
    }

    /// The line of a file of known hosts for this server; `key` may stand as `ssh-keyscan` prints it.
    fn known_host(&self, key: &str) -> Result<String> {
        let words: Vec<&str> = key.split_whitespace().collect();
        let is_kind = |word: &&str| ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| word.starts_with(kind));
        let at = words.iter().position(is_kind);
        let (Some(kind), Some(value)) = (at.and_then(|at| words.get(at)), at.and_then(|at| words.get(at + 1))) else {
            return Err(Error::new(ErrorKind::Config, "this is no public key of a server")
                .context("path", "storage.host_key")
                .hint("write it as `ssh-ed25519 AAAA…`; `ssh-keyscan HOST` prints what a server shows"));
        };
        let Self { host, port, .. } = self;
        // A name in brackets is one with a port; that is how `ssh` looks for it.
        let name = if *port == USUAL_PORT { host.clone() } else { format!("[{host}]:{port}") };
        Ok(format!("{name} {kind} {value}\n"))
    }
}

impl std::fmt::Debug for Sftp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sftp").field("place", &self.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_user_server_port_and_files() {
        let place = |user: Option<&str>, host: &str, port, pattern: &str| Place {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            pattern: pattern.to_owned(),
        };
        for (path, expected) in [
            ("sftp://rev@files.example.com/out/*.csv", place(Some("rev"), "files.example.com", 22, "out/*.csv")),
            ("sftp://files.example.com:2222/~/in/?.csv", place(None, "files.example.com", 2222, "~/in/?.csv")),
            ("sftp://[::1]:22/a.csv", place(None, "::1", 22, "a.csv")),
            // Some vendors hand out addresses as names of users.
            ("sftp://ann@example.com@files.example.com/a.csv", place(Some("ann@example.com"), "files.example.com", 22, "a.csv")),
        ] {
            assert_eq!(Place::of(path).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn what_ssh_could_take_for_an_option_or_a_password_is_refused() {
        for path in [
            "sftp://host",
            "sftp://host/",
            "sftp:///a.csv",
            "sftp://-oProxyCommand=x/a.csv",
            "sftp://-l@host/a.csv",
            "sftp://user:pass@host/a.csv",
            "sftp://ho st/a.csv",
            "sftp://host:0/a.csv",
            "sftp://host:99999/a.csv",
            "sftp://h*/a.csv",
            "sftp://host/a/../../b.csv",
        ] {
            assert_eq!(Place::of(path).unwrap_err().kind(), ErrorKind::Config, "{path}");
        }
    }

    #[test]
    fn names_lead_back_to_paths() {
        let place = Place::of("sftp://u@[::1]:2222/~/x/*.csv").unwrap();
        for (path, name) in [("/a/b.csv", "sftp://[::1]:2222/a/b.csv"), ("./x/b.csv", "sftp://[::1]:2222/~/x/b.csv")] {
            assert_eq!((place.named(path), place.path_of(name)), (name.to_owned(), path.to_owned()));
        }
    }

    #[test]
    fn a_host_key_is_known_under_the_name_that_ssh_looks_for() {
        let usual = Place::of("sftp://host.example.com/a").unwrap();
        let other = Place::of("sftp://host.example.com:2222/a").unwrap();
        assert_eq!(usual.known_host("ssh-ed25519 AAAA comment").unwrap(), "host.example.com ssh-ed25519 AAAA\n");
        assert_eq!(other.known_host("host ssh-rsa BBBB").unwrap(), "[host.example.com]:2222 ssh-rsa BBBB\n");
        assert_eq!(usual.known_host("AAAA").unwrap_err().kind(), ErrorKind::Config);
    }
}
