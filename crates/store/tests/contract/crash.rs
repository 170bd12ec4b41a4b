//! A process killed at any durable step loses nothing that was acknowledged and leaves nothing half done.
//!
//! The test binary runs itself again as the process to be killed: [`child`] does the work when it finds its arguments, which the
//! test harness takes for names of further tests and ignores.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use headwater_model::tables::{LEAD, PROSPECT, TOUCH};
use headwater_store::fault::{self, FaultPoint};
use headwater_store::{
    DeliveryOp, IntakeRecord, LedgerOp, LinkUpdate, OutboxEntry, Outcome, PersonKeys, RunLock, Settlement, Store,
};
use serde_json::json;

use crate::{NOW, open, read, stage, texts};

const STEPS: usize = 3;
const LATER: i64 = 4_000_000_000_000_000;

fn spawn(folder: &Path, job: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", &format!("folder={}", folder.display()), &format!("job={job}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn run(folder: &Path, job: &str) -> ExitStatus {
    spawn(folder, job).wait().unwrap()
}

/// Not a test by itself: the process that others start. Without arguments it has nothing to do.
#[tokio::test]
async fn child() {
    let argument = |name: &str| std::env::args().find_map(|argument| argument.strip_prefix(name).map(str::to_owned));
    let (Some(folder), Some(job)) = (argument("folder="), argument("job=")) else { return };
    match job.split_once(':') {
        Some(("kill", at)) => {
            let (point, nth) = at.split_once('@').unwrap();
            fault::arm(point.parse().unwrap(), nth.parse().unwrap());
            work(&open(Path::new(&folder)).await).await;
        }
        Some(("append", name)) => append_many(&open(Path::new(&folder)).await, name).await,
        _ => work(&open(Path::new(&folder)).await).await,
    }
}

#[tokio::test]
async fn killed_anywhere_the_next_run_ends_in_the_same_state() {
    let whole = tempfile::tempdir().unwrap();
    assert!(run(whole.path(), "work").success());
    let expected = dump(whole.path()).await;
    for point in FaultPoint::ALL {
        for nth in 1..=2 {
            let folder = tempfile::tempdir().unwrap();
            let killed = run(folder.path(), &format!("kill:{}@{nth}", point.as_str()));
            // Some steps are passed once; then there is nothing to kill.
            assert!(!killed.success() || nth == 2, "{point:?} was never passed");
            assert!(run(folder.path(), "work").success());
            assert_eq!(dump(folder.path()).await, expected, "{point:?} {nth}");
        }
    }
}

#[tokio::test]
async fn processes_that_make_and_fill_one_ledger_at_once_all_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<_> = ["a", "b", "c"].map(|name| spawn(folder.path(), &format!("append:{name}"))).into();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = open(folder.path()).await;
    assert_eq!(store.snapshot().await.unwrap().rows(&LEAD), 3 * 5);
    assert!(store.cursors().await.unwrap().values().all(|cursor| cursor.sequence == 5));
}

#[tokio::test]
async fn lock_of_a_killed_process_is_free() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!run(folder.path(), "kill:after-commit@1").success());
    open(folder.path()).await.lock(NOW).await.unwrap();
}

async fn append_many(store: &Store, name: &str) {
    for step in 0..5_usize {
        let mut commit = store.commit(name, NOW);
        commit.append(stage(store, &LEAD, step, 1));
        commit.advance(name, (step > 0).then(|| i64::try_from(step).unwrap()), &json!(step));
        commit.execute().await.unwrap();
    }
}

/// A small pipeline that can be started again at any time.
async fn work(store: &Store) {
    let lock = store.lock(NOW).await.unwrap();
    for step in 0..STEPS {
        let record = IntakeRecord {
            source: "form".to_owned(),
            received_at: NOW,
            content_type: None,
            headers: json!({}),
            body: b"body".to_vec(),
            delivery_key: Some(step.to_string()),
            signature_status: "none".to_owned(),
        };
        store.intake_append(record).await.unwrap();
    }
    loop {
        let cursor = store.cursor("ingest").await.unwrap();
        let step = cursor.as_ref().map_or(0, |cursor| usize::try_from(cursor.sequence).unwrap());
        if step == STEPS {
            break;
        }
        ingest(store, step, cursor.map(|cursor| cursor.sequence)).await;
    }
    deliver(store).await;
    store.sweep(&lock, LATER, Duration::ZERO).await.unwrap();
    erase(store, &lock).await;
}

/// The rows of the first step go.
async fn erase(store: &Store, lock: &RunLock) {
    let base = store.snapshot().await.unwrap();
    let first = &base.files(&PROSPECT)[0];
    let mut commit = store.commit("erase", NOW);
    commit.rewrite(&PROSPECT, std::slice::from_ref(first), vec![stage(store, &PROSPECT, 10, (STEPS - 1) * 10)]);
    commit.ledger(LedgerOp::Erase(PersonKeys { prospects: vec!["0".to_owned()], ..PersonKeys::default() }));
    commit.execute().await.unwrap();
    store.finish_erasure(lock, LATER).await.unwrap();
}

async fn ingest(store: &Store, step: usize, seen: Option<i64>) {
    let base = store.snapshot().await.unwrap();
    let mut commit = store.commit("run", NOW);
    commit.append(stage(store, &LEAD, step * 10, 10));
    // Two of the five rows of the step before go.
    let gone = |id: &str| step > 0 && (0..2).any(|row| id == format!("touch_id {}", (step - 1) * 10 + row));
    let out = base.find_rows(&TOUCH, "touch_id", gone).unwrap();
    commit.amend(&base, &TOUCH, out, vec![stage(store, &TOUCH, step * 10, 5)]).unwrap();
    commit.replace(&base, &PROSPECT, vec![stage(store, &PROSPECT, 0, (step + 1) * 10)]);
    commit.advance("ingest", seen, &json!(step));
    commit.ledger(LedgerOp::Enqueue(OutboxEntry {
        sink: "crm".to_owned(),
        prospect_id: step.to_string(),
        delivery_key: step.to_string(),
        op: DeliveryOp::Create,
        remote_id: None,
        payload: "{}".to_owned(),
        before: None,
    }));
    commit.execute().await.unwrap();
}

async fn deliver(store: &Store) {
    let doubtful: Vec<i64> = store.outbox_doubtful("crm").await.unwrap().iter().map(|row| row.id).collect();
    store.outbox_requeue(&doubtful, NOW).await.unwrap();
    for row in store.outbox_due("crm", NOW, 100).await.unwrap() {
        store.outbox_mark_sent(&[row.id], NOW).await.unwrap();
        let link = LinkUpdate {
            sink: "crm".to_owned(),
            prospect_id: row.entry.prospect_id.clone(),
            remote_id: format!("remote {}", row.entry.prospect_id),
            pushed_hash: "h".to_owned(),
            pushed_fields: "{}".to_owned(),
        };
        let settlement = Settlement {
            id: row.id,
            outcome: Outcome::Written,
            remote_id: None,
            reason: None,
            next_attempt_at: None,
            link: Some(link),
        };
        store.outbox_settle(&[settlement], NOW).await.unwrap();
    }
}

/// Everything that a run leaves behind, but for ids and times.
async fn dump(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let store = open(folder).await;
    let snapshot = store.snapshot().await.unwrap();
    let mut dump = BTreeMap::new();
    for (table, id) in [(&LEAD, "lead_id"), (&TOUCH, "touch_id"), (&PROSPECT, "prospect_id")] {
        let mut ids = texts(&read(&snapshot, table), id);
        ids.sort();
        dump.insert(table.name.to_owned(), ids);
    }
    let cursor = store.cursor("ingest").await.unwrap().unwrap();
    dump.insert("cursor".to_owned(), vec![cursor.sequence.to_string(), cursor.value.to_string()]);
    let rows = store.outbox_rows(&(0..100).collect::<Vec<_>>()).await.unwrap();
    dump.insert(
        "outbox".to_owned(),
        rows.iter().map(|row| format!("{} {}", row.entry.delivery_key, row.state.as_str())).collect(),
    );
    let mut links: Vec<String> = store.links("crm").await.unwrap().into_values().map(|link| link.remote_id).collect();
    links.sort();
    dump.insert("links".to_owned(), links);
    let intake = store.intake_after("form", 0, 100).await.unwrap();
    dump.insert("intake".to_owned(), intake.into_iter().filter_map(|row| row.record.delivery_key).collect());
    dump.insert("files".to_owned(), vec![crate::files(&folder.join("lake")).len().to_string()]);
    dump
}
