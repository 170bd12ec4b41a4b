use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use headwater_sdk::http::Pause;
use headwater_sdk::testkit::server::Server;
use headwater_sdk::testkit::troubles::{self, Manners, Meaning, Misbehaving};
use headwater_sdk::testkit::{Collected, Resumed, check_deletion_arrives, check_source_contract, collect};
use headwater_sdk::{BuildContext, Clock, ConfigDoc, Connector as _, ErrorKind, Source, SourceEvent, StreamSpec};
use serde_json::{Value, json};
use wiremock::matchers::{any, header, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::Mailchimp;
use super::client::Client;
use super::config::Config;
use super::source::MailchimpSource;

const KEY: &str = "0123456789abcdef-us1";
const LIST: &str = "aaaa000001";

/// A Mailchimp that knows what ours asks for: offsets, order by change, and the times since which.
#[derive(Clone, Default)]
struct FakeMailchimp {
    members: Arc<Mutex<Vec<Value>>>,
    emails: Arc<Mutex<Vec<Value>>>,
    /// Called after each page, to change records while they are read.
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

type Meanwhile = Box<dyn FnMut(&mut Vec<Value>) + Send>;

impl FakeMailchimp {
    /// `count` members, three to a second, in one audience, who all did something with one campaign.
    fn of(count: usize) -> Self {
        let fake = Self::default();
        *fake.members.lock().unwrap() = (0..count).map(member).collect();
        *fake.emails.lock().unwrap() = (0..count).map(email).collect();
        fake
    }

    async fn serve(&self) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(self.clone()).mount(&server).await;
        server
    }

    fn edit(&self, index: usize, change: Value) {
        merge(&mut self.members.lock().unwrap()[index], change);
    }

    fn acts(&self, index: usize, action: Value) {
        self.emails.lock().unwrap()[index]["activity"].as_array_mut().unwrap().push(action);
    }

    fn members(&self, request: &Request) -> ResponseTemplate {
        let mut members = self.members.lock().unwrap();
        let mut rows = members.clone();
        assert_eq!((query(request, "sort_field"), query(request, "sort_dir")), (Some("last_changed".into()), Some("ASC".into())));
        rows.sort_by_key(|row| row["last_changed"].to_string());
        if let Some(since) = query(request, "since_last_changed") {
            rows.retain(|row| row["last_changed"].as_str().unwrap() > since.as_str());
        }
        let answer = listing("members", &rows, request);
        if let Some(change) = self.meanwhile.lock().unwrap().as_mut() {
            change(&mut members);
        }
        answer
    }

    fn activity(&self, request: &Request) -> ResponseTemplate {
        let mut emails = self.emails.lock().unwrap();
        let mut rows = emails.clone();
        if let Some(since) = query(request, "since") {
            for row in &mut rows {
                row["activity"].as_array_mut().unwrap().retain(|action| action["timestamp"].as_str().unwrap() > since.as_str());
            }
        }
        let answer = listing("emails", &rows, request);
        if let Some(change) = self.meanwhile.lock().unwrap().as_mut() {
            change(&mut emails);
        }
        answer
    }
}

impl Respond for FakeMailchimp {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        match request.url.path() {
            "/3.0/lists" => listing("lists", &[json!({"id": LIST})], request),
            "/3.0/lists/aaaa000001/members" => self.members(request),
            "/3.0/campaigns" => {
                // 90 days before the fixed clock.
                assert_eq!(query(request, "since_send_time").as_deref(), Some("2025-11-03T00:00:00+00:00"));
                let of =
                    |id: &str, list: &str| json!({"id": id, "settings": {"title": "Spring"}, "recipients": {"list_id": list}});
                listing("campaigns", &[of("cccc000001", LIST)], request)
            }
            "/3.0/reports/cccc000001/email-activity" => self.activity(request),
            _ => ResponseTemplate::new(404).set_body_json(json!({"title": "Resource Not Found", "status": 404})),
        }
    }
}

fn merge(record: &mut Value, change: Value) {
    let Value::Object(change) = change else { panic!("not an object") };
    record.as_object_mut().unwrap().extend(change);
}

fn member(n: usize) -> Value {
    let mut member: Value = serde_json::from_str(include_str!("fixtures/member.json")).unwrap();
    let changed = format!("2026-01-05T09:{:02}:{:02}+00:00", n / 180, n / 3 % 60);
    merge(
        &mut member,
        json!({"id": format!("{n:032x}"), "email_address": format!("ada.{n}@alder.example.com"), "last_changed": changed}),
    );
    member
}

fn email(n: usize) -> Value {
    let mut email: Value = serde_json::from_str(include_str!("fixtures/email_activity.json")).unwrap();
    merge(&mut email, json!({"email_id": format!("{n:032x}"), "email_address": format!("ada.{n}@alder.example.com")}));
    email
}

fn query(request: &Request, name: &str) -> Option<String> {
    request.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn listing(name: &str, rows: &[Value], request: &Request) -> ResponseTemplate {
    let number = |name: &str| query(request, name).map_or(0, |text| text.parse::<usize>().unwrap());
    let shown: Vec<&Value> = rows.iter().skip(number("offset")).take(number("count")).collect();
    ResponseTemplate::new(200).set_body_json(json!({name: shown, "total_items": rows.len()}))
}

fn cx(key: &'static str) -> BuildContext {
    BuildContext {
        clock: Clock::fixed("2026-02-01T00:00:00Z".parse().unwrap()),
        base_dir: PathBuf::new(),
        env: Arc::new(move |_| Some(key.to_owned())),
        allow_private_hosts: true,
    }
}

fn config(more: Value) -> ConfigDoc {
    let mut values = json!({"api_key": {"env": "MAILCHIMP_API_KEY"}});
    merge(&mut values, more);
    ConfigDoc { connection: "newsletter".to_owned(), values: values.as_object().unwrap().clone() }
}

fn source_with(server: &MockServer, more: Value, pause: Pause) -> MailchimpSource {
    let mut values = json!({"server_url": format!("{}/3.0", server.uri())});
    merge(&mut values, more);
    MailchimpSource::new(config(values).parse::<Config>().unwrap(), &cx(KEY), pause).unwrap()
}

fn source(server: &MockServer, more: Value) -> MailchimpSource {
    source_with(server, more, Pause::virtual_time())
}

async fn stream(source: &MailchimpSource, name: &str) -> StreamSpec {
    source.streams().await.unwrap().into_iter().find(|stream| stream.name == name).unwrap()
}

async fn read(source: &MailchimpSource, name: &str, from: Option<&Collected>) -> Collected {
    collect(source, &stream(source, name).await, from.and_then(Collected::last)).await.unwrap()
}

#[tokio::test]
async fn members_keep_the_contract_over_several_pages() {
    let server = FakeMailchimp::of(25).serve().await;
    let all = check_source_contract(&source(&server, json!({"page_size": 8})), "members", 0).await.unwrap();
    assert_eq!(all.rows.len(), 25);
    assert!(all.checkpoints.len() > 3);
}

#[tokio::test]
async fn a_member_deleted_for_good_is_missed_by_a_full_read() {
    let fake = FakeMailchimp::of(10);
    let server = fake.serve().await;
    let source = source(&server, json!({"page_size": 4}));
    let first = read(&source, "members", None).await;
    assert_eq!(first.whole, Some(Resumed::No));
    fake.members.lock().unwrap().remove(3);
    // What changed since shows nothing of it.
    assert_eq!(read(&source, "members", Some(&first)).await.whole, None);
    let from_the_start = Collected { checkpoints: Vec::new(), ..first };
    check_deletion_arrives(&source, "members", &from_the_start, &format!("{LIST}:{:032x}", 3)).await.unwrap();
}

#[tokio::test]
async fn a_full_read_that_broke_off_goes_on_and_shows_everything_with_what_came_before() {
    let server = FakeMailchimp::of(25).serve().await;
    let source = source(&server, json!({"page_size": 8}));
    let members = stream(&source, "members").await;
    let first = read(&source, "members", None).await;
    let rest = collect(&source, &members, Some(first.checkpoints[1].1.clone())).await.unwrap();
    assert_eq!(rest.whole, Some(Resumed::Yes));
    assert!(rest.rows.len() < 25);
}

#[tokio::test]
async fn only_a_second_that_is_read_by_offset_may_let_a_member_slip_past() {
    for (fake, expected) in [(FakeMailchimp::of(12), false), (FakeMailchimp::of(12), true)] {
        if expected {
            (0..12).for_each(|n| fake.edit(n, json!({"last_changed": "2026-01-05T09:00:00+00:00"})));
        }
        let server = fake.serve().await;
        let source = source(&server, json!({"page_size": 8}));
        let events = source.read(&stream(&source, "members").await, None).await.unwrap();
        let told = events.filter_map(async |event| match event.unwrap() {
            SourceEvent::Whole { resumed: false, shifting } => Some(shifting),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>().await, [expected]);
    }
}

/// The kit's server answers what the fake would, and goes wrong in every way it knows.
#[tokio::test]
async fn a_remote_that_misbehaves_costs_no_record() {
    for stream_name in [super::members::NAME, super::activity::NAME] {
        let fake = FakeMailchimp::of(12).serve().await;
        let settings = json!({"page_size": 5});
        read(&source(&fake, settings.clone()), stream_name, None).await;
        let asked = fake.received_requests().await.unwrap();
        let targets = asked.iter().map(|asked| asked.url[url::Position::BeforePath..].to_owned());
        let exchanges = troubles::recorded(&fake.uri(), targets).await.unwrap();

        let pause = Pause::virtual_time();
        let server = Server::start(&pause).await.unwrap();
        let mut values = json!({"server_url": format!("{}/3.0", server.origin().unwrap())});
        merge(&mut values, settings);
        let source = MailchimpSource::new(config(values).parse::<Config>().unwrap(), &cx(KEY), pause.clone()).unwrap();
        // Without a problem document a 403 says that Mailchimp is overloaded.
        let overloaded =
            |status: u16| if status == 403 { vec![Meaning::Fails(Some(ErrorKind::RateLimited))] } else { Vec::new() };
        let problems = Misbehaving {
            server: &server,
            source: &source,
            stream: &stream(&source, stream_name).await,
            pause: &pause,
            now: "2026-02-01T00:00:00Z".parse().unwrap(),
            // Totals say where pages end. Members of one second are tried on the fake.
            manners: Manners { of_status: &overloaded, pages_in_turn: false, ..Manners::usual() },
        };
        let problems = problems.drive(exchanges).await;
        assert!(problems.is_empty(), "{stream_name}:\n{}", problems.join("\n"));
    }
}

#[tokio::test]
async fn a_member_has_its_fields() {
    let server = FakeMailchimp::of(1).serve().await;
    let all = read(&source(&server, json!({"merge_fields": ["NEED"]})), "members", None).await;
    for (field, value) in [
        ("email_address", "ada.0@alder.example.com"),
        ("FNAME", "Ada"),
        ("LNAME", "Ashgrove"),
        ("PHONE", "+33 1 00 00 00 00"),
        ("COMPANY", "Alder Ltd"),
        ("ADDRESS.zip", "01001"),
        ("country_code", "FR"),
        ("NEED", "a quote"),
        ("tags", "webinar, customer"),
        ("consent", "granted"),
        ("timestamp_signup", ""),
    ] {
        assert_eq!(all.rows[0].get(field), value, "{field}");
    }
    assert_eq!(all.keys(), [format!("{LIST}:{:032x}", 0)]);
}

#[tokio::test]
async fn a_status_is_consent_or_reachability_never_both() {
    let expected = [
        ("subscribed", "granted", ""),
        ("unsubscribed", "withdrawn", ""),
        ("pending", "pending", ""),
        ("cleaned", "", "hard_bounced"),
        ("transactional", "", ""),
        ("archived", "", ""),
    ];
    let fake = FakeMailchimp::of(expected.len());
    for (n, (status, ..)) in expected.iter().enumerate() {
        fake.edit(n, json!({"status": status}));
    }
    let server = fake.serve().await;
    let all = read(&source(&server, json!({})), "members", None).await;
    for (row, (status, consent, reach)) in all.rows.iter().zip(expected) {
        assert_eq!([row.get("consent"), row.get("email_status")], [consent, reach], "{status}");
    }
}

#[tokio::test]
async fn an_edit_of_an_old_record_is_seen_and_nothing_else() {
    let fake = FakeMailchimp::of(10);
    let server = fake.serve().await;
    let source = source(&server, json!({}));
    let first = read(&source, "members", None).await;
    fake.edit(0, json!({"status": "unsubscribed", "last_changed": "2026-01-06T00:00:00+00:00"}));
    let second = read(&source, "members", Some(&first)).await;
    assert_eq!(second.rows.iter().map(|row| row.get("consent")).collect::<Vec<_>>(), ["withdrawn"]);
    assert!(read(&source, "members", Some(&second)).await.rows.is_empty());
}

#[tokio::test]
async fn an_edit_within_a_second_already_read_is_seen() {
    let fake = FakeMailchimp::of(9);
    let server = fake.serve().await;
    let source = source(&server, json!({}));
    let first = read(&source, "members", None).await;
    fake.edit(7, json!({"full_name": "Ada Birkwell"}));
    assert_eq!(read(&source, "members", Some(&first)).await.rows.len(), 1);
}

#[tokio::test]
async fn members_that_move_while_they_are_read_cost_no_other_member() {
    let fake = FakeMailchimp::of(40);
    // More than half a page leaves at a time, so that offsets alone would miss some.
    let mut next = 0;
    *fake.meanwhile.lock().unwrap() = Some(Box::new(move |members| {
        if next < 18 {
            let changed = format!("2026-01-07T00:00:{next:02}+00:00");
            (0..6).for_each(|n| merge(&mut members[next + n], json!({"full_name": "Ada Moved", "last_changed": changed})));
            next += 6;
        }
    }));
    let server = fake.serve().await;
    let all = read(&source(&server, json!({"page_size": 8})), "members", None).await;
    let mut keys = all.keys();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 40);
}

#[tokio::test]
async fn more_members_of_one_second_than_a_page_are_read_though_some_leave() {
    let fake = FakeMailchimp::of(50);
    (0..50).for_each(|n| fake.edit(n, json!({"last_changed": "2026-01-05T09:00:00+00:00"})));
    let mut next = 0;
    *fake.meanwhile.lock().unwrap() = Some(Box::new(move |members| {
        if next < 3 {
            merge(&mut members[next], json!({"last_changed": format!("2026-01-07T00:00:0{next}+00:00")}));
            next += 1;
        }
    }));
    let server = fake.serve().await;
    let all = read(&source(&server, json!({"page_size": 8})), "members", None).await;
    let mut keys = all.keys();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 50);
}

#[tokio::test]
async fn only_the_audiences_asked_for_are_read() {
    let server = FakeMailchimp::of(3).serve().await;
    let other = source(&server, json!({"list_ids": ["bbbb000002"]}));
    let breach = collect(&other, &stream(&other, "members").await, None).await.unwrap_err();
    assert!(format!("{breach}").contains("does not know"), "{breach}");
    assert!(read(&other, "email_activity", None).await.rows.is_empty());
}

#[tokio::test]
async fn activity_keeps_the_contract_and_is_one_row_per_action() {
    let server = FakeMailchimp::of(10).serve().await;
    // All actions of the fixture lie within the overlap, so that all come again.
    let all = check_source_contract(&source(&server, json!({"page_size": 4})), "email_activity", 40).await.unwrap();
    assert_eq!(all.rows.len(), 40);
    let mut keys = all.keys();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 40);
    let kinds: Vec<&str> = all.rows.iter().take(4).map(|row| row.get("kind")).collect();
    assert_eq!(kinds, ["opened", "clicked", "bounced_soft", "bounced_hard"]);
    let row = &all.rows[1];
    assert_eq!([row.get("campaign"), row.get("url")], ["Spring", "https://www.example.com/pricing"]);
    let raw: Value = serde_json::from_str(row.raw.as_deref().unwrap()).unwrap();
    assert_eq!(raw["activity"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_late_open_of_an_old_campaign_is_seen_and_old_ones_are_not_asked_for() {
    let fake = FakeMailchimp::of(2);
    let server = fake.serve().await;
    let source = source(&server, json!({}));
    let first = read(&source, "email_activity", None).await;
    fake.acts(0, json!({"action": "open", "timestamp": "2026-01-20T10:00:00+00:00"}));
    let second = read(&source, "email_activity", Some(&first)).await;
    assert!(second.rows.iter().any(|row| row.get("timestamp").starts_with("2026-01-20")));
    let third = read(&source, "email_activity", Some(&second)).await;
    assert_eq!(third.rows.len(), 1);
}

#[tokio::test]
async fn what_somebody_does_while_a_campaign_is_read_is_seen_by_the_next_read() {
    let fake = FakeMailchimp::of(4);
    // The clock stands at 1 February: these fall after the pass began, the earlier one on a page already read.
    let mut page = 0;
    *fake.meanwhile.lock().unwrap() = Some(Box::new(move |emails| {
        let act = |at: &str| json!({"action": "open", "timestamp": at});
        if page == 0 {
            emails[0]["activity"].as_array_mut().unwrap().push(act("2026-02-01T00:10:00+00:00"));
            emails[3]["activity"].as_array_mut().unwrap().push(act("2026-02-01T03:00:00+00:00"));
        }
        page += 1;
    }));
    let server = fake.serve().await;
    let source = source(&server, json!({"page_size": 2}));
    let first = read(&source, "email_activity", None).await;
    assert!(first.rows.iter().any(|row| row.get("timestamp").contains("T03:00")));
    let second = read(&source, "email_activity", Some(&first)).await;
    assert!(second.rows.iter().any(|row| row.get("timestamp").contains("T00:10")));
}

#[tokio::test]
async fn the_key_is_sent_as_a_password() {
    let server = MockServer::start().await;
    // "headwater:0123456789abcdef-us1"
    Mock::given(header("authorization", "Basic aGVhZHdhdGVyOjAxMjM0NTY3ODlhYmNkZWYtdXMx"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"total_items": 0})))
        .mount(&server)
        .await;
    source(&server, json!({})).check().await.unwrap();
}

/// The check's outcome when the first answer is `first` and all others are fine; and how long was waited.
async fn after(first: ResponseTemplate) -> (Option<ErrorKind>, Duration) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(first).up_to_n_times(1).mount(&server).await;
    Mock::given(path("/3.0/lists")).respond_with(ResponseTemplate::new(200).set_body_json(json!({}))).mount(&server).await;
    let pause = Pause::virtual_time();
    let outcome = source_with(&server, json!({}), pause.clone()).check().await;
    (outcome.err().map(|error| error.kind()), pause.elapsed())
}

#[tokio::test]
async fn passing_troubles_are_waited_out() {
    let (error, waited) = after(ResponseTemplate::new(429).insert_header("retry-after", "9")).await;
    assert_eq!((error, waited), (None, Duration::from_secs(9)));
    for first in [
        ResponseTemplate::new(429),
        ResponseTemplate::new(500),
        ResponseTemplate::new(403),
        ResponseTemplate::new(403).set_body_string("<html>Access Denied</html>"),
    ] {
        let (error, waited) = after(first).await;
        assert_eq!(error, None);
        assert!(waited >= Duration::from_millis(500), "{waited:?}");
    }
}

#[tokio::test]
async fn refusals_are_final_and_say_what_to_do() {
    for status in [401, 403] {
        let server = MockServer::start().await;
        let problem = json!({"type": "about:blank", "title": "API Key Invalid", "status": status, "detail": "disabled"});
        Mock::given(any()).respond_with(ResponseTemplate::new(status).set_body_json(problem)).mount(&server).await;
        let error = source(&server, json!({})).check().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(error.hint_text().unwrap().contains("API keys"), "{error:?}");
        assert_eq!(server.received_requests().await.unwrap().len(), 1);
    }
}

#[test]
fn the_data_centre_of_the_key_is_the_host() {
    let host = |key: &'static str| {
        let config: Config = config(json!({})).parse().unwrap();
        Client::new(&config, &cx(key), Pause::virtual_time()).map(|client| client.host())
    };
    assert_eq!(host("0123-us21").unwrap(), "us21.api.mailchimp.com");
    for key in ["0123", "0123-", "0123-evil.example.com/", "0123-us1.evil", "0123-us1@x"] {
        let error = host(key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{key}");
        assert!(!format!("{error:?}").contains("0123"), "{error:?}");
    }
}

#[test]
fn wrong_settings_are_named() {
    for more in [
        json!({"page_size": 0}),
        json!({"page_size": 1001}),
        json!({"merge_fields": ["FNAME"]}),
        json!({"lists": []}),
        json!({"server_url": "ftp://example.com"}),
    ] {
        let error = Mailchimp.source(&config(more.clone()), &cx(KEY)).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{more}");
    }
}
