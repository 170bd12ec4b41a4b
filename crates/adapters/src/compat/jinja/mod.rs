//! Templates as Airbyte's manifests have them: Jinja, whose result Python reads as a literal.
//!
//! Why an engine of our own and not a crate: what manifests rely on is Python, not Jinja. `%` on texts, `~` that writes `None` and
//! `1.0`, tuples, dates with `+` and `-`, text that is no text but a literal, a type error that gives the template itself: an
//! engine with values and operators of its own lets none of these be changed from outside. Values of records and settings are
//! borrowed, so that a template that only picks a field copies only that field.

mod arithmetic;
mod eval;
mod filters;
mod lex;
mod literal;
mod macros;
mod methods;
mod parse;
mod py;
#[cfg(test)]
mod tests;
pub(crate) mod time;
mod tree;

pub(super) use self::filters::spaced_json;

use std::sync::Arc;

use headwater_sdk::{Error, ErrorKind, Result};

use self::eval::{Context, Fail};
use self::py::Py;
use self::tree::Node;
use crate::engine::{Evaluate, Scope, Value};

/// Which results count as what the literal says; any other stays the text it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kinds {
    /// Any.
    Any,
    /// Text only: a number stays text.
    Text,
    /// Text and lists.
    TextOrList,
    /// One of JSON's other kinds.
    Only(Kind),
}

/// A kind of value that a field may be asked to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Float,
    Bool,
}

/// What stands in for an empty result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Empty {
    Null,
    Text,
}

/// A template of a manifest.
#[derive(Debug)]
pub(crate) struct Template {
    source: Box<str>,
    body: Body,
    parameters: Arc<Value>,
    kinds: Kinds,
    empty: Empty,
    place: Box<str>,
}

#[derive(Debug)]
enum Body {
    /// Text without a template: its value is known.
    Constant(Value),
    /// `{{ … }}` alone: its value needs no text in between.
    One(tree::Expr),
    /// Anything else.
    Many(Vec<Node>),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Saying what Jinja does not take.
    pub(crate) fn new(source: &str, parameters: &Arc<Value>, place: &str) -> std::result::Result<Self, String> {
        let body = if ["{{", "{%", "{#"].iter().any(|mark| source.contains(mark)) {
            let mut nodes = parse::parse(source)?;
            match (nodes.len(), nodes.pop()) {
                (1, Some(Node::Print(expr))) => Body::One(expr),
                (_, Some(last)) => {
                    nodes.push(last);
                    Body::Many(nodes)
                }
                (_, None) => Body::Many(nodes),
            }
        } else {
            Body::Constant(Value::Null)
        };
        let (parameters, place) = (Arc::clone(parameters), place.into());
        let template = Self { source: source.into(), body, parameters, kinds: Kinds::Any, empty: Empty::Null, place };
        Ok(template.settled())
    }

    /// With other kinds of results.
    pub(crate) fn kinds(self, kinds: Kinds) -> Self {
        Self { kinds, ..self }.settled()
    }

    /// With another stand-in for an empty result.
    pub(crate) fn empty(self, empty: Empty) -> Self {
        Self { empty, ..self }.settled()
    }

    /// The value of a constant depends on the kinds.
    fn settled(mut self) -> Self {
        if matches!(self.body, Body::Constant(_)) {
            let text = self.source.strip_suffix('\n').unwrap_or(&self.source);
            self.body = Body::Constant(self.read(text));
        }
        self
    }

    fn nothing(&self) -> Value {
        match self.empty {
            Empty::Null => Value::Null,
            Empty::Text => Value::text(""),
        }
    }

    /// What a rendered text means.
    fn read(&self, text: &str) -> Value {
        if text.is_empty() {
            return self.nothing();
        }
        match literal::literal(text) {
            Some(value) if self.fits(&value) => value.to_value(),
            _ => Value::text(text),
        }
    }

    fn fits(&self, value: &Py<'_>) -> bool {
        match self.kinds {
            Kinds::Any => true,
            Kinds::Text => matches!(value, Py::Str(_)),
            Kinds::TextOrList => matches!(value, Py::Str(_) | Py::List(_)),
            Kinds::Only(Kind::Int) => matches!(value, Py::Int(_) | Py::Bool(_)),
            Kinds::Only(Kind::Float) => matches!(value, Py::Float(_)),
            Kinds::Only(Kind::Bool) => matches!(value, Py::Bool(_)),
        }
    }

    /// What an expression gave, without a detour over text where the detour would give the same.
    fn taken(&self, value: &Py<'_>) -> Value {
        match value {
            Py::Undefined => self.nothing(),
            Py::Str(text) => self.read(text),
            Py::None | Py::Bool(_) | Py::Int(_) if self.fits(value) => value.to_value(),
            Py::Float(number) if number.is_finite() && self.fits(value) => value.to_value(),
            Py::ListRef(_) | Py::MapRef(_) | Py::Slice(_)
                if self.fits(value) || matches!((value, self.kinds), (Py::ListRef(_), Kinds::TextOrList)) =>
            {
                value.to_value()
            }
            other => self.read(&other.to_text()),
        }
    }

    fn failed(&self, fail: Fail) -> Result<Value> {
        match fail {
            Fail::Undefined => Ok(self.nothing()),
            Fail::Kind => Ok(Value::text(&*self.source)),
            Fail::Error(because) => Err(Error::new(ErrorKind::Config, "a template of the manifest cannot be computed")
                .context("at", &*self.place)
                .context("because", because)),
        }
    }
}

impl Evaluate for Template {
    fn value(&self, scope: &Scope<'_>) -> Result<Value> {
        match &self.body {
            Body::Constant(value) => Ok(value.clone()),
            Body::One(expr) => match Context::new(*scope, &self.parameters).eval(expr) {
                Ok(value) => Ok(self.taken(&value)),
                Err(fail) => self.failed(fail),
            },
            Body::Many(nodes) => {
                let mut out = String::new();
                match Context::new(*scope, &self.parameters).render(nodes, &mut out) {
                    Ok(()) => Ok(self.read(&out)),
                    Err(fail) => self.failed(fail),
                }
            }
        }
    }

    /// As Python's `str` writes the value.
    fn text(&self, scope: &Scope<'_>) -> Result<String> {
        Ok(python_text(&self.value(scope)?))
    }

    /// A condition: the texts that mean nothing are false, any other text is true.
    fn test(&self, scope: &Scope<'_>) -> Result<bool> {
        if let Body::One(expr) = &self.body {
            match Context::new(*scope, &self.parameters).eval(expr) {
                Ok(Py::Bool(yes)) => return Ok(yes),
                Ok(value) => return Ok(truth(&self.taken(&value))),
                Err(fail) => return Ok(truth(&self.failed(fail)?)),
            }
        }
        Ok(truth(&self.value(scope)?))
    }

    fn uses(&self, name: &str) -> bool {
        !matches!(self.body, Body::Constant(_)) && self.source.contains(name)
    }

    fn constant(&self) -> Option<&Value> {
        match &self.body {
            Body::Constant(value) => Some(value),
            Body::One(_) | Body::Many(_) => None,
        }
    }
}

/// A value as Python's `str` writes it.
pub(crate) fn python_text(value: &Value) -> String {
    Py::of(value).to_text()
}

/// A value as Python's `repr` writes it.
pub(crate) fn truth(value: &Value) -> bool {
    match value {
        Value::Text(text) => !matches!(&**text, "" | "false" | "False"),
        other => other.truthy(),
    }
}
