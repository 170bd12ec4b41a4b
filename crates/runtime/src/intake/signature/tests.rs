//! Vectors were made with Python: `hmac.new(secret, before + body + after, hashlib.sha256)`, `.hexdigest()` or base64 of `.digest()`. The
//! Standard Webhooks one is the vector that its reference libraries publish in their tests, HubSpot's older two stand in its
//! documentation, and the first of SendGrid's is the one its libraries are tested with; the asymmetric ones besides were made with
//! Python's `cryptography`.

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

#[derive(Clone)]
struct Vector {
    settings: String,
    headers: Owned,
    body: Vec<u8>,
    status: &'static str,
}

impl Vector {
    /// Of a scheme that proves its sender and not the body.
    fn sender_only(self) -> Self {
        Self { status: TOKEN_ONLY, ..self }
    }
}

fn vector(settings: &str, pairs: &[(&str, &str)], body: &[u8]) -> Vector {
    Vector { settings: settings.to_owned(), headers: headers(pairs), body: body.to_vec(), status: VERIFIED }
}

fn vectors() -> Vec<Vector> {
    [first_vectors(), more_vectors()].concat()
}

const EC_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+evkZBR8wQLZIyTQmdknwaUOQtV6CKEW/+wKKYGdjGVwuvfRKIiQKmoMHWet0QMSPIWatpv46UMck4STDUt+7g==";
const OTHER_EC_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9hKyOCi66L6QzPsr1SOoSRsai9p39BDF4icEqVhG2+H+Nb90IGjPWWqanG7kh1VWi4tqK6M+9EVqJAU2j5YfFQ==";
const ED_KEY: &str = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
const OTHER_ED_KEY: &str = "whpk_ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ=";
const HUBSPOT: &str = r#"{"type":"hubspot","secret":{"env":"hubspot-secret"},"url":"https://leads.example.com/in/hubspot""#;

fn more_vectors() -> Vec<Vector> {
    let secret = |kind: &str| format!(r#"{{"type":"{kind}","secret":{{"env":"{kind}-secret"}}}}"#);
    let mailgun = br#"{"signature":{"timestamp":"1614265330","token":"the-token","signature":"e28797999ae810c596127f7750d74e4a284479b8bb2c886d6b78f2f1784c9262"},"event-data":{}}"#;
    vec![
        vector(
            &secret("customerio"),
            &[
                ("x-cio-timestamp", "1614265330"),
                ("x-cio-signature", "bd0d45ced0a4f4e29e4165004cf68b823bdfc89332aa786f171713dd3c179a0b"),
            ],
            BODY,
        ),
        vector(
            &secret("klaviyo"),
            &[
                ("Klaviyo-Timestamp", "1614265330"),
                ("Klaviyo-Signature", "e727f594340edd31aae5dcf5d10d3903a362382a286bbee5ecd471b537e85092"),
            ],
            BODY,
        ),
        vector(
            &secret("klaviyo"),
            &[
                ("Klaviyo-Timestamp", "2021-02-25T15:02:10Z"),
                ("Klaviyo-Signature", "b9cbc67a76980a62a8352f6684514efd9ce551530c9b69400aeadb9d6dc32dc3"),
            ],
            BODY,
        ),
        vector(
            &secret("linkedin"),
            &[("X-LI-Signature", "1b3c2e5a3017d7f697ee31fc3339b08750b6a27a3969821484ab443230a1551b")],
            BODY,
        ),
        vector(
            r#"{"type":"meta","secret":{"env":"meta-secret"},"verify_token":{"env":"v"}}"#,
            &[("X-Hub-Signature-256", "sha256=df5f344d6bb9db8870417c3c9eb0d06eb2c74ccf430deb9408b70473b2a2af7e")],
            BODY,
        ),
        vector(&secret("mautic"), &[("Webhook-Signature", "TnPN3IIlSTPrRvOyZPbZTcCoUIbFJJbuRJe4TwAHZsA=")], BODY),
        vector(
            r#"{"type":"hmac_base64","header":"X-Any","prefix":"v1=","secret":{"env":"any-secret"}}"#,
            &[("X-Any", "v1=rMDtrC6c5cJXck6rZ0kl+WdQZ9KqY4xPaJiE4wJLAOg=")],
            BODY,
        ),
        vector(
            &format!("{HUBSPOT}}}"),
            &[
                ("X-HubSpot-Signature-v3", "ZFCATBSaB9Z9odrzv87B/bf0p6T4rbwKcl8o49XoWIg="),
                ("X-HubSpot-Request-Timestamp", "1614265330123"),
            ],
            BODY,
        ),
        vector(
            &format!(r#"{HUBSPOT},"version":"v2"}}"#),
            &[
                ("X-HubSpot-Signature-Version", "v2"),
                ("X-HubSpot-Signature", "c8f08eb7768e55d91d37e61e7c43a7f6f8cd77e4e9772095bdee2acde5fabce7"),
            ],
            BODY,
        ),
        vector(&secret("netlify"), &[("X-Webhook-Signature", NETLIFY)], BODY),
        vector(
            &format!(r#"{{"type":"sendgrid","secret":{{"env":"{EC_KEY}"}}}}"#),
            &[
                ("X-Twilio-Email-Event-Webhook-Timestamp", "1614265330"),
                (
                    "X-Twilio-Email-Event-Webhook-Signature",
                    "MEQCIHxOnu347/euEYsPkww8fzW1wDqmp8gypO7eCG1A21PoAiBfKhrWZAGuc35cS1lRq2S+mCwRXYCYBMzjUEgRriHM3Q==",
                ),
            ],
            BODY,
        ),
        vector(
            &format!(r#"{{"type":"standard_webhooks","secret":{{"env":"{ED_KEY}"}}}}"#),
            &[
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", "1614265330"),
                (
                    "webhook-signature",
                    "v1a,dQVG/IaQrVKbizvyzLWVXwRbAJHj6ppLw0cjkwK13E4R2a0jNlZJfrRYsNRLLkXnFEtzT/r3lcauvd/FUBT+AQ==",
                ),
            ],
            BODY,
        ),
        vector(
            r#"{"type":"mandrill","secret":{"env":"mandrill-secret"},"url":"https://leads.example.com/in/mandrill"}"#,
            &[("X-Mandrill-Signature", "vihwOPWkDG6HE1s5F8+kDpDaGMc=")],
            br#"mandrill_events=[{"event":"open"}]&a=bc"#,
        ),
        vector(&secret("mailgun"), &[], mailgun).sender_only(),
        vector(
            r#"{"type":"body_secret","field":"google_key","secret":{"env":"google-secret"}}"#,
            &[],
            br#"{"lead_id":"1","google_key":"google-secret"}"#,
        )
        .sender_only(),
        vector(
            r#"{"type":"basic","username":"user","password":{"env":"basic-secret"}}"#,
            &[("Authorization", "Basic dXNlcjpiYXNpYy1zZWNyZXQ=")],
            BODY,
        )
        .sender_only(),
    ]
}

const NETLIFY: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiAibmV0bGlmeSIsICJzaGEyNTYiOiAiZWIyZjc1N2M5YzIzZTVkOWNhOTFiMWI4YmI1ZTI2Y2NhNTc5Y2FhZGU0NzcyODg0NDEzYTYwYmEyNzcyNDk3MCJ9.RMXkN7IxEhNXpuuqS_9pZwcUsI_QZsjb5EmchmbDFvc";

fn first_vectors() -> Vec<Vector> {
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
    for Vector { settings, headers, body, status } in vectors() {
        assert_eq!(verify(&verifier(&settings).unwrap(), &headers, &body, NOW_US), Ok(status), "{settings}");
        let other = settings.replace("-secret", "-other").replace("whsec_Mf", "whsec_Ag");
        let other = other.replace(EC_KEY, OTHER_EC_KEY).replace(ED_KEY, OTHER_ED_KEY);
        assert_ne!(other, settings);
        assert_eq!(verify(&verifier(&other).unwrap(), &headers, &body, NOW_US), Err(Refusal::Mismatch), "{settings}");
    }
}

#[test]
fn a_missing_or_repeated_header_is_refused() {
    for Vector { settings, headers, body, .. } in vectors() {
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
    let dated = ["standard_webhooks", "ghost", "webflow", "formspree", "customerio", "klaviyo", "sendgrid", "hubspot"];
    for Vector { settings, headers, body, status } in vectors() {
        let verifier = verifier(&settings).unwrap();
        let is_dated = dated.iter().any(|name| settings.contains(&format!(r#""{name}""#))) && !settings.contains(r#""v2""#);
        for (offset_secs, fresh) in [(-301, false), (-299, true), (299, true), (302, false)] {
            let judged = verify(&verifier, &headers, &body, NOW_US + offset_secs * 1_000_000);
            let expected = if fresh || !is_dated { Ok(status) } else { Err(Refusal::Stale) };
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
    let Vector { settings, mut headers, body, .. } = vectors().swap_remove(0);
    headers.insert(0, ("svix-id".to_owned(), "another".to_owned()));
    let lines: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let incoming = Incoming { headers: &lines, content_type: "", body: &body, token: None, now_us: NOW_US };
    let verdict = verifier(&settings).unwrap().verify(&incoming).unwrap();
    assert_eq!(verdict.signed_id.as_deref(), Some("msg_p5jXN8AQM9LWM0D4loKWxJek"));
}

/// Two at once, in either way of writing them, for every scheme that has a secret.
#[test]
fn a_list_of_secrets_verifies_with_each_of_them() {
    for Vector { settings, headers, body, status } in vectors() {
        let mut settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
        let name = if settings.get("password").is_some() { "password" } else { "secret" };
        let old = settings[name].clone();
        let new = match settings["type"].as_str().unwrap() {
            "sendgrid" => OTHER_EC_KEY,
            "standard_webhooks" => "whsec_AAAA",
            _ => "another-secret",
        };
        settings[name] = serde_json::json!([{ "env": new }, old]);
        assert_eq!(verify(&verifier(&settings.to_string()).unwrap(), &headers, &body, NOW_US), Ok(status), "{settings}");
        settings[name] = serde_json::json!([{ "env": new }]);
        assert!(verify(&verifier(&settings.to_string()).unwrap(), &headers, &body, NOW_US).is_err(), "{settings}");
    }
}

/// <https://developers.hubspot.com/docs/faq/v1-request-validation>
#[test]
fn hubspot_s_own_example_verifies() {
    let settings =
        r#"{"type":"hubspot","secret":{"env":"yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"},"url":"https://x.example","version":"v1"}"#;
    let body = br#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321}]"#;
    let mut headers = headers(&[
        ("X-HubSpot-Signature-Version", "v1"),
        ("X-HubSpot-Signature", "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de"),
    ]);
    assert_eq!(verify(&verifier(settings).unwrap(), &headers, body, NOW_US), Ok(VERIFIED));
    // Who asks for the signature with a time does not take the ones without.
    let newest = settings.replace(r#","version":"v1""#, "");
    assert!(matches!(verify(&verifier(&newest).unwrap(), &headers, body, NOW_US), Err(Refusal::Missing(_))));
    headers[0].1 = "v2".to_owned();
    assert_eq!(verify(&verifier(settings).unwrap(), &headers, body, NOW_US), Err(Refusal::Unsupported));
}

/// From the tests of SendGrid's libraries.
#[test]
fn sendgrid_s_own_example_verifies() {
    const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
    let body = concat!(
        r#"[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","#,
        r#""sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","#,
        r#""sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","#,
        r#""smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]"#,
        "\r\n"
    );
    let headers = headers(&[
        ("X-Twilio-Email-Event-Webhook-Timestamp", "1600112502"),
        (
            "X-Twilio-Email-Event-Webhook-Signature",
            "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
        ),
    ]);
    let verifier = verifier(&format!(r#"{{"type":"sendgrid","secret":{{"env":"{KEY}"}}}}"#)).unwrap();
    assert_eq!(verify(&verifier, &headers, body.as_bytes(), 1_600_112_502_000_000), Ok(VERIFIED));
}

/// A token that says itself how it is verified, one of another issuer, and one for another body.
#[test]
fn a_netlify_token_does_not_choose_how_it_is_verified() {
    let verifier = verifier(r#"{"type":"netlify","secret":{"env":"netlify-secret"}}"#).unwrap();
    let with = |token: &str, body: &[u8]| verify(&verifier, &headers(&[("x-webhook-signature", token)]), body, NOW_US);
    let claims = NETLIFY.split('.').nth(1).unwrap();
    assert_eq!(with(&format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}."), BODY), Err(Refusal::Unsupported));
    let other_issuer = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiAib3RoZXIiLCAic2hhMjU2IjogImViMmY3NTdjOWMyM2U1ZDljYTkxYjFiOGJiNWUyNmNjYTU3OWNhYWRlNDc3Mjg4NDQxM2E2MGJhMjc3MjQ5NzAifQ.sTpuVvvHE-oDLdxctN5Ii87-rdSU6JpLmXsCRA2bj2s";
    assert!(matches!(with(other_issuer, BODY), Err(Refusal::Malformed(_))));
    assert_eq!(with(NETLIFY, b"{}"), Err(Refusal::Mismatch));
    assert_eq!(with(NETLIFY, BODY), Ok(VERIFIED));
}

/// The signature says nothing of the event, so its token is what a repetition is told by.
#[test]
fn a_mailgun_token_is_the_delivery_whatever_the_event_says() {
    let Vector { settings, body, .. } = vectors().into_iter().find(|vector| vector.settings.contains("mailgun")).unwrap();
    let pasted = String::from_utf8(body.clone()).unwrap().replace(r#""event-data":{}"#, r#""event-data":{"event":"complained"}"#);
    let verifier = verifier(&settings).unwrap();
    let id = |body: &[u8]| {
        let incoming = Incoming { headers: &[], content_type: "application/json", body, token: None, now_us: NOW_US };
        verifier.verify(&incoming).unwrap().signed_id
    };
    assert_eq!((id(&body), id(pasted.as_bytes())), (Some("the-token".to_owned()), Some("the-token".to_owned())));
    assert_eq!(verify(&verifier, &Vec::new(), &body, NOW_US + 43_201_000_000), Err(Refusal::Stale));
    assert!(matches!(verify(&verifier, &Vec::new(), b"{}", NOW_US), Err(Refusal::InBody(_))));
}

/// <https://learn.microsoft.com/en-us/linkedin/shared/api-guide/webhook-validation>
#[test]
fn a_challenge_is_proved_with_the_secret_in_use() {
    let verifier = verifier(r#"{"type":"linkedin","secret":[{"env":"linkedin-secret"},{"env":"old"}]}"#).unwrap();
    let proof = verifier.prove("890e4665-4dfe-4ab1-b689-ed553bceeed0").unwrap();
    assert_eq!(proof, "1022ae25f4cea30b9a546040805fb8fe32754e45080562a4e67ab4eaeb734aea");
}

#[test]
fn asymmetric_signatures_need_a_public_key() {
    let Vector { settings, mut headers, body, .. } = vectors().swap_remove(0);
    headers[2].1 = "v1a,c2lnbmVk".to_owned();
    assert_eq!(verify(&verifier(&settings).unwrap(), &headers, &body, NOW_US), Err(Refusal::Unsupported));
    for key in ["whsk_AAAA", "whpk_AAAA"] {
        let error = verifier(&format!(r#"{{"type":"standard_webhooks","secret":{{"env":"{key}"}}}}"#)).unwrap_err();
        assert!(error.message().contains("key"), "{error}");
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
        r#"{"type":"sendgrid","secret":{"env":"MFkw"}}"#,
        r#"{"type":"basic","username":"a:b","password":{"env":"good"}}"#,
        r#"{"type":"hubspot","secret":{"env":"good"},"url":"/in/hubspot"}"#,
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
    let Vector { settings, mut headers, body, .. } = vectors().swap_remove(3);
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

fn some(which: usize, fits: fn(&Vector) -> bool) -> Vector {
    let mut fitting: Vec<Vector> = vectors().into_iter().filter(fits).collect();
    fitting.swap_remove(which % fitting.len())
}

proptest! {
    #[test]
    fn no_changed_body_verifies(which: usize, at: usize, by in 1_u8.., cut in any::<bool>()) {
        let Vector { settings, headers, body, .. } = some(which, |vector| vector.status == VERIFIED);
        let body = if cut { body[..at % body.len()].to_vec() } else { changed(&body, at, by) };
        prop_assert!(verify(&verifier(&settings).unwrap(), &headers, &body, NOW_US).is_err());
    }

    #[test]
    fn no_changed_header_verifies(which: usize, header: usize, at: usize, by in 1_u8..) {
        let Vector { settings, mut headers, body, .. } = some(which, |vector| !vector.headers.is_empty());
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
    fn no_header_at_all_makes_a_verifier_panic(which: usize, value in ".{0,80}", body: Vec<u8>) {
        let Vector { settings, mut headers, .. } = some(which, |_| true);
        for header in &mut headers {
            header.1.clone_from(&value);
        }
        prop_assert!(verify(&verifier(&settings).unwrap(), &headers, &body, NOW_US).is_err());
    }
}
