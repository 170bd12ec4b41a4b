//! Targets that need the runtime.

use std::fs;
use std::hint::black_box;

use headwater_model::ids;
use headwater_runtime::deliver::SavedPlan;
use headwater_runtime::intake::{Delivery, Endpoint, Incoming, IntakeConfig, payload, provider::Provider};
use headwater_runtime::project::{FILE_NAME, Project, Surroundings};
use headwater_sdk::Clock;
use jiff::Timestamp;
use serde_json::json;

use crate::{context, environment, folder};

/// Signatures, each as a project writes it.
const SIGNATURES: [&str; 16] = [
    r#"{"type":"none"}"#,
    r#"{"type":"basic","username":"u","password":{"env":"S"}}"#,
    r#"{"type":"body_secret","field":"google_key","secret":{"env":"S"}}"#,
    r#"{"type":"customerio","secret":{"env":"S"}}"#,
    r#"{"type":"formspree","secret":{"env":"S"}}"#,
    r#"{"type":"ghost","secret":{"env":"S"}}"#,
    r#"{"type":"hmac_base64","header":"x-signature","secret":{"env":"S"}}"#,
    r#"{"type":"hmac_hex","header":"x-signature","prefix":"sha256=","secret":{"env":"S"}}"#,
    r#"{"type":"klaviyo","secret":{"env":"S"}}"#,
    r#"{"type":"mailgun","secret":{"env":"S"}}"#,
    r#"{"type":"mandrill","secret":{"env":"S"},"url":"https://example.com/in/a"}"#,
    r#"{"type":"meta","secret":{"env":"S"},"verify_token":{"env":"S"}}"#,
    r#"{"type":"netlify","secret":{"env":"S"}}"#,
    r#"{"type":"standard_webhooks","secret":{"env":"S"}}"#,
    r#"{"type":"typeform","secret":{"env":"S"}}"#,
    r#"{"type":"webflow","secret":{"env":"S"}}"#,
];
const CONTENT_TYPES: [&str; 4] =
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain; charset=utf-8"];

/// A delivery: two bytes of choices, headers one a line, an empty line, the body. It is judged, and read whatever the judgement.
pub fn delivery(data: &[u8]) {
    let [signature, sender, rest @ ..] = data else { return };
    let senders = Provider::all();
    let choice = usize::from(*sender) % (senders.len() + 3);
    let words = ["auto", "json", "form"];
    let sender = words.get(choice).copied().unwrap_or_else(|| senders[choice - words.len()].name);
    let signature: serde_json::Value =
        serde_json::from_str(SIGNATURES[usize::from(*signature) % SIGNATURES.len()]).expect("a signature of the list");
    let config = json!({ "signature": signature, "provider": sender, "honeypot": "website" });
    let config: IntakeConfig = serde_json::from_value(config).expect("settings of an intake");
    let format = config.provider;
    let end = rest.windows(2).position(|ends| ends == b"\n\n");
    let (head, body) = end.map_or((rest, &[][..]), |end| (&rest[..end], &rest[end + 2..]));
    let lines = head.split(|byte| *byte == b'\n').take(50);
    let headers: Vec<(&str, &[u8])> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]))
        })
        .collect();
    let named = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content_type = named.and_then(|(_, value)| std::str::from_utf8(value).ok()).map(str::trim);
    let content_type = content_type.unwrap_or_else(|| CONTENT_TYPES[body.len() % CONTENT_TYPES.len()]);
    if let Ok(endpoint) = Endpoint::new(config, &context()) {
        let incoming = Incoming { headers: &headers, content_type, body, token: None, now_us: 0 };
        let _ = black_box(endpoint.admit("forms", &incoming));
    }
    let delivery = Delivery {
        seq: 1,
        received_at_us: 0,
        content_type: content_type.to_owned(),
        headers: json!({}),
        body: body.to_vec(),
        delivery_key: ids::derived("key_", &["made up"]),
        signature_status: "unsigned".to_owned(),
    };
    for submission in payload::read(&delivery, format, Some("website")).unwrap_or_default() {
        let _ = black_box(payload::reread(&submission.raw, format, Some("website")));
    }
}

/// A project file.
pub fn project(data: &[u8]) {
    // What it includes would be other inputs of this folder.
    let folder = folder().join("project");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(FILE_NAME), data).expect("a file in the folder");
    let surroundings = Surroundings { clock: Clock::fixed(Timestamp::UNIX_EPOCH), env: environment(), flags: Vec::new() };
    if let Ok(project) = Project::load(&folder, &headwater_connectors::registry(), &surroundings) {
        let _ = black_box(project.check_values());
    }
}

/// A saved plan.
pub fn plan(data: &[u8]) {
    let path = folder().join("plan.json");
    fs::write(&path, data).expect("a file in the folder");
    let _ = black_box(SavedPlan::read(&path));
}
