//! What the owner of a table says of it, in a file of YAML or JSON.

use std::collections::BTreeMap;
use std::path::Path;

use headwater_analysis::identity::engine::{Attribute, Options};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::Result;
use crate::project::{ProjectError, complaint, nearest};

/// More than anybody writes by hand about the columns of one table.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;
/// Components hang together by pairs of this chance, so a lower threshold would change nothing.
const LEAST_MERGE_AT: f32 = 0.2;
/// Pairs below it are not kept.
const LEAST_REVIEW_AT: f32 = 0.05;

/// What a table's columns mean, and from which chance on something is done.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The column of the id; `id` when left out.
    pub id: Option<String>,
    /// For an attribute such as `first_name`, the column it stands in.
    pub map: BTreeMap<String, String>,
    /// Two groups of records join when the mean chance of their pairs reaches this.
    pub merge_at: Option<f32>,
    /// Pairs of different persons with at least this chance are for a person to look at.
    pub review_at: Option<f32>,
}

/// A configuration that was understood.
#[derive(Debug, Clone, Default)]
pub(super) struct Understood {
    pub(super) id: Option<String>,
    pub(super) map: Vec<(Attribute, String)>,
    pub(super) options: Options,
}

/// Reads a configuration.
///
/// # Errors
/// With file and line: it cannot be read, a key or attribute is not known, or a threshold can have no effect.
pub(super) fn read(path: &Path) -> Result<Understood> {
    let fail = |message: String| ProjectError::new(path, message);
    let unreadable = |error: std::io::Error| fail(format!("{} cannot be read: {error}", path.display()));
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_CONFIG_BYTES {
        return Err(fail(format!("{} is larger than {MAX_CONFIG_BYTES} bytes", path.display())).into());
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let value: Value = serde_saphyr::from_str(&text).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        let message = error.to_string();
        // Its first line repeats the place, which is shown with the line itself.
        let message = message.lines().next().unwrap_or("cannot be read");
        let message = message.rsplit_once(&format!("line {line} column {column}: ")).map_or(message, |(_, rest)| rest);
        fail(format!("not valid YAML: {message}")).at_line(&text, usize::try_from(line).unwrap_or(1), 1)
    })?;
    let value = if value.is_null() { Value::Object(Map::new()) } else { value };
    let config: Config = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        complaint(&error.into_inner().to_string(), &path, &[], |path, message| fail(message).at(&text, path))
    })?;
    Ok(understand(config).map_err(|(at, message, help)| {
        let complaint = fail(message).at(&text, &at);
        match help {
            Some(help) => complaint.help(help),
            None => complaint,
        }
    })?)
}

/// The key that is wrong, why, and what to do.
type Complaint = (String, String, Option<String>);

fn understand(config: Config) -> Result<Understood, Complaint> {
    let Config { id, map, merge_at, review_at } = config;
    let mut attributes = Vec::new();
    for (name, column) in map {
        let Some(attribute) = Attribute::named(&name) else {
            let known: Vec<&str> = Attribute::ALL.iter().map(|attribute| attribute.name()).collect();
            let help = match nearest(&name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", known.join(", ")),
            };
            return Err((format!("map.{name}"), format!("there is no attribute `{name}`"), Some(help)));
        };
        attributes.push((attribute, column));
    }
    let bounded = |key: &str, value: Option<f32>, least: f32, usual: f32| match value {
        None => Ok(usual),
        Some(value) if (least..=1.0).contains(&value) => Ok(value),
        Some(_) => Err((key.to_owned(), format!("`{key}` is a chance between {least} and 1"), None)),
    };
    let usual = Options::default();
    let options = Options {
        merge_at: bounded("merge_at", merge_at, LEAST_MERGE_AT, usual.merge_at)?,
        review_at: bounded("review_at", review_at, LEAST_REVIEW_AT, usual.review_at)?,
        ..usual
    };
    Ok(Understood { id, map: attributes, options })
}
