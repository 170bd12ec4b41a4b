//! What people did with our messages, in one vocabulary over every tool's own words.

/// The kinds of engagement.
pub const KINDS: &[&str] = &[
    "queued",
    "sent",
    "delivered",
    "deferred",
    "bounced_hard",
    "bounced_soft",
    "rejected",
    "opened",
    "opened_machine",
    "clicked",
    "clicked_machine",
    "replied",
    "auto_replied",
    "unsubscribed",
    "resubscribed",
    "complained",
    "subscribed",
    "profile_changed",
    "visited",
    "failed",
    "unknown",
];

/// The kind that a tool's word stands for; `unknown` when none does, so that nothing is lost.
#[must_use]
pub fn kind(raw: &str) -> &'static str {
    let word = raw.trim().to_lowercase();
    if let Some(known) = KINDS.iter().find(|known| **known == word) {
        return known;
    }
    match word.as_str() {
        "open" => "opened",
        "click" => "clicked",
        "bounce" | "hard" | "hard_bounce" => "bounced_hard",
        "soft" | "soft_bounce" => "bounced_soft",
        "reply" => "replied",
        "unsubscribe" | "unsub" => "unsubscribed",
        "complaint" | "spam" | "abuse" => "complained",
        "subscribe" => "subscribed",
        "delivery" => "delivered",
        "visit" | "page_view" => "visited",
        _ => "unknown",
    }
}

/// Who acted: `human`, `likely_machine`, `machine` or `unknown`.
#[must_use]
pub fn machine(raw: Option<&str>) -> &'static str {
    match raw.map(|word| word.trim().to_lowercase()).as_deref() {
        Some("true" | "machine" | "bot") => "machine",
        Some("likely_machine") => "likely_machine",
        Some("false" | "human") => "human",
        _ => "unknown",
    }
}
