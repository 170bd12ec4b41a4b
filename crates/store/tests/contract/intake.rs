//! Intake: durable before it is answered, each delivery once.

use std::collections::BTreeMap;

use headwater_store::{IntakeRecord, LedgerOp, Store, StoreError};
use serde_json::json;

use crate::{NOW, fresh, open};

fn record(source: &str, key: Option<&str>) -> IntakeRecord {
    IntakeRecord {
        source: source.to_owned(),
        received_at: NOW,
        content_type: Some("application/json".to_owned()),
        headers: json!({"user-agent": "form"}),
        body: br#"{"email":"ann@example.com"}"#.to_vec(),
        delivery_key: key.map(str::to_owned),
        signature_status: "valid".to_owned(),
    }
}

async fn append(store: &Store, source: &str, key: Option<&str>) -> headwater_store::Appended {
    store.intake_append(record(source, key)).await.unwrap()
}

#[tokio::test]
async fn repeated_delivery_is_kept_once() {
    let (_folder, store) = fresh().await;
    let first = append(&store, "form", Some("a")).await;
    let again = append(&store, "form", Some("a")).await;
    assert_eq!((first.duplicate, again.duplicate, again.seq), (false, true, first.seq));
    assert!(!append(&store, "shop", Some("a")).await.duplicate, "another source has its own keys");
    assert!(!append(&store, "form", None).await.duplicate);
    assert!(!append(&store, "form", None).await.duplicate, "without a key nothing is a duplicate");
    assert_eq!(store.intake_depth().await.unwrap(), BTreeMap::from([("form".to_owned(), 3), ("shop".to_owned(), 1)]));
}

#[tokio::test]
async fn repetition_within_one_transaction_is_a_duplicate() {
    let (_folder, store) = fresh().await;
    let both = futures::future::join_all([append(&store, "form", Some("a")), append(&store, "form", Some("a"))]).await;
    assert_eq!(both.iter().filter(|appended| appended.duplicate).count(), 1);
    assert_eq!(both[0].seq, both[1].seq);
}

#[tokio::test]
async fn concurrent_payloads_share_transactions_and_all_are_kept() {
    let (folder, store) = fresh().await;
    let keys: Vec<String> = (0..200).map(|number| format!("key {number}")).collect();
    let before = transactions(&store).await;
    let appended = futures::future::join_all(keys.iter().map(|key| append(&store, "form", Some(key)))).await;
    let groups = transactions(&store).await - before;
    assert!(groups < 50, "200 payloads took {groups} transactions");
    let mut seqs: Vec<i64> = appended.iter().map(|appended| appended.seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), 200);
    let rows = open(folder.path()).await.intake_after("form", 0, 1000).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), seqs);
    assert_eq!(rows[0].record, record("form", rows[0].record.delivery_key.as_deref()));
}

/// SQLite counts in the file's header how often its pages changed; in WAL mode each transaction adds a commit frame instead.
async fn transactions(store: &Store) -> usize {
    let wal = std::fs::read(store.ledger().with_file_name("ledger.db-wal")).unwrap();
    let frames = wal.get(32..).unwrap_or_default().chunks(24 + 4096);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn full_queue_is_busy_and_the_kept_ones_are_answered() {
    let (_folder, store) = fresh().await;
    let results = futures::future::join_all((0..3000).map(|_| store.intake_append(record("form", None)))).await;
    let kept = results.iter().filter(|result| result.is_ok()).count();
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(StoreError::Busy { .. }))));
    assert!((1024..3000).contains(&kept), "{kept}");
    assert_eq!(store.intake_depth().await.unwrap()["form"], i64::try_from(kept).unwrap());
}

#[tokio::test]
async fn taken_payloads_lose_their_content_but_keep_their_key() {
    let (_folder, store) = fresh().await;
    let first = append(&store, "form", Some("a")).await;
    let second = append(&store, "form", Some("b")).await;
    append(&store, "shop", Some("a")).await;
    let mut commit = store.commit("run", NOW);
    commit.ledger(LedgerOp::IntakeTaken { source: "form".to_owned(), upto: first.seq });
    commit.execute().await.unwrap();
    let left = store.intake_after("form", 0, 10).await.unwrap();
    assert_eq!(left.iter().map(|row| row.seq).collect::<Vec<_>>(), [second.seq]);
    assert!(append(&store, "form", Some("a")).await.duplicate);
    let bodies: i64 = sqlx::query_scalar("SELECT count(*) FROM hw_intake WHERE length(body) > 0")
        .fetch_one(&mut crate::raw(&store).await)
        .await
        .unwrap();
    assert_eq!(bodies, 2);
}

#[tokio::test]
async fn pages_of_a_source_follow_each_other() {
    let (_folder, store) = fresh().await;
    for _ in 0..5 {
        append(&store, "form", None).await;
        append(&store, "shop", None).await;
    }
    let first = store.intake_after("form", 0, 3).await.unwrap();
    let rest = store.intake_after("form", first[2].seq, 3).await.unwrap();
    assert_eq!((first.len(), rest.len()), (3, 2));
    assert!(rest[0].seq > first[2].seq);
}
