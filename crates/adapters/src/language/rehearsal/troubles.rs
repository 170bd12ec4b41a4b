//! What a connector's file says of how it reads, for the kit that makes its remote misbehave.

use headwater_sdk::ErrorKind;
use headwater_sdk::testkit::troubles::Meaning;

use crate::language::spec::{Auth, FailureKind, ResponseRule, Spec, Then};

/// How often a job is told of with nothing: it is waited for, longer than a test should take.
const FEW: usize = 3;

/// What the rules of the file make of a status.
pub(super) fn meanings(spec: &Spec, status: u16) -> Vec<Meaning> {
    let streams = spec.streams.values().flat_map(|stream| &stream.on_response);
    let rules = streams.chain(&spec.api.on_response).filter(|rule| rule.status.contains(&status));
    rules.map(meaning).collect()
}

fn meaning(rule: &ResponseRule) -> Meaning {
    match rule.then {
        Then::Accept | Then::Ignore => Meaning::Ends,
        Then::Fail => Meaning::Fails(rule.kind.map(kind)),
        Then::Retry | Then::RateLimit => Meaning::Passes,
        Then::RefreshToken => Meaning::Renews,
    }
}

/// Whether a token is fetched or signed, whichever way is chosen.
pub(super) fn is_fetched(auth: &Auth) -> bool {
    match auth {
        Auth::Oauth2 { .. } | Auth::Session { .. } | Auth::Jwt { .. } => true,
        Auth::Choice { by: _, of } => of.values().all(is_fetched),
        Auth::None | Auth::Header { .. } | Auth::Query { .. } | Auth::Bearer { .. } | Auth::Basic { .. } => false,
    }
}

/// How many empty answers in a row a connector is given.
pub(super) fn empty_answers(spec: &Spec) -> usize {
    if spec.streams.values().any(|stream| stream.job.is_some()) { FEW } else { usize::MAX }
}

fn kind(kind: FailureKind) -> ErrorKind {
    match kind {
        FailureKind::Config => ErrorKind::Config,
        FailureKind::Auth => ErrorKind::Auth,
        FailureKind::NotFound => ErrorKind::NotFound,
        FailureKind::Rejected => ErrorKind::Rejected,
        FailureKind::Unavailable => ErrorKind::Unavailable,
    }
}
