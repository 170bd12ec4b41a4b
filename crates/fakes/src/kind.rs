//! The vendors by name, each fit to be tried out.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::attio::{self, Attio};
use crate::bottlecrm::{self, BottleCrm};
use crate::brevo::{self, Brevo};
use crate::close::{self, Close};
use crate::dataverse::{self, Dataverse};
use crate::freshsales::{self, Freshsales};
use crate::hubspot::{self, HubSpot};
use crate::mailchimp::{self, Mailchimp};
use crate::odoo::{self, Odoo};
use crate::pipedrive::{self, Pipedrive};
use crate::salesforce::{self, Salesforce};
use crate::zoho::{self, Zoho};
use crate::{Call, Vendor};

/// A vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// HubSpot.
    #[default]
    HubSpot,
    /// Salesforce.
    Salesforce,
    /// Pipedrive.
    Pipedrive,
    /// Zoho CRM.
    Zoho,
    /// Odoo.
    Odoo,
    /// BottleCRM.
    BottleCrm,
    /// Attio.
    Attio,
    /// Close.
    Close,
    /// Microsoft Dataverse.
    Dataverse,
    /// Freshsales.
    Freshsales,
    /// Brevo.
    Brevo,
    /// Mailchimp.
    Mailchimp,
}

/// Somebody whom others put into the CRM by hand.
#[derive(Debug, Clone, Copy)]
pub struct ByHand<'a> {
    /// The given name.
    pub given: &'a str,
    /// The family name.
    pub family: &'a str,
    /// The address.
    pub email: &'a str,
    /// The number, which a sync may not write over.
    pub phone: &'a str,
}

impl Kind {
    /// Every vendor.
    pub const ALL: [Self; 12] = [
        Self::HubSpot,
        Self::Salesforce,
        Self::Pipedrive,
        Self::Zoho,
        Self::Odoo,
        Self::BottleCrm,
        Self::Attio,
        Self::Close,
        Self::Dataverse,
        Self::Freshsales,
        Self::Brevo,
        Self::Mailchimp,
    ];

    /// Its name, which is also that of the connector.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HubSpot => "hubspot",
            Self::Salesforce => "salesforce",
            Self::Pipedrive => "pipedrive",
            Self::Zoho => "zoho",
            Self::Odoo => "odoo",
            Self::BottleCrm => "bottlecrm",
            Self::Attio => "attio",
            Self::Close => "close",
            Self::Dataverse => "dataverse",
            Self::Freshsales => "freshsales",
            Self::Brevo => "brevo",
            Self::Mailchimp => "mailchimp",
        }
    }

    /// The secret that its API takes: a token, or what a token is got for.
    #[must_use]
    pub const fn secret(self) -> &'static str {
        match self {
            Self::HubSpot => hubspot::TOKEN,
            Self::Salesforce => salesforce::SECRET,
            Self::Pipedrive => pipedrive::TOKEN,
            Self::Zoho => zoho::REFRESH_TOKEN,
            Self::Odoo => odoo::KEY,
            Self::BottleCrm => bottlecrm::TOKEN,
            Self::Attio => attio::TOKEN,
            Self::Close => close::KEY,
            Self::Dataverse => dataverse::SECRET,
            Self::Freshsales => freshsales::KEY,
            Self::Brevo => brevo::KEY,
            Self::Mailchimp => mailchimp::KEY,
        }
    }

    /// An account with a field for our id, and nobody in it.
    #[must_use]
    pub fn account(self) -> Box<dyn Vendor> {
        match self {
            Self::HubSpot => {
                let mut vendor = HubSpot::default();
                for object in ["contacts", "companies", "tasks"] {
                    vendor.add_property(object, "headwater_id", true);
                }
                vendor.add_list("42");
                vendor.add_active_list("43");
                Box::new(vendor)
            }
            Self::Salesforce => {
                let mut vendor = Salesforce::default();
                vendor.add_external_id("Headwater_Id__c");
                Box::new(vendor)
            }
            Self::Pipedrive => {
                let mut vendor = Pipedrive::default();
                vendor.add_field("headwater_id");
                Box::new(vendor)
            }
            Self::Zoho => {
                let mut vendor = Zoho::default();
                vendor.add_field("Headwater_Id", true);
                Box::new(vendor)
            }
            Self::Odoo => {
                let mut vendor = Odoo::default();
                vendor.add_field("x_headwater_id");
                vendor.add_activity_field("x_headwater_id");
                Box::new(vendor)
            }
            Self::BottleCrm => Box::new(BottleCrm::default()),
            Self::Attio => {
                let mut vendor = Attio::default();
                vendor.add_attribute("headwater_id");
                Box::new(vendor)
            }
            Self::Close => {
                let mut vendor = Close::default();
                vendor.add_field("cf_headwater_id");
                Box::new(vendor)
            }
            Self::Dataverse => {
                let mut vendor = Dataverse::default();
                vendor.add_key("new_headwaterid");
                vendor.add_task_column("new_headwaterid");
                Box::new(vendor)
            }
            Self::Freshsales => {
                let mut vendor = Freshsales::default();
                vendor.add_field("cf_headwater_id");
                Box::new(vendor)
            }
            Self::Brevo => Box::new(Brevo::default()),
            Self::Mailchimp => {
                let mut vendor = Mailchimp::default();
                vendor.add_merge_field("HWID");
                Box::new(vendor)
            }
        }
    }

    /// The calls by which one of the CRM's other users puts somebody there.
    #[must_use]
    pub fn by_hand(self, person: &ByHand<'_>) -> Vec<Call> {
        let ByHand { given, family, email, phone } = person;
        let whole = format!("{given} {family}");
        let secret = self.secret();
        match self {
            Self::HubSpot => {
                let fields = json!({ "firstname": given, "lastname": family, "email": email, "phone": phone });
                let body = json!({ "inputs": [{ "properties": fields }] });
                vec![bearer(secret, "POST", "crm/v3/objects/contacts/batch/create", &body)]
            }
            Self::Salesforce => {
                let body = format!("grant_type=client_credentials&client_secret={secret}").into_bytes();
                let session = Call { body, ..bearer("", "POST", "services/oauth2/token", &Value::Null) };
                let kind = json!({ "type": "Contact" });
                let fields =
                    json!({ "attributes": kind, "FirstName": given, "LastName": family, "Email": email, "Phone": phone });
                let path = "services/data/v62.0/composite/sobjects/Contact/Headwater_Id__c";
                vec![session, bearer("00D-fake-1", "PATCH", path, &json!({ "records": [fields] }))]
            }
            Self::Pipedrive => {
                let one = |value: &str| json!([{ "value": value, "primary": true }]);
                let body = json!({ "name": whole, "emails": one(email), "phones": one(phone) });
                vec![header("x-api-token", secret, bearer("", "POST", "api/v2/persons", &body))]
            }
            Self::Zoho => {
                let body = format!("grant_type=refresh_token&refresh_token={secret}").into_bytes();
                let token = Call { body, ..bearer("", "POST", "oauth/v2/token", &Value::Null) };
                let fields = json!({ "First_Name": given, "Last_Name": family, "Email": email, "Phone": phone });
                let made = bearer("", "POST", "crm/v8/Contacts/upsert", &json!({ "data": [fields] }));
                vec![token, header("authorization", "Zoho-oauthtoken 1000.fake.access.1", made)]
            }
            Self::Odoo => {
                let body = json!({ "vals_list": [{ "name": whole, "email": email, "phone": phone }] });
                let made = bearer(secret, "POST", "json/2/res.partner/create", &body);
                vec![header("x-odoo-database", odoo::DATABASE, made)]
            }
            Self::BottleCrm => {
                let body = json!({ "first_name": given, "last_name": family, "email": email, "phone": phone });
                vec![bearer(secret, "POST", "api/contacts/", &body)]
            }
            Self::Attio => {
                let name = json!([{ "first_name": given, "last_name": family, "full_name": whole }]);
                let number = json!([{ "original_phone_number": phone }]);
                let values = json!({ "name": name, "email_addresses": [email], "phone_numbers": number });
                let call = bearer(secret, "PUT", "v2/objects/people/records", &json!({ "data": { "values": values } }));
                let query = vec![("matching_attribute".to_owned(), "email_addresses".to_owned())];
                vec![Call { query, ..call }]
            }
            Self::Close => {
                let one = |key: &str, value: &str| json!([{ key: value, "type": "office" }]);
                let body = json!({ "name": whole, "emails": one("email", email), "phones": one("phone", phone) });
                vec![header("authorization", close::BASIC, bearer("", "POST", "api/v1/contact", &body))]
            }
            Self::Dataverse => {
                let form = format!("grant_type=client_credentials&client_secret={secret}&scope=x%2F.default").into_bytes();
                let path = format!("{}/oauth2/v2.0/token", dataverse::TENANT);
                let token = Call { body: form, ..bearer("", "POST", &path, &Value::Null) };
                let fields = json!({ "firstname": given, "lastname": family, "emailaddress1": email, "telephone1": phone });
                vec![token, bearer("eyJ.fake.1", "POST", "api/data/v9.2/contacts", &fields)]
            }
            Self::Freshsales => {
                let fields = json!({ "first_name": given, "last_name": family, "email": email, "mobile_number": phone });
                let made = bearer("", "POST", "crm/sales/api/contacts", &json!({ "contact": fields }));
                vec![header("authorization", &format!("Token token={secret}"), made)]
            }
            Self::Brevo => {
                let attributes = json!({ "FIRSTNAME": given, "LASTNAME": family, "SMS": phone });
                let body = json!({ "email": email, "attributes": attributes });
                vec![header("api-key", secret, bearer("", "POST", "v3/contacts", &body))]
            }
            Self::Mailchimp => {
                let fields = json!({ "FNAME": given, "LNAME": family, "PHONE": phone });
                let body = json!({ "email_address": email, "status_if_new": "subscribed", "merge_fields": fields });
                let path = format!("3.0/lists/{}/members/{}", mailchimp::LIST, mailchimp::hash_of(email));
                vec![header("authorization", mailchimp::BASIC, bearer("", "PUT", &path, &body))]
            }
        }
    }

    /// The people of a [`Vendor::state`] of this vendor, each as an object of fields.
    #[must_use]
    pub fn people(self, state: &Value) -> Vec<Value> {
        let list = match self {
            Self::HubSpot => state.get("contacts"),
            Self::Salesforce
            | Self::Pipedrive
            | Self::Zoho
            | Self::Odoo
            | Self::BottleCrm
            | Self::Attio
            | Self::Close
            | Self::Dataverse
            | Self::Freshsales
            | Self::Brevo
            | Self::Mailchimp => Some(state),
        };
        let people = list.and_then(Value::as_array).into_iter().flatten();
        people.filter(|record| record.get(crate::call::KIND).is_none()).cloned().collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("there is no `{text}` here; there are {}", known()))
    }
}

fn bearer(token: &str, method: &str, path: &str, body: &Value) -> Call {
    let call = Call {
        method: method.to_owned(),
        path: path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect(),
        body: body.to_string().into_bytes(),
        ..Call::default()
    };
    header("authorization", &format!("Bearer {token}"), call)
}

fn header(name: &str, value: &str, mut call: Call) -> Call {
    call.headers.insert(name.to_owned(), value.to_owned());
    call
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conditions, Journalled};

    const ADA: ByHand<'_> = ByHand { given: "Ada", family: "O'Brien", email: "ada@example.com", phone: "+33 1 23" };

    #[test]
    fn somebody_put_there_by_hand_is_there_once_also_after_a_new_start() {
        let folder = tempfile::tempdir().unwrap();
        for kind in Kind::ALL {
            let path = folder.path().join(kind.name());
            let mut vendor = Journalled::open(kind.account(), &path).unwrap();
            for call in kind.by_hand(&ADA) {
                let answer = vendor.answer(&call, &Conditions::default(), 7);
                assert!(answer.status < 300, "{kind}: {answer:?}");
            }
            let people = kind.people(&vendor.state());
            assert!(people.len() == 1 && people[0].to_string().contains("ada@example.com"), "{kind}: {people:?}");
            let again = Journalled::open(kind.account(), &path).unwrap();
            assert_eq!(again.state(), vendor.state(), "{kind}");
            assert_eq!(kind.name().parse(), Ok(kind));
        }
    }

    /// Of a batch HubSpot takes the others; whoever it refused is not there after a new start without the refusal.
    #[test]
    fn who_was_refused_does_not_come_to_life_at_a_new_start() {
        let folder = tempfile::tempdir().unwrap();
        let person = |last: &str| {
            let email = format!("{last}@example.com");
            json!({ "idProperty": "headwater_id", "id": last, "properties": { "lastname": last, "email": email } })
        };
        let body = json!({ "inputs": [person("Poison"), person("Alder")] });
        let call = bearer(Kind::HubSpot.secret(), "POST", "crm/v3/objects/contacts/batch/upsert", &body);
        let poisoned = Conditions { refuse: Some("Poison".to_owned()), ..Conditions::default() };
        let path = folder.path().join("crm.jsonl");
        let mut vendor = Journalled::open(Kind::HubSpot.account(), &path).unwrap();
        assert_eq!(vendor.answer(&call, &poisoned, 7).status, 207);
        assert_eq!(Kind::HubSpot.people(&vendor.state()).len(), 1);
        let again = Journalled::open(Kind::HubSpot.account(), &path).unwrap();
        assert_eq!(again.state(), vendor.state());
    }

    #[test]
    fn a_line_that_is_no_call_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crm.jsonl");
        std::fs::write(&path, "{}\n").unwrap();
        let error = Journalled::open(Kind::Odoo.account(), &path).err().unwrap();
        assert!(error.to_string().ends_with("crm.jsonl:1: this is no call"), "{error}");
    }
}
