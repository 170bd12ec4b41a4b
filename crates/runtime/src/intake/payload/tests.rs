use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";

fn delivery(content_type: &str, body: &str, signature_status: &str) -> Delivery {
    Delivery {
        seq: 1,
        received_at_us: 0,
        content_type: content_type.to_owned(),
        headers: serde_json::json!({}),
        body: body.as_bytes().to_vec(),
        delivery_key: "key".to_owned(),
        signature_status: signature_status.to_owned(),
    }
}

fn named(name: &str) -> Format {
    Format::named(name).unwrap()
}

fn read_json(body: &str, format: Format) -> Result<Vec<Submission>, Unreadable> {
    read(&delivery("application/json", body, "verified"), format, None)
}

fn only(read: Result<Vec<Submission>, Unreadable>) -> Submission {
    let mut submissions = read.unwrap();
    assert_eq!(submissions.len(), 1);
    submissions.remove(0)
}

/// The fields as lines, for a snapshot.
fn shown(submission: &Submission) -> String {
    submission.fields.iter().fold(String::new(), |mut out, (name, value)| {
        writeln!(out, "{name} = {}", value.as_deref().unwrap_or("(absent)")).unwrap();
        out
    })
}

const TYPEFORM: &str = r#"{"event_id":"01HZX","event_type":"form_response","form_response":{
  "form_id":"lT4Z3j","token":"a3a12ec67a1365927098a606107fac15","landed_at":"2026-01-18T18:07:02Z","submitted_at":"2026-01-18T18:17:02Z",
  "hidden":{"utm_source":"newsletter","utm_campaign":null},"calculated":{"score":9},
  "definition":{"id":"lT4Z3j","title":"Ask for a demo","fields":[
    {"id":"f1","title":"Comment vous appelez-vous ?","type":"short_text","ref":"nom"},
    {"id":"f2","title":"Votre adresse","type":"email","ref":"r-2"},
    {"id":"f3","title":"Team size","type":"number","ref":"r-3"},
    {"id":"f4","title":"Products","type":"multiple_choice","ref":"r-4"},
    {"id":"f5","title":"Plan","type":"multiple_choice","ref":"r-5"}]},
  "answers":[
    {"type":"text","text":"Zoë","field":{"id":"f1","type":"short_text","ref":"nom"}},
    {"type":"email","email":"zoe@example.com","field":{"id":"f2","type":"email","ref":"r-2"}},
    {"type":"number","number":12.50,"field":{"id":"f3","type":"number","ref":"r-3"}},
    {"type":"choices","choices":{"ids":["a"],"labels":["Boats","Tents"],"other":"Sails"},"field":{"id":"f4","ref":"r-4"}},
    {"type":"choice","choice":{"id":"b","label":"Team","ref":"x"},"field":{"id":"f5","ref":"r-5"}}]}}"#;

const GHOST_DELETED: &str = r#"{"event":"member.deleted","member":{"current":{},
    "previous":{"id":"6801","email":"ada@example.com","name":"Ada","subscribed":true}}}"#;

#[test]
fn nobody_is_deleted_by_a_post_that_anybody_could_make() {
    let unsigned = delivery("application/json", GHOST_DELETED, "unsigned");
    assert_eq!(read(&unsigned, Format::Auto, None).unwrap_err().code, "unsigned_deletion");
}

#[test]
fn any_json_is_flattened_by_one_level_and_its_numbers_keep_their_text() {
    let body =
        r#"{"form_id":9007199254740993,"contact":{"Email":"a@example.com","deep":{"x":1.0}},"tags":["a","b"],"none":null}"#;
    let submission = only(read_json(body, Format::Auto));
    assert_eq!(submission.raw, body);
    insta::assert_snapshot!(shown(&submission), @r#"
    form_id = 9007199254740993
    contact.Email = a@example.com
    contact.deep = {"x":1.0}
    tags = a, b
    none = (absent)
    email = a@example.com
    contact_email = a@example.com
    contact_deep = {"x":1.0}
    "#);
}

#[test]
fn the_envelope_of_standard_webhooks_is_taken_off() {
    let body =
        r#"{"type":"form.submitted","timestamp":"2026-03-04T05:06:07Z","data":{"email":"a@example.com","utm":{"source":"ads"}}}"#;
    insta::assert_snapshot!(shown(&only(read_json(body, Format::Auto))), @r#"
    email = a@example.com
    utm.source = ads
    utm_source = ads
    event_type = form.submitted
    submitted_at = 2026-03-04T05:06:07Z
    intake.submitted_at = 2026-03-04T05:06:07Z
    "#);
}

#[test]
fn a_list_is_as_many_submissions() {
    let submissions = read_json(r#"[{"email":"a@example.com"},{"email":"b@example.com"}]"#, Format::Json).unwrap();
    assert_eq!(submissions.len(), 2);
    assert_eq!(submissions[1].raw, r#"{"email":"b@example.com"}"#);
}

#[test]
fn a_plain_form_keeps_its_names_and_repeated_ones_are_lists() {
    let body = "Email=ada%40example.com&interest%5B%5D=boats&interest%5B%5D=tents&postcode=01000";
    let mut delivery = delivery(FORM, body, "unsigned");
    delivery.headers = serde_json::json!({ "referer": "https://www.example.com/contact" });
    let submission = only(read(&delivery, Format::Auto, None));
    assert_eq!(submission.raw, r#"{"Email":"ada@example.com","interest[]":["boats","tents"],"postcode":"01000"}"#);
    insta::assert_snapshot!(shown(&submission), @r#"
    Email = ada@example.com
    interest[] = boats, tents
    postcode = 01000
    email = ada@example.com
    postal_code = 01000
    interest = boats, tents
    page_url = https://www.example.com/contact
    "#);
}

#[test]
fn a_filled_honeypot_is_refused_and_an_empty_one_is_not() {
    let with = |value: &str| delivery(FORM, &format!("email=a%40example.com&company_url={value}"), "unsigned");
    let refused = read(&with("http"), Format::Auto, Some("company_url")).unwrap_err();
    assert_eq!((refused.code, refused.field.as_deref()), ("honeypot", Some("company_url")));
    assert!(read(&with(""), Format::Auto, Some("company_url")).is_ok());
}

#[test]
fn an_instant_is_believed_only_of_a_sender_that_proved_who_it_is() {
    let at = |status: &str, said: &str| {
        let body = format!(r#"{{"email":"a@example.com","submitted_at":"{said}"}}"#);
        let submission = only(read(&delivery("application/json", &body, status), Format::Auto, None));
        submission.fields.into_iter().find(|(name, _)| name == SUBMITTED_AT).and_then(|(_, value)| value)
    };
    assert_eq!(at("verified", "2026-01-18T18:17:02Z").as_deref(), Some("2026-01-18T18:17:02Z"));
    assert_eq!(at("unsigned", "2026-01-18T18:17:02Z"), None);
    assert_eq!(at("verified", "03/04/2026 10:00"), None);
}

#[test]
fn poison_is_refused_by_code() {
    for (body, format, code) in [
        ("{", Format::Auto, "not_json"),
        ("", Format::Auto, "not_json"),
        ("3", Format::Auto, "not_an_object"),
        ("[1]", Format::Auto, "not_an_object"),
        ("{}", Format::Auto, "empty_submission"),
        (r#"{"a":1}"#, named("typeform"), "unknown_event"),
        (r#"{"a":1}"#, Format::Form, "other_format"),
        (r#"{"event":"member.added","member":null}"#, named("ghost"), "unknown_event"),
        (r#"{"event":"post.published","member":{"current":{"id":"1"}}}"#, named("ghost"), "unknown_event"),
        (r#"{"triggerType":"ecomm_new_order","payload":{"data":{}}}"#, Format::Auto, "unknown_event"),
    ] {
        assert_eq!(read_json(body, format).unwrap_err().code, code, "{body}");
    }
    let latin1 = Delivery { body: b"{\"name\":\"Zo\xeb\"}".to_vec(), ..delivery("application/json", "", "verified") };
    assert_eq!(read(&latin1, Format::Auto, None).unwrap_err().code, "not_utf8");
    let list = format!("[{}]", vec!["{\"a\":1}"; MAX_SUBMISSIONS + 1].join(","));
    assert_eq!(read_json(&list, Format::Auto).unwrap_err().code, "too_many_rows");
    assert_eq!(read(&delivery(FORM, "a=&b=", "unsigned"), Format::Auto, None).unwrap_err().code, "empty_submission");
}

proptest! {
    /// A body cut or changed anywhere is read or refused, and never a panic.
    #[test]
    fn a_damaged_body_is_read_or_refused(at: usize, by: u8, cut: bool, multipart: bool) {
        for whole in [TYPEFORM, GHOST_DELETED, "formID=1&submissionID=2&rawRequest=%7B%22q3_a%22%3A1%7D"] {
            let mut damaged = delivery(if multipart { "multipart/form-data; boundary=q" } else { "application/json" }, whole, "verified");
            let at = at % damaged.body.len();
            if cut { damaged.body.truncate(at) } else { damaged.body[at] ^= by }
            drop(read(&damaged, Format::Auto, None));
            drop(identify(&damaged.content_type, &damaged.body, Format::Auto));
        }
    }
}
