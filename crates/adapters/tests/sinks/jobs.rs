//! Salesforce: many rows go by a job of Bulk API 2.0, and converted leads are left alone.

use std::num::NonZeroU64;

use headwater_fakes::salesforce::Salesforce;
use headwater_fakes::{Conditions, Running};
use headwater_sdk::{DeliveryRow, ErrorKind, Lookup, Operation, Result, RowOutcome, Sink};
use serde_json::json;

use crate::benches::salesforce;
use crate::{added, change, fake, key, refused, row, sink_of, write};

fn to_jobs(fake: &Running<Salesforce>, object: &str) -> Result<Box<dyn Sink>> {
    let config = json!({ "url": fake.url(), "client_id": { "env": "T" }, "client_secret": { "env": "T" }, "object": object,
                         "bulk_from_rows": 10, "bulk_wait": "5ms" });
    sink_of("salesforce", config, headwater_fakes::salesforce::SECRET)
}

fn people(count: usize) -> Vec<DeliveryRow> {
    let person = |number| {
        let fields = [("LastName", format!("O'Brien, \"Ada\"\n{number}")), ("Email", format!("ada{number}@example.com"))];
        row(number, &[&fields[..], &[("HasOptedOutOfEmail", "true".to_owned())]].concat())
    };
    (0..count).map(person).collect()
}

#[tokio::test]
async fn many_rows_are_one_job_and_few_are_none() {
    let fake = salesforce(Conditions::default()).await;
    let sink = to_jobs(&fake, "Contact").unwrap();
    assert_eq!(refused(&write(&*sink, &people(9)).await), []);
    assert_eq!(fake.with(|vendor| vendor.jobs_done()), 0);
    // Results come in pages of a thousand.
    let rows = &people(2_609)[9..];
    let outcomes = write(&*sink, rows).await;
    assert_eq!(refused(&outcomes), []);
    assert_eq!((fake.with(|vendor| vendor.jobs_done()), fake.with(|vendor| vendor.contacts().len())), (1, 2_609));
    let RowOutcome::Created { remote_id } = &outcomes[2_000] else { panic!("{:?}", outcomes[2_000]) };
    let held = fake.with(|vendor| vendor.contacts().get(remote_id).unwrap().fields.clone());
    assert_eq!(held["Email"], "ada2009@example.com", "a result is tied to its row");
    assert_eq!(held["LastName"], "O'Brien, \"Ada\"\n2009", "quotes, commas and line breaks arrive as they are");
}

#[tokio::test]
async fn of_a_job_only_the_poison_stays_out() {
    let fake = salesforce(Conditions { refuse: Some("Poison".to_owned()), ..Conditions::default() }).await;
    let mut rows = people(40);
    for number in [0, 21, 39] {
        rows[number].fields.insert("LastName".to_owned(), Some(format!("Poison {number}")));
    }
    let outcomes = write(&*to_jobs(&fake, "Contact").unwrap(), &rows).await;
    let refused = refused(&outcomes);
    assert_eq!(refused.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 21, 39]);
    assert!(refused.iter().all(|(_, reason)| reason.contains("LastName") && !reason.contains("Poison")), "{refused:?}");
    assert_eq!(fake.with(|vendor| vendor.contacts().len()), 37);
}

/// In a job's file an empty cell leaves a field alone: rows of one job change different fields, and clear some.
#[tokio::test]
async fn changes_of_one_job_touch_each_their_own_fields() {
    let fake = salesforce(Conditions::default()).await;
    let sink = to_jobs(&fake, "Contact").unwrap();
    let made = write(&*sink, &people(12)).await;
    let id = |outcome: &RowOutcome| match outcome {
        RowOutcome::Created { remote_id } => remote_id.clone(),
        other => panic!("{other:?}"),
    };
    let ids: Vec<String> = made.iter().map(id).collect();
    let mut changes: Vec<DeliveryRow> = ids.iter().map(|id| change(id, &[("Title", "Engineer")])).collect();
    changes[3].fields = [("LastName".to_owned(), Some("King".to_owned())), ("Email".to_owned(), None)].into();
    for (number, row) in changes.iter_mut().enumerate() {
        row.prospect_id = format!("prs_{number}");
    }
    changes[5].operation = Operation::Update { remote_id: "gone".to_owned() };
    let outcomes = write(&*sink, &changes).await;
    assert!(matches!(&outcomes[5], RowOutcome::Rejected { .. }), "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, RowOutcome::Updated { .. })).count(), 11, "{outcomes:?}");
    let held = |number: usize| fake.with(|vendor| vendor.contacts().get(&ids[number]).unwrap().fields.clone());
    assert_eq!(
        (held(3).get("LastName").map(String::as_str), held(3).get("Email"), held(3).get("Title")),
        (Some("King"), None, None)
    );
    assert_eq!((held(4)["Title"].as_str(), held(4)["Email"].as_str()), ("Engineer", "ada4@example.com"));
    assert_eq!(fake.with(|vendor| vendor.jobs_done()), 2);
}

/// Whichever answer of a job gets lost, the rows are there once.
#[tokio::test]
async fn a_job_whose_answers_get_lost_doubles_nobody() {
    let fake = salesforce(Conditions { lose_answer_every: NonZeroU64::new(1), ..Conditions::default() }).await;
    let rows = people(25);
    let first = to_jobs(&fake, "Contact").unwrap().write(&rows).await;
    if let Err(error) = &first {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    fake.set(Conditions::default());
    let doubtful: Vec<DeliveryRow> = rows.into_iter().map(|row| DeliveryRow { doubtful: true, ..row }).collect();
    let again = write(&*to_jobs(&fake, "Contact").unwrap(), &doubtful).await;
    assert!(again.iter().all(|outcome| matches!(outcome, RowOutcome::Unchanged { .. })), "{again:?}");
    assert_eq!(fake.with(|vendor| vendor.contacts().len()), 25);
}

#[tokio::test]
async fn a_converted_lead_is_left_alone_and_names_its_contact() {
    let mut vendor = Salesforce::with_leads();
    vendor.add_external_id("Headwater_Id__c");
    let fake = fake(vendor, Conditions::default()).await;
    let sink = to_jobs(&fake, "Lead").unwrap();
    let fields =
        added(&[("LastName", "Lovelace"), ("Email", "ada@example.com"), ("IsConverted", "true"), ("ConvertedContactId", "003A")]);
    let id = fake.with(|vendor| vendor.contacts().insert(fields, 0));
    let found = sink.lookup(&[key("Email", "ada@example.com")]).await.unwrap();
    assert!(matches!(found.as_slice(), [Lookup::Found(_)]), "{found:?}");
    let outcomes = write(&*sink, &[change(&id, &[("LastName", "King")])]).await;
    let refused = refused(&outcomes);
    assert!(matches!(refused.as_slice(), [(0, reason)] if reason.contains("003A")), "{refused:?}");
    assert_eq!(fake.counts().writes, 0);
}
