//! What makes a repeated delivery recognisable.
//!
//! Senders repeat a delivery whenever our answer did not reach them, so a delivery needs a key that the repetition shares:
//!
//! | delivery | key |
//! |---|---|
//! | Standard Webhooks, Mailgun | the signed `webhook-id` or `token` |
//! | a sender with an id of the event or the response in the body, such as Typeform | that id |
//! | a sender whose id names a thing, such as Ghost's member or Jotform's submission | the id with the body: it comes back when the thing changes |
//! | any other JSON, and an email tool's form post | the body: a sender repeats it byte for byte |
//! | any other form | the body and the minute: a double click repeats it at once, a person may well post the same again next week |
//!
//! An id that the signature does not cover is never used, else a captured delivery could be sent again under another. A double click
//! across the turn of a minute is kept twice, which costs a touch too many and no lead.

use super::config::Format;
use super::endpoint::{Incoming, is_browser_form};
use super::payload;
use super::provider::EventId;

const MINUTE_US: i64 = 60_000_000;

/// The longest id that stands in a key as it is; a longer one by its hash.
const MAX_ID_BYTES: usize = 100;

/// The key of a delivery to a source of that format; `signed_id` is the sender's id that the signature covers, if it covers one.
#[must_use]
pub fn delivery_key(incoming: &Incoming<'_>, format: Format, signed_id: Option<&str>) -> String {
    if let Some(id) = signed_id {
        return named("webhook", id);
    }
    let body = blake3::hash(incoming.body).to_hex();
    match payload::identify(incoming.content_type, incoming.body, format) {
        Some((sender, EventId::Event(id))) => named(sender, &id),
        Some((sender, EventId::Thing(id))) => format!("{}:{body}", named(sender, &id)),
        // What an email tool posts holds its time; what a person posts may come again next week.
        None if is_browser_form(incoming.content_type) && !format.is_events() => {
            format!("form:{body}:{}", incoming.now_us.div_euclid(MINUTE_US))
        }
        None => format!("body:{body}"),
    }
}

fn named(prefix: &str, id: &str) -> String {
    let plain = id.len() <= MAX_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic());
    if plain { format!("{prefix}:{id}") } else { format!("{prefix}:#{}", blake3::hash(id.as_bytes()).to_hex()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json";

    fn key(content_type: &str, body: &str, now_us: i64) -> String {
        let incoming = Incoming { headers: &[], content_type, body: body.as_bytes(), token: None, now_us };
        delivery_key(&incoming, Format::Auto, None)
    }

    #[test]
    fn a_double_click_is_one_and_the_same_form_next_hour_is_another() {
        let body = "email=ada%40example.com";
        assert_eq!(key(FORM, body, 0), key(FORM, body, MINUTE_US - 1));
        assert_ne!(key(FORM, body, 0), key(FORM, body, 60 * MINUTE_US));
        assert_ne!(key(FORM, body, 0), key(FORM, "email=bob%40example.com", 0));
    }

    #[test]
    fn json_without_an_id_is_the_same_whenever_it_comes() {
        assert_eq!(key(JSON, r#"{"email":"ada@example.com"}"#, 0), key(JSON, r#"{"email":"ada@example.com"}"#, 9 * MINUTE_US));
    }

    #[test]
    fn a_sender_s_event_id_outlives_a_change_of_the_body() {
        let event = |extra: &str| {
            format!(r#"{{"event_id":"01H","event_type":"form_response","form_response":{{"token":"t","answers":[{extra}]}}}}"#)
        };
        assert_eq!(key(JSON, &event(""), 0), "typeform:01H");
        assert_eq!(key(JSON, &event(r#"{"type":"text","text":"x"}"#), 0), "typeform:01H");
    }

    #[test]
    fn two_edits_of_one_ghost_member_are_two_deliveries() {
        let edit = |name: &str| {
            format!(r#"{{"event":"member.edited","member":{{"current":{{"id":"6","name":"{name}"}},"previous":{{}}}}}}"#)
        };
        assert_ne!(key(JSON, &edit("Ada"), 0), key(JSON, &edit("Bea"), 0));
        assert!(key(JSON, &edit("Ada"), 0).starts_with("ghost:"));
    }

    #[test]
    fn the_webhook_id_counts_only_where_it_is_signed() {
        let headers: &[(&str, &[u8])] = &[("Webhook-Id", b"msg_1")];
        let incoming = Incoming { headers, content_type: JSON, body: b"{}", token: None, now_us: 0 };
        assert_eq!(delivery_key(&incoming, Format::Auto, Some("msg_1")), "webhook:msg_1");
        assert!(delivery_key(&incoming, Format::Auto, None).starts_with("body:"));
    }

    #[test]
    fn a_monstrous_id_is_hashed() {
        let id = "é".repeat(10_000);
        let body = format!(r#"{{"event_id":"{id}","event_type":"form_response","form_response":{{}}}}"#);
        assert_eq!(key(JSON, &body, 0).len(), "typeform:#".len() + 64);
    }
}
