//! A source that says what a test tells it to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _};
use headwater_model::checkpoint::Checkpoint;
use headwater_model::conform::fields_of;
use headwater_model::mapping::{Mapping, Origin, Role};
use headwater_model::page::{Page, Places, Refused};
use headwater_sdk::{
    BuildContext, ConfigDoc, Connector, ConnectorSpec, Error, ErrorKind, EventStream, Result, Source, SourceEvent, StreamSpec,
};
use serde_json::json;
use tokio::sync::Barrier;

/// One record: its key (none when empty), its cells (an empty one is absent), whether it is gone.
pub(crate) type Record<'a> = (&'a str, &'a [&'a str]);

#[derive(Debug, Clone)]
enum Step {
    Page(Box<Page>),
    Checkpoint,
    /// Everything was shown.
    Whole {
        shifting: bool,
    },
    /// Breaks off, once.
    Fail(ErrorKind),
}

/// What each connection of the connector `script` will say. A checkpoint is the number of steps behind it.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    steps: Mutex<BTreeMap<String, Vec<Step>>>,
    acknowledged: Mutex<Vec<(String, u64)>>,
}

impl Scripts {
    fn push(&self, connection: &str, step: Step) {
        self.steps.lock().unwrap().entry(connection.to_owned()).or_default().push(step);
    }

    /// A page that no checkpoint covers yet.
    pub(crate) fn page(&self, connection: &str, columns: &[&str], records: &[Record<'_>]) {
        self.push(connection, Step::Page(Box::new(page(columns, records))));
    }

    pub(crate) fn checkpoint(&self, connection: &str) {
        self.push(connection, Step::Checkpoint);
    }

    /// A page and the checkpoint that covers it.
    pub(crate) fn say(&self, connection: &str, columns: &[&str], records: &[Record<'_>]) {
        self.page(connection, columns, records);
        self.checkpoint(connection);
    }

    /// A page of records that are gone.
    pub(crate) fn say_gone(&self, connection: &str, columns: &[&str], records: &[Record<'_>]) {
        let mut page = page(columns, records);
        page.deleted = Some(vec![true; records.len()]);
        self.push(connection, Step::Page(Box::new(page)));
        self.checkpoint(connection);
    }

    /// A page of records that the remote wrote so, and the checkpoint that covers it.
    pub(crate) fn say_written(&self, connection: &str, columns: &[&str], records: &[Record<'_>], raw: &str) {
        let mut page = page(columns, records);
        page.raw = Some(StringArray::from(vec![raw; records.len()]));
        self.push(connection, Step::Page(Box::new(page)));
        self.checkpoint(connection);
    }

    /// A page with a row that could not even be read.
    pub(crate) fn say_unreadable(&self, connection: &str) {
        let mut page = page(&["email"], &[]);
        let (code, raw) = ("ragged_row", "a,b,c".to_owned());
        page.refused.push(Refused { place: "list.csv:7".to_owned(), code, field: None, reason: "has 3 cells".to_owned(), raw });
        self.push(connection, Step::Page(Box::new(page)));
        self.checkpoint(connection);
    }

    /// From now on the connection has these records, and shows all of them in every read, two to a page.
    pub(crate) fn has(&self, connection: &str, columns: &[&str], records: &[Record<'_>]) {
        self.begin(connection);
        records.chunks(2).for_each(|records| self.say(connection, columns, records));
        self.whole(connection, false);
    }

    /// Says nothing of what it said before.
    pub(crate) fn begin(&self, connection: &str) {
        self.steps.lock().unwrap().insert(connection.to_owned(), Vec::new());
    }

    /// Says that everything was shown, and covers it.
    pub(crate) fn whole(&self, connection: &str, shifting: bool) {
        self.push(connection, Step::Whole { shifting });
        self.checkpoint(connection);
    }

    /// Breaks off, once, before this step.
    pub(crate) fn fail_at(&self, connection: &str, step: usize) {
        let mut steps = self.steps.lock().unwrap();
        steps.entry(connection.to_owned()).or_default().insert(step, Step::Fail(ErrorKind::Unavailable));
    }

    pub(crate) fn fail(&self, connection: &str, kind: ErrorKind) {
        self.push(connection, Step::Fail(kind));
    }

    /// The checkpoints that were acknowledged.
    pub(crate) fn acknowledged(&self, connection: &str) -> Vec<u64> {
        let all = self.acknowledged.lock().unwrap();
        all.iter().filter(|(of, _)| of == connection).map(|(_, at)| *at).collect()
    }
}

fn page(columns: &[&str], records: &[Record<'_>]) -> Page {
    let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let cell = |record: &Record<'_>, column: usize| Some(record.1[column].to_owned()).filter(|cell| !cell.is_empty());
    let column = |column: usize| records.iter().map(|record| cell(record, column)).collect::<StringArray>();
    let cells: Vec<ArrayRef> = (0..columns.len()).map(|at| Arc::new(column(at)) as ArrayRef).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), cells, &options).unwrap();
    let mut page = Page::new(batch, Places::Request("script".to_owned())).unwrap();
    page.keys = Some(records.iter().map(|(key, _)| Some(*key).filter(|key| !key.is_empty())).collect());
    page
}

/// The connector of scripts.
pub(crate) struct ScriptConnector(pub(crate) Arc<Scripts>);

impl Connector for ScriptConnector {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "script",
            title: "Script",
            summary: "a test".into(),
            source_schema: Some(json!({})),
            sink_schema: None,
            readme: "",
        }
    }

    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Config {
            token: Option<headwater_sdk::SecretRef>,
            #[serde(default)]
            columns: Vec<String>,
            #[serde(default)]
            whole: bool,
            #[serde(default)]
            together: bool,
        }
        let Config { token, columns, whole, together } = config.parse()?;
        token.map(|token| cx.secret(&token)).transpose()?;
        let both = together.then(|| Arc::new(Barrier::new(2)));
        Ok(Box::new(ScriptSource { scripts: Arc::clone(&self.0), connection: config.connection.clone(), columns, whole, both }))
    }
}

struct ScriptSource {
    scripts: Arc<Scripts>,
    connection: String,
    columns: Vec<String>,
    /// Whether every read shows everything: the last checkpoint is then the beginning of the next.
    whole: bool,
    /// Where it has two streams, neither of which says anything before both were asked.
    both: Option<Arc<Barrier>>,
}

#[async_trait]
impl Source for ScriptSource {
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn streams(&self) -> Result<Vec<StreamSpec>> {
        let roles = [Role::Leads, Role::Engagements, Role::Conversions, Role::Costs];
        let names = roles.into_iter().flat_map(fields_of).map(|name| (*name, *name));
        let mut mapping = Mapping::of(names);
        mapping.0.values_mut().for_each(|rule| rule.from.dedup());
        let all = StreamSpec {
            name: "all".to_owned(),
            role: Role::Leads,
            origin: Origin::Import,
            fields: self.columns.clone(),
            mapping,
            vendor: None,
            whole: self.whole,
            notes: None,
        };
        let others = self.both.iter().map(|_| StreamSpec { name: "others".to_owned(), ..all.clone() });
        Ok(others.chain([all.clone()]).collect())
    }

    fn streams_at_once(&self) -> usize {
        if self.both.is_some() { 2 } else { 1 }
    }

    async fn read(&self, _: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream> {
        let mut steps = self.scripts.steps.lock().unwrap();
        let steps = steps.entry(self.connection.clone()).or_default();
        let from = from.map_or(0, |from| usize::try_from(from.state.as_u64().unwrap()).unwrap());
        let (resumed, last) = (from > 0, steps.len());
        let failure = steps.iter().position(|step| matches!(step, Step::Fail(_)));
        let mut events = Vec::new();
        for (at, step) in steps.iter().enumerate().skip(from) {
            events.push(match step.clone() {
                Step::Page(page) => Ok(SourceEvent::Page(*page)),
                // A whole reading that came to its end begins again.
                Step::Checkpoint if self.whole && at + 1 == last => Ok(SourceEvent::Checkpoint(Checkpoint::new(1, json!(0)))),
                Step::Checkpoint => Ok(SourceEvent::Checkpoint(Checkpoint::new(1, json!(at + 1)))),
                Step::Whole { shifting } => Ok(SourceEvent::Whole { resumed, shifting }),
                Step::Fail(kind) => Err(Error::new(kind, "the script breaks off")),
            });
            if failure == Some(at) {
                break;
            }
        }
        if let Some(at) = failure {
            steps.remove(at);
        }
        let both = self.both.clone();
        let asked = async move {
            if let Some(both) = both {
                both.wait().await;
            }
            futures::stream::iter(events)
        };
        Ok(asked.flatten_stream().boxed())
    }

    async fn acknowledge(&self, _: &StreamSpec, upto: &Checkpoint) -> Result<()> {
        self.scripts.acknowledged.lock().unwrap().push((self.connection.clone(), upto.state.as_u64().unwrap()));
        Ok(())
    }
}
