//! What the remote allows: counted over all requests of a credential, waited for, and corrected by what the remote says.
//!
//! A remote counts by credential and knows nothing of our connections, so those of one credential share what is counted here: of one
//! process also where files cannot be shared, and also when one begins after the other has ended; of all processes, sources and sinks
//! alike, through the credential's [`Account`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use headwater_sdk::http::{Account, HttpResponse, Method, Pause, Slots, Url, wait_for_window};
use jiff::Timestamp;

use super::credential::Credential;
use super::plan::{BudgetMatcher, BudgetPlan, BudgetPolicy, BudgetRate};

/// The longest wait that a remote may ask for; beyond it that is taken for a mistake.
const LONGEST_RESET: Duration = Duration::from_hours(1);

/// How many credentials are remembered: far above what one project has. Beyond it the ones that nobody uses are forgotten.
const MAX_REMEMBERED: usize = 1_024;

static SHARED: LazyLock<Mutex<HashMap<[u8; 32], Arc<Budget>>>> = LazyLock::new(Mutex::default);

/// A plan's budget at work.
#[derive(Debug)]
pub(super) struct Budget {
    plan: BudgetPlan,
    policies: Vec<Counted>,
    /// What the plan's own requests keep to.
    own: Option<Counted>,
    /// Requests that may be in flight.
    pub(super) slots: Slots,
    /// The clock of everything that is counted here.
    pause: Pause,
    /// The account of the credential as a whole.
    account: Option<Account>,
}

/// A limit at work.
#[derive(Debug)]
struct Counted {
    policy: BudgetPolicy,
    spent: Mutex<Spent>,
    /// Where the requests of all processes are counted.
    account: Option<Account>,
}

#[derive(Debug, Default)]
struct Spent {
    /// When requests were sent; for a fixed window when it began, once for each.
    sent: VecDeque<Duration>,
    /// Until when the remote wants nothing.
    closed_until: Duration,
}

impl Budget {
    fn new(plan: BudgetPlan, concurrency: usize, pause: Pause, credential: Option<&Credential>) -> Self {
        let account = credential.and_then(Credential::account);
        let policies = plan.policies.iter().map(|policy| Counted::new(policy.clone(), account.as_ref())).collect();
        let own = plan.own.map(|rate| {
            let policy = BudgetPolicy { matchers: Vec::new(), rates: vec![rate], fixed_window: false };
            let apart = account.as_ref().zip(credential).map(|(account, credential)| account.part(&credential.hash));
            Counted { policy, spent: Mutex::default(), account: apart }
        });
        Self { plan, policies, own, slots: Slots::new(concurrency, account.clone()), pause, account }
    }

    /// The budget of a credential: one for the whole process, as long as time is the world's.
    pub(super) fn of(credential: Option<Credential>, plan: BudgetPlan, concurrency: usize, pause: Pause) -> Arc<Self> {
        let Some(credential) = credential.filter(|_| pause.is_real()) else {
            return Arc::new(Self::new(plan, concurrency, pause, None));
        };
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.len() >= MAX_REMEMBERED {
            shared.retain(|_, budget| Arc::strong_count(budget) > 1);
        }
        let made = || Arc::new(Self::new(plan, concurrency, pause, Some(&credential)));
        Arc::clone(shared.entry(credential.hash).or_insert_with(made))
    }

    /// Waits until the request may be sent, and counts it; against the day as so many calls.
    pub(super) async fn take(&self, request: &Sent<'_>, cost: u32) {
        while let Some(closed) = self.account.as_ref().and_then(|account| account.closed_for(LONGEST_RESET)) {
            self.pause.sleep(closed).await;
        }
        for counted in self.own.iter().chain(self.policy(request)) {
            while let Some(wait) = counted.try_take(self.pause.elapsed()) {
                self.pause.sleep(wait).await;
            }
        }
        self.account.as_ref().and_then(|account| account.sent_today(u64::from(cost)));
    }

    /// What the requests cost that were sent with this credential on the present day of UTC, by all processes; nothing where they do not
    /// count together.
    pub(super) fn sent_today(&self) -> Option<u64> {
        self.account.as_ref()?.sent_today(0)
    }

    /// Lets nobody of this credential ask for so long, because the remote said so.
    pub(super) fn close_for(&self, wait: Duration) {
        if let Some(account) = &self.account {
            account.close_for(wait.min(LONGEST_RESET));
        }
    }

    fn policy(&self, request: &Sent<'_>) -> Option<&Counted> {
        self.policies
            .iter()
            .find(|Counted { policy, .. }| policy.matchers.is_empty() || policy.matchers.iter().any(|rule| fits(rule, request)))
    }

    /// Learns from an answer how much is left.
    pub(super) fn learn(&self, request: &Sent<'_>, answer: &HttpResponse, now: Timestamp) {
        let Some(counted) = self.policy(request) else { return };
        let header =
            |name: &Option<String>| -> Option<i64> { answer.headers().get(name.as_deref()?)?.to_str().ok()?.trim().parse().ok() };
        let exhausted = self.plan.exhausted_statuses.contains(&answer.status().as_u16());
        if !exhausted && header(&self.plan.remaining_header).is_none_or(|left| left > 0) {
            return;
        }
        let Some(reset) = header(&self.plan.reset_header) else { return };
        let wait = u64::try_from(reset - now.as_second()).map(Duration::from_secs).unwrap_or_default().min(LONGEST_RESET);
        counted.close_for(wait, self.pause.elapsed());
    }
}

impl Counted {
    /// Requests that every policy of a credential would count are counted together, whoever sends them; others by what tells them apart.
    fn new(policy: BudgetPolicy, account: Option<&Account>) -> Self {
        let account = account.map(|account| match (&policy.matchers[..], policy.fixed_window, policy.rates.first()) {
            ([], false, _) => account.clone(),
            (matchers, false, _) => account.part(format!("{matchers:?}").as_bytes()),
            // Of these the instants are those at which a window of one length began.
            (matchers, true, rate) => account.part(format!("{matchers:?} {rate:?}").as_bytes()),
        });
        Self { policy, spent: Mutex::default(), account }
    }

    /// Counts a request, or says how long to wait.
    fn try_take(&self, now: Duration) -> Option<Duration> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if now < spent.closed_until {
            return Some(spent.closed_until - now);
        }
        if let Some(closed) = self.account.as_ref().and_then(|account| account.closed_for(LONGEST_RESET)) {
            return Some(closed);
        }
        let longest = self.policy.rates.iter().map(|rate| rate.interval).max().unwrap_or_default();
        let count = if self.policy.fixed_window { fixed } else { moving };
        let shared = self.account.as_ref().and_then(|account| account.with(longest, |now, sent| count(&self.policy, now, sent)));
        shared.unwrap_or_else(|| {
            while spent.sent.front().is_some_and(|at| *at + longest <= now) {
                spent.sent.pop_front();
            }
            count(&self.policy, now, &mut spent.sent)
        })
    }

    fn close_for(&self, wait: Duration, now: Duration) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.closed_until = spent.closed_until.max(now + wait);
        if let Some(account) = &self.account {
            account.close_for(wait);
        }
    }
}

/// Counts a request among those that were `sent`, or says how long it should wait.
fn moving(policy: &BudgetPolicy, now: Duration, sent: &mut VecDeque<Duration>) -> Option<Duration> {
    let wait = |rate: &BudgetRate| wait_for_window(usize::try_from(rate.limit).unwrap_or(usize::MAX), rate.interval, now, sent);
    let wait = policy.rates.iter().filter_map(wait).max();
    if wait.is_none() {
        sent.push_back(now);
    }
    wait
}

/// The same where windows follow each other: for each request of the present one the instant stands in `sent` at which it began.
fn fixed(policy: &BudgetPolicy, now: Duration, sent: &mut VecDeque<Duration>) -> Option<Duration> {
    let rate = policy.rates.first()?;
    if sent.front().is_some_and(|begun| *begun + rate.interval <= now) {
        sent.clear();
    }
    let begun = sent.front().copied().unwrap_or(now);
    if sent.len() >= usize::try_from(rate.limit.max(1)).unwrap_or(usize::MAX) {
        return Some(begun + rate.interval - now);
    }
    sent.push_back(begun);
    None
}

/// What of a request a matcher sees.
#[derive(Debug)]
pub(super) struct Sent<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    pub(super) headers: &'a [(String, String)],
}

fn fits(rule: &BudgetMatcher, request: &Sent<'_>) -> bool {
    let BudgetMatcher { method, url_base, path, query, headers } = rule;
    method.as_ref().is_none_or(|method| method == request.method)
        && url_base.as_ref().is_none_or(|base| request.url.as_str().starts_with(base.trim_end_matches('/')))
        && path.as_ref().is_none_or(|path| path.capture(request.url.path()).is_some())
        && query.iter().all(|(name, value)| request.url.query_pairs().any(|(key, found)| key == *name && found == *value))
        && headers
            .iter()
            .all(|(name, value)| request.headers.iter().any(|(key, found)| key.eq_ignore_ascii_case(name) && found == value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Value;
    use crate::engine::constant;
    use crate::engine::plan::{Auth, Checkpoints, Home, HostRules, SourcePlan};

    fn budget(rates: &[(u32, u64)], fixed_window: bool) -> Budget {
        let rates =
            rates.iter().map(|(limit, secs)| BudgetRate { limit: *limit, interval: Duration::from_secs(*secs) }).collect();
        let policy = BudgetPolicy { matchers: Vec::new(), rates, fixed_window };
        let plan = BudgetPlan { policies: vec![policy], ..BudgetPlan::default() };
        Budget::new(plan, 1, Pause::virtual_time(), None)
    }

    fn plan_of(name: &str) -> SourcePlan {
        SourcePlan {
            name: name.to_owned(),
            config: Value::Null,
            streams: Vec::new(),
            check: Vec::new(),
            hosts: HostRules::default(),
            budget: BudgetPlan::default(),
            concurrency: 1,
            checkpoints: Checkpoints::EveryPage,
            home: Some(Home { url: constant("https://api.example.com/v1"), auth: Auth::None }),
        }
    }

    async fn seconds_of(budget: &Budget, requests: usize) -> Vec<u64> {
        let url = Url::parse("https://api.example.com/a").unwrap();
        let mut at = Vec::new();
        for _ in 0..requests {
            budget.take(&Sent { method: &Method::GET, url: &url, headers: &[] }, 1).await;
            at.push(budget.pause.elapsed().as_secs());
        }
        at
    }

    #[tokio::test]
    async fn no_moving_window_holds_more_than_its_limit() {
        assert_eq!(seconds_of(&budget(&[(2, 10)], false), 5).await, [0, 0, 10, 10, 20]);
        assert_eq!(seconds_of(&budget(&[(2, 1), (3, 60)], false), 5).await, [0, 0, 1, 60, 60]);
    }

    #[test]
    fn a_credential_has_one_budget_and_another_its_own() {
        let of = |credential, pause| Budget::of(credential, BudgetPlan::default(), 1, pause);
        let named = |name: &str| Credential::of(&plan_of(name), Timestamp::UNIX_EPOCH);
        let first = of(named("1"), Pause::real());
        assert!(Arc::ptr_eq(&first, &of(named("1"), Pause::real())));
        assert!(!Arc::ptr_eq(&first, &of(named("2"), Pause::real())));
        assert!(!Arc::ptr_eq(&first, &of(None, Pause::real())));
        assert!(!Arc::ptr_eq(&first, &of(named("1"), Pause::virtual_time())), "waits that do not happen bind nobody");
    }

    #[tokio::test]
    async fn fixed_windows_follow_each_other() {
        assert_eq!(seconds_of(&budget(&[(3, 60)], true), 7).await, [0, 0, 0, 60, 60, 60, 120]);
    }
}
