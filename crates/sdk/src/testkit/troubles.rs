//! What becomes of a read whose remote misbehaves: at its first request and at its last, for a moment and for good.
//!
//! What passes by itself is waited out, and the rows are the same. What does not is told with its kind, and a read from the last
//! position afterwards gives what was missing. What the connector itself makes of a status decides.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use headwater_model::checkpoint::Checkpoint;
use jiff::{SignedDuration, Timestamp};

use super::contract::{Breach, Collected, Resumed, Row, collect, collect_into};
use super::recorded::chain;
use super::server::{Fault, Mode, Prepared, Server, Trouble};
use crate::http::Pause;
use crate::{ErrorKind, Source, SourceEvent, StreamSpec};

/// How long the remote asks us to wait: as seconds, and as a date.
const ASKED_SECS: u64 = 7;
const ASKED_DATE_SECS: i64 = 9;

/// No request gives up sooner than this.
const SHORTEST_TIMEOUT_SECS: u64 = 5;
/// How many pages of a remote that never ends are looked at, and how many requests may be ahead of who takes them: those of the pages
/// that are read ahead of each part, of the parts beside it, and of what they need first.
const PAGES: usize = 20;
const MOST_AHEAD: usize = 40;
/// How often others get their turn before it is counted who is ahead.
const TURNS: usize = 20;

/// A connection whose remote misbehaves.
#[expect(missing_debug_implementations, reason = "a source has no form to show")]
pub struct Misbehaving<'a> {
    /// The remote.
    pub server: &'a Server,
    /// The source that asks it.
    pub source: &'a dyn Source,
    /// The stream that is read.
    pub stream: &'a StreamSpec,
    /// The time that the source waits by.
    pub pause: &'a Pause,
    /// The instant that its clock stands at.
    pub now: Timestamp,
    /// What is particular about the connector.
    pub manners: Manners<'a>,
}

/// What a fake remote at this origin answers to requests, each once: then the kit's own server can answer so, or go wrong.
///
/// # Errors
/// When the remote cannot be reached.
pub async fn recorded(origin: &str, requests: impl IntoIterator<Item = String>) -> std::io::Result<Vec<Prepared>> {
    let requests: BTreeSet<String> = requests.into_iter().collect();
    let mut exchanges = Vec::with_capacity(requests.len());
    for request in &requests {
        exchanges.push(Prepared::recorded(origin, request).await?);
    }
    Ok(exchanges)
}

/// What is particular about how a connector reads.
#[expect(missing_debug_implementations, reason = "a function has no form to show")]
#[derive(Clone, Copy)]
pub struct Manners<'a> {
    /// What it makes of a status, where that may be something else than usual.
    pub of_status: &'a (dyn Fn(u16) -> Vec<Meaning> + Sync),
    /// Whether its token is fetched or signed, and so made anew once it is refused.
    pub renews_token: bool,
    /// Whether every read shows everything; else only one from the beginning does.
    pub reads_all: bool,
    /// How many empty answers it is given in a row.
    pub empty_answers: usize,
    /// Whether recorded pages may answer in turn, whatever was asked for. Not where what an answer says, such as a total, decides what is
    /// asked for next: then records of one time are tried on a fake of the remote.
    pub pages_in_turn: bool,
}

impl Manners<'static> {
    /// Those of a connector to which a status means what it usually means.
    #[must_use]
    pub fn usual() -> Self {
        Self { of_status: &|_| Vec::new(), renews_token: false, reads_all: false, empty_answers: usize::MAX, pages_in_turn: true }
    }
}

/// What a status means to a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It passes: the request is made again later.
    Passes,
    /// It may pass, and is what it usually is where it does not: the token is made anew.
    Renews,
    /// The read fails, with this kind, or with the usual one.
    Fails(Option<ErrorKind>),
    /// The read ends well: the answer is ignored or taken.
    Ends,
}

/// What may become of a read whose remote answers with a status for good.
#[derive(Debug, PartialEq, Eq)]
enum Allowed {
    /// It fails, with this kind.
    Fails(ErrorKind),
    /// It ends well.
    Ends,
}

impl Misbehaving<'_> {
    /// Drives the read through every trouble, and says what went otherwise than it should. `exchanges` is what the remote answers.
    pub async fn drive(&self, exchanges: Vec<Prepared>) -> Vec<String> {
        self.server.play(exchanges.clone(), Mode::Always);
        let all = match self.read(None).await {
            Ok(all) => all,
            Err(breach) => return vec![chain(&breach)],
        };
        let order = self.server.order();
        let mut places: Vec<usize> = order.first().into_iter().chain(order.last()).copied().collect();
        places.dedup();
        let mut problems = Vec::new();
        for place in places {
            for (name, fault, wait) in self.passing() {
                problems.extend(self.passes(&all, place, &fault, wait).await.map(|what| format!("{name}: {what}")));
            }
            for (name, fault, usual) in lasting() {
                problems.extend(self.lasts(&all, place, &fault, usual).await.map(|what| format!("{name}, for good: {what}")));
            }
            problems.extend(self.empty(&all, place).await.map(|what| format!("an empty answer: {what}")));
        }
        problems.extend(self.expired(&all, &order).await.map(|what| format!("a token that ends in mid-run: {what}")));
        if self.stream.whole && !all.rows.is_empty() {
            problems.extend(self.removed(&all, &order).await.map(|what| format!("a record that is removed: {what}")));
        }
        problems.extend(self.drifted(&all).await.map(|what| format!("a member that nobody knows: {what}")));
        self.server.misbehave(None);
        if self.manners.pages_in_turn {
            problems.extend(self.one_time(&all, exchanges.clone()).await.map(|what| format!("records of one time: {what}")));
        }
        problems.extend(self.endless(exchanges).await.map(|what| format!("pages that do not end: {what}")));
        problems
    }

    /// All records have one time, those on both sides of a page's border too: none is passed over.
    async fn one_time(&self, all: &Collected, exchanges: Vec<Prepared>) -> Option<String> {
        self.server.play(exchanges, Mode::Shifted);
        self.misbehave(None, usize::MAX, &Fault::OneTime);
        let read = self.read(None).await;
        self.server.misbehave(None);
        let read = match read {
            Ok(read) => read,
            Err(breach) => return Some(chain(&breach)),
        };
        // Keys may have a time in them, and are others then.
        let lost = all.rows.len().saturating_sub(read.rows.len());
        (lost > 0).then(|| format!("{lost} of {} records are lost", all.rows.len()))
    }

    /// Pages that do not end: who takes them slowly is never far behind what was asked for, or memory would grow with the remote.
    async fn endless(&self, exchanges: Vec<Prepared>) -> Option<String> {
        self.server.play(exchanges, Mode::Endless);
        let read = async {
            let mut events = self.source.read(self.stream, None).await.ok()?;
            let mut pages = 0;
            while let Some(Ok(event)) = events.next().await {
                if !matches!(event, SourceEvent::Page(_)) {
                    continue;
                }
                pages += 1;
                // Whoever reads ahead has the time to.
                for _ in 0..TURNS {
                    tokio::task::yield_now().await;
                }
                let ahead = self.server.answered().saturating_sub(pages);
                if ahead > MOST_AHEAD {
                    return Some(format!("after {pages} pages were taken, {ahead} answers more are held"));
                }
                if pages == PAGES {
                    break;
                }
            }
            None
        };
        self.server.during(read).await
    }

    async fn read(&self, from: Option<Checkpoint>) -> Result<Collected, Breach> {
        self.server.during(collect(self.source, self.stream, from)).await
    }

    fn misbehave(&self, exchange: Option<usize>, times: usize, fault: &Fault) {
        self.server.misbehave(Some(Trouble { exchange, times, fault: fault.clone() }));
    }

    /// What passes by itself, and how long it is waited for at least.
    fn passing(&self) -> Vec<(&'static str, Fault, u64)> {
        let at = self.now.checked_add(SignedDuration::from_secs(ASKED_DATE_SECS)).unwrap_or(self.now);
        let date = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let after = |value: String| Some(("retry-after", value));
        let date_secs = ASKED_DATE_SECS.unsigned_abs();
        vec![
            ("429 with seconds", Fault::Status(429, after(ASKED_SECS.to_string())), ASKED_SECS),
            ("429 with a date", Fault::Status(429, after(date)), date_secs),
            ("500", Fault::Status(500, None), 0),
            ("503", Fault::Status(503, None), 0),
            ("an answer that breaks off", Fault::Cut, 0),
            ("a connection that is closed", Fault::Silence, 0),
            ("no answer in time", Fault::Hang, SHORTEST_TIMEOUT_SECS),
        ]
    }

    async fn passes(&self, all: &Collected, place: usize, fault: &Fault, wait: u64) -> Option<String> {
        // What the connector makes of a status is more than that it passes.
        if let Fault::Status(status, _) = fault
            && (self.manners.of_status)(*status).iter().any(|meaning| *meaning != Meaning::Passes)
        {
            return None;
        }
        let begun = self.pause.elapsed();
        self.misbehave(Some(place), 1, fault);
        let read = self.read(None).await;
        let waited = (self.pause.elapsed() - begun).as_secs();
        match read {
            Err(breach) => Some(format!("is not waited out: {}", chain(&breach))),
            Ok(read) if !same(&read, all) => Some("the rows are others afterwards".to_owned()),
            Ok(_) if waited < wait => Some(format!("{waited} s were waited, {wait} s were asked for")),
            Ok(_) => None,
        }
    }

    async fn lasts(&self, all: &Collected, place: usize, fault: &Fault, usual: ErrorKind) -> Option<String> {
        let mut allowed = vec![Allowed::Fails(usual)];
        if let Fault::Status(status, _) = fault {
            let said = (self.manners.of_status)(*status).into_iter().map(|meaning| match meaning {
                Meaning::Ends => Allowed::Ends,
                Meaning::Fails(kind) => Allowed::Fails(kind.unwrap_or(usual)),
                Meaning::Passes | Meaning::Renews => Allowed::Fails(usual),
            });
            allowed.extend(said);
        }
        self.misbehave(Some(place), usize::MAX, fault);
        let mut before = Collected::default();
        let broken = self.server.during(collect_into(&mut before, self.source, self.stream, None)).await;
        self.server.misbehave(None);
        let became = match &broken {
            Ok(()) => Allowed::Ends,
            Err(Breach::Source(error)) => Allowed::Fails(error.kind()),
            Err(breach @ Breach::Rule { .. }) => return Some(chain(breach)),
        };
        if !allowed.contains(&became) {
            let told = broken.err().map_or_else(|| "the read ends well".to_owned(), |breach| chain(&breach));
            return Some(format!("became {became:?} ({told}), and may become {allowed:?}"));
        }
        if became == Allowed::Ends {
            return None;
        }
        let rest = match self.read(before.last()).await {
            Ok(rest) => rest,
            Err(breach) => return Some(format!("a read afterwards fails: {}", chain(&breach))),
        };
        let covered = before.checkpoints.last().map_or(0, |(rows, _)| *rows);
        let mut found = rest.identities();
        found.extend(before.rows.iter().take(covered).map(Row::identity));
        let lost = all.identities().difference(&found).count();
        (lost > 0).then(|| format!("a read afterwards loses {lost} rows"))
    }

    async fn empty(&self, all: &Collected, place: usize) -> Option<String> {
        self.misbehave(Some(place), self.manners.empty_answers, &Fault::Empty);
        let read = self.read(None).await;
        self.server.misbehave(None);
        match read {
            Ok(read) if !read.identities().is_subset(&all.identities()) => Some("gives rows that do not exist".to_owned()),
            // Where something must be in it, such as a token, that it is missing is told.
            Err(Breach::Source(error)) if !matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Auth) => {
                Some(format!("is told as {:?}: {error}", error.kind()))
            }
            Err(breach @ Breach::Rule { .. }) => Some(chain(&breach)),
            Ok(_) | Err(Breach::Source(_)) => None,
        }
    }

    /// A refusal of a token that is fetched or signed: it is made anew once, and the read goes on.
    async fn expired(&self, all: &Collected, order: &[usize]) -> Option<String> {
        let renews = self.manners.renews_token && (self.manners.of_status)(401).is_empty();
        // The first request may be that for the token, and the last one that for a signed address.
        let place = order.get(1).copied().filter(|_| renews && order.len() > 2)?;
        self.misbehave(Some(place), 1, &Fault::Status(401, None));
        match self.read(None).await {
            Err(breach) => Some(format!("it is not made anew: {}", chain(&breach))),
            Ok(read) if !same(&read, all) => Some("the rows are others afterwards".to_owned()),
            Ok(_) => None,
        }
    }

    /// A record of one of the answers is removed: the read shows that it showed all others.
    async fn removed(&self, all: &Collected, order: &[usize]) -> Option<String> {
        let known = all.identities();
        let from = all.last().filter(|_| self.manners.reads_all);
        // The last answers first: what follows an answer may be asked for by its last record.
        for place in order.iter().rev() {
            self.misbehave(Some(*place), usize::MAX, &Fault::Removed);
            let read = self.read(from.clone()).await;
            let Ok(read) = read else { continue };
            let shown = read.identities();
            if shown.is_subset(&known) && shown.len() < known.len() {
                return (read.whole != Some(Resumed::No)).then(|| "the read does not say that it showed everything".to_owned());
            }
        }
        Some("no read misses it: none of the recorded answers has a list of records".to_owned())
    }

    async fn drifted(&self, all: &Collected) -> Option<String> {
        self.misbehave(None, usize::MAX, &Fault::NewMember);
        match self.read(None).await {
            Err(breach) => Some(chain(&breach)),
            Ok(read) if !same(&read, all) => Some("the rows are others".to_owned()),
            Ok(_) => None,
        }
    }
}

/// What does not pass, and what it is.
fn lasting() -> [(&'static str, Fault, ErrorKind); 7] {
    [
        ("401", Fault::Status(401, None), ErrorKind::Auth),
        ("403", Fault::Status(403, None), ErrorKind::Auth),
        ("404", Fault::Status(404, None), ErrorKind::NotFound),
        ("429", Fault::Status(429, None), ErrorKind::RateLimited),
        ("500", Fault::Status(500, None), ErrorKind::Unavailable),
        ("no answer in time", Fault::Hang, ErrorKind::Unavailable),
        ("a web page", Fault::WebPage, ErrorKind::Protocol),
    ]
}

/// Whether two reads gave the same; side by side, parts may come in another order.
fn same(a: &Collected, b: &Collected) -> bool {
    let sorted = |read: &Collected| {
        let mut rows: Vec<_> = read.rows.iter().map(|row| (row.key.clone(), row.fields.clone(), row.deleted)).collect();
        rows.sort();
        rows
    };
    sorted(a) == sorted(b)
}
