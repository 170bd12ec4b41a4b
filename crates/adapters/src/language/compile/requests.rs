//! Requests: addresses, parameters, bodies, who we are, what answers mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_sdk::ErrorKind;
use headwater_sdk::http::Method as HttpMethod;
use serde_json::Value as Json;

use super::{Compiler, Result};
use crate::engine::plan::{
    Action, Auth as AuthPlan, BodyPlan, Capture, Decoder, ErrorRules, Fallback, Handler, Inject, Jwt, KeyForm, Lifetime,
    Requester, Rule, TokenPlan, TokenSource, Wait,
};
use crate::engine::{Expr, Value, constant};
use crate::language::evaluate::{Address, Object, PageVariable, Refreshed, TokenForm, Tree};
use crate::language::expr::{Known, Names, Variable};
use crate::language::spec::{
    Auth, ClientIn, Decode, DecodeFormat, FailureKind, Grant, Method, Packed, Request, ResponseRule, Then, WaitIn,
};

/// How often a request is tried again.
const MAX_RETRIES: u32 = 5;
/// How long all waits for one request may be together.
const MAX_WAITING: Duration = Duration::from_mins(30);
/// The longest wait that a header may ask for; above it the stream fails, and the next run goes on.
const LONGEST_ASKED_WAIT: Duration = Duration::from_mins(10);
/// How long a token lasts where the server does not say.
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
        let whole = request.path.starts_with("http://") || request.path.starts_with("https://");
        let address = |path: String, text: &str, encode: bool| -> Result<Expr> {
            let placed = self.template(&path, text, names, page.clone())?;
            Ok(Arc::new(Address { placed, instead: self.setup.instead.clone(), encode, below: None }))
        };
        let (url, below) = if whole {
            (address(format!("{path}.path"), &request.path, true)?, None)
        } else {
            // The base may be one `${connection.url}`, which is an address and no part of one.
            let base = address("api.url".to_owned(), &self.spec.api.url, false)?;
            (base, Some(address(format!("{path}.path"), &request.path, true)?))
        };
        let mut query = self.object("api.query", &self.spec.api.query, names, page)?;
        query.members.extend(self.object(&format!("{path}.query"), &request.query, names, page)?.members);
        query.first_page_only = matches!(page, PageVariable::Url(_));
        let mut headers = self.object("api.headers", &self.spec.api.headers, names, page)?;
        headers.members.extend(self.object(&format!("{path}.headers"), &request.headers, names, page)?.members);
        Ok(Requester {
            name: format!("{} {}", http_method(request.method), request.path),
            url,
            path: below,
            method: http_method(request.method),
            query: (!query.members.is_empty()).then(|| Arc::new(query) as Expr),
            headers: (!headers.members.is_empty()).then(|| Arc::new(headers) as Expr),
            body: self.body(path, request, names, page)?,
            auth: auth.clone(),
            decoder: self.decoder(&format!("{path}.decode"), &request.decode)?,
            errors: self.errors(rules)?,
        })
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
        let names = self.names("a credential");
        let value = |key: &str, text: &str| -> Result<Expr> {
            Ok(Arc::new(self.template(&format!("api.auth.{key}"), text, &names, PageVariable::None)?))
        };
        Ok(match &self.spec.api.auth {
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
            Auth::Oauth2 { .. } => self.oauth2(&names)?,
            Auth::Session { request, token, lifetime, header, prefix } => {
                let none = Self::no_auth();
                let requester = self.requester("api.auth.request", request, (&names, &PageVariable::None), &none, &[])?;
                AuthPlan::Token(Arc::new(TokenPlan {
                    source: TokenSource::Request {
                        requester: Box::new(requester),
                        token: token.split('.').map(str::to_owned).collect(),
                        refresh_token: None,
                    },
                    lifetime: match lifetime {
                        None => Lifetime::Run,
                        Some(lifetime) => Lifetime::Fixed(self.span("api.auth.lifetime", lifetime)?),
                    },
                    initial: None,
                    at: Some(Inject::Header(constant(header.as_str()))),
                    prefix: Some(prefix.clone()),
                }))
            }
            Auth::Jwt { algorithm, key, key_is_base64, headers, claims, lifetime, prefix } => {
                let object = |path: &str, members: &BTreeMap<String, String>| -> Result<Option<Expr>> {
                    let object = self.object(path, members, &names, &PageVariable::None)?;
                    Ok((!object.members.is_empty()).then(|| Arc::new(object) as Expr))
                };
                AuthPlan::Token(Arc::new(TokenPlan {
                    source: TokenSource::Jwt(Jwt {
                        algorithm: algorithm.clone(),
                        key: value("key", key)?,
                        key_form: if *key_is_base64 { KeyForm::Decode } else { KeyForm::Plain },
                        headers: object("api.auth.headers", headers)?,
                        claims: object("api.auth.claims", claims)?,
                    }),
                    lifetime: Lifetime::Fixed(self.span("api.auth.lifetime", lifetime)?),
                    initial: None,
                    at: None,
                    prefix: Some(prefix.clone()),
                }))
            }
        })
    }

    fn oauth2(&self, names: &Names) -> Result<AuthPlan> {
        let Auth::Oauth2 { grant, token_url, client_id, client_secret, refresh_token, scopes, client_in, form, prefix } =
            &self.spec.api.auth
        else {
            return Ok(Self::no_auth());
        };
        let placed = |key: &str, text: &str| self.template(&format!("api.auth.{key}"), text, names, PageVariable::None);
        let mut members = self.object("api.auth.form", form, names, &PageVariable::None)?;
        let mut add = |key: &str, path: &str, text: &str| -> Result<()> {
            members.members.push((key.to_owned(), placed(path, text)?));
            Ok(())
        };
        let grant_word = match grant {
            Grant::RefreshToken => "refresh_token",
            Grant::ClientCredentials => "client_credentials",
        };
        add("grant_type", "grant", grant_word)?;
        if !scopes.is_empty() {
            add("scope", "scopes", &scopes.join(" "))?;
        }
        if *client_in == ClientIn::Form {
            add("client_id", "client_id", client_id)?;
            add("client_secret", "client_secret", client_secret)?;
        }
        let refresh_token = match (grant, refresh_token) {
            (Grant::RefreshToken, Some(token)) => Some(Refreshed(placed("refresh_token", token)?)),
            (Grant::RefreshToken, None) => {
                return Err(self.error("api.auth", "`grant: refresh_token` needs a `refresh_token`"));
            }
            (Grant::ClientCredentials, _) => None,
        };
        let client = match client_in {
            ClientIn::Form => AuthPlan::None,
            ClientIn::Basic => AuthPlan::Basic {
                user: Arc::new(placed("client_id", client_id)?),
                password: Arc::new(placed("client_secret", client_secret)?),
            },
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
            body: BodyPlan::Form(Arc::new(TokenForm { members, refresh_token })),
            auth: client,
            decoder: Decoder::Json,
            errors: self.token_errors()?,
        };
        Ok(AuthPlan::Token(Arc::new(TokenPlan {
            source: TokenSource::Request {
                requester: Box::new(requester),
                token: vec![ACCESS_TOKEN.to_owned()],
                refresh_token: Some(vec!["refresh_token".to_owned()]),
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
