//! By which rules contacts are classed into channels.

use serde::Serialize;

use super::VERSION;
use crate::engine::Engine;

/// The rules in the order in which they are asked; the first that fits decides.
#[derive(Debug, Serialize)]
pub struct RulesReport {
    /// The version of this shape.
    pub version: u32,
    /// The version of the rules, as every touch records it.
    pub rules_version: String,
    /// The rules: the project's own, those that come with the program, and what is left.
    pub rules: Vec<ChannelRuleRow>,
}

/// One rule.
#[derive(Debug, Serialize)]
pub struct ChannelRuleRow {
    /// Its name, as every touch that it classed records it.
    pub rule: String,
    /// The channel it gives.
    pub channel: String,
    /// What must all hold.
    pub condition: String,
}

/// The rules of a project.
#[must_use]
pub fn rules(engine: &Engine) -> RulesReport {
    let classifier = &engine.project.classifier;
    let row = |rule: &str, channel: &str, condition: String| ChannelRuleRow {
        rule: rule.to_owned(),
        channel: channel.to_owned(),
        condition,
    };
    let own = classifier.own_rules().iter().map(|rule| row(&rule.id, &rule.channel, rule.condition()));
    let builtin = classifier.rules().iter().map(|rule| row(rule.id, rule.channel, rule.condition()));
    let rest = row("unassigned", "unassigned", "nothing above fits".to_owned());
    RulesReport {
        version: VERSION,
        rules_version: classifier.rules_version().to_owned(),
        rules: own.chain(builtin).chain([rest]).collect(),
    }
}
