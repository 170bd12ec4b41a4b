//! Stopping and going on.

use std::fs::File;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use headwater_model::checkpoint::Checkpoint;
use headwater_sdk::testkit::{Collected, Resumed, check_deletion_arrives, check_source_contract, collect, collect_into};
use headwater_sdk::{ErrorKind, SourceEvent};
use proptest::prelude::*;
use serde_json::json;

use super::{Rows, cells, events, files, folder, only_pages, pages, refused, rows, source};
use crate::file::source::pump;

fn people(from: usize, to: usize) -> String {
    let rows = (from..to).map(|row| format!("L{row},person{row}@example.com\n"));
    std::iter::once("Id,Email\n".to_owned()).chain(rows).collect()
}

fn touch(path: &std::path::Path, seconds: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)).unwrap();
}

fn last(events: &[SourceEvent]) -> Option<Checkpoint> {
    events.iter().rev().find_map(|event| match event {
        SourceEvent::Checkpoint(checkpoint) => Some(checkpoint.clone()),
        SourceEvent::Page(_) | SourceEvent::Whole { .. } => None,
    })
}

#[tokio::test]
async fn going_on_from_every_checkpoint_loses_nothing_and_repeats_nothing() {
    let folder = folder("a.csv", people(0, 100).replace("L41,", "L41,ragged,"));
    std::fs::write(folder.path().join("b.csv"), people(200, 230)).unwrap();
    let config = || json!({ "path": "*.csv", "checkpoint_rows": 7 });
    let all = events(folder.path(), config(), None).await.unwrap();
    let mut before = Rows::new();
    let (mut checkpoints, mut bad) = (0, 0);
    for event in all {
        match event {
            SourceEvent::Page(page) => {
                bad += page.refused.len();
                before.extend(cells(&[page]));
            }
            SourceEvent::Whole { .. } => {}
            SourceEvent::Checkpoint(checkpoint) => {
                checkpoints += 1;
                let rest = only_pages(events(folder.path(), config(), Some(checkpoint)).await.unwrap());
                let mut joined = before.clone();
                joined.extend(cells(&rest));
                assert_eq!(joined.len(), 129);
                assert_eq!(joined.iter().collect::<std::collections::BTreeSet<_>>().len(), 129);
                assert_eq!(bad + refused(&rest).len(), 1);
            }
        }
    }
    // Every 7 rows of 100 and of 30, and at the end of each file.
    assert_eq!(checkpoints, 14 + 1 + 4 + 1);
}

#[tokio::test]
async fn a_read_of_nothing_new_gives_nothing() {
    let folder = folder("a.csv", people(0, 3));
    let config = || json!({ "path": "*.csv" });
    let first = events(folder.path(), config(), None).await.unwrap();
    assert_eq!(first.len(), 2);
    let again = events(folder.path(), config(), last(&first)).await.unwrap();
    assert!(again.is_empty());
    // Written again with the same content, renamed, or copied: still nothing new.
    touch(&folder.path().join("a.csv"), 5);
    assert!(events(folder.path(), config(), last(&first)).await.unwrap().is_empty());
    std::fs::rename(folder.path().join("a.csv"), folder.path().join("z.csv")).unwrap();
    assert!(events(folder.path(), config(), last(&first)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_changed_file_is_read_anew_and_only_it() {
    let folder = folder("a.csv", people(0, 3));
    std::fs::write(folder.path().join("b.csv"), people(10, 13)).unwrap();
    let config = || json!({ "path": "*.csv" });
    let first = last(&events(folder.path(), config(), None).await.unwrap());
    std::fs::write(folder.path().join("a.csv"), people(0, 5)).unwrap();
    let second = events(folder.path(), config(), first).await.unwrap();
    let third = last(&second);
    assert_eq!(cells(&only_pages(second)).len(), 5);
    assert!(events(folder.path(), config(), third).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_that_changed_in_the_middle_of_a_read_starts_over() {
    let folder = folder("a.csv", people(0, 20));
    let config = || json!({ "path": "a.csv", "checkpoint_rows": 8 });
    let all = events(folder.path(), config(), None).await.unwrap();
    let SourceEvent::Checkpoint(middle) = &all[1] else { panic!("a checkpoint after 8 rows") };
    assert_eq!(middle.state["files"]["a.csv"]["rows_done"], 8);
    std::fs::write(folder.path().join("a.csv"), people(5, 25)).unwrap();
    let rest = events(folder.path(), config(), Some(middle.clone())).await.unwrap();
    assert_eq!(cells(&only_pages(rest)).len(), 20);
}

#[tokio::test]
async fn other_settings_of_reading_read_everything_anew() {
    let folder = folder("a.csv", b"Nom;Ville\nZo\xe9;Paris\n");
    let config = |encoding| json!({ "path": "a.csv", "encoding": encoding });
    let first = events(folder.path(), config("windows-1250"), None).await.unwrap();
    let second = events(folder.path(), config("windows-1252"), last(&first)).await.unwrap();
    assert_eq!(cells(&only_pages(second)), rows(&[&["Zoé", "Paris"]]));
}

#[tokio::test]
async fn a_file_that_is_written_while_it_is_read_is_not_taken_for_complete() {
    let folder = folder("a.csv", people(0, 50_000));
    let source = source(folder.path(), json!({ "path": "a.csv" })).unwrap();
    let stream = source.streams().await.unwrap().remove(0);
    let mut read = source.read(&stream, None).await.unwrap();
    assert!(matches!(read.next().await, Some(Ok(SourceEvent::Page(_)))));
    // The reading thread waits: only a few pages are read ahead.
    touch(&folder.path().join("a.csv"), 9);
    let mut rest: Vec<_> = read.collect().await;
    let error = rest.pop().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(rest.iter().all(|event| matches!(event, Ok(SourceEvent::Page(_)))));
}

#[test]
fn dropping_the_stream_stops_the_read() {
    let folder = folder("a.csv", people(0, 100_000));
    let files = files(folder.path(), json!({ "path": "a.csv" })).unwrap();
    let (give, mut take) = tokio::sync::mpsc::channel(1);
    let reader = std::thread::spawn(move || pump(&files, None, &give));
    assert!(take.blocking_recv().is_some());
    drop(take);
    // The page taken, and at most the one that was already waiting.
    assert!(reader.join().unwrap() <= 2);
}

#[tokio::test]
async fn progress_counts_the_bytes_of_what_is_read() {
    let folder = folder("a.csv", people(0, 30_000));
    std::fs::write(folder.path().join("b.csv"), people(0, 10)).unwrap();
    let total = ["a.csv", "b.csv"].map(|name| std::fs::metadata(folder.path().join(name)).unwrap().len()).iter().sum();
    let progress: Vec<(u64, u64)> =
        pages(folder.path(), json!({ "path": "*.csv" })).await.unwrap().iter().map(|page| page.progress.unwrap()).collect();
    assert!(progress.is_sorted());
    assert!(progress.iter().all(|(_, all)| *all == total));
    assert_eq!(progress.last(), Some(&(total, total)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_table_survives_any_interruption(
        table in prop::collection::vec(prop::collection::vec("[ab\",;é\n]{0,5}", 3), 1..40),
        every in 1u64..12,
        stop in 0usize..20,
    ) {
        let mut writer = ::csv::WriterBuilder::new().quote_style(::csv::QuoteStyle::Always).from_writer(Vec::new());
        writer.write_record(["one", "two", "three"]).unwrap();
        for row in &table {
            writer.write_record(row).unwrap();
        }
        let folder = folder("a.csv", writer.into_inner().unwrap());
        let config = || json!({ "path": "a.csv", "delimiter": ",", "checkpoint_rows": every });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(async {
            let mut first = events(folder.path(), config(), None).await.unwrap();
            let at = first.iter().enumerate().filter(|(_, event)| matches!(event, SourceEvent::Checkpoint(_))).nth(stop);
            if let Some((at, _)) = at {
                first.truncate(at + 1);
                let rest = events(folder.path(), config(), last(&first)).await.unwrap();
                first.extend(rest);
            }
            cells(&only_pages(first))
        });
        let wanted: Rows = table.iter().map(|row| row.iter().cloned().map(Some).collect()).collect();
        prop_assert_eq!(found, wanted);
    }
}

async fn whole(base: &std::path::Path, from: Option<Checkpoint>) -> Collected {
    let source = source(base, json!({ "path": "*.csv", "key": "Email", "whole": true, "checkpoint_rows": 2 })).unwrap();
    let stream = source.streams().await.unwrap().remove(0);
    collect(source.as_ref(), &stream, from).await.unwrap()
}

#[tokio::test]
async fn files_that_are_all_there_is_tell_who_is_gone() {
    let folder = folder("a.csv", people(0, 3));
    std::fs::write(folder.path().join("b.csv"), people(10, 15)).unwrap();
    let config = json!({ "path": "*.csv", "key": "Email", "whole": true, "checkpoint_rows": 2 });
    let read = check_source_contract(source(folder.path(), config.clone()).unwrap().as_ref(), "records", 8).await.unwrap();
    assert_eq!((read.rows.len(), read.whole), (8, Some(Resumed::No)));
    let quiet = whole(folder.path(), read.last()).await;
    assert_eq!((quiet.rows.len(), quiet.whole), (0, None), "nothing changed");
    // One file changed: all are read, or nobody could tell who is in none.
    std::fs::write(folder.path().join("b.csv"), people(11, 15)).unwrap();
    let gone = read.rows[3].key.clone().unwrap();
    let source = source(folder.path(), config).unwrap();
    let second = check_deletion_arrives(source.as_ref(), "records", &read, &gone).await.unwrap();
    assert_eq!(second.rows.len(), 7);
    std::fs::remove_file(folder.path().join("a.csv")).unwrap();
    let third = whole(folder.path(), second.last()).await;
    assert_eq!((third.rows.len(), third.whole), (4, Some(Resumed::No)), "a file that went takes its records along");
}

#[tokio::test]
async fn a_whole_reading_that_is_broken_off_goes_on_and_one_with_a_broken_file_is_none() {
    let folder = folder("a.csv", people(0, 3));
    std::fs::write(folder.path().join("b.csv"), people(10, 15)).unwrap();
    let read = whole(folder.path(), None).await;
    let (rows, stopped) = read.checkpoints[1].clone();
    let rest = whole(folder.path(), Some(stopped)).await;
    assert_eq!((rows + rest.rows.len(), rest.whole), (8, Some(Resumed::Yes)));
    std::fs::write(folder.path().join("b.csv"), [0xff, 0xfe, 0x00]).unwrap();
    let config = json!({ "path": "*.csv", "key": "Email", "whole": true });
    let source = source(folder.path(), config).unwrap();
    let stream = source.streams().await.unwrap().remove(0);
    let mut got = Collected::default();
    collect_into(&mut got, source.as_ref(), &stream, read.last()).await.unwrap_err();
    assert_eq!((got.rows.len(), got.whole), (3, None));
    std::fs::write(folder.path().join("b.csv"), people(10, 12)).unwrap();
    let mended = whole(folder.path(), got.last()).await;
    assert_eq!((mended.rows.len(), mended.whole), (2, Some(Resumed::Yes)), "only what was missing is read");
}
