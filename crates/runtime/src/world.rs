//! A project in a folder of its own for tests: rows put into the lake by hand, or read from a source on paper.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use headwater_model::checkpoint::Checkpoint;
use headwater_model::mapping::{Mapping, Origin, Role};
use headwater_model::page::{Page, Places};
use headwater_model::tables::{ColumnType, Table};
use headwater_sdk::{
    BuildContext, Clock, ConfigDoc, Connector, ConnectorSpec, EventStream, Registry, Source, SourceEvent, StreamSpec,
};
use serde_json::json;

use crate::engine::Engine;
use crate::ingest::Buckets;
use crate::intake::IntakeConnector;
use crate::project::{Project, Surroundings};
use crate::sync::{SyncOptions, SyncReport, sync};

/// When the tests play unless they say otherwise.
pub(crate) const NOW: &str = "2026-11-20T00:00:00Z";
/// One day in microseconds.
pub(crate) const DAY: i64 = 86_400_000_000;

/// A project and its store.
pub(crate) struct World {
    pub(crate) engine: Engine,
    folder: Arc<tempfile::TempDir>,
    paper: Paper,
}

/// One made-up cell per column, as text.
pub(crate) type Cells<'a> = &'a [(&'a str, &'a str)];

impl World {
    /// A project of these settings, after `version: 1`.
    pub(crate) async fn of(settings: &str) -> Self {
        Self::made(Arc::new(tempfile::tempdir().unwrap()), settings, NOW, Paper::default()).await
    }

    /// The same project with other settings, at another time.
    pub(crate) async fn later(self, settings: &str, now: &str) -> Self {
        self.engine.store.close().await;
        Self::made(self.folder, settings, now, self.paper).await
    }

    /// The same project with another paper in its source.
    pub(crate) async fn reading(self, paper: Paper) -> Self {
        let engine = Engine { registry: self.engine.registry.with(Arc::new(paper.clone())), ..self.engine };
        Self { engine, paper, ..self }
    }

    async fn made(folder: Arc<tempfile::TempDir>, settings: &str, now: &str, paper: Paper) -> Self {
        std::fs::write(folder.path().join("headwater.yaml"), format!("version: 1\n{settings}")).unwrap();
        let clock = Clock::fixed(now.parse().unwrap());
        let surroundings = Surroundings { clock, env: Arc::new(BTreeMap::new()), flags: Vec::new() };
        let project = Project::load(folder.path(), &paper.registry(), &surroundings).unwrap();
        let engine = Engine::open(project, paper.registry(), surroundings).await.unwrap();
        Self { engine, folder, paper }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts rows into a table. A column that a row does not name is null, or the least value where it is required.
    pub(crate) async fn put(&self, table: &'static Table, rows: &[Cells<'_>]) {
        let mut writer = self.engine.store.writer(table, None).unwrap();
        writer.write(&batch(table, rows)).unwrap();
        let mut commit = self.engine.store.commit("run_1", self.engine.clock().now_us());
        commit.append(writer.finish().unwrap());
        commit.execute().await.unwrap();
    }

    /// Says that these models were computed.
    pub(crate) async fn measured(&self, models: &[&str]) {
        let mut commit = self.engine.store.commit("run_1", self.engine.clock().now_us());
        commit.advance("measure", None, &json!({ "models": models, "lookback_days": 90 }));
        commit.execute().await.unwrap();
    }

    pub(crate) async fn sync(&self, full_refresh: bool) -> SyncReport {
        sync(&self.engine, &SyncOptions { full_refresh, ..SyncOptions::default() }).await.unwrap()
    }

    /// Reads the source named `paper` from its beginning.
    pub(crate) async fn reread(&self) -> Buckets {
        self.sync(true).await.sources["paper"]
    }
}

fn batch(table: &Table, rows: &[Cells<'_>]) -> RecordBatch {
    for (name, _) in rows.iter().flat_map(|row| row.iter()) {
        assert!(table.columns.iter().any(|column| column.name == *name), "{} has no column {name}", table.name);
    }
    let columns = table.columns.iter().map(|column| {
        let cell = |row: &Cells<'_>| row.iter().find(|(name, _)| *name == column.name).map(|(_, text)| (*text).to_owned());
        let least = if column.kind == ColumnType::Text { "" } else { "0" };
        let cells = rows.iter().map(|row| cell(row).or_else(|| column.required.then(|| least.to_owned())));
        column_of(column.kind, cells.collect())
    });
    RecordBatch::try_new(table.schema(), columns.collect()).unwrap()
}

fn column_of(kind: ColumnType, cells: Vec<Option<String>>) -> ArrayRef {
    let whole = cells.iter().map(|cell| cell.as_ref().map(|cell| cell.parse::<i64>().unwrap_or_default()));
    match kind {
        ColumnType::Text => Arc::new(StringArray::from(cells)),
        ColumnType::Int => Arc::new(whole.collect::<Int64Array>()),
        ColumnType::Instant => Arc::new(whole.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        ColumnType::Day => Arc::new(whole.map(|day| day.and_then(|day| i32::try_from(day).ok())).collect::<Date32Array>()),
        ColumnType::Bool => {
            Arc::new(cells.into_iter().map(|cell| Some(cell.as_deref() == Some("true"))).collect::<BooleanArray>())
        }
        ColumnType::Float => {
            Arc::new(cells.into_iter().map(|cell| cell.map(|cell| cell.parse::<f64>().unwrap())).collect::<Float64Array>())
        }
        ColumnType::Money => {
            let units = cells.into_iter().map(|cell| cell.map(|cell| cell.parse::<i128>().unwrap() * 1_000_000));
            Arc::new(units.collect::<Decimal128Array>().with_precision_and_scale(18, 6).unwrap())
        }
    }
}

/// A connector whose source gives what is written here.
#[derive(Clone, Default)]
pub(crate) struct Paper {
    pub(crate) role: Role,
    pub(crate) fields: &'static [&'static str],
    pub(crate) rows: Vec<Vec<&'static str>>,
    /// The column that is the key.
    pub(crate) key: Option<usize>,
    /// The whole record of each row, where it is more than its columns.
    pub(crate) raw: Option<Vec<&'static str>>,
}

impl Paper {
    fn registry(&self) -> Registry {
        let connectors: [Arc<dyn Connector>; 2] = [Arc::new(self.clone()), Arc::new(IntakeConnector::default())];
        Registry::new(connectors)
    }

    fn page(&self) -> Page {
        let columns = self.fields.iter().enumerate().map(|(place, name)| {
            let cells: StringArray = self.rows.iter().map(|row| Some(row[place])).collect();
            (*name, Arc::new(cells) as ArrayRef)
        });
        let lines = (2..).take(self.rows.len()).collect();
        let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, cells)| (name, cells, true))).unwrap();
        let mut page = Page::new(batch, Places::Lines { file: "paper.csv".to_owned(), lines }).unwrap();
        page.keys = self.key.map(|key| self.rows.iter().map(|row| Some(row[key])).collect());
        page.raw = self.raw.clone().map(StringArray::from);
        page
    }
}

impl Connector for Paper {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "paper",
            title: "Paper",
            summary: "what is written down".into(),
            source_schema: None,
            sink_schema: None,
            readme: "",
        }
    }

    fn source(&self, _: &ConfigDoc, _: &BuildContext) -> headwater_sdk::Result<Box<dyn Source>> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Source for Paper {
    async fn check(&self) -> headwater_sdk::Result<()> {
        Ok(())
    }

    async fn streams(&self) -> headwater_sdk::Result<Vec<StreamSpec>> {
        Ok(vec![StreamSpec {
            name: "records".to_owned(),
            role: self.role,
            origin: Origin::Import,
            fields: self.fields.iter().map(|field| (*field).to_owned()).collect(),
            mapping: Mapping::of(self.fields.iter().map(|field| (*field, *field))),
            vendor: None,
            whole: false,
            notes: None,
        }])
    }

    async fn read(&self, _: &StreamSpec, from: Option<Checkpoint>) -> headwater_sdk::Result<EventStream> {
        let events = match from {
            Some(_) => Vec::new(),
            None => vec![Ok(SourceEvent::Page(self.page())), Ok(SourceEvent::Checkpoint(Checkpoint::new(1, json!({}))))],
        };
        Ok(stream::iter(events).boxed())
    }
}
