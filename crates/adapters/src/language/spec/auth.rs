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
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: String,
        /// The refresh token, for `grant: refresh_token`.
        #[serde(default)]
        refresh_token: Option<String>,
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
