//! What holds for every sink that is data, whatever the vendor: the contract, and what may go wrong with any of them.

use std::num::NonZeroU64;
use std::pin::Pin;

use headwater_fakes::{Conditions, Rate, RetryAfter};
use headwater_sdk::testkit_sink::{
    AWKWARD_ADDRESSES, Awkward, Poison, check_awkward_values, check_moved, check_poison, check_removal_contract,
    check_sink_contract,
};
use headwater_sdk::{DeliveryRow, ErrorKind, RowOutcome, Sink};

use crate::benches::{Bench, benches};
use crate::{losing, write};

/// Rounds until everything must have an outcome: a run waits and goes on as often.
const ROUNDS: usize = 12;

/// Does the same with all vendors at once, and names the one that fails.
async fn all(conditions: &Conditions, test: impl for<'a> Fn(&'a Bench) -> Pin<Box<dyn Future<Output = ()> + 'a>>) {
    let benches = Box::pin(benches(conditions)).await;
    assert!(benches.len() >= 11, "a vendor is missing");
    let each = benches.iter().map(|bench| async {
        let caught = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(test(bench))).await;
        caught.err().map(|_| bench.name)
    });
    let failed: Vec<&str> = futures::future::join_all(each).await.into_iter().flatten().collect();
    assert_eq!(failed, Vec::<&str>::new(), "vendors that failed; their messages stand above");
}

/// Writes as a run does: what has no outcome is offered again as doubtful, until all have one.
async fn deliver(sink: &dyn Sink, rows: &[DeliveryRow]) -> Vec<RowOutcome> {
    let mut outcomes: Vec<Option<RowOutcome>> = vec![None; rows.len()];
    let mut left: Vec<(usize, DeliveryRow)> = rows.iter().cloned().enumerate().collect();
    for _ in 0..ROUNDS {
        let offered: Vec<DeliveryRow> = left.iter().map(|(_, row)| row.clone()).collect();
        match sink.write(&offered).await {
            Ok(report) => {
                for ((place, _), outcome) in left.iter().zip(report.into_outcomes()) {
                    outcomes[*place] = Some(outcome).filter(|outcome| !matches!(outcome, RowOutcome::Retry { .. }));
                }
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
        left.retain(|(place, _)| outcomes[*place].is_none());
        left.iter_mut().for_each(|(_, row)| row.doubtful = true);
        if left.is_empty() {
            break;
        }
    }
    outcomes.into_iter().map(|outcome| outcome.expect("a row has no outcome after all rounds")).collect()
}

fn arrived(outcome: &RowOutcome) -> bool {
    matches!(outcome, RowOutcome::Created { .. } | RowOutcome::Updated { .. } | RowOutcome::Unchanged { .. })
}

#[tokio::test]
async fn every_sink_keeps_the_contract_of_sinks() {
    all(&Conditions::default(), |bench| {
        Box::pin(async move {
            check_sink_contract(|| bench.sink(), &bench.rows(4)).await;
            assert_eq!(bench.records(), 4);
        })
    })
    .await;
}

#[tokio::test]
async fn every_sink_keeps_the_contract_of_removals() {
    all(&Conditions::default(), |bench| {
        Box::pin(async move {
            check_removal_contract(|| bench.sink(), &bench.rows(4), |lose| bench.fake.set(losing(lose, bench.fake.counts())))
                .await;
        })
    })
    .await;
}

/// Whatever the vendor: the sink looks again just before it writes.
#[tokio::test]
async fn what_somebody_changed_since_the_plan_stays() {
    all(&Conditions::default(), |bench| {
        Box::pin(async move {
            let values = ["as planned", "O'Brien by hand", "as we would have it"];
            check_moved(|| bench.sink(), &bench.rows(1)[0], (bench.text.0, values)).await;
        })
    })
    .await;
}

#[tokio::test]
async fn poison_keeps_nobody_else_out() {
    poisoned(false).await;
}

/// Some vendors refuse a whole batch for one row in it, and do not say which.
#[tokio::test]
async fn poison_in_a_batch_that_is_refused_as_a_whole_keeps_nobody_else_out() {
    poisoned(true).await;
}

async fn poisoned(whole_batch_fails: bool) {
    let refuse = Some("Poison".to_owned());
    all(&Conditions { refuse, whole_batch_fails, ..Conditions::default() }, |bench| {
        Box::pin(async move {
            let (field, named) = bench.text;
            let poison = Poison { places: &[0, 17, 18, 59, 104], field, named: Some(named), value: "Poison" };
            check_poison(|| bench.sink_at_once(), &bench.rows(105), poison).await;
            assert_eq!(bench.records(), 100, "{}", bench.name);
        })
    })
    .await;
}

/// An answer that is lost after the vendor wrote leaves nobody out and makes nobody twice.
#[tokio::test]
async fn a_lost_answer_doubles_nobody() {
    let lossy = Conditions { lose_answer_every: NonZeroU64::new(2), search_lag_ms: 40, ..Conditions::default() };
    all(&lossy, |bench| {
        Box::pin(async move {
            let outcomes = deliver(&*bench.sink().unwrap(), &bench.rows(6)).await;
            assert!(outcomes.iter().all(arrived), "{}: {outcomes:?}", bench.name);
            assert_eq!(bench.records(), 6, "{}", bench.name);
            let state = bench.fake.state().to_string();
            assert!((0..6).all(|number| state.contains(&format!("ada{number}@"))), "{}: {state}", bench.name);
            if bench.fake.counts().writes > 1 {
                assert!(bench.fake.counts().lost > 0, "{}: no answer was lost", bench.name);
            }
        })
    })
    .await;
}

#[tokio::test]
async fn a_server_error_leaves_nobody_out_and_makes_nobody_twice() {
    all(&Conditions { fail_every: NonZeroU64::new(4), ..Conditions::default() }, |bench| {
        Box::pin(async move {
            let outcomes = deliver(&*bench.sink().unwrap(), &bench.rows(3)).await;
            assert!(outcomes.iter().all(arrived), "{}: {outcomes:?}", bench.name);
            assert_eq!(bench.records(), 3, "{}", bench.name);
        })
    })
    .await;
}

/// A token that ends in the middle of a run is renewed; the same credentials that are refused end it.
#[tokio::test]
async fn a_token_that_ends_is_renewed_and_wrong_credentials_are_told() {
    all(&Conditions { token_calls: Some(2), ..Conditions::default() }, |bench| {
        Box::pin(async move {
            let sink = bench.sink().unwrap();
            for rows in bench.rows(6).chunks(2) {
                assert!(write(&*sink, rows).await.iter().all(arrived), "{}", bench.name);
            }
            assert_eq!(bench.records(), 6, "{}", bench.name);
            let told = bench.sink_with("wrong-0000").unwrap().write(&bench.rows(8)[6..]).await.unwrap_err();
            assert_eq!(told.kind(), ErrorKind::Auth, "{}: {told}", bench.name);
            assert!(!told.to_string().contains("wrong-0000"), "{}: {told}", bench.name);
            assert_eq!(bench.records(), 6, "{}", bench.name);
        })
    })
    .await;
}

#[tokio::test]
async fn a_call_too_many_waits_as_long_as_it_is_told_in_seconds() {
    too_many_calls(Some(RetryAfter::Seconds)).await;
}

#[tokio::test]
async fn a_call_too_many_waits_until_the_date_that_it_is_told() {
    too_many_calls(Some(RetryAfter::Date)).await;
}

async fn too_many_calls(retry_after: Option<RetryAfter>) {
    let rate = Some(Rate { calls: 3, window_ms: 700 });
    all(&Conditions { rate, retry_after, ..Conditions::default() }, |bench| {
        Box::pin(async move {
            let sink = bench.sink().unwrap();
            for rows in bench.rows(4).chunks(1) {
                assert!(write(&*sink, rows).await.iter().all(arrived), "{}", bench.name);
            }
            let counts = bench.fake.counts();
            assert_eq!(bench.records(), 4, "{}", bench.name);
            // Who waits as it was told comes too early once for every request in flight, and not again and again.
            assert!((1..=16).contains(&counts.limited), "{}: {counts:?}", bench.name);
        })
    })
    .await;
}

/// An address that another record has refuses its row for good: trying again would change nothing.
#[tokio::test]
async fn an_address_of_somebody_else_refuses_its_row_alone() {
    all(&Conditions::default(), |bench| {
        Box::pin(async move {
            let sink = bench.sink().unwrap();
            if !bench.unique {
                return;
            }
            let rows = bench.rows(3);
            assert!(write(&*sink, &rows[..1]).await.iter().all(arrived), "{}", bench.name);
            let mut double = rows[1].clone();
            double.fields.insert(bench.email.to_owned(), rows[0].fields[bench.email].clone());
            let outcomes = write(&*sink, &[double, rows[2].clone()]).await;
            assert!(matches!(outcomes[0], RowOutcome::Rejected { .. }), "{}: {outcomes:?}", bench.name);
            assert!(matches!(outcomes[1], RowOutcome::Created { .. }), "{}: {outcomes:?}", bench.name);
            assert_eq!(bench.records(), 2, "{}", bench.name);
        })
    })
    .await;
}

/// What stands in a name or an address is data: it stays as it is, finds its record and no other, and breaks no query.
#[tokio::test]
async fn a_name_or_an_address_cannot_break_anything() {
    all(&Conditions::default(), |bench| {
        Box::pin(async move {
            let awkward = Awkward { text: bench.text.0, email: Some(bench.email), addresses: &AWKWARD_ADDRESSES };
            check_awkward_values(|| bench.sink_at_once(), &bench.rows(AWKWARD_ADDRESSES.len()), awkward).await;
        })
    })
    .await;
}
