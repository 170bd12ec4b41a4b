//! How requests show who we are.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use headwater_sdk::ErrorKind;
use headwater_sdk::http::Pause;
use headwater_sdk::testkit::{Breach, collect};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, Request, ResponseTemplate};

use crate::language::source::DeclarativeSource;

use super::remote::{NOW, PLAIN, Remote, file, json, people, status};

const ADA: &str = r#"[{"id":1,"name":"Ada"}]"#;

fn said(request: &Request, name: &str) -> String {
    request.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn keys_stand_where_the_file_says() {
    let basic = format!("Basic {}", STANDARD.encode("me:hunter2"));
    for (auth, name, value, asked) in [
        ("{ type: header, name: X-Key, value: 'k ${connection.secret}' }", "x-key", "k hunter2", "/people"),
        ("{ type: query, name: key, value: '${connection.secret}' }", "x-key", "", "/people?key=hunter2"),
        ("{ type: bearer, token: '${connection.secret}' }", "authorization", "Bearer hunter2", "/people"),
        ("{ type: basic, user: me, password: '${connection.secret}' }", "authorization", basic.as_str(), "/people"),
    ] {
        let remote = Remote::answering([json(ADA)]).await;
        remote.all(&file(&format!("  auth: {auth}\n"), PLAIN)).await;
        assert_eq!(said(&remote.requests().await[0], name), value);
        assert_eq!(remote.asked().await, [asked]);
    }
}

async fn token_of(auth: &str, secret: &str) -> (String, Vec<u8>, serde_json::Value, serde_json::Value) {
    let remote = Remote::answering([json(ADA)]).await;
    let source = Remote::at(&remote.server.uri(), &file(auth, PLAIN), secret, &Pause::virtual_time());
    collect(&source, &people(&source).await, None).await.unwrap();
    let token = said(&remote.requests().await[0], "authorization");
    let token = token.strip_prefix("Bearer ").unwrap();
    let (signed, seal) = token.rsplit_once('.').unwrap();
    let (head, claims) = signed.split_once('.').unwrap();
    let part = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (signed.to_owned(), URL_SAFE_NO_PAD.decode(seal).unwrap(), part(head), part(claims))
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

#[tokio::test]
async fn a_jwt_says_and_seals_what_the_file_says() {
    let auth = "  auth: { type: jwt, algorithm: HS256, key: '${connection.secret}', headers: { kid: k1 }, claims: { iss: shop }, lifetime: 5m }\n";
    let (signed, seal, head, claims) = token_of(auth, "hunter2").await;
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"hunter2");
    assert!(ring::hmac::verify(&key, signed.as_bytes(), &seal).is_ok());
    assert_eq!((head["alg"].as_str(), head["kid"].as_str()), (Some("HS256"), Some("k1")));
    let now = NOW.parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(
        (claims["iss"].as_str(), claims["iat"].as_i64(), claims["exp"].as_i64()),
        (Some("shop"), Some(now), Some(now + 300))
    );
    let packed = auth.replace("HS256", "HS256, key_is_base64: true");
    let (signed, seal, ..) = token_of(&packed, &STANDARD.encode([0, 255, 7])).await;
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[0, 255, 7]);
    assert!(ring::hmac::verify(&key, signed.as_bytes(), &seal).is_ok(), "the key is what the base64 says");
}

#[tokio::test]
async fn a_jwt_is_sealed_with_a_private_key() {
    let auth = |algorithm: &str| format!("  auth: {{ type: jwt, algorithm: {algorithm}, key: '${{connection.secret}}' }}\n");
    let random = SystemRandom::new();
    let ecdsa = EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let (signed, seal, ..) = token_of(&auth("ES256"), &pem(ecdsa.as_ref())).await;
    let pair = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, ecdsa.as_ref(), &random).unwrap();
    let public = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
    assert!(public.verify(signed.as_bytes(), &seal).is_ok());
    let edwards = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let (signed, seal, ..) = token_of(&auth("EdDSA"), &pem(edwards.as_ref())).await;
    let pair = Ed25519KeyPair::from_pkcs8(edwards.as_ref()).unwrap();
    let public = UnparsedPublicKey::new(&signature::ED25519, pair.public_key().as_ref());
    assert!(public.verify(signed.as_bytes(), &seal).is_ok());
}

#[tokio::test]
async fn a_key_that_is_none_is_told_and_not_shown() {
    let remote = Remote::answering([json(ADA)]).await;
    for auth in ["algorithm: RS256", "algorithm: ES256", "algorithm: HS256, key_is_base64: true"] {
        let auth = format!("  auth: {{ type: jwt, {auth}, key: '${{connection.secret}}!' }}\n");
        let error = remote.failure(&file(&auth, PLAIN)).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    assert!(remote.requests().await.is_empty());
}

const REFRESH: &str = "  auth: { type: oauth2, grant: refresh_token, token_url: '${connection.url}/token', client_id: me, client_secret: s, refresh_token: '${connection.secret}' }\n";

const PAGES: &str = "    request: { path: /people, query: { t: '${page.token}' } }\n    paging: { type: token, next: response.next }\n    records: { from: response.items }\n";

/// Tokens `t1`, `t2`, … each given for the refresh token before it.
async fn gives_tokens(remote: &Remote, expires_in: u64) {
    for (turn, before) in ["hunter2", "r1", "r2", "r3"].into_iter().enumerate() {
        let n = turn + 1;
        let body = format!(r#"{{"access_token":"t{n}","expires_in":{expires_in},"refresh_token":"r{n}"}}"#);
        Mock::given(method("POST"))
            .and(path("/token"))
            .and(wiremock::matchers::body_string_contains(format!("refresh_token={before}")))
            .respond_with(json(&body))
            .with_priority(1)
            .mount(&remote.server)
            .await;
    }
}

#[tokio::test]
async fn a_token_that_ends_in_mid_run_is_made_anew_and_the_page_asked_for_once_more() {
    let remote = Remote::answering([status(401)]).await;
    gives_tokens(&remote, 3_600).await;
    let page = |token: &str, body: &str| {
        Mock::given(path("/people"))
            .and(header("authorization", format!("Bearer {token}").as_str()))
            .respond_with(json(body))
            .with_priority(2)
    };
    page("t1", r#"{"items":[{"id":1}],"next":"a"}"#).up_to_n_times(1).mount(&remote.server).await;
    page("t2", r#"{"items":[{"id":2}]}"#).mount(&remote.server).await;
    let all = remote.all(&file(REFRESH, PAGES)).await;
    assert_eq!(all.keys(), ["1", "2"]);
    assert_eq!(remote.asked().await, ["/token", "/people", "/people?t=a", "/token", "/people?t=a"]);
}

#[tokio::test]
async fn a_new_token_that_is_refused_too_is_the_end() {
    let remote = Remote::answering([status(401)]).await;
    gives_tokens(&remote, 3_600).await;
    let error = remote.failure(&file(REFRESH, PLAIN)).await;
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!(remote.asked().await, ["/token", "/people", "/token", "/people"]);
}

#[tokio::test]
async fn a_token_is_made_anew_before_it_ends() {
    let first = ResponseTemplate::new(429).insert_header("retry-after", "100");
    let remote = Remote::answering([first, json(r#"{"items":[{"id":1}],"next":"a"}"#), json(r#"{"items":[{"id":2}]}"#)]).await;
    gives_tokens(&remote, 60).await;
    assert_eq!(remote.all(&file(REFRESH, PAGES)).await.keys(), ["1", "2"]);
    assert_eq!(remote.asked().await, ["/token", "/people", "/token", "/people", "/people?t=a"], "100 seconds are longer than 60");
}

#[tokio::test]
async fn a_refused_refresh_token_is_told_as_such() {
    let remote = Remote::answering([status(400).set_body_string(r#"{"error":"invalid_grant hunter2"}"#)]).await;
    let error = remote.failure(&file(REFRESH, PLAIN)).await;
    assert_eq!(remote.asked().await, ["/token"]);
    assert!(error.to_string().contains("POST token") && !format!("{error:?}").contains("hunter2"), "{error}");
}

/// A refresh token may be good for one use, and a remote may let few tokens be made.
#[tokio::test]
async fn those_of_one_credential_sign_in_once() {
    let remote = Remote::answering([status(401)]).await;
    gives_tokens(&remote, 3_600).await;
    let accepted = header("authorization", "Bearer t2");
    Mock::given(path("/people")).and(accepted).respond_with(json(ADA)).with_priority(2).mount(&remote.server).await;
    let source = |secret: &str| Remote::at(&remote.server.uri(), &file(REFRESH, PLAIN), secret, &Pause::real());
    let read = async |source: &DeclarativeSource| Ok(collect(source, &people(source).await, None).await?.keys().len());
    let (one, two) = (source("hunter2"), source("hunter2"));
    let both: (Result<usize, Breach>, Result<usize, Breach>) = futures::join!(read(&one), read(&two));
    assert_eq!((both.0.unwrap(), both.1.unwrap()), (1, 1));
    let signed_in = |asked: Vec<String>| asked.iter().filter(|path| *path == "/token").count();
    assert_eq!(signed_in(remote.asked().await), 2, "t1 is refused once or twice, and made anew once");

    assert_eq!(read(&source("hunter2")).await.unwrap(), 1);
    assert_eq!(signed_in(remote.asked().await), 2, "who comes later has what those who are there have");
    drop((one, two));
    read(&source("r2")).await.unwrap_err();
    assert_eq!(signed_in(remote.asked().await), 4, "another credential gets tokens of its own");
}
