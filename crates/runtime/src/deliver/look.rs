//! Looks at the remote: where a row's record is, and, before a push that waited, whether everything still stands as it was planned.

use std::time::Duration;

use headwater_sdk::{Companion, Lookup, MatchKey, RemoteRecord, Sink};
use headwater_store::{DeliveryOp, DuePush};

use super::SinkCounts;
use super::payload::{self, Payload};
use super::policy::same;
use super::push::{held_back, is_about_rows};
use super::receipt::OUR_ID;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::SinkEntry;

/// How long a push may have waited for the remote to be as the plan saw it. One that waited longer, or that an earlier run queued, is
/// looked at once more.
const FRESH: Duration = Duration::from_secs(60);

/// What is there of each row; or why the remote does not search for it. Where a search is refused as a whole because of what is
/// looked for, its halves are made apart, until what is at fault stands alone.
///
/// # Errors
/// When the remote cannot be searched now.
pub(super) async fn find(sink: &dyn Sink, name: &str, keys: &[Vec<MatchKey>]) -> Result<Vec<Result<Lookup, String>>> {
    let mut found = Vec::with_capacity(keys.len());
    let mut parts = vec![keys];
    while let Some(part) = parts.pop() {
        match sink.lookup(part).await {
            Ok(lookups) if lookups.len() == part.len() => found.extend(lookups.into_iter().map(Ok)),
            Ok(lookups) => {
                return Err(Error::Internal(format!("sink {name} looked up {} rows of {}", lookups.len(), part.len())));
            }
            Err(error) if is_about_rows(&error) && part.len() > 1 => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            Err(error) if is_about_rows(&error) && !part.is_empty() => found.push(Err(error.message().to_owned())),
            Err(error) => return Err(Error::connection(name, None, error)),
        }
    }
    Ok(found)
}

/// Takes out the rows that waited and whose records are not as the plan saw them any more, and settles them as held back: the next
/// plan sees them as they are.
///
/// # Errors
/// When the remote cannot be read now: then nothing is settled.
pub(super) async fn once_more(
    engine: &Engine,
    entry: &SinkEntry,
    sink: &dyn Sink,
    run_id: &str,
    due: Vec<DuePush>,
    counts: &mut SinkCounts,
) -> Result<Vec<DuePush>> {
    let is_record = matches!(entry.companion, None | Some(Companion::Companies));
    if !sink.capability().lookup || !is_record {
        return Ok(due);
    }
    let fresh_since = engine.clock().now_us() - i64::try_from(FRESH.as_micros()).unwrap_or(i64::MAX);
    let waited = |row: &DuePush| row.run_id != run_id || row.queued_at < fresh_since;
    let mut moved: Vec<(i64, String)> = Vec::new();
    let changes: Vec<(&DuePush, String)> = due
        .iter()
        .filter(|row| waited(row) && row.entry.op == DeliveryOp::Update)
        .filter_map(|row| Some((row, row.entry.remote_id.clone()?)))
        .collect();
    for chunk in changes.chunks(sink.capability().max_rows.max(1)) {
        let ids: Vec<String> = chunk.iter().map(|(_, id)| id.clone()).collect();
        let records = engine.unless_told(sink.fetch_all(&ids)).await?;
        let records = records.map_err(|error| Error::connection(&entry.name, None, error))?;
        for ((row, _), record) in chunk.iter().zip(records) {
            moved.extend(change(row, record.as_ref())?.map(|reason| (row.id, reason)));
        }
    }
    let creates: Vec<&DuePush> = due.iter().filter(|row| waited(row) && row.entry.op == DeliveryOp::Create).collect();
    for chunk in creates.chunks(sink.capability().max_rows.max(1)) {
        let keys = chunk.iter().map(|row| keys(entry, sink, row)).collect::<Result<Vec<_>>>()?;
        let found = engine.unless_told(find(sink, &entry.name, &keys)).await??;
        for (row, found) in chunk.iter().zip(found) {
            moved.extend(appearance(sink, found).map(|reason| (row.id, reason)));
        }
    }
    if moved.is_empty() {
        return Ok(due);
    }
    let settlements: Vec<_> = moved.iter().map(|(id, reason)| held_back(*id, reason)).collect();
    engine.store.outbox_settle(&settlements, engine.clock().now_us()).await?;
    counts.held_back += settlements.len() as u64;
    Ok(due.into_iter().filter(|row| moved.iter().all(|(id, _)| *id != row.id)).collect())
}

/// What a change that waited finds otherwise than it was planned.
fn change(row: &DuePush, record: Option<&RemoteRecord>) -> Result<Option<String>> {
    let Some(record) = record else { return Ok(Some("the record was deleted in the remote since this was planned".to_owned())) };
    let ours = Payload::read(&row.entry.payload)?.set()?;
    for (field, before) in payload::before(row) {
        let there = record.fields.get(&field).and_then(Option::as_deref);
        let wanted = ours.get(&field).and_then(Option::as_deref);
        // An attempt whose answer was lost may have set it.
        if !same(before.as_deref(), there) && !same(wanted, there) {
            return Ok(Some(format!("`{field}` was changed in the remote since this was planned; the next sync plans it anew")));
        }
    }
    Ok(None)
}

/// By what a record is looked for that is to be made: by our id first, which an attempt may have left there whose answer was lost.
fn keys(entry: &SinkEntry, sink: &dyn Sink, row: &DuePush) -> Result<Vec<MatchKey>> {
    let keys = Payload::read(&row.entry.payload)?.keys();
    let ours = MatchKey { field: OUR_ID.to_owned(), value: entry.external_id(&row.entry.prospect_id) };
    let by_id = sink.identity_field().is_none() && !keys.contains(&ours);
    Ok(by_id.then_some(ours).into_iter().chain(keys).collect())
}

/// Why a record is not made that waited: one of somebody else's making is there by now.
fn appearance(sink: &dyn Sink, found: Result<Lookup, String>) -> Option<String> {
    match found {
        Ok(Lookup::Found(record)) => {
            let is_ours = record.matched_on == OUR_ID || sink.identity_field() == Some(record.matched_on.as_str());
            let reason = || "such a record was made in the remote since this was planned; the next sync takes it over".to_owned();
            (!is_ours).then(reason)
        }
        Ok(Lookup::Ambiguous(_)) => Some("several such records are in the remote by now".to_owned()),
        Ok(Lookup::Absent) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use headwater_sdk::{DeliveryRow, ErrorKind, SinkCapability, WriteReport};

    use super::*;

    /// A remote that refuses every search in which a word of its own stands.
    #[derive(Default)]
    struct Picky(AtomicUsize);

    #[async_trait]
    impl Sink for Picky {
        fn capability(&self) -> SinkCapability {
            SinkCapability { max_rows: 100, lookup: true, calls_per_row: 1 }
        }

        async fn check(&self) -> headwater_sdk::Result<()> {
            Ok(())
        }

        async fn lookup(&self, rows: &[Vec<MatchKey>]) -> headwater_sdk::Result<Vec<Lookup>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let value = |word: &str| rows.iter().flatten().any(|key| key.value == word);
            if value("down") {
                return Err(headwater_sdk::Error::new(ErrorKind::Unavailable, "it does not work now"));
            }
            if value("bad") {
                return Err(headwater_sdk::Error::new(ErrorKind::Rejected, "the query is malformed"));
            }
            Ok(vec![Lookup::Absent; rows.len()])
        }

        async fn write(&self, rows: &[DeliveryRow]) -> headwater_sdk::Result<WriteReport> {
            WriteReport::new(rows.len(), Vec::new())
        }
    }

    fn keys(values: &[&str]) -> Vec<Vec<MatchKey>> {
        values.iter().map(|value| vec![MatchKey { field: "email".to_owned(), value: (*value).to_owned() }]).collect()
    }

    #[tokio::test]
    async fn a_search_that_is_refused_for_one_row_finds_the_others() {
        let sink = Picky::default();
        let found = find(&sink, "crm", &keys(&["a", "b", "bad", "c", "d", "bad", "e"])).await.unwrap();
        let refused: Vec<usize> = (0..found.len()).filter(|index| found[*index].is_err()).collect();
        assert_eq!((found.len(), refused), (7, vec![2, 5]));
        assert!(sink.0.load(Ordering::Relaxed) < 14);
        assert!(
            find(&sink, "crm", &keys(&["a", "down"])).await.is_err(),
            "who does not answer now is asked again, not passed over"
        );
        assert!(find(&sink, "crm", &[]).await.unwrap().is_empty());
    }
}
