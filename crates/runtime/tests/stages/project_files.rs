//! What is said of a project file that cannot be used.

use headwater_runtime::Error;
use headwater_runtime::project::ProjectError;
use headwater_runtime::sync::SyncOptions;
use insta::assert_snapshot;

use crate::rig::{Rig, load, load_in};

fn told(error: &ProjectError) -> String {
    let line = error.line.map_or_else(|| "no line".to_owned(), |line| format!("line {line}"));
    format!("{line}: {}\nhelp: {}", error.message, error.help.as_deref().unwrap_or("-"))
}

fn complaint(text: &str) -> String {
    told(&load(text).expect_err("the file is wrong"))
}

/// What a sync says of a file that can be loaded.
async fn on_sync(text: &str) -> String {
    let error = match Rig::try_new(text).await {
        Err(error) => error,
        Ok(rig) => {
            rig.scripts.say("list", &["email"], &[("1", &["ann@example.com"])]);
            match rig.try_sync(&SyncOptions::default()).await {
                Err(error) => error,
                Ok(report) => report.errors.into_iter().next().expect("the file is wrong"),
            }
        }
    };
    match error {
        Error::Project(error) => told(&error),
        other => panic!("{other}"),
    }
}

#[test]
fn keys_that_nobody_knows() {
    assert_snapshot!(complaint("version: 1\nsorces: {}\n"), @r#"
    line 2: unknown key `sorces`
    help: did you mean `sources`?
    "#);
    assert_snapshot!(complaint("version: 1\nsources:\n  list:\n    connector: script\n    cost: { amount: '1', curency: EUR }\n"), @r#"
    line 5: unknown key `curency`
    help: did you mean `currency`?
    "#);
    assert_snapshot!(complaint("version: 1\nsinks:\n  crm:\n    connector: remote\n    policy: { default: owerwrite }\n"), @r#"
    line 5: there is no `owerwrite` here
    help: did you mean `overwrite`?
    "#);
    assert_snapshot!(complaint("version: 1\nsources:\n  list:\n    connector: script\n    map:\n      email: { form: E-Mail }\n"), @r#"
    line 6: unknown key `form`
    help: did you mean `from`?
    "#);
    assert_snapshot!(complaint("version: 1\nsources:\n  list:\n    connector: script\n    map:\n      email: 3\n"), @r#"
    line 6: write a column's name, a list of names, or a rule `{ from: [NAME], format: …, otherwise: … }`
    help: -
    "#);
}

#[tokio::test]
async fn keys_that_the_connector_does_not_know() {
    assert_snapshot!(on_sync("sources:\n  list:\n    connector: script\n    orign: list\n").await, @r#"
    line 5: unknown key `orign`
    help: did you mean `origin`?
    "#);
    assert_snapshot!(on_sync("sources:\n  list:\n    connector: script\n    colums: [email]\n").await, @r#"
    line 5: unknown key `colums`
    help: did you mean `columns`?
    "#);
    assert_snapshot!(on_sync("sources:\n  list:\n    connector: script\n    columns: email\n").await, @r#"
    line 5: expected a list, found text
    help: -
    "#);
}

#[test]
fn versions() {
    assert_snapshot!(complaint("sources: {}\n"), @r#"
    no line: the file has no `version`
    help: write `version: 1` as the first line
    "#);
    assert_snapshot!(complaint("version: 7\n"), @r#"
    line 1: version 7 of the project file is not one this program reads
    help: a newer headwater may read it
    "#);
    assert_snapshot!(complaint("version: one\n"), @r#"
    line 1: expected a whole number, not negative, found text
    help: -
    "#);
    assert_snapshot!(complaint(""), @r#"
    no line: the file has no `version`
    help: write `version: 1` as the first line
    "#);
}

#[test]
fn names() {
    assert_snapshot!(complaint("version: 1\nsources:\n  a: { connector: script }\n  a: { connector: script }\n"), @r#"
    line 4: the key `a` stands twice
    help: take one of the two out
    "#);
    assert_snapshot!(complaint("version: 1\nsources:\n  A list: { connector: script }\n"), @r#"
    line 3: `A list` cannot be a name
    help: use lower-case letters, digits, `_` and `-`, at most 64 of them
    "#);
    assert_snapshot!(complaint("version: 1\nsources:\n  list: { connector: scirpt }\n"), @r#"
    line 3: there is no connector `scirpt`
    help: did you mean `script`?
    "#);
    assert_snapshot!(complaint("version: 1\nsources:\n  list: { path: a.csv }\n"), @r#"
    line 3: the key `connector` is missing
    help: -
    "#);
    assert_snapshot!(complaint("version: 1\nsources:\n  list:\n    path: a.csv\n    conector: script\n"), @r#"
    line 5: the key `connector` is missing
    help: `conector` stands there; did you mean `connector`?
    "#);
    assert_snapshot!(complaint("version: 1\nsources:\n  list:\n"), @r#"
    line 3: expected a section of keys and values, found nothing
    help: -
    "#);
    assert_snapshot!(complaint("version: 1\nsources: [list]\n"), @r#"
    line 2: expected a section of keys and values, found a list
    help: -
    "#);
    assert_snapshot!(complaint("version: 1\nsources:\n  list: { connector: script\nsinks: {}\n"), @r#"
    line 4: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'
    help: -
    "#);
}

#[tokio::test]
async fn secrets() {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\S*/\.tmp\w+", "[DIR]");
    let _bound = settings.bind_to_scope();
    assert_snapshot!(on_sync("sources:\n  list:\n    connector: script\n    token: { env: NOT_THERE }\n").await, @r#"
    line 5: environment variable NOT_THERE is not set
    help: export NOT_THERE=… before the run
    "#);
    assert_snapshot!(on_sync("sources:\n  list:\n    connector: script\n    token: { file: not/there }\n").await, @r#"
    line 5: secret file [DIR]/not/there cannot be read
    help: check that the file exists and that this user may read it
    "#);
    assert_snapshot!(on_sync("sources:\n  list:\n    connector: script\n    token: abc123\n").await, @r#"
    line 5: a secret never stands in the file itself: write `{ env: NAME }` or `{ file: PATH }`
    help: -
    "#);
}

#[tokio::test]
async fn maps() {
    assert_snapshot!(on_sync("sources:\n  list:\n    connector: script\n    map:\n      emial: E-Mail\n").await, @r#"
    line 6: there is no field `emial` to map to
    help: did you mean `email`?
    "#);
    assert_snapshot!(on_sync("sources:\n  list:\n    connector: script\n    columns: [E-Mail, Name]\n    map:\n      email: E-Mial\n").await, @r#"
    line 7: the source has no column `E-Mial`
    help: did you mean `E-Mail`?
    "#);
    assert_snapshot!(on_sync("sources:\n  list:\n    connector: script\n    map:\n      created_at: { from: [Date], format: dd/mm/yyyy }\n").await, @r#"
    line 6: `dd/mm/yyyy` is not a format of `created_at`
    help: write a strftime format such as %d/%m/%Y
    "#);
    assert_snapshot!(on_sync("sources: { list: { connector: script } }\nsinks:\n  crm:\n    connector: remote\n    map: { name: full_nam }\n").await, @r#"
    line 6: a prospect has no field `full_nam`
    help: did you mean `full_name`?
    "#);
    assert_snapshot!(on_sync("sources: { list: { connector: script } }\nsinks:\n  crm:\n    connector: remote\n    map: { name: full_name }\n    policy: { nmae: never }\n").await, @r#"
    line 7: there is a policy for `nmae`, but no such field in `map`
    help: did you mean `name`? Else map the field, or take its policy out
    "#);
    assert_snapshot!(on_sync("sources: { list: { connector: script } }\nsinks:\n  crm:\n    connector: remote\n    match_on: [external_id, emial]\n    map: { name: full_name, email: email }\n").await, @r#"
    line 6: records cannot be found by `emial`: `map` gives no such field a value
    help: did you mean `email`?
    "#);
    assert_snapshot!(on_sync("sources: { list: { connector: script } }\nsinks:\n  crm:\n    connector: remote\n    match_on: [register]\n    map: { name: full_name }\n").await, @r#"
    line 6: records cannot be found by `register`: `map` gives no such field a value
    help: name one of: external_id, name
    "#);
}

#[tokio::test]
async fn audiences() {
    let sink = |audience: &str| {
        format!("sources: {{ list: {{ connector: script }} }}\nsinks:\n  crm:\n    connector: remote\n    audience: {audience}\n")
    };
    assert_snapshot!(on_sync(&sink("may_contct")).await, @r#"
    line 6: the audience `may_contct` is not a condition over `prospect`: there is no column `may_contct`; did you mean `may_contact`? the columns are: prospect_id, merged_into, lead_count, source_count, email, email_kind, given_name, family_name, full_name, phone, mobile, job_title, seniority, department, company_name, company_domain, website, linkedin_url, street, city, region, postal_code, country, language, need, budget, intended_use, lifecycle, buying_stage, lawful_basis, consent, may_contact, hold_reason, first_source, first_channel, last_channel, first_seen_at, last_seen_at, last_contact_at, became_prospect_at, became_customer_at, conversion_count, revenue, currency, company_number
    help: -
    "#);
    assert_snapshot!(on_sync(&sink("\"lifecycle = 'customer' AND\"")).await, @r#"
    line 6: the audience `lifecycle = 'customer' AND` is not a condition over `prospect`: the SQL cannot be read: Expected: an expression, found: EOF
    help: -
    "#);
    assert_snapshot!(on_sync(&sink("\"true) OR (true\"")).await, @r#"
    line 6: the audience `true) OR (true` is not a condition over `prospect`: the SQL cannot be read: Expected: end of expression, found: ) at Line: 1, Column: 5
    help: -
    "#);
}

#[tokio::test]
async fn values_that_mean_nothing() {
    let source = |line: &str| format!("sources:\n  list:\n    connector: script\n    {line}\n");
    assert_snapshot!(on_sync(&source("streams: [al]")).await, @r#"
    line 5: the source has no stream `al`
    help: did you mean `all`?
    "#);
    assert_snapshot!(on_sync(&source("country: Deutschlnd")).await, @r#"
    line 5: `Deutschlnd` is not a country we know
    help: write its ISO 3166 code such as FR
    "#);
    assert_snapshot!(on_sync(&source("currency: euros")).await, @r#"
    line 5: `euros` is not a currency
    help: write its ISO 4217 code such as EUR
    "#);
    assert_snapshot!(on_sync(&source("dates: { format: dd.mm.yyyy }")).await, @r#"
    line 5: dates cannot be read by the format `dd.mm.yyyy`
    help: write a strftime format such as %d/%m/%Y
    "#);
    assert_snapshot!(on_sync(&source("dates: { zone: Europe/Pariss }")).await, @r#"
    line 5: there is no time zone `Europe/Pariss`
    help: write an IANA name such as Europe/Paris
    "#);
    assert_snapshot!(on_sync(&source("cost: { amount: '1,000', currency: EUR }")).await, @r#"
    line 5: the decimal sign cannot be told
    help: write a plain number such as "1234.50"
    "#);
    assert_snapshot!(on_sync(&source("basis: { lawful_basis: consent, obtained_at: 01/02/2025 }")).await, @r#"
    line 5: not a day or instant
    help: write it as 2026-10-03
    "#);
    assert_snapshot!(on_sync("sources: { list: { connector: script } }\nattribution:\n  models: [first, lats]\n").await, @r#"
    line 4: there is no attribution model `lats`
    help: did you mean `last`?
    "#);
    assert_snapshot!(on_sync("sources: { list: { connector: script } }\nmeasures: { required_fields: [emial] }\n").await, @r#"
    line 3: a lead has no field `emial`
    help: did you mean `email`?
    "#);
    assert_snapshot!(on_sync("sources: { list: { connector: script } }\nstore: { lake: 's3://bucket/lake' }\n").await, @r#"
    line 3: the lake `s3://bucket/lake` is not a folder; only local folders are supported in this version
    help: write a path, relative to the project
    "#);
}

#[test]
fn a_setting_that_the_environment_cannot_set_is_named() {
    let text = "version: 1\nidentity:\n  engine: exact\n";
    let error = load_in(text, [("HEADWATER__IDENTITY__ENGINE", "sure")]).expect_err("it is not set from the environment");
    assert_snapshot!(told(&error), @r#"
    line 2: the environment variable HEADWATER__IDENTITY__ENGINE sets nothing
    help: only `store` and `serve` are set from the environment; write the rest into this file, or unset the variable
    "#);
    assert!(load_in(text, [("HEADWATER__STORE__KEEP_DAYS", "9"), ("HEADWATER_HOME", "x")]).is_ok());
}
