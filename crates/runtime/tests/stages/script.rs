//! A source that says what a test tells it to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use futures::StreamExt as _;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::conform::fields_of;
use headwater_model::mapping::{Mapping, Origin, Role};
use headwater_model::page::{Page, Places, Refused};
use headwater_sdk::{
    BuildContext, ConfigDoc, Connector, ConnectorSpec, Error, ErrorKind, EventStream, Result, Source, SourceEvent, StreamSpec,
};
use serde_json::json;

/// One record: its key (none when empty), its cells (an empty one is absent), whether it is gone.
pub(crate) type Record<'a> = (&'a str, &'a [&'a str]);

#[derive(Debug, Clone)]
enum Step {
    Page(Box<Page>),
    Checkpoint,
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

    /// A page with a row that could not even be read.
    pub(crate) fn say_unreadable(&self, connection: &str) {
        let mut page = page(&["email"], &[]);
        let (code, raw) = ("ragged_row", "a,b,c".to_owned());
        page.refused.push(Refused { place: "list.csv:7".to_owned(), code, field: None, reason: "has 3 cells".to_owned(), raw });
        self.push(connection, Step::Page(Box::new(page)));
        self.checkpoint(connection);
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
            summary: "a test",
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
        }
        let Config { token, columns } = config.parse()?;
        token.map(|token| cx.secret(&token)).transpose()?;
        Ok(Box::new(ScriptSource { scripts: Arc::clone(&self.0), connection: config.connection.clone(), columns }))
    }
}

struct ScriptSource {
    scripts: Arc<Scripts>,
    connection: String,
    columns: Vec<String>,
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
        Ok(vec![StreamSpec {
            name: "all".to_owned(),
            role: Role::Leads,
            origin: Origin::Import,
            fields: self.columns.clone(),
            mapping,
            vendor: None,
            notes: None,
        }])
    }

    async fn read(&self, _: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream> {
        let from = from.map_or(0, |from| usize::try_from(from.state.as_u64().unwrap()).unwrap());
        let mut steps = self.scripts.steps.lock().unwrap();
        let steps = steps.entry(self.connection.clone()).or_default();
        let failure = steps.iter().position(|step| matches!(step, Step::Fail(_)));
        let mut events = Vec::new();
        for (at, step) in steps.iter().enumerate().skip(from) {
            events.push(match step.clone() {
                Step::Page(page) => Ok(SourceEvent::Page(*page)),
                Step::Checkpoint => Ok(SourceEvent::Checkpoint(Checkpoint::new(1, json!(at + 1)))),
                Step::Fail(kind) => Err(Error::new(kind, "the script breaks off")),
            });
            if failure == Some(at) {
                break;
            }
        }
        if let Some(at) = failure {
            steps.remove(at);
        }
        Ok(futures::stream::iter(events).boxed())
    }

    async fn acknowledge(&self, _: &StreamSpec, upto: &Checkpoint) -> Result<()> {
        self.scripts.acknowledged.lock().unwrap().push((self.connection.clone(), upto.state.as_u64().unwrap()));
        Ok(())
    }
}
