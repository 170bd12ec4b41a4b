//! What senders ask before they post, and what they may not do over again.

use serde_json::Value;

use super::site::{Log, NOW_SECS, Site, TOKEN, answer, hex_hmac, said};

async fn text(site: &Site, path: &str) -> (u16, String) {
    let response = site.get(path).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

/// <https://learn.microsoft.com/en-us/linkedin/shared/api-guide/webhook-validation>
#[tokio::test]
async fn linkedin_s_challenge_is_answered_with_a_proof() {
    let site = Site::over(Log::new()).await;
    let code = "890e4665-4dfe-4ab1-b689-ed553bceeed0";
    let (status, body) = text(&site, &format!("/in/linkedin?challengeCode={code}")).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["challengeCode"].as_str()), (200, Some(code)));
    assert_eq!(body["challengeResponse"], hex_hmac(b"linkedin-secret", code));
    assert_eq!(text(&site, "/in/linkedin").await.0, 405);
}

#[tokio::test]
async fn meta_s_challenge_comes_back_only_to_who_knows_the_verify_token() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    let asked =
        |token: &str, challenge: &str| format!("/in/meta?hub.mode=subscribe&hub.verify_token={token}&hub.challenge={challenge}");
    assert_eq!(text(&site, &asked("verify-me", "1158201444")).await, (200, "1158201444".to_owned()));
    for refused in [asked("verify-mE", "1"), asked("", "1"), asked("verify-me", "%3Cscript%3E")] {
        assert_eq!(text(&site, &refused).await.0, 401, "{refused}");
    }
    assert_eq!(log.kept().len(), 0);
}

#[tokio::test]
async fn who_only_looks_whether_somebody_is_there_needs_the_address() {
    let site = Site::over(Log::new()).await;
    assert_eq!(text(&site, &format!("/in/mailchimp/{TOKEN}")).await.0, 200);
    assert_eq!(site.head(&format!("/in/mailchimp/{TOKEN}")).await.status(), 200);
    assert_eq!(text(&site, "/in/mailchimp/another").await.0, 401);
    // Elsewhere nothing is asked, and nobody is told what there is.
    assert_eq!(text(&site, "/in/plain").await.0, 405);
    assert_eq!(text(&site, "/in/nowhere").await.0, 404);
    assert_eq!(text(&site, "/in/renamed").await.0, 503);
}

/// Mailgun signs a time and a token, so whoever sees one delivery could sign any event.
#[tokio::test]
async fn a_captured_mailgun_signature_is_good_for_no_other_event() {
    let log = Log::new();
    let site = Site::over(log.clone()).await;
    let body = |event: &str| {
        let signature = hex_hmac(b"mailgun-key", &format!("{NOW_SECS}token-1"));
        format!(
            r#"{{"signature":{{"timestamp":"{NOW_SECS}","token":"token-1","signature":"{signature}"}},"event-data":{{"event":"{event}"}}}}"#
        )
    };
    assert_eq!(answer(site.json("/in/mailgun", &body("opened"))).await, said(202, "accepted"));
    assert_eq!(answer(site.json("/in/mailgun", &body("complained"))).await, said(200, "duplicate"));
    let [kept] = &log.kept()[..] else { panic!("one record") };
    assert_eq!((kept.signature_status, kept.body.as_slice()), ("token_only", body("opened").as_bytes()));
    assert_eq!(answer(site.json("/in/mailgun", "{}")).await, said(401, "signature_missing"));
}
