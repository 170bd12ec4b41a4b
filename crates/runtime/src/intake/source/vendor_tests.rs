//! From a delivery of a known sender to rows of the lake, and the answers that have to be asked for.

use std::path::PathBuf;
use std::sync::Mutex;

use arrow::array::{Array, BooleanArray};
use hashbrown::HashSet;
use headwater_model::conform::{Conformer, Context, Keep};
use headwater_model::instant::DateStyle;
use headwater_model::suppression::{Hasher, Screen};
use headwater_sdk::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::tests::{Log, delivery, events, log_of, pages_of};
use super::*;

fn source_over(log: &Arc<Log>, settings: Value) -> Result<Box<dyn Source>> {
    let cx = BuildContext {
        clock: Clock::fixed(jiff::Timestamp::UNIX_EPOCH),
        base_dir: PathBuf::new(),
        // In these tests a variable's name is its value.
        env: Arc::new(|name| Some(name.to_owned())),
        allow_private_hosts: false,
    };
    let Value::Object(values) = settings else { panic!("settings are an object") };
    IntakeConnector::over(Arc::clone(log) as Arc<dyn IntakeLog>).source(&ConfigDoc { connection: "x".to_owned(), values }, &cx)
}

/// When everything in the samples had happened: 2026-11-20.
const READ_AT_US: i64 = 1_795_132_800_000_000;

/// Conforms the first page of what a source reads.
async fn conformed(log: &Arc<Log>, settings: Value) -> (Role, RecordBatch, usize) {
    let source = source_over(log, settings).unwrap();
    let spec = source.streams().await.unwrap().remove(0);
    let events = events(source.as_ref(), None).await;
    let page = pages_of(&events)[0];
    let context = Context {
        source: "x".to_owned(),
        stream: spec.name.clone(),
        run_id: "run_1".to_owned(),
        origin: spec.origin,
        dates: DateStyle::default(),
        country: None,
        currency: None,
        lawful_basis: None,
        basis_obtained_at: None,
        notice_at: None,
    };
    let conformer = Conformer::new(spec.role, &spec.mapping, context).unwrap();
    let hashes = conformer.hashes(page);
    let keep = Keep { rows: (0..u32::try_from(hashes.len()).unwrap()).collect(), hashes };
    let screen = Screen::new(Hasher::new(&[0; 32]), HashSet::new());
    match spec.role {
        Role::Leads => {
            let leads = conformer.leads(page, &keep, &screen, READ_AT_US).unwrap();
            (spec.role, leads.lead, leads.refused.len())
        }
        role => {
            let facts = conformer.facts(page, &keep, &screen, READ_AT_US).unwrap();
            (role, facts.rows, facts.refused.len())
        }
    }
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).unwrap().as_any().downcast_ref::<StringArray>().unwrap();
    column.iter().map(|value| value.unwrap_or("-").to_owned()).collect()
}

#[tokio::test]
async fn events_of_an_email_tool_are_engagements_with_the_tool_s_word_beside_ours() {
    let body = include_str!("../provider/samples/sendgrid.json");
    let settings = json!({ "signature": { "type": "sendgrid", "secret": { "env": "S" } }, "provider": "sendgrid" });
    let (role, rows, refused) = conformed(&log_of(vec![delivery(1, body, "verified")]), settings).await;
    assert_eq!((role, rows.num_rows(), refused), (Role::Engagements, 14, 0));
    assert_eq!(texts(&rows, "kind")[1..6], ["delivered", "opened_machine", "opened", "opened", "clicked"]);
    assert_eq!(texts(&rows, "raw_kind")[1..6], ["delivered", "open", "open", "open", "click"]);
    assert_eq!(texts(&rows, "machine")[1..6], ["unknown", "machine", "unknown", "likely_machine", "unknown"]);
    assert_eq!(texts(&rows, "email")[0], "ada@example.com");
}

#[tokio::test]
async fn a_time_that_is_none_is_refused_and_stops_nothing() {
    let body = include_str!("../provider/samples/customerio-dirty-time.json");
    let settings = json!({ "signature": { "type": "customerio", "secret": { "env": "S" } }, "provider": "customerio" });
    let (_, rows, refused) = conformed(&log_of(vec![delivery(1, body, "verified")]), settings).await;
    assert_eq!((rows.num_rows(), refused), (0, 1));
}

#[tokio::test]
async fn a_trial_is_kept_and_marked() {
    let bodies = [include_str!("../provider/samples/google_ads.json"), include_str!("../provider/samples/google_ads-test.json")];
    let log = log_of((1..).zip(bodies).map(|(seq, body)| delivery(seq, body, "token_only")).collect());
    let signature = json!({ "type": "body_secret", "field": "google_key", "secret": { "env": "S" } });
    let (_, rows, refused) = conformed(&log, json!({ "signature": signature })).await;
    let tests = rows.column_by_name("is_test").unwrap().as_any().downcast_ref::<BooleanArray>().unwrap();
    assert_eq!((refused, tests.value(0), tests.value(1)), (0, false, true));
    assert_eq!((texts(&rows, "full_name")[0].as_str(), texts(&rows, "company_name")[0].as_str()), ("Ada Example", "Example SAS"));
}

/// A vendor that answers paths; its questions are kept.
struct Vendor {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

impl Vendor {
    async fn answering(answers: &[(&'static str, u16, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answers) = (Arc::new(Mutex::new(Vec::new())), answers.to_vec());
        let mut server = JoinSet::new();
        let questions = Arc::clone(&asked);
        server.spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && connection.read_buf(&mut request).await.is_ok_and(|read| read > 0) {}
                let request = String::from_utf8(request).unwrap().to_lowercase();
                let path = request.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
                let (_, status, body) = answers.iter().find(|(known, _, _)| *known == path).copied().unwrap_or(("", 404, "{}"));
                let head = format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\n");
                let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                questions.lock().unwrap().push(request);
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, asked, _server: server }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

const META_LEAD: &str = r#"{"id":"1459076748710713","created_time":"2026-01-18T18:17:02+0000","campaign_name":"Spring","is_organic":false,
    "platform":"ig","form_id":"1616801872291121",
    "field_data":[{"name":"email","values":["ada@example.com"]},{"name":"full_name","values":["Ada Example"]}],
    "custom_disclaimer_responses":[{"checkbox_key":"news","is_checked":"1"}]}"#;

fn meta(server: &Vendor) -> Value {
    let signature = json!({ "type": "meta", "secret": { "env": "S" }, "verify_token": { "env": "V" } });
    json!({ "signature": signature, "provider": "meta", "fetch": { "access_token": { "env": "page-token" }, "url": server.url } })
}

fn meta_notice() -> Delivery {
    delivery(1, include_str!("../provider/samples/meta.json"), "verified")
}

#[tokio::test]
async fn a_lead_that_is_only_named_is_asked_for() {
    let gone = r#"{"error":{"message":"gone","code":100}}"#;
    let server = Vendor::answering(&[("/1459076748710713", 200, META_LEAD), ("/1459076748710714", 400, gone)]).await;
    let source = source_over(&log_of(vec![meta_notice()]), meta(&server)).unwrap();
    let events = events(source.as_ref(), None).await;
    let [page] = pages_of(&events)[..] else { panic!("one page") };
    assert_eq!(page.rows(), 1);
    assert_eq!(texts(&page.fields, "email"), ["ada@example.com"]);
    assert_eq!(
        (texts(&page.fields, "utm_source"), texts(&page.fields, "utm_medium")),
        (vec!["instagram".to_owned()], vec!["paid_social".to_owned()])
    );
    assert_eq!(texts(&page.fields, payload::SUBMITTED_AT), ["2026-01-18T18:17:02Z"]);
    assert_eq!(page.keys.as_ref().unwrap().value(0), "1459076748710713");
    assert_eq!(page.refused.iter().map(|refused| refused.code).collect::<Vec<_>>(), ["answers_gone"]);
    assert!(server.asked().iter().all(|request| request.contains("authorization: bearer page-token")));
}

/// Else an expired token would cost every lead of that day.
#[tokio::test]
async fn an_expired_token_fails_the_read_and_leaves_the_deliveries_where_they_are() {
    let expired = r#"{"error":{"message":"expired","type":"OAuthException","code":190}}"#;
    let server = Vendor::answering(&[("/1459076748710713", 400, expired)]).await;
    let source = source_over(&log_of(vec![meta_notice()]), meta(&server)).unwrap();
    let stream = source.streams().await.unwrap().remove(0);
    let read: Result<Vec<SourceEvent>> = source.read(&stream, None).await.unwrap().try_collect().await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn without_a_token_deliveries_that_only_name_a_lead_wait() {
    let server = Vendor::answering(&[]).await;
    let mut settings = meta(&server);
    settings.as_object_mut().unwrap().remove("fetch");
    let source = source_over(&log_of(vec![meta_notice()]), settings).unwrap();
    let stream = source.streams().await.unwrap().remove(0);
    let read: Result<Vec<SourceEvent>> = source.read(&stream, None).await.unwrap().try_collect().await;
    let error = read.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("name leads by id"), "{error}");
}

#[tokio::test]
async fn an_unsigned_id_is_not_asked_for() {
    let server = Vendor::answering(&[]).await;
    let notice = Delivery { signature_status: UNSIGNED.to_owned(), ..meta_notice() };
    let source = source_over(&log_of(vec![notice]), meta(&server)).unwrap();
    let events = events(source.as_ref(), None).await;
    assert_eq!(pages_of(&events)[0].refused.iter().map(|refused| refused.code).collect::<Vec<_>>(), ["unsigned_id"; 2]);
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_linkedin_answer_is_read_by_what_the_form_asks() {
    let lead = r#"{"id":"b1a2-3","submittedAt":1768760222000,"testLead":true,"leadType":"SPONSORED",
        "leadMetadataInfo":{"sponsoredLeadMetadataInfo":{"campaign":{"id":"7","name":"Spring"}}},
        "formResponse":{"answers":[
            {"questionId":1,"answerDetails":{"textQuestionAnswer":{"answer":"ada@example.com"}}},
            {"questionId":2,"answerDetails":{"textQuestionAnswer":{"answer":"Ada"}}},
            {"questionId":3,"answerDetails":{"multipleChoiceAnswer":{"options":[1,2]}}}],
          "consentResponses":[{"consentId":9,"accepted":true}]},
        "form":{"id":99,"name":"Demo","hiddenFields":[{"name":"utm_content","value":"blue"}],
          "content":{"questions":[{"questionId":1,"predefinedField":"WORK_EMAIL","name":"Work email"},
            {"questionId":2,"predefinedField":"FIRST_NAME","name":"First name"},{"questionId":3,"name":"Size"}]}}}"#;
    let server = Vendor::answering(&[("/leadformresponses/b1a2-3", 200, lead)]).await;
    let bodies = [include_str!("../provider/samples/linkedin.json"), include_str!("../provider/samples/linkedin-deleted.json")];
    let log = log_of((1..).zip(bodies).map(|(seq, body)| delivery(seq, body, "verified")).collect());
    let settings = json!({
        "signature": { "type": "linkedin", "secret": { "env": "S" } }, "provider": "linkedin",
        "fetch": { "access_token": { "env": "token" }, "url": server.url },
    });
    let source = source_over(&log, settings).unwrap();
    let events = events(source.as_ref(), None).await;
    let page = pages_of(&events)[0];
    assert_eq!(texts(&page.fields, "email")[0], "ada@example.com");
    assert_eq!(texts(&page.fields, "given_name")[0], "Ada");
    assert_eq!(
        (texts(&page.fields, "utm_campaign")[0].as_str(), texts(&page.fields, "utm_content")[0].as_str()),
        ("Spring", "blue")
    );
    assert_eq!((texts(&page.fields, "is_test")[0].as_str(), texts(&page.fields, "consent.9")[0].as_str()), ("true", "true"));
    assert_eq!(page.keys.as_ref().unwrap().iter().flatten().collect::<Vec<_>>(), ["b1a2-3", "b1a2-3"]);
    assert_eq!(page.deleted, Some(vec![false, true]));
    assert!(server.asked().iter().all(|request| request.contains("linkedin-version: 202510")));
}

#[tokio::test]
async fn a_contact_that_hubspot_names_is_asked_for_and_one_that_is_gone_is_not() {
    let contact = r#"{"id":"123","properties":{"email":"ada@example.com","firstname":"Ada"},"updatedAt":"2026-01-18T18:17:02Z"}"#;
    let server = Vendor::answering(&[("/crm/v3/objects/contacts/123", 200, contact)]).await;
    let log = log_of(vec![delivery(1, include_str!("../provider/samples/hubspot-subscription.json"), "verified")]);
    let settings = json!({
        "signature": { "type": "hubspot", "secret": { "env": "S" }, "url": "https://leads.example.com/in/x" }, "provider": "hubspot",
        "fetch": { "access_token": { "env": "token" }, "url": server.url },
    });
    let source = source_over(&log, settings).unwrap();
    let events = events(source.as_ref(), None).await;
    let page = pages_of(&events)[0];
    assert_eq!((texts(&page.fields, "email")[0].as_str(), page.deleted.clone()), ("ada@example.com", Some(vec![false, true])));
}

#[tokio::test]
async fn fetch_without_a_provider_that_needs_it_is_a_mistake_of_the_settings() {
    let log = log_of(Vec::new());
    let settings = json!({ "signature": { "type": "none" }, "fetch": { "access_token": { "env": "T" } } });
    let source = source_over(&log, settings).unwrap();
    assert_eq!(source.check().await.unwrap_err().kind(), ErrorKind::Config);
}
