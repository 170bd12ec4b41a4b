//! What somebody, or something, did with a message: the shape that every email tool's event is brought into.

use super::{Draft, machine, made_id};
use crate::intake::payload::{Fields, Json};

/// Our fields of an engagement and the names under which a reader gives them.
pub(in crate::intake) const FIELDS: &[(&str, &str)] = &[
    ("email", "intake.email"),
    ("external_id", "intake.external_id"),
    ("kind", "intake.kind"),
    ("raw_kind", "intake.raw_kind"),
    ("machine", "intake.machine"),
    ("campaign", "intake.campaign"),
    ("url", "intake.url"),
    ("message_id", "intake.message_id"),
    ("occurred_at", "intake.occurred_at"),
];

/// One event.
#[derive(Default)]
pub(super) struct Event {
    /// Ours, of `model::engagement::KINDS`.
    pub(super) kind: &'static str,
    /// The tool's own word.
    pub(super) word: String,
    pub(super) email: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) at: Option<String>,
    /// What the tool says of who acted: `human`, `likely_machine` or `machine`.
    pub(super) machine: Option<&'static str>,
    /// The program that acted, as it names itself.
    pub(super) agent: Option<String>,
    pub(super) campaign: Option<String>,
    pub(super) url: Option<String>,
    pub(super) message_id: Option<String>,
    /// The tool's id of the event. Without one, what tells the event apart makes one; events that a tool sends twice under two words
    /// (`opened` and `unique_opened`) then are one.
    pub(super) id: Option<String>,
}

impl Event {
    /// The event beside all that the tool says.
    pub(super) fn of_json(self, json: Json<'_>) -> Draft {
        let mut fields = Fields::default();
        fields.flattened(json);
        self.draft(fields, json.raw().to_owned())
    }

    pub(super) fn draft(self, mut fields: Fields, raw: String) -> Draft {
        let Self { kind, word, email, external_id, at, machine, agent, campaign, url, message_id, id } = self;
        let acted = matches!(kind, "opened" | "opened_machine" | "clicked" | "clicked_machine");
        let machine = machine.or_else(|| machine::by_agent(agent.as_deref()?)).filter(|_| acted);
        let kind = match (kind, machine) {
            ("opened", Some("machine")) => "opened_machine",
            ("clicked", Some("machine")) => "clicked_machine",
            (kind, _) => kind,
        };
        let machine = if kind.ends_with("_machine") { Some("machine") } else { machine };
        let id = id.unwrap_or_else(|| {
            let mut parts = vec![Some(kind), email.as_deref(), external_id.as_deref()];
            parts.extend([at.as_deref(), message_id.as_deref(), campaign.as_deref(), url.as_deref()]);
            made_id(&parts)
        });
        let values =
            [email, external_id, Some(kind.to_owned()), Some(word), machine.map(str::to_owned), campaign, url, message_id, at];
        for ((_, name), value) in FIELDS.iter().zip(values) {
            fields.certain(name, value);
        }
        Draft::of(fields, raw).with_id(Some(id))
    }
}

/// The kind that stands beside a word in a table of a tool's words; `unknown` keeps what a tool added since.
pub(super) fn kind_in(table: &[(&str, &'static str)], word: &str) -> &'static str {
    table.iter().find(|(theirs, _)| *theirs == word).map_or("unknown", |(_, ours)| ours)
}
