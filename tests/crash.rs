//! kill -9 at every durable step: the run after it leaves what an unharmed run leaves.
//!
//! `sync --fault POINT:NTH` is a hidden flag that makes the program abort when it passes that point for the nth time.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;

use headwater_tests::project::{Project, TABLES};
use headwater_tests::tree;
use serde_json::Value;

type Fact = Result<(), Box<dyn Error>>;

/// Steps that other work passes than a sync; the tests of the store kill there.
const NOT_OF_SYNC: [&str; 5] = [
    "after-delete-before-vacuum",
    "after-expire-before-delete",
    "after-intake-before-reply",
    "inside-intake-before-commit",
    "inside-settle-before-commit",
];

/// The most passes of a step that are tried; a sync of the small project has fewer of each.
const MOST_PASSES: u32 = 60;

/// What differs between two equal runs, beside the instants at which they ran.
const PASSING: [&str; 4] = ["run_id", "merged_run_id", "outbox_id", "delivery_id"];

/// One of everything: two lists that share a person, an order, a cost, a mail that was opened, a refused row, a sink.
const SETTINGS: &str = "
sources:
  costs: { connector: file, path: costs.csv, role: costs, key: day }
  forms: { connector: file, path: forms.csv, key: id, basis: { lawful_basis: consent } }
  list:
    connector: file
    path: list.csv
    key: id
    channel: { group: list, vendor: example }
    cost: { amount: \"100.00\", currency: EUR, day: 2026-07-01 }
    basis: { lawful_basis: legitimate_interest, obtained_at: 2026-07-01, notice_at: 2026-07-01 }
  mails: { connector: file, path: mails.csv, role: engagements, key: event_id }
  orders: { connector: file, path: orders.csv, role: conversions, key: order_id }
sinks:
  crm:
    connector: file
    path: out/people.csv
    audience: email IS NOT NULL
    map: { email: email, first_name: given_name, revenue: revenue }
";

const FILES: [(&str, &str); 5] = [
    ("costs.csv", "day,channel,for_source,kind,amount,currency\n2026-07-02,paid_social,forms,media,12.50,EUR\n"),
    (
        "forms.csv",
        "id,created_at,first_name,last_name,email,utm_source,utm_medium,consent\n\
         f1,2026-07-03T10:00:00Z,Ada,Ashgrove,ada@example.com,search,cpc,true\n\
         f2,2026-07-04T10:00:00Z,Bram,Birkwell,bram@example.com,,,true\n\
         f3,2026-07-04T11:00:00Z,Cleo\n",
    ),
    (
        "list.csv",
        "id,created_at,first_name,last_name,email,company\n\
         l1,2026-07-01T00:00:00Z,Ada,Ashgrove,ADA@example.com,Alder\n\
         l2,2026-07-01T00:00:00Z,Dario,Dunmere,dario@example.com,Elm\n",
    ),
    ("mails.csv", "event_id,timestamp,email,event\ne1,2026-07-05T10:00:00Z,bram@example.com,open\n"),
    ("orders.csv", "order_id,order_date,type,email,total,currency\no1,2026-07-06T10:00:00Z,order,ada@example.com,960.00,EUR\n"),
];

#[test]
fn every_fault_point_of_the_store_is_in_the_matrix() -> Fact {
    let text = fs::read_to_string(tree::root().join("crates/store/src/fault.rs"))?;
    let points: BTreeSet<_> =
        text.lines().filter_map(|line| line.trim().strip_suffix("\",")?.split_once(" = \"").map(|(_, name)| name)).collect();
    assert_eq!(points, OF_SYNC.iter().chain(&NOT_OF_SYNC).copied().collect());
    Ok(())
}

macro_rules! matrix {
    ($($name:ident: $point:expr;)*) => {
        const OF_SYNC: &[&str] = &[$($point),*];

        $(
            #[test]
            fn $name() -> Fact {
                kill_at($point, &fresh(SETTINGS)?)
            }
        )*
    };
}

matrix! {
    death_before_a_file_has_its_name_loses_nothing: "after-file-before-rename";
    death_between_files_and_commit_loses_nothing: "after-files-before-commit";
    death_inside_a_commit_loses_nothing: "inside-commit-before-commit";
    death_after_a_commit_loses_nothing: "after-commit";
    death_before_the_remote_is_called_loses_nothing: "after-sent-before-settle";
}

/// A list that is all there is: who is in it no more is gone, and the reading that tells it is committed row by row.
#[test]
fn death_after_a_commit_of_a_reading_that_tells_who_is_gone_loses_nothing() -> Fact {
    kill_at("after-commit", &lacking()?)
}

/// A project whose list lacks somebody since it was read.
fn lacking() -> Result<Project, Box<dyn Error>> {
    let whole = "path: list.csv\n    whole: true\n    checkpoint_rows: 1\n";
    let project = fresh(&SETTINGS.replace("path: list.csv\n", whole))?;
    project.run(&["sync"])?;
    project.write(
        "list.csv",
        "id,created_at,first_name,last_name,email,company\n\
         l1,2026-07-01T00:00:00Z,Ada,Ashgrove,ADA@example.com,Alder\n\
         l3,2026-07-01T00:00:00Z,Esme,Elderfen,esme@example.com,Elm\n",
    )?;
    let unharmed = project.copy()?;
    unharmed.run(&["sync"])?;
    let gone =
        unharmed.rows("SELECT email FROM prospect WHERE email = 'dario@example.com' AND merged_into IS NULL", &[], |_| {})?;
    assert!(gone.is_empty(), "{gone:?}");
    Ok(project)
}

fn fresh(settings: &str) -> Result<Project, Box<dyn Error>> {
    let fresh = Project::of(settings)?;
    for (name, text) in FILES {
        fresh.write(name, text)?;
    }
    Ok(fresh)
}

fn kill_at(point: &str, fresh: &Project) -> Fact {
    let unharmed = fresh.copy()?;
    let begun = now(&unharmed)?;
    unharmed.run(&["sync"])?;
    let expected = dump(&unharmed, &begun)?;
    let mut pass = 1;
    loop {
        let project = fresh.copy()?;
        let run = project.run(&["sync", "--fault", &format!("{point}:{pass}")])?;
        if run.code.is_some() {
            break;
        }
        project.run(&["sync"])?;
        let found = dump(&project, &begun)?;
        let lost: Vec<_> = expected.difference(&found).collect();
        let extra: Vec<_> = found.difference(&expected).collect();
        assert!(lost.is_empty() && extra.is_empty(), "{point}, pass {pass}:\nlost {lost:#?}\nextra {extra:#?}");
        // The first passes one by one, the later ones further and further apart.
        pass += 1 + pass / 4;
        assert!(pass < MOST_PASSES, "{point} is passed without end");
    }
    assert!(pass > 1, "a sync never passes {point}");
    Ok(())
}

/// All that is stored and delivered but for [`PASSING`]; equal rows are told apart by a number.
fn dump(project: &Project, begun: &str) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut state = BTreeSet::new();
    for table in TABLES {
        let rows = project.rows(&format!("SELECT * FROM {table}"), &PASSING, |value| forget(value, begun))?;
        let mut equal = 0;
        for row in rows {
            equal += 1;
            if state.insert(format!("{table} {row}")) {
                equal = 0;
            } else {
                state.insert(format!("{table} {row} again {equal}"));
            }
        }
    }
    state.extend(project.read("out/people.csv")?.lines().map(|line| format!("out {line}")));
    Ok(state)
}

/// An instant of the run itself says nothing about what was stored. Nor does it matter whether the first attempt or a second
/// one, which found the record there, is the one that the remote confirmed.
fn forget(value: &mut Value, begun: &str) {
    match value.as_str() {
        Some(text) if text.len() > 19 && text.ends_with('Z') && text >= begun => *value = Value::from("now"),
        Some("unchanged") => *value = Value::from("created"),
        _ => {}
    }
}

fn now(project: &Project) -> Result<String, Box<dyn Error>> {
    let rows = project.rows("SELECT now() AS at", &[], |_| {})?;
    let row: Value = serde_json::from_str(rows.first().ok_or("no row")?)?;
    Ok(row.get("at").and_then(Value::as_str).ok_or("no instant")?.to_owned())
}
