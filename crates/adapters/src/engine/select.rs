//! The records of an answer: found, filtered, changed.

use headwater_sdk::{Error, ErrorKind, Result};

use super::expr::Scope;
use super::plan::{Extractor, Selector, Transformation};
use super::value::{Map, Value};

/// The step of a path that stands for every item or member.
const EACH: &str = "*";

/// What a page gave.
#[derive(Debug, Default)]
pub(super) struct Selected {
    pub(super) records: Vec<Value>,
    /// How many records the remote gave, wanted or not.
    pub(super) given: usize,
    /// The last record, wanted or not.
    pub(super) last: Option<Value>,
    /// The remote's own word for where we are.
    pub(super) bookmark: Option<Value>,
    /// The remote wants the pages to begin anew.
    pub(super) is_anew: bool,
}

/// Takes the records out of a body. `keep_last` asks for the last one, which costs a copy.
pub(super) fn select(selector: &Selector, body: Value, scope: &Scope<'_>, keep_last: bool) -> Result<Selected> {
    let found = match &selector.extract {
        Extractor::Path(path) => {
            let path: Result<Vec<String>> = path.iter().map(|step| step.text(scope)).collect();
            take(body, &path?)
        }
        Extractor::Custom(rules) => rules.extract(body, scope)?,
    };
    let mut out = Selected { records: Vec::with_capacity(found.len()), given: found.len(), ..Selected::default() };
    let mut left_out = None;
    for mut record in found {
        if !matches!(record, Value::Map(_)) {
            return Err(Error::new(ErrorKind::Protocol, "a record in the remote's answer is no object")
                .hint("check the path to the records"));
        }
        let wanted = |record: &Value| match &selector.filter {
            Some(filter) => filter.test(&scope.with_record(record)),
            None => Ok(true),
        };
        if !selector.transform_first && !wanted(&record)? {
            left_out = keep_last.then_some(record);
            continue;
        }
        for step in &selector.transforms {
            transform(step, &mut record, scope)?;
        }
        if selector.transform_first && !wanted(&record)? {
            left_out = keep_last.then_some(record);
            continue;
        }
        if let Some(normalize) = &selector.normalize {
            normalize.apply(&mut record, scope)?;
        }
        out.records.push(record);
    }
    if keep_last {
        out.last = out.records.last().cloned().or(left_out);
    }
    Ok(out)
}

/// What stands at a path: the items of a list, an object itself, nothing where there is nothing.
pub(super) fn take(value: Value, path: &[String]) -> Vec<Value> {
    let Some((step, rest)) = path.split_first() else {
        return match value {
            Value::List(items) => items,
            Value::Null => Vec::new(),
            Value::Map(map) if map.is_empty() => Vec::new(),
            other => vec![other],
        };
    };
    match value {
        Value::Map(map) if step == EACH => map.into_iter().flat_map(|(_, value)| each(value, rest)).collect(),
        Value::List(items) if step == EACH => items.into_iter().flat_map(|value| each(value, rest)).collect(),
        Value::Map(mut map) => map.remove(step).map(|value| take(value, rest)).unwrap_or_default(),
        Value::List(mut items) => match step.parse::<usize>() {
            Ok(index) if index < items.len() => take(items.swap_remove(index), rest),
            // A list of answers, such as the lines of a file: the path goes into each.
            Err(_) => items.into_iter().flat_map(|value| take(value, path)).collect(),
            Ok(_) => Vec::new(),
        },
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Number(_) | Value::Text(_) => Vec::new(),
    }
}

/// What a `*` stood for counts as one, unless the path goes on.
fn each(value: Value, rest: &[String]) -> Vec<Value> {
    match (rest.is_empty(), value) {
        (true, Value::Null) => Vec::new(),
        (true, Value::List(items)) => items,
        (true, value) => vec![value],
        (false, value) => take(value, rest),
    }
}

/// Takes one step on a record.
pub(crate) fn transform(step: &Transformation, record: &mut Value, scope: &Scope<'_>) -> Result<()> {
    match step {
        Transformation::Set { path, value, when } => {
            let seen = scope.with_record(record);
            if when.as_ref().map(|when| when.test(&seen)).transpose()? == Some(false) {
                return Ok(());
            }
            let value = value.value(&seen)?;
            if let [step] = path.as_slice()
                && let Some(Value::Text(name)) = step.constant()
                && let Value::Map(map) = record
            {
                map.insert(&**name, value);
                return Ok(());
            }
            let seen = scope.with_record(record);
            let path: Result<Vec<String>> = path.iter().map(|step| step.text(&seen)).collect();
            set(record, &path?, value);
            Ok(())
        }
        Transformation::Remove { path, when: None } => remove(record, path, &mut |_| Ok(true)),
        Transformation::Remove { path, when: Some(when) } => {
            let whole = record.clone();
            let seen = scope.with_record(&whole);
            remove(record, path, &mut |property| when.test(&Scope { more: &[("property", property)], ..seen }))
        }
        Transformation::Custom(rules) => rules.apply(record, scope),
    }
}

/// Sets what stands at a path, making the objects on its way.
pub(crate) fn set<S: AsRef<str>>(value: &mut Value, path: &[S], to: Value) {
    let Some((step, rest)) = path.split_first() else {
        *value = to;
        return;
    };
    if let Value::List(items) = value
        && let Some(item) = step.as_ref().parse::<usize>().ok().and_then(|index| items.get_mut(index))
    {
        return set(item, rest, to);
    }
    if !matches!(value, Value::Map(_)) {
        *value = Value::Map(Map::default());
    }
    let Some(map) = value.as_map_mut() else { return };
    if map.get(step.as_ref()).is_none() {
        map.insert(step.as_ref(), Value::Null);
    }
    if let Some(next) = map.get_mut(step.as_ref()) {
        set(next, rest, to);
    }
}

/// Takes out what stands at a path, where the test agrees.
fn remove(value: &mut Value, path: &[String], test: &mut dyn FnMut(&Value) -> Result<bool>) -> Result<()> {
    let Some((step, rest)) = path.split_first() else { return Ok(()) };
    match value {
        Value::Map(map) => {
            let names: Vec<String> = if step == EACH || step == "**" {
                map.iter().map(|(name, _)| name.to_owned()).collect()
            } else {
                vec![step.clone()]
            };
            for name in names {
                let Some(member) = map.get_mut(&name) else { continue };
                if !rest.is_empty() {
                    remove(member, rest, test)?;
                } else if test(member)? {
                    map.remove(&name);
                }
                if step == "**"
                    && let Some(member) = map.get_mut(&name)
                {
                    remove(member, path, test)?;
                }
            }
        }
        Value::List(items) => match (step.parse::<usize>(), rest.is_empty()) {
            (Ok(index), true) => {
                if let Some(item) = items.get_mut(index)
                    && test(item)?
                {
                    // The others keep their places.
                    *item = Value::Null;
                }
            }
            (Ok(index), false) => {
                if let Some(item) = items.get_mut(index) {
                    remove(item, rest, test)?;
                }
            }
            (Err(_), _) if step == EACH || step == "**" => {
                for item in items {
                    remove(item, if step == "**" { path } else { rest }, test)?;
                }
            }
            (Err(_), _) => {}
        },
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Number(_) | Value::Text(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        super::super::json::parse(json.as_bytes()).unwrap()
    }

    fn path(text: &str) -> Vec<String> {
        text.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn records_are_found_at_their_path() {
        for (body, at, found) in [
            (r#"{"d":[{"a":1},{"a":2}]}"#, "d", r#"[{"a":1},{"a":2}]"#),
            (r#"{"d":{"a":1}}"#, "d", r#"[{"a":1}]"#),
            (r#"{"d":{}}"#, "d", "[]"),
            (r#"{"d":null}"#, "d", "[]"),
            (r#"{"d":1}"#, "e.f", "[]"),
            (r#"{"d":{"x":{"a":1},"y":{"a":2}}}"#, "d.*", r#"[{"a":1},{"a":2}]"#),
            (r#"{"d":[{"b":{"a":1}},{"c":1}]}"#, "d.*.b", r#"[{"a":1}]"#),
            (r#"[{"a":1}]"#, "", r#"[{"a":1}]"#),
            (r#"{"d":[[1],[2]]}"#, "d.1", "[2]"),
        ] {
            assert_eq!(Value::List(take(value(body), &path(at))).to_json(), found, "{body} at {at}");
        }
    }

    #[test]
    fn setting_makes_the_objects_on_its_way() {
        let mut record = value(r#"{"a":1,"l":[{"b":1}]}"#);
        set(&mut record, &["x", "y"], Value::Int(2));
        set(&mut record, &["l", "0", "b"], Value::Null);
        set(&mut record, &["a"], Value::Bool(true));
        assert_eq!(record.to_json(), r#"{"a":true,"l":[{"b":null}],"x":{"y":2}}"#);
    }

    #[test]
    fn removing_touches_what_the_path_names_alone() {
        for (at, left) in [
            ("a", r#"{"o":{"a":1,"b":{"a":2}},"l":[{"a":1},{"b":2}]}"#),
            ("o.a", r#"{"a":0,"o":{"b":{"a":2}},"l":[{"a":1},{"b":2}]}"#),
            ("l.*.a", r#"{"a":0,"o":{"a":1,"b":{"a":2}},"l":[{},{"b":2}]}"#),
            ("x.y", r#"{"a":0,"o":{"a":1,"b":{"a":2}},"l":[{"a":1},{"b":2}]}"#),
        ] {
            let mut record = value(r#"{"a":0,"o":{"a":1,"b":{"a":2}},"l":[{"a":1},{"b":2}]}"#);
            remove(&mut record, &path(at), &mut |_| Ok(true)).unwrap();
            assert_eq!(record.to_json(), left, "{at}");
        }
    }
}
