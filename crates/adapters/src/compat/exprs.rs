//! Expressions that are made of several templates: parameters, headers, bodies.

use std::sync::Arc;

use headwater_sdk::{Error, ErrorKind, Result};

use super::jinja::{Template, python_text};
use crate::engine::{Evaluate, Expr, Map, Scope, Value};

/// An object whose names and values are templates; what is null is left out.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) members: Vec<(Template, Part)>,
    /// Whether values become text as Python writes it; lists stay lists.
    pub(super) texts: bool,
    /// Whether a value that is no text is an error, as it is in a header of some places.
    pub(super) strict: bool,
}

/// A value that may hold templates.
#[derive(Debug)]
pub(super) enum Part {
    Fixed(Value),
    Template(Template),
    List(Vec<Self>),
    Map(Vec<(Template, Self)>),
}

impl Part {
    pub(super) fn value(&self, scope: &Scope<'_>) -> Result<Value> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Template(template) => template.value(scope)?,
            Self::List(items) => Value::List(items.iter().map(|item| item.value(scope)).collect::<Result<_>>()?),
            Self::Map(members) => {
                let mut out = Map::with_capacity(members.len());
                for (name, part) in members {
                    let value = part.value(scope)?;
                    if !value.is_null() {
                        out.insert(name.text(scope)?, value);
                    }
                }
                Value::Map(out)
            }
        })
    }

    fn uses(&self, name: &str) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Template(template) => template.uses(name),
            Self::List(items) => items.iter().any(|item| item.uses(name)),
            Self::Map(members) => members.iter().any(|(key, part)| key.uses(name) || part.uses(name)),
        }
    }
}

impl Evaluate for Part {
    fn value(&self, scope: &Scope<'_>) -> Result<Value> {
        Self::value(self, scope)
    }

    fn uses(&self, name: &str) -> bool {
        Self::uses(self, name)
    }
}

impl Evaluate for Members {
    fn value(&self, scope: &Scope<'_>) -> Result<Value> {
        let mut out = Map::with_capacity(self.members.len());
        for (name, part) in &self.members {
            let value = part.value(scope)?;
            if value.is_null() {
                continue;
            }
            let name = name.text(scope)?;
            if self.strict && value.as_str().is_none() {
                return Err(Error::new(ErrorKind::Config, "a header of the manifest is no text once it is computed")
                    .context("header", name));
            }
            let value = match value {
                Value::List(items) if self.texts => {
                    Value::List(items.iter().map(|item| Value::text(python_text(item))).collect())
                }
                Value::Text(text) => Value::Text(text),
                other if self.texts => Value::text(python_text(&other)),
                other => other,
            };
            out.insert(name, value);
        }
        Ok(Value::Map(out))
    }
}

/// Parameters that are one template: an object, or text such as `a=1&b=2`.
#[derive(Debug)]
pub(super) struct Whole(pub(super) Template);

impl Evaluate for Whole {
    fn value(&self, scope: &Scope<'_>) -> Result<Value> {
        Ok(match self.0.value(scope)? {
            Value::Text(text) => {
                let pairs = headwater_sdk::http::Url::parse(&format!("http://x/?{text}")).ok();
                let pairs = pairs.iter().flat_map(|url| url.query_pairs());
                Value::Map(pairs.map(|(name, value)| (name.into_owned(), Value::text(&*value))).collect())
            }
            other => other,
        })
    }
}

/// Several objects as one; of equal names the last counts.
#[derive(Debug)]
pub(super) struct Merged(pub(super) Vec<Expr>);

impl Evaluate for Merged {
    fn value(&self, scope: &Scope<'_>) -> Result<Value> {
        let mut out = Map::default();
        for part in &self.0 {
            if let Value::Map(map) = part.value(scope)? {
                for (name, value) in map {
                    out.insert(name, value);
                }
            }
        }
        Ok(Value::Map(out))
    }
}

/// A name of the scope, else another expression.
#[derive(Debug)]
pub(super) struct Known(pub(super) &'static str, pub(super) Expr);

impl Evaluate for Known {
    fn value(&self, scope: &Scope<'_>) -> Result<Value> {
        scope.more(self.0).map_or_else(|| self.1.value(scope), |value| Ok(value.clone()))
    }
}

/// What stands at a path of an answer.
#[derive(Debug)]
pub(super) struct Extracted(pub(super) Vec<Template>);

impl Evaluate for Extracted {
    fn value(&self, scope: &Scope<'_>) -> Result<Value> {
        let path: Vec<String> = self.0.iter().map(|step| step.text(scope)).collect::<Result<_>>()?;
        Ok(scope.response.and_then(|body| body.at(&path)).cloned().unwrap_or_default())
    }
}

/// A regular expression's first group, or all of it.
#[derive(Debug)]
pub(super) struct Pattern(pub(super) regex::Regex);

impl crate::engine::plan::Capture for Pattern {
    fn capture(&self, text: &str) -> Option<String> {
        let found = self.0.captures(text)?;
        found.get(1).or_else(|| found.get(0)).map(|part| part.as_str().to_owned())
    }
}

/// An expression behind a pointer.
pub(super) fn shared(template: impl Evaluate + 'static) -> Expr {
    Arc::new(template)
}
