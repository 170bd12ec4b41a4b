//! The bodies of form tools, by the members that each documents.

use super::fields::Fields;
use super::form::Pairs;
use super::json::{Json, joined};
use super::{Kind, Submission, Unreadable};

/// The sender's id of the event: the same when it is sent again.
pub(super) fn event_id(kind: Kind, json: Json<'_>) -> Option<String> {
    match kind {
        Kind::Typeform => json.text_at("event_id"),
        Kind::Tally => json.text_at("eventId"),
        Kind::Ghost => Some(format!("{}:{}", json.text_at("event")?, ghost_member(json)?.0.text_at("id")?)),
        Kind::Webflow => json.text_at("_id").or_else(|| json.get("payload")?.text_at("id")),
        Kind::Jotform => None,
    }
}

/// The submission in a body of that sender.
pub(super) fn submission(kind: Kind, json: Json<'_>) -> Result<Submission, Unreadable> {
    let read = match kind {
        Kind::Typeform => typeform(json),
        Kind::Tally => tally(json),
        Kind::Ghost => ghost(json),
        Kind::Webflow => webflow(json),
        Kind::Jotform => None,
    };
    let (fields, id, deleted) = read.ok_or_else(|| {
        Unreadable::new("unknown_event", format!("this is no submission that {} documents: send only such events", kind.name()))
    })?;
    Ok(Submission { fields: fields.finish()?, raw: json.raw().to_owned(), id, deleted })
}

type Read = Option<(Fields, Option<String>, bool)>;

/// Answers carry no question: that stands in the definition, under the same field id.
fn typeform(json: Json<'_>) -> Read {
    if json.text_at("event_type").is_some_and(|event| event != "form_response") {
        return None;
    }
    let response = json.get("form_response")?;
    let definition = response.get("definition");
    let questions: Vec<(String, String)> = definition
        .and_then(|definition| definition.get("fields")?.items())
        .unwrap_or_default()
        .into_iter()
        .filter_map(|question| Some((question.text_at("id")?, question.text_at("title")?)))
        .collect();
    let mut fields = Fields::default();
    for answer in response.get("answers").and_then(Json::items).unwrap_or_default() {
        let kind = answer.text_at("type")?;
        let value = typeform_value(answer.get(&kind)?);
        let field = answer.get("field");
        let id = field.and_then(|field| field.text_at("id"));
        let name = field.and_then(|field| field.text_at("ref")).or_else(|| id.clone())?;
        match kind.as_str() {
            "email" => fields.kind("email", value.clone()),
            "phone_number" => fields.kind("phone", value.clone()),
            "url" => fields.kind("website", value.clone()),
            _ => {}
        }
        if let Some((_, title)) = questions.iter().find(|(question, _)| Some(question) == id.as_ref()) {
            fields.label(title, value.clone());
        }
        fields.put(&name, value);
    }
    for (name, value) in response.get("hidden").and_then(Json::members).unwrap_or_default() {
        fields.put(&name, value.cell());
    }
    let id = response.text_at("token");
    fields.about("event_type", json.text_at("event_type"));
    fields.about("form_id", response.text_at("form_id"));
    fields.about("form_name", definition.and_then(|definition| definition.text_at("title")));
    fields.about("response_id", id.clone());
    fields.about("landed_at", response.text_at("landed_at"));
    fields.about("submitted_at", response.text_at("submitted_at"));
    fields.about("score", response.get("calculated").and_then(|calculated| calculated.text_at("score")));
    Some((fields, id, false))
}

/// A choice is its label, or what the person wrote under "other"; several are listed.
fn typeform_value(value: Json<'_>) -> Option<String> {
    if !value.is_object() {
        return value.cell();
    }
    let labels = value.get("labels").and_then(Json::items).unwrap_or_default().into_iter().filter_map(Json::text);
    let single = value.text_at("label");
    joined(labels.chain(single).chain(value.text_at("other"))).or_else(|| value.text())
}

fn tally(json: Json<'_>) -> Read {
    if json.text_at("eventType").is_some_and(|event| event != "FORM_RESPONSE") {
        return None;
    }
    let data = json.get("data")?;
    let mut fields = Fields::default();
    for field in data.get("fields")?.items()? {
        let value = tally_value(field);
        let kind = field.text_at("type").unwrap_or_default();
        match kind.as_str() {
            "INPUT_EMAIL" => fields.kind("email", value.clone()),
            "INPUT_PHONE_NUMBER" | "INPUT_PHONE" => fields.kind("phone", value.clone()),
            "INPUT_LINK" => fields.kind("website", value.clone()),
            _ => {}
        }
        match field.text_at("label") {
            // A hidden field has no question: its label is its name in the address.
            Some(label) if kind == "HIDDEN_FIELDS" => fields.put(&label, value),
            Some(label) => {
                fields.label(&label, value.clone());
                fields.put(&field.text_at("key")?, value);
            }
            None => fields.put(&field.text_at("key")?, value),
        }
    }
    let id = data.text_at("submissionId").or_else(|| data.text_at("responseId"));
    fields.about("event_type", json.text_at("eventType"));
    fields.about("form_id", data.text_at("formId"));
    fields.about("form_name", data.text_at("formName"));
    fields.about("response_id", id.clone());
    fields.about("submitted_at", data.text_at("createdAt").or_else(|| json.text_at("createdAt")));
    Some((fields, id, false))
}

/// Choices are ids; their texts stand in the options.
fn tally_value(field: Json<'_>) -> Option<String> {
    let value = field.get("value")?;
    let (Some(chosen), Some(options)) = (value.items(), field.get("options").and_then(Json::items)) else {
        return value.cell();
    };
    let text = |id: String| {
        let option = options.iter().find(|option| option.text_at("id").as_ref() == Some(&id));
        option.and_then(|option| option.text_at("text")).unwrap_or(id)
    };
    joined(chosen.into_iter().filter_map(Json::text).map(text))
}

/// The member that an event is about, and whether it is gone: then `current` is empty and the person stands in `previous`.
fn ghost_member(json: Json<'_>) -> Option<(Json<'_>, bool)> {
    let member = json.get("member")?;
    let deleted = json.text_at("event")? == "member.deleted";
    Some((member.get(if deleted { "previous" } else { "current" })?, deleted))
}

fn ghost(json: Json<'_>) -> Read {
    let event = json.text_at("event")?;
    if !["member.added", "member.edited", "member.deleted"].contains(&event.as_str()) {
        return None;
    }
    let (member, deleted) = ghost_member(json)?;
    let id = member.text_at("id")?;
    let mut fields = Fields::default();
    for (name, value) in member.members()? {
        let names = value.items().map(|items| items.into_iter().filter_map(|item| item.text_at("name")).collect::<Vec<_>>());
        match name.as_str() {
            "labels" | "newsletters" | "tiers" => fields.put(&name, names.and_then(joined)),
            "name" => {
                fields.kind("full_name", value.text());
                fields.put(&name, value.text());
            }
            _ => fields.put(&name, value.cell()),
        }
    }
    fields.about("event_type", Some(event));
    Some((fields, Some(id), deleted))
}

/// Two shapes are alive: `{triggerType, payload}`, and the older one whose answers stand at the top.
fn webflow(json: Json<'_>) -> Read {
    if json.text_at("triggerType").is_some_and(|event| event != "form_submission") {
        return None;
    }
    let body = json.get("payload").unwrap_or(json);
    let mut fields = Fields::default();
    fields.flattened(body.get("data").filter(|data| data.is_object())?);
    let first = |names: [&str; 2]| names.iter().find_map(|name| body.text_at(name));
    let id = first(["id", "_id"]);
    fields.about("event_type", json.text_at("triggerType"));
    fields.about("form_id", body.text_at("formId"));
    fields.about("form_name", body.text_at("name"));
    fields.about("site_id", first(["siteId", "site"]));
    fields.about("page_url", body.text_at("pageUrl"));
    fields.about("response_id", id.clone());
    fields.about("submitted_at", first(["submittedAt", "d"]));
    Some((fields, id, false))
}

/// Jotform's id of the submission, where a form post is one of its.
pub(super) fn jotform_id(pairs: &Pairs) -> Option<String> {
    let find = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let (_, _, id) = (find("rawRequest")?, find("formID")?, find("submissionID")?);
    Some(id.clone())
}

/// A form post whose answers stand, as JSON, in its field `rawRequest` under `q3_fullName`.
pub(super) fn jotform(pairs: &Pairs, id: Option<String>) -> Result<Submission, Unreadable> {
    let find = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let raw = find("rawRequest").unwrap_or_default();
    let broken =
        || Unreadable { field: Some("rawRequest".to_owned()), ..Unreadable::new("not_json", "the answers are not valid JSON") };
    let json = Json::parse(&raw).ok_or_else(broken)?;
    let mut fields = Fields::default();
    for (name, value) in json.members().ok_or_else(broken)? {
        let answer = name.strip_prefix('q').and_then(|rest| rest.split_once('_'));
        let Some((_, label)) = answer.filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit())) else {
            fields.put(&name, value.cell());
            continue;
        };
        match value.is_object().then(|| value.members()).flatten() {
            Some(parts) => {
                for (part, part_value) in &parts {
                    fields.put(&format!("{label}.{part}"), part_value.cell());
                }
                jotform_parts(&mut fields, value);
            }
            None => fields.put(label, value.cell()),
        }
    }
    fields.about("form_id", find("formID"));
    fields.about("form_name", find("formTitle"));
    fields.about("response_id", id.clone());
    Ok(Submission { fields: fields.finish()?, raw, id, deleted: false })
}

/// Its control for a name gives `first` and `last`, its control for a phone `full`, or `area` and `phone`.
fn jotform_parts(fields: &mut Fields, value: Json<'_>) {
    if let (Some(first), Some(last)) = (value.text_at("first"), value.text_at("last")) {
        fields.kind("first_name", Some(first));
        fields.kind("last_name", Some(last));
    }
    let local = value.text_at("phone").map(|phone| value.text_at("area").unwrap_or_default() + &phone);
    if let Some(phone) = value.text_at("full").or(local) {
        fields.kind("phone", Some(phone));
    }
}
