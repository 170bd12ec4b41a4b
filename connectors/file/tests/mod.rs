//! What a file source promises, at its border.

mod dialects;
mod formats;
mod presets;
mod remote;
mod resume;
mod sftp;
mod vendors;

use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::page::{Page, Refused};
use headwater_sdk::{BuildContext, Clock, ConfigDoc, Connector, Error, Result, Source, SourceEvent, StreamSpec};
use serde_json::{Value, json};

use super::source::Files;

/// The rows of a read: cells in column order, `None` for absent ones.
pub(super) type Rows = Vec<Vec<Option<String>>>;

fn settings(base: &Path, config: Value) -> (ConfigDoc, BuildContext) {
    let Value::Object(values) = config else { panic!("settings are an object") };
    let cx = BuildContext {
        clock: Clock::fixed("2026-11-01T00:00:00Z".parse().unwrap()),
        base_dir: base.to_owned(),
        env: Arc::new(|_| None),
        allow_private_hosts: false,
    };
    (ConfigDoc { connection: "list".to_owned(), values }, cx)
}

pub(super) fn source(base: &Path, config: Value) -> Result<Box<dyn Source>> {
    let (config, cx) = settings(base, config);
    super::File.source(&config, &cx)
}

pub(super) fn files(base: &Path, config: Value) -> Result<Files> {
    let (config, cx) = settings(base, config);
    Files::new(config.parse()?, &cx)
}

pub(super) fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/file/fixtures"))
}

/// A folder with one file in it.
pub(super) fn folder(name: &str, content: impl AsRef<[u8]>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), content).unwrap();
    folder
}

pub(super) async fn spec(base: &Path, config: Value) -> Result<StreamSpec> {
    Ok(source(base, config)?.streams().await?.remove(0))
}

pub(super) async fn events(base: &Path, config: Value, from: Option<Checkpoint>) -> Result<Vec<SourceEvent>> {
    let source = source(base, config)?;
    let stream = source.streams().await?.remove(0);
    source.read(&stream, from).await?.try_collect().await
}

pub(super) async fn pages(base: &Path, config: Value) -> Result<Vec<Page>> {
    Ok(only_pages(events(base, config, None).await?))
}

pub(super) fn only_pages(events: Vec<SourceEvent>) -> Vec<Page> {
    let page = |event| match event {
        SourceEvent::Page(page) => Some(page),
        SourceEvent::Checkpoint(_) | SourceEvent::Whole { .. } => None,
    };
    let pages: Vec<Page> = events.into_iter().filter_map(page).collect();
    pages.iter().for_each(|page| page.validate().unwrap());
    pages
}

pub(super) fn columns(page: &Page) -> Vec<String> {
    page.fields.schema().fields().iter().map(|field| field.name().clone()).collect()
}

pub(super) fn cells(pages: &[Page]) -> Rows {
    use arrow::array::{Array, AsArray};
    let mut rows = Rows::new();
    for page in pages {
        for row in 0..page.rows() {
            let cell = |column: &Arc<dyn Array>| {
                let column = column.as_string::<i32>();
                (!column.is_null(row)).then(|| column.value(row).to_owned())
            };
            rows.push(page.fields.columns().iter().map(cell).collect());
        }
    }
    rows
}

pub(super) fn places(pages: &[Page]) -> Vec<String> {
    pages.iter().flat_map(|page| (0..page.rows()).map(|row| page.places.of(row))).collect()
}

pub(super) fn keys(pages: &[Page]) -> Vec<Option<String>> {
    let keys = pages.iter().flat_map(|page| page.keys.as_ref().unwrap().iter());
    keys.map(|key| key.map(str::to_owned)).collect()
}

pub(super) fn refused(pages: &[Page]) -> Vec<Refused> {
    pages.iter().flat_map(|page| page.refused.clone()).collect()
}

/// The rows as they are written in a test: every cell present.
pub(super) fn rows(expected: &[&[&str]]) -> Rows {
    expected.iter().map(|row| row.iter().map(|cell| Some((*cell).to_owned())).collect()).collect()
}

/// Reads one file given by its content.
pub(super) async fn read(name: &str, content: impl AsRef<[u8]>) -> Result<Vec<Page>> {
    let folder = folder(name, content);
    pages(folder.path(), json!({ "path": name })).await
}

/// The error that a read of one file ends in.
pub(super) async fn failure(name: &str, content: impl AsRef<[u8]>) -> Error {
    read(name, content).await.expect_err("the file cannot be read")
}
