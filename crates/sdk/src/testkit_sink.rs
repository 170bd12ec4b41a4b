//! What every sink must keep, whatever is behind it: K1, K3, K4, K6, "unchanged" on a repeat, poison that keeps nobody else out, and
//! names that stay what they are.
//!
//! The kit makes a new sink for each step, so that nothing a sink remembers can pass for something the remote has.

#![expect(clippy::panic, reason = "a test kit fails by panicking")]

use crate::sink::{DeliveryRow, EXTERNAL_ID, Lookup, MOVED, MatchKey, Operation, Removal, RowOutcome};
use crate::{ErrorKind, Result, Sink};

/// Holds a sink against its contract. `make` gives a sink on the same remote each time it is called; `rows` are at least three
/// creates of different people whom the remote does not have and would take.
///
/// - K1: outcomes stand in row order, also when the rows of one call fare differently.
/// - K3: the rows sent again as doubtful creates make no second record, and land on the ids of the first time.
/// - K4: what was reported as written is there for another sink at once.
/// - A repeated write, as a create or as an update, is reported as unchanged; a sink without lookup may update again.
///
/// # Panics
/// When the contract is broken, saying which part.
pub async fn check_sink_contract(make: impl Fn() -> Result<Box<dyn Sink>>, rows: &[DeliveryRow]) {
    let fresh = || make().unwrap_or_else(|error| panic!("the sink cannot be made: {error}"));
    let capability = fresh().capability();
    assert!(rows.len() >= 3, "the kit needs at least three rows");
    assert!(rows.len() <= capability.max_rows, "K5: the kit's rows are more than the sink takes");
    assert!(rows.iter().all(|row| row.operation == Operation::Create && !row.doubtful));

    assert!(write(&*fresh(), &[]).await.is_empty(), "K1: no rows, no outcomes");

    let second = rows.get(1).map_or(&[][..], std::slice::from_ref);
    let early = created(write(&*fresh(), second).await);
    assert_eq!(early.len(), 1, "the row is created");

    let mixed: Vec<DeliveryRow> = rows.iter().enumerate().map(|(index, row)| doubtful(row, index == 1)).collect();
    let outcomes = write(&*fresh(), &mixed).await;
    let ids: Vec<String> = outcomes.iter().map(remote_id).collect();
    for (index, outcome) in outcomes.iter().enumerate() {
        let expected = match (index, outcome) {
            (1, RowOutcome::Unchanged { remote_id }) => early.first() == Some(remote_id),
            (1, _) => false,
            (_, outcome) => matches!(outcome, RowOutcome::Created { .. }),
        };
        assert!(expected, "K1, K3: outcome {index} is {outcome:?}, but only the row with index 1 was there");
    }
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), rows.len(), "different people have different remote ids");

    let again: Vec<DeliveryRow> = rows.iter().rev().map(|row| doubtful(row, true)).collect();
    let outcomes = write(&*fresh(), &again).await;
    for (outcome, id) in outcomes.iter().zip(ids.iter().rev()) {
        assert_unchanged(outcome, id, "K3: a doubtful create of what is there");
    }

    let updates: Vec<DeliveryRow> = rows
        .iter()
        .zip(&ids)
        .map(|(row, id)| DeliveryRow { operation: Operation::Update { remote_id: id.clone() }, ..row.clone() })
        .collect();
    for (outcome, id) in write(&*fresh(), &updates).await.iter().zip(&ids) {
        // Who cannot read records back cannot see that nothing changes; who can must say so.
        if capability.lookup || !matches!(outcome, RowOutcome::Updated { .. }) {
            assert_unchanged(outcome, id, "an update to what is there");
        }
        assert_eq!(&remote_id(outcome), id, "an update stays with its record");
    }

    if capability.lookup {
        check_lookup(&*fresh(), rows, &ids).await;
    }
}

/// Holds a sink that removes records against its contract. `rows` are creates of different people whom the remote does not have;
/// it does not have them afterwards either.
///
/// - What `fetch` reads back is what was written, field by field: an undo compares with it.
/// - K6: a record that is removed is gone for another sink, once and not twice, and the others stay.
/// - K6: what is removed twice is removed both times, also when the first answer was lost. `lose` makes the remote lose the answer
///   to the next call that writes, or none any more; it does nothing where no answer can get lost.
///
/// # Panics
/// When the contract is broken, saying which part.
pub async fn check_removal_contract(make: impl Fn() -> Result<Box<dyn Sink>>, rows: &[DeliveryRow], lose: impl Fn(bool)) {
    let fresh = || make().unwrap_or_else(|error| panic!("the sink cannot be made: {error}"));
    assert!(fresh().removes() && fresh().capability().lookup, "the kit needs a sink that reads back and removes");
    assert!(rows.len() >= 3, "the kit needs at least three rows");
    let ids = created(write(&*fresh(), rows).await);
    assert_eq!(ids.len(), rows.len(), "every row is created");
    for (row, id) in rows.iter().zip(&ids) {
        let held = fetched(&*fresh(), id).await.unwrap_or_else(|| panic!("what was written can be fetched"));
        for (field, value) in row.fields.iter().filter(|(_, value)| value.is_some()) {
            let held = held.get(field).and_then(Option::as_deref);
            assert_eq!(plain(held), plain(value.as_deref()), "the field {field} is read back as it was written");
        }
    }
    let (Some(id), Some(row)) = (ids.first(), rows.first()) else { panic!("there is a first row") };
    let (taken, others) = (std::slice::from_ref(id), ids.get(1..).unwrap_or_default());
    assert_eq!(removed(&*fresh(), taken).await, [Removal::Removed], "K6: what is there is removed");
    assert_eq!(fetched(&*fresh(), id).await, None, "K6: what was removed is gone");
    assert_eq!(removed(&*fresh(), taken).await, [Removal::Gone], "K6: what is gone is not removed again");
    for other in others {
        assert!(fetched(&*fresh(), other).await.is_some(), "K6: nothing else is removed");
    }
    fresh().release(others.first().unwrap_or(id), "nobody").await.unwrap_or_else(|error| panic!("the release failed: {error}"));
    let wanted: Vec<Vec<MatchKey>> = rows.iter().map(|row| keys(&*fresh(), row)).collect();
    let found = fresh().lookup(&wanted).await.unwrap_or_else(|error| panic!("the lookup failed: {error}"));
    for (index, answer) in found.iter().enumerate() {
        assert_eq!(
            matches!(answer, Lookup::Found(_)),
            index > 0,
            "K6: our id stands where it stood, but for {}",
            row.prospect_id
        );
    }
    let (kept, lost) = others.split_at(1.min(others.len()));
    let removals = removed(&*fresh(), kept).await;
    assert!(removals.iter().all(|removal| *removal == Removal::Removed), "K6: one answer per id, in order: {removals:?}");
    lose(true);
    let first = removed(&*fresh(), lost).await;
    lose(false);
    let second = removed(&*fresh(), lost).await;
    for removal in first.iter().chain(&second) {
        let is_gone = matches!(removal, Removal::Removed | Removal::Gone);
        assert!(is_gone, "K6: what is removed twice is removed both times, also when the first answer was lost: {removal:?}");
    }
    for id in lost {
        assert_eq!(fetched(&*fresh(), id).await, None, "K6: what was removed is gone, though the answer was lost");
    }
}

/// Rows that the remote refuses among others that it takes.
#[derive(Debug, Clone, Copy)]
pub struct Poison<'a> {
    /// Which rows are refused.
    pub places: &'a [usize],
    /// The field that holds what is refused.
    pub field: &'a str,
    /// What it holds: a word that must stand in no reason. Its row's number is written behind it.
    pub value: &'a str,
    /// How the remote's reason names the field; nothing where the remote does not say which it is.
    pub named: Option<&'a str>,
}

/// Holds a sink against this: of n rows of which the remote refuses k, n − k arrive and k are refused, each with the field and the
/// reason and without the value. A call that is refused as a whole is halved, as a run does. `rows` are creates that the remote
/// does not have and would take, but for the poison that is put in here; give more than one batch of them.
///
/// # Panics
/// When the contract is broken, saying which part.
pub async fn check_poison(make: impl Fn() -> Result<Box<dyn Sink>>, rows: &[DeliveryRow], poison: Poison<'_>) {
    let sink = make().unwrap_or_else(|error| panic!("the sink cannot be made: {error}"));
    let mut rows = rows.to_vec();
    for (place, row) in rows.iter_mut().enumerate().filter(|(place, _)| poison.places.contains(place)) {
        row.fields.insert(poison.field.to_owned(), Some(format!("{}{place}", poison.value)));
    }
    let mut told = Vec::with_capacity(rows.len());
    for call in rows.chunks(sink.capability().max_rows) {
        told.extend(halved(&*sink, call).await);
    }
    assert_eq!(told.len(), rows.len(), "K1: every row has one outcome");
    for (place, outcome) in told.iter().enumerate() {
        match outcome {
            RowOutcome::Rejected { reason } if poison.places.contains(&place) => {
                let named = poison.named.is_none_or(|field| reason.contains(field));
                assert!(named, "row {place}: the reason does not name the field: {reason}");
                assert!(!reason.contains(poison.value), "row {place}: the reason tells the value: {reason}");
            }
            RowOutcome::Created { .. } if !poison.places.contains(&place) => {}
            other => panic!("row {place} is {other:?}; refused must be {:?} alone", poison.places),
        }
    }
    if sink.capability().lookup {
        let wanted: Vec<Vec<MatchKey>> = rows.iter().map(|row| keys(&*sink, row)).collect();
        for (chunk, from) in wanted.chunks(50).zip((0..).step_by(50)) {
            let found = sink.lookup(chunk).await.unwrap_or_else(|error| panic!("the lookup failed: {error}"));
            for (answer, place) in found.iter().zip(from..) {
                let there = matches!(answer, Lookup::Found(_));
                assert_eq!(there, !poison.places.contains(&place), "row {place} is {answer:?} in the remote");
            }
        }
    }
}

/// The outcomes of rows, each half of a refused call offered apart.
async fn halved(sink: &dyn Sink, rows: &[DeliveryRow]) -> Vec<RowOutcome> {
    let (mut told, mut todo) = (Vec::new(), vec![rows]);
    while let Some(rows) = todo.pop() {
        match sink.write(rows).await {
            Ok(report) => told.extend(report.into_outcomes()),
            Err(error) if error.kind() == ErrorKind::Rejected && rows.len() > 1 => {
                let (one, other) = rows.split_at(rows.len() / 2);
                todo.extend([other, one]);
            }
            Err(error) if error.kind() == ErrorKind::Rejected => {
                told.push(RowOutcome::Rejected { reason: error.message().to_owned() });
            }
            Err(error) => panic!("the write failed: {error}"),
        }
    }
    told
}

/// Names and words that would end a text, a statement or a template, were they not taken for data.
pub const AWKWARD_TEXTS: [&str; 9] = [
    "O'Brien",
    "O''Brien",
    r#"Ada "the Countess" Example"#,
    r"back\slash\' or 1=1; --",
    "Robert'); DROP TABLE people;--",
    "${row.id} {{ 7*7 }} {% if x %}",
    "a,b;c|d\te",
    "%27 &amp; <b>=1+1",
    "Zoë 🦊 O\u{2019}Brien",
];

/// Addresses that would break a search, were they not taken for data. Not every remote takes each of them for an address.
pub const AWKWARD_ADDRESSES: [&str; 12] = [
    r#"o'brien"@example.com"#,
    r#""o'brien"@example.com"#,
    r"back\slash'@example.com",
    "(a),b)@example.com",
    "x' or '1' eq '1@example.com",
    "') OR (Id != '@example.com",
    "%27+or+1=1&a=b#c@example.com",
    "${row.id}{{7*7}}@example.com",
    "a|,|b@example.com",
    "*?/../_%@example.com",
    "ümläut+tag@example.com",
    "\u{201c}o\u{2019}brien\u{201d}@example.com",
];

/// Where a sink keeps names and addresses, and which of the latter its remote takes.
#[derive(Debug, Clone, Copy)]
pub struct Awkward<'a> {
    /// A field of text.
    pub text: &'a str,
    /// The field with the address; nothing where the remote has none that can be searched.
    pub email: Option<&'a str>,
    /// Addresses to try, all different: [`AWKWARD_ADDRESSES`], or those of them that the remote takes for addresses.
    pub addresses: &'a [&'a str],
}

/// Holds a sink against this: what a person is called is data. It is read back as it was written, finds its record and no other,
/// and breaks no query. `rows` are creates that the remote does not have and would take, as many as the longer of the two lists.
///
/// # Panics
/// When it is otherwise, saying with which text.
pub async fn check_awkward_values(make: impl Fn() -> Result<Box<dyn Sink>>, rows: &[DeliveryRow], awkward: Awkward<'_>) {
    let sink = make().unwrap_or_else(|error| panic!("the sink cannot be made: {error}"));
    let wanted = AWKWARD_TEXTS.len().max(awkward.addresses.len());
    assert_eq!(rows.len(), wanted, "the kit needs a row for each text");
    let mut rows = rows.to_vec();
    for (place, row) in rows.iter_mut().enumerate() {
        let text = AWKWARD_TEXTS.get(place % AWKWARD_TEXTS.len()).copied().unwrap_or_default();
        row.fields.insert(awkward.text.to_owned(), Some(text.to_owned()));
        if let (Some(email), Some(address)) = (awkward.email, awkward.addresses.get(place)) {
            row.fields.insert(email.to_owned(), Some((*address).to_owned()));
        }
    }
    let outcomes = write(&*sink, &rows).await;
    let ids: Vec<String> = outcomes.iter().map(remote_id).collect();
    if !sink.capability().lookup {
        return;
    }
    for (row, id) in rows.iter().zip(&ids) {
        let held = fetched(&*sink, id).await.unwrap_or_else(|| panic!("what was written can be fetched"));
        let (held, given) = (held.get(awkward.text).cloned().flatten(), row.fields.get(awkward.text).cloned().flatten());
        assert_eq!(held, given, "a text is read back as it was written");
    }
    let Some(email) = awkward.email else { return };
    let keys = |end: &str| -> Vec<Vec<MatchKey>> {
        let key = |address: &&str| vec![MatchKey { field: email.to_owned(), value: format!("{address}{end}") }];
        awkward.addresses.iter().map(key).collect()
    };
    let found = sink.lookup(&keys("")).await.unwrap_or_else(|error| panic!("the lookup failed: {error}"));
    for ((found, id), address) in found.iter().zip(&ids).zip(awkward.addresses) {
        let one = matches!(found, Lookup::Found(record) if record.remote_id == *id);
        assert!(one, "{address} finds {found:?}, not {id}");
    }
    let strangers = sink.lookup(&keys(".example")).await.unwrap_or_else(|error| panic!("the lookup failed: {error}"));
    assert!(strangers.iter().all(|found| *found == Lookup::Absent), "somebody is found by an address of nobody: {strangers:?}");
}

/// Holds a sink that reads a record before it changes it against this: what somebody else changed since the plan is not written over,
/// and the row says that the record moved. `row` is a create that the remote does not have and would take, with a value in `field`;
/// three values that the remote takes there are the plan's, somebody else's and ours.
///
/// # Panics
/// When it is otherwise, saying how.
pub async fn check_moved(
    make: impl Fn() -> Result<Box<dyn Sink>>,
    row: &DeliveryRow,
    (field, [planned, theirs, ours]): (&str, [&str; 3]),
) {
    let fresh = || make().unwrap_or_else(|error| panic!("the sink cannot be made: {error}"));
    let set = |value: &str| crate::sink::Fields::from([(field.to_owned(), Some(value.to_owned()))]);
    let mut first = row.clone();
    first.fields.extend(set(planned));
    let ids = created(write(&*fresh(), &[first]).await);
    let Some(id) = ids.first() else { panic!("the row is created") };
    let change = |value: &str, seen| DeliveryRow {
        operation: Operation::Update { remote_id: id.clone() },
        fields: set(value),
        seen,
        ..row.clone()
    };
    let updated = [RowOutcome::Updated { remote_id: id.clone() }];
    let held = || async { fetched(&*fresh(), id).await.and_then(|fields| fields.get(field).cloned().flatten()) };
    assert_eq!(
        write(&*fresh(), &[change(theirs, crate::sink::Fields::new())]).await,
        updated,
        "somebody else changes the record"
    );
    let moved = [RowOutcome::Rejected { reason: MOVED.to_owned() }];
    assert_eq!(write(&*fresh(), &[change(ours, set(planned))]).await, moved, "what was planned for another value");
    assert_eq!(held().await.as_deref(), Some(theirs), "nothing is written over");
    assert_eq!(write(&*fresh(), &[change(ours, set(theirs))]).await, updated, "what was planned for what is there");
    assert_eq!(held().await.as_deref(), Some(ours));
    let again = write(&*fresh(), &[change(ours, set(theirs))]).await;
    assert_eq!(again, [RowOutcome::Unchanged { remote_id: id.clone() }], "an attempt whose answer was lost has done it");
}

/// A value without what remotes write in a form of their own: space around it, a flag's case, the zeros at a fraction's end.
fn plain(value: Option<&str>) -> Option<String> {
    let text = value?.trim();
    let flag = text.to_ascii_lowercase();
    Some(match text.split_once('.') {
        _ if flag == "true" || flag == "false" => flag,
        Some((_, fraction)) if !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => text.to_owned(),
    })
}

async fn fetched(sink: &dyn Sink, id: &str) -> Option<crate::sink::Fields> {
    let record = sink.fetch(id).await.unwrap_or_else(|error| panic!("the fetch failed: {error}"));
    record.map(|record| record.fields)
}

async fn removed(sink: &dyn Sink, ids: &[String]) -> Vec<Removal> {
    let removals = sink.remove(ids).await.unwrap_or_else(|error| panic!("the removal failed: {error}"));
    assert_eq!(removals.len(), ids.len(), "K6: one answer per id");
    removals
}

/// What a row's record is found by: our id, or what the remote tells records apart by; a companion's record by our id among those
/// of its person.
fn keys(sink: &dyn Sink, row: &DeliveryRow) -> Vec<MatchKey> {
    let ours = MatchKey { field: EXTERNAL_ID.to_owned(), value: row.prospect_id.clone() };
    let Some(field) = sink.identity_field() else { return vec![ours] };
    let value = row.fields.get(field).cloned().flatten();
    let value = value.unwrap_or_else(|| panic!("the kit's rows need the field {field}"));
    let identity = MatchKey { field: field.to_owned(), value };
    if sink.person_field() == Some(field) { vec![ours, identity] } else { vec![identity] }
}

/// K4, and that a lookup answers in order and finds exactly one record per row.
async fn check_lookup(sink: &dyn Sink, rows: &[DeliveryRow], ids: &[String]) {
    let mut wanted: Vec<Vec<MatchKey>> = rows.iter().rev().map(|row| keys(sink, row)).collect();
    let matched_on = sink.identity_field().filter(|field| sink.person_field() != Some(*field)).unwrap_or(EXTERNAL_ID);
    wanted.push(vec![MatchKey { field: matched_on.to_owned(), value: "nobody-has-this-id".to_owned() }]);
    wanted.push(Vec::new());
    let found = sink.lookup(&wanted).await.unwrap_or_else(|error| panic!("the lookup failed: {error}"));
    assert_eq!(found.len(), wanted.len(), "a lookup answers every row");
    for (answer, id) in found.iter().zip(ids.iter().rev()) {
        match answer {
            Lookup::Found(record) => {
                assert_eq!(&record.remote_id, id, "K4: a lookup by our id finds our record");
                assert_eq!(record.matched_on, matched_on);
            }
            Lookup::Absent | Lookup::Ambiguous(_) => {
                panic!("K3, K4: our id must stand in exactly one record, but the lookup says {answer:?}")
            }
        }
    }
    for absent in found.iter().skip(ids.len()) {
        assert_eq!(absent, &Lookup::Absent, "nothing is found by an unknown id, nor by no key at all");
    }
    for id in ids {
        let record = sink.fetch(id).await.unwrap_or_else(|error| panic!("the fetch failed: {error}"));
        assert_eq!(record.map(|record| record.remote_id).as_ref(), Some(id), "K4: what was written can be fetched");
    }
}

async fn write(sink: &dyn Sink, rows: &[DeliveryRow]) -> Vec<RowOutcome> {
    let report = sink.write(rows).await.unwrap_or_else(|error| panic!("the write failed: {error}"));
    let outcomes = report.into_outcomes();
    assert_eq!(outcomes.len(), rows.len(), "K1: one outcome per row");
    outcomes
}

fn doubtful(row: &DeliveryRow, doubtful: bool) -> DeliveryRow {
    DeliveryRow { doubtful, ..row.clone() }
}

fn created(outcomes: Vec<RowOutcome>) -> Vec<String> {
    let id = |outcome| match outcome {
        RowOutcome::Created { remote_id } => Some(remote_id),
        RowOutcome::Updated { .. } | RowOutcome::Unchanged { .. } | RowOutcome::Rejected { .. } | RowOutcome::Retry { .. } => {
            None
        }
    };
    outcomes.into_iter().filter_map(id).collect()
}

fn remote_id(outcome: &RowOutcome) -> String {
    match outcome {
        RowOutcome::Created { remote_id } | RowOutcome::Updated { remote_id } | RowOutcome::Unchanged { remote_id } => {
            remote_id.clone()
        }
        RowOutcome::Rejected { .. } | RowOutcome::Retry { .. } => {
            panic!("K1: the remote takes all of the kit's rows, but one is {outcome:?}")
        }
    }
}

fn assert_unchanged(outcome: &RowOutcome, id: &str, what: &str) {
    assert_eq!(outcome, &RowOutcome::Unchanged { remote_id: id.to_owned() }, "{what} changes nothing");
}
