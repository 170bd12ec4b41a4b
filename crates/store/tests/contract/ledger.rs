//! Runs, lock, outbox, links, suppression, quarantine and audit.

use std::collections::{BTreeMap, HashMap, HashSet};

use headwater_store::{
    AuditCheck, AuditEntry, Decision, DeliveryOp, Edit, LedgerOp, LinkUpdate, NewRun, OutboxEntry, OutboxState, Outcome,
    PersonKeys, QuarantineMark, QuarantineState, RunStatus, Sample, SampledPair, Settlement, Store, StoreError, Suppression,
    SuppressionKind, Verdict,
};
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::{NOW, fresh, open};

fn new_run(id: &str) -> NewRun {
    NewRun { run_id: id.to_owned(), command: "sync".to_owned(), version: "0.1.0".to_owned() }
}

#[tokio::test]
async fn second_lock_names_the_holder_and_a_drop_frees_it() {
    let (folder, store) = fresh().await;
    let other = open(folder.path()).await;
    let lock = store.lock(NOW).await.unwrap();
    let error = other.lock(NOW).await.unwrap_err();
    let expected = (std::process::id().to_string(), "2026-09-21 14:13:20+00");
    assert!(matches!(&error, StoreError::Locked { pid, since } if *pid == expected.0 && since == expected.1), "{error}");
    drop(lock);
    other.lock(NOW).await.unwrap();
}

#[tokio::test]
async fn run_of_a_dead_process_is_marked_as_interrupted() {
    let (_folder, store) = fresh().await;
    let lock = store.lock(NOW).await.unwrap();
    store.start_run(&lock, &new_run("one"), NOW).await.unwrap();
    store.start_run(&lock, &new_run("two"), NOW + 1).await.unwrap();
    store.finish_run("one", RunStatus::Rejected, &json!({"accepted": 3}), Some("two rows"), NOW + 2).await.unwrap();
    assert_eq!(store.run("two").await.unwrap().unwrap().status, RunStatus::Running);
    drop(lock);
    let _lock = store.lock(NOW + 9).await.unwrap();
    let runs = store.list_runs(10).await.unwrap();
    assert_eq!(
        runs.iter().map(|run| (run.run_id.as_str(), run.status)).collect::<Vec<_>>(),
        [("two", RunStatus::Interrupted), ("one", RunStatus::Rejected)]
    );
    assert_eq!(
        (runs[0].ended_at, &runs[1].counts, runs[1].error.as_deref()),
        (Some(NOW + 9), &json!({"accepted": 3}), Some("two rows"))
    );
    assert!(matches!(store.finish_run("none", RunStatus::Done, &json!({}), None, NOW).await, Err(StoreError::NotFound { .. })));
}

fn push(key: &str) -> OutboxEntry {
    OutboxEntry {
        sink: "crm".to_owned(),
        prospect_id: format!("prospect {key}"),
        delivery_key: key.to_owned(),
        op: DeliveryOp::Update,
        remote_id: Some(format!("remote {key}")),
        payload: json!({"city": "Lyon"}).to_string(),
        before: Some(json!({"city": "Nice"}).to_string()),
    }
}

async fn enqueue(store: &Store, keys: &[&str]) -> Vec<i64> {
    let mut commit = store.commit("run", NOW);
    for key in keys {
        commit.ledger(LedgerOp::Enqueue(push(key)));
    }
    commit.execute().await.unwrap();
    store.outbox_due("crm", NOW, 100).await.unwrap().iter().map(|row| row.id).collect()
}

fn settled(id: i64, outcome: Outcome) -> Settlement {
    Settlement { id, outcome, remote_id: None, reason: None, next_attempt_at: None, link: None }
}

#[tokio::test]
async fn delivery_key_is_queued_once_per_sink() {
    let (_folder, store) = fresh().await;
    assert_eq!(enqueue(&store, &["a", "b", "a"]).await.len(), 2);
    assert_eq!(enqueue(&store, &["b", "c"]).await.len(), 3);
    let mut commit = store.commit("run", NOW);
    commit.ledger(LedgerOp::Enqueue(OutboxEntry { sink: "other".to_owned(), ..push("a") }));
    commit.execute().await.unwrap();
    assert_eq!(store.outbox_due("other", NOW, 100).await.unwrap().len(), 1);
    assert_eq!(store.outbox_due("crm", NOW, 1).await.unwrap().len(), 1, "no more than asked for");
}

#[tokio::test]
async fn push_goes_from_pending_over_sent_to_one_outcome() {
    let (_folder, store) = fresh().await;
    let ids = enqueue(&store, &["a", "b", "c", "d"]).await;
    store.outbox_mark_sent(&ids, NOW).await.unwrap();
    assert!(store.outbox_due("crm", NOW, 100).await.unwrap().is_empty());
    let doubtful = store.outbox_doubtful("crm").await.unwrap();
    assert_eq!(
        doubtful.iter().map(|row| (row.id, row.attempts)).collect::<Vec<_>>(),
        ids.iter().map(|id| (*id, 1)).collect::<Vec<_>>()
    );
    let link = LinkUpdate {
        sink: "crm".to_owned(),
        prospect_id: "prospect a".to_owned(),
        remote_id: "77".to_owned(),
        pushed_hash: "h".to_owned(),
        pushed_fields: json!({"city": "Lyon"}).to_string(),
    };
    let settlements = [
        Settlement { remote_id: Some("77".to_owned()), link: Some(link), ..settled(ids[0], Outcome::Written) },
        Settlement { reason: Some("no such field".to_owned()), ..settled(ids[1], Outcome::Rejected) },
        Settlement { next_attempt_at: Some(NOW + 5), ..settled(ids[2], Outcome::Retry) },
        settled(ids[3], Outcome::HeldBack),
    ];
    store.outbox_settle(&settlements, NOW).await.unwrap();
    assert!(store.outbox_due("crm", NOW + 4, 100).await.unwrap().is_empty());
    assert_eq!(store.outbox_due("crm", NOW + 5, 100).await.unwrap()[0].entry, push("c"));
    let rows = store.outbox_rows(&[ids[1], ids[0]]).await.unwrap();
    assert_eq!((rows[0].state, rows[0].entry.remote_id.as_deref()), (OutboxState::Written, Some("77")));
    assert_eq!((rows[1].state, rows[1].reason.as_deref()), (OutboxState::Rejected, Some("no such field")));
    let counts = store.outbox_counts().await.unwrap();
    let expected =
        [OutboxState::Retry, OutboxState::Written, OutboxState::Rejected, OutboxState::HeldBack].map(|state| (state, 1));
    assert_eq!(counts["crm"], BTreeMap::from(expected));
    let links = store.links("crm").await.unwrap();
    assert_eq!((links.len(), links["prospect a"].remote_id.as_str(), links["prospect a"].pushed_at), (1, "77", NOW));
    assert_eq!(store.links_by_remote("crm", "77").await.unwrap(), [links["prospect a"].clone()]);
}

#[tokio::test]
async fn outcome_is_final_and_a_conflict_changes_no_other_push() {
    let (_folder, store) = fresh().await;
    let ids = enqueue(&store, &["a", "b"]).await;
    store.outbox_mark_sent(&ids[..1], NOW).await.unwrap();
    store.outbox_settle(&[settled(ids[0], Outcome::Written)], NOW).await.unwrap();
    for conflict in [
        store.outbox_settle(&[settled(ids[1], Outcome::Rejected), settled(ids[0], Outcome::Rejected)], NOW).await,
        store.outbox_mark_sent(&[ids[1], ids[0]], NOW).await,
        store.outbox_requeue(&[ids[1]], NOW).await,
    ] {
        assert!(matches!(conflict, Err(StoreError::Conflict { .. })));
    }
    let states: Vec<_> = store.outbox_rows(&ids).await.unwrap().iter().map(|row| row.state).collect();
    assert_eq!(states, [OutboxState::Written, OutboxState::Pending]);
}

#[tokio::test]
async fn a_push_that_was_undone_is_known_and_not_queued_again() {
    let (_folder, store) = fresh().await;
    let ids = enqueue(&store, &["a", "b"]).await;
    store.outbox_mark_sent(&ids[..1], NOW).await.unwrap();
    store.outbox_settle(&[settled(ids[0], Outcome::Written)], NOW).await.unwrap();
    let mut commit = store.commit("run_1", NOW);
    for key in ["a", "b"] {
        commit.ledger(LedgerOp::Undone { sink: "crm".to_owned(), delivery_key: push(key).delivery_key });
    }
    commit.execute().await.unwrap();
    let undone = store.outbox_keys("crm", OutboxState::Undone).await.unwrap();
    assert_eq!(undone.into_iter().collect::<Vec<_>>(), [push("a").delivery_key], "what was never written cannot be undone");
    enqueue(&store, &["a"]).await;
    assert_eq!(store.outbox_rows(&ids[..1]).await.unwrap()[0].state, OutboxState::Undone);
}

#[tokio::test]
async fn doubtful_push_can_be_queued_again() {
    let (_folder, store) = fresh().await;
    let ids = enqueue(&store, &["a"]).await;
    store.outbox_mark_sent(&ids, NOW).await.unwrap();
    store.outbox_requeue(&ids, NOW).await.unwrap();
    assert!(store.outbox_doubtful("crm").await.unwrap().is_empty());
    assert_eq!(store.outbox_due("crm", NOW, 1).await.unwrap()[0].attempts, 1);
}

fn decision(one: &str, two: &str) -> Decision {
    Decision { one: one.to_owned(), two: two.to_owned(), verdict: Verdict::Different }
}

fn sample(pairs: &[(&str, &str)]) -> Sample {
    let pair = |(one, two): &(&str, &str)| SampledPair {
        review_id: format!("{one}-{two}"),
        one: (*one).to_owned(),
        two: (*two).to_owned(),
        layer: 1,
        verdict: None,
    };
    let (model_version, layers) = ("engine".to_owned(), vec![7, 90]);
    Sample { seed: 3, drawn_at: NOW, model_version, merge_at: 0.9, layers, pairs: pairs.iter().map(pair).collect() }
}

#[tokio::test]
async fn ledgers_of_older_layouts_grow_and_keep_what_was_decided() {
    let of_third = "DROP TABLE hw_sample; DROP TABLE hw_sample_draw; DROP TABLE hw_edit;";
    let of_second = "DROP TABLE hw_decision; DROP TABLE hw_identity_model; DROP TABLE hw_review; DROP TABLE hw_merge;";
    for (layout, gone, kept) in [("1", format!("{of_third}{of_second}"), 0), ("2", of_third.to_owned(), 1)] {
        let (folder, store) = fresh().await;
        let mut commit = store.commit("run", NOW);
        commit.ledger(LedgerOp::Decide(decision("led_a", "led_b")));
        commit.execute().await.unwrap();
        let older = format!("{gone} UPDATE hw_meta SET value = '{layout}' WHERE key = 'schema_version'");
        sqlx::raw_sql(AssertSqlSafe(older)).execute(&mut crate::raw(&store).await).await.unwrap();
        store.close().await;
        let store = open(folder.path()).await;
        assert_eq!((store.decisions().await.unwrap().len(), store.sample().await.unwrap()), (kept, None), "layout {layout}");
        let mut commit = store.commit("run", NOW);
        commit.ledger(LedgerOp::Sample(sample(&[("led_b", "led_c")])));
        commit.execute().await.unwrap();
        assert_eq!(store.sample().await.unwrap(), Some(sample(&[("led_b", "led_c")])), "layout {layout}");
    }
}

fn edit(lead: &str, city: Option<&str>) -> Edit {
    Edit { lead_id: lead.to_owned(), field: "city".to_owned(), value: city.map(str::to_owned), edited_at: NOW }
}

#[tokio::test]
async fn what_was_said_of_a_field_is_kept_said_anew_and_forgotten() {
    let (_folder, store) = fresh().await;
    for (said, kept) in [(Some("Lyon"), Some("Lyon")), (Some(""), Some("")), (None, None)] {
        let mut commit = store.commit("run", NOW);
        commit.ledger(LedgerOp::Edit(edit("led_a", said)));
        commit.execute().await.unwrap();
        assert_eq!(store.edits().await.unwrap(), kept.map(|city| edit("led_a", Some(city))).into_iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_decision_answers_a_sample_whichever_came_first() {
    let (_folder, store) = fresh().await;
    let mut commit = store.commit("run", NOW);
    commit.ledger(LedgerOp::Decide(decision("led_b", "led_a")));
    commit.ledger(LedgerOp::Sample(sample(&[("led_a", "led_b"), ("led_b", "led_c"), ("led_c", "led_d")])));
    commit.ledger(LedgerOp::Decide(decision("led_d", "led_c")));
    commit.execute().await.unwrap();
    let verdicts: Vec<Option<Verdict>> = store.sample().await.unwrap().unwrap().pairs.iter().map(|pair| pair.verdict).collect();
    assert_eq!(verdicts, [Some(Verdict::Different), None, Some(Verdict::Different)]);
    let keys = PersonKeys { leads: vec!["led_d".to_owned()], ..PersonKeys::default() };
    let mut commit = store.commit("erase", NOW);
    commit.ledger(LedgerOp::Sample(sample(&[("led_a", "led_b"), ("led_c", "led_d")]))).ledger(LedgerOp::Erase(keys));
    commit.execute().await.unwrap();
    assert_eq!(store.sample().await.unwrap().unwrap().pairs.len(), 1);
}

#[tokio::test]
async fn erasure_leaves_of_a_person_only_which_remote_records_they_are() {
    let (_folder, store) = fresh().await;
    enqueue(&store, &["a", "b"]).await;
    let decision = |one: &str, two: &str| Decision { one: one.to_owned(), two: two.to_owned(), verdict: Verdict::Same };
    let link = |prospect: &str| LinkUpdate {
        sink: "crm".to_owned(),
        prospect_id: prospect.to_owned(),
        remote_id: format!("remote of {prospect}"),
        pushed_hash: "h".to_owned(),
        pushed_fields: json!({ "city": "Lyon" }).to_string(),
    };
    let mut commit = store.commit("run", NOW);
    commit.ledger(LedgerOp::Decide(decision("led_a", "led_b"))).ledger(LedgerOp::Decide(decision("led_b", "led_c")));
    commit.ledger(LedgerOp::Link(link("prospect a"))).ledger(LedgerOp::Link(link("prospect b")));
    commit.ledger(LedgerOp::Edit(edit("led_a", Some("Lyon")))).ledger(LedgerOp::Edit(edit("led_b", Some("Nantes"))));
    commit.execute().await.unwrap();
    let keys = PersonKeys { prospects: vec!["prospect a".to_owned()], leads: vec!["led_a".to_owned()], ..PersonKeys::default() };
    let held = store.person_records(&keys).await.unwrap();
    assert_eq!((held.pushes.len(), held.links.len(), held.decisions.len(), held.edits.len()), (1, 1, 1, 1));
    assert!(!store.erasure_pending().await.unwrap());

    let mut commit = store.commit("erase", NOW);
    commit.ledger(LedgerOp::Erase(keys.clone()));
    commit.execute().await.unwrap();
    let held = store.person_records(&keys).await.unwrap();
    assert_eq!((held.pushes.len(), held.decisions.len()), (0, 0));
    assert_eq!((held.links[0].remote_id.as_str(), held.links[0].pushed_fields.as_str()), ("remote of prospect a", "{}"));
    let due = store.outbox_due("crm", NOW, 10).await.unwrap();
    assert_eq!(due.iter().map(|row| row.entry.delivery_key.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(store.decisions().await.unwrap(), [decision("led_b", "led_c")]);
    assert_eq!(store.edits().await.unwrap(), [edit("led_b", Some("Nantes"))]);
    assert!(store.erasure_pending().await.unwrap());
    let lock = store.lock(NOW).await.unwrap();
    store.finish_erasure(&lock, NOW).await.unwrap();
    assert!(!store.erasure_pending().await.unwrap());
}

fn suppression(hmac: &str, kind: SuppressionKind) -> Suppression {
    Suppression {
        hmac: hmac.to_owned(),
        kind,
        key_version: 1,
        normaliser_version: 1,
        scope: "marketing".to_owned(),
        reason: "objection".to_owned(),
        requested_at: NOW,
        origin: "form".to_owned(),
    }
}

#[tokio::test]
async fn suppressions_are_added_once_and_removed() {
    let (_folder, store) = fresh().await;
    let list = [
        suppression("aa", SuppressionKind::Email),
        suppression("bb", SuppressionKind::Phone),
        suppression("aa", SuppressionKind::Email),
    ];
    assert_eq!(store.add_suppressions(&list).await.unwrap(), 2);
    assert_eq!(store.add_suppressions(&list).await.unwrap(), 0);
    assert_eq!(store.suppression_set().await.unwrap(), HashSet::from(["aa".to_owned(), "bb".to_owned()]));
    assert_eq!(
        store.suppression_counts().await.unwrap(),
        BTreeMap::from([(SuppressionKind::Email, 1), (SuppressionKind::Phone, 1)])
    );
    assert_eq!(store.remove_suppressions(&["aa".to_owned(), "cc".to_owned()]).await.unwrap(), 1);
    assert_eq!(store.suppression_set().await.unwrap().len(), 1);
}

#[tokio::test]
async fn suppression_key_is_made_once_and_never_silently_replaced() {
    let (folder, store) = fresh().await;
    let path = folder.path().join("suppression.key");
    let key = store.suppression_key().await.unwrap();
    assert_ne!(key, [0; 32]);
    assert_eq!(open(folder.path()).await.suppression_key().await.unwrap(), key);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    for (content, expected) in
        [(Some(vec![7; 32]), "is not the suppression key of this ledger"), (Some(vec![7; 31]), "32 bytes"), (None, "is lost")]
    {
        match content {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let error = store.suppression_key().await.unwrap_err();
        assert!(matches!(error, StoreError::Format { .. }) && error.to_string().contains(expected), "{error}");
    }
    assert!(!path.exists(), "no new key takes the place of a lost one");
}

#[tokio::test]
async fn later_decision_on_a_quarantined_row_replaces_the_earlier() {
    let (_folder, store) = fresh().await;
    for state in [QuarantineState::Retried, QuarantineState::Resolved] {
        let mut commit = store.commit("run", NOW);
        commit.ledger(LedgerOp::Quarantine(QuarantineMark { quarantine_id: "q1".to_owned(), state }));
        commit.execute().await.unwrap();
    }
    assert_eq!(store.quarantine_states().await.unwrap(), HashMap::from([("q1".to_owned(), QuarantineState::Resolved)]));
}

fn entry(action: &str, subject: Option<&str>) -> AuditEntry {
    AuditEntry {
        actor: "ann".to_owned(),
        action: action.to_owned(),
        subject_hmac: subject.map(str::to_owned),
        detail: "on request".to_owned(),
    }
}

#[tokio::test]
async fn changed_or_removed_audit_entry_is_found() {
    let changes = [
        ("UPDATE hw_audit SET detail = 'nothing' WHERE seq = 2", 2),
        ("UPDATE hw_audit SET at = at + 1 WHERE seq = 1", 1),
        ("UPDATE hw_audit SET subject_hmac = NULL WHERE seq = 3", 3),
        ("UPDATE hw_audit SET actor = 'an', action = 'nerase' WHERE seq = 1", 1),
        ("DELETE FROM hw_audit WHERE seq = 2", 3),
        ("DELETE FROM hw_audit WHERE seq = 1", 2),
    ];
    for (change, seq) in changes {
        let (_folder, store) = fresh().await;
        store.audit(&entry("erase", Some("aa")), NOW).await.unwrap();
        let mut commit = store.commit("run", NOW);
        commit.ledger(LedgerOp::Audit(entry("export", None)));
        commit.execute().await.unwrap();
        store.audit(&entry("erase", Some("")), NOW).await.unwrap();
        let head = store.audit_entries(1).await.unwrap()[0].hash.clone();
        assert_eq!(store.audit_verify().await.unwrap(), AuditCheck::Intact { entries: 3, head: Some(head) });
        sqlx::raw_sql(AssertSqlSafe(change.to_owned())).execute(&mut crate::raw(&store).await).await.unwrap();
        assert_eq!(store.audit_verify().await.unwrap(), AuditCheck::Broken { seq }, "{change}");
    }
}
