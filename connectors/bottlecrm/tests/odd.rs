//! What the CRM may answer, and must not be believed in or stumbled over.

use std::sync::Mutex;
use std::time::Duration;

use headwater_sdk::{DeliveryRow, ErrorKind, Lookup, Result, RowOutcome, Sink};
use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, header as has_header, method, path, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{doubtful, key, named, row, sink_at, update, write};

const TOKEN: &str = "bcrm_pat_made_up";

fn sink(server: &MockServer) -> Box<dyn Sink> {
    sink_at(&server.uri(), TOKEN, json!({})).unwrap()
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

fn created(id: &str) -> RowOutcome {
    RowOutcome::Created { remote_id: id.to_owned() }
}

#[tokio::test]
async fn a_filter_that_the_crm_ignores_chooses_nothing() {
    let server = MockServer::start().await;
    let all = [
        record("c1", "hw:p1", Some("Ada@Example.com")),
        record("c2", "li:77", Some("x.ada@example.com")),
        record("c3", "hw:p3", None),
    ];
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
    Mock::given(method("GET"))
        .and(path("/api/contacts/"))
        .respond_with(contacts(&[record("c1", "hw:p1", None)]))
        .expect(1)
        .mount(&server)
        .await;
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
    creates(
        &server,
        vec![
            ("p1", done("c1")),
            ("p2", ResponseTemplate::new(400).set_body_json(refusal)),
            ("p3", ResponseTemplate::new(200).set_body_json(soft)),
            ("p4", done("c4")),
        ],
    )
    .await;
    let outcomes = write(&*sink(&server), &["p1", "p2", "p3", "p4"].map(named)).await;
    let rejected = |reason: &str| RowOutcome::Rejected { reason: reason.to_owned() };
    let told = "country: … is not a valid choice.; email: Contact already exists with this email";
    assert_eq!(
        outcomes,
        [created("c1"), rejected(told), rejected("A contact with these details already exists."), created("c4")]
    );
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
        assert!(
            matches!(&outcomes[..], [RowOutcome::Created { .. }, RowOutcome::Retry { .. }, RowOutcome::Retry { .. }]),
            "{outcomes:?}"
        );
    }
}

#[tokio::test]
async fn a_throttled_call_stops_sending_and_tells_how_long() {
    let server = MockServer::start().await;
    creates(&server, vec![("p1", done("c1")), ("p2", ResponseTemplate::new(429).insert_header("Retry-After", "57"))]).await;
    let outcomes = write(&*sink(&server), &["p1", "p2", "p3"].map(named)).await;
    assert_eq!(outcomes[0], created("c1"));
    for outcome in &outcomes[1..] {
        assert!(
            matches!(outcome, RowOutcome::Retry { after: Some(wait), .. } if *wait == Duration::from_secs(57)),
            "{outcome:?}"
        );
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
        [
            RowOutcome::Unchanged { .. },
            RowOutcome::Updated { .. },
            RowOutcome::Updated { .. },
            RowOutcome::Updated { .. },
            RowOutcome::Rejected { .. }
        ]
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

/// A CRM of 900 records whose list changes after each page, ours being the 506th at first; gives the answer and the pages read.
async fn lookup_while(change: fn(&mut Vec<Value>, usize)) -> (Result<Vec<Lookup>>, usize) {
    let server = MockServer::start().await;
    let numbered = |n: usize| record(&format!("c{n}"), if n == 505 { "hw:p1" } else { "" }, None);
    let list = Mutex::new((0..900).map(numbered).collect::<Vec<Value>>());
    let page = move |request: &Request| {
        let asked = |name: &str| {
            let found = request.url.query_pairs().find(|(asked, _)| asked == name);
            found.unwrap().1.parse::<usize>().unwrap()
        };
        let mut list = list.lock().unwrap();
        let page: Vec<&Value> = list.iter().skip(asked("offset")).take(asked("limit")).collect();
        let answer = json!({ "count": list.len(), "results": page });
        change(&mut list, asked("offset"));
        ResponseTemplate::new(200).set_body_json(answer)
    };
    Mock::given(method("GET")).respond_with(page).mount(&server).await;
    let found = sink(&server).lookup(&[vec![key("external_id", "p1")]]).await;
    (found, server.received_requests().await.unwrap().len())
}

#[tokio::test]
async fn a_list_that_changes_while_it_is_read_loses_no_record() {
    let ours =
        |found: &Result<Vec<Lookup>>| matches!(found.as_deref(), Ok([Lookup::Found(record)]) if record.remote_id == "c505");
    let (found, pages) = lookup_while(|_, _| {}).await;
    assert!(ours(&found) && pages == 2, "{pages}: {found:?}");
    // New records stand first and push the others to later pages.
    let (found, pages) = lookup_while(|list, _| list.insert(0, record("new", "", None))).await;
    assert!(ours(&found) && pages == 2, "{pages}: {found:?}");
    // So many are deleted before ours that it moves to the page that was read already.
    let (found, pages) = lookup_while(|list, offset| {
        if offset == 0 && list.len() == 900 {
            list.drain(..30);
        }
    })
    .await;
    assert!(ours(&found) && pages == 4, "{pages}: {found:?}");
    let (found, _) = lookup_while(|list, _| drop(list.drain(..30))).await;
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn settings_and_fields_that_cannot_work_are_told_with_what_can() {
    let server = MockServer::start().await;
    let definitions = json!({ "definitions": [
        { "target_model": "Contact", "key": "score", "label": "Score", "field_type": "number", "is_active": true },
        { "target_model": "Contact", "key": "old", "label": "Old", "field_type": "text", "is_active": false },
        { "target_model": "Lead", "key": "headwater_id", "label": "Id", "field_type": "text", "is_active": true },
    ]});
    Mock::given(method("GET"))
        .and(path("/api/custom-fields/"))
        .respond_with(ResponseTemplate::new(200).set_body_json(definitions))
        .mount(&server)
        .await;
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
    for config in
        [json!({ "id_field": "email" }), json!({ "id_field": "cf_" }), json!({ "object": "accounts" }), json!({ "tokken": 1 })]
    {
        assert_eq!(sink_at(&server.uri(), TOKEN, config).err().unwrap().kind(), ErrorKind::Config);
    }
    sink(&server).check().await.unwrap();
    let elsewhere = sink_at(&format!("{}/crm", server.uri()), TOKEN, json!({})).unwrap();
    assert_eq!(elsewhere.check().await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_page_that_is_no_list_of_records_is_not_an_empty_crm() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "results": null, "count": 0 })))
        .mount(&server)
        .await;
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
    Mock::given(method("GET"))
        .and(path("/api/leads/"))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&server)
        .await;
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
    let definition = |key: &str, of_type: &str| json!({ "target_model": "Contact", "key": key, "label": key, "field_type": of_type, "is_active": true });
    let definitions = json!({ "definitions": [definition("hw", "text"), definition("score", "number")] });
    Mock::given(method("GET"))
        .and(path("/api/custom-fields/"))
        .respond_with(ResponseTemplate::new(200).set_body_json(definitions))
        .mount(&server)
        .await;
    let sink = sink_at(&server.uri(), TOKEN, json!({ "id_field": "cf_hw" })).unwrap();
    let found = sink.lookup(&[vec![key("external_id", "p1")]]).await.unwrap();
    assert!(matches!(&found[..], [Lookup::Found(record)] if record.fields["cf_score"].as_deref() == Some("12.0")), "{found:?}");
    let again = doubtful(row("p1", &[("cf_score", Some("12"))]));
    assert_eq!(write(&*sink, &[again]).await, [RowOutcome::Unchanged { remote_id: "c1".to_owned() }]);
}

/// Two syncs make the same field at once: to the later one the CRM answers 500.
#[tokio::test]
async fn a_field_that_another_run_made_meanwhile_is_made_and_one_that_nobody_made_is_not() {
    for is_made in [true, false] {
        let server = MockServer::start().await;
        let fields = |keys: &[&str]| {
            let field =
                |key| json!({ "target_model": "Contact", "key": key, "label": "Id", "field_type": "text", "is_active": true });
            let all: Vec<Value> = keys.iter().map(field).collect();
            ResponseTemplate::new(200).set_body_json(json!({ "definitions": all }))
        };
        let at = |kind| Mock::given(method(kind)).and(path("/api/custom-fields/"));
        at("GET").respond_with(fields(&[])).up_to_n_times(1).mount(&server).await;
        at("GET").respond_with(fields(if is_made { &["hw"] } else { &[] })).mount(&server).await;
        at("POST").respond_with(ResponseTemplate::new(500)).mount(&server).await;
        Mock::given(method("GET")).and(path("/api/contacts/")).respond_with(contacts(&[])).mount(&server).await;
        let sink = sink_at(&server.uri(), TOKEN, json!({ "id_field": "cf_hw", "create_id_field": true })).unwrap();
        let told = sink.prepare().await.map_err(|error| error.kind());
        assert_eq!(told, if is_made { Ok(()) } else { Err(ErrorKind::Unavailable) });
    }
}
