//! Changes that a manifest makes to the settings before they are used.

use jiff::Timestamp;

use super::Problem;
use super::compile::{Compiler, not_supported};
use super::document::Node;
use super::jinja::{Kinds, Template};
use crate::engine::{Evaluate as _, Value, set};

/// The settings after the migrations and transformations of the spec.
pub(super) fn migrate(manifest: &Value, mut config: Value, now: Timestamp) -> Result<Value, Problem> {
    let root = Node::new(manifest, String::new())?;
    let Some(rules) = root.child("spec")?.map(|spec| spec.child("config_normalization_rules")).transpose()?.flatten() else {
        return Ok(config);
    };
    let mut steps = Vec::new();
    for migration in rules.children("config_migrations")? {
        let node = migration.clone();
        steps.extend(node.children("transformations")?);
    }
    steps.extend(rules.children("transformations")?);
    for step in steps {
        config = changed(&step, config, now)?;
    }
    Ok(config)
}

fn changed(node: &Node<'_>, mut config: Value, now: Timestamp) -> Result<Value, Problem> {
    let before = config.clone();
    let compiler = Compiler { config: &before, now, hosts: std::sync::Mutex::default(), with_state: &[] };
    let failed = |error: headwater_sdk::Error| node.problem("", error.to_string());
    let wanted = match compiler.template(node, "condition")?.filter(|_| node.get("condition").is_some_and(Value::truthy)) {
        Some(condition) => condition.test(&compiler.scope()).map_err(failed)?,
        None => true,
    };
    if !wanted {
        return Ok(config);
    }
    match node.kind() {
        "ConfigAddFields" => {
            for field in node.children("fields")? {
                let kinds = if field.text("value_type")? == Some("string") { Kinds::Text } else { Kinds::Any };
                let value: Template = compiler.need_template(&field, "value")?.kinds(kinds);
                let value = value.value(&compiler.scope()).map_err(failed)?;
                set(&mut config, &field.texts("path")?, value);
            }
        }
        "ConfigRemoveFields" => {
            for path in node.paths("field_pointers")? {
                if let Some((last, parents)) = path.split_last() {
                    let holder = parents.iter().try_fold(&mut config, |value, step| value.as_map_mut()?.get_mut(step));
                    if let Some(holder) = holder.and_then(Value::as_map_mut) {
                        holder.remove(last);
                    }
                }
            }
        }
        "ConfigRemapField" => {
            let path = node.texts("field_path")?;
            let map = compiler.settled(node, "map")?.unwrap_or_default();
            let to = before.at(&path).and_then(|value| map.get(&value.to_plain())).cloned();
            if let Some(to) = to {
                set(&mut config, &path, to);
            }
        }
        other => return Err(node.problem("", not_supported(other))),
    }
    Ok(config)
}
