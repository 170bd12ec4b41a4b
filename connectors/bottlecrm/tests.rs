//! Odd answers from a local server, and the contract against a real one where the environment names it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headwater_sdk::http::{HttpClient, HttpSettings, RequestSpec, base_url, header};
use headwater_sdk::testkit_sink::check_sink_contract;
use headwater_sdk::{
    BuildContext, Clock, ConfigDoc, Connector as _, DeliveryRow, ErrorKind, Lookup, MatchKey, Operation, Result,
    RowOutcome, Sink,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, header as has_header, method, path, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const TOKEN: &str = "bcrm_pat_made_up";

fn context(token: &str) -> BuildContext {
    let token = token.to_owned();
    BuildContext {
        clock: Clock::fixed(Timestamp::UNIX_EPOCH),
        base_dir: Path::new("/").to_owned(),
        env: Arc::new(move |_| Some(token.clone())),
        allow_private_hosts: true,
    }
}

fn sink_at(url: &str, token: &str, mut config: Value) -> Result<Box<dyn Sink>> {
    config["url"] = json!(url);
    config["token"] = json!({ "env": "CRM_TOKEN" });
    let Value::Object(values) = config else { unreachable!() };
    super::BottleCrm.sink(&ConfigDoc { connection: "crm".to_owned(), values }, &context(token))
}

fn sink(server: &MockServer) -> Box<dyn Sink> {
    sink_at(&server.uri(), TOKEN, json!({})).unwrap()
}

fn row(id: &str, fields: &[(&str, Option<&str>)]) -> DeliveryRow {
    DeliveryRow {
        key: format!("{id}:1"),
        prospect_id: id.to_owned(),
        operation: Operation::Create,
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect(),
        match_keys: Vec::new(),
        doubtful: false,
    }
}

fn named(id: &str) -> DeliveryRow {
    row(id, &[("first_name", Some("Ada")), ("last_name", Some(id))])
}

fn doubtful(row: DeliveryRow) -> DeliveryRow {
    DeliveryRow { doubtful: true, ..row }
}

fn update(remote_id: &str, row: DeliveryRow) -> DeliveryRow {
    DeliveryRow { operation: Operation::Update { remote_id: remote_id.to_owned() }, ..row }
}

fn key(field: &str, value: &str) -> MatchKey {
    MatchKey { field: field.to_owned(), value: value.to_owned() }
}

fn record(id: &str, source_ref: &str, email: Option<&str>) -> Value {
    json!({ "id": id, "first_name": "Ada", "last_name": "Example", "email": email, "source_ref": source_ref, "custom_fields": {} })
}

fn contacts(records: &[Value]) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "count": records.len(), "results": records }))
}

fn done(id: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "error": false, "message": "ok", "id": id }))
}

/// Answers creates by last name: each name is given with its answer.
async fn creates(server: &MockServer, answers: Vec<(&str, ResponseTemplate)>) {
    for (name, answer) in answers {
        let created = Mock::given(method("POST")).and(path("/api/contacts/"));
        created.and(body_partial_json(json!({ "last_name": name }))).respond_with(answer).expect(1).mount(server).await;
    }
}

async fn write(sink: &dyn Sink, rows: &[DeliveryRow]) -> Vec<RowOutcome> {
    sink.write(rows).await.unwrap().into_outcomes()
}

fn created(id: &str) -> RowOutcome {
    RowOutcome::Created { remote_id: id.to_owned() }
}

#[tokio::test]
async fn a_filter_that_the_crm_ignores_chooses_nothing() {
    let server = MockServer::start().await;
    let all = [record("c1", "hw:p1", Some("Ada@Example.com")), record("c2", "li:77", Some("x.ada@example.com")), record("c3", "hw:p3", None)];
    Mock::given(method("GET"))
        .and(path("/api/contacts/"))
        .and(has_header("authorization", format!("Bearer {TOKEN}").as_str()))
        .respond_with(contacts(&all))
        .mount(&server)
        .await;
    let sink = sink(&server);
    let wanted = [
        vec![key("email", "ada@example.com")],
        vec![key("email", "nobody@example.com")],
        vec![key("external_id", "p3")],
        vec![key("external_id", "77"), key("email", "X.ADA@example.com")],
        vec![key("no_such_field", "Ada"), key("external_id", "")],
    ];
    let expected = [Some(("c1", "email")), None, Some(("c3", "external_id")), Some(("c2", "email")), None];
    // Together they need the whole list; alone, an address is asked for by the filter.
    let mut found = sink.lookup(&wanted).await.unwrap();
    found.extend(sink.lookup(&wanted[..2]).await.unwrap());
    for (answer, expected) in found.iter().zip(expected.iter().chain(&expected[..2])) {
        let shown = match answer {
            Lookup::Found(record) => Some((record.remote_id.as_str(), record.matched_on.as_str())),
            Lookup::Absent => None,
            Lookup::Ambiguous(count) => panic!("{count}"),
        };
        assert_eq!(shown, *expected);
    }
    assert_eq!(sink.lookup(&[vec![key("first_name", "Ada")]]).await.unwrap(), [Lookup::Ambiguous(3)]);
}

#[tokio::test]
async fn a_doubtful_create_looks_for_our_id_first_and_a_sure_one_does_not() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).and(path("/api/contacts/")).respond_with(contacts(&[record("c1", "hw:p1", None)])).expect(1).mount(&server).await;
    creates(&server, vec![("p2", done("c2")), ("p3", done("c3"))]).await;
    let seen = row("p1", &[("first_name", Some("Ada")), ("last_name", Some("Example")), ("phone", None)]);
    let outcomes = write(&*sink(&server), &[named("p2"), doubtful(seen), doubtful(named("p3"))]).await;
    assert_eq!(outcomes, [created("c2"), RowOutcome::Unchanged { remote_id: "c1".to_owned() }, created("c3")]);
}

#[tokio::test]
async fn our_id_in_two_records_is_a_rejection_not_a_third() {
    let server = MockServer::start().await;
    let twice = [record("c1", "hw:p1", None), record("c2", "hw:p1", None)];
    Mock::given(method("GET")).and(path("/api/contacts/")).respond_with(contacts(&twice)).mount(&server).await;
    assert!(matches!(write(&*sink(&server), &[doubtful(named("p1"))]).await[..], [RowOutcome::Rejected { .. }]));
}

#[tokio::test]
async fn one_refused_row_of_many_is_told_with_its_fields_and_without_its_values() {
    let server = MockServer::start().await;
    let refusal = json!({ "error": true, "errors": { "country": ["\"Atlantis\" is not a valid choice."], "email": ["Contact already exists with this email"] } });
    let soft = json!({ "error": true, "errors": "A contact with these details already exists." });
    creates(&server, vec![
        ("p1", done("c1")),
        ("p2", ResponseTemplate::new(400).set_body_json(refusal)),
        ("p3", ResponseTemplate::new(200).set_body_json(soft)),
        ("p4", done("c4")),
    ])
    .await;
    let outcomes = write(&*sink(&server), &["p1", "p2", "p3", "p4"].map(named)).await;
    let rejected = |reason: &str| RowOutcome::Rejected { reason: reason.to_owned() };
    let told = "country: … is not a valid choice.; email: Contact already exists with this email";
    assert_eq!(outcomes, [created("c1"), rejected(told), rejected("A contact with these details already exists."), created("c4")]);
}

#[tokio::test]
async fn a_refused_token_is_an_error_before_the_first_write_and_a_retry_after_it() {
    for status in [401, 403] {
        let server = MockServer::start().await;
        creates(&server, vec![("p1", done("c1"))]).await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(status)).expect(2).mount(&server).await;
        let error = sink(&server).write(&[named("p2"), named("p1")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(!format!("{error:?}").contains(TOKEN));
        let outcomes = write(&*sink(&server), &["p1", "p2", "p3"].map(named)).await;
        assert!(matches!(&outcomes[..], [RowOutcome::Created { .. }, RowOutcome::Retry { .. }, RowOutcome::Retry { .. }]), "{outcomes:?}");
    }
}

#[tokio::test]
async fn a_throttled_call_stops_sending_and_tells_how_long() {
    let server = MockServer::start().await;
    creates(&server, vec![("p1", done("c1")), ("p2", ResponseTemplate::new(429).insert_header("Retry-After", "57"))]).await;
    let outcomes = write(&*sink(&server), &["p1", "p2", "p3"].map(named)).await;
    assert_eq!(outcomes[0], created("c1"));
    for outcome in &outcomes[1..] {
        assert!(matches!(outcome, RowOutcome::Retry { after: Some(wait), .. } if *wait == Duration::from_secs(57)), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_row_that_upsets_the_crm_holds_nobody_up_but_a_dead_crm_is_left_alone() {
    let server = MockServer::start().await;
    let broken = || ResponseTemplate::new(500);
    let silent = ResponseTemplate::new(200).set_body_json(json!({ "error": false }));
    creates(&server, vec![("p1", broken()), ("p2", done("c2")), ("p3", silent), ("p4", broken()), ("p5", broken())]).await;
    let rows: Vec<DeliveryRow> = ["p1", "p2", "p3", "p4", "p5", "p6", "p7"].into_iter().map(named).collect();
    let outcomes = write(&*sink(&server), &rows).await;
    assert_eq!(outcomes[1], created("c2"));
    let retried = outcomes.iter().filter(|outcome| matches!(outcome, RowOutcome::Retry { after: None, .. }));
    assert_eq!(retried.count(), 6, "{outcomes:?}");
}

#[tokio::test]
async fn an_update_sends_what_differs_and_leaves_a_foreign_reference() {
    let server = MockServer::start().await;
    let held = |id: &str, source_ref: &str| {
        let mut record = record(id, source_ref, Some("ada@example.com"));
        record["title"] = json!("CEO");
        record["do_not_call"] = json!(false);
        record
    };
    for (id, reference) in [("c1", "hw:p1"), ("c2", ""), ("c3", "campaign-7"), ("c4", "hw:old")] {
        let answer = ResponseTemplate::new(200).set_body_json(json!({ "contact_obj": held(id, reference) }));
        Mock::given(method("GET")).and(path(format!("/api/contacts/{id}/"))).respond_with(answer).mount(&server).await;
    }
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(404)).mount(&server).await;
    Mock::given(method("PATCH")).respond_with(done("")).mount(&server).await;
    let same = || row("", &[("title", Some(" CEO ")), ("do_not_call", Some("No")), ("phone", None)]);
    let cleared = row("p3", &[("title", None), ("source_detail", Some("x")), ("email", Some("ada@example.com"))]);
    let for_id = |id: &str| DeliveryRow { prospect_id: id.to_owned(), ..same() };
    let rows = [
        update("c1", for_id("p1")),
        update("c2", for_id("p2")),
        update("c3", cleared),
        update("c4", for_id("p4")),
        update("c9", for_id("p9")),
    ];
    let outcomes = write(&*sink(&server), &rows).await;
    let kinds = matches!(
        outcomes[..],
        [RowOutcome::Unchanged { .. }, RowOutcome::Updated { .. }, RowOutcome::Updated { .. }, RowOutcome::Updated { .. }, RowOutcome::Rejected { .. }]
    );
    assert!(kinds, "{outcomes:?}");
    let sent: Vec<(String, Value)> = server
        .received_requests()
        .await
        .unwrap()
        .iter()
        .filter(|request| request.method == "PATCH")
        .map(|request| (request.url.path().to_owned(), request.body_json().unwrap()))
        .collect();
    assert_eq!(
        sent,
        [
            ("/api/contacts/c2/".to_owned(), json!({ "source_ref": "hw:p2" })),
            ("/api/contacts/c3/".to_owned(), json!({ "source_detail": "x", "title": null })),
            ("/api/contacts/c4/".to_owned(), json!({ "source_ref": "hw:p4" })),
        ]
    );
}

#[tokio::test]
async fn a_list_that_changes_while_it_is_read_is_read_again() {
    let server = MockServer::start().await;
    let reads = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&reads);
    // Between the first reading's pages somebody deletes a record, so that ours moves to the page that was read already.
    let page = move |request: &Request| {
        let read = counter.fetch_add(1, Ordering::Relaxed);
        let first = request.url.query_pairs().any(|(name, value)| name == "offset" && value == "0");
        let count = if read == 0 { 502 } else { 501 };
        let records = if read > 1 && first { vec![record("c1", "hw:p1", None)] } else { Vec::new() };
        ResponseTemplate::new(200).set_body_json(json!({ "count": count, "results": records }))
    };
    Mock::given(method("GET")).respond_with(page).mount(&server).await;
    let found = sink(&server).lookup(&[vec![key("external_id", "p1")]]).await.unwrap();
    assert!(matches!(&found[..], [Lookup::Found(_)]), "{found:?}");
    assert_eq!(reads.load(Ordering::Relaxed), 4);

    let server = MockServer::start().await;
    let restless = AtomicUsize::new(0);
    let page = move |_: &Request| {
        ResponseTemplate::new(200).set_body_json(json!({ "count": 600 + restless.fetch_add(1, Ordering::Relaxed), "results": [] }))
    };
    Mock::given(method("GET")).respond_with(page).mount(&server).await;
    let error = sink(&server).write(&[doubtful(named("p1"))]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn settings_and_fields_that_cannot_work_are_told_with_what_can() {
    let server = MockServer::start().await;
    let definitions = json!({ "definitions": [
        { "target_model": "Contact", "key": "score", "label": "Score", "field_type": "number", "is_active": true },
        { "target_model": "Contact", "key": "old", "label": "Old", "field_type": "text", "is_active": false },
        { "target_model": "Lead", "key": "headwater_id", "label": "Id", "field_type": "text", "is_active": true },
    ]});
    Mock::given(method("GET")).and(path("/api/custom-fields/")).respond_with(ResponseTemplate::new(200).set_body_json(definitions)).mount(&server).await;
    Mock::given(method("GET")).and(path("/api/contacts/")).respond_with(contacts(&[])).mount(&server).await;
    for field in ["bogus", "source_ref", "company_name", "cf_old", "cf_headwater_id", "external_id"] {
        let error = sink(&server).write(&[row("p1", &[(field, Some("x"))])]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains(field) && error.hint_text().unwrap().contains("organization"), "{error}");
    }
    let names: Vec<String> = sink(&server).fields().await.unwrap().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"cf_score".to_owned()) && !names.contains(&"cf_old".to_owned()), "{names:?}");
    for id_field in ["cf_headwater_id", "cf_score", "cf_old"] {
        let sink = sink_at(&server.uri(), TOKEN, json!({ "id_field": id_field })).unwrap();
        assert_eq!(sink.check().await.unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(sink.write(&[named("p1")]).await.unwrap_err().kind(), ErrorKind::Config);
    }
    for config in [json!({ "id_field": "email" }), json!({ "id_field": "cf_" }), json!({ "object": "accounts" }), json!({ "tokken": 1 })] {
        assert_eq!(sink_at(&server.uri(), TOKEN, config).err().unwrap().kind(), ErrorKind::Config);
    }
    sink(&server).check().await.unwrap();
    let elsewhere = sink_at(&format!("{}/crm", server.uri()), TOKEN, json!({})).unwrap();
    assert_eq!(elsewhere.check().await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_page_that_is_no_list_of_records_is_not_an_empty_crm() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200).set_body_json(json!({ "results": null, "count": 0 }))).mount(&server).await;
    assert_eq!(sink(&server).check().await.unwrap_err().kind(), ErrorKind::Protocol);
    let outcome = sink(&server).write(&[doubtful(named("p1"))]).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn leads_are_looked_for_among_the_open_and_the_closed() {
    let server = MockServer::start().await;
    let half = |list: &str, record: Value| json!({ list: [record], "leads_count": 1 });
    let body = json!({
        "open_leads": half("open_leads", record("l1", "hw:p1", None)),
        "close_leads": half("close_leads", record("l2", "hw:p2", None)),
    });
    Mock::given(method("GET")).and(path("/api/leads/")).respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&server).await;
    let sink = sink_at(&server.uri(), TOKEN, json!({ "object": "leads" })).unwrap();
    let found = sink.lookup(&[vec![key("external_id", "p2")], vec![key("external_id", "p1")]]).await.unwrap();
    assert!(matches!(&found[..], [Lookup::Found(two), Lookup::Found(one)] if two.remote_id == "l2" && one.remote_id == "l1"));
}

#[tokio::test]
async fn a_custom_field_is_asked_for_by_its_filter() {
    let server = MockServer::start().await;
    let mut ours = record("c1", "campaign-7", None);
    ours["custom_fields"] = json!({ "hw": "p1", "score": 12.0 });
    let filtered = Mock::given(method("GET")).and(path("/api/contacts/")).and(query_param("cf_hw", "p1"));
    filtered.respond_with(contacts(&[ours])).expect(2).mount(&server).await;
    let definition = |key: &str, of_type: &str| {
        json!({ "target_model": "Contact", "key": key, "label": key, "field_type": of_type, "is_active": true })
    };
    let definitions = json!({ "definitions": [definition("hw", "text"), definition("score", "number")] });
    Mock::given(method("GET")).and(path("/api/custom-fields/")).respond_with(ResponseTemplate::new(200).set_body_json(definitions)).mount(&server).await;
    let sink = sink_at(&server.uri(), TOKEN, json!({ "id_field": "cf_hw" })).unwrap();
    let found = sink.lookup(&[vec![key("external_id", "p1")]]).await.unwrap();
    assert!(matches!(&found[..], [Lookup::Found(record)] if record.fields["cf_score"].as_deref() == Some("12.0")), "{found:?}");
    let again = doubtful(row("p1", &[("cf_score", Some("12"))]));
    assert_eq!(write(&*sink, &[again]).await, [RowOutcome::Unchanged { remote_id: "c1".to_owned() }]);
}

/// The real CRM that the environment names, and a text that no earlier test used.
fn real() -> Option<(String, String, String)> {
    #[expect(clippy::disallowed_methods, reason = "only the environment knows whether there is a CRM to test against")]
    let variable = |name| std::env::var(name).ok();
    let found = variable("HEADWATER_TEST_BOTTLECRM_URL").zip(variable("HEADWATER_TEST_BOTTLECRM_TOKEN"));
    let Some((url, token)) = found else {
        println!("skipped: set HEADWATER_TEST_BOTTLECRM_URL and HEADWATER_TEST_BOTTLECRM_TOKEN to test against a real BottleCRM");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let unused = folder.path().file_name().unwrap().to_string_lossy().replace('.', "").to_lowercase();
    Some((url, token, unused))
}

/// Makes the custom field that keeps our id, where it is not there yet.
async fn make_custom_field(url: &str, token: &str, model: &str) {
    let settings = HttpSettings::new(base_url(url).unwrap(), &context(token));
    let http = HttpClient::new(settings.secret_header(header::AUTHORIZATION, &format!("Bearer {token}")).unwrap()).unwrap();
    let field = json!({ "target_model": model, "key": "headwater_id", "label": "Headwater id", "field_type": "text" });
    http.send(&RequestSpec::post("/api/custom-fields/", field).any_status()).await.unwrap();
}

#[tokio::test]
async fn the_real_crm_keeps_the_contract_for_contacts_and_leads() {
    let Some((url, token, unused)) = real() else { return };
    for (object, model, id_field) in [
        ("contacts", "Contact", "source_ref"),
        ("contacts", "Contact", "cf_headwater_id"),
        ("leads", "Lead", "source_ref"),
        ("leads", "Lead", "cf_headwater_id"),
    ] {
        make_custom_field(&url, &token, model).await;
        let make = || sink_at(&url, &token, json!({ "object": object, "id_field": id_field }));
        make().unwrap().check().await.unwrap();
        let company = if object == "contacts" { "organization" } else { "company_name" };
        let full = [
            ("first_name", Some("Ada")), ("last_name", Some("O'Brien \"q\"")), ("phone", Some("+33 1 23 45 67 89")), ("title", Some("CEO ")),
            ("is_active", Some("True")), ("country", Some("FR")), ("city", None), ("source_detail", None), (company, Some("Example & Söhne")),
        ];
        let email = format!("{unused}.{object}.{id_field}+x@example.com");
        let mut first = row(&format!("{unused}-1"), &full);
        first.fields.insert("email".to_owned(), Some(email.clone()));
        if object == "leads" {
            first.fields.insert("opportunity_amount".to_owned(), Some("12.5".to_owned()));
            first.fields.insert("probability".to_owned(), Some("40".to_owned()));
        }
        // No address: the CRM itself would take these twice.
        let rows = [first, row(&format!("{unused}-2"), &full), named(&format!("{unused}-3"))].map(|row| DeliveryRow {
            prospect_id: format!("{id_field}-{}", row.prospect_id),
            ..row
        });
        check_sink_contract(make, &rows).await;

        let sink = make().unwrap();
        let found = sink.lookup(&[vec![key("email", &email.to_uppercase())], vec![key("email", "nobody@example.com")]]).await.unwrap();
        let Lookup::Found(held) = &found[0] else { panic!("{found:?}") };
        assert_eq!((held.fields["email"].as_deref(), &found[1]), (Some(email.as_str()), &Lookup::Absent));
        let same_address = row("other", &[("first_name", Some("Bob")), ("last_name", Some("B")), ("email", Some(&email))]);
        let wrong = row("wrong", &[("first_name", Some("Bob")), ("last_name", Some("B")), ("country", Some("Atlantis"))]);
        let gone = update("00000000-0000-0000-0000-000000000000", named("gone"));
        let cleared = update(&held.remote_id, row(&rows[0].prospect_id, &[("phone", None), ("title", Some("CTO"))]));
        let outcomes = write(&*sink, &[same_address, wrong, gone, cleared]).await;
        println!("{object} {id_field}: {outcomes:?}");
        let [RowOutcome::Rejected { reason: twice }, RowOutcome::Rejected { reason: country }, RowOutcome::Rejected { reason: gone }, RowOutcome::Updated { .. }] =
            &outcomes[..]
        else {
            panic!("{outcomes:?}")
        };
        assert!(twice.starts_with("email: ") && !twice.contains('@'), "{twice}");
        assert_eq!((country.as_str(), gone.as_str()), ("country: … is not a valid choice.", "the record is gone"));
        let held = sink.fetch(&held.remote_id).await.unwrap().unwrap();
        assert_eq!((held.fields["phone"].as_deref(), held.fields["title"].as_deref()), (None, Some("CTO")));
        assert_eq!(held.fields[company].as_deref(), Some("Example & Söhne"));
    }
}

#[tokio::test]
async fn the_real_crm_refuses_a_wrong_token_and_knows_its_fields() {
    let Some((url, token, _)) = real() else { return };
    let wrong = sink_at(&url, "bcrm_pat_wrong", json!({})).unwrap();
    assert_eq!(wrong.check().await.unwrap_err().kind(), ErrorKind::Auth);
    assert_eq!(wrong.write(&[named("p1")]).await.unwrap_err().kind(), ErrorKind::Auth);
    let settings = HttpSettings::new(base_url(&url).unwrap(), &context(&token));
    let http = HttpClient::new(settings.secret_header(header::AUTHORIZATION, &format!("Bearer {token}")).unwrap()).unwrap();
    // The CRM's own description names every field that we offer.
    let schema = http.json(&RequestSpec::get("/schema/").query("format", "json")).await.unwrap();
    for (object, model) in [("contacts", "ContactWriteRequest"), ("leads", "LeadCreateSwaggerRequest")] {
        let sink = sink_at(&url, &token, json!({ "object": object })).unwrap();
        let described = &schema["components"]["schemas"][model]["properties"];
        for (name, _) in sink.fields().await.unwrap().iter().filter(|(name, _)| !name.starts_with("cf_")) {
            assert!(described.get(name).is_some(), "{model} has no {name}");
        }
    }
}
