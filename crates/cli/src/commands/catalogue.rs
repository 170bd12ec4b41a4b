//! `connectors` and `schema`: what there is to write into a project file.

use headwater_runtime::Error;
use headwater_runtime::project::{self, nearest};
use headwater_sdk::ConnectorSpec;
use serde_json::{Value, json};

use super::connector_kit;
use crate::args::{ConnectorsCommand, Global};
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn run(global: &Global, command: &ConnectorsCommand, console: &Console) -> Result<Code, Failure> {
    let registry = wiring::registry();
    match command {
        ConnectorsCommand::List { markdown } => {
            let specs: Vec<_> = registry.iter().map(|connector| connector.spec()).collect();
            let answer = json!({ "version": 1, "connectors": specs.iter().map(|spec| json!({
                "name": spec.name, "title": spec.title, "summary": spec.summary,
                "source": spec.source_schema.is_some(), "sink": spec.sink_schema.is_some(),
            })).collect::<Vec<_>>() });
            console.answer(&answer, || {
                let yes = |schema: &Option<Value>| if schema.is_some() { "yes" } else { "" }.to_owned();
                if *markdown {
                    let row = |spec: &ConnectorSpec| {
                        let (reads, writes) = (yes(&spec.source_schema), yes(&spec.sink_schema));
                        format!("| `{}` | {reads} | {writes} | {} |\n", spec.name, spec.summary)
                    };
                    let head = "| connector | reads | writes | what |\n|---|---|---|---|\n".to_owned();
                    return [head].into_iter().chain(specs.iter().map(row)).collect();
                }
                let mut rows = Rows::new(&["connector", "reads", "writes", "what"]);
                for spec in &specs {
                    rows.row([
                        spec.name.to_owned(),
                        yes(&spec.source_schema),
                        yes(&spec.sink_schema),
                        spec.summary.clone().into_owned(),
                    ]);
                }
                rows.render()
            })
        }
        ConnectorsCommand::Show { name } => {
            let fail = |source| Error::Connection { connection: name.clone(), stream: None, source };
            let Some(connector) = registry.find(name, &wiring::project_dir(global)).map_err(fail)? else {
                let hint = match nearest(name, registry.names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are: {}", registry.names().collect::<Vec<_>>().join(", ")),
                };
                return Err(Error::NotFound { what: format!("there is no connector `{name}`"), hint }.into());
            };
            let spec = connector.spec();
            let answer = json!({ "version": 1, "name": spec.name, "title": spec.title, "summary": spec.summary,
                "source": spec.source_schema, "sink": spec.sink_schema });
            console.answer(&answer, || {
                let halves = [("source", &spec.source_schema), ("sink", &spec.sink_schema)].into_iter();
                let halves = halves.filter_map(|(half, schema)| Some((half, schema.as_ref()?)));
                let settings = halves.map(|(half, schema)| format!("\nsettings as a {half}:\n{}\n", settings(schema)));
                [format!("{}\n", spec.readme.trim_end())].into_iter().chain(settings).collect::<String>()
            })
        }
        ConnectorsCommand::New { name, kind, into } => {
            connector_kit::new(&wiring::project_dir(global).join(into), name, *kind, console)
        }
        ConnectorsCommand::Test { which, write } => {
            connector_kit::test(&wiring::project_dir(global), which, *write, console).await
        }
    }
}

/// The settings of a schema, one line each.
fn settings(schema: &Value) -> String {
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut rows = Rows::new(&["setting", "", "what"]);
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let what = property.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let needed = if required.contains(&name.as_str()) { "required" } else { "" };
        rows.row([name.clone(), needed.to_owned(), what]);
    }
    rows.render()
}

/// The JSON schema of the project file, with each connector's settings beside it.
pub(crate) fn schema(console: &Console) -> Result<Code, Failure> {
    let (source, sink) = project::section_schemas();
    let connectors: serde_json::Map<String, Value> = wiring::registry()
        .iter()
        .map(|connector| {
            let spec = connector.spec();
            (spec.name.to_owned(), json!({ "source": spec.source_schema, "sink": spec.sink_schema }))
        })
        .collect();
    let mut schema = project::schema();
    if let Some(map) = schema.as_object_mut() {
        map.insert("x-headwater".to_owned(), json!({ "source": source, "sink": sink, "connectors": connectors }));
    }
    let text = serde_json::to_string_pretty(&schema).map_err(|error| Failure::bug(error.to_string()))?;
    console.line(&text)?;
    Ok(Code::Done)
}
