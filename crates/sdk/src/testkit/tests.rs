use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::StreamExt as _;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::mapping::{Mapping, Origin, Role};
use serde_json::json;

use super::*;
use crate::sink::Fields;
use crate::source::EventStream;
use crate::{DeliveryRow, Lookup, MatchKey, Operation, Result, RowOutcome, Sink, Source, SourceEvent, StreamSpec, TextRows};

/// Ten numbers, two to a page; its fault decides which rule it breaks.
#[derive(Debug, Default)]
struct Numbers {
    fault: Fault,
    reads: AtomicUsize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    SkipsOnResume,
    NoLastCheckpoint,
    Remembers,
    RepeatsAll,
    UndeclaredField,
    MapsNothing,
    Hangs,
    Whole,
    WholeWhenResumed,
    WholeTooEarly,
    WholeUncovered,
    WholeUndeclared,
    NeverWhole,
}

const PAGE: u64 = 2;
const END: u64 = 10;

impl Fault {
    fn is_whole(self) -> bool {
        matches!(
            self,
            Self::Whole
                | Self::WholeWhenResumed
                | Self::WholeTooEarly
                | Self::WholeUncovered
                | Self::WholeUndeclared
                | Self::NeverWhole
        )
    }
}

impl Numbers {
    fn with(fault: Fault) -> Self {
        Self { fault, reads: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Source for Numbers {
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn streams(&self) -> Result<Vec<StreamSpec>> {
        let theirs = if self.fault == Fault::MapsNothing { "nothing" } else { "n" };
        Ok(vec![StreamSpec {
            name: "numbers".to_owned(),
            role: Role::Leads,
            origin: Origin::List,
            fields: vec![if self.fault == Fault::UndeclaredField { "m" } else { "n" }.to_owned()],
            mapping: if self.fault == Fault::UndeclaredField {
                Mapping::default()
            } else {
                Mapping::of([("external_id", theirs)])
            },
            vendor: None,
            whole: self.fault.is_whole() && self.fault != Fault::WholeUndeclared,
            notes: None,
        }])
    }

    async fn read(&self, _: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream> {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed) as u64;
        let fault = self.fault;
        if fault == Fault::Hangs {
            return Ok(futures::stream::pending().boxed());
        }
        // A whole read that came to its end begins again.
        let resumed = from.and_then(|from| from.state.as_u64()).filter(|at| !(fault.is_whole() && *at == END));
        let start = match (fault, resumed) {
            (Fault::SkipsOnResume, Some(at)) => at + 1,
            (Fault::RepeatsAll, _) => 0,
            (Fault::Remembers, None) => reads.min(3),
            (_, at) => at.unwrap_or(0),
        };
        let pages = (start..END).step_by(2).flat_map(move |at| {
            let mut rows = TextRows::new(["n"]);
            (at..(at + PAGE).min(END)).for_each(|n| rows.push(&n.to_string(), "{}", [Some(n.to_string())]));
            let next = (at + PAGE).min(END);
            let last = fault == Fault::NoLastCheckpoint && next == END;
            let checkpoint = SourceEvent::Checkpoint(Checkpoint::new(1, json!(next)));
            let whole = match fault {
                Fault::Whole | Fault::WholeUndeclared | Fault::WholeUncovered | Fault::WholeWhenResumed => next == END,
                Fault::WholeTooEarly => next == END - PAGE,
                _ => false,
            };
            let resumed = resumed.is_some_and(|at| at > 0) && fault != Fault::WholeWhenResumed;
            let whole = whole.then_some(Ok(SourceEvent::Whole { resumed, shifting: false }));
            let checkpoint = (!last).then_some(Ok(checkpoint));
            let page = Some(rows.finish("numbers").map(SourceEvent::Page));
            let events = if fault == Fault::WholeUncovered { [page, checkpoint, whole] } else { [page, whole, checkpoint] };
            events.into_iter().flatten()
        });
        Ok(futures::stream::iter(pages.collect::<Vec<_>>()).boxed())
    }
}

#[tokio::test]
async fn a_good_source_passes() {
    let all = check_source_contract(&Numbers::default(), "numbers", 0).await.unwrap();
    assert_eq!((all.rows.len(), all.checkpoints.len()), (10, 5));
}

#[tokio::test]
async fn a_source_that_shows_everything_passes_and_misses_what_is_removed() {
    let source = Numbers::with(Fault::Whole);
    let all = check_source_contract(&source, "numbers", 10).await.unwrap();
    assert_eq!(all.whole, Some(Resumed::No));
    let breach = check_deletion_arrives(&source, "numbers", &all, "3").await.unwrap_err().to_string();
    assert_eq!(breach, "S8: a record that was removed is not missed", "it is shown still");
    check_deletion_arrives(&source, "numbers", &all, "99").await.unwrap();
    let silent = check_deletion_arrives(&Numbers::default(), "numbers", &all, "99").await.unwrap_err().to_string();
    assert_eq!(silent, "S8: a record that was removed is not missed", "nothing is said of it");
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_found_by_its_rule() {
    for (fault, rule) in [
        (Fault::SkipsOnResume, "S2: resuming"),
        (Fault::NoLastCheckpoint, "S1"),
        (Fault::Remembers, "S3"),
        (Fault::RepeatsAll, "S2: a read from the last checkpoint repeats 10"),
        (Fault::UndeclaredField, "S4"),
        (Fault::MapsNothing, "streams"),
        (Fault::Hangs, "S5"),
        (Fault::WholeWhenResumed, "S8: a read from row 2 of 10"),
        (Fault::WholeTooEarly, "S8: rows come after"),
        (Fault::WholeUncovered, "S8: no checkpoint"),
        (Fault::WholeUndeclared, "S8: the stream says"),
        (Fault::NeverWhole, "S8: a read from the beginning"),
    ] {
        let breach = check_source_contract(&Numbers::with(fault), "numbers", 0).await.unwrap_err().to_string();
        assert!(breach.starts_with(rule), "{fault:?}: {breach}");
    }
}

#[tokio::test]
async fn chaos_is_the_same_for_one_seed_and_ends_when_resumed() {
    let run = async |seed| {
        let source = ChaosSource::new(Numbers::default(), seed, 6);
        let stream = source.streams().await.unwrap().remove(0);
        let (mut from, mut steps) = (None, Vec::new());
        loop {
            let mut events = source.read(&stream, from.clone()).await.unwrap();
            let mut seen = 0;
            let broken = loop {
                match events.next().await {
                    None => break false,
                    Some(Err(_)) => break true,
                    Some(Ok(SourceEvent::Checkpoint(checkpoint))) => from = Some(checkpoint),
                    Some(Ok(SourceEvent::Page(_) | SourceEvent::Whole { .. })) => {}
                }
                seen += 1;
            };
            steps.push(seen);
            if !broken {
                return (steps, from.unwrap().state);
            }
        }
    };
    let (first, second) = (run(7).await, run(7).await);
    assert_eq!(first, second);
    assert_eq!(first.1, json!(END));
}

fn row(id: &str, name: &str) -> DeliveryRow {
    DeliveryRow {
        key: format!("{id}/{name}"),
        prospect_id: id.to_owned(),
        operation: Operation::Create,
        fields: Fields::from([("name".to_owned(), Some(name.to_owned()))]),
        match_keys: Vec::new(),
        doubtful: false,
        seen: Fields::new(),
    }
}

#[tokio::test]
async fn the_fake_sink_keeps_one_record_per_person_though_an_answer_is_lost() {
    let sink = FakeSink::default();
    sink.fail_after();
    sink.write(&[row("p1", "Ada")]).await.unwrap_err();
    sink.fail_before();
    sink.write(&[row("p2", "Bram")]).await.unwrap_err();
    assert_eq!(sink.records().len(), 1);
    let outcomes = sink.write(&[row("p1", "Ada"), row("p2", "Bram")]).await.unwrap().into_outcomes();
    assert!(matches!(outcomes.as_slice(), [RowOutcome::Unchanged { .. }, RowOutcome::Created { .. }]), "{outcomes:?}");
    assert_eq!((sink.records().len(), sink.calls()), (2, 3));
}

#[tokio::test]
async fn the_fake_sink_refuses_a_row_alone_and_does_not_guess_between_two() {
    let sink = FakeSink::default();
    sink.refuse("name", "Bram");
    let outcomes = sink.write(&[row("p1", "Ada"), row("p2", "Bram")]).await.unwrap().into_outcomes();
    assert!(matches!(outcomes.as_slice(), [RowOutcome::Created { .. }, RowOutcome::Rejected { .. }]), "{outcomes:?}");
    sink.put("by-hand", Fields::from([("name".to_owned(), Some("Ada".to_owned()))]));
    let key = |field: &str, value: &str| vec![MatchKey { field: field.to_owned(), value: value.to_owned() }];
    let found = sink.lookup(&[key("name", "Ada"), key("external_id", "p1"), key("name", "Cleo")]).await.unwrap();
    assert!(matches!(found.as_slice(), [Lookup::Ambiguous(2), Lookup::Found(_), Lookup::Absent]), "{found:?}");
}
