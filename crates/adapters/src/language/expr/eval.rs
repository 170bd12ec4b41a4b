//! The value of an expression for one scope.

use std::borrow::Cow;
use std::cmp::Ordering;

use jiff::Timestamp;

use super::{Comparison, EvalError, Node, Step, Variable};
use crate::engine::Value;

/// A value, or nothing at all.
pub type Found<'a> = Option<Cow<'a, Value>>;

/// The variables at hand.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    values: [Option<&'a Value>; Variable::ALL.len()],
    now: Timestamp,
}

impl<'a> Scope<'a> {
    /// A scope without variables, at this time.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { values: [None; Variable::ALL.len()], now }
    }

    /// With one variable more.
    #[must_use]
    pub fn with(mut self, variable: Variable, value: &'a Value) -> Self {
        if let Some(slot) = self.values.get_mut(variable as usize) {
            *slot = Some(value);
        }
        self
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn get(&self, variable: Variable) -> Option<&'a Value> {
        self.values.get(variable as usize).copied().flatten()
    }
}

pub(super) fn eval<'a>(node: &'a Node, scope: &'a Scope<'a>) -> Result<Found<'a>, EvalError> {
    Ok(match node {
        Node::Literal(value) => Some(Cow::Borrowed(value)),
        Node::Variable(variable, steps) => walk(scope.get(*variable).map(Cow::Borrowed), steps),
        Node::Steps(inner, steps) => walk(eval(inner, scope)?, steps),
        Node::Text(parts) => text(parts, scope)?,
        Node::Call(function, arguments) => {
            let arguments = arguments.iter().map(|argument| eval(argument, scope)).collect::<Result<Vec<_>, _>>()?;
            function.call(&arguments, scope)?.map(Cow::Owned)
        }
        Node::List(items) => {
            let items = items.iter().map(|item| Ok(eval(item, scope)?.map(Cow::into_owned)));
            let items: Result<Vec<Option<Value>>, EvalError> = items.collect();
            Some(Cow::Owned(Value::List(items?.into_iter().flatten().collect())))
        }
        Node::Not(inner) => bool(!truth(eval(inner, scope)?.as_deref())?),
        Node::And(a, b) => bool(truth(eval(a, scope)?.as_deref())? && truth(eval(b, scope)?.as_deref())?),
        Node::Or(a, b) => bool(truth(eval(a, scope)?.as_deref())? || truth(eval(b, scope)?.as_deref())?),
        Node::Compare(comparison, a, b) => {
            let (a, b) = (eval(a, scope)?, eval(b, scope)?);
            bool(compare(*comparison, a.as_deref(), b.as_deref())?)
        }
        Node::Default(a, b) => match eval(a, scope)? {
            Some(value) if !value.is_null() => Some(value),
            // Null says more than absent: it stays if nothing better comes.
            null => eval(b, scope)?.or(null),
        },
        Node::If(condition, a, b) => {
            if truth(eval(condition, scope)?.as_deref())? {
                eval(a, scope)?
            } else {
                eval(b, scope)?
            }
        }
    })
}

fn bool<'a>(value: bool) -> Found<'a> {
    Some(Cow::Owned(Value::Bool(value)))
}

/// Whether a value holds; absent and null do not.
pub(super) fn truth(value: Option<&Value>) -> Result<bool, EvalError> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(Value::Int(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_)) => {
            Err(EvalError("a condition is neither true nor false".to_owned()))
        }
    }
}

/// Text of parts. A part without a value is empty; if none has one, neither has the whole.
fn text<'a>(parts: &'a [Node], scope: &'a Scope<'a>) -> Result<Found<'a>, EvalError> {
    let mut out = String::new();
    let mut asked = 0;
    let mut found = 0;
    for part in parts {
        if let Node::Literal(Value::Text(literal)) = part {
            out.push_str(literal);
            continue;
        }
        asked += 1;
        if let Some(value) = eval(part, scope)?.filter(|value| !value.is_null()) {
            found += 1;
            out.push_str(&value.to_plain());
        }
    }
    Ok((asked == 0 || found > 0).then(|| Cow::Owned(Value::text(out))))
}

fn walk<'a>(value: Found<'a>, steps: &[Step]) -> Found<'a> {
    match value? {
        Cow::Borrowed(value) => walk_borrowed(value, steps),
        Cow::Owned(value) => walk_borrowed(&value, steps).map(|found| Cow::Owned(found.into_owned())),
    }
}

fn walk_borrowed<'a>(value: &'a Value, steps: &[Step]) -> Found<'a> {
    let Some((step, rest)) = steps.split_first() else { return Some(Cow::Borrowed(value)) };
    let next = match (step, value) {
        (Step::Key(key), Value::Map(map)) => map.get(key),
        (Step::Index(index), Value::List(list)) => place(list, *index),
        (Step::Each, Value::List(list)) => {
            let items = list.iter().filter_map(|item| walk_borrowed(item, rest)).map(Cow::into_owned);
            return Some(Cow::Owned(Value::List(items.collect())));
        }
        _ => None,
    };
    walk_borrowed(next?, rest)
}

pub(super) fn place(list: &[Value], index: i64) -> Option<&Value> {
    let length = i64::try_from(list.len()).ok()?;
    let index = if index < 0 { length + index } else { index };
    list.get(usize::try_from(index).ok()?)
}

fn compare(comparison: Comparison, a: Option<&Value>, b: Option<&Value>) -> Result<bool, EvalError> {
    let (a, b) = (a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null));
    let order = |wanted: fn(Ordering) -> bool| match (a, b) {
        (Value::Null, _) | (_, Value::Null) => Ok(false),
        _ => order(a, b).map(wanted).ok_or_else(|| EvalError("two values that have no order are compared".to_owned())),
    };
    match comparison {
        Comparison::Equal => Ok(same(a, b)),
        Comparison::Unequal => Ok(!same(a, b)),
        Comparison::In => match b {
            Value::List(items) => Ok(items.iter().any(|item| same(a, item))),
            Value::Null => Ok(false),
            _ => Err(EvalError("`in` was given something that is no list".to_owned())),
        },
        Comparison::Less => order(Ordering::is_lt),
        Comparison::LessOrEqual => order(Ordering::is_le),
        Comparison::Greater => order(Ordering::is_gt),
        Comparison::GreaterOrEqual => order(Ordering::is_ge),
    }
}

/// Equal values; numbers by value, everything else by kind and content. Text is never equal to a number.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(_) | Value::Number(_), Value::Int(_) | Value::Number(_)) => order(a, b) == Some(Ordering::Equal),
        _ => a == b,
    }
}

pub(super) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// Text as one part of a path: what would end the part, or the path, is encoded.
pub(super) fn path_part(text: &str) -> String {
    // A part of dots alone would be resolved as a step in the path.
    let dots = text.bytes().all(|byte| byte == b'.');
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') || (byte == b'.' && !dots);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
