//! Which channel a touch came through: an ordered, versioned table of rules over campaign tags, click ids and the referrer.
//!
//! The table follows the published order of GA4's default channel group, with Headwater's additions marked in it. A user's own rules
//! stand before it. A channel configured for a whole source overrides the answer outright, and that is the caller's business.
//!
//! Invariants: the first matching rule wins; the answer depends on the facts alone, and not on their letter case or the blanks
//! around them; nothing is allocated for facts that are already in lower case.

mod own;
mod sources;
mod table;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::LazyLock};

use hashbrown::HashMap;

pub use own::OwnRule;
use table::{RULES, Signals, UNASSIGNED};

/// The longest name a host can have. Longer text is no host, and walking up its labels would cost its length squared.
const MAX_HOST_BYTES: usize = 253;

/// What is known about one touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TouchFacts<'a> {
    /// `utm_source`.
    pub utm_source: Option<&'a str>,
    /// `utm_medium`.
    pub utm_medium: Option<&'a str>,
    /// `utm_campaign`.
    pub utm_campaign: Option<&'a str>,
    /// The name of the click id's parameter, such as `gclid`; never its value.
    pub click_id_kind: Option<&'a str>,
    /// The host of the referring page.
    pub referrer_host: Option<&'a str>,
    /// The host of the page that was reached. A referrer of the same site is no origin.
    pub landing_host: Option<&'a str>,
    /// Through which kind of source the touch became known.
    pub origin: Origin,
}

/// Through which kind of source a touch became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A visit of our site.
    Web,
    /// A form.
    Form,
    /// A bought or rented list.
    List,
    /// The subscribers of an email tool.
    EmailTool,
    /// A badge scan, a phone call, a business card.
    Offline,
    /// A file or a system of which nothing more is known.
    Import,
}

/// The channel of a touch, and the rule that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Classified<'a> {
    /// The channel, in snake case.
    pub channel: &'a str,
    /// The rule that matched.
    pub rule_id: &'a str,
}

/// One line of the table: a channel, and the signals that must all be present.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its stable name: the channel and what decided, as in `paid_search.click_id`.
    pub id: &'static str,
    /// The channel it gives.
    pub channel: &'static str,
    all: Signals,
}

/// The rules with their lists, ready for look-up.
///
/// ```
/// use headwater_analysis::channel::{Classifier, Origin, TouchFacts};
///
/// let facts = TouchFacts { referrer_host: Some("www.linkedin.com"), ..TouchFacts::new(Origin::Web) };
/// let answer = Classifier::builtin().classify(&facts);
/// assert_eq!((answer.channel, answer.rule_id), ("organic_social", "organic_social.source"));
/// ```
#[derive(Debug)]
pub struct Classifier {
    lists: &'static Lists,
    own: Vec<OwnRule>,
    /// Hosts whose visits keep no origin, beside those that come with the table; in lower case.
    ignored_referrers: Vec<String>,
    version: String,
}

/// The lists that come with the table.
#[derive(Debug)]
struct Lists {
    media: HashMap<&'static str, Signals>,
    click_ids: HashMap<&'static str, Signals>,
    sources: HashMap<&'static str, Signals>,
    brands: HashMap<&'static str, Signals>,
}

impl<'a> TouchFacts<'a> {
    /// A touch of which only the origin is known.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        Self {
            utm_source: None,
            utm_medium: None,
            utm_campaign: None,
            click_id_kind: None,
            referrer_host: None,
            landing_host: None,
            origin,
        }
    }
}

impl Classifier {
    /// The table that comes with Headwater.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Classifier> = LazyLock::new(|| Classifier::with(Vec::new(), &[]));
        &BUILTIN
    }

    /// The table with a user's own rules before it, the first of which that fits decides, and with hosts whose visits keep no origin: a
    /// sign-in page, a payment page. A host stands for those below it as well.
    #[must_use]
    pub fn with(own: Vec<OwnRule>, ignored_referrers: &[String]) -> Self {
        static LISTS: LazyLock<Lists> = LazyLock::new(|| Lists {
            media: index(table::MEDIUM_WORDS),
            click_ids: index(table::CLICK_IDS),
            sources: index(sources::SOURCES),
            brands: index(sources::BRANDS),
        });
        let ignored_referrers: Vec<String> = ignored_referrers
            .iter()
            .map(|host| bare_host(&fold(Some(host))).to_owned())
            .filter(|host| !host.is_empty())
            .collect();
        let version = own::version(table::VERSION, &own, &ignored_referrers);
        Self { lists: &LISTS, own, ignored_referrers, version }
    }

    /// The version of the rules and of the lists together. Store it beside every answer.
    #[must_use]
    pub fn rules_version(&self) -> &str {
        &self.version
    }

    /// The user's own rules, in order.
    #[must_use]
    pub fn own_rules(&self) -> &[OwnRule] {
        &self.own
    }

    /// The rules in order, after the user's own; `unassigned`, which follows them, is not among them.
    #[must_use]
    pub fn rules(&self) -> &'static [Rule] {
        RULES
    }

    /// The channel of a touch. There is always one: `unassigned` is what no rule explains.
    #[must_use]
    pub fn classify(&self, facts: &TouchFacts<'_>) -> Classified<'_> {
        if let Some(own) = self.own.iter().find(|rule| rule.fits(facts)) {
            return Classified { channel: &own.channel, rule_id: &own.id };
        }
        let signals = self.signals(facts);
        let rule = RULES.iter().find(|rule| signals & rule.all == rule.all).unwrap_or(&UNASSIGNED);
        Classified { channel: rule.channel, rule_id: rule.id }
    }

    fn signals(&self, facts: &TouchFacts<'_>) -> Signals {
        let TouchFacts { utm_source, utm_medium, utm_campaign, click_id_kind, referrer_host, landing_host, origin } = *facts;
        let source = fold(utm_source);
        let medium = fold(utm_medium);
        let campaign = fold(utm_campaign);
        let click_id = fold(click_id_kind);

        let mut signals = origin_signals(origin) | self.medium_signals(&medium) | campaign_signals(&campaign);
        let referrer = self.referrer_signals(referrer_host, landing_host);
        let is_referred = referrer & table::EXTERNAL_REFERRER != 0;
        // The marketer's own tag comes before what the browser tells, and both before the network that a click id names.
        signals |= if source.is_empty() {
            referrer
        } else {
            (referrer & table::REFERRER_KINDS) | (self.source_signals(&source) & !table::REFERRER_KINDS)
        };
        let clicked = self.lists.click_ids.get(&*click_id).copied().unwrap_or(0);
        signals |= if source.is_empty() && !is_referred { clicked } else { clicked & !table::SOURCE_SOCIAL };
        let tagged = [&source, &medium, &campaign, &click_id].into_iter().any(|text| !text.is_empty());
        if !tagged && !is_referred {
            signals |= table::UNTAGGED;
        }
        signals
    }

    fn medium_signals(&self, medium: &str) -> Signals {
        let mut signals = self.lists.media.get(medium).copied().unwrap_or(0);
        if is_paid_medium(medium) {
            signals |= table::MEDIUM_PAID;
        }
        if medium.contains("video") {
            signals |= table::MEDIUM_VIDEO;
        }
        if medium.ends_with("push") || medium.contains("mobile") || medium.contains("notification") {
            signals |= table::MEDIUM_PUSH;
        }
        signals
    }

    /// What a referring page says. No signal at all means that there is none.
    fn referrer_signals(&self, referrer: Option<&str>, landing: Option<&str>) -> Signals {
        let referrer = fold(referrer);
        let referrer = bare_host(&referrer);
        if referrer.is_empty() {
            return 0;
        }
        let landing = fold(landing);
        if is_same_site(referrer, bare_host(&landing)) {
            return table::SELF_REFERRAL;
        }
        if self.ignored_referrers.iter().any(|host| own::is_below(referrer, host)) {
            return table::IGNORED_REFERRER;
        }
        match self.source_signals(referrer) {
            table::IGNORED_REFERRER => table::IGNORED_REFERRER,
            signals => signals | table::EXTERNAL_REFERRER,
        }
    }

    fn source_signals(&self, source: &str) -> Signals {
        let host = bare_host(source);
        if host.len() > MAX_HOST_BYTES {
            return 0;
        }
        let mut name = host;
        loop {
            if let Some(signals) = self.lists.sources.get(name) {
                return *signals;
            }
            // A single label is a top-level domain by now, and `foo.x` is not the network X.
            match name.split_once('.') {
                Some((_, parent)) if parent.contains('.') => name = parent,
                Some(_) | None => break,
            }
        }
        self.brand_signals(host).unwrap_or(0)
    }

    fn brand_signals(&self, host: &str) -> Option<Signals> {
        let domain = psl::domain(host.as_bytes())?;
        // Under a private suffix such as a blog host anyone may call himself by a brand.
        if domain.suffix().typ() != Some(psl::Type::Icann) {
            return None;
        }
        let label = domain.as_bytes().split(|byte| *byte == b'.').next()?;
        self.lists.brands.get(std::str::from_utf8(label).ok()?).copied()
    }
}

impl Rule {
    /// What must all hold, in words: `source_social + medium_paid`.
    #[must_use]
    pub fn condition(&self) -> String {
        let bits = table::NAMES.iter().filter(|(_, bit)| self.all & bit != 0);
        bits.map(|(name, _)| name.to_lowercase()).collect::<Vec<_>>().join(" + ")
    }
}

fn index(groups: &[(Signals, &[&'static str])]) -> HashMap<&'static str, Signals> {
    groups.iter().flat_map(|(signals, names)| names.iter().map(|name| (*name, *signals))).collect()
}

fn origin_signals(origin: Origin) -> Signals {
    match origin {
        Origin::Web | Origin::Form => table::ORIGIN_SITE,
        Origin::List => table::ORIGIN_LIST,
        Origin::EmailTool => table::ORIGIN_EMAIL_TOOL,
        Origin::Offline => table::ORIGIN_OFFLINE,
        Origin::Import => table::ORIGIN_IMPORT,
    }
}

fn campaign_signals(campaign: &str) -> Signals {
    let mut signals = 0;
    if campaign.contains("cross-network") {
        signals |= table::CAMPAIGN_CROSS_NETWORK;
    }
    if is_shop_campaign(campaign) {
        signals |= table::CAMPAIGN_SHOP;
    }
    signals
}

/// GA4's `^(.*cp.*|ppc|retargeting|paid.*)$`.
fn is_paid_medium(medium: &str) -> bool {
    medium.contains("cp") || medium == "retargeting" || medium == "ppc" || medium.starts_with("paid")
}

/// GA4's `^(.*(([^a-df-z]|^)shop|shopping).*)$`: `e-shop` and `eshop`, but neither `workshop` nor `bookshop`.
fn is_shop_campaign(campaign: &str) -> bool {
    let bytes = campaign.as_bytes();
    campaign.match_indices("shop").any(|(at, _)| {
        let before = at.checked_sub(1).and_then(|previous| bytes.get(previous));
        let starts_word = before.is_none_or(|byte| !byte.is_ascii_lowercase() || *byte == b'e');
        starts_word || bytes.get(at..).is_some_and(|rest| rest.starts_with(b"shopping"))
    })
}

/// Lower-cased and trimmed; analytics tools' words for "nothing" become nothing.
fn fold(text: Option<&str>) -> Cow<'_, str> {
    let text = text.unwrap_or("").trim();
    let is_folded = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    let folded = if is_folded { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) };
    match &*folded {
        "(none)" | "(not set)" => Cow::Borrowed(""),
        _ => folded,
    }
}

/// Without a port and without the root's dot.
fn bare_host(host: &str) -> &str {
    host.split(':').next().unwrap_or("").trim_end_matches('.')
}

/// Whether two hosts belong to one registrable domain.
fn is_same_site(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    // Two hosts of one site share two labels at least; that spares most pairs the look-up.
    last_two_labels(a) == last_two_labels(b) && registrable(a).is_some_and(|domain| registrable(b) == Some(domain))
}

fn last_two_labels(host: &str) -> (Option<&str>, Option<&str>) {
    let mut labels = host.rsplit('.');
    (labels.next(), labels.next())
}

fn registrable(host: &str) -> Option<&[u8]> {
    let domain = psl::domain(host.as_bytes())?;
    domain.suffix().is_known().then(|| domain.as_bytes())
}
