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

#[test]
fn typeform_answers_have_their_question_their_kind_and_the_hidden_fields() {
    let submission = only(read_json(TYPEFORM, Format::Auto));
    assert_eq!(submission.id.as_deref(), Some("a3a12ec67a1365927098a606107fac15"));
    insta::assert_snapshot!(shown(&submission), @r#"
    nom = Zoë
    r-2 = zoe@example.com
    r-3 = 12.50
    r-4 = Boats, Tents, Sails
    r-5 = Team
    utm_source = newsletter
    utm_campaign = (absent)
    Comment vous appelez-vous ? = Zoë
    Votre adresse = zoe@example.com
    Team size = 12.50
    Products = Boats, Tents, Sails
    Plan = Team
    email = zoe@example.com
    comment_vous_appelez_vous = Zoë
    votre_adresse = zoe@example.com
    team_size = 12.50
    products = Boats, Tents, Sails
    plan = Team
    r_2 = zoe@example.com
    r_3 = 12.50
    r_4 = Boats, Tents, Sails
    r_5 = Team
    event_type = form_response
    form_id = lT4Z3j
    form_name = Ask for a demo
    response_id = a3a12ec67a1365927098a606107fac15
    landed_at = 2026-01-18T18:07:02Z
    submitted_at = 2026-01-18T18:17:02Z
    score = 9
    intake.submitted_at = 2026-01-18T18:17:02Z
    "#);
}

#[test]
fn tally_choices_read_as_their_texts() {
    let body = r#"{"eventId":"abc123","eventType":"FORM_RESPONSE","createdAt":"2026-04-11T10:00:00.000Z","data":{
        "responseId":"xyz789","submissionId":"xyz789","formId":"mBzNlP","formName":"Lead form","createdAt":"2026-04-11T10:00:00.000Z",
        "fields":[
          {"key":"question_abc","label":"Full Name","type":"INPUT_TEXT","value":"Example Person"},
          {"key":"question_ghi","label":"Courriel","type":"INPUT_EMAIL","value":"person@example.com"},
          {"key":"question_jkl","label":"Plan","type":"MULTIPLE_CHOICE","value":["opt2"],
           "options":[{"id":"opt1","text":"Starter"},{"id":"opt2","text":"Business"}]},
          {"key":"question_m_1","label":"utm_source","type":"HIDDEN_FIELDS","value":"ads"}]}}"#;
    let submission = only(read_json(body, Format::Auto));
    assert_eq!(submission.id.as_deref(), Some("xyz789"));
    insta::assert_snapshot!(shown(&submission), @r#"
    question_abc = Example Person
    question_ghi = person@example.com
    question_jkl = Business
    utm_source = ads
    Full Name = Example Person
    Courriel = person@example.com
    Plan = Business
    email = person@example.com
    full_name = Example Person
    courriel = person@example.com
    plan = Business
    event_type = FORM_RESPONSE
    form_id = mBzNlP
    form_name = Lead form
    response_id = xyz789
    submitted_at = 2026-04-11T10:00:00.000Z
    intake.submitted_at = 2026-04-11T10:00:00.000Z
    "#);
}

#[test]
fn both_live_shapes_of_webflow_are_read() {
    let new = r#"{"triggerType":"form_submission","payload":{"name":"Contact Us Form","siteId":"65427c",
        "data":{"First Name":"John","email":"john.doe@example.com"},"submittedAt":"2024-01-15T14:30:00.000Z","id":"65a5d3"}}"#;
    let old = r#"{"name":"Email Form","site":"62f667","data":{"Name":"Test","Email":"a@example.com"},
        "d":"2023-04-11T03:53:58.624Z","_id":"6434d9"}"#;
    insta::assert_snapshot!(shown(&only(read_json(new, Format::Auto))), @r#"
    First Name = John
    email = john.doe@example.com
    first_name = John
    event_type = form_submission
    form_id = (absent)
    form_name = Contact Us Form
    site_id = 65427c
    page_url = (absent)
    response_id = 65a5d3
    submitted_at = 2024-01-15T14:30:00.000Z
    intake.submitted_at = 2024-01-15T14:30:00.000Z
    "#);
    insta::assert_snapshot!(shown(&only(read_json(old, Format::Auto))), @r#"
    Name = Test
    Email = a@example.com
    name = Test
    email = a@example.com
    event_type = (absent)
    form_id = (absent)
    form_name = Email Form
    site_id = 62f667
    page_url = (absent)
    response_id = 6434d9
    submitted_at = 2023-04-11T03:53:58.624Z
    intake.submitted_at = 2023-04-11T03:53:58.624Z
    "#);
}

const GHOST_DELETED: &str = r#"{"event":"member.deleted","member":{"current":{},
    "previous":{"id":"6801","email":"ada@example.com","name":"Ada","subscribed":true}}}"#;

#[test]
fn a_ghost_member_is_told_by_its_id_through_change_and_deletion() {
    let edited = r#"{"event":"member.edited","member":{
        "current":{"id":"6801","email":"ada@example.com","name":"Ada Example","labels":[{"name":"vip","slug":"vip"},{"name":"paris"}],
                   "newsletters":[],"created_at":"2026-01-02T03:04:05.000Z","updated_at":"2026-02-02T03:04:05.000Z"},
        "previous":{"name":"Ada"}}}"#;
    let submission = only(read_json(edited, Format::Auto));
    assert_eq!((submission.id.as_deref(), submission.deleted), (Some("6801"), false));
    insta::assert_snapshot!(shown(&submission), @r#"
    id = 6801
    email = ada@example.com
    name = Ada Example
    labels = vip, paris
    newsletters = (absent)
    created_at = 2026-01-02T03:04:05.000Z
    updated_at = 2026-02-02T03:04:05.000Z
    full_name = Ada Example
    event_type = member.edited
    "#);
    let gone = only(read_json(GHOST_DELETED, Format::Auto));
    assert_eq!((gone.id.as_deref(), gone.deleted), (Some("6801"), true));
}

#[test]
fn nobody_is_deleted_by_a_post_that_anybody_could_make() {
    let unsigned = delivery("application/json", GHOST_DELETED, "unsigned");
    assert_eq!(read(&unsigned, Format::Auto, None).unwrap_err().code, "unsigned_deletion");
}

#[test]
fn jotform_answers_stand_in_its_raw_request() {
    let raw = r#"{"slug":"submit/1","q3_fullName":{"first":"Johnny","last":"Example"},"q4_mail":"j@example.com",
        "q5_phone":{"area":"(33)","phone":"612345678"},"q6_tags":["a","b"]}"#;
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("formID", "2385"), ("submissionID", "5747"), ("formTitle", "Contact"), ("rawRequest", raw)])
        .finish();
    let submission = only(read(&delivery(FORM, &body, "token_only"), Format::Auto, None));
    assert_eq!(submission.id.as_deref(), Some("5747"));
    insta::assert_snapshot!(shown(&submission), @r#"
    slug = submit/1
    fullName.first = Johnny
    fullName.last = Example
    mail = j@example.com
    phone.area = (33)
    phone.phone = 612345678
    tags = a, b
    first_name = Johnny
    last_name = Example
    phone = (33)612345678
    full_name_first = Johnny
    full_name_last = Example
    phone_area = (33)
    phone_phone = 612345678
    form_id = 2385
    form_name = Contact
    response_id = 5747
    "#);
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
        (r#"{"a":1}"#, Format::Typeform, "unknown_event"),
        (r#"{"a":1}"#, Format::Form, "other_format"),
        (r#"{"event":"member.added","member":null}"#, Format::Ghost, "unknown_event"),
        (r#"{"event":"post.published","member":{"current":{"id":"1"}}}"#, Format::Ghost, "unknown_event"),
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
            drop(identify(&damaged.content_type, &damaged.body));
        }
    }
}
