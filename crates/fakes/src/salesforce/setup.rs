//! What administrators make: fields, and permission sets without which nobody sees a field.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Salesforce, failure};
use crate::call::text;
use crate::{Answer, Call};

/// Who signs in.
const USER: &str = "005000000000001";

#[derive(Debug, Default)]
pub(super) struct Setup {
    /// Fields as `Object.Field`, and whether each is an external id.
    fields: Vec<(String, bool)>,
    sets: Vec<String>,
    /// Fields that a permission set shows.
    shown: BTreeSet<String>,
    assigned: bool,
}

impl Salesforce {
    pub(super) fn set_up(&mut self, method: &str, rest: &[&str], body: &Value) -> Answer {
        let made = |id: String| Answer::json(201, &json!({ "id": id, "success": true, "errors": [] })).wrote();
        match (method, rest) {
            ("GET", []) => {
                Answer::json(200, &json!({ "identity": format!("https://login.salesforce.com/id/00D000000000001/{USER}") }))
            }
            ("POST", ["tooling", "sobjects", "CustomField"]) => {
                let name = text(body, "FullName").to_owned();
                let flag = |name: &str| body.pointer(&format!("/Metadata/{name}")) == Some(&json!(true));
                if body.pointer("/Metadata/type") != Some(&json!("Text")) || !name.ends_with("__c") {
                    return failure(400, "INVALID_FIELD", "FullName or Metadata is wrong");
                }
                if self.setup.fields.iter().any(|(known, _)| *known == name) {
                    return failure(400, "DUPLICATE_DEVELOPER_NAME", "There is already a field of this name");
                }
                self.setup.fields.push((name, flag("externalId")));
                made(format!("00N{:012}", self.setup.fields.len()))
            }
            ("POST", ["sobjects", "PermissionSet"]) => {
                self.setup.sets.push(text(body, "Name").to_owned());
                made(format!("0PS{:012}", self.setup.sets.len()))
            }
            ("POST", ["sobjects", "FieldPermissions"]) => {
                if !text(body, "ParentId").starts_with("0PS") {
                    return failure(400, "REQUIRED_FIELD_MISSING", "ParentId is missing");
                }
                self.setup.shown.insert(text(body, "Field").to_owned());
                self.show_fields();
                made("01k000000000001".to_owned())
            }
            ("POST", ["sobjects", "PermissionSetAssignment"]) => {
                if self.setup.assigned || text(body, "AssigneeId") != USER {
                    return failure(400, "DUPLICATE_VALUE", "Duplicate PermissionSetAssignment");
                }
                self.setup.assigned = true;
                self.show_fields();
                made("0Pa000000000001".to_owned())
            }
            _ => failure(404, "NOT_FOUND", "The requested resource does not exist"),
        }
    }

    pub(super) fn asks_of_setup(&self, call: &Call) -> bool {
        call.parameter("q").is_some_and(|q| q.contains("FROM PermissionSet"))
    }

    pub(super) fn query_setup(&self, call: &Call) -> Answer {
        let assignment = call.parameter("q").is_some_and(|q| q.contains("FROM PermissionSetAssignment"));
        let found = match assignment {
            true => self.setup.assigned.then(|| "0Pa000000000001".to_owned()),
            false => (!self.setup.sets.is_empty()).then(|| format!("0PS{:012}", 1)),
        };
        let records: Vec<Value> = found.into_iter().map(|id| json!({ "Id": id })).collect();
        Answer::json(200, &json!({ "totalSize": records.len(), "done": true, "records": records }))
    }

    /// What a permission set shows, and whoever signs in has that set, is there for them.
    fn show_fields(&mut self) {
        if !self.setup.assigned {
            return;
        }
        for (full, external) in &self.setup.fields {
            let Some((object, field)) = full.split_once('.') else { continue };
            let object = if object == "Activity" { "Task" } else { object };
            if !self.setup.shown.contains(&format!("{object}.{field}")) {
                continue;
            }
            if let Some(object) = self.objects.get_mut(object) {
                object.fields.insert(field.to_owned());
                if *external {
                    object.records.make_unique(field);
                    self.external = Some(field.to_owned());
                }
            }
        }
    }
}
