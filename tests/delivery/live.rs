//! The same against a real BottleCRM: killed at every step and at any moment, nobody is there twice and nobody is missing; and a sync
//! that is undone leaves no trace.
//!
//! Other tests share the server, so each has a tag of its own in names and addresses, and looks at nothing else.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use headwater_tests::project::{Project, Run, server};
use serde_json::{Map, Value, json};

use super::killed::number;
use super::{Fact, STAFF, by_our_id, expect_receipts, list_of, project_at};

/// The most passes of a step that are tried, unless `HEADWATER_TEST_PASSES` says otherwise. Against a server each costs seconds. Three
/// reach what is queued of the companies, what is sent of them and what is settled of them; the passes after them, those of people,
/// are tried against the fake, all of them.
const MOST_PASSES: u64 = 3;
/// How many runs are killed by the clock, unless `HEADWATER_TEST_KILLS` says otherwise.
const KILLS: u32 = 12;
/// The seed of the moments, unless `HEADWATER_KILL_SEED` says otherwise.
const SEED: u64 = 20_261_122;
/// Every so many runs are killed when they are seen to write and not by the clock: by the clock alone, a dozen may all miss it.
const WATCHED_EACH: u32 = 3;
/// What the program begins to ask with when it makes a person.
const WRITING: &[u8] = b"POST /api/contacts/";
/// How long a run may write nothing before it is killed all the same: it must not hold the test for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// People who come in between two kills.
const NEW_EACH: u32 = 3;
/// Records of one page of a list.
const PAGE: usize = 200;

type Records = BTreeMap<String, Value>;

/// The CRM, and the tag by which a test knows its own records.
struct Real {
    address: String,
    token: String,
    tag: String,
}

impl Real {
    fn new(test: &str) -> Result<Self, Box<dyn Error>> {
        let url = server("HEADWATER_TEST_BOTTLECRM_URL");
        let address = url.trim_end_matches('/').strip_prefix("http://").ok_or("the server is not on http")?.to_owned();
        // A folder's random name tells the runs of one test apart.
        let folder = Project::empty()?.path("");
        let unused: String = folder.to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect();
        let unused: String = unused.chars().rev().take(6).collect::<String>().to_lowercase();
        Ok(Self { address, token: server("HEADWATER_TEST_BOTTLECRM_TOKEN"), tag: format!("{test}{unused}") })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Box<dyn Error>> {
        let mut stream = TcpStream::connect(&self.address)?;
        let body = body.map(Value::to_string).unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        Ok(serde_json::from_str(body).unwrap_or_default())
    }

    /// Every record of a list whose `field` begins with our tag, without what is empty and what the CRM counts and dates itself.
    fn records(&self, path: &str, lists: &[&str], field: &str) -> Result<Records, Box<dyn Error>> {
        let mut found = Records::new();
        for page in 0.. {
            let answer = self.call("GET", &format!("/api/{path}/?limit={PAGE}&offset={}", page * PAGE), None)?;
            let mut seen = 0;
            for list in lists {
                let records = answer.pointer(list).and_then(Value::as_array).ok_or("the CRM gave no list")?;
                seen = seen.max(records.len());
                for record in records.iter().filter_map(Value::as_object) {
                    if record.get(field).and_then(Value::as_str).is_some_and(|text| text.starts_with(&self.tag)) {
                        let id = record.get("id").and_then(Value::as_str).ok_or("a record has no id")?;
                        found.insert(id.to_owned(), plain(record));
                    }
                }
            }
            if seen < PAGE {
                break;
            }
        }
        Ok(found)
    }

    fn contacts(&self) -> Result<Records, Box<dyn Error>> {
        self.records("contacts", &["/results"], "last_name")
    }

    fn accounts(&self) -> Result<Records, Box<dyn Error>> {
        self.records("accounts", &["/active_accounts/open_accounts", "/closed_accounts/close_accounts"], "name")
    }

    /// Each person and each company is there once, and tied; the lake tells the same.
    #[track_caller]
    fn expect_each_once(&self, project: &Project, people: u32) -> Fact {
        let (contacts, accounts) = (self.contacts()?, self.accounts()?);
        for (records, count) in [(&contacts, people), (&accounts, people.div_ceil(STAFF))] {
            let counts = by_our_id(records);
            assert!(counts.values().all(|count| *count == 1), "somebody is there twice: {counts:?}");
            assert_eq!(counts.len(), count as usize, "somebody is missing, or nobody's");
        }
        let tied = contacts.values().filter(|contact| accounts.contains_key(contact["account"].as_str().unwrap_or_default()));
        assert_eq!(tied.count(), people as usize, "somebody is tied to no company");
        expect_receipts(project, people)
    }

    fn command(&self, project: &Project, args: &[&str]) -> Command {
        let mut command = project.command(args);
        command.env("CRM_TOKEN", &self.token);
        command
    }

    fn run(&self, project: &Project, args: &[&str]) -> std::io::Result<Run> {
        project.finish(&mut self.command(project, args))
    }
}

/// Stands between the program and the CRM, and tells when the program asks for a person to be made: then it is amid writing.
struct Relay {
    address: String,
    writing: Receiver<()>,
}

impl Relay {
    fn before(real: &Real) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let (tell, writing) = mpsc::channel();
        let remote = real.address.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&remote) else { continue };
                let (Ok(from_server), Ok(to_client)) = (server.try_clone(), client.try_clone()) else { continue };
                let tell = tell.clone();
                let see = move |bytes: &[u8]| {
                    if bytes.windows(WRITING.len()).any(|part| part == WRITING) {
                        let _nobody_waits = tell.send(());
                    }
                };
                thread::spawn(move || pass(client, server, see));
                thread::spawn(move || pass(from_server, to_client, |_| {}));
            }
        });
        Ok(Self { address, writing })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the program writes, from now on; whether it did.
    fn sees_writing(&self) -> bool {
        while self.writing.try_recv().is_ok() {}
        self.writing.recv_timeout(LONGEST_WAIT).is_ok()
    }
}

/// Passes on what comes, until one side ends.
fn pass(mut from: TcpStream, mut to: TcpStream, see: impl Fn(&[u8])) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let part = bytes.get(..count).unwrap_or_default();
        if to.write_all(part).is_err() {
            break;
        }
        see(part);
    }
    let _ended = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// A record without what is empty and what the CRM sets by itself.
fn plain(record: &Map<String, Value>) -> Value {
    fn is_empty(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.values().all(is_empty),
            Value::Bool(_) | Value::Number(_) => false,
        }
    }
    let own = ["updated_at", "updated_by", "rollups"];
    let kept = record.iter().filter(|(name, value)| !own.contains(&name.as_str()) && !is_empty(value));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
}

macro_rules! steps {
    ($($name:ident: $point:expr;)*) => {
        $(
            #[test]
            fn $name() -> Fact {
                kill_at($point, stringify!($name))
            }
        )*
    };
}

steps! {
    death_before_a_receipt_has_its_name_makes_nobody_twice: "after-file-before-rename";
    death_before_the_receipts_are_committed_makes_nobody_twice: "after-files-before-commit";
    death_inside_a_commit_makes_nobody_twice: "inside-commit-before-commit";
    death_after_a_commit_makes_nobody_twice: "after-commit";
    death_before_the_crm_is_called_makes_nobody_twice: "after-sent-before-settle";
}

/// Kills a delivery at the first passes of a step.
fn kill_at(point: &str, name: &str) -> Fact {
    const PEOPLE: u32 = 5;
    for pass in 1..=number("HEADWATER_TEST_PASSES").unwrap_or(MOST_PASSES) {
        let tag: String = name.split('_').filter_map(|word| word.chars().next()).collect();
        let real = Real::new(&format!("{tag}{pass}x"))?;
        let project = project_at(&real.url())?;
        project.write("list.csv", &list_of(&real.tag, PEOPLE, |_| String::new()))?;
        real.run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
        let died = real.run(&project, &["sync", "--stage", "deliver", "--fault", &format!("{point}:{pass}")])?;
        assert!(pass > 1 || died.code.is_none(), "a delivery never passes {point}: {died}");
        let healed = real.run(&project, &["sync", "--stage", "deliver"])?.done()?;
        real.expect_each_once(&project, PEOPLE).map_err(|error| format!("{point}, pass {pass}: {error}\n{healed}"))?;
        if died.code.is_some() {
            break;
        }
    }
    Ok(())
}

#[test]
fn death_at_any_moment_makes_nobody_twice() -> Fact {
    let kills = number("HEADWATER_TEST_KILLS").map_or(KILLS, |kills| u32::try_from(kills).unwrap_or(KILLS));
    let mut random = number("HEADWATER_KILL_SEED").unwrap_or(SEED);
    println!("seed {random}");
    let real = Real::new("any")?;
    let relay = Relay::before(&real)?;
    let project = project_at(&relay.url())?;
    let (mut people, mut killed, mut amid_writing) = (0, 0, 0);
    // How long a run takes here that nobody kills.
    let mut longest = 0;
    for kill in 0..=kills {
        people += NEW_EACH;
        project.write("list.csv", &list_of(&real.tag, people, |_| String::new()))?;
        real.run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
        if kill > 0 {
            let mut writes = false;
            let running = project.begin(&mut real.command(&project, &["sync", "--stage", "deliver"]))?;
            if kill % WATCHED_EACH == 0 {
                writes = relay.sees_writing();
            } else {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                thread::sleep(Duration::from_millis((random >> 33) % longest));
            }
            // A run that has ended already was quicker than the clock.
            let is_killed = running.signal("KILL").is_ok() && running.wait()?.code.is_none();
            killed += u32::from(is_killed);
            amid_writing += u32::from(is_killed && writes);
        }
        let began = Instant::now();
        let healed = real.run(&project, &["sync", "--stage", "deliver", "--format", "json"])?.done()?.json()?;
        let made = healed["sinks"]["crm"]["created"].as_u64().unwrap_or_default();
        if made > 0 {
            longest = u64::try_from(began.elapsed().as_millis())?.max(200);
        }
    }
    println!("{killed} of {kills} runs were killed, {amid_writing} of them for certain while they wrote");
    assert!(killed > kills / 4 && amid_writing > 0, "only {killed} of {kills} runs were killed, {amid_writing} amid writing");
    real.expect_each_once(&project, people)
}

#[test]
fn the_crm_is_as_before_after_a_sync_and_its_undo() -> Fact {
    let real = Real::new("undo")?;
    let tag = real.tag.clone();
    let by_hand = [
        json!({ "first_name": "By", "last_name": format!("{tag}O'Brien"), "email": format!("{tag}p1@example.com"), "title": "By hand" }),
        json!({ "first_name": "By", "last_name": format!("{tag}Other"), "email": format!("{tag}other@example.com") }),
    ];
    for contact in &by_hand {
        let made = real.call("POST", "/api/contacts/", Some(contact))?;
        assert_eq!(made["error"], json!(false), "{made}");
    }
    let before = (real.contacts()?, real.accounts()?);
    assert_eq!((before.0.len(), before.1.len()), (2, 0));
    let project = project_at(&real.url())?;
    project.write("list.csv", &list_of(&tag, 6, |_| "Head of O'Brien & Co".to_owned()))?;
    let answer = real.run(&project, &["sync", "--format", "json"])?.done()?.json()?;
    let counts = &answer["sinks"]["crm"];
    assert_eq!((&counts["created"], &counts["updated"]), (&json!(5), &json!(1)), "{answer}");
    assert_ne!(real.contacts()?, before.0);
    let titles = real.contacts()?.values().filter(|contact| contact["title"] == "Head of O'Brien & Co").count();
    assert_eq!(titles, 6, "a quote stays a quote");
    let run_id = answer["run_id"].as_str().ok_or("no run")?;
    let undone = real.run(&project, &["undo", run_id, "--format", "json"])?.done()?.json()?;
    assert_eq!((&undone["removed"], &undone["restored"], &undone["left"]), (&json!(7), &json!(1), &json!([])), "{undone}");
    assert_eq!((real.contacts()?, real.accounts()?), before);
    Ok(())
}
