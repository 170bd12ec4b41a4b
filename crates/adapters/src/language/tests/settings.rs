//! What a connection's settings decide, batches of parts, streams that others look into.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use headwater_sdk::http::Pause;
use headwater_sdk::testkit::collect;
use headwater_sdk::{BuildContext, Clock, ConfigDoc, Connector as _};
use ring::signature::{self, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value as Json, json};
use wiremock::Mock;
use wiremock::matchers::{method, path, query_param};

use super::remote::{NOW, PLAIN, Remote, file, json as answer, people};
use crate::language::Declarative;

const ADA: &str = r#"[{"id":1,"name":"Ada","at":"2026-01-20T00:00:00Z"}]"#;
/// A key that was made for these tests and opens nothing.
const KEY: &str = include_str!("rs256.pem");

const SIGNS: &str = "  auth:
    type: oauth2
    grant: jwt_bearer
    token_url: '${connection.url}/token'
    assertion: { key: '${connection.secret}', headers: { kid: k1 }, claims: { iss: me, aud: 'https://login.example' }, lifetime: 3m }
";

#[tokio::test]
async fn a_signed_assertion_is_exchanged_for_a_token() {
    let remote = Remote::answering([answer(ADA)]).await;
    let token = answer(r#"{"access_token":"t1","expires_in":3600}"#);
    Mock::given(method("POST")).and(path("/token")).respond_with(token).with_priority(1).mount(&remote.server).await;
    let source = Remote::at(&remote.server.uri(), &file(SIGNS, PLAIN), KEY, &Pause::virtual_time());
    let stream = people(&source).await;
    for _ in 0..2 {
        assert_eq!(collect(&source, &stream, None).await.unwrap().keys(), ["1"]);
    }
    assert_eq!(remote.asked().await, ["/token", "/people", "/people"], "one token serves both");
    let requests = remote.requests().await;
    assert_eq!(requests[1].headers["authorization"], "Bearer t1");
    let form: std::collections::BTreeMap<_, _> = url::form_urlencoded::parse(&requests[0].body).into_owned().collect();
    assert_eq!(form.keys().map(String::as_str).collect::<Vec<_>>(), ["assertion", "grant_type"]);
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (signed, seal) = form["assertion"].rsplit_once('.').unwrap();
    let part = |part: &str| serde_json::from_slice::<Json>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (head, claims) = signed.split_once('.').map(|(head, claims)| (part(head), part(claims))).unwrap();
    assert_eq!((&head["alg"], &head["kid"]), (&json!("RS256"), &json!("k1")));
    let now = NOW.parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!((&claims["iss"], &claims["exp"]), (&json!("me"), &json!(now + 180)));
    let inner: String = KEY.lines().filter(|line| !line.starts_with("-----")).collect();
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(inner).unwrap()).unwrap();
    let public = UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, pair.public().as_ref());
    assert!(public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(seal).unwrap()).is_ok());
}

const CHOICE: &str = "version: 1
name: shop
title: Shop
summary: reads people
connection:
  url: { type: url, about: The server. }
  sign_in: { type: text, one_of: [key, password], default: key, about: How. }
  key: { type: secret, optional: true, about: A key. }
  user: { type: text, optional: true, about: A user. }
  days: { type: integer, default: 2, about: Days. }
hosts: ['${connection.url}']
api:
  url: ${connection.url}
  auth:
    type: choice
    by: sign_in
    of:
      key: { type: bearer, token: '${connection.key}' }
      password: { type: basic, user: '${connection.user}', password: '${connection.key}' }
streams:
  people:
    request: { path: /people, query: { since: '${cursor.start}' } }
    records: { from: response }
    cursor: { type: time, value: record.at, overlap: '${connection.days}d' }
    key: record.id
    fields: { id: , name: }
    map: { external_id: id, full_name: name }
";

async fn chosen(remote: &Remote, settings: &Json) -> Result<Vec<String>, headwater_sdk::Error> {
    let mut values = settings.as_object().unwrap().clone();
    values.insert("url".to_owned(), json!(remote.server.uri()));
    let cx = BuildContext {
        clock: Clock::fixed(NOW.parse().unwrap()),
        base_dir: PathBuf::from("."),
        env: Arc::new(|name| (name == "KEY").then(|| "k".to_owned())),
        allow_private_hosts: true,
    };
    let shop = Declarative::parse("shop.yaml", CHOICE, "").unwrap_or_else(|error| panic!("{error}"));
    let source = shop.source(&ConfigDoc { connection: "shop".to_owned(), values }, &cx)?;
    let stream = source.streams().await?.remove(0);
    let first = collect(source.as_ref(), &stream, None).await.unwrap();
    collect(source.as_ref(), &stream, first.last()).await.unwrap();
    let requests = remote.requests().await;
    let said = requests[0].headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    Ok(vec![said.unwrap_or_default(), requests[1].url.query().unwrap_or_default().to_owned()])
}

#[tokio::test]
async fn a_setting_chooses_how_to_sign_in_and_how_far_back_to_read() {
    let key = json!({ "env": "KEY" });
    let remote = Remote::answering([answer(ADA)]).await;
    let said = chosen(&remote, &json!({ "key": key })).await.unwrap();
    assert_eq!(said, ["Bearer k", "since=2026-01-18T00%3A00%3A00Z"]);
    let remote = Remote::answering([answer(ADA)]).await;
    let said = chosen(&remote, &json!({ "sign_in": "password", "user": "u", "key": key, "days": 5 })).await.unwrap();
    assert_eq!(said, [format!("Basic {}", STANDARD.encode("u:k")), "since=2026-01-15T00%3A00%3A00Z".to_owned()]);
    for (settings, told) in [
        (json!({ "sign_in": "password", "key": key }), "missing field `user`"),
        (json!({}), "missing field `key`"),
        (json!({ "key": key, "days": -1 }), "`-1d` is not a time span"),
    ] {
        let error = chosen(&remote, &settings).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[test]
fn what_is_wrong_about_a_choice_or_a_grant_is_found_when_the_file_is_loaded() {
    let refused = |text: &str| Declarative::parse("shop.yaml", text, "").map(drop).expect_err(text).message;
    for (from, to, message) in [
        ("by: sign_in", "by: sign_on", "there is no setting `sign_on`"),
        ("one_of: [key, password]", "one_of: [key]", "`sign_in` names how to sign in, so its values are those ways"),
        ("'${connection.user}'", "'${connection.usr}'", "`connection` has no `usr`"),
        ("'${connection.days}d'", "'${connection.dayz}d'", "`connection` has no `dayz`"),
        ("'${connection.days}d'", "'${connection.days} days'", "`2 days` is not a time span"),
    ] {
        assert!(CHOICE.contains(from), "{from}");
        assert_eq!(refused(&CHOICE.replacen(from, to, 1)), message, "{to}");
    }
    for (from, to, message) in [
        ("lifetime: 3m", "algorithm: RS1", "`RS1` is no algorithm that we sign with"),
        ("grant: jwt_bearer", "grant: client_credentials", "`assertion` is not for this `grant`"),
        ("    token_url", "    refresh_token: x\n    token_url", "`refresh_token` is not for this `grant`"),
    ] {
        assert!(SIGNS.contains(from), "{from}");
        assert_eq!(refused(&file(&SIGNS.replacen(from, to, 1), PLAIN)), message, "{to}");
    }
}

/// A stream without rows for a user, after that of the people.
const SHOPS: &str = "  shops:
    helper: true
    request: { path: /shops, query: { o: '${page.offset}' } }
    paging: { type: offset, size: 2 }
    records: { from: response }
";

/// A remote that gives these people, and these shops in pages of two.
async fn shopping(people: &[&str], shops: &[&str]) -> Remote {
    let remote = Remote::answering(people.iter().map(|people| answer(people))).await;
    for (n, shops) in shops.iter().enumerate() {
        let at = query_param("o", (n * 2).to_string());
        Mock::given(path("/shops")).and(at).respond_with(answer(shops)).with_priority(1).mount(&remote.server).await;
    }
    remote
}

#[tokio::test]
async fn parts_are_asked_for_in_batches() {
    let remote = shopping(&[ADA], &[r#"[{"id":"a"},{"id":"b"}]"#, r#"[{"id":"a"},{"id":"c"}]"#, "[]"]).await;
    let stream = "    request: { path: /people, query: { shops: \"${join(partition.shop, ',')}\" } }
    records: { from: response }
    for_each: [{ type: parent, stream: shops, id: shop, give: { shop: record.id }, batch: 2 }]
";
    remote.all(&(file("", stream) + SHOPS)).await;
    let asked = remote.asked().await;
    let people: Vec<&String> = asked.iter().filter(|asked| asked.starts_with("/people")).collect();
    assert_eq!(people, ["/people?shops=a%2Cb", "/people?shops=c"], "equal ones count once");
    let values = stream.replace(
        "type: parent, stream: shops, id: shop, give: { shop: record.id }, batch: 2",
        "type: values, values: \"['x', 'y', 'z']\", name: shop, batch: 3",
    );
    let remote = Remote::answering([answer(ADA)]).await;
    remote.all(&file("", &values)).await;
    assert_eq!(remote.asked().await, ["/people?shops=x%2Cy%2Cz"]);
    let error = Declarative::parse("shop.yaml", &file("", &values.replace("batch: 3", "batch: 0")), "").map(drop).unwrap_err();
    assert_eq!(error.message, "must lie between 1 and 10000");
}

#[tokio::test]
async fn a_small_stream_is_looked_into_and_read_whole_before() {
    let stream = "    request: { path: /people, query: { t: '${page.token}' } }
    paging: { type: token, next: response.next }
    records: { from: response.items, where: \"get(lookup.shops, text(record.shop)) != 'Closed'\" }
    lookup: { shops: { stream: shops, key: record.id, value: record.title } }
";
    let named = "name: 'get(lookup.shops, text(record.shop)) ?? text(record.shop)' }";
    let text = file("", stream).replace("name: }", named) + SHOPS;
    let people =
        [r#"{"items":[{"id":1,"shop":7},{"id":2,"shop":8}],"next":"n"}"#, r#"{"items":[{"id":3,"shop":9},{"id":4,"shop":6}]}"#];
    let shops = [r#"[{"id":7,"title":"Alder"},{"id":8,"title":"Closed"}]"#, r#"[{"id":9,"title":"Birch"}]"#];
    let remote = shopping(&people, &shops).await;
    let all = remote.all(&text).await;
    let names: Vec<&str> = all.rows.iter().map(|row| row.get("name")).collect();
    assert_eq!((all.keys(), names), (vec!["1", "3", "4"], vec!["Alder", "Birch", "6"]));
    assert_eq!(remote.asked().await, ["/shops?o=0", "/shops?o=2", "/people", "/people?t=n"]);
    let (_, from) = &all.checkpoints[0];
    let rest = remote.read(&text, Some(from.clone())).await.unwrap();
    assert_eq!(rest.rows[0].get("name"), "Birch", "a read that goes on looks into it as well");
    for (from, to, message) in [
        ("stream: shops", "stream: shop", "there is no stream `shop`"),
        ("lookup.shops,", "lookup.shop,", "`lookup` has no `shop`"),
        ("value: record.title", "value: response.title", "`response` does not exist in a record that is looked up"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = Declarative::parse("shop.yaml", &text.replacen(from, to, 1), "").map(drop).expect_err(to);
        assert_eq!(error.message, message);
    }
}
