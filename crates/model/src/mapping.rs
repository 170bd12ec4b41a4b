//! How a source's fields become ours: an allow-list from our field to theirs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the records of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// People: rows of a list, members of an audience, form submissions.
    #[default]
    Leads,
    /// Dated contacts of a person through a channel.
    Touches,
    /// What people did with our messages.
    Engagements,
    /// Orders, invoices, won deals, refunds.
    Conversions,
    /// What acquisition cost.
    Costs,
}

/// By which way a person came to be in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The person filled in a form of ours.
    Form,
    /// Somebody sold or gave us a list; the person never contacted us.
    List,
    /// The person subscribed to our mails.
    EmailTool,
    /// The person visited our site.
    Web,
    /// An event, a badge scan, a call.
    Offline,
    /// A file of unknown origin.
    #[default]
    Import,
}

impl Origin {
    /// Every origin.
    const ALL: [Self; 6] = [Self::Form, Self::List, Self::EmailTool, Self::Web, Self::Offline, Self::Import];

    /// The word used in the lake.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::List => "list",
            Self::EmailTool => "email_tool",
            Self::Web => "web",
            Self::Offline => "offline",
            Self::Import => "import",
        }
    }

    /// The origin of that word; a word that is none counts as an import.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|origin| origin.as_str() == word).unwrap_or_default()
    }
}

/// How one of our fields is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldRule {
    /// The source's fields it is read from; the first that is not empty wins.
    pub from: Vec<String>,
    /// The date format (strftime), where the field is a date in a local form such as `%d/%m/%Y`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// A value used where the source gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
}

impl FieldRule {
    /// Read from one field.
    pub fn from_field(field: impl Into<String>) -> Self {
        Self { from: vec![field.into()], format: None, otherwise: None }
    }
}

/// Our field → how it is made. What is not named here is not conformed; it stays in the raw record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Mapping(pub BTreeMap<String, FieldRule>);

impl Mapping {
    /// A mapping from pairs of our field and theirs; a field named twice reads the first that is not empty.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut rules: BTreeMap<String, FieldRule> = BTreeMap::new();
        for (ours, theirs) in pairs {
            match rules.get_mut(ours) {
                Some(rule) => rule.from.push(theirs.to_owned()),
                None => {
                    rules.insert(ours.to_owned(), FieldRule::from_field(theirs));
                }
            }
        }
        Self(rules)
    }

    /// This mapping with the user's rules laid over it.
    #[must_use]
    pub fn overlaid(mut self, user: &Self) -> Self {
        self.0.extend(user.0.iter().map(|(ours, rule)| (ours.clone(), rule.clone())));
        self
    }
}
