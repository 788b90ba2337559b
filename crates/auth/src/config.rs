//! [`AuthConfig`]: what the operator writes under an `auth` key, raw and unchecked.
//!
//! The text form is one table per kind with the kind's name under `type`, in any case; `table` reads it.

use serde::Deserialize;

use crate::{Secret, table::AuthTable};

/// The authentication a server demands, as configured.
///
/// Text values may be references, `${env:NAME}` or `${file:/path}`; [`AuthConfig::resolve`]
/// looks them up, checks everything and makes the [`Authenticator`](crate::Authenticator).
///
/// ```toml
/// [server.auth]
/// type = "oneOf"
/// types = [
///     { type = "bearer", value = "${env:CHAT_TOKEN}" },
///     { type = "cookie", name = "session", value = "${file:/run/secrets/session}" },
/// ]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "AuthTable")]
#[non_exhaustive]
pub enum AuthConfig {
    /// `noauth`: everybody passes. The default, which servers only accept on loopback.
    #[default]
    NoAuth,
    /// `basic`: user and password in the `Authorization` field (RFC 7617).
    Basic {
        /// The user name: not empty, no colon.
        user: String,
        /// The password; the key `value` means the same.
        password: Secret,
    },
    /// `bearer`: a token in the `Authorization` field (RFC 6750), or among the subprotocols
    /// ([`BEARER_SUBPROTOCOL`](crate::BEARER_SUBPROTOCOL)) of pages, which can set no field.
    Bearer {
        /// The token without the word `Bearer`.
        value: Secret,
        /// Name of a parameter of the query that may carry the token as well, such as `access_token`. Default: none,
        /// because proxies write queries into their logs.
        query: Option<String>,
    },
    /// `header`: any header field.
    Header {
        /// Name of the field, in any case.
        name: String,
        /// The whole value of the field.
        value: Secret,
    },
    /// `cookie`: a cookie of the `Cookie` field (RFC 6265).
    Cookie {
        /// Name of the cookie, in any case.
        name: String,
        /// The whole value of the cookie.
        value: Secret,
    },
    /// `jwt`: a JSON Web Token that somebody else has signed.
    Jwt(Box<JwtConfig>),
    /// `remote`: somebody else's HTTP service is asked.
    Remote(Box<RemoteConfig>),
    /// `certificate`: the client's certificate, which mutual TLS has verified, names the user.
    Certificate {
        /// The name in it that counts.
        part: CertificatePart,
        /// The start of the name; the user is what follows. Default: nothing.
        prefix: String,
        /// The end of the name; the user is what stands before. Default: nothing.
        suffix: String,
    },
    /// `oneOf`: at least one member passes.
    OneOf {
        /// The members; at least one.
        types: Vec<Self>,
    },
    /// `allOf`: every member passes.
    AllOf {
        /// The members; at least one.
        types: Vec<Self>,
    },
}

impl AuthConfig {
    /// The names `type` understands.
    pub const TYPES: &'static [&'static str] = &[
        "noauth",
        "basic",
        "bearer",
        "header",
        "cookie",
        "jwt",
        "remote",
        "certificate",
        "oneOf",
        "allOf",
    ];

    /// Returns whether a secret stands in the configuration itself instead of being referred to;
    /// worth a warning, because configuration files get copied, printed and committed.
    pub fn has_inline_secret(&self) -> bool {
        match self {
            Self::NoAuth | Self::Certificate { .. } => false,
            Self::Jwt(jwt) => jwt.secret.as_ref().is_some_and(is_inline),
            Self::Remote(remote) => remote.has_inline_secret(),
            Self::Basic {
                password: secret, ..
            }
            | Self::Bearer { value: secret, .. }
            | Self::Header { value: secret, .. }
            | Self::Cookie { value: secret, .. } => is_inline(secret),
            Self::OneOf { types } | Self::AllOf { types } => {
                types.iter().any(Self::has_inline_secret)
            }
        }
    }
}

/// The keys of `jwt`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwtConfig {
    /// How tokens may be signed; at least one of the names in [`Algorithm`](crate::Algorithm).
    pub algorithms: Vec<String>,
    /// The secret of HS256, HS384 and HS512: as many bytes as the hash has, or more.
    pub secret: Option<Secret>,
    /// Public keys in PEM, or a JSON Web Key (Set).
    pub public_key: Option<Secret>,
    /// URL of a JSON Web Key Set; needs `issuer` and `audience`.
    pub jwks: Option<String>,
    /// Certificate authorities to trust besides the system's when `jwks` is fetched, in PEM.
    pub ca: Option<Secret>,
    /// `iss` of every token. Default: not looked at.
    pub issuer: Option<String>,
    /// `aud` of every token, one of these. Default: a token must have none.
    pub audience: Vec<String>,
    /// How far the clocks may differ. Default: 30 s.
    pub leeway: Option<String>,
    /// The claim with the user. Default: `sub`.
    pub user_claim: Option<String>,
    /// The claim with the device. Default: none is read.
    pub device_claim: Option<String>,
    /// The claim with the grants. Default: `tidewire`.
    pub grants_claim: Option<String>,
    /// A cookie that may carry the token. Default: none.
    pub cookie: Option<String>,
    /// A parameter of the query that may carry the token. Default: none, because proxies write queries into their logs.
    pub query: Option<String>,
    /// A WebSocket without a token may send it as its first message. Default: no.
    pub first_message: bool,
}

/// The keys of `remote`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteConfig {
    /// Where the credential stands in a request.
    pub source: SourceConfig,
    /// The service, `{0}` in it stands for the credential.
    pub url: Secret,
    /// Default: POST.
    pub method: Option<String>,
    /// Fields of the question; `{0}` in a value stands for the credential.
    pub headers: Vec<(String, Secret)>,
    /// The body of the question.
    pub data: Option<RemoteText>,
    /// Default: 2 s.
    pub timeout: Option<String>,
    /// Default: 30 s.
    pub cache_ttl: Option<String>,
    /// Default: 5 s.
    pub denied_ttl: Option<String>,
    /// Default: 10000.
    pub cache_entries_max: Option<usize>,
    /// Default: 64.
    pub requests_max: Option<usize>,
    /// Certificate authorities to trust besides the system's, in PEM.
    pub ca: Option<Secret>,
    /// The answer has to say who it is. Default: no.
    pub binds_user: bool,
    /// Credentials may go unencrypted to another machine. Default: no.
    pub danger_allow_http: bool,
}

/// A body as it is written: a text, or an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteText {
    /// A text.
    Text(Secret),
    /// JSON.
    Json(Secret),
}

/// Where a credential stands: `{ type = "cookie", name = "session" }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceConfig {
    /// The `Authorization` field, or where else a token may stand.
    #[default]
    Bearer,
    /// The `Authorization` field with user and password.
    Basic,
    /// A field.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// As `Bearer`, and in this parameter of the query.
    BearerInQuery(String),
}

/// A name in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificatePart {
    /// The common name of the subject.
    Subject,
    /// Alternative names of type DNS.
    Dns,
    /// Alternative names of type URI.
    Uri,
    /// Alternative names of type e-mail address.
    Email,
}

impl RemoteConfig {
    fn has_inline_secret(&self) -> bool {
        let mut headers = self.headers.iter();
        headers.any(|(name, value)| {
            let carries = ["authorization", "cookie", "x-api-key"];
            carries.iter().any(|it| name.eq_ignore_ascii_case(it))
                && is_inline(value)
                && !value.expose().contains("{0}")
                && !value.expose().contains("{token}")
        })
    }
}

fn is_inline(secret: &Secret) -> bool {
    !secret.expose().starts_with("${")
}
