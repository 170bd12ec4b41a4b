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

/// What an engagement of this kind says of consent, as a state.
#[must_use]
pub fn of_engagement(kind: &str) -> Option<&'static str> {
    match kind {
        "unsubscribed" | "complained" => Some("withdrawn"),
        "resubscribed" | "subscribed" => Some("granted"),
        _ => None,
    }
}

/// The last thing that was said of consent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastWord(Option<(i64, &'static str)>);

impl LastWord {
    /// Hears a state that was said at an instant, in microseconds. The later word holds; of two at one instant, the one that forbids.
    pub fn hear(&mut self, at_us: i64, status: &'static str) {
        let is_newer = self
            .0
            .is_none_or(|(then, before)| at_us > then || at_us == then && forbids_contact(status) && !forbids_contact(before));
        if is_newer {
            self.0 = Some((at_us, status));
        }
    }

    /// Hears what was last said elsewhere.
    pub fn hear_last(&mut self, other: Self) {
        if let Some((at_us, status)) = other.0 {
            self.hear(at_us, status);
        }
    }

    /// The state; nothing where nothing was said.
    #[must_use]
    pub fn status(self) -> Option<&'static str> {
        self.0.map(|(_, status)| status)
    }
}
