//! Companies and the people who belong to them, in CRMs that keep both.

use std::sync::Arc;

use headwater_fakes::Conditions;
use headwater_sdk::testkit_sink::{check_removal_contract, check_sink_contract};
use headwater_sdk::{BuildContext, Connector as _, DeliveryRow, Lookup, Result, RowOutcome, Sink};
use ring::signature::{KeyPair as _, RsaKeyPair};
use serde_json::{Value, json};

use crate::benches::{odoo, salesforce, zoho};
use crate::{added, companies_of, connector, key, losing, refused, row, settings, sink_of, write};

/// A CRM with companies, as the tests here see it.
struct Crm<'a> {
    sink: &'a dyn Fn() -> Result<Box<dyn Sink>>,
    companies: &'a dyn Fn() -> Result<Box<dyn Sink>>,
    lose: &'a dyn Fn(bool),
    /// The fields of a company with its name and with its site.
    company: (&'static str, &'static str),
    /// What stands before a host where a site is written.
    scheme: &'static str,
    /// The field of a person that names it, and one that every person has.
    person: (&'static str, &'static str),
}

impl Crm<'_> {
    /// A company before its people, found by the site that somebody else wrote for it in another way, and the people tied to it.
    async fn keeps_companies(&self, alder: &str) {
        let (name, site) = self.company;
        let rows: Vec<DeliveryRow> = (0..4)
            .map(|number| {
                row(number, &[(name, format!("O'Brien & Söhne {number}")), (site, format!("{}c{number}.example", self.scheme))])
            })
            .collect();
        check_removal_contract(self.companies, &rows, self.lose).await;
        check_sink_contract(self.companies, &rows).await;

        let companies = (self.companies)().unwrap();
        assert_eq!(companies.company_field(), None);
        let found =
            companies.lookup(&[key(site, "alder.example"), key(site, "lder.example"), key(site, "a') or")]).await.unwrap();
        let [Lookup::Found(record), Lookup::Absent, Lookup::Absent] = &found[..] else { panic!("{found:?}") };
        assert_eq!(record.remote_id, alder);
        // It has the site already, however that is written.
        let same = [DeliveryRow { prospect_id: "prs_9".to_owned(), ..crate::change(alder, &[(site, "alder.example")]) }];
        let kept = write(&*companies, &same).await;
        assert!(matches!(&kept[..], [RowOutcome::Updated { .. }]), "our id alone is added: {kept:?}");
        let held = companies.fetch(alder).await.unwrap().unwrap().fields[site].clone().unwrap();
        assert!(held.eq_ignore_ascii_case("https://www.alder.example/"), "{held}");

        let people = (self.sink)().unwrap();
        let (field, text) = self.person;
        assert_eq!(people.company_field(), Some(field));
        let person = |number, company: &str| row(number, &[(text, format!("Ada {number}")), (field, company.to_owned())]);
        let outcomes = write(&*people, &[person(7, alder), person(8, "999999")]).await;
        let [RowOutcome::Created { remote_id }, RowOutcome::Rejected { reason }] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!(people.fetch(remote_id).await.unwrap().unwrap().fields[field].as_deref(), Some(alder));
        assert!(reason.contains(field), "the field is not named: {reason}");
    }
}

const ALDER: [(&str, &str); 1] = [("Website", "https://www.Alder.example/")];

#[tokio::test]
async fn accounts_of_salesforce_come_before_their_contacts() {
    let fake = salesforce(Conditions::default()).await;
    let alder = fake.with(|vendor| vendor.accounts().insert(added(&[&ALDER[..], &[("Name", "Alder")]].concat()), 0));
    let config = || json!({ "url": fake.url(), "client_id": { "env": "T" }, "client_secret": { "env": "T" } });
    let crm = Crm {
        sink: &|| sink_of("salesforce", config(), headwater_fakes::salesforce::SECRET),
        companies: &|| companies_of("salesforce", config(), headwater_fakes::salesforce::SECRET),
        lose: &|lose| fake.set(losing(lose, fake.counts())),
        company: ("Name", "Website"),
        scheme: "",
        person: ("AccountId", "LastName"),
    };
    crm.keeps_companies(&alder).await;
}

#[tokio::test]
async fn accounts_of_zoho_come_before_their_contacts() {
    let fake = zoho(Conditions::default()).await;
    let alder = fake.with(|vendor| vendor.accounts().insert(added(&[&ALDER[..], &[("Account_Name", "Alder")]].concat()), 0));
    let config = || {
        json!({ "url": fake.url(), "accounts_url": fake.url(), "client_id": "1000.fake", "client_secret": { "env": "T" },
                "refresh_token": { "env": "T" } })
    };
    let crm = Crm {
        sink: &|| sink_of("zoho", config(), headwater_fakes::zoho::REFRESH_TOKEN),
        companies: &|| companies_of("zoho", config(), headwater_fakes::zoho::REFRESH_TOKEN),
        lose: &|lose| fake.set(losing(lose, fake.counts())),
        company: ("Account_Name", "Website"),
        scheme: "",
        person: ("account_id", "Last_Name"),
    };
    crm.keeps_companies(&alder).await;
}

#[tokio::test]
async fn companies_of_odoo_come_before_their_contacts() {
    let fake = odoo(Conditions::default()).await;
    let alder = added(&[("name", "Alder"), ("is_company", "true"), ("website", "https://www.alder.example/")]);
    let alder = fake.with(|vendor| vendor.contacts().insert(alder, 0));
    let config = || json!({ "url": fake.url(), "database": headwater_fakes::odoo::DATABASE, "api_key": { "env": "T" } });
    let crm = Crm {
        sink: &|| sink_of("odoo", config(), headwater_fakes::odoo::KEY),
        companies: &|| companies_of("odoo", config(), headwater_fakes::odoo::KEY),
        lose: &|lose| fake.set(losing(lose, fake.counts())),
        company: ("name", "website"),
        // Odoo puts it there.
        scheme: "http://",
        person: ("parent_id", "name"),
    };
    crm.keeps_companies(&alder).await;
}

/// The key of the recorded tests, which was made for them and opens nothing.
fn private_key() -> String {
    let file =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../connectors/salesforce/connector.yaml")).unwrap();
    let (_, rest) = file.split_once("private_key: \"-----BEGIN").unwrap();
    format!("-----BEGIN{}", rest.split('"').next().unwrap()).replace("\\n", "\n")
}

#[tokio::test]
async fn who_holds_the_private_key_of_the_app_signs_in_to_salesforce_and_nobody_else() {
    let fake = salesforce(Conditions { token_calls: Some(3), ..Conditions::default() }).await;
    let pem = private_key();
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, der).unwrap();
    let public = RsaKeyPair::from_pkcs8(&der).unwrap().public_key().as_ref().to_vec();
    let sink = |changed: &[(&str, Value)]| -> Result<Box<dyn Sink>> {
        let mut config = json!({ "url": fake.url(), "sign_in": "jwt", "client_id": { "env": "ID" },
                                 "private_key": { "env": "KEY" }, "username": headwater_fakes::salesforce::USER });
        changed.iter().for_each(|(name, value)| config[name] = value.clone());
        let (config, cx) = settings(config, headwater_fakes::salesforce::SECRET);
        let (id, key) = (cx.env, pem.clone());
        let cx = BuildContext { env: Arc::new(move |name| if name == "KEY" { Some(key.clone()) } else { id(name) }), ..cx };
        connector("salesforce").sink(&config, &cx)
    };
    let told = sink(&[]).unwrap().check().await.unwrap_err();
    assert_eq!(told.kind(), headwater_sdk::ErrorKind::Auth, "the app has no certificate: {told}");
    fake.with(|vendor| vendor.trust(public));
    let people: Vec<DeliveryRow> = (0..3).map(|number| row(number, &[("LastName", format!("O'Brien {number}"))])).collect();
    let signed_in = sink(&[]).unwrap();
    for person in &people {
        // Sessions end meanwhile; an assertion is made anew for each.
        assert_eq!(refused(&write(&*signed_in, std::slice::from_ref(person)).await), []);
    }
    for wrong in [("username", json!("other@example.com")), ("audience", json!("https://test.salesforce.com"))] {
        let told = sink(std::slice::from_ref(&wrong)).unwrap().check().await;
        assert_eq!(told.is_err(), wrong.0 == "username", "{wrong:?}: {told:?}");
    }
    let told = sink(&[("username", Value::Null)]).map(drop).unwrap_err();
    assert!(told.to_string().contains("username"), "{told}");
}
