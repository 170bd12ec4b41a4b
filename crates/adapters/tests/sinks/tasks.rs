//! Tasks about people: each made once, whatever happens, and found again.

use std::num::NonZeroU64;

use headwater_fakes::Conditions;
use headwater_sdk::testkit_sink::{Poison, check_poison, check_removal_contract, check_sink_contract};
use headwater_sdk::{BuildContext, Clock, Companion, Connector as _, DeliveryRow, Lookup, MatchKey, Result, RowOutcome, Sink};

use crate::benches::{Bench, with_tasks};
use crate::{change, losing, row, settings, write};

/// What a vendor calls the parts of a task, and the values of fields that it needs.
pub(crate) struct TaskFields {
    /// What is to be done.
    pub(crate) text: &'static str,
    /// By when.
    pub(crate) due: (&'static str, &'static str),
}

struct Rig<'a> {
    bench: &'a Bench,
    fields: &'a TaskFields,
    person: String,
}

impl<'a> Rig<'a> {
    /// Somebody is there whom tasks are about.
    async fn of(bench: &'a Bench, fields: &'a TaskFields) -> Self {
        let outcomes = write(&*bench.sink().unwrap(), &bench.rows(1)).await;
        let [RowOutcome::Created { remote_id }] = &outcomes[..] else { panic!("{}: {outcomes:?}", bench.name) };
        Self { bench, fields, person: remote_id.clone() }
    }

    fn tasks(&self) -> Result<Box<dyn Sink>> {
        let (config, cx) = settings((self.bench.config)(self.bench.fake.url()), self.bench.secret);
        self.bench.connector.companion(&Companion::Tasks, &config, &cx)
    }

    /// Those that wait for no budget.
    fn tasks_at_once(&self) -> Result<Box<dyn Sink>> {
        let (config, cx) = settings((self.bench.config)(self.bench.fake.url()), self.bench.secret);
        let cx = BuildContext { clock: Clock::virtual_from(cx.clock.now()), ..cx };
        self.bench.connector.companion(&Companion::Tasks, &config, &cx)
    }

    /// Tasks about the same person.
    fn rows(&self, count: usize) -> Vec<DeliveryRow> {
        let field = self.tasks().unwrap().person_field().unwrap().to_owned();
        let (due, when) = self.fields.due;
        let task = |number| {
            let text = format!("Call O'Brien ({number}) & Söhne");
            let fields = [(self.fields.text, text), (due, when.to_owned()), (field.as_str(), self.person.clone())];
            DeliveryRow { prospect_id: format!("call-prs_{number}"), ..row(number, &fields) }
        };
        (0..count).map(task).collect()
    }

    /// How many tasks there are beside the one person.
    fn records(&self) -> usize {
        self.bench.records() - 1
    }
}

#[tokio::test]
async fn every_sink_with_tasks_keeps_the_contract_of_sinks_and_of_removals() {
    let benches = Box::pin(with_tasks(&Conditions::default())).await;
    assert!(benches.len() >= 9, "a vendor is missing");
    let each = benches.iter().map(|(bench, fields)| async move {
        let rig = Rig::of(bench, fields).await;
        let sink = rig.tasks().unwrap();
        sink.check().await.unwrap();
        assert!(sink.company_field().is_none());
        check_removal_contract(|| rig.tasks_at_once(), &rig.rows(4), |lose| bench.fake.set(losing(lose, bench.fake.counts())))
            .await;
        assert_eq!(rig.records(), 0, "{}", bench.name);
        check_sink_contract(|| rig.tasks_at_once(), &rig.rows(4)).await;
        assert_eq!(rig.records(), 4, "{}", bench.name);
    });
    futures::future::join_all(each).await;
}

/// A task whose answer is lost is not made twice: the next run looks for it.
#[tokio::test]
async fn a_lost_answer_makes_no_task_twice() {
    let lossy = Conditions { lose_answer_every: NonZeroU64::new(2), search_lag_ms: 40, ..Conditions::default() };
    for (bench, fields) in &Box::pin(with_tasks(&lossy)).await {
        println!("{}", bench.name);
        // The first answer arrives, the second is lost.
        let rig = Rig::of(bench, fields).await;
        let mut rows = rig.rows(1);
        let mut outcomes = Vec::new();
        for _ in 0..4 {
            outcomes = match rig.tasks().unwrap().write(&rows).await {
                Ok(report) => report.into_outcomes(),
                Err(_) => Vec::new(),
            };
            if matches!(&outcomes[..], [RowOutcome::Created { .. } | RowOutcome::Unchanged { .. }]) {
                break;
            }
            rows[0].doubtful = true;
        }
        assert!(matches!(&outcomes[..], [RowOutcome::Unchanged { .. }]), "{}: {outcomes:?}", bench.name);
        assert_eq!((rig.records(), bench.fake.counts().lost), (1, 1), "{}", bench.name);
    }
}

/// Tasks that a CRM has already are found by a ledger that was made anew; those that people made are not taken for ours.
#[tokio::test]
async fn a_task_is_found_by_our_id_among_those_of_its_person() {
    for (bench, fields) in &Box::pin(with_tasks(&Conditions::default())).await {
        println!("{}", bench.name);
        let rig = Rig::of(bench, fields).await;
        let (sink, rows) = (rig.tasks().unwrap(), rig.rows(2));
        let outcomes = write(&*sink, &rows[..1]).await;
        let [RowOutcome::Created { remote_id }] = &outcomes[..] else { panic!("{}: {outcomes:?}", bench.name) };
        let keys = |id: &str| {
            let ours = MatchKey { field: "external_id".to_owned(), value: id.to_owned() };
            let person = MatchKey { field: sink.person_field().unwrap().to_owned(), value: rig.person.clone() };
            if sink.identity_field().is_some() { vec![ours, person] } else { vec![ours] }
        };
        let found = sink.lookup(&[keys("call-prs_0"), keys("call-prs_1"), keys("thank-prs_0")]).await.unwrap();
        let [Lookup::Found(record), Lookup::Absent, Lookup::Absent] = &found[..] else { panic!("{}: {found:?}", bench.name) };
        assert_eq!((&record.remote_id, record.matched_on.as_str()), (remote_id, "external_id"), "{}", bench.name);
    }
}

/// Zoho lists a contact's tasks that are done apart from the open ones.
#[tokio::test]
async fn a_task_that_somebody_has_done_is_not_made_again() {
    let benches = Box::pin(with_tasks(&Conditions::default())).await;
    let (bench, fields) = benches.iter().find(|(bench, _)| bench.name == "zoho").unwrap();
    let rig = Rig::of(bench, fields).await;
    let rows = rig.rows(1);
    let made = write(&*rig.tasks().unwrap(), &rows).await;
    let [RowOutcome::Created { remote_id }] = &made[..] else { panic!("{made:?}") };
    let done = write(&*rig.tasks().unwrap(), &[change(remote_id, &[("Status", "Completed")])]).await;
    assert!(matches!(done[..], [RowOutcome::Updated { .. }]), "{done:?}");
    let again = DeliveryRow { doubtful: true, ..rows[0].clone() };
    assert_eq!(write(&*rig.tasks().unwrap(), &[again]).await, [RowOutcome::Unchanged { remote_id: remote_id.clone() }]);
    assert_eq!(rig.records(), 1);
}

/// The remote is asked for the contact's lead first. Where it knows of no such contact, that row alone is refused.
#[tokio::test]
async fn a_task_about_a_contact_who_is_gone_is_refused_alone() {
    let benches = Box::pin(with_tasks(&Conditions::default())).await;
    let (bench, fields) = benches.iter().find(|(bench, _)| bench.name == "close").unwrap();
    let rig = Rig::of(bench, fields).await;
    let mut rows = rig.rows(2);
    rows[0].fields.insert("contact".to_owned(), Some("cont_9".to_owned()));
    let outcomes = write(&*rig.tasks().unwrap(), &rows).await;
    let [RowOutcome::Rejected { reason }, RowOutcome::Created { .. }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(reason, "the remote knows nothing of what the row is about");
    let keys = [("external_id", "call-prs_0"), ("contact", "cont_9")];
    let keys = keys.map(|(field, value)| MatchKey { field: field.to_owned(), value: value.to_owned() }).to_vec();
    assert_eq!(rig.tasks().unwrap().lookup(&[keys]).await.unwrap(), [Lookup::Absent]);
}

/// Where our id stands in a text, a change of something else leaves that text as it is.
#[tokio::test]
async fn another_day_takes_neither_our_id_nor_the_text_from_a_task() {
    let mut tried = 0;
    for (bench, fields) in &Box::pin(with_tasks(&Conditions::default())).await {
        let marked = match bench.name {
            "attio" => "content",
            "close" => "text",
            "freshsales" => "description",
            "pipedrive" => "note",
            _ => continue,
        };
        tried += 1;
        let rig = Rig::of(bench, fields).await;
        let sink = rig.tasks().unwrap();
        let mut rows = rig.rows(1);
        rows[0].fields.insert(marked.to_owned(), Some("Ask for O'Brien".to_owned()));
        let made = write(&*sink, &rows).await;
        let [RowOutcome::Created { remote_id }] = &made[..] else { panic!("{}: {made:?}", bench.name) };
        let (due, later) = (fields.due.0, fields.due.1.replace("-01", "-02"));
        let updated = [RowOutcome::Updated { remote_id: remote_id.clone() }];
        let put_off = DeliveryRow { prospect_id: rows[0].prospect_id.clone(), ..change(remote_id, &[(due, &later)]) };
        assert_eq!(write(&*sink, &[put_off]).await, updated, "{}", bench.name);
        let held = sink.fetch(remote_id).await.unwrap().unwrap().fields;
        let held = |name: &str| held.get(name).and_then(Option::as_deref);
        assert_eq!((held(marked), held("headwater_id")), (Some("Ask for O'Brien"), Some("call-prs_0")), "{}", bench.name);
    }
    assert_eq!(tried, 4);
}

#[tokio::test]
async fn poison_keeps_no_other_task_out() {
    let refuse = Some("Poison".to_owned());
    for (bench, fields) in &Box::pin(with_tasks(&Conditions { refuse, ..Conditions::default() })).await {
        println!("{}", bench.name);
        let rig = Rig::of(bench, fields).await;
        let poison = Poison { places: &[0, 7, 8], field: fields.text, named: None, value: "Poison" };
        check_poison(|| rig.tasks(), &rig.rows(12), poison).await;
        assert_eq!(rig.records(), 9, "{}", bench.name);
    }
}
