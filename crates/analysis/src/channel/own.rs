//! A user's own rules, which stand before the table.

use std::fmt::Write as _;

use super::{TouchFacts, bare_host, fold};

/// One rule: a channel, and patterns that must all fit. In a pattern `*` is any text; letter case does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnRule {
    /// Its name, which every touch that it classes records.
    pub id: String,
    /// The channel it gives.
    pub channel: String,
    /// For `utm_source`.
    pub utm_source: Option<String>,
    /// For `utm_medium`.
    pub utm_medium: Option<String>,
    /// For `utm_campaign`.
    pub utm_campaign: Option<String>,
    /// For the name of the click id's parameter, such as `gclid`.
    pub click_id: Option<String>,
    /// The host of the referring page, or one above it.
    pub referrer: Option<String>,
}

impl OwnRule {
    /// Whether the rule says anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns().iter().all(|(_, pattern)| pattern.is_none())
    }

    /// What must all hold, in words.
    #[must_use]
    pub fn condition(&self) -> String {
        let said = self.patterns().into_iter().filter_map(|(name, pattern)| Some(format!("{name} {}", pattern?)));
        said.collect::<Vec<_>>().join(" + ")
    }

    fn patterns(&self) -> [(&'static str, Option<&str>); 5] {
        let Self { id: _, channel: _, utm_source, utm_medium, utm_campaign, click_id, referrer } = self;
        [
            ("utm_source", utm_source.as_deref()),
            ("utm_medium", utm_medium.as_deref()),
            ("utm_campaign", utm_campaign.as_deref()),
            ("click_id", click_id.as_deref()),
            ("referrer", referrer.as_deref()),
        ]
    }

    /// A rule that says nothing fits nothing.
    pub(super) fn fits(&self, facts: &TouchFacts<'_>) -> bool {
        let texts = [
            (&self.utm_source, facts.utm_source),
            (&self.utm_medium, facts.utm_medium),
            (&self.utm_campaign, facts.utm_campaign),
            (&self.click_id, facts.click_id_kind),
        ];
        let fits = texts.iter().all(|(pattern, text)| pattern.as_ref().is_none_or(|pattern| is_like(&fold(*text), pattern)));
        let referred = || {
            let host = fold(facts.referrer_host);
            self.referrer.as_ref().is_none_or(|above| is_below(bare_host(&host), bare_host(&fold(Some(above)))))
        };
        !self.is_empty() && fits && referred()
    }
}

/// Whether a host is another one or below it; both bare and in lower case.
pub(super) fn is_below(host: &str, above: &str) -> bool {
    let rest = host.strip_suffix(above);
    !above.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The version of the table together with what a user added: other rules, another version.
pub(super) fn version(table: &str, own: &[OwnRule], ignored: &[String]) -> String {
    if own.is_empty() && ignored.is_empty() {
        return table.to_owned();
    }
    let mut said = String::new();
    for rule in own {
        writeln!(said, "{}\u{1f}{}\u{1f}{:?}", rule.id, rule.channel, rule.patterns()).unwrap_or_default();
    }
    writeln!(said, "{ignored:?}").unwrap_or_default();
    format!("{table}+{:08x}", xxhash_rust::xxh3::xxh3_64(said.as_bytes()) >> 32)
}

/// Whether a text in lower case is what a pattern says; a missing text is the empty one, which only `*` and nothing fit.
fn is_like(text: &str, pattern: &str) -> bool {
    let pattern = pattern.trim().to_lowercase();
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece).and_then(|at| rest.get(at + piece.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::super::{Classifier, Origin};
    use super::*;

    fn rule(channel: &str) -> OwnRule {
        OwnRule { id: format!("project.{channel}"), channel: channel.to_owned(), ..OwnRule::default() }
    }

    #[test]
    fn a_pattern_is_the_text_with_stars_for_any_part() {
        for (pattern, text, fits) in [
            ("partner", "partner", true),
            ("partner", "partners", false),
            ("Partner-*", "partner-x", true),
            ("*-partner", "x-partner", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(is_like(text, pattern), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn own_rules_stand_before_the_table_in_their_order() {
        let partners = OwnRule { utm_source: Some("partner-*".to_owned()), ..rule("partner") };
        let portal =
            OwnRule { referrer: Some("portal.example".to_owned()), utm_medium: Some("cpc".to_owned()), ..rule("portal") };
        let nothing = rule("nothing");
        let own = Classifier::with(vec![nothing, partners, portal], &[]);
        let of = |source, medium, referrer| {
            let facts =
                TouchFacts { utm_source: source, utm_medium: medium, referrer_host: referrer, ..TouchFacts::new(Origin::Web) };
            let answer = own.classify(&facts);
            (answer.channel.to_owned(), answer.rule_id.to_owned())
        };
        let said = |channel: &str, rule: &str| (channel.to_owned(), rule.to_owned());
        assert_eq!(of(Some("Partner-Acme"), Some("cpc"), Some("portal.example")), said("partner", "project.partner"));
        assert_eq!(of(Some("google"), Some("cpc"), Some("www.Portal.example:443")), said("portal", "project.portal"));
        assert_eq!(of(Some("google"), Some("cpc"), Some("otherportal.example")), said("paid_search", "paid_search.source"));
        assert_ne!(own.rules_version(), Classifier::builtin().rules_version());
    }

    #[test]
    fn a_page_that_only_lets_people_in_is_no_origin() {
        let own = Classifier::with(Vec::new(), &["Login.example.org".to_owned()]);
        let from = |host| {
            let facts = TouchFacts { referrer_host: Some(host), ..TouchFacts::new(Origin::Web) };
            own.classify(&facts).rule_id
        };
        assert_eq!(from("eu.login.example.org"), "direct.ignored_referrer");
        assert_eq!(from("example.org"), "referral.referrer");
    }

    #[test]
    fn rules_say_what_they_ask_for() {
        let rules = Classifier::builtin().rules();
        let paid = rules.iter().find(|rule| rule.id == "paid_social.source").unwrap();
        assert_eq!(paid.condition(), "source_social + medium_paid");
        let own = OwnRule { utm_source: Some("x*".to_owned()), referrer: Some("y.example".to_owned()), ..rule("x") };
        assert_eq!(own.condition(), "utm_source x* + referrer y.example");
    }
}
