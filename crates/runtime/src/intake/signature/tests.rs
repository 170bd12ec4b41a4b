//! Vectors were made with Python: `hmac.new(secret, before + body + after, hashlib.sha256)`, `.hexdigest()` or base64 of `.digest()`. The
//! Standard Webhooks one is the vector that its reference libraries publish in their tests.

use proptest::prelude::*;

use super::*;

const NOW_US: i64 = 1_614_265_330_000_000;
const BODY: &[u8] = br#"{"event_id":"01","form_response":{"token":"t"}}"#;
const GHOST_BODY: &str = r#"{"member":{"current":{"name":"Zoë Example"}}}"#;
const STANDARD_BODY: &[u8] = br#"{"test": 2432232314}"#;
const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOKEN: &str = "0123456789abcdef01234567";

/// A verifier whose secret references `{ env: X }` stand for the text X itself.
fn verifier(signature: &str) -> Result<Verifier, Error> {
    let signature: Signature = serde_json::from_str(signature).unwrap();
    Verifier::new(&signature, &|reference| match reference {
        SecretRef::Env(text) => Ok(Secret::new(text.clone())),
        SecretRef::File(_) => panic!("no file in this test"),
    })
}

type Owned = Vec<(String, String)>;

fn verify(verifier: &Verifier, headers: &Owned, body: &[u8], now_us: i64) -> Result<&'static str, Refusal> {
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let incoming = Incoming { headers: &headers, content_type: "application/json", body, token: None, now_us };
    verifier.verify(&incoming).map(|verdict| verdict.status)
}

fn headers(pairs: &[(&str, &str)]) -> Owned {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

struct Vector {
    settings: String,
    headers: Owned,
    body: Vec<u8>,
}

fn vector(settings: &str, pairs: &[(&str, &str)], body: &[u8]) -> Vector {
    Vector { settings: settings.to_owned(), headers: headers(pairs), body: body.to_vec() }
}

fn vectors() -> Vec<Vector> {
    let standard = format!(r#"{{"type":"standard_webhooks","secret":{{"env":"{STANDARD_SECRET}"}}}}"#);
    let standard_signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    vec![
        vector(
            &standard,
            &[
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", standard_signature),
            ],
            STANDARD_BODY,
        ),
        vector(
            &standard,
            &[
                ("svix-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("svix-timestamp", "1614265330"),
                ("svix-signature", standard_signature),
            ],
            STANDARD_BODY,
        ),
        vector(
            r#"{"type":"typeform","secret":{"env":"typeform-secret"}}"#,
            &[("Typeform-Signature", "sha256=m31pcTNuXPuYtBfrXxfImmJSo+VkKA7D8DfvfGft8Ts=")],
            BODY,
        ),
        vector(
            r#"{"type":"ghost","secret":{"env":"ghost-secret"}}"#,
            &[("X-Ghost-Signature", "sha256=0dc3da59cdf07f67b4e3809f0b2f5b7267a20fc5fa3b124759f079b109320a2b, t=1614265330123")],
            GHOST_BODY.as_bytes(),
        ),
        vector(
            r#"{"type":"tally","secret":{"env":"tally-secret"}}"#,
            &[("Tally-Signature", "YRwjAeeVy5ySn/fBwHr/HY8nsnsIg5kxzqcNtVPaP4M=")],
            BODY,
        ),
        vector(
            r#"{"type":"hmac_hex","header":"X-Hub-Signature-256","prefix":"sha256=","secret":{"env":"hook-secret"}}"#,
            &[("x-hub-signature-256", "sha256=a5958dd5a389e6663c054412eebe1937da5fa169dc70568569f9984fc49f5be6")],
            BODY,
        ),
        vector(
            r#"{"type":"webflow","secret":{"env":"webflow-secret"}}"#,
            &[
                ("x-webflow-timestamp", "1614265330123"),
                ("x-webflow-signature", "0b123b0a650475e802303d5fb074868855aaa0bc42543e6f69e8d8812f752c52"),
            ],
            BODY,
        ),
        vector(
            r#"{"type":"formspree","secret":{"env":"formspree-secret"}}"#,
            &[("Formspree-Signature", "t=1614265330,v1=43926bcca54c0d676fcd02904b8adc3a4f252d3bd16656ee26bddbf317f5dc71")],
            BODY,
        ),
    ]
}

#[test]
fn every_scheme_verifies_its_vector_and_no_other_secret() {
    for Vector { settings, headers, body } in vectors() {
        assert_eq!(verify(&verifier(&settings).unwrap(), &headers, &body, NOW_US), Ok(VERIFIED), "{settings}");
        let other = settings.replace("-secret", "-other").replace("whsec_Mf", "whsec_Ag");
        assert_ne!(other, settings);
        assert_eq!(verify(&verifier(&other).unwrap(), &headers, &body, NOW_US), Err(Refusal::Mismatch), "{settings}");
    }
}

#[test]
fn a_missing_or_repeated_header_is_refused() {
    for Vector { settings, headers, body } in vectors() {
        let verifier = verifier(&settings).unwrap();
        for index in 0..headers.len() {
            let (mut without, mut twice) = (headers.clone(), headers.clone());
            let removed = without.remove(index);
            twice.push(removed);
            assert!(matches!(verify(&verifier, &without, &body, NOW_US), Err(Refusal::Missing(_))), "{settings}");
            assert!(matches!(verify(&verifier, &twice, &body, NOW_US), Err(Refusal::Malformed(_))), "{settings}");
        }
    }
}

#[test]
fn a_timestamp_is_good_for_its_tolerance_in_both_directions() {
    let dated = ["standard_webhooks", "ghost", "webflow", "formspree"];
    for Vector { settings, headers, body } in vectors() {
        let verifier = verifier(&settings).unwrap();
        let is_dated = dated.iter().any(|name| settings.contains(&format!(r#""{name}""#)));
        for (offset_secs, fresh) in [(-301, false), (-299, true), (299, true), (302, false)] {
            let judged = verify(&verifier, &headers, &body, NOW_US + offset_secs * 1_000_000);
            let expected = if fresh || !is_dated { Ok(VERIFIED) } else { Err(Refusal::Stale) };
            assert_eq!(judged, expected, "{settings} {offset_secs}");
        }
    }
}

#[test]
fn a_secret_can_be_changed_on_either_side_first() {
    let Vector { headers, body, .. } = vectors().swap_remove(0);
    let ours = format!(
        r#"{{"type":"standard_webhooks","secret":{{"env":"whsec_AAAA"}},"previous_secrets":[{{"env":"{STANDARD_SECRET}"}}]}}"#
    );
    assert_eq!(verify(&verifier(&ours).unwrap(), &headers, &body, NOW_US), Ok(VERIFIED));

    let theirs = format!(r#"{{"type":"standard_webhooks","secret":{{"env":"{STANDARD_SECRET}"}}}}"#);
    let mut both = headers;
    both[2].1 = format!("v1,{} v1a,c2lnbmVk {}", STANDARD.encode([7; 32]), both[2].1);
    assert_eq!(verify(&verifier(&theirs).unwrap(), &both, &body, NOW_US), Ok(VERIFIED));
}

/// Else a captured delivery could be kept again and again under ids of the other header family.
#[test]
fn only_the_id_that_was_signed_is_given_back() {
    let Vector { settings, mut headers, body } = vectors().swap_remove(0);
    headers.insert(0, ("svix-id".to_owned(), "another".to_owned()));
    let lines: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let incoming = Incoming { headers: &lines, content_type: "", body: &body, token: None, now_us: NOW_US };
    let verdict = verifier(&settings).unwrap().verify(&incoming).unwrap();
    assert_eq!(verdict.signed_id.as_deref(), Some("msg_p5jXN8AQM9LWM0D4loKWxJek"));
}

#[test]
fn asymmetric_signatures_and_keys_are_refused_by_name() {
    let Vector { settings, mut headers, body } = vectors().swap_remove(0);
    headers[2].1 = "v1a,c2lnbmVk".to_owned();
    assert_eq!(verify(&verifier(&settings).unwrap(), &headers, &body, NOW_US), Err(Refusal::Unsupported));
    for key in ["whsk_AAAA", "whpk_AAAA"] {
        let error = verifier(&format!(r#"{{"type":"standard_webhooks","secret":{{"env":"{key}"}}}}"#)).unwrap_err();
        assert!(error.message().contains("asymmetric"), "{error}");
    }
}

#[test]
fn empty_and_unreadable_secrets_are_refused() {
    for settings in [
        r#"{"type":"typeform","secret":{"env":""}}"#,
        r#"{"type":"typeform","secret":{"env":"  "}}"#,
        r#"{"type":"tally","secret":{"env":"good"},"previous_secrets":[{"env":""}]}"#,
        r#"{"type":"standard_webhooks","secret":{"env":"whsec_"}}"#,
        r#"{"type":"standard_webhooks","secret":{"env":"whsec_***"}}"#,
        r#"{"type":"hmac_hex","header":" ","secret":{"env":"good"}}"#,
        r#"{"type":"none","token":{"env":"short"}}"#,
        r#"{"type":"none","token":{"env":"with/slashes/and spaces in it"}}"#,
    ] {
        assert_eq!(verifier(settings).unwrap_err().kind(), ErrorKind::Config, "{settings}");
    }
}

#[test]
fn a_token_is_compared_whole_and_a_public_form_takes_none() {
    let judge = |settings: &str, token| {
        let incoming = Incoming { headers: &[], content_type: "", body: b"a=1", token, now_us: NOW_US };
        verifier(settings).unwrap().verify(&incoming).map(|verdict| verdict.status)
    };
    let tokened = format!(r#"{{"type":"none","token":{{"env":"{TOKEN}"}}}}"#);
    assert_eq!(judge(&tokened, Some(TOKEN)), Ok(TOKEN_ONLY));
    for wrong in [None, Some(""), Some("0123456789abcdef0123456"), Some("0123456789abcdef01234568")] {
        assert_eq!(judge(&tokened, wrong), Err(Refusal::Token));
    }
    assert_eq!(judge(r#"{"type":"none"}"#, None), Ok(UNSIGNED));
    assert_eq!(judge(r#"{"type":"none"}"#, Some(TOKEN)), Err(Refusal::Token));
}

#[test]
fn a_signed_source_does_not_take_a_token_in_its_place() {
    let Vector { settings, body, .. } = vectors().swap_remove(2);
    let incoming = Incoming { headers: &[], content_type: "", body: &body, token: Some(TOKEN), now_us: NOW_US };
    assert!(verifier(&settings).unwrap().verify(&incoming).is_err());
}

#[test]
fn refusals_show_no_header_value_and_no_secret() {
    let Vector { settings, mut headers, body } = vectors().swap_remove(3);
    let verifier = verifier(&settings).unwrap();
    headers[0].1 = "sha256=mark, t=mark".to_owned();
    let refusal = verify(&verifier, &headers, &body, NOW_US).unwrap_err();
    assert!(!refusal.to_string().contains("mark") && !format!("{verifier:?}").contains("ghost-secret"));
}

fn changed(text: &[u8], at: usize, by: u8) -> Vec<u8> {
    let mut bytes = text.to_vec();
    let at = at % bytes.len();
    bytes[at] ^= by;
    bytes
}

proptest! {
    #[test]
    fn no_changed_body_verifies(which in 0_usize..8, at: usize, by in 1_u8.., cut in any::<bool>()) {
        let Vector { settings, headers, body } = vectors().swap_remove(which);
        let body = if cut { body[..at % body.len()].to_vec() } else { changed(&body, at, by) };
        prop_assert!(verify(&verifier(&settings).unwrap(), &headers, &body, NOW_US).is_err());
    }

    #[test]
    fn no_changed_header_verifies(which in 0_usize..8, header: usize, at: usize, by in 1_u8..) {
        let Vector { settings, mut headers, body } = vectors().swap_remove(which);
        let header = header % headers.len();
        let before = headers[header].1.clone();
        let bytes = changed(before.as_bytes(), at, by);
        let Ok(after) = String::from_utf8(bytes) else { return Ok(()) };
        // Hex digits may be written in either case, and blanks around a value mean nothing.
        prop_assume!(!after.trim().eq_ignore_ascii_case(before.trim()));
        prop_assume!(after.split_whitespace().ne(before.split_whitespace()));
        headers[header].1 = after;
        prop_assert!(verify(&verifier(&settings).unwrap(), &headers, &body, NOW_US).is_err());
    }

    #[test]
    fn no_header_at_all_makes_a_verifier_panic(which in 0_usize..8, value in ".{0,80}", body: Vec<u8>) {
        let Vector { settings, mut headers, .. } = vectors().swap_remove(which);
        for header in &mut headers {
            header.1.clone_from(&value);
        }
        prop_assert!(verify(&verifier(&settings).unwrap(), &headers, &body, NOW_US).is_err());
    }
}
