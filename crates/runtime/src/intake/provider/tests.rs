//! What holds of every sender, over the bodies in `samples`: shaped as the vendors document them, with made-up values.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use headwater_model::engagement;
use headwater_model::mapping::Role;
use proptest::prelude::*;

use super::*;
use crate::intake::config::Format;
use crate::intake::payload::{self, Submission};
use crate::intake::{Delivery, Incoming, delivery_key};

struct Sample {
    file: String,
    provider: &'static Provider,
    content_type: &'static str,
    body: Vec<u8>,
}

fn samples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/intake/provider/samples");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let sample = |path: &std::path::PathBuf| {
        let kind = path.extension()?.to_str()?;
        let text = fs::read_to_string(path).unwrap();
        let (content_type, body) = match kind {
            "json" => ("application/json", text),
            "form" => ("application/x-www-form-urlencoded", text.trim_end().to_owned()),
            "multipart" => ("multipart/form-data; boundary=xyz", text.replace('\n', "\r\n")),
            _ => return None,
        };
        let file = path.file_name()?.to_str()?.to_owned();
        let name = file.split(['-', '.']).next()?;
        let provider = Provider::named(name).unwrap_or_else(|| panic!("{file} is of no provider"));
        Some(Sample { provider, content_type, body: body.into_bytes(), file })
    };
    files.iter().filter_map(sample).collect()
}

fn delivery(sample: &Sample) -> Delivery {
    Delivery {
        seq: 1,
        received_at_us: 0,
        content_type: sample.content_type.to_owned(),
        headers: serde_json::json!({}),
        body: sample.body.clone(),
        delivery_key: "key".to_owned(),
        signature_status: "verified".to_owned(),
    }
}

fn read(sample: &Sample) -> Vec<Submission> {
    payload::read(&delivery(sample), Format::Of(sample.provider), None).unwrap_or_else(|error| panic!("{}: {error}", sample.file))
}

fn value<'a>(submission: &'a Submission, name: &str) -> Option<&'a str> {
    submission.fields.iter().find(|(found, _)| found == name).and_then(|(_, value)| value.as_deref())
}

/// What a submission says, without the names that only its sender uses.
fn shown(submission: &Submission) -> String {
    let known = headwater_model::conform::fields_of(Role::Leads);
    let ours =
        |name: &str| name.starts_with("intake.") || known.contains(&name) || ["form_id", "form_name", "page_url"].contains(&name);
    let mut lines = vec![format!("id: {}", submission.id.as_deref().unwrap_or("(none)"))];
    if submission.deleted {
        lines.push("deleted".to_owned());
    }
    lines.extend(submission.fetch.iter().map(|id| format!("to fetch: {id}")));
    let fields = submission.fields.iter().filter(|(name, _)| ours(name));
    lines.extend(fields.filter_map(|(name, value)| Some(format!("{name} = {}", value.as_ref()?))));
    lines.join("\n")
}

#[test]
fn every_sample_reads_as_recorded() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("samples");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for sample in samples() {
            let all: Vec<String> = read(&sample).iter().map(shown).collect();
            insta::assert_snapshot!(sample.file, all.join("\n\n"));
        }
    });
}

#[test]
fn every_provider_is_in_its_place_with_a_sample_and_instructions() {
    let names: Vec<&str> = Provider::all().iter().map(|provider| provider.name).collect();
    assert!(names.is_sorted(), "{names:?}");
    let sampled: BTreeSet<&str> = samples().iter().map(|sample| sample.provider.name).collect();
    assert_eq!(sampled, names.iter().copied().collect());
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sources.md")).unwrap();
    for provider in Provider::all() {
        assert!(provider.documentation.starts_with("https://"), "{}", provider.name);
        assert!(
            docs.contains(&format!("| `{}` |", provider.name)),
            "docs/sources.md does not say how to set up {}",
            provider.name
        );
    }
}

#[test]
fn a_body_is_recognised_as_its_sender_s_or_as_nobody_s() {
    for sample in samples() {
        let pairs = payload::form_pairs(sample.content_type, &sample.body);
        let body = match &pairs {
            Some(pairs) if sample.content_type != "application/json" => Body::Form(pairs),
            _ => Body::Json(Json::parse(std::str::from_utf8(&sample.body).unwrap()).unwrap()),
        };
        let found: Vec<&str> =
            PROVIDERS.iter().filter(|provider| (provider.recognise)(&body)).map(|provider| provider.name).collect();
        assert!(found.is_empty() || found == [sample.provider.name], "{}: {found:?}", sample.file);
        assert!(sample.provider.role == Role::Leads || found.is_empty(), "{}: an event is no lead", sample.file);
    }
}

#[test]
fn every_event_is_of_our_vocabulary_and_machines_are_marked() {
    for sample in samples().iter().filter(|sample| sample.provider.role == Role::Engagements) {
        for submission in read(sample) {
            let kind = value(&submission, "intake.kind").unwrap();
            assert!(engagement::KINDS.contains(&kind) && kind != "unknown", "{}: {kind}", sample.file);
            assert_eq!(kind.ends_with("_machine"), value(&submission, "intake.machine") == Some("machine"), "{}", sample.file);
            assert!(value(&submission, "intake.raw_kind").is_some_and(|word| !word.is_empty()), "{}", sample.file);
            assert!(submission.id.is_some(), "{}", sample.file);
        }
    }
}

#[test]
fn a_word_that_a_tool_added_since_is_kept_as_unknown() {
    for (name, body) in [
        ("sendgrid", r#"[{"event":"future","email":"a@example.com","timestamp":1,"sg_event_id":"1"}]"#),
        ("brevo", r#"{"event":"future","email":"a@example.com","ts_event":1}"#),
        ("customerio", r#"{"event_id":"1","metric":"future","timestamp":1,"data":{}}"#),
    ] {
        let sample = Sample {
            file: name.to_owned(),
            provider: Provider::named(name).unwrap(),
            content_type: "application/json",
            body: body.into(),
        };
        let all = read(&sample);
        assert_eq!((value(&all[0], "intake.kind"), value(&all[0], "intake.raw_kind")), (Some("unknown"), Some("future")));
    }
}

/// Else a first open would count twice.
#[test]
fn an_event_that_is_sent_under_two_words_is_one() {
    let id = |file: &str| {
        let sample = samples().into_iter().find(|sample| sample.file == file).unwrap();
        read(&sample).remove(0).id.unwrap()
    };
    assert_eq!(id("brevo.json"), id("brevo-unique.json"));
    assert_ne!(id("brevo.json"), id("brevo-proxy.json"));
}

#[test]
fn a_bounce_that_suppresses_is_no_withdrawal() {
    let kind = |file: &str| {
        let sample = samples().into_iter().find(|sample| sample.file == file).unwrap();
        value(&read(&sample)[0], "intake.kind").unwrap().to_owned()
    };
    assert_eq!(kind("postmark-suppressed-by-bounce.json"), "bounced_hard");
    assert_eq!(kind("postmark-unsubscribed.json"), "unsubscribed");
    assert_eq!(kind("mailgun-suppressed.json"), "rejected");
}

fn key(sample: &Sample, now_us: i64) -> String {
    let incoming = Incoming { headers: &[], content_type: sample.content_type, body: &sample.body, token: None, now_us };
    delivery_key(&incoming, Format::Of(sample.provider), None)
}

#[test]
fn a_repetition_has_the_same_key_whenever_it_comes_and_other_deliveries_have_others() {
    let mut keys = BTreeSet::new();
    for sample in samples() {
        // These give no id, and a person may well send the same again; they do not repeat themselves either.
        let by_minute = ["contact_form_7", "elementor"].contains(&sample.provider.name);
        assert_eq!(key(&sample, 0) == key(&sample, 3_600_000_000), !by_minute, "{}", sample.file);
        assert!(keys.insert(key(&sample, 0)) || sample.file.starts_with("gravity_forms"), "{}", sample.file);
    }
}

/// A row that stood in quarantine is read again from the record that was kept of it.
#[test]
fn a_kept_record_says_what_the_delivery_said() {
    for sample in samples() {
        for submission in read(&sample).iter().filter(|submission| submission.fetch.is_none()) {
            // Mautic's events do not say what they are: the member they stand under does.
            if sample.provider.name == "mautic" {
                continue;
            }
            let again = payload::reread(&submission.raw, Format::Of(sample.provider), None);
            let again = again.unwrap_or_else(|| panic!("{}: {}", sample.file, submission.raw));
            let email = |submission: &Submission| value(submission, "email").map(str::to_owned);
            assert_eq!(email(&again), email(submission), "{}", sample.file);
            assert_eq!(value(&again, "intake.kind"), value(submission, "intake.kind"), "{}", sample.file);
        }
    }
}

#[test]
fn the_secret_in_a_body_is_not_kept_in_the_record() {
    for sample in samples() {
        assert!(read(&sample).iter().all(|submission| !submission.raw.contains("the-key")), "{}", sample.file);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A body cut or changed anywhere is read or refused, and never a panic.
    #[test]
    fn a_damaged_body_makes_nobody_panic(at: usize, by: u8, cut: bool, swap: bool) {
        for sample in samples() {
            let mut damaged = delivery(&sample);
            let at = at % damaged.body.len();
            if cut { damaged.body.truncate(at) } else { damaged.body[at] ^= by }
            if swap { damaged.content_type = "application/x-www-form-urlencoded".to_owned() }
            drop(payload::read(&damaged, Format::Of(sample.provider), None));
            drop(payload::read(&damaged, Format::Auto, None));
            let body = Sample { body: damaged.body, ..sample };
            drop(key(&body, 0));
        }
    }

    #[test]
    fn any_bytes_at_all_make_nobody_panic(body: Vec<u8>, json in "[\\[\\]{}\":,a-z0-9. -]{0,60}") {
        for provider in Provider::all() {
            for (content_type, body) in [("application/json", body.clone()), ("application/json", json.clone().into_bytes()),
                                         ("application/x-www-form-urlencoded", body.clone())] {
                let sample = Sample { file: String::new(), provider, content_type, body };
                drop(payload::read(&delivery(&sample), Format::Of(provider), None));
                drop(key(&sample, 0));
            }
        }
    }
}
