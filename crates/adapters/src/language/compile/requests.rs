//! Requests: addresses, parameters, bodies, who we are, what answers mean.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use headwater_sdk::ErrorKind;
use headwater_sdk::http::Method as HttpMethod;
use serde_json::Value as Json;

use super::{Compiler, Result};
use crate::engine::plan::{
    Action, Auth as AuthPlan, BodyPlan, Capture, Decoder, ErrorRules, Fallback, Handler, Home, Inject, Jwt, KeyForm, Lifetime,
    Requester, Rule, TokenPlan, TokenSource, Wait,
};
use crate::engine::{Expr, Value, constant};
use crate::language::evaluate::{Address, Object, PageVariable, Refreshed, TokenForm, Tree};
use crate::language::expr::{Known, Names, Variable};
use crate::language::spec::{
    Assertion, Auth, ClientIn, Decode, DecodeFormat, FailureKind, Grant, Method, Packed, Request, ResponseRule, SettingKind,
    Then, WaitIn,
};

/// How often a request is tried again.
const MAX_RETRIES: u32 = 5;
/// How long all waits for one request may be together.
const MAX_WAITING: Duration = Duration::from_mins(30);
/// The longest wait that a header may ask for; above it the stream fails, and the next run goes on.
const LONGEST_ASKED_WAIT: Duration = Duration::from_mins(10);
/// The longest time that a file may give an answer.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(1);
/// The path that is an address which the remote told.
const JOB_FILE: &str = "${job.file}";
/// What we sign with.
const ALGORITHMS: [&str; 12] =
    ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
/// The grant of a signed assertion (RFC 7523).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Where a token server's answer has the token.
const ACCESS_TOKEN: &str = "access_token";

impl Compiler<'_> {
    /// A request of a stream. `path` is where it stands in the file.
    pub(super) fn requester(
        &self,
        path: &str,
        request: &Request,
        (names, page): (&Names, &PageVariable),
        auth: &AuthPlan,
        rules: &[(String, &[ResponseRule])],
    ) -> Result<Requester> {
        let told = request.path.trim() == JOB_FILE;
        let whole = told || request.path.starts_with("http://") || request.path.starts_with("https://");
        let address = |path: String, text: &str, encode: bool| -> Result<Expr> {
            let placed = self.template(&path, text, names, page.clone())?;
            let below = told.then(|| self.template("api.url", &self.spec.api.url, &self.names("an address"), PageVariable::None));
            Ok(Arc::new(Address { placed, instead: self.setup.instead.clone(), encode, below: below.transpose()? }))
        };
        let (url, below) = if whole {
            (address(format!("{path}.path"), request.path.trim(), !told)?, None)
        } else {
            // The base may be one `${connection.url}`, which is an address and no part of one.
            let base = address("api.url".to_owned(), &self.spec.api.url, false)?;
            (base, Some(address(format!("{path}.path"), &request.path, true)?))
        };
        let nothing = BTreeMap::new();
        let shared = |own| if request.anonymous { &nothing } else { own };
        let mut query = self.object("api.query", shared(&self.spec.api.query), names, page)?;
        query.members.extend(self.object(&format!("{path}.query"), &request.query, names, page)?.members);
        query.first_page_only = matches!(page, PageVariable::Url(_));
        let mut headers = self.object("api.headers", shared(&self.spec.api.headers), names, page)?;
        headers.members.extend(self.object(&format!("{path}.headers"), &request.headers, names, page)?.members);
        Ok(Requester {
            name: format!("{} {}", http_method(request.method), request.path),
            url,
            path: below,
            method: http_method(request.method),
            query: (!query.members.is_empty()).then(|| Arc::new(query) as Expr),
            headers: (!headers.members.is_empty()).then(|| Arc::new(headers) as Expr),
            body: self.body(path, request, names, page)?,
            auth: if request.anonymous { Self::no_auth() } else { auth.clone() },
            decoder: self.decoder(&format!("{path}.decode"), &request.decode)?,
            cost: request.cost.map_or(1, NonZeroU32::get),
            timeout: request.timeout.as_ref().map(|text| self.timeout(&format!("{path}.timeout"), text)).transpose()?,
            errors: self.errors(rules)?,
        })
    }

    fn timeout(&self, path: &str, text: &str) -> Result<Duration> {
        let timeout = self.span(path, text)?;
        if timeout > LONGEST_TIMEOUT {
            return Err(self.error(path, "an answer may take 1 hour at most"));
        }
        Ok(timeout)
    }

    pub(super) fn object(
        &self,
        path: &str,
        members: &BTreeMap<String, String>,
        names: &Names,
        page: &PageVariable,
    ) -> Result<Object> {
        let members = members
            .iter()
            .map(|(key, text)| Ok((key.clone(), self.template(&format!("{path}.{key}"), text, names, page.clone())?)))
            .collect::<Result<_>>()?;
        Ok(Object { members, first_page_only: false })
    }

    fn body(&self, path: &str, request: &Request, names: &Names, page: &PageVariable) -> Result<BodyPlan> {
        let bodies = [request.json.is_some(), !request.form.is_empty(), request.text.is_some()];
        if bodies.iter().filter(|given| **given).count() > 1 {
            return Err(self.error(path, "a request has one body: `json`, `form` or `text`"));
        }
        if let Some(text) = &request.text {
            return Ok(BodyPlan::Text(Arc::new(self.template(&format!("{path}.text"), text, names, page.clone())?)));
        }
        if let Some(json) = &request.json {
            return Ok(BodyPlan::Json(Arc::new(self.tree(&format!("{path}.json"), json, names, page)?)));
        }
        if request.form.is_empty() {
            return Ok(BodyPlan::Empty);
        }
        Ok(BodyPlan::Form(Arc::new(self.object(&format!("{path}.form"), &request.form, names, page)?)))
    }

    pub(super) fn tree(&self, path: &str, json: &Json, names: &Names, page: &PageVariable) -> Result<Tree> {
        Ok(match json {
            Json::String(text) => Tree::Leaf(Box::new(self.template(path, text, names, page.clone())?)),
            Json::Array(items) => {
                let item = |(index, item)| self.tree(&format!("{path}[{index}]"), item, names, page);
                Tree::List(items.iter().enumerate().map(item).collect::<Result<_>>()?)
            }
            Json::Object(members) => {
                let member = |(key, member): (&String, &Json)| {
                    Ok((key.clone(), self.tree(&format!("{path}.{key}"), member, names, page)?))
                };
                Tree::Map(members.iter().map(member).collect::<Result<_>>()?)
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => Tree::Constant(Value::from(json)),
        })
    }

    fn decoder(&self, path: &str, decode: &Decode) -> Result<Decoder> {
        let Decode { format, delimiter, encoding, packed } = decode;
        if *format != DecodeFormat::Csv && (delimiter.is_some() || encoding.is_some()) {
            return Err(self.error(path, "`delimiter` and `encoding` are for `type: csv`"));
        }
        let inner = match format {
            DecodeFormat::Json => Decoder::Json,
            DecodeFormat::JsonLines => Decoder::JsonLines,
            DecodeFormat::Xml => Decoder::Xml,
            DecodeFormat::Multipart => Decoder::Multipart,
            DecodeFormat::Csv => Decoder::Csv {
                delimiter: u8::try_from(delimiter.unwrap_or(','))
                    .map_err(|_| self.error(&format!("{path}.delimiter"), "a delimiter is one ASCII character"))?,
                encoding: encoding.clone().unwrap_or_else(|| "utf-8".to_owned()),
                nulls: Vec::new(),
            },
        };
        Ok(match packed {
            Packed::No => inner,
            Packed::Gzip => Decoder::Gzip(Box::new(inner)),
            Packed::Zip => Decoder::Zip(Box::new(inner)),
        })
    }

    /// What answers mean: the stream's rules, those of the API, and the usual.
    fn errors(&self, rules: &[(String, &[ResponseRule])]) -> Result<ErrorRules> {
        let names =
            self.names("a rule about answers").with(Variable::Response, Known::Anything).with(Variable::Headers, Known::Anything);
        let mut out = Vec::new();
        for (path, rules) in rules {
            for (index, rule) in rules.iter().enumerate() {
                out.push(self.rule(&format!("{path}[{index}]"), rule, &names)?);
            }
        }
        let mut waits = Vec::new();
        if let Some(wait) = &self.spec.api.wait {
            let name = constant(wait.header.as_str());
            let pattern = wait.after.clone().map(|after| Arc::new(NumberAfter(after)) as Arc<dyn Capture>);
            waits.push(match wait.says {
                WaitIn::Seconds => Wait::Header { name, pattern, max: Some(LONGEST_ASKED_WAIT) },
                WaitIn::UnixTime => Wait::Until { name, pattern, min: None },
            });
        }
        waits.push(Wait::Header { name: constant("retry-after"), pattern: None, max: Some(LONGEST_ASKED_WAIT) });
        let handler = Handler {
            rules: out,
            fallback: Some(Fallback::Usual),
            max_retries: MAX_RETRIES,
            max_time: MAX_WAITING,
            waits,
            extra_wait: Duration::ZERO,
        };
        Ok(ErrorRules { handlers: vec![handler] })
    }

    /// What answers of a token server mean: wrong credentials are status 400 there (RFC 6749, section 5.2).
    fn token_errors(&self) -> Result<ErrorRules> {
        let mut errors = self.errors(&[])?;
        if let Some(handler) = errors.handlers.first_mut() {
            let kind = Some(ErrorKind::Auth);
            handler.rules.push(Rule {
                statuses: vec![400],
                contains: None,
                when: None,
                action: Action::Fail,
                message: None,
                kind,
            });
        }
        Ok(errors)
    }

    fn rule(&self, path: &str, rule: &ResponseRule, names: &Names) -> Result<Rule> {
        let ResponseRule { status, when, then, message, kind } = rule;
        let condition = |when: &str| -> Result<Expr> {
            Ok(Arc::new(self.condition(&format!("{path}.when"), when, names, PageVariable::None)?))
        };
        if status.is_empty() && when.is_none() {
            return Err(self.error(path, "a rule needs a `status` or a condition `when`"));
        }
        if *then != Then::Fail && (message.is_some() || kind.is_some()) {
            return Err(self.error(path, "`message` and `kind` are for `then: fail`"));
        }
        // The engine takes a rule's conditions as alternatives: where both are given, the condition holds both.
        let (statuses, when) = match (status.is_empty(), when) {
            (false, Some(when)) => {
                let list: Vec<String> = status.iter().map(u16::to_string).collect();
                let both = format!("headers.status in [{}] and ({when})", list.join(", "));
                drop(condition(when)?);
                (Vec::new(), Some(condition(&both)?))
            }
            (_, when) => (status.clone(), when.as_deref().map(condition).transpose()?),
        };
        Ok(Rule {
            statuses,
            contains: None,
            when,
            action: match then {
                Then::Accept => Action::Success,
                Then::Ignore => Action::Ignore,
                Then::Retry => Action::Retry,
                Then::RateLimit => Action::RateLimited,
                Then::Fail => Action::Fail,
                Then::RefreshToken => Action::RefreshToken,
            },
            message: message.as_ref().map(|message| constant(message.as_str())),
            kind: kind.map(|kind| match kind {
                FailureKind::Config => ErrorKind::Config,
                FailureKind::Auth => ErrorKind::Auth,
                FailureKind::NotFound => ErrorKind::NotFound,
                FailureKind::Rejected => ErrorKind::Rejected,
                FailureKind::Unavailable => ErrorKind::Unavailable,
            }),
        })
    }

    /// How requests show who we are.
    pub(super) fn auth(&self) -> Result<AuthPlan> {
        self.auth_of("api.auth", &self.spec.api.auth)
    }

    /// Where requests go and who they say they are; nothing where the address is another one for each part that is read.
    pub(super) fn home(&self, auth: AuthPlan) -> Option<Home> {
        let placed = self.template("api.url", &self.spec.api.url, &self.names("an address"), PageVariable::None).ok()?;
        let url = Address { placed, instead: self.setup.instead.clone(), encode: false, below: None };
        Some(Home { url: Arc::new(url), auth })
    }

    fn auth_of(&self, path: &str, auth: &Auth) -> Result<AuthPlan> {
        let names = self.names("a credential");
        let value = |key: &str, text: &str| -> Result<Expr> {
            Ok(Arc::new(self.template(&format!("{path}.{key}"), text, &names, PageVariable::None)?))
        };
        Ok(match auth {
            Auth::None => Self::no_auth(),
            Auth::Header { name, value: text } => {
                AuthPlan::Key { at: Inject::Header(constant(name.as_str())), value: value("value", text)? }
            }
            Auth::Query { name, value: text } => {
                AuthPlan::Key { at: Inject::Query(constant(name.as_str())), value: value("value", text)? }
            }
            Auth::Bearer { token } => AuthPlan::Bearer(value("token", token)?),
            Auth::Basic { user, password } => {
                AuthPlan::Basic { user: value("user", user)?, password: value("password", password)? }
            }
            Auth::Oauth2 { .. } => self.oauth2(path, auth, &names)?,
            Auth::Choice { by, of } => self.choice(path, by, of)?,
            Auth::Session { request, token, lifetime, header, prefix } => {
                let none = Self::no_auth();
                let requester = self.requester(&format!("{path}.request"), request, (&names, &PageVariable::None), &none, &[])?;
                AuthPlan::Token(Arc::new(TokenPlan {
                    source: TokenSource::Request {
                        requester: Box::new(requester),
                        token: token.split('.').map(str::to_owned).collect(),
                        refresh_token: None,
                        assertion: None,
                    },
                    lifetime: match lifetime {
                        None => Lifetime::Run,
                        Some(lifetime) => Lifetime::Fixed(self.span(&format!("{path}.lifetime"), lifetime)?),
                    },
                    initial: None,
                    at: Some(Inject::Header(constant(header.as_str()))),
                    prefix: Some(prefix.clone()),
                }))
            }
            Auth::Jwt { algorithm, key, key_is_base64, headers, claims, lifetime, prefix } => {
                let key_form = if *key_is_base64 { KeyForm::Decode } else { KeyForm::Plain };
                AuthPlan::Token(Arc::new(TokenPlan {
                    source: TokenSource::Jwt(self.signed(
                        path,
                        (algorithm.as_str(), key.as_str(), key_form),
                        (headers, claims),
                    )?),
                    lifetime: Lifetime::Fixed(self.span(&format!("{path}.lifetime"), lifetime)?),
                    initial: None,
                    at: None,
                    prefix: Some(prefix.clone()),
                }))
            }
        })
    }

    /// A JWT that we sign. `path` is where its keys stand.
    fn signed(
        &self,
        path: &str,
        (algorithm, key, key_form): (&str, &str, KeyForm),
        (headers, claims): (&BTreeMap<String, String>, &BTreeMap<String, String>),
    ) -> Result<Jwt> {
        let names = self.names("a credential");
        let object = |path: &str, members: &BTreeMap<String, String>| -> Result<Option<Expr>> {
            let object = self.object(path, members, &names, &PageVariable::None)?;
            Ok((!object.members.is_empty()).then(|| Arc::new(object) as Expr))
        };
        if !ALGORITHMS.contains(&algorithm) {
            let error = self.error(&format!("{path}.algorithm"), format!("`{algorithm}` is no algorithm that we sign with"));
            return Err(error.help(format!("there are: {}", ALGORITHMS.join(", "))));
        }
        Ok(Jwt {
            algorithm: algorithm.to_owned(),
            key: Arc::new(self.template(&format!("{path}.key"), key, &names, PageVariable::None)?),
            key_form,
            headers: object(&format!("{path}.headers"), headers)?,
            claims: object(&format!("{path}.claims"), claims)?,
        })
    }

    /// The way that a setting names; where there is no connection yet, all are looked at.
    fn choice(&self, path: &str, by: &str, of: &BTreeMap<String, Auth>) -> Result<AuthPlan> {
        let Some(setting) = self.spec.connection.get(by) else {
            let error = self.error(&format!("{path}.by"), format!("there is no setting `{by}`"));
            return Err(error.help("name one of `connection`, of `type: text` with `one_of`"));
        };
        let named: BTreeSet<&str> = setting.one_of.iter().map(String::as_str).collect();
        if setting.kind != SettingKind::Text || named != of.keys().map(String::as_str).collect::<BTreeSet<_>>() {
            let error =
                self.error(&format!("connection.{by}"), format!("`{by}` names how to sign in, so its values are those ways"));
            let ways: Vec<&str> = of.keys().map(String::as_str).collect();
            return Err(error.help(format!("write `type: text` and `one_of: [{}]`", ways.join(", "))));
        }
        let mut plans = BTreeMap::new();
        for (name, auth) in of {
            if matches!(auth, Auth::Choice { .. }) {
                return Err(self.error(&format!("{path}.of.{name}"), "a choice has no choice in it"));
            }
            plans.insert(name.as_str(), self.auth_of(&format!("{path}.of.{name}"), auth)?);
        }
        let chosen = self.setup.config.get(by).and_then(Value::as_str).unwrap_or_default();
        Ok(plans.remove(chosen).unwrap_or_else(Self::no_auth))
    }

    fn oauth2(&self, path: &str, auth: &Auth, names: &Names) -> Result<AuthPlan> {
        let Auth::Oauth2 {
            grant,
            token_url,
            client_id,
            client_secret,
            refresh_token,
            assertion,
            scopes,
            client_in,
            form,
            prefix,
        } = auth
        else {
            return Ok(Self::no_auth());
        };
        let placed = |key: &str, text: &str| self.template(&format!("{path}.{key}"), text, names, PageVariable::None);
        let needs = |key: &str, given: bool, wanted: bool| match (given, wanted) {
            (false, true) => Err(self.error(path, format!("this `grant` needs a `{key}`"))),
            (true, false) => Err(self.error(&format!("{path}.{key}"), format!("`{key}` is not for this `grant`"))),
            _ => Ok(()),
        };
        let signs = *grant == Grant::JwtBearer;
        needs("refresh_token", refresh_token.is_some(), *grant == Grant::RefreshToken)?;
        needs("assertion", assertion.is_some(), signs)?;
        if !signs {
            needs("client_id", client_id.is_some(), true)?;
            needs("client_secret", client_secret.is_some(), true)?;
        }
        let mut members = self.object(&format!("{path}.form"), form, names, &PageVariable::None)?;
        let mut add = |key: &str, path: &str, text: &str| -> Result<()> {
            members.members.push((key.to_owned(), placed(path, text)?));
            Ok(())
        };
        let grant_word = match grant {
            Grant::RefreshToken => "refresh_token",
            Grant::ClientCredentials => "client_credentials",
            Grant::JwtBearer => JWT_BEARER,
        };
        add("grant_type", "grant", grant_word)?;
        if !scopes.is_empty() {
            add("scope", "scopes", &scopes.join(" "))?;
        }
        let client = client_id.as_ref().zip(client_secret.as_ref());
        if let (Some((id, secret)), ClientIn::Form) = (client, client_in) {
            add("client_id", "client_id", id)?;
            add("client_secret", "client_secret", secret)?;
        }
        let refreshed = refresh_token.as_ref().map(|token| placed("refresh_token", token).map(Refreshed)).transpose()?;
        let client = match (client, client_in) {
            (Some((id, secret)), ClientIn::Basic) => {
                AuthPlan::Basic { user: Arc::new(placed("client_id", id)?), password: Arc::new(placed("client_secret", secret)?) }
            }
            _ => AuthPlan::None,
        };
        let assertion = match assertion {
            None => None,
            Some(Assertion { algorithm, key, headers, claims, lifetime }) => {
                let at = format!("{path}.assertion");
                let jwt = self.signed(&at, (algorithm.as_str(), key.as_str(), KeyForm::Plain), (headers, claims))?;
                Some((jwt, self.span(&format!("{at}.lifetime"), lifetime)?))
            }
        };
        let url =
            Address { placed: placed("token_url", token_url)?, instead: self.setup.instead.clone(), encode: false, below: None };
        let requester = Requester {
            name: "POST token".to_owned(),
            url: Arc::new(url),
            path: None,
            method: HttpMethod::POST,
            query: None,
            headers: None,
            body: BodyPlan::Form(Arc::new(TokenForm { members, refresh_token: refreshed })),
            auth: client,
            decoder: Decoder::Json,
            cost: 1,
            timeout: None,
            errors: self.token_errors()?,
        };
        Ok(AuthPlan::Token(Arc::new(TokenPlan {
            source: TokenSource::Request {
                requester: Box::new(requester),
                token: vec![ACCESS_TOKEN.to_owned()],
                refresh_token: (!signs).then(|| vec!["refresh_token".to_owned()]),
                assertion,
            },
            lifetime: Lifetime::Seconds(vec!["expires_in".to_owned()]),
            initial: None,
            at: None,
            prefix: Some(prefix.clone()),
        })))
    }
}

/// Finds the number that stands behind a text.
#[derive(Debug)]
struct NumberAfter(String);

impl Capture for NumberAfter {
    fn capture(&self, text: &str) -> Option<String> {
        let (_, rest) = text.split_once(&self.0)?;
        let number: String = rest.trim_start().chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
        (!number.is_empty()).then_some(number)
    }
}

fn http_method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::GET,
        Method::Post => HttpMethod::POST,
        Method::Put => HttpMethod::PUT,
        Method::Patch => HttpMethod::PATCH,
        Method::Delete => HttpMethod::DELETE,
    }
}
