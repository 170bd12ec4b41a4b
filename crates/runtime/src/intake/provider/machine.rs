//! Opens and clicks that no person made.
//!
//! Mail programs fetch pictures before anybody looks, and scanners follow every link to see where it leads. Such an event says that a
//! mail arrived, not that somebody read it. What the sender itself says of it goes before what is seen here.

/// Apple's Mail Privacy Protection fetches pictures under this name and nothing behind it.
/// <https://postmarkapp.com/blog/how-apples-mail-privacy-changes-affect-email-open-tracking>
const APPLE: &str = "Mozilla/5.0";

/// Proxies that fetch when a person opens a mail, and at times before: the event may be a person's.
const PROXIES: &[&str] = &["googleimageproxy", "ggpht.com", "yahoomailproxy"];

/// Scanners and programs, by a part of their names.
const SCANNERS: &[&str] = &[
    "barracuda",
    "bitdefender",
    "bot/",
    "cloudmark",
    "crawler",
    "curl/",
    "fireeye",
    "forcepoint",
    "fortimail",
    "go-http-client",
    "headlesschrome",
    "messagelabs",
    "mimecast",
    "okhttp",
    "phantomjs",
    "proofpoint",
    "python-requests",
    "safelinks",
    "scanner",
    "sophos",
    "spider",
    "symantec",
    "trendmicro",
    "wget/",
    "zscaler",
];

/// Who acted, by the name of the program: `machine`, `likely_machine`, or nothing where the name says nothing.
pub(super) fn by_agent(agent: &str) -> Option<&'static str> {
    let agent = agent.trim();
    let lower = agent.to_ascii_lowercase();
    let holds = |names: &[&str]| names.iter().any(|name| lower.contains(name));
    if agent == APPLE || holds(SCANNERS) {
        return Some("machine");
    }
    holds(PROXIES).then_some("likely_machine")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_people_s_browsers() {
        for (agent, who) in [
            ("Mozilla/5.0", Some("machine")),
            ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", Some("likely_machine")),
            ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", Some("likely_machine")),
            ("BarracudaCentral/1.0", Some("machine")),
            ("python-requests/2.32", Some("machine")),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)", None),
            ("", None),
        ] {
            assert_eq!(by_agent(agent), who, "{agent}");
        }
    }
}
