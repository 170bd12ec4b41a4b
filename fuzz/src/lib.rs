//! What the targets do. Each takes any bytes; that it returns is what is tested.

#[cfg(feature = "runtime")]
pub mod runtime;

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use futures::StreamExt as _;
use headwater_adapters::engine::{Value, json as text};
use headwater_adapters::language::Declarative;
use headwater_adapters::language::expr::{Expr, Known, Names, Scope, Variable};
use headwater_model::checkpoint::Checkpoint;
use headwater_model::instant::{self, DateStyle};
use headwater_model::money::{self, NumberStyle};
use headwater_model::{country, decoding, email, phone};
use headwater_sdk::{BuildContext, Clock, ConfigDoc, Result, SourceEvent};
use jiff::Timestamp;
use serde_json::{Map, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// The folder that this process writes its inputs to.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder for the inputs"));
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

/// The longest input of targets that hold all of it several times.
const MOST_BYTES: usize = 1 << 20;

fn folder() -> &'static Path {
    FOLDER.path()
}

/// Lets libraries panic at damaged bytes where that is expected; any other panic ends the target, as libFuzzer has it.
pub fn damage_is_no_bug() {
    let ends = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !decoding::is_decoding() {
            ends(info);
        }
    }));
}

/// What a connector may use: no secret but one that is always the same.
pub fn context() -> BuildContext {
    BuildContext {
        clock: Clock::fixed(Timestamp::UNIX_EPOCH),
        base_dir: folder().to_owned(),
        env: Arc::new(|_| Some("whsec_ZXhhbXBsZS1leGFtcGxlLWV4YW1wbGU=".to_owned())),
        allow_private_hosts: false,
    }
}

/// Reads a file of that name and content as the connector `file` does, to its end.
pub fn file(name: &str, content: &[u8]) {
    fs::write(folder().join(name), content).expect("a file in the folder");
    // What is wrong with a file is an error, and that is all there is to see here.
    let _ = black_box(RUNTIME.block_on(read(name, None)));
}

/// A delete file of the lake, as another program may have written it. The first byte says what the catalog tells of it.
pub fn deletes(data: &[u8]) {
    let Some((choice, content)) = data.split_first() else { return };
    let path = folder().join("rows-delete.parquet");
    fs::write(&path, content).expect("a file in the folder");
    headwater_store::fuzz::deletes(&path, *choice);
}

/// Goes on reading from a checkpoint.
pub fn checkpoint(data: &[u8]) {
    let Ok(state) = serde_json::from_slice(data) else { return };
    let path = folder().join("list.csv");
    if !path.exists() {
        fs::write(path, "email\nada@example.com\n").expect("a file in the folder");
    }
    let _ = black_box(RUNTIME.block_on(read("list.csv", Some(Checkpoint::new(1, state)))));
}

async fn read(name: &str, from: Option<Checkpoint>) -> Result<u64> {
    let registry = headwater_connectors::registry();
    let connector = registry.get("file").expect("the connector `file`");
    let values: Map<_, _> = [("path".to_owned(), json!(name))].into_iter().collect();
    let source = connector.source(&ConfigDoc { connection: "list".to_owned(), values }, &context())?;
    let mut rows = 0;
    for stream in source.streams().await? {
        let mut events = source.read(&stream, from.clone()).await?;
        while let Some(event) = events.next().await {
            if let SourceEvent::Page(page) = event? {
                rows += page.rows() as u64;
            }
        }
    }
    Ok(rows)
}

/// Normalises a text as everything that a field may be. What comes out is normal already.
pub fn normalise(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(address) = email::normalise(text) {
        assert_eq!(email::normalise(&address).as_deref(), Some(&*address), "an address that is not normal");
    }
    for country in [None, Some("DE"), Some("US"), Some("IT")] {
        if let Some(number) = phone::normalise(text, country) {
            assert_eq!(phone::normalise(&number, None).as_deref(), Some(&*number), "a number that is not normal");
        }
    }
    for format in [None, Some("%d/%m/%Y"), Some("%m/%d/%y %H:%M")] {
        let style = DateStyle { format: format.map(str::to_owned), ..DateStyle::default() };
        let _ = black_box((instant::parse(text, &style), instant::parse_day(text, &style)));
    }
    if let Some((format, date)) = text.split_once('\0')
        && instant::is_format(format)
    {
        let _ = black_box(instant::parse(date, &DateStyle { format: Some(format.to_owned()), ..DateStyle::default() }));
    }
    for style in [NumberStyle::Point, NumberStyle::Comma, NumberStyle::PointGrouped] {
        if let Ok(amount) = money::parse(text, style) {
            assert_eq!(money::parse(&money::format(amount), NumberStyle::Point), Ok(amount), "an amount that changes");
        }
    }
    let _ = black_box((money::currency(text), country::code(text)));
}

/// Reads a connector's file and says what its connection needs.
pub fn connector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = black_box(Declarative::embedded("made_up", text, "").read_spec().map(|spec| spec.name.clone()));
}

/// Compiles an expression, and evaluates it over the JSON that stands behind a NUL.
pub fn expression(data: &[u8]) {
    if data.len() > MOST_BYTES {
        return;
    }
    let (source, record) = data.split_at(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
    let Ok(source) = std::str::from_utf8(source) else { return };
    let record = text::parse(record.get(1..).unwrap_or_default()).unwrap_or(Value::Null);
    let names = Names::new("a test").with(Variable::Record, Known::Anything).with(Variable::Response, Known::Anything);
    let scope = Scope::at(Timestamp::UNIX_EPOCH).with(Variable::Record, &record).with(Variable::Response, &record);
    for expression in [Expr::compile(source, &names), Expr::template(source, &names)].into_iter().flatten() {
        let _ = black_box((expression.text(&scope), expression.encoded(&scope), expression.holds(&scope)));
    }
}

/// The environment of a project: no variable is set.
pub fn environment() -> Arc<BTreeMap<String, String>> {
    Arc::new(BTreeMap::new())
}
