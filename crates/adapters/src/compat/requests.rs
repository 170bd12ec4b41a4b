//! Requesters of a manifest: URLs, bodies, authenticators, error handlers.

use std::sync::Arc;
use std::time::Duration;

use headwater_sdk::ErrorKind;
use headwater_sdk::http::Method;

use super::Problem;
use super::compile::{Compiler, fixed, not_supported};
use super::document::Node;
use super::exprs::{Known, Members, Merged, Part, Pattern, Whole, shared};
use super::jinja::{Empty, Kinds, time};
use super::times::Formats;
use crate::engine::plan::{
    Action, Auth, BodyPlan, Capture, Decoder, ErrorRules, Fallback, Handler, Inject, Jwt, KeyForm, Lifetime, Positions as _,
    Requester, Rule, TokenPlan, TokenSource, Wait,
};
use crate::engine::{Evaluate as _, Expr, Value, constant};

/// How often a request is tried again unless the manifest says.
const MAX_RETRIES: u32 = 5;
/// How long retries may take in all.
const MAX_TIME: Duration = Duration::from_mins(10);
/// What the program that these manifests are for adds to each wait that a manifest asks for.
const EXTRA_WAIT: Duration = Duration::from_secs(1);

impl Compiler<'_> {
    pub(super) fn requester(&self, node: &Node<'_>) -> Result<Requester, Problem> {
        if node.kind() != "HttpRequester" {
            return Err(node.problem("", not_supported(node.kind())));
        }
        for name in ["fetch_properties_from_endpoint", "query_properties"] {
            if node.get(name).is_some() {
                return Err(node.problem(name, "this is not supported"));
            }
        }
        let base = if node.get("url_base").is_some() { "url_base" } else { "url" };
        let url = self.need_template(node, base)?.kinds(Kinds::Text).empty(Empty::Text);
        self.note_host(&url);
        let path = self.template(node, "path")?.map(|path| path.kinds(Kinds::Text).empty(Empty::Text));
        let method = match node.text("http_method")? {
            None | Some("GET") => Method::GET,
            Some(other) => Method::from_bytes(other.to_ascii_uppercase().as_bytes())
                .map_err(|_| node.problem("http_method", "a method is expected here, such as GET"))?,
        };
        let name = node.text("path")?.or(node.text(base)?).unwrap_or("/").to_owned();
        Ok(Requester {
            name,
            url: shared(url),
            path: path.map(shared),
            method,
            query: self.pairs(node, "request_parameters", Kinds::TextOrList)?,
            headers: self.pairs(node, "request_headers", Kinds::Text)?,
            body: self.body(node)?,
            auth: node.child("authenticator")?.map(|auth| self.auth(&auth, node)).transpose()?.unwrap_or_default(),
            decoder: Decoder::Json,
            cost: 1,
            timeout: None,
            errors: node.child("error_handler")?.map(|errors| self.errors(&errors)).transpose()?.unwrap_or_else(usual_errors),
        })
    }

    fn pairs(&self, node: &Node<'_>, name: &str, kinds: Kinds) -> Result<Option<Expr>, Problem> {
        match node.get(name) {
            None => Ok(None),
            Some(Value::Map(map)) => {
                if map.iter().any(|(_, value)| value.get("type").and_then(Value::as_str) == Some("QueryProperties")) {
                    return Err(node.problem(name, "QueryProperties is not supported"));
                }
                Ok(self.members(node, name, kinds)?.map(shared))
            }
            Some(_) => Ok(Some(shared(Whole(self.need_template(node, name)?)))),
        }
    }

    fn body(&self, node: &Node<'_>) -> Result<BodyPlan, Problem> {
        if let Some(body) = node.child("request_body")? {
            return Ok(match body.kind() {
                "RequestBodyPlainText" => BodyPlan::Text(shared(self.need_template(&body, "value")?.empty(Empty::Text))),
                "RequestBodyUrlEncodedForm" => self.form(&body, "value")?,
                "RequestBodyJsonObject" | "RequestBodyGraphQL" => self.json(&body, "value")?,
                other => return Err(body.problem("", not_supported(other))),
            });
        }
        if node.get("request_body_json").is_some() {
            return self.json(node, "request_body_json");
        }
        if node.get("request_body_data").is_some() {
            return self.form(node, "request_body_data");
        }
        Ok(BodyPlan::Empty)
    }

    fn json(&self, node: &Node<'_>, name: &str) -> Result<BodyPlan, Problem> {
        let part = self.part(node.need(name)?, node, &node.at(name), Kinds::Any)?;
        let part = match part {
            // A GraphQL body says its type along; that is not for the remote.
            Part::Map(members) => {
                Part::Map(members.into_iter().filter(|(key, _)| key.constant().and_then(Value::as_str) != Some("type")).collect())
            }
            other => other,
        };
        Ok(BodyPlan::Json(shared(part)))
    }

    fn form(&self, node: &Node<'_>, name: &str) -> Result<BodyPlan, Problem> {
        match node.need(name)? {
            Value::Map(_) => {
                let members = self.members(node, name, Kinds::TextOrList)?;
                Ok(members.map_or(BodyPlan::Empty, |members| BodyPlan::Form(shared(members))))
            }
            _ => Ok(BodyPlan::Text(shared(self.need_template(node, name)?.kinds(Kinds::Text).empty(Empty::Text)))),
        }
    }

    /// A secret is used as it was given: nothing in it is read as a number.
    fn secret(&self, node: &Node<'_>, name: &str) -> Result<Expr, Problem> {
        Ok(shared(self.need_template(node, name)?.kinds(Kinds::Text).empty(Empty::Text)))
    }

    /// How requests of the requester `of` are signed.
    fn auth(&self, node: &Node<'_>, of: &Node<'_>) -> Result<Auth, Problem> {
        Ok(match node.kind() {
            "NoAuth" => Auth::None,
            "BearerAuthenticator" => Auth::Bearer(self.secret(node, "api_token")?),
            "BasicHttpAuthenticator" => {
                let password = if node.get("password").is_some() { self.secret(node, "password")? } else { constant("") };
                Auth::Basic { user: self.secret(node, "username")?, password }
            }
            "ApiKeyAuthenticator" => {
                let at = match node.child("inject_into")? {
                    Some(at) => self.inject(&at)?,
                    None => Inject::Header(shared(self.need_template(node, "header")?.kinds(Kinds::Text))),
                };
                let value = if node.get("api_token").is_some() { self.secret(node, "api_token")? } else { constant("") };
                Auth::Key { at, value }
            }
            "SelectiveAuthenticator" => {
                let path = node.texts("authenticator_selection_path")?;
                let chosen = self.config.at(&path).map(Value::to_plain).unwrap_or_default();
                let all = node.need_child("authenticators")?;
                let one = all.child(&chosen)?.ok_or_else(|| {
                    node.problem(
                        "authenticators",
                        format!("the settings choose none of them: `{}` is missing or names another", path.join(".")),
                    )
                })?;
                return self.auth(&one, of);
            }
            "OAuthAuthenticator" => Auth::Token(Arc::new(self.oauth(node)?)),
            "SessionTokenAuthenticator" => Auth::Token(Arc::new(self.session(node)?)),
            "LegacySessionTokenAuthenticator" => Auth::Token(Arc::new(self.legacy_session(node, of)?)),
            "JwtAuthenticator" => Auth::Token(Arc::new(self.jwt(node)?)),
            other => return Err(node.problem("", not_supported(other))),
        })
    }

    fn oauth(&self, node: &Node<'_>) -> Result<TokenPlan, Problem> {
        if node.flag("use_profile_assertion")? {
            return Err(node.problem("use_profile_assertion", "this is not supported"));
        }
        let named = |name: &str, usual: &str| -> Result<String, Problem> {
            Ok(self.settled(node, name)?.map_or_else(|| usual.to_owned(), |value| value.to_plain()))
        };
        let lifetime_name = named("expires_in_name", "expires_in")?;
        let format = node.text("token_expiry_date_format")?;
        let lifetime = match format {
            Some(format) => {
                Lifetime::Until(vec![lifetime_name], Arc::new(Formats { read: Vec::new(), write: format.to_owned() }))
            }
            None => Lifetime::Seconds(vec![lifetime_name]),
        };
        let token_name = named("access_token_name", "access_token")?;
        let refresh_name = named("refresh_token_name", "refresh_token")?;
        let mut initial = None;
        if node.get("access_token_value").is_some() {
            let until = self.settled(node, "token_expiry_date")?.filter(Value::truthy);
            let usual = Formats { read: format.map(str::to_owned).into_iter().collect(), write: "%Y-%m-%dT%H:%M:%SZ".to_owned() };
            let until = until
                .map(|at| usual.read(&at))
                .transpose()
                .map_err(|error| node.problem("token_expiry_date", error.to_string()))?;
            let lasts = if node.get("token_refresh_endpoint").is_none() { Some(i64::MAX) } else { until.flatten() };
            initial = lasts.map(|until| Ok::<_, Problem>((self.secret(node, "access_token_value")?, until))).transpose()?;
        }
        let endpoint = if node.get("token_refresh_endpoint").is_some() { "token_refresh_endpoint" } else { "access_token_value" };
        let url = self.need_template(node, endpoint)?.kinds(Kinds::Text).empty(Empty::Text);
        self.note_host(&url);
        let form = self.oauth_form(node, &refresh_name)?;
        let (query, body) = if node.flag("send_refresh_request_as_query_params")? {
            (Some(form), BodyPlan::Empty)
        } else {
            (None, BodyPlan::Form(form))
        };
        let headers =
            self.members(node, "refresh_request_headers", Kinds::Any)?.map(|headers| shared(Members { strict: true, ..headers }));
        let requester = Requester {
            name: "the token".to_owned(),
            url: shared(url),
            path: None,
            method: Method::POST,
            query,
            headers,
            body,
            auth: Auth::None,
            decoder: Decoder::Json,
            cost: 1,
            timeout: None,
            errors: usual_errors(),
        };
        let rotates = node.get("refresh_token_updater").is_some() || node.get("refresh_token").is_some();
        Ok(TokenPlan {
            source: TokenSource::Request {
                requester: Box::new(requester),
                token: token_name.split('.').map(str::to_owned).collect(),
                refresh_token: rotates.then(|| vec![refresh_name]),
                assertion: None,
            },
            lifetime,
            initial,
            at: None,
            prefix: None,
        })
    }

    fn oauth_form(&self, node: &Node<'_>, refresh_name: &str) -> Result<Expr, Problem> {
        let text = |name: &str, usual: &str| -> Result<String, Problem> {
            Ok(self.settled(node, name)?.map_or_else(|| usual.to_owned(), |value| value.to_plain()))
        };
        let grant = text("grant_type", "refresh_token")?;
        let mut members: Vec<(String, Expr)> = vec![(text("grant_type_name", "grant_type")?, constant(grant))];
        for (name, named, usual) in
            [("client_id", "client_id_name", "client_id"), ("client_secret", "client_secret_name", "client_secret")]
        {
            if node.get(name).is_some() {
                members.push((text(named, usual)?, self.secret(node, name)?));
            }
        }
        if node.get("refresh_token").is_some() {
            let first = self.secret(node, "refresh_token")?;
            members.push((refresh_name.to_owned(), shared(Known("refresh_token", first))));
        }
        let scopes = node.texts("scopes")?;
        if !scopes.is_empty() {
            members.push(("scopes".to_owned(), fixed(Value::List(scopes.into_iter().map(Value::text).collect()))));
        }
        let mut parts: Vec<Expr> = vec![shared(Named(members))];
        parts.extend(self.members(node, "refresh_request_body", Kinds::TextOrList)?.map(shared));
        Ok(shared(Merged(parts)))
    }

    fn session(&self, node: &Node<'_>) -> Result<TokenPlan, Problem> {
        let mut requester = self.requester(&node.need_child("login_requester")?)?;
        requester.decoder = self.decoder(node, "decoder")?;
        let lifetime =
            match self.settled(node, "expiration_duration")?.as_ref().and_then(Value::as_str) {
                None => Lifetime::Run,
                Some(text) => {
                    let micros =
                        time::duration(text).as_ref().and_then(time::fixed_micros).and_then(|micros| u64::try_from(micros).ok());
                    Lifetime::Fixed(Duration::from_micros(micros.ok_or_else(|| {
                        node.problem("expiration_duration", "an ISO 8601 duration is expected here, such as PT1H")
                    })?))
                }
            };
        let request = node.need_child("request_authentication")?;
        let (at, prefix) = match request.kind() {
            "Bearer" => (None, None),
            "ApiKey" => {
                let at = Some(self.inject(&request.need_child("inject_into")?)?);
                let prefix = match request.text("api_token")? {
                    None => None,
                    Some(text) => {
                        let before = text.split("{{").next().unwrap_or_default();
                        Some(before.to_owned()).filter(|before| !before.is_empty())
                    }
                };
                (at, prefix)
            }
            other => return Err(request.problem("", not_supported(other))),
        };
        let token = node.texts("session_token_path")?;
        let source = TokenSource::Request { requester: Box::new(requester), token, refresh_token: None, assertion: None };
        Ok(TokenPlan { source, lifetime, initial: None, at, prefix })
    }

    /// A token that the settings give, until it is refused; else, and then, one for user and password.
    fn legacy_session(&self, node: &Node<'_>, of: &Node<'_>) -> Result<TokenPlan, Problem> {
        let given = self.settled(node, "session_token")?.is_some_and(|token| token.truthy());
        let base = if of.get("url_base").is_some() { "url_base" } else { "url" };
        let members = [("username", self.secret(node, "username")?), ("password", self.secret(node, "password")?)];
        let login = Requester {
            name: "the session token".to_owned(),
            url: shared(self.need_template(of, base)?.kinds(Kinds::Text).empty(Empty::Text)),
            path: Some(shared(self.need_template(node, "login_url")?.kinds(Kinds::Text).empty(Empty::Text))),
            method: Method::POST,
            query: None,
            headers: None,
            body: BodyPlan::Json(shared(Named(members.map(|(name, value)| (name.to_owned(), value)).into()))),
            auth: Auth::None,
            decoder: Decoder::Json,
            cost: 1,
            timeout: None,
            errors: usual_errors(),
        };
        let key = self.settled(node, "session_token_response_key")?.unwrap_or_default().to_plain();
        let source = TokenSource::Request { requester: Box::new(login), token: vec![key], refresh_token: None, assertion: None };
        let initial = if given { Some((self.secret(node, "session_token")?, i64::MAX)) } else { None };
        let header = self.need_template(node, "header")?.kinds(Kinds::Text);
        Ok(TokenPlan { source, lifetime: Lifetime::Run, initial, at: Some(Inject::Header(shared(header))), prefix: None })
    }

    fn jwt(&self, node: &Node<'_>) -> Result<TokenPlan, Problem> {
        let merged = |first: &str, second: &str| -> Result<Option<Expr>, Problem> {
            let mut parts: Vec<Expr> = Vec::new();
            for name in [first, second] {
                parts.extend(self.members(node, name, Kinds::Any)?.map(shared));
            }
            Ok(Some(shared(Merged(parts))))
        };
        let secs = self.settled_int(node, "token_duration")?.and_then(|secs| u64::try_from(secs).ok()).unwrap_or(1_200);
        let prefix = self.settled(node, "header_prefix")?.filter(Value::truthy).map(|prefix| format!("{} ", prefix.to_plain()));
        Ok(TokenPlan {
            source: TokenSource::Jwt(Jwt {
                algorithm: node.text("algorithm")?.unwrap_or("HS256").to_owned(),
                key: self.secret(node, "secret_key")?,
                key_form: if node.flag("base64_encode_secret_key")? { KeyForm::Encode } else { KeyForm::Plain },
                headers: merged("jwt_headers", "additional_jwt_headers")?,
                claims: merged("jwt_payload", "additional_jwt_payload")?,
            }),
            lifetime: Lifetime::Fixed(Duration::from_secs(secs)),
            initial: None,
            at: node.child("request_option")?.map(|at| self.inject(&at)).transpose()?,
            prefix: Some(prefix.unwrap_or_default()),
        })
    }

    fn errors(&self, node: &Node<'_>) -> Result<ErrorRules, Problem> {
        match node.kind() {
            "DefaultErrorHandler" => Ok(ErrorRules { handlers: vec![self.handler(node)?] }),
            "CompositeErrorHandler" => {
                let mut handlers = Vec::new();
                for inner in node.children("error_handlers")? {
                    handlers.extend(self.errors(&inner)?.handlers);
                }
                Ok(ErrorRules { handlers })
            }
            other => Err(node.problem("", not_supported(other))),
        }
    }

    fn handler(&self, node: &Node<'_>) -> Result<Handler, Problem> {
        let retries = self.settled_int(node, "max_retries")?.and_then(|most| u32::try_from(most).ok());
        Ok(Handler {
            rules: node.children("response_filters")?.iter().map(|rule| self.rule(rule)).collect::<Result<_, _>>()?,
            fallback: Some(Fallback::Usual),
            max_retries: retries.unwrap_or(MAX_RETRIES),
            max_time: MAX_TIME,
            waits: node.children("backoff_strategies")?.iter().map(|wait| self.wait(wait)).collect::<Result<_, _>>()?,
            extra_wait: EXTRA_WAIT,
        })
    }

    fn rule(&self, node: &Node<'_>) -> Result<Rule, Problem> {
        let statuses: Vec<u16> = match node.get("http_codes") {
            Some(Value::List(codes)) => {
                codes.iter().filter_map(Value::as_int).filter_map(|code| u16::try_from(code).ok()).collect()
            }
            _ => Vec::new(),
        };
        let action = match node.text("action")? {
            // The records of a refusal are not read, whatever the manifest calls it.
            Some("SUCCESS") if !statuses.is_empty() && statuses.iter().all(|status| *status >= 400) => Action::Ignore,
            Some("SUCCESS") => Action::Success,
            Some("RETRY") => Action::Retry,
            Some("IGNORE") => Action::Ignore,
            Some("RATE_LIMITED") => Action::RateLimited,
            Some("REFRESH_TOKEN_THEN_RETRY") => Action::RefreshToken,
            Some("RESET_PAGINATION") => Action::ResetPages,
            None | Some("FAIL") => Action::Fail,
            Some(other) => return Err(node.problem("action", format!("{other} is not supported"))),
        };
        let kind = match node.text("failure_type")? {
            Some("config_error") => Some(ErrorKind::Config),
            Some("transient_error") => Some(ErrorKind::Unavailable),
            Some("system_error") => Some(ErrorKind::Rejected),
            _ => None,
        };
        Ok(Rule {
            statuses,
            contains: self.settled(node, "error_message_contains")?.map(|text| text.to_plain()),
            when: self.template(node, "predicate")?.filter(|_| node.get("predicate").is_some_and(Value::truthy)).map(shared),
            action,
            message: self.template(node, "error_message")?.map(|message| shared(message.empty(Empty::Text))),
            kind,
        })
    }

    fn wait(&self, node: &Node<'_>) -> Result<Wait, Problem> {
        let number = |name: &str| Ok::<_, Problem>(self.template(node, name)?.map(shared));
        let header = || -> Result<Expr, Problem> { Ok(shared(self.need_template(node, "header")?.kinds(Kinds::Text))) };
        let pattern = || -> Result<Option<Arc<dyn Capture>>, Problem> {
            let Some(text) = self.settled(node, "regex")? else { return Ok(None) };
            let found =
                pattern(&text.to_plain()).ok_or_else(|| node.problem("regex", "the regular expression cannot be read"))?;
            Ok(Some(found))
        };
        Ok(match node.kind() {
            "ConstantBackoffStrategy" => Wait::Constant(number("backoff_time_in_seconds")?.unwrap_or_else(|| constant(1_i64))),
            "ExponentialBackoffStrategy" => Wait::Exponential(number("factor")?.unwrap_or_else(|| constant(5_i64))),
            "WaitTimeFromHeader" => {
                let max = self.seconds(node, "max_waiting_time_in_seconds")?;
                Wait::Header { name: header()?, pattern: pattern()?, max }
            }
            "WaitUntilTimeFromHeader" => Wait::Until { name: header()?, pattern: pattern()?, min: number("min_wait")? },
            "WaitTimeFromResponse" => Wait::Constant(number("wait_time_in_seconds")?.unwrap_or_else(|| constant(1_i64))),
            other => return Err(node.problem("", not_supported(other))),
        })
    }
}

/// A regular expression that is looked for anywhere in a text.
pub(super) fn pattern(text: &str) -> Option<Arc<dyn Capture>> {
    let found = regex::RegexBuilder::new(text).size_limit(1 << 20).build().ok()?;
    Some(Arc::new(Pattern(found)))
}

/// What answers mean where the manifest says nothing.
pub(super) fn usual_errors() -> ErrorRules {
    let handler = Handler {
        rules: Vec::new(),
        fallback: Some(Fallback::Usual),
        max_retries: MAX_RETRIES,
        max_time: MAX_TIME,
        waits: Vec::new(),
        extra_wait: EXTRA_WAIT,
    };
    ErrorRules { handlers: vec![handler] }
}

/// An object of expressions.
#[derive(Debug)]
struct Named(Vec<(String, Expr)>);

impl crate::engine::Evaluate for Named {
    fn value(&self, scope: &crate::engine::Scope<'_>) -> headwater_sdk::Result<Value> {
        let members = self.0.iter().map(|(name, value)| Ok((name.as_str(), value.value(scope)?)));
        Ok(Value::Map(members.collect::<headwater_sdk::Result<_>>()?))
    }
}
