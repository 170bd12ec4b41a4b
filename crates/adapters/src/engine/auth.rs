//! Tokens that last for a while: fetched or signed when needed, shared by all who ask for them with the same credential.
//!
//! A remote may let few of them be made (Zoho: ten in ten minutes), or end the one before when it makes the next.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use headwater_sdk::{Error, ErrorKind, Result};
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use ring::{hmac, rand};

use super::credential::of_token;
use super::expr::Scope;
use super::plan::{Auth, Jwt, KeyForm, Lifetime, Requester, TokenPlan, TokenSource};
use super::request::{Call, Shared};
use super::value::{Map, Value};

/// How long before its end a token is taken for ended: a request takes time.
const EARLY_US: i64 = 5_000_000;

/// A token, or who is to get one.
type Place = tokio::sync::Mutex<State>;
type Slot = Arc<Place>;

/// The tokens that sources and sinks of this process hold, by what they were asked for with.
static SHARED: LazyLock<Mutex<HashMap<[u8; 32], Weak<Place>>>> = LazyLock::new(Mutex::default);

/// The tokens of a source or a sink.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<usize, Slot>>);

#[derive(Default)]
struct State {
    token: Option<(String, Option<i64>)>,
    refresh_token: Option<String>,
    begun: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Where a plan's token is; `shared` says by what others have the same.
    fn slot(&self, plan: &Arc<TokenPlan>, shared: impl FnOnce() -> Option<[u8; 32]>) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A plan lives as long as the source, so its address is its name.
        Arc::clone(slots.entry(Arc::as_ptr(plan).addr()).or_insert_with(|| shared().map(shared_slot).unwrap_or_default()))
    }
}

/// The slot that all of one credential have: for as long as one of them is there.
fn shared_slot(credential: [u8; 32]) -> Slot {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.retain(|_, slot| slot.strong_count() > 0);
    let known = shared.get(&credential).and_then(Weak::upgrade);
    known.unwrap_or_else(|| {
        let slot = Slot::default();
        shared.insert(credential, Arc::downgrade(&slot));
        slot
    })
}

impl Shared {
    fn token_slot(&self, plan: &Arc<TokenPlan>) -> Slot {
        // Where time is not the world's, neither are tokens.
        let scope = Scope::new(&self.plan.config, self.clock.now());
        self.tokens.slot(plan, || if self.pause.is_real() { of_token(plan, &scope) } else { None })
    }

    /// Lets the next request ask for another token than this one, unless somebody did so already.
    pub(super) async fn forget_token(&self, requester: &Requester, refused: Option<&str>) {
        if let Auth::Token(plan) = &requester.auth {
            let slot = self.token_slot(plan);
            let mut state = slot.lock().await;
            if state.token.as_ref().is_some_and(|(token, _)| Some(token.as_str()) == refused) {
                state.token = None;
            }
        }
    }

    /// A token that lasts; whoever comes first fetches it, the others wait.
    pub(super) async fn token(&self, plan: &Arc<TokenPlan>) -> Result<String> {
        let slot = self.token_slot(plan);
        let mut state = slot.lock().await;
        let now = self.clock.now_us();
        let scope = Scope::new(&self.plan.config, self.clock.now());
        if !state.begun {
            state.begun = true;
            if let Some((token, until)) = &plan.initial {
                state.token = Some((token.text(&scope)?, Some(*until)));
            }
        }
        if let Some((token, until)) = &state.token
            && until.is_none_or(|until| until - EARLY_US > now)
        {
            return Ok(token.clone());
        }
        let (token, until) = match &plan.source {
            TokenSource::Jwt(jwt) => {
                let secs = match &plan.lifetime {
                    Lifetime::Fixed(time) => seconds(*time),
                    Lifetime::Run | Lifetime::Seconds(_) | Lifetime::Until(..) => 1_200,
                };
                (sign(jwt, &scope, secs)?, Some(now + secs * 1_000_000))
            }
            TokenSource::Request { requester, token, refresh_token, assertion } => {
                let refresh = state.refresh_token.clone().map(Value::text);
                let assertion = assertion.as_ref().map(|(jwt, lasts)| sign(jwt, &scope, seconds(*lasts)).map(Value::text));
                let assertion = assertion.transpose()?;
                let refresh = refresh.iter().map(|token| ("refresh_token", token));
                let more: Vec<(&str, &Value)> = refresh.chain(assertion.iter().map(|token| ("assertion", token))).collect();
                let call = Call { slice: None, next_page_token: None, inject: &[], more: &more, once: false };
                let page = Box::pin(self.call(requester, &call)).await?;
                let found = page.body.at(token).map(Value::to_plain).filter(|token| !token.is_empty());
                let found = found.ok_or_else(|| {
                    Error::new(ErrorKind::Auth, "the remote's answer holds no token")
                        .context("request", requester.name.clone())
                        .context("member", token.join("."))
                })?;
                if let Some(next) = refresh_token.as_ref().and_then(|path| page.body.at(path)).filter(|next| next.truthy()) {
                    state.refresh_token = Some(next.to_plain());
                }
                (found, until(&plan.lifetime, &page.body, now)?)
            }
        };
        state.token = Some((token.clone(), until));
        Ok(token)
    }
}

fn seconds(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 4_000_000)
}

fn until(lifetime: &Lifetime, body: &Value, now: i64) -> Result<Option<i64>> {
    Ok(match lifetime {
        Lifetime::Run => None,
        Lifetime::Fixed(time) => Some(now.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))),
        Lifetime::Seconds(path) => {
            let secs = body.at(path).and_then(|secs| secs.as_f64().or_else(|| secs.as_str()?.trim().parse().ok()));
            #[expect(clippy::cast_possible_truncation, reason = "a conversion of a float keeps within the type's ends")]
            secs.map(|secs| now.saturating_add((secs * 1e6) as i64))
        }
        Lifetime::Until(path, positions) => body.at(path).map(|at| positions.read(at)).transpose()?.flatten(),
    })
}

fn sign(jwt: &Jwt, scope: &Scope<'_>, secs: i64) -> Result<String> {
    let object = |expr: &Option<super::expr::Expr>| -> Result<Map> {
        match expr.as_ref().map(|expr| expr.value(scope)).transpose()? {
            Some(Value::Map(map)) => Ok(map),
            _ => Ok(Map::default()),
        }
    };
    let mut header: Map = [("alg", Value::text(jwt.algorithm.as_str())), ("typ", Value::text("JWT"))].into_iter().collect();
    for (key, value) in object(&jwt.headers)? {
        header.insert(key, value);
    }
    let mut claims = object(&jwt.claims)?;
    let now = scope.now.as_second();
    for (name, at) in [("iat", now), ("exp", now + secs), ("nbf", now)] {
        claims.insert(name, Value::Int(at));
    }
    let encode = |map: Map| URL_SAFE_NO_PAD.encode(Value::Map(map).to_json());
    let body = format!("{}.{}", encode(header), encode(claims));
    let key = jwt.key.text(scope)?;
    let key = match jwt.key_form {
        KeyForm::Plain => key.into_bytes(),
        KeyForm::Encode => STANDARD.encode(&key).into_bytes(),
        KeyForm::Decode => STANDARD.decode(key.trim()).map_err(|_| {
            Error::new(ErrorKind::Config, "the key of the JWT is not base64").hint("give it as the vendor shows it")
        })?,
    };
    let signature = seal(&jwt.algorithm, &key, body.as_bytes())?;
    Ok(format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn seal(algorithm: &str, key: &[u8], body: &[u8]) -> Result<Vec<u8>> {
    let keyed = |kind| Ok(hmac::sign(&hmac::Key::new(kind, key), body).as_ref().to_vec());
    let bad = || {
        Error::new(ErrorKind::Config, "the key of the JWT cannot be used with its algorithm")
            .hint("give a private key in PEM (PKCS 8)")
    };
    let random = rand::SystemRandom::new();
    let rsa = |kind: &'static dyn signature::RsaEncoding| {
        let pem = unwrap_pem(key).ok_or_else(bad)?;
        let pair = RsaKeyPair::from_pkcs8(&pem).or_else(|_| RsaKeyPair::from_der(&pem)).map_err(|_| bad())?;
        let mut out = vec![0; pair.public().modulus_len()];
        pair.sign(kind, &random, body, &mut out).map_err(|_| bad())?;
        Ok(out)
    };
    let ecdsa = |kind| {
        let pair = EcdsaKeyPair::from_pkcs8(kind, &unwrap_pem(key).ok_or_else(bad)?, &random).map_err(|_| bad())?;
        pair.sign(&random, body).map(|sealed| sealed.as_ref().to_vec()).map_err(|_| bad())
    };
    match algorithm {
        "HS256" => keyed(hmac::HMAC_SHA256),
        "HS384" => keyed(hmac::HMAC_SHA384),
        "HS512" => keyed(hmac::HMAC_SHA512),
        "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
        "RS384" => rsa(&signature::RSA_PKCS1_SHA384),
        "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
        "PS256" => rsa(&signature::RSA_PSS_SHA256),
        "PS384" => rsa(&signature::RSA_PSS_SHA384),
        "PS512" => rsa(&signature::RSA_PSS_SHA512),
        "ES256" => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        "ES384" => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        "EdDSA" => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&unwrap_pem(key).ok_or_else(bad)?).map_err(|_| bad())?;
            Ok(pair.sign(body).as_ref().to_vec())
        }
        other => Err(Error::new(ErrorKind::Unsupported, format!("JWT algorithm {other} is not supported"))),
    }
}

fn unwrap_pem(key: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(key).ok()?.replace("\\n", "\n");
    let inner: String = text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(inner).ok()
}
