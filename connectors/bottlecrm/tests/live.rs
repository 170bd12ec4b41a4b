//! Against a real BottleCRM.

use headwater_sdk::http::{HttpClient, HttpSettings, RequestSpec, base_url, header};
use headwater_sdk::testkit::live;
use headwater_sdk::testkit_sink::{
    AWKWARD_TEXTS, Awkward, Poison, check_awkward_values, check_moved, check_poison, check_removal_contract, check_sink_contract,
};
use headwater_sdk::{Companion, ConfigDoc, Connector as _, DeliveryRow, ErrorKind, Lookup, RowOutcome};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{context, key, named, row, sink_at, update, write};

/// The real CRM that the environment names, and a text that no earlier test used.
fn real() -> (String, String, String) {
    let (url, token) = (live("HEADWATER_TEST_BOTTLECRM_URL"), live("HEADWATER_TEST_BOTTLECRM_TOKEN"));
    let folder = tempfile::tempdir().unwrap();
    let unused = folder.path().file_name().unwrap().to_string_lossy().replace('.', "").to_lowercase();
    (url, token, unused)
}

/// Makes the custom field that keeps our id, where it is not there yet.
async fn make_custom_field(url: &str, token: &str, model: &str) {
    let settings = HttpSettings::new(base_url(url).unwrap(), &context(token));
    let http = HttpClient::new(settings.secret_header(header::AUTHORIZATION, &format!("Bearer {token}")).unwrap()).unwrap();
    let field = json!({ "target_model": model, "key": "headwater_id", "label": "Headwater id", "field_type": "text" });
    http.send(&RequestSpec::post("/api/custom-fields/", field).any_status()).await.unwrap();
}

#[tokio::test]
async fn the_real_crm_keeps_the_contract_for_contacts() {
    contract("contacts", "Contact").await;
}

#[tokio::test]
async fn the_real_crm_keeps_the_contract_for_leads() {
    contract("leads", "Lead").await;
}

async fn contract(object: &str, model: &str) {
    let (url, token, unused) = real();
    make_custom_field(&url, &token, model).await;
    for id_field in ["source_ref", "cf_headwater_id"] {
        let make = || sink_at(&url, &token, json!({ "object": object, "id_field": id_field }));
        make().unwrap().check().await.unwrap();
        let company = if object == "contacts" { "organization" } else { "company_name" };
        let full = [
            ("first_name", Some("Ada")),
            ("last_name", Some("O'Brien \"q\"")),
            ("phone", Some("+33 1 23 45 67 89")),
            ("title", Some("CEO ")),
            ("is_active", Some("True")),
            ("country", Some("FR")),
            ("city", None),
            ("source_detail", None),
            (company, Some("Example & Söhne")),
        ];
        let email = format!("{unused}.{object}.{id_field}+x@example.com");
        let mut first = row(&format!("{unused}-1"), &full);
        first.fields.insert("email".to_owned(), Some(email.clone()));
        if object == "leads" {
            first.fields.insert("opportunity_amount".to_owned(), Some("12.5".to_owned()));
            first.fields.insert("probability".to_owned(), Some("40".to_owned()));
        }
        // No address: the CRM itself would take these twice.
        let rows = [first, row(&format!("{unused}-2"), &full), named(&format!("{unused}-3"))]
            .map(|row| DeliveryRow { prospect_id: format!("{id_field}-{}", row.prospect_id), ..row });
        check_removal_contract(make, &rows, |_| {}).await;
        check_sink_contract(make, &rows).await;
        let once = named(&format!("{unused}-{id_field}-m"));
        check_moved(make, &once, ("city", ["Leeds", "O'York by hand", "Hull"])).await;

        let rows: Vec<DeliveryRow> = (0..AWKWARD_TEXTS.len())
            .map(|number| {
                row(&format!("{unused}-{id_field}-a{number}"), &[("first_name", Some("Ada")), ("last_name", Some("x"))])
            })
            .collect();
        // The CRM takes addresses of this form alone.
        let addresses =
            ["o'brien", "a+b", "x_%y", "back/slash", "ab|c"].map(|name| format!("{name}.{unused}.{id_field}@example.com"));
        let addresses = addresses.each_ref().map(String::as_str);
        let awkward = Awkward { text: "last_name", email: Some("email"), addresses: &addresses };
        check_awkward_values(make, &rows, awkward).await;
        let poison = Poison { places: &[1, 4], field: "country", named: Some("country"), value: "Poison" };
        let rows: Vec<DeliveryRow> = (0..6)
            .map(|number| {
                row(&format!("{unused}-{id_field}-p{number}"), &[("first_name", Some("Ada")), ("last_name", Some("x"))])
            })
            .collect();
        check_poison(make, &rows, poison).await;

        let sink = make().unwrap();
        let found =
            sink.lookup(&[vec![key("email", &email.to_uppercase())], vec![key("email", "nobody@example.com")]]).await.unwrap();
        let Lookup::Found(held) = &found[0] else { panic!("{found:?}") };
        assert_eq!((held.fields["email"].as_deref(), &found[1]), (Some(email.as_str()), &Lookup::Absent));
        let same_address = row("other", &[("first_name", Some("Bob")), ("last_name", Some("B")), ("email", Some(&email))]);
        let wrong = row("wrong", &[("first_name", Some("Bob")), ("last_name", Some("B")), ("country", Some("Atlantis"))]);
        let gone = update("00000000-0000-0000-0000-000000000000", named("gone"));
        let cleared = update(&held.remote_id, row(&rows[0].prospect_id, &[("phone", None), ("title", Some("CTO"))]));
        let outcomes = write(&*sink, &[same_address, wrong, gone, cleared]).await;
        println!("{object} {id_field}: {outcomes:?}");
        let [
            RowOutcome::Rejected { reason: twice },
            RowOutcome::Rejected { reason: country },
            RowOutcome::Rejected { reason: gone },
            RowOutcome::Updated { .. },
        ] = &outcomes[..]
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
async fn the_real_crm_refuses_a_wrong_token() {
    let (url, _, _) = real();
    let wrong = sink_at(&url, "bcrm_pat_wrong", json!({})).unwrap();
    assert_eq!(wrong.check().await.unwrap_err().kind(), ErrorKind::Auth);
    assert_eq!(wrong.write(&[named("p1")]).await.unwrap_err().kind(), ErrorKind::Auth);
}

/// Its own description omits some of the fields it takes, and it ignores those it does not: only reading back proves one.
#[tokio::test]
async fn the_real_crm_keeps_every_field_that_we_offer() {
    let (url, token, unused) = real();
    for object in ["contacts", "leads"] {
        let sink = sink_at(&url, &token, json!({ "object": object })).unwrap();
        let sample = |name: &str| match name {
            "email" => format!("{unused}.{object}.all@example.com"),
            "phone" => "+33 1 23 45 67 89".to_owned(),
            "linkedin_url" | "website" => "https://www.example.com/in/ada".to_owned(),
            "country" => "FR".to_owned(),
            "is_active" => "false".to_owned(),
            "do_not_call" => "true".to_owned(),
            "source" => "partner".to_owned(),
            "status" => "in process".to_owned(),
            "industry" => "ADVERTISING".to_owned(),
            "rating" => "WARM".to_owned(),
            "currency" => "EUR".to_owned(),
            "opportunity_amount" => "1234.50".to_owned(),
            "probability" => "40".to_owned(),
            "close_date" | "next_follow_up" => "2027-01-31".to_owned(),
            other => format!("some {other}"),
        };
        let offered = sink.fields().await.unwrap().into_iter().map(|(name, _)| name);
        // An account's id stands for a record of its own.
        let names: Vec<String> = offered.filter(|name| !name.starts_with("cf_") && name != "account").collect();
        let mut full = row(&format!("{unused}-{object}-all"), &[]);
        full.fields = names.iter().map(|name| (name.clone(), Some(sample(name)))).collect();
        let outcomes = write(&*sink, std::slice::from_ref(&full)).await;
        let [RowOutcome::Created { remote_id }] = &outcomes[..] else { panic!("{outcomes:?}") };
        let held = sink.fetch(remote_id).await.unwrap().unwrap();
        for name in &names {
            assert_eq!(held.fields[name], Some(sample(name)), "{object} {name}");
        }
        let needed = ["first_name", "last_name", "is_active", "do_not_call"];
        let mut emptied = update(remote_id, full.clone());
        emptied.fields.retain(|name, _| !needed.contains(&name.as_str()) && name != "probability");
        emptied.fields.values_mut().for_each(|value| *value = None);
        assert!(matches!(write(&*sink, &[emptied.clone()]).await[..], [RowOutcome::Updated { .. }]));
        assert!(matches!(write(&*sink, &[emptied.clone()]).await[..], [RowOutcome::Unchanged { .. }]));
        let held = sink.fetch(remote_id).await.unwrap().unwrap();
        assert!(emptied.fields.keys().all(|name| held.fields[name].is_none()), "{held:?}");
    }
}

/// Passes one request on to the CRM, waits until it answered, and hangs up without a word.
async fn hang_up_after_one_request(listener: TcpListener, crm: String) {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut server = TcpStream::connect(crm).await.unwrap();
    let mut bytes = [0; 16 * 1024];
    // The client sends the whole request before it waits, and the CRM answers only a whole request.
    loop {
        tokio::select! {
            read = client.read(&mut bytes) => server.write_all(&bytes[..read.unwrap()]).await.unwrap(),
            answered = server.readable() => return answered.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_makes_one_record() {
    let (url, token, unused) = real();
    let crm = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    for object in ["contacts", "leads"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let broken = format!("http://{}", listener.local_addr().unwrap());
        let person = named(&format!("{unused}-{object}-lost"));
        let broken = sink_at(&broken, &token, json!({ "object": object })).unwrap();
        let (outcomes, ()) =
            tokio::join!(write(&*broken, std::slice::from_ref(&person)), hang_up_after_one_request(listener, crm.clone()));
        assert!(matches!(outcomes[..], [RowOutcome::Retry { .. }]), "{outcomes:?}");

        let sink = sink_at(&url, &token, json!({ "object": object })).unwrap();
        let ours = [vec![key("external_id", &person.prospect_id)]];
        let Lookup::Found(made) = &sink.lookup(&ours).await.unwrap()[0] else { panic!("it got through") };
        let again = write(&*sink, &[DeliveryRow { doubtful: true, ..person }]).await;
        assert_eq!(again, [RowOutcome::Unchanged { remote_id: made.remote_id.clone() }]);
        assert!(matches!(&sink.lookup(&ours).await.unwrap()[..], [Lookup::Found(_)]));
    }
}

/// Tasks: the CRM answers without their ids, and lists them without what is in them.
#[tokio::test]
async fn the_real_crm_keeps_the_contract_for_tasks() {
    let (url, token, unused) = real();
    make_custom_field(&url, &token, "Contact").await;
    let person = named(&format!("{unused}-about"));
    let made = write(&*sink_at(&url, &token, json!({ "id_field": "cf_headwater_id" })).unwrap(), &[person]).await;
    let [RowOutcome::Created { remote_id: about }] = &made[..] else { panic!("{made:?}") };
    let make = || {
        let config = json!({ "url": url, "token": { "env": "T" }, "id_field": "cf_headwater_id", "create_id_field": true });
        let Value::Object(values) = config else { unreachable!() };
        let config = ConfigDoc { connection: "crm".to_owned(), values };
        super::super::BottleCrm.companion(&Companion::Tasks, &config, &context(&token))
    };
    make().unwrap().check().await.unwrap();
    let task = |number: usize| {
        let title = format!("Call O'Brien ({number}) & \"Söhne\"");
        let fields = [("title", Some(title.as_str())), ("due_date", Some("2026-03-01")), ("contact", Some(about.as_str()))];
        row(&format!("welcome-{unused}-{number}"), &fields)
    };
    let rows: Vec<DeliveryRow> = (0..4).map(task).collect();
    check_removal_contract(make, &rows[..3], |_| {}).await;
    check_sink_contract(make, &rows).await;
    check_moved(make, &task(9), ("title", ["Call", "Write by hand", "Visit"])).await;
    let awkward = Awkward { text: "title", email: None, addresses: &[] };
    let names: Vec<DeliveryRow> = (20..20 + AWKWARD_TEXTS.len()).map(task).collect();
    check_awkward_values(make, &names, awkward).await;
    let poisoned: Vec<DeliveryRow> = (40..46).map(task).collect();
    let poison = Poison { places: &[0, 3], field: "status", named: Some("status"), value: "Poison" };
    check_poison(make, &poisoned, poison).await;
    let gone = row(
        &format!("welcome-{unused}-50"),
        &[("title", Some("Call")), ("contact", Some("00000000-0000-4000-8000-000000000000"))],
    );
    let told = write(&*make().unwrap(), &[gone]).await;
    assert!(matches!(&told[..], [RowOutcome::Rejected { reason }] if reason.starts_with("contact: ")), "{told:?}");
}
