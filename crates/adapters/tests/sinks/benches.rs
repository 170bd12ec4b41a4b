//! Every vendor with a fake, its sink, and rows that it takes.

use headwater_adapters::language::Declarative;
use headwater_fakes::attio::Attio;
use headwater_fakes::brevo::Brevo;
use headwater_fakes::close::Close;
use headwater_fakes::dataverse::Dataverse;
use headwater_fakes::freshsales::Freshsales;
use headwater_fakes::mailchimp::Mailchimp;
use headwater_fakes::odoo::Odoo;
use headwater_fakes::pipedrive::Pipedrive;
use headwater_fakes::salesforce::Salesforce;
use headwater_fakes::zoho::Zoho;
use headwater_fakes::{Conditions, Counts, Running, Vendor};
use headwater_sdk::{BuildContext, Clock, Connector as _, DeliveryRow, Result, Sink};
use serde_json::{Value, json};

use crate::tasks::TaskFields;
use crate::{connector, fake, row, settings, sink_from};

/// A running fake, whosever it is.
pub(crate) trait Fake: Send + Sync {
    fn url(&self) -> &str;
    fn counts(&self) -> Counts;
    fn state(&self) -> Value;
    fn set(&self, conditions: Conditions);
}

impl<V: Vendor> Fake for Running<V> {
    fn url(&self) -> &str {
        self.url()
    }

    fn counts(&self) -> Counts {
        self.counts()
    }

    fn state(&self) -> Value {
        self.state()
    }

    fn set(&self, conditions: Conditions) {
        self.set(conditions);
    }
}

/// A vendor as generic tests see it.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    pub(crate) fake: Box<dyn Fake>,
    /// Its file, read once: a contract makes many sinks of it.
    pub(crate) connector: Declarative,
    pub(crate) secret: &'static str,
    pub(crate) config: fn(&str) -> Value,
    /// The field with the address.
    pub(crate) email: &'static str,
    /// A field of text that every row has, and what the vendor calls it.
    pub(crate) text: (&'static str, &'static str),
    /// Whether two records cannot have one address.
    pub(crate) unique: bool,
}

impl Bench {
    pub(crate) fn sink(&self) -> Result<Box<dyn Sink>> {
        self.sink_with(self.secret)
    }

    pub(crate) fn sink_with(&self, secret: &str) -> Result<Box<dyn Sink>> {
        sink_from(&self.connector, (self.config)(self.fake.url()), secret)
    }

    /// One that waits for no budget: for tests of many rows that are about something else.
    pub(crate) fn sink_at_once(&self) -> Result<Box<dyn Sink>> {
        let (config, cx) = settings((self.config)(self.fake.url()), self.secret);
        self.connector.sink(&config, &BuildContext { clock: Clock::virtual_from(cx.clock.now()), ..cx })
    }

    /// People that the vendor does not have and would take.
    pub(crate) fn rows(&self, count: usize) -> Vec<DeliveryRow> {
        let person = |number| {
            let (text, email) = (format!("O'Brien {number}"), format!("ada{number}@example.com"));
            row(number, &[(self.text.0, text), (self.email, email)])
        };
        (0..count).map(person).collect()
    }

    /// How many records it has.
    pub(crate) fn records(&self) -> usize {
        self.fake.state().as_array().unwrap().len()
    }
}

/// All of them.
pub(crate) async fn benches(conditions: &Conditions) -> Vec<Bench> {
    let taken = || conditions.clone();
    vec![
        Bench {
            name: "attio",
            fake: Box::new(attio(taken()).await),
            connector: connector("attio"),
            secret: headwater_fakes::attio::TOKEN,
            config: |url| json!({ "url": url, "token": { "env": "T" } }),
            email: "email_addresses",
            text: ("job_title", "job_title"),
            unique: true,
        },
        Bench {
            name: "brevo",
            fake: Box::new(fake(Brevo::default(), taken()).await),
            connector: connector("brevo"),
            secret: headwater_fakes::brevo::KEY,
            config: |url| json!({ "url": url, "api_key": { "env": "T" }, "list_id": 7 }),
            email: "email",
            text: ("attributes.LASTNAME", "LASTNAME"),
            unique: true,
        },
        Bench {
            name: "close",
            fake: Box::new(close(taken()).await),
            connector: connector("close"),
            secret: headwater_fakes::close::KEY,
            config: |url| json!({ "url": url, "api_key": { "env": "T" }, "id_field": "cf_hw", "search_lag": "50ms" }),
            email: "email",
            text: ("name", "name"),
            unique: false,
        },
        Bench {
            name: "dataverse",
            fake: Box::new(dataverse(taken()).await),
            connector: connector("dataverse"),
            secret: headwater_fakes::dataverse::SECRET,
            config: |url| {
                json!({ "url": url, "login_url": url, "tenant": headwater_fakes::dataverse::TENANT, "client_id": "app",
                        "client_secret": { "env": "T" }, "id_field": "new_headwaterid", "detect_duplicates": true })
            },
            email: "emailaddress1",
            text: ("lastname", "lastname"),
            unique: true,
        },
        Bench {
            name: "freshsales",
            fake: Box::new(freshsales(taken()).await),
            connector: connector("freshsales"),
            secret: headwater_fakes::freshsales::KEY,
            config: |url| json!({ "url": url, "api_key": { "env": "T" }, "search_lag": "50ms" }),
            email: "email",
            text: ("last_name", "last_name"),
            unique: true,
        },
        Bench {
            name: "mailchimp",
            fake: Box::new(mailchimp(taken()).await),
            connector: connector("mailchimp"),
            secret: headwater_fakes::mailchimp::KEY,
            config: |url| {
                json!({ "server_url": url, "api_key": { "env": "T" }, "list_id": headwater_fakes::mailchimp::LIST,
                        "status_if_new": "subscribed" })
            },
            email: "email_address",
            text: ("merge_fields.LNAME", "LNAME"),
            // The address is the record.
            unique: false,
        },
        Bench {
            name: "odoo",
            fake: Box::new(odoo(taken()).await),
            connector: connector("odoo"),
            secret: headwater_fakes::odoo::KEY,
            config: |url| json!({ "url": url, "database": headwater_fakes::odoo::DATABASE, "api_key": { "env": "T" } }),
            email: "email",
            text: ("name", "name"),
            unique: false,
        },
        Bench {
            name: "odoo_jsonrpc",
            fake: Box::new(odoo(taken()).await),
            connector: connector("odoo_jsonrpc"),
            secret: headwater_fakes::odoo::KEY,
            config: |url| {
                json!({ "url": url, "database": headwater_fakes::odoo::DATABASE, "api_key": { "env": "T" },
                        "user_id": headwater_fakes::odoo::USER })
            },
            email: "email",
            text: ("name", "name"),
            unique: false,
        },
        Bench {
            name: "pipedrive",
            fake: Box::new(pipedrive(taken()).await),
            connector: connector("pipedrive"),
            secret: headwater_fakes::pipedrive::TOKEN,
            config: |url| json!({ "url": url, "token": { "env": "T" }, "id_field": "hw", "search_lag": "50ms" }),
            email: "email",
            text: ("name", "name"),
            unique: false,
        },
        Bench {
            name: "salesforce",
            fake: Box::new(salesforce(taken()).await),
            connector: connector("salesforce"),
            secret: headwater_fakes::salesforce::SECRET,
            config: |url| json!({ "url": url, "client_id": { "env": "T" }, "client_secret": { "env": "T" } }),
            email: "Email",
            text: ("LastName", "LastName"),
            unique: true,
        },
        Bench {
            name: "zoho",
            fake: Box::new(zoho(taken()).await),
            connector: connector("zoho"),
            secret: headwater_fakes::zoho::REFRESH_TOKEN,
            config: |url| {
                json!({ "url": url, "accounts_url": url, "client_id": "1000.fake", "client_secret": { "env": "T" },
                        "refresh_token": { "env": "T" } })
            },
            email: "Email",
            text: ("Last_Name", "Last_Name"),
            unique: true,
        },
    ]
}

/// Those whose vendor keeps tasks, with what it calls their parts.
pub(crate) async fn with_tasks(conditions: &Conditions) -> Vec<(Bench, TaskFields)> {
    let fields = |name: &str| {
        let (text, due) = match name {
            "attio" => ("content", ("deadline_at", "2026-03-01T09:00:00Z")),
            "close" => ("text", ("date", "2026-03-01")),
            "dataverse" => ("subject", ("scheduledend", "2026-03-01T09:00:00Z")),
            "freshsales" => ("title", ("due_date", "2026-03-01T09:00:00Z")),
            "odoo" | "odoo_jsonrpc" => ("summary", ("date_deadline", "2026-03-01")),
            "pipedrive" => ("subject", ("due_date", "2026-03-01")),
            "salesforce" => ("Subject", ("ActivityDate", "2026-03-01")),
            "zoho" => ("Subject", ("Due_Date", "2026-03-01")),
            _ => return None,
        };
        Some(TaskFields { text, due })
    };
    // Boxed, since every stand-in is held at once.
    Box::pin(benches(conditions))
        .await
        .into_iter()
        .filter_map(|bench| Some((fields(bench.name)?, bench)))
        .map(|(fields, bench)| (bench, fields))
        .collect()
}

pub(crate) async fn attio(conditions: Conditions) -> Running<Attio> {
    let mut vendor = Attio::default();
    vendor.add_attribute("headwater_id");
    fake(vendor, conditions).await
}

pub(crate) async fn close(conditions: Conditions) -> Running<Close> {
    let mut vendor = Close::default();
    vendor.add_field("cf_hw");
    fake(vendor, conditions).await
}

pub(crate) async fn dataverse(conditions: Conditions) -> Running<Dataverse> {
    let mut vendor = Dataverse::default();
    vendor.add_key("new_headwaterid");
    vendor.add_task_column("new_headwaterid");
    fake(vendor, conditions).await
}

pub(crate) async fn freshsales(conditions: Conditions) -> Running<Freshsales> {
    let mut vendor = Freshsales::default();
    vendor.add_field("cf_headwater_id");
    fake(vendor, conditions).await
}

pub(crate) async fn mailchimp(conditions: Conditions) -> Running<Mailchimp> {
    let mut vendor = Mailchimp::default();
    vendor.add_merge_field("HWID");
    fake(vendor, conditions).await
}

pub(crate) async fn odoo(conditions: Conditions) -> Running<Odoo> {
    let mut vendor = Odoo::default();
    vendor.add_field("x_headwater_id");
    vendor.add_activity_field("x_headwater_id");
    fake(vendor, conditions).await
}

pub(crate) async fn pipedrive(conditions: Conditions) -> Running<Pipedrive> {
    let mut vendor = Pipedrive::default();
    vendor.add_field("hw");
    fake(vendor, conditions).await
}

pub(crate) async fn salesforce(conditions: Conditions) -> Running<Salesforce> {
    let mut vendor = Salesforce::default();
    vendor.add_external_id("Headwater_Id__c");
    fake(vendor, conditions).await
}

pub(crate) async fn zoho(conditions: Conditions) -> Running<Zoho> {
    let mut vendor = Zoho::default();
    vendor.add_field("Headwater_Id", true);
    fake(vendor, conditions).await
}
