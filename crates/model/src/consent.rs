//! What a source says about a person's consent, in one vocabulary.

/// The state that a source's word stands for: `granted`, `withdrawn`, `denied`, `pending`, or nothing when the word says nothing.
#[must_use]
pub fn status(raw: &str) -> Option<&'static str> {
    Some(match raw.trim().to_lowercase().as_str() {
        "true" | "yes" | "y" | "1" | "x" | "on" | "granted" | "opt-in" | "opted in" | "optin" | "subscribed" | "oui" | "ja" => {
            "granted"
        }
        "unsubscribed" | "withdrawn" | "opt-out" | "opted out" | "optout" => "withdrawn",
        "false" | "no" | "n" | "0" | "off" | "denied" | "non" | "nein" => "denied",
        "pending" | "unconfirmed" => "pending",
        _ => return None,
    })
}

/// Whether a state forbids contact whatever the lawful basis.
#[must_use]
pub fn forbids_contact(status: &str) -> bool {
    matches!(status, "withdrawn" | "denied")
}

/// The state of that word in the lake.
#[must_use]
pub fn known(word: &str) -> Option<&'static str> {
    ["granted", "withdrawn", "denied", "pending"].into_iter().find(|state| *state == word)
}
