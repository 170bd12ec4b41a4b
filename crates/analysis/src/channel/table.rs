//! The ordered rules, as data. A change here or in `sources` needs a new [`VERSION`]; a test holds the two together.

use super::Rule;

/// The version that every touch records beside the rule that classed it.
pub(super) const VERSION: &str = "2026-11.1";

/// A set of facts about one touch, one bit each. A rule matches when all its bits are set.
pub(super) type Signals = u64;

macro_rules! signals {
    ($($name:ident)*) => {
        signals!(@ 0; $($name)*);

        /// Every signal by its name.
        pub(super) const NAMES: &[(&str, Signals)] = &[$((stringify!($name), $name)),*];
    };
    (@ $bit:expr; $name:ident $($rest:ident)*) => {
        pub(super) const $name: Signals = 1 << $bit;
        signals!(@ $bit + 1; $($rest)*);
    };
    (@ $bit:expr;) => {};
}

signals! {
    ORIGIN_SITE ORIGIN_LIST ORIGIN_EMAIL_TOOL ORIGIN_OFFLINE ORIGIN_IMPORT
    UNTAGGED SELF_REFERRAL IGNORED_REFERRER EXTERNAL_REFERRER
    SOURCE_DIRECT SOURCE_SHOPPING SOURCE_SEARCH SOURCE_SOCIAL SOURCE_VIDEO SOURCE_CHATBOT SOURCE_EMAIL SOURCE_MAILBOX
    SOURCE_SMS SOURCE_FIREBASE
    MEDIUM_NONE MEDIUM_PAID MEDIUM_DISPLAY MEDIUM_SOCIAL MEDIUM_VIDEO MEDIUM_CHATBOT MEDIUM_ORGANIC MEDIUM_EMAIL
    MEDIUM_AFFILIATE MEDIUM_REFERRAL MEDIUM_AUDIO MEDIUM_SMS MEDIUM_PUSH
    CAMPAIGN_CROSS_NETWORK CAMPAIGN_SHOP
    CLICK_SEARCH_AD CLICK_SOCIAL_AD CLICK_DISPLAY_AD
}

/// What a referrer can be, apart from what kind of source it is.
pub(super) const REFERRER_KINDS: Signals = SELF_REFERRAL | IGNORED_REFERRER | EXTERNAL_REFERRER;

const fn rule(id: &'static str, channel: &'static str, all: Signals) -> Rule {
    Rule { id, channel, all }
}

/// First match wins. The order is GA4's default channel group; what Headwater adds is marked.
pub(super) const RULES: &[Rule] = &[
    // Headwater: the buyer paid the vendor for the row, so tags that stand in the row tell of somebody else's touch.
    rule("list.origin", "list", ORIGIN_LIST),
    rule("direct.source", "direct", SOURCE_DIRECT | MEDIUM_NONE),
    // Headwater: three reasons why a visit has no origin, kept apart so that an analyst can see which it was.
    rule("direct.self_referral", "direct", ORIGIN_SITE | UNTAGGED | SELF_REFERRAL),
    rule("direct.ignored_referrer", "direct", ORIGIN_SITE | UNTAGGED | IGNORED_REFERRER),
    rule("direct.untagged", "direct", ORIGIN_SITE | UNTAGGED),
    // Headwater: an email tool's own record of a subscriber, who brought no better evidence.
    rule("email.tool", "email", ORIGIN_EMAIL_TOOL | UNTAGGED),
    rule("cross_network.campaign", "cross_network", CAMPAIGN_CROSS_NETWORK),
    rule("paid_shopping.source", "paid_shopping", SOURCE_SHOPPING | MEDIUM_PAID),
    rule("paid_shopping.campaign", "paid_shopping", CAMPAIGN_SHOP | MEDIUM_PAID),
    rule("paid_search.source", "paid_search", SOURCE_SEARCH | MEDIUM_PAID),
    rule("paid_search.click_id", "paid_search", CLICK_SEARCH_AD),
    rule("paid_social.source", "paid_social", SOURCE_SOCIAL | MEDIUM_PAID),
    rule("paid_social.click_id", "paid_social", CLICK_SOCIAL_AD),
    rule("paid_video.source", "paid_video", SOURCE_VIDEO | MEDIUM_PAID),
    rule("display.medium", "display", MEDIUM_DISPLAY),
    rule("display.click_id", "display", CLICK_DISPLAY_AD),
    rule("paid_other.medium", "paid_other", MEDIUM_PAID),
    rule("organic_shopping.source", "organic_shopping", SOURCE_SHOPPING),
    rule("organic_shopping.campaign", "organic_shopping", CAMPAIGN_SHOP),
    rule("organic_social.source", "organic_social", SOURCE_SOCIAL),
    rule("organic_social.medium", "organic_social", MEDIUM_SOCIAL),
    rule("organic_video.source", "organic_video", SOURCE_VIDEO),
    rule("organic_video.medium", "organic_video", MEDIUM_VIDEO),
    // Headwater: answers of chat assistants.
    rule("ai_assistant.source", "ai_assistant", SOURCE_CHATBOT),
    rule("ai_assistant.medium", "ai_assistant", MEDIUM_CHATBOT),
    rule("organic_search.source", "organic_search", SOURCE_SEARCH),
    rule("organic_search.medium", "organic_search", MEDIUM_ORGANIC),
    rule("email.source", "email", SOURCE_EMAIL),
    rule("email.medium", "email", MEDIUM_EMAIL),
    // Headwater: a link opened in a webmail page.
    rule("email.mailbox", "email", SOURCE_MAILBOX),
    rule("affiliates.medium", "affiliates", MEDIUM_AFFILIATE),
    rule("referral.medium", "referral", MEDIUM_REFERRAL),
    rule("referral.referrer", "referral", EXTERNAL_REFERRER | MEDIUM_NONE),
    rule("audio.medium", "audio", MEDIUM_AUDIO),
    rule("sms.source", "sms", SOURCE_SMS),
    rule("sms.medium", "sms", MEDIUM_SMS),
    rule("mobile_push.medium", "mobile_push", MEDIUM_PUSH),
    rule("mobile_push.source", "mobile_push", SOURCE_FIREBASE),
    // Headwater: badge scans, phone calls, imports.
    rule("offline.origin", "offline", ORIGIN_OFFLINE),
    rule("offline.import", "offline", ORIGIN_IMPORT),
];

/// What is left.
pub(super) const UNASSIGNED: Rule = rule("unassigned", "unassigned", 0);

/// Media that count only as a whole word.
pub(super) const MEDIUM_WORDS: &[(Signals, &[&str])] = &[
    (MEDIUM_NONE, &[""]),
    (MEDIUM_DISPLAY, &["display", "banner", "expandable", "interstitial", "cpm"]),
    (MEDIUM_SOCIAL, &["social", "social-network", "social-media", "sm", "social network", "social media"]),
    (MEDIUM_CHATBOT, &["ai-assistant"]),
    (MEDIUM_ORGANIC, &["organic"]),
    (MEDIUM_EMAIL, EMAIL_WORDS),
    (MEDIUM_AFFILIATE, &["affiliate"]),
    (MEDIUM_REFERRAL, &["referral", "app", "link"]),
    (MEDIUM_AUDIO, &["audio"]),
    (MEDIUM_SMS, &["sms"]),
];

/// How people spell email as a source or a medium.
pub(super) const EMAIL_WORDS: &[&str] = &["email", "e-mail", "e_mail", "e mail"];

/// What a click id says. Meta's `fbclid` stands on organic links as well: it names the network and nothing more.
pub(super) const CLICK_IDS: &[(Signals, &[&str])] = &[
    (CLICK_SEARCH_AD, &["gclid", "gbraid", "wbraid", "msclkid"]),
    (CLICK_SOCIAL_AD, &["li_fat_id", "ttclid", "twclid"]),
    (CLICK_DISPLAY_AD, &["dclid"]),
    (SOURCE_SOCIAL, &["fbclid"]),
];
