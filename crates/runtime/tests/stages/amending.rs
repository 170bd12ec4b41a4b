//! Runs that write those alone who changed leave the lake that a run over everybody leaves.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use headwater_model::tables::{self, Table};
use headwater_runtime::review::{self, Verdict};
use headwater_runtime::sync::{StageName, SyncOptions};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::rig::Rig;

const PROJECT: &str = "\
sources:
  list: { connector: script, origin: list, basis: { lawful_basis: legitimate_interest } }
  forms: { connector: script, origin: form }
  clicks: { connector: script, role: engagements }
  orders: { connector: script, role: conversions, currency: EUR }
";
const COLUMNS: &[&str] = &["email", "given_name", "family_name", "phone", "company_name", "linkedin_url", "created_at"];
const ORDER: &[&str] = &["email", "phone", "value", "kind", "occurred_at"];
const CLICK: &[&str] = &["email", "kind", "occurred_at"];
const GIVEN: [&str; 5] = ["Ada", "Bruno", "Mira", "Tariq", "Greta"];
const FAMILY: [&str; 7] = ["Lovett", "Ferrand", "Osei", "Lindqvist", "Quillon", "Oster", "Brandt"];

/// The way to write a person with a profile that others have too.
const PLACEHOLDER: usize = 8;

/// Something that happens between two runs.
#[derive(Debug, Clone)]
enum Event {
    /// A source says of a key that it is this person, written in this way.
    Said { source: &'static str, key: usize, who: usize, way: usize },
    /// A record is gone.
    Gone { source: &'static str, key: usize },
    /// Somebody buys, or gets their money back.
    Ordered { key: usize, who: usize, kind: &'static str, by_phone: bool },
    /// Somebody clicks, or leaves.
    Clicked { key: usize, who: usize, kind: &'static str },
    /// A question of the review is answered, or somebody is split.
    Reviewed { which: usize, verdict: Option<Verdict> },
}

fn event() -> impl Strategy<Value = Event> {
    let source = || prop::sample::select(vec!["list", "forms"]);
    prop_oneof![
        8 => (source(), 0..90_usize, 0..60_usize, 0..=PLACEHOLDER)
            .prop_map(|(source, key, who, way)| Event::Said { source, key, who, way }),
        1 => (source(), 0..90_usize).prop_map(|(source, key)| Event::Gone { source, key }),
        2 => (0..20_usize, 0..60_usize, prop::sample::select(vec!["order", "refund"]), any::<bool>())
            .prop_map(|(key, who, kind, by_phone)| Event::Ordered { key, who, kind, by_phone }),
        2 => (0..20_usize, 0..60_usize, prop::sample::select(vec!["click", "reply", "unsubscribe"]))
            .prop_map(|(key, who, kind)| Event::Clicked { key, who, kind }),
        1 => (0..8_usize, prop::option::of(prop::sample::select(vec![Verdict::Same, Verdict::Different])))
            .prop_map(|(which, verdict)| Event::Reviewed { which, verdict }),
    ]
}

/// The cells of a person, with as much of it as the way leaves.
fn cells(who: usize, way: usize) -> [String; COLUMNS.len()] {
    let (given, family) = (GIVEN[who % GIVEN.len()], FAMILY[who % FAMILY.len()]);
    let email = format!("{given}.{family}{who}@firm{}.example", who % 9).to_lowercase();
    let unless = |hidden: bool, text: String| if hidden { String::new() } else { text };
    let profile = if way == PLACEHOLDER { "anybody".to_owned() } else { format!("person-{}", who % 30) };
    [
        unless(way == 1, email),
        given.to_owned(),
        unless(way == 2, family.to_owned()),
        unless(way.is_multiple_of(2), format!("+4930123{:04}", who % 40)),
        unless(way == 3, format!("Firm {}", who % 9)),
        unless(!matches!(way, 5 | PLACEHOLDER), format!("linkedin.com/in/{profile}")),
        format!("2025-0{}-01", 1 + way % PLACEHOLDER),
    ]
}

async fn happen(rig: &Rig, event: &Event) {
    match event {
        Event::Said { source, key, who, way } => {
            let cells = cells(*who, *way);
            rig.scripts.say(source, COLUMNS, &[(&key.to_string(), &cells.each_ref().map(String::as_str))]);
        }
        Event::Gone { source, key } => {
            rig.scripts.say_gone(source, COLUMNS, &[(&key.to_string(), &[""; COLUMNS.len()])]);
        }
        Event::Ordered { key, who, kind, by_phone } => {
            let [email, _, _, phone, ..] = cells(*who, 7);
            let (email, phone) = if *by_phone { ("", phone.as_str()) } else { (email.as_str(), "") };
            rig.scripts.say("orders", ORDER, &[(&key.to_string(), &[email, phone, "12.50", kind, "2025-06-01"])]);
        }
        Event::Clicked { key, who, kind } => {
            let [email, ..] = cells(*who, 7);
            rig.scripts.say("clicks", CLICK, &[(&key.to_string(), &[&email, kind, "2025-07-01"])]);
        }
        Event::Reviewed { which, verdict: Some(verdict) } => {
            let waiting = review::list(&rig.engine, 100).await.unwrap().pairs;
            if let Some(pair) = waiting.get(*which) {
                // Answers may contradict each other, and are refused then.
                drop(review::decide(&rig.engine, std::slice::from_ref(&pair.review_id), *verdict).await);
            }
        }
        Event::Reviewed { which, verdict: None } => {
            let mut links = rows(rig, &tables::IDENTITY_LINK, &["prospect_id", "lead_id"]).await;
            links.dedup_by(|next, first| next[0] != first[0]);
            links.retain(|link| !link.is_empty());
            if let Some([prospect, lead]) = links.get(*which).map(|link| &link[..]) {
                // Somebody of one record cannot be split.
                drop(review::split(&rig.engine, prospect, std::slice::from_ref(lead)).await);
            }
        }
    }
}

/// The rows of a table in order: these columns, or all but those that say when or by which run a row was written.
async fn rows(rig: &Rig, table: &'static Table, columns: &[&str]) -> Vec<Vec<String>> {
    const WRITTEN: [&str; 3] = ["decided_at", "at", "run_id"];
    let all: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    // A transition's `at` is when it happened, and not when it was written.
    let is_stamp = |name: &&str| WRITTEN.contains(name) && table.name != tables::LIFECYCLE_TRANSITION.name;
    let kept: Vec<&str> = all.into_iter().filter(|name| !is_stamp(name)).collect();
    let columns = if columns.is_empty() { &kept[..] } else { columns };
    let snapshot = rig.engine.store.snapshot().await.unwrap();
    let mut rows = Vec::new();
    let options = FormatOptions::default();
    for batch in snapshot.read(table, columns, None).unwrap() {
        let batch = batch.unwrap();
        let cells: Vec<_> = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        rows.extend((0..batch.num_rows()).map(|row| cells.iter().map(|cell| cell.value(row).to_string()).collect::<Vec<_>>()));
    }
    rows.sort_unstable();
    rows
}

/// Takes from the cursor what the last run read: the next one writes everybody.
async fn forget_seen(rig: &Rig) {
    let Some(cursor) = rig.engine.store.cursor("resolve").await.unwrap() else { return };
    let mut value = cursor.value;
    value.as_object_mut().unwrap().remove("seen");
    let mut commit = rig.engine.store.commit("run_test", rig.now());
    commit.advance("resolve", Some(cursor.sequence), &value);
    commit.execute().await.unwrap();
}

/// How many of the runs wrote those alone who changed.
async fn compare(engine: &str, steps: &[Vec<Event>]) -> Result<usize, TestCaseError> {
    let project = format!("{PROJECT}identity: {{ engine: {engine}, review_above: 0.05 }}\n");
    let (alone, whole) = (Rig::new(&project).await, Rig::new(&project).await);
    let mut amended = 0;
    let begin: Vec<_> = (0..40_usize).map(|n| (n.to_string(), cells(n, n % 8))).collect();
    let begin: Vec<_> = begin.iter().map(|(key, cells)| (key, cells.each_ref().map(String::as_str))).collect();
    let begin: Vec<(&str, &[&str])> = begin.iter().map(|(key, cells)| (key.as_str(), &cells[..])).collect();
    for (number, step) in std::iter::once(&Vec::new()).chain(steps).enumerate() {
        for rig in [&alone, &whole] {
            if number == 0 {
                rig.scripts.say("list", COLUMNS, &begin);
            }
            for event in step {
                happen(rig, event).await;
            }
        }
        forget_seen(&whole).await;
        // Both see one time, which goes on with every look at it.
        let now = alone.now().max(whole.now());
        [&alone, &whole].iter().for_each(|rig| rig.wait(now - rig.now()));
        let options = SyncOptions { stages: vec![StageName::Ingest, StageName::Resolve], ..SyncOptions::default() };
        let (one, two) = (alone.try_sync(&options).await.unwrap().resolve, whole.try_sync(&options).await.unwrap().resolve);
        prop_assert_eq!(one, two, "step {}", number);
        for table in [
            &tables::PROSPECT,
            &tables::PROSPECT_FIELD,
            &tables::IDENTITY_LINK,
            &tables::IDENTITY_EVENT,
            &tables::LIFECYCLE_TRANSITION,
            &tables::FACT_LINK,
        ] {
            let (one, two) = (rows(&alone, table, &[]).await, rows(&whole, table, &[]).await);
            let differs = |from: &[Vec<String>], to: &[Vec<String>]| -> Vec<Vec<String>> {
                from.iter().filter(|row| to.binary_search(row).is_err()).take(3).cloned().collect()
            };
            prop_assert!(
                one == two,
                "step {number}, {}: {} and {} rows; alone only {:?}, whole only {:?}",
                table.name,
                one.len(),
                two.len(),
                differs(&one, &two),
                differs(&two, &one)
            );
        }
        amended += usize::from(alone.engine.store.snapshot().await.unwrap().files(&tables::PROSPECT).len() > 1);
    }
    Ok(amended)
}

/// Runs the same for every engine; that some runs wrote a part alone is told apart, or the test would say nothing.
fn hold(steps: &[Vec<Event>]) -> TestCaseResult {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for engine in ["exact", "probabilistic"] {
        runtime.block_on(compare(engine, steps))?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn people_who_are_written_alone_are_who_they_are_in_a_run_over_all(
        steps in prop::collection::vec(prop::collection::vec(event(), 1..5), 2..5)
    ) {
        hold(&steps)?;
    }
}

#[tokio::test]
async fn few_changes_are_written_alone_and_many_or_other_rules_as_a_whole() {
    let one = |key, who, way| Event::Said { source: "forms", key, who, way };
    let few =
        vec![vec![one(1, 3, 0)], vec![one(2, 41, 7)], vec![Event::Ordered { key: 1, who: 5, kind: "order", by_phone: false }]];
    for engine in ["exact", "probabilistic"] {
        assert_eq!(compare(engine, &few).await.unwrap(), 3, "{engine}");
    }
    let crowd = vec![(0..16).map(|n| one(n, n, PLACEHOLDER)).collect(), vec![one(20, 50, PLACEHOLDER)], vec![one(21, 51, 0)]];
    assert_eq!(compare("probabilistic", &crowd).await.unwrap(), 2, "names say that the profile is a placeholder");
    let many = vec![vec![one(50, 7, 0)], (0..16).map(|n| one(n, n, 0)).collect()];
    assert_eq!(compare("exact", &many).await.unwrap(), 1, "the second run changes too many");
}
