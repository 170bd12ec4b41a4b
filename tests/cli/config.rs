//! The examples under `config/`: each is a project as it stands, the full one leaves no key out, and the schema is the program's.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use headwater_tests::project::Project;
use serde_json::Value;

use super::{Fact, code, expect_error};

/// Values of the right form for the secrets that the examples name.
const SECRETS: [(&str, &str); 12] = [
    ("BOTTLECRM_TOKEN", "bcrm_pat_example"),
    ("CRM_DATABASE_URL", "mysql://writer:example@localhost/crm"),
    ("GHOST_ADMIN_KEY", "0123456789abcdef01234567:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
    ("GHOST_WEBHOOK_SECRET", "example"),
    ("MAILCHIMP_API_KEY", "0123456789abcdef0123456789abcdef-us1"),
    ("PEOPLE_HOOK_OLD_SECRET", "whsec_ZXhhbXBsZS1leGFtcGxlLWV4YW1wbGU="),
    ("PEOPLE_HOOK_SECRET", "whsec_ZXhhbXBsZS1leGFtcGxlLWV4YW1wbGU="),
    ("SHOP_DATABASE_URL", "postgres://reader:example@localhost/shop"),
    ("TYPEFORM_SECRET", "example"),
    ("WAREHOUSE_PASSWORD", "example"),
    ("WAREHOUSE_URL", "postgres://reader:example@localhost/warehouse"),
    ("WEBSITE_WEBHOOK_SECRET", "whsec_ZXhhbXBsZS1leGFtcGxlLWV4YW1wbGU="),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

#[test]
fn every_example_is_a_valid_project() -> Fact {
    let mut examples = 0;
    for entry in fs::read_dir(folder())? {
        let path = entry?.path();
        if path.extension() != Some(OsStr::new("yaml")) {
            continue;
        }
        let project = Project::empty()?;
        project.write("headwater.yaml", &fs::read_to_string(&path)?)?;
        let run = project.finish(project.command(&["check", "--offline"]).envs(SECRETS))?;
        assert_eq!(run.code, Some(0), "{}: {run}", path.display());
        examples += 1;
    }
    assert!(examples > 1, "there are no examples in {}", folder().display());
    Ok(())
}

#[test]
fn the_schema_is_the_one_the_program_prints() -> Fact {
    let path = folder().join("headwater.schema.json");
    let printed = Project::empty()?.run(&["schema"])?.done()?.stdout;
    let [kept, printed] = [fs::read_to_string(&path)?, printed].map(|text| native(&text));
    assert!(kept? == printed?, "{} is not current: `headwater schema > config/headwater.schema.json`", path.display());
    Ok(())
}

#[test]
fn the_full_example_shows_every_key_there_is() -> Fact {
    let schema = native(&Project::empty()?.run(&["schema"])?.done()?.stdout)?;
    let example = fs::read_to_string(folder().join("full.yaml"))?;
    let mut keys = Vec::new();
    collect(&schema, &mut keys);
    assert!(keys.contains(&"lookback_days".to_owned()) && keys.contains(&"previous_secrets".to_owned()), "{keys:?}");
    // Those of signatures other than the example's; and the two ways to name a secret, of which one is enough.
    let elsewhere = ["field", "file", "header", "password", "prefix", "token", "username"];
    keys.retain(|key| !elsewhere.contains(&key.as_str()) && !example.contains(&format!("{key}:")));
    assert!(keys.is_empty(), "config/full.yaml does not show {keys:?}");
    Ok(())
}

/// The schema without the connectors that are data: a new one touches its own folder only.
fn native(schema: &str) -> Result<Value, serde_json::Error> {
    let mut schema: Value = serde_json::from_str(schema)?;
    if let Some(Value::Object(connectors)) = schema.pointer_mut("/x-headwater/connectors") {
        connectors.retain(|name, _| !folder().join("../connectors").join(name).join("connector.yaml").is_file());
    }
    Ok(schema)
}

/// The keys of every object that a schema describes.
fn collect(schema: &Value, keys: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            members.values().for_each(|member| collect(member, keys));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What decides who is who stands in the file; a flag that would change it says so before anything runs.
#[test]
fn a_flag_sets_where_things_are_and_never_what_is_decided() -> Fact {
    let project = Project::demo()?;
    let run = project.run(&["sync", "--full-refresh", "--set", "identity.auto_merge_above=0.5"])?;
    expect_error(&run, code::USAGE, &["identity.auto_merge_above", "headwater.yaml"]);
    project.run(&["status", "--set", "store.ledger=sqlite://elsewhere.db"])?.done()?;
    Ok(())
}
