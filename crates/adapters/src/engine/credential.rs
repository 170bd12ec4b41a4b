//! By what the remote of a plan knows us: it counts by that, whatever we call our connections.

use base64::Engine as _;
use headwater_sdk::http::{Account, Url};

use super::expr::{Expr, Scope};
use super::plan::{Auth, BodyPlan, Home, Inject, Requester, Retriever, SourcePlan, TokenPlan, TokenSource};

/// What a remote tells one account's requests from another's by.
type Proof = (String, Vec<u8>);

/// Where the requests of a plan go, and how they show who we are.
pub(super) struct Credential {
    /// Plans with other limits have another one, so that each keeps to its own within a process.
    pub(super) hash: [u8; 32],
    remote: Url,
    proofs: Vec<Proof>,
}

impl Credential {
    /// That of a plan; nothing where it depends on the part that is read.
    pub(super) fn of(plan: &SourcePlan, now: jiff::Timestamp) -> Option<Self> {
        let scope = Scope::new(&plan.config, now);
        let mut known = Vec::with_capacity(plan.streams.len());
        match &plan.home {
            Some(Home { url, auth }) => known.push((Url::parse(&url.text(&scope).ok()?).ok()?, proofs(auth, &scope)?)),
            None => {
                for stream in &plan.streams {
                    let requester = match &stream.retriever {
                        Retriever::Pages(pages) => &pages.requester,
                        Retriever::Job(job) => &job.create,
                    };
                    let url = Url::parse(&requester.url.text(&scope).ok()?).ok()?;
                    known.push((url, proofs(&requester.auth, &scope)?));
                }
            }
        }
        let mut known: Vec<(String, Url, Vec<Proof>)> =
            known.into_iter().map(|(url, proofs)| (url.origin().ascii_serialization(), url, proofs)).collect();
        known.sort_unstable_by(|a, b| (&a.0, &a.2).cmp(&(&b.0, &b.2)));
        known.dedup_by(|a, b| (&a.0, &a.2) == (&b.0, &b.2));
        let told: Vec<_> = known.iter().map(|(origin, _, proofs)| (origin, proofs)).collect();
        let told = format!("{told:?}\0{:?}\0{}\0{}", plan.budget, plan.concurrency, plan.name);
        let hash = ring::digest::digest(&ring::digest::SHA256, told.as_bytes()).as_ref().try_into().ok()?;
        // Streams that show who we are in several ways are one account, as their plan has one budget.
        let proofs = known.iter().flat_map(|(.., proofs)| proofs.iter().cloned()).collect();
        Some(Self { hash, remote: known.into_iter().next()?.1, proofs })
    }

    /// What all processes count together.
    pub(super) fn account(&self) -> Option<Account> {
        let proofs: Vec<(&str, &[u8])> = self.proofs.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        Account::of(&self.remote, &proofs)
    }
}

/// What is sent to show who we are; what a token is asked for with where it is one that changes.
fn proofs(auth: &Auth, scope: &Scope<'_>) -> Option<Vec<Proof>> {
    const AUTHORIZATION: &str = "authorization";
    let proof = |name: &str, value: String| vec![(name.to_owned(), value.into_bytes())];
    Some(match auth {
        Auth::None => Vec::new(),
        Auth::Key { at, value } => {
            let name = match at {
                Inject::Header(name) | Inject::Query(name) | Inject::Form(name) => name.text(scope).ok()?,
                Inject::Json(_) | Inject::Url => String::new(),
            };
            proof(&name, value.text(scope).ok()?)
        }
        Auth::Bearer(token) => proof(AUTHORIZATION, format!("Bearer {}", token.text(scope).ok()?)),
        Auth::Basic { user, password } => proof(AUTHORIZATION, basic(&user.text(scope).ok()?, &password.text(scope).ok()?)),
        Auth::Token(token) => match &token.source {
            TokenSource::Jwt(jwt) => proof("key", jwt.key.text(scope).ok()?),
            TokenSource::Request { requester, assertion, .. } => {
                let mut known = proofs(&requester.auth, scope)?;
                if let Some((jwt, _)) = assertion {
                    known.extend(proof("key", jwt.key.text(scope).ok()?));
                }
                known.extend(said(requester, scope)?);
                known
            }
        },
    })
}

/// What a request for a token says of who we are.
fn said(requester: &Requester, scope: &Scope<'_>) -> Option<Vec<Proof>> {
    let body = match &requester.body {
        BodyPlan::Empty => None,
        BodyPlan::Json(body) | BodyPlan::Form(body) | BodyPlan::Text(body) => Some(body),
    };
    let parts = [("body", body), ("headers", requester.headers.as_ref())];
    let parts = parts.into_iter().filter_map(|(name, expr)| Some((name, expr?)));
    parts.map(|(name, expr)| Some((name.to_owned(), expr.value(scope).ok()?.to_json().into_bytes()))).collect()
}

/// By what two plans get the same token: where it is asked for, with what, and how long it lasts. Nothing where we sign it ourselves, or
/// where that depends on the part that is read.
pub(super) fn of_token(plan: &TokenPlan, scope: &Scope<'_>) -> Option<[u8; 32]> {
    let TokenSource::Request { requester, token, refresh_token: _, assertion } = &plan.source else { return None };
    // As JSON: a value shows nothing of itself where it is printed for us.
    let value =
        |expr: &Option<Expr>| Some(expr.as_ref().map(|expr| expr.value(scope)).transpose().ok()?.map(|value| value.to_json()));
    let asserted = match assertion {
        Some((jwt, _)) => Some((jwt.key.text(scope).ok()?, value(&jwt.headers)?, value(&jwt.claims)?)),
        None => None,
    };
    let initial = plan.initial.as_ref().map(|(token, until)| Some((token.text(scope).ok()?, until)));
    let asked = (requester.url.text(scope).ok()?, value(&requester.query)?, said(requester, scope)?);
    let told = format!("{:?}", (asked, proofs(&requester.auth, scope)?, asserted, initial, token, &plan.lifetime));
    ring::digest::digest(&ring::digest::SHA256, told.as_bytes()).as_ref().try_into().ok()
}

/// The header of a user and a password.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}
