//! Doors for the fuzz targets: manifests, templates and states, without a network.

use std::sync::{Arc, Mutex};

use super::compile::Compiler;
use super::document::{Node, parse, resolve};
use super::jinja::Template;
use super::manifest::{group, spec_of};
use super::protocol::{states, wanted};
use super::settings::migrate;
use crate::engine::{Evaluate as _, Scope, Slice, Value, json};

/// Compiles the streams of a manifest. Those that a remote would have to be asked for are left out.
pub(crate) fn manifest(text: &[u8]) {
    let Ok(manifest) = parse(text).and_then(|manifest| resolve(&manifest)) else { return };
    drop(spec_of(&manifest));
    let now = jiff::Timestamp::UNIX_EPOCH;
    let Ok(config) = migrate(&manifest, settings(), now) else { return };
    let compiler = Compiler { config: &config, now, hosts: Mutex::default(), with_state: &[] };
    let Ok(root) = Node::new(&manifest, String::new()) else { return };
    for node in root.children("streams").unwrap_or_default() {
        drop(group(&compiler, &node));
    }
}

/// Reads a template and renders it over what stands behind a NUL, if that is JSON.
pub(crate) fn template(text: &[u8]) {
    let (source, record) = text.split_at(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
    let Ok(source) = std::str::from_utf8(source) else { return };
    let parameters = Arc::new(settings());
    let Ok(template) = Template::new(source, &parameters, "a template") else { return };
    let (config, slice) = (settings(), Slice::default());
    let record = json::parse(record.get(1..).unwrap_or_default()).unwrap_or(Value::Null);
    let scope = Scope { response: Some(&record), ..Scope::new(&config, jiff::Timestamp::UNIX_EPOCH) };
    let scope = scope.with_record(&record).with_slice(&slice);
    drop((template.value(&scope), template.text(&scope), template.test(&scope)));
}

/// Reads a catalog and a state as a user hands them over.
pub(crate) fn state(text: &[u8]) {
    drop((states(text), wanted(text)));
}

fn settings() -> Value {
    let settings = br#"{"api_key": "k", "url": "https://api.example.com", "since": "2026-01-01", "n": 3, "list": ["a", "b"]}"#;
    json::parse(settings).unwrap_or(Value::Null)
}
