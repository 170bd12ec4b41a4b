//! How a request shows who we are.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Request;

/// How a request shows who we are.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// A value in a header.
    Header {
        /// The header.
        name: String,
        /// Its value.
        value: String,
    },
    /// A value in a query parameter.
    Query {
        /// The parameter.
        name: String,
        /// Its value.
        value: String,
    },
    /// `Authorization: Bearer …`.
    Bearer {
        /// The token.
        token: String,
    },
    /// `Authorization: Basic …`.
    Basic {
        /// The user.
        user: String,
        /// The password; may be empty.
        #[serde(default)]
        password: String,
    },
    /// A token of an OAuth 2 server, fetched when needed and when it expires.
    Oauth2 {
        /// How the token is got.
        grant: Grant,
        /// Where.
        token_url: String,
        /// The client; every grant but `jwt_bearer` needs it.
        #[serde(default)]
        client_id: Option<String>,
        /// Its secret.
        #[serde(default)]
        client_secret: Option<String>,
        /// The refresh token, for `grant: refresh_token`.
        #[serde(default)]
        refresh_token: Option<String>,
        /// What we assert and sign, for `grant: jwt_bearer`.
        #[serde(default)]
        assertion: Option<Assertion>,
        /// Scopes to ask for.
        #[serde(default)]
        scopes: Vec<String>,
        /// Where the client's id and secret are sent.
        #[serde(default)]
        client_in: ClientIn,
        /// Further form fields.
        #[serde(default)]
        form: BTreeMap<String, String>,
        /// What stands before the token in the `Authorization` header.
        #[serde(default = "bearer")]
        prefix: String,
    },
    /// One of several ways, which a setting of the connection names.
    Choice {
        /// The setting: text, with `one_of` the names of the ways.
        by: String,
        /// The ways, by name.
        of: BTreeMap<String, Self>,
    },
    /// A token that a request of its own gives.
    Session {
        /// The request.
        request: Box<Request>,
        /// Where its answer has the token: keys, with `.` between.
        token: String,
        /// How long it lasts, such as `50m`; default as long as a run.
        #[serde(default)]
        lifetime: Option<String>,
        /// The header it is sent in.
        #[serde(default = "authorization")]
        header: String,
        /// What stands before it in the header.
        #[serde(default)]
        prefix: String,
    },
    /// A JSON Web Token that we sign.
    Jwt {
        /// `HS256`, `RS256`, `ES256` and so on.
        algorithm: String,
        /// The key: text, or PEM.
        key: String,
        /// Whether the key is base64 of the real one.
        #[serde(default)]
        key_is_base64: bool,
        /// Further members of the header.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// Claims; `iat` and `exp` are added.
        #[serde(default)]
        claims: BTreeMap<String, String>,
        /// How long it lasts, such as `5m`.
        #[serde(default = "five_minutes")]
        lifetime: String,
        /// What stands before the token in the `Authorization` header.
        #[serde(default = "bearer")]
        prefix: String,
    },
}

/// What a client asserts about itself with a signature (RFC 7523).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// `RS256` and so on.
    #[serde(default = "rs256")]
    pub algorithm: String,
    /// The private key, in PEM.
    pub key: String,
    /// Further members of the header, such as `kid`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Claims, such as `iss`, `sub`, `aud`, `scope`; `iat`, `nbf` and `exp` are added.
    pub claims: BTreeMap<String, String>,
    /// How long it may be used, such as `3m`.
    #[serde(default = "five_minutes")]
    pub lifetime: String,
}

fn rs256() -> String {
    "RS256".to_owned()
}

fn bearer() -> String {
    "Bearer ".to_owned()
}

fn authorization() -> String {
    "Authorization".to_owned()
}

fn five_minutes() -> String {
    "5m".to_owned()
}

/// How an OAuth 2 token is got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// With a refresh token that the user got once.
    RefreshToken,
    /// With the client's own id and secret.
    ClientCredentials,
    /// With a JSON Web Token that the client signs: a Google service account, Salesforce's JWT flow.
    JwtBearer,
}

/// Where the client's id and secret are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientIn {
    /// As form fields.
    #[default]
    Form,
    /// As `Authorization: Basic`.
    Basic,
}

impl Auth {
    /// The settings of the connection that it names, for a choice to say which of them it needs.
    pub(crate) fn settings(&self) -> std::collections::BTreeSet<String> {
        let mut texts: Vec<&str> = Vec::new();
        match self {
            Self::None | Self::Session { .. } => {}
            Self::Header { name: _, value } | Self::Query { name: _, value } => texts.push(value),
            Self::Bearer { token } => texts.push(token),
            Self::Basic { user, password } => texts.extend([user.as_str(), password.as_str()]),
            Self::Oauth2 { client_id, client_secret, refresh_token, assertion, form, token_url, .. } => {
                texts.extend([client_id, client_secret, refresh_token].into_iter().flatten().map(String::as_str));
                texts.extend(form.values().map(String::as_str));
                texts.push(token_url);
                if let Some(Assertion { algorithm: _, key, headers, claims, lifetime: _ }) = assertion {
                    texts.push(key);
                    texts.extend(headers.values().chain(claims.values()).map(String::as_str));
                }
            }
            Self::Jwt { key, headers, claims, .. } => {
                texts.push(key);
                texts.extend(headers.values().chain(claims.values()).map(String::as_str));
            }
            Self::Choice { by: _, of } => return of.values().flat_map(Self::settings).collect(),
        }
        let after = |text: &str| -> Vec<String> {
            let name = |rest: &str| {
                rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap_or_default().to_owned()
            };
            text.split("connection.").skip(1).map(name).collect()
        };
        texts.into_iter().flat_map(after).collect()
    }
}
