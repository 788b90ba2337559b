//! An `auth` table as it stands in a file → [`AuthConfig`].
//!
//! It is read into a flat helper first and sorted into a variant then, so that a key of another
//! kind is an error and secrets never pass through serde's generic buffers.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    AuthConfig, Secret,
    config::{CertificatePart, JwtConfig, RemoteConfig, RemoteText, SourceConfig},
};

/// Every key any kind knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with a `type`")]
pub(crate) struct AuthTable {
    #[serde(rename = "type")]
    kind: String,
    user: Option<String>,
    password: Option<Secret>,
    name: Option<String>,
    value: Option<Secret>,
    query: Option<String>,
    types: Option<Vec<AuthConfig>>,
    algorithms: Option<OneOrMore>,
    secret: Option<Secret>,
    public_key: Option<Secret>,
    jwks: Option<String>,
    issuer: Option<String>,
    audience: Option<OneOrMore>,
    leeway: Option<String>,
    user_claim: Option<String>,
    device_claim: Option<String>,
    grants_claim: Option<String>,
    cookie: Option<String>,
    first_message: Option<bool>,
    source: Option<SourceForm>,
    url: Option<Secret>,
    method: Option<String>,
    headers: Option<HeadersForm>,
    data: Option<Data>,
    timeout: Option<String>,
    cache_ttl: Option<String>,
    denied_ttl: Option<String>,
    cache_entries_max: Option<usize>,
    requests_max: Option<usize>,
    ca: Option<Secret>,
    binds_user: Option<bool>,
    danger_allow_http: Option<bool>,
    prefix: Option<String>,
    suffix: Option<String>,
}

/// One text, or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }
}

/// A body.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or an object")]
enum Data {
    Text(String),
    Json(serde_json::Map<String, serde_json::Value>),
}

/// Fields: a table, or several, where one name stands twice.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a table or a list of tables")]
enum HeadersForm {
    One(BTreeMap<String, Secret>),
    More(Vec<BTreeMap<String, Secret>>),
}

/// A kind that needs no further word may be a text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a table with a `type`")]
enum SourceForm {
    Kind(String),
    Table(SourceTable),
}

/// Where a credential stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with a `type`")]
struct SourceTable {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    query: Option<String>,
}

impl AuthTable {
    fn take_secret(&mut self) -> Result<Secret, String> {
        self.value
            .take()
            .ok_or_else(|| missing(&self.kind, "value"))
    }

    fn take_password(&mut self) -> Result<Secret, String> {
        match (self.password.take(), self.value.take()) {
            (Some(password), None) | (None, Some(password)) => Ok(password),
            (Some(_), Some(_)) => Err("`password` and `value` mean the same for type `basic`: \
                                       give only one of them"
                .to_owned()),
            (None, None) => Err(missing(&self.kind, "password")),
        }
    }

    fn take_name(&mut self) -> Result<String, String> {
        self.name.take().ok_or_else(|| missing(&self.kind, "name"))
    }

    fn take_types(&mut self) -> Result<Vec<AuthConfig>, String> {
        self.types
            .take()
            .ok_or_else(|| missing(&self.kind, "types"))
    }

    fn take_jwt(&mut self) -> Result<JwtConfig, String> {
        let algorithms = self.algorithms.take();
        Ok(JwtConfig {
            algorithms: algorithms
                .map(OneOrMore::list)
                .ok_or_else(|| missing(&self.kind, "algorithms"))?,
            secret: self.secret.take(),
            public_key: self.public_key.take(),
            jwks: self.jwks.take(),
            ca: self.ca.take(),
            issuer: self.issuer.take(),
            audience: self
                .audience
                .take()
                .map(OneOrMore::list)
                .unwrap_or_default(),
            leeway: self.leeway.take(),
            user_claim: self.user_claim.take(),
            device_claim: self.device_claim.take(),
            grants_claim: self.grants_claim.take(),
            cookie: self.cookie.take(),
            query: self.query.take(),
            first_message: self.first_message.take().unwrap_or_default(),
        })
    }

    fn take_remote(&mut self) -> Result<RemoteConfig, String> {
        let source = self
            .source
            .take()
            .ok_or_else(|| missing(&self.kind, "source"))?;
        let source = match source {
            SourceForm::Table(table) => table,
            SourceForm::Kind(kind) => SourceTable {
                kind,
                name: None,
                query: None,
            },
        };
        let headers = match self.headers.take() {
            None => Vec::new(),
            Some(HeadersForm::One(table)) => vec![table],
            Some(HeadersForm::More(tables)) => tables,
        };
        Ok(RemoteConfig {
            source: source.config()?,
            url: self.url.take().ok_or_else(|| missing(&self.kind, "url"))?,
            method: self.method.take(),
            headers: headers.into_iter().flatten().collect(),
            data: self.data.take().map(|data| match data {
                Data::Text(text) => RemoteText::Text(Secret::new(text)),
                Data::Json(object) => {
                    RemoteText::Json(Secret::new(serde_json::Value::Object(object).to_string()))
                }
            }),
            timeout: self.timeout.take(),
            cache_ttl: self.cache_ttl.take(),
            denied_ttl: self.denied_ttl.take(),
            cache_entries_max: self.cache_entries_max.take(),
            requests_max: self.requests_max.take(),
            ca: self.ca.take(),
            binds_user: self.binds_user.take().unwrap_or_default(),
            danger_allow_http: self.danger_allow_http.take().unwrap_or_default(),
        })
    }

    fn take_certificate(&mut self) -> Result<AuthConfig, String> {
        let part = match self.name.take().as_deref() {
            None | Some("subject") => CertificatePart::Subject,
            Some("dns") => CertificatePart::Dns,
            Some("uri") => CertificatePart::Uri,
            Some("email") => CertificatePart::Email,
            Some(_) => {
                return Err(
                    "`name` of type `certificate` is one of subject, dns, uri, email".to_owned(),
                );
            }
        };
        Ok(AuthConfig::Certificate {
            part,
            prefix: self.prefix.take().unwrap_or_default(),
            suffix: self.suffix.take().unwrap_or_default(),
        })
    }

    /// The first key that is still there after the kind took its own.
    fn left_over(&self) -> Option<&'static str> {
        [
            ("user", self.user.is_some()),
            ("password", self.password.is_some()),
            ("name", self.name.is_some()),
            ("value", self.value.is_some()),
            ("query", self.query.is_some()),
            ("types", self.types.is_some()),
            ("algorithms", self.algorithms.is_some()),
            ("secret", self.secret.is_some()),
            ("public_key", self.public_key.is_some()),
            ("jwks", self.jwks.is_some()),
            ("issuer", self.issuer.is_some()),
            ("audience", self.audience.is_some()),
            ("leeway", self.leeway.is_some()),
            ("user_claim", self.user_claim.is_some()),
            ("device_claim", self.device_claim.is_some()),
            ("grants_claim", self.grants_claim.is_some()),
            ("cookie", self.cookie.is_some()),
            ("first_message", self.first_message.is_some()),
            ("source", self.source.is_some()),
            ("url", self.url.is_some()),
            ("method", self.method.is_some()),
            ("headers", self.headers.is_some()),
            ("data", self.data.is_some()),
            ("timeout", self.timeout.is_some()),
            ("cache_ttl", self.cache_ttl.is_some()),
            ("denied_ttl", self.denied_ttl.is_some()),
            ("cache_entries_max", self.cache_entries_max.is_some()),
            ("requests_max", self.requests_max.is_some()),
            ("ca", self.ca.is_some()),
            ("binds_user", self.binds_user.is_some()),
            ("danger_allow_http", self.danger_allow_http.is_some()),
            ("prefix", self.prefix.is_some()),
            ("suffix", self.suffix.is_some()),
        ]
        .into_iter()
        .find_map(|(key, is_there)| is_there.then_some(key))
    }
}

impl TryFrom<AuthTable> for AuthConfig {
    type Error = String;

    fn try_from(mut table: AuthTable) -> Result<Self, String> {
        let kind = table.kind.to_ascii_lowercase();
        let config = match kind.as_str() {
            "noauth" => Self::NoAuth,
            "basic" => Self::Basic {
                user: table
                    .user
                    .take()
                    .ok_or_else(|| missing(&table.kind, "user"))?,
                password: table.take_password()?,
            },
            "bearer" => Self::Bearer {
                value: table.take_secret()?,
                query: table.query.take(),
            },
            "header" => Self::Header {
                name: table.take_name()?,
                value: table.take_secret()?,
            },
            "cookie" => Self::Cookie {
                name: table.take_name()?,
                value: table.take_secret()?,
            },
            "jwt" => Self::Jwt(Box::new(table.take_jwt()?)),
            "remote" => Self::Remote(Box::new(table.take_remote()?)),
            "certificate" => table.take_certificate()?,
            "oneof" => Self::OneOf {
                types: table.take_types()?,
            },
            "allof" => Self::AllOf {
                types: table.take_types()?,
            },
            _ => {
                return Err(format!(
                    "unknown authentication type `{}`, expected one of {}",
                    table.kind,
                    Self::TYPES.join(", ")
                ));
            }
        };
        match table.left_over() {
            Some(key) => Err(format!(
                "authentication type `{}` has no key `{key}`",
                table.kind
            )),
            None => Ok(config),
        }
    }
}

fn missing(kind: &str, key: &str) -> String {
    format!("authentication type `{kind}` needs the key `{key}`")
}

impl SourceTable {
    fn config(self) -> Result<SourceConfig, String> {
        let kind = self.kind.to_ascii_lowercase();
        Ok(match (kind.as_str(), self.name, self.query) {
            ("bearer", None, None) => SourceConfig::Bearer,
            ("bearer", None, Some(query)) => SourceConfig::BearerInQuery(query),
            ("basic", None, None) => SourceConfig::Basic,
            ("header", Some(name), None) => SourceConfig::Header(name),
            ("cookie", Some(name), None) => SourceConfig::Cookie(name),
            _ => {
                return Err("`source` of type `remote` is { type = \"bearer\" }, perhaps with a query, { type = \
                    \"basic\" }, { type = \"header\", name = ... } or { type = \"cookie\", name = ... }"
                    .to_owned());
            }
        })
    }
}
