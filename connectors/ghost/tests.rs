use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwater_sdk::http::{Method, Pause, RequestSpec};
use headwater_sdk::testkit::server::Server;
use headwater_sdk::testkit::troubles::{self, Manners, Misbehaving};
use headwater_sdk::testkit::{Collected, Resumed, check_source_contract, collect};
use headwater_sdk::{BuildContext, Clock, ConfigDoc, Connector as _, ErrorKind, Source, StreamSpec};
use serde_json::{Value, json};
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::Ghost;
use super::client::Client;
use super::config::Config;
use super::source::GhostSource;

const KEY: &str = "650000000000000000000001:00ff10";

/// A Ghost that knows what ours asks for: order, `limit`, and the filters by change time and id.
#[derive(Clone, Default)]
struct FakeGhost {
    members: Arc<Mutex<Vec<Value>>>,
    /// Called after each listing, to change members while they are read.
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

type Meanwhile = Box<dyn FnMut(&mut Vec<Value>) + Send>;

impl FakeGhost {
    /// `count` members, three to a second.
    fn of(count: usize) -> Self {
        Self { members: Arc::new(Mutex::new((0..count).map(member).collect())), meanwhile: Arc::default() }
    }

    async fn serve(&self) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(path("/ghost/api/admin/members/")).respond_with(self.clone()).mount(&server).await;
        let events = Events(Arc::clone(&self.members));
        Mock::given(path("/ghost/api/admin/members/events/")).respond_with(events).mount(&server).await;
        server
    }

    fn edit(&self, index: usize, change: Value) {
        merge(&mut self.members.lock().unwrap()[index], change);
    }
}

fn merge(member: &mut Value, change: Value) {
    let Value::Object(change) = change else { panic!("not an object") };
    member.as_object_mut().unwrap().extend(change);
}

fn member(n: usize) -> Value {
    let mut member: Value = serde_json::from_str(include_str!("fixtures/member.json")).unwrap();
    let at = format!("2026-01-05T09:{:02}:{:02}.000Z", n / 180, n / 3 % 60);
    merge(
        &mut member,
        json!({"id": format!("65{n:022x}"), "email": format!("ada.{n}@alder.example.com"), "created_at": at, "updated_at": at}),
    );
    member
}

fn order(member: &Value) -> (Option<String>, String) {
    (member["updated_at"].as_str().map(str::to_owned), member["id"].as_str().unwrap().to_owned())
}

fn query(request: &Request, name: &str) -> Option<String> {
    request.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn listing(name: &str, rows: &[Value], limit: usize) -> ResponseTemplate {
    let pages = rows.len().div_ceil(limit).max(1);
    let shown: Vec<&Value> = rows.iter().take(limit).collect();
    let pagination = json!({"page": 1, "limit": limit, "pages": pages, "total": rows.len(), "next": 2, "prev": null});
    ResponseTemplate::new(200).set_body_json(json!({name: shown, "meta": {"pagination": pagination}}))
}

impl Respond for FakeGhost {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut members = self.members.lock().unwrap();
        let mut rows = members.clone();
        rows.sort_by_key(order);
        if let Some(filter) = query(request, "filter") {
            let words: Vec<&str> = filter.split('\'').collect();
            let text = |at: &str| format!("{}.000Z", at.replace(' ', "T"));
            rows.retain(|row| match (words[0], words.len()) {
                ("updated_at:>=", 3) => order(row).0 >= Some(text(words[1])),
                ("updated_at:>", 7) => order(row) > (Some(text(words[1])), words[5].to_owned()),
                ("updated_at:>=", 5) => order(row).0.is_some() || order(row).1.as_str() > words[3],
                _ => panic!("Ghost would not know {filter}"),
            });
        }
        let limit: usize = query(request, "limit").unwrap().parse().unwrap();
        let answer = listing("members", &rows, limit.min(100));
        if let Some(change) = self.meanwhile.lock().unwrap().as_mut() {
            change(&mut members);
        }
        answer
    }
}

struct Events(Arc<Mutex<Vec<Value>>>);

impl Respond for Events {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let filter = query(request, "filter").unwrap();
        let ids = filter.strip_prefix("type:signup_event+data.member_id:[").unwrap().trim_end_matches(']');
        let signup: Value = serde_json::from_str(include_str!("fixtures/signup_event.json")).unwrap();
        let known = self.0.lock().unwrap();
        let events: Vec<Value> = ids
            .split(',')
            .filter(|id| known.iter().any(|member| member["id"] == **id))
            .map(|id| {
                let mut event = signup.clone();
                event["data"]["member_id"] = json!(id);
                event
            })
            .collect();
        listing("events", &events, 100)
    }
}

fn cx(key: &str, clock: Clock) -> BuildContext {
    let key = key.to_owned();
    BuildContext { clock, base_dir: PathBuf::new(), env: Arc::new(move |_| Some(key.clone())), allow_private_hosts: true }
}

fn config(url: &str, more: Value) -> ConfigDoc {
    let mut values = json!({"url": url, "admin_key": {"env": "GHOST_KEY"}});
    merge(&mut values, more);
    ConfigDoc { connection: "news".to_owned(), values: values.as_object().unwrap().clone() }
}

fn source(url: &str, more: Value) -> GhostSource {
    let config: Config = config(url, more).parse().unwrap();
    let now = "2026-02-01T00:00:00Z".parse().unwrap();
    GhostSource::new(&config, &cx(KEY, Clock::fixed(now)), Pause::virtual_time()).unwrap()
}

async fn members(source: &GhostSource) -> StreamSpec {
    source.streams().await.unwrap().remove(0)
}

async fn read(source: &GhostSource, from: Option<&Collected>) -> Collected {
    collect(source, &members(source).await, from.and_then(Collected::last)).await.unwrap()
}

#[tokio::test]
async fn contract_holds_over_several_pages() {
    let server = FakeGhost::of(25).serve().await;
    let source = source(&server.uri(), json!({"page_size": 4}));
    let all = check_source_contract(&source, "members", 0).await.unwrap();
    assert_eq!((all.rows.len(), all.checkpoints.len()), (25, 7));
}

/// The kit's server answers what the fake would, and goes wrong in every way it knows.
#[tokio::test]
async fn a_remote_that_misbehaves_costs_no_member() {
    let fake = FakeGhost::of(12).serve().await;
    // Sign-ups are asked for by the ids of a page, and a removed member would change the question.
    let settings = json!({"page_size": 5, "attribution": false});
    read(&source(&fake.uri(), settings.clone()), None).await;
    let asked = fake.received_requests().await.unwrap();
    let targets = asked.iter().map(|asked| asked.url[url::Position::BeforePath..].to_owned());
    let exchanges = troubles::recorded(&fake.uri(), targets).await.unwrap();

    let pause = Pause::virtual_time();
    let server = Server::start(&pause).await.unwrap();
    let now = "2026-02-01T00:00:00Z".parse().unwrap();
    let config: Config = config(&server.origin().unwrap(), settings).parse().unwrap();
    let source = GhostSource::new(&config, &cx(KEY, Clock::fixed(now)), pause.clone()).unwrap();
    let stream = members(&source).await;
    let remote = Misbehaving { server: &server, source: &source, stream: &stream, pause: &pause, now, manners: Manners::usual() };
    let problems = remote.drive(exchanges).await;
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test]
async fn contract_holds_without_members() {
    let server = FakeGhost::of(0).serve().await;
    check_source_contract(&source(&server.uri(), json!({})), "members", 0).await.unwrap();
}

#[tokio::test]
async fn a_member_has_its_fields_and_its_origin() {
    let server = FakeGhost::of(1).serve().await;
    let all = read(&source(&server.uri(), json!({})), None).await;
    let row = &all.rows[0];
    for (field, value) in [
        ("email", "ada.0@alder.example.com"),
        ("name", "Ada Ashgrove"),
        ("labels", "webinar, customer-event"),
        ("newsletters", "Weekly"),
        ("consent", "granted"),
        ("updated_at", "2026-01-05T09:00:00.000Z"),
        ("referrer_source", "Integration: Spring webinar"),
        ("referrer_medium", "Admin API"),
    ] {
        assert_eq!(row.get(field), value, "{field}");
    }
    assert!(!row.fields.contains_key("utm_source") && !row.fields.contains_key("email_status"));
    let raw: Value = serde_json::from_str(row.raw.as_deref().unwrap()).unwrap();
    assert_eq!(raw["attribution"]["referrer_source"], "Integration: Spring webinar");
    assert_eq!(raw["commenting"]["disabled"], false);
    assert_eq!(raw.get("unsubscribe_url"), None, "a key to act for the person is kept");
}

#[tokio::test]
async fn unsubscribed_suppressed_and_placed_members_say_so() {
    let ghost = FakeGhost::of(2);
    ghost.edit(0, json!({"subscribed": false, "newsletters": [], "geolocation": "{\"country_code\":\"FR\"}"}));
    ghost.edit(1, json!({"email_suppression": {"suppressed": true, "info": {"reason": "fail"}}}));
    let server = ghost.serve().await;
    let all = read(&source(&server.uri(), json!({})), None).await;
    assert_eq!([all.rows[0].get("consent"), all.rows[0].get("country")], ["withdrawn", "FR"]);
    assert_eq!(all.rows[1].get("email_status"), "hard_bounced");
}

#[tokio::test]
async fn an_edit_of_an_old_record_is_seen_and_nothing_else() {
    let ghost = FakeGhost::of(10);
    let server = ghost.serve().await;
    let source = source(&server.uri(), json!({}));
    let first = read(&source, None).await;
    assert!(read(&source, Some(&first)).await.rows.is_empty());
    ghost.edit(0, json!({"name": "Ada Birkwell", "updated_at": "2026-01-06T00:00:00.000Z"}));
    let second = read(&source, Some(&first)).await;
    assert_eq!(second.rows.iter().map(|row| row.get("name")).collect::<Vec<_>>(), ["Ada Birkwell"]);
}

#[tokio::test]
async fn a_full_read_shows_everybody_and_a_later_one_does_not_say_so() {
    let ghost = FakeGhost::of(10);
    let server = ghost.serve().await;
    let source = source(&server.uri(), json!({"page_size": 4}));
    let first = read(&source, None).await;
    assert_eq!((first.rows.len(), first.whole), (10, Some(Resumed::No)));
    ghost.members.lock().unwrap().remove(3);
    assert_eq!(read(&source, Some(&first)).await.whole, None);
    let again = read(&source, None).await;
    assert_eq!((again.rows.len(), again.whole), (9, Some(Resumed::No)));
    let middle = Collected { checkpoints: again.checkpoints[..1].to_vec(), ..Collected::default() };
    let rest = read(&source, Some(&middle)).await;
    assert_eq!((rest.rows.len(), rest.whole), (5, Some(Resumed::Yes)));
}

#[tokio::test]
async fn a_second_edit_within_a_second_already_read_is_seen() {
    let ghost = FakeGhost::of(3);
    let server = ghost.serve().await;
    let source = source(&server.uri(), json!({}));
    let first = read(&source, None).await;
    ghost.edit(1, json!({"name": "Ada Birkwell"}));
    assert_eq!(read(&source, Some(&first)).await.rows.len(), 1);
}

#[tokio::test]
async fn members_that_move_while_they_are_read_cost_no_other_member() {
    let ghost = FakeGhost::of(30);
    // After each page the member read first is edited, so that all behind it move up by one.
    let mut next = 0;
    *ghost.meanwhile.lock().unwrap() = Some(Box::new(move |members| {
        if next < 6 {
            let at = format!("2026-01-07T00:00:{next:02}.000Z");
            merge(&mut members[next], json!({"name": "Ada Moved", "updated_at": at}));
            next += 1;
        }
    }));
    let server = ghost.serve().await;
    let all = read(&source(&server.uri(), json!({"page_size": 4})), None).await;
    let mut seen = all.keys();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 30);
    assert_eq!(all.rows.iter().filter(|row| row.get("name") == "Ada Moved").count(), 6);
}

#[tokio::test]
async fn many_members_of_one_second_are_read_to_the_end() {
    let ghost = FakeGhost::of(50);
    (0..50).for_each(|n| ghost.edit(n, json!({"updated_at": "2026-01-05T09:00:00.000Z"})));
    let server = ghost.serve().await;
    let all = check_source_contract(&source(&server.uri(), json!({"page_size": 7})), "members", 0).await.unwrap();
    assert_eq!(all.rows.len(), 50);
}

#[tokio::test]
async fn members_without_a_change_time_are_read() {
    let ghost = FakeGhost::of(9);
    (0..5).for_each(|n| ghost.edit(n, json!({"updated_at": null})));
    let server = ghost.serve().await;
    let all = read(&source(&server.uri(), json!({"page_size": 2})), None).await;
    assert_eq!(all.rows.len(), 9);
}

#[tokio::test]
async fn attribution_can_be_left_out() {
    let server = FakeGhost::of(3).serve().await;
    let all = read(&source(&server.uri(), json!({"attribution": false})), None).await;
    assert!(!all.rows[0].fields.contains_key("referrer_source"));
    let asked = server.received_requests().await.unwrap();
    assert!(asked.iter().all(|request| !request.url.path().contains("events")));
}

#[tokio::test]
async fn a_server_that_ignores_the_filter_does_not_hold_us_for_ever() {
    let server = MockServer::start().await;
    let rows: Vec<Value> = (0..4).map(member).collect();
    Mock::given(path("/ghost/api/admin/members/")).respond_with(listing("members", &rows, 2)).mount(&server).await;
    let source = source(&server.uri(), json!({"attribution": false}));
    let breach = collect(&source, &members(&source).await, None).await.unwrap_err();
    assert!(format!("{breach}").contains("not in the order asked for"), "{breach}");
}

#[tokio::test]
async fn the_token_is_made_as_ghost_wants_it() {
    let server = FakeGhost::of(1).serve().await;
    source(&server.uri(), json!({})).check().await.unwrap();
    let asked = server.received_requests().await.unwrap();
    let token = asked[0].headers["authorization"].to_str().unwrap().strip_prefix("Ghost ").unwrap().to_owned();
    let parts: Vec<&str> = token.split('.').collect();
    let json = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    assert_eq!(json(parts[0]), json!({"alg": "HS256", "typ": "JWT", "kid": "650000000000000000000001"}));
    assert_eq!(json(parts[1]), json!({"iat": 1_769_904_000, "exp": 1_769_904_300, "aud": "/admin/"}));
    // Made with another implementation from the same header, claims and key bytes 00 ff 10.
    assert_eq!(parts[2], "tCkP0XlyovtRWAfFFdOr7JsXkO06csxqaCn6cheLniM");
}

#[tokio::test]
async fn a_refused_key_says_what_to_do_and_is_sent_once() {
    let server = MockServer::start().await;
    let body =
        json!({"errors": [{"message": "Invalid token: invalid signature", "type": "UnauthorizedError", "code": "INVALID_JWT"}]});
    Mock::given(any()).respond_with(ResponseTemplate::new(401).set_body_json(body)).mount(&server).await;
    let error = source(&server.uri(), json!({})).check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.hint_text().unwrap().contains("Admin API key"), "{error:?}");
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[test]
fn wrong_settings_are_named() {
    let make = |key: &str, more| {
        let now = Clock::fixed(jiff::Timestamp::UNIX_EPOCH);
        Ghost.source(&config("https://news.example.com", more), &cx(key, now)).map(drop).unwrap_err()
    };
    for key in ["abc", "id:xyz", ":00ff", "id:", "id:abc"] {
        let error = make(key, json!({}));
        assert_eq!(error.kind(), ErrorKind::Config, "{key}");
        assert!(!format!("{error:?}").contains("xyz"));
    }
    assert_eq!(make(KEY, json!({"page_size": 101})).kind(), ErrorKind::Config);
    assert_eq!(make(KEY, json!({"page_size": 0})).kind(), ErrorKind::Config);
    assert_eq!(make(KEY, json!({"pages": 1})).kind(), ErrorKind::Config);
}

fn cx_wrong_key(key: &str) -> BuildContext {
    let id = key.split(':').next().unwrap();
    cx(&format!("{id}:00ff"), Clock::system())
}

mod live {
    use headwater_sdk::testkit::live;

    use super::*;

    /// It keeps what the fake one only pretends.
    #[tokio::test]
    async fn a_real_ghost_agrees() {
        let (url, key) = (live("HEADWATER_TEST_GHOST_URL"), live("HEADWATER_TEST_GHOST_KEY"));
        let config: Config = config(&url, json!({"page_size": 40})).parse().unwrap();
        let cx = cx(&key, Clock::system());
        let source = GhostSource::new(&config, &cx, Pause::real()).unwrap();
        let first = check_source_contract(&source, "members", 0).await.unwrap();
        assert!(first.rows.iter().all(|row| row.get("email").ends_with("example.com")));
        assert!(first.rows.iter().any(|row| row.get("referrer_source").starts_with("Integration: ")));

        let api = Client::new(&config, &cx, Pause::real()).unwrap().http;
        let email = format!("ada.{}@example.com", cx.clock.now_us());
        let made =
            api.json(&RequestSpec::post("/members/", json!({"members": [{"email": email, "name": "Ada Coldharbour"}]}))).await;
        let id = made.unwrap()["members"][0]["id"].as_str().unwrap().to_owned();
        let edit = async |change: Value| {
            let body = json!({"members": [change]});
            api.json(&RequestSpec::put("/members/{id}/", body).param("id", id.clone())).await.unwrap();
        };
        let added = read(&source, Some(&first)).await;
        let ours = |read: &Collected| read.rows.iter().rfind(|row| row.get("email") == email).cloned();
        assert_eq!(ours(&added).unwrap().get("consent"), "granted");
        // Two edits at once: both lie in the second that the read before them had reached.
        edit(json!({"name": "Ada Dunmere"})).await;
        edit(json!({"newsletters": []})).await;
        let edited = ours(&read(&source, Some(&added)).await).unwrap();
        assert_eq!((edited.get("name"), edited.get("consent")), ("Ada Dunmere", "withdrawn"));
        api.send(&RequestSpec::new(Method::DELETE, "/members/{id}/").param("id", id.clone())).await.unwrap();

        let wrong = GhostSource::new(&config, &cx_wrong_key(&key), Pause::real()).unwrap();
        assert_eq!(wrong.check().await.unwrap_err().kind(), ErrorKind::Auth);
    }
}
