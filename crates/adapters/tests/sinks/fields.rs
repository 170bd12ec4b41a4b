//! Fields that are made on request: the one that keeps our id, and others.

use headwater_fakes::attio::Attio;
use headwater_fakes::close::Close;
use headwater_fakes::dataverse::Dataverse;
use headwater_fakes::mailchimp::{LIST, Mailchimp};
use headwater_fakes::odoo::{DATABASE, Odoo, USER};
use headwater_fakes::pipedrive::Pipedrive;
use headwater_fakes::salesforce::Salesforce;
use headwater_fakes::zoho::Zoho;
use headwater_fakes::{Conditions, Vendor};
use headwater_sdk::sink::EXTERNAL_ID;
use headwater_sdk::{BuildContext, Clock, Companion, Connector as _, ErrorKind, Lookup, MatchKey, Result, RowOutcome, Sink};
use serde_json::{Value, json};

use crate::{connector, fake, row, settings, write};

/// A sink, or tasks of it, without waiting for real.
fn made(name: &str, config: Value, secret: &str, of: Option<&Companion>) -> Result<Box<dyn Sink>> {
    let (config, cx) = settings(config, secret);
    let cx = BuildContext { clock: Clock::virtual_from(cx.clock.now()), ..cx };
    match of {
        None => connector(name).sink(&config, &cx),
        Some(companion) => connector(name).companion(companion, &config, &cx),
    }
}

fn with(config: &Value, more: Value) -> Value {
    let (Value::Object(mut config), Value::Object(more)) = (config.clone(), more) else { unreachable!() };
    config.extend(more);
    config.into()
}

struct Case<V> {
    name: &'static str,
    vendor: V,
    config: fn(&str) -> Value,
    secret: &'static str,
    /// Fields that a row needs.
    row: &'static [(&'static str, &'static str)],
    /// A field to be made beside, where that can be asked for.
    also: Option<&'static str>,
    tasks: bool,
}

impl<V: Vendor> Case<V> {
    /// The account lacks the field: without leave that is told, with it the field is made once, and then it is written to.
    async fn makes_its_fields(self) {
        let Self { name, vendor, config, secret, row: fields, also, tasks } = self;
        let fake = fake(vendor, Conditions::default()).await;
        let bare = config(fake.url());
        let told = made(name, bare.clone(), secret, None).unwrap().check().await.unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Config, "{name}: {told}");
        assert!(
            told.to_string().contains("to keep our id") && told.hint_text().unwrap().contains("create_id_field"),
            "{name}: {told}"
        );
        assert_eq!(fake.counts().writes, 0, "{name}");

        let mut config = with(&bare, json!({ "create_id_field": true }));
        config = also.map_or(config.clone(), |also| with(&config, json!({ "create_fields": [also] })));
        let sink = || made(name, config.clone(), secret, None).unwrap();
        let looked = sink();
        looked.check().await.unwrap_or_else(|error| panic!("{name}: {error} {:?}", error.hint_text()));
        let known = looked.fields().await.unwrap();
        let to_make = looked.fields_to_make().await.unwrap();
        assert!(to_make.iter().all(|field| known.iter().any(|(known, _)| known == field)), "{name}: {to_make:?} {known:?}");
        assert_eq!(to_make.len(), 1 + usize::from(also.is_some()), "{name}: {to_make:?}");
        let ours = MatchKey { field: EXTERNAL_ID.to_owned(), value: "prs_1".to_owned() };
        assert_eq!(
            looked.lookup(&[vec![ours]]).await.unwrap(),
            [Lookup::Absent],
            "{name}: nobody has a value in a field that is to be made"
        );
        assert_eq!(fake.counts().writes, 0, "{name}: who checks and plans makes nothing");
        looked.prepare().await.unwrap_or_else(|error| panic!("{name}: {error} {:?}", error.hint_text()));
        let writes = fake.counts().writes;
        assert!(writes > 0, "{name}");
        sink().prepare().await.unwrap();
        assert_eq!(sink().fields_to_make().await.unwrap(), [""; 0], "{name}");
        let mut fields: Vec<(&str, String)> = fields.iter().map(|(field, value)| (*field, (*value).to_owned())).collect();
        fields.extend(also.map(|also| (also, "page".to_owned())));
        let known = sink().fields().await.unwrap();
        assert!(also.is_none_or(|also| known.iter().any(|(field, _)| field == also)), "{name}: {known:?}");
        let rows = [row(1, &fields)];
        let outcomes = write(&*sink(), &rows).await;
        let [RowOutcome::Created { remote_id }] = &outcomes[..] else { panic!("{name}: {outcomes:?}") };
        let held = sink().fetch(remote_id).await.unwrap().unwrap().fields;
        assert!(held.values().flatten().any(|value| value == "prs_1"), "{name}: {held:?}");
        assert!(also.is_none_or(|also| held[also].as_deref() == Some("page")), "{name}: {held:?}");
        assert_eq!(fake.counts().writes, writes + 1, "{name}: a field is made once");
        if tasks {
            let tasks = || made(name, config.clone(), secret, Some(&Companion::Tasks)).unwrap();
            tasks().prepare().await.unwrap_or_else(|error| panic!("{name}: {error} {:?}", error.hint_text()));
            tasks().check().await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_lacking_is_made_on_request_in_attio_and_mailchimp() {
    Case {
        name: "attio",
        vendor: Attio::default(),
        config: |url| json!({ "url": url, "token": { "env": "T" } }),
        secret: headwater_fakes::attio::TOKEN,
        row: &[("name", "Ada"), ("email_addresses", "ada@example.com")],
        also: Some("source"),
        tasks: false,
    }
    .makes_its_fields()
    .await;
    Case {
        name: "mailchimp",
        vendor: Mailchimp::default(),
        config: |url| json!({ "server_url": url, "api_key": { "env": "T" }, "list_id": LIST }),
        secret: headwater_fakes::mailchimp::KEY,
        row: &[("email_address", "ada@example.com")],
        also: Some("merge_fields.SOURCE"),
        tasks: false,
    }
    .makes_its_fields()
    .await;
}

#[tokio::test]
async fn what_is_lacking_is_made_on_request_in_zoho_and_salesforce() {
    Case {
        name: "zoho",
        vendor: Zoho::default(),
        config: |url| {
            json!({ "url": url, "accounts_url": url, "client_id": "1000.fake", "client_secret": { "env": "T" }, "refresh_token": { "env": "T" } })
        },
        secret: headwater_fakes::zoho::REFRESH_TOKEN,
        row: &[("Last_Name", "Ada"), ("Email", "ada@example.com")],
        also: Some("First_Touch"),
        tasks: true,
    }
    .makes_its_fields()
    .await;
    Case {
        name: "salesforce",
        vendor: Salesforce::default(),
        config: |url| json!({ "url": url, "client_id": { "env": "T" }, "client_secret": { "env": "T" } }),
        secret: headwater_fakes::salesforce::SECRET,
        row: &[("LastName", "Ada"), ("Email", "ada@example.com")],
        also: Some("First_Touch__c"),
        tasks: true,
    }
    .makes_its_fields()
    .await;
}

#[tokio::test]
async fn what_is_lacking_is_made_on_request_in_dataverse_and_both_of_odoo() {
    Case {
        name: "dataverse",
        vendor: Dataverse::default(),
        config: |url| {
            json!({ "url": url, "login_url": url, "tenant": headwater_fakes::dataverse::TENANT, "client_id": "app",
                    "client_secret": { "env": "T" }, "id_field": "new_headwaterid" })
        },
        secret: headwater_fakes::dataverse::SECRET,
        row: &[("lastname", "Ada"), ("emailaddress1", "ada@example.com")],
        also: Some("new_firsttouch"),
        tasks: true,
    }
    .makes_its_fields()
    .await;
    for (name, config) in [
        ("odoo", (|url| json!({ "url": url, "database": DATABASE, "api_key": { "env": "T" } })) as fn(&str) -> Value),
        ("odoo_jsonrpc", |url| json!({ "url": url, "database": DATABASE, "api_key": { "env": "T" }, "user_id": USER })),
    ] {
        let (secret, row) = (headwater_fakes::odoo::KEY, &[("name", "Ada"), ("email", "ada@example.com")][..]);
        Case { name, vendor: Odoo::default(), config, secret, row, also: Some("x_first_touch"), tasks: true }
            .makes_its_fields()
            .await;
    }
}

/// Where the vendor chooses a field's name, the field is made once, and its name is told with the setting that wants it.
async fn made_and_named<V: Vendor>(name: &str, vendor: V, secret: &str, config: fn(&str) -> Value, key: &str) {
    let fake = fake(vendor, Conditions::default()).await;
    let bare = config(fake.url());
    let told = made(name, bare.clone(), secret, None).unwrap().check().await.unwrap_err();
    assert!(told.hint_text().unwrap().contains("create_id_field"), "{name}: {told}");
    assert_eq!(fake.counts().writes, 0);
    let asked = made(name, with(&bare, json!({ "create_id_field": true })), secret, None).unwrap();
    asked.check().await.unwrap();
    assert!(asked.fields_to_make().await.unwrap()[0].contains("which the remote names"), "{name}");
    assert_eq!(fake.counts().writes, 0, "{name}");
    for _ in 0..2 {
        let told =
            made(name, with(&bare, json!({ "create_id_field": true })), secret, None).unwrap().prepare().await.unwrap_err();
        assert_eq!((told.kind(), told.config_path()), (ErrorKind::Config, Some("id_field")), "{name}: {told}");
        assert_eq!(told.hint_text(), Some(format!("write `id_field: {key}`").as_str()), "{name}");
    }
    assert_eq!(fake.counts().writes, 1, "{name}: it is made once");
    let sink = made(name, with(&bare, json!({ "id_field": key })), secret, None).unwrap();
    sink.check().await.unwrap();
    let outcomes = write(&*sink, &[row(1, &[("name", "Ada".to_owned()), ("email", "ada@example.com".to_owned())])]).await;
    assert!(matches!(&outcomes[..], [RowOutcome::Created { .. }]), "{name}: {outcomes:?}");
    assert!(fake.state().to_string().contains("prs_1"), "{name}");
}

#[tokio::test]
async fn a_field_that_the_vendor_names_is_made_and_its_name_told() {
    let config = |url: &str| json!({ "url": url, "token": { "env": "T" } });
    let key = format!("{:040x}", 0xd4de);
    made_and_named("pipedrive", Pipedrive::default(), headwater_fakes::pipedrive::TOKEN, config, &key).await;
    let config = |url: &str| json!({ "url": url, "api_key": { "env": "T" } });
    made_and_named("close", Close::default(), headwater_fakes::close::KEY, config, "cf_000000000001").await;
}
