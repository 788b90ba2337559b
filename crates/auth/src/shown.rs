//! [`AuthConfig::shown`]: a configuration as an operator may see it.
//!
//! In: the raw configuration. Out: its keys with their values. Invariant: of a secret nothing is told but the reference to
//! it, if the configuration has one.

use crate::{AuthConfig, JwtConfig, RemoteConfig, Secret, SourceConfig};

impl AuthConfig {
    /// Reports every key that is set, with its value; `None` stands for a secret that the configuration itself
    /// contains. Members of `types` have keys such as `types[0].value`.
    pub fn shown(&self, report: &mut dyn FnMut(&str, Option<&str>)) {
        let kind = match self {
            Self::NoAuth => "noauth",
            Self::Basic { .. } => "basic",
            Self::Bearer { .. } => "bearer",
            Self::Header { .. } => "header",
            Self::Cookie { .. } => "cookie",
            Self::Jwt(_) => "jwt",
            Self::Remote(_) => "remote",
            Self::Certificate { .. } => "certificate",
            Self::OneOf { .. } => "oneOf",
            Self::AllOf { .. } => "allOf",
        };
        report("type", Some(kind));
        match self {
            Self::NoAuth => {}
            Self::Basic { user, password } => {
                // Both may be references, or the half of a secret.
                report("user", Some(user));
                report("password", reference(password));
            }
            Self::Bearer { value, query } => {
                report("value", reference(value));
                optional("query", query.as_deref(), report);
            }
            Self::Header { name, value } | Self::Cookie { name, value } => {
                report("name", Some(name));
                report("value", reference(value));
            }
            Self::Jwt(jwt) => jwt.shown(report),
            Self::Remote(remote) => remote.shown(report),
            Self::Certificate {
                part,
                prefix,
                suffix,
            } => {
                report("part", Some(&format!("{part:?}").to_lowercase()));
                report("prefix", Some(prefix));
                report("suffix", Some(suffix));
            }
            Self::OneOf { types } | Self::AllOf { types } => {
                for (index, member) in types.iter().enumerate() {
                    member.shown(&mut |key, value| {
                        report(&format!("types[{index}].{key}"), value);
                    });
                }
            }
        }
    }
}

impl JwtConfig {
    fn shown(&self, report: &mut dyn FnMut(&str, Option<&str>)) {
        report("algorithms", Some(&self.algorithms.join(", ")));
        let secrets = [
            ("secret", &self.secret),
            ("public_key", &self.public_key),
            ("ca", &self.ca),
        ];
        for (key, secret) in secrets {
            if let Some(secret) = secret {
                report(key, reference(secret));
            }
        }
        let texts = [
            ("jwks", &self.jwks),
            ("issuer", &self.issuer),
            ("leeway", &self.leeway),
            ("user_claim", &self.user_claim),
            ("device_claim", &self.device_claim),
            ("grants_claim", &self.grants_claim),
            ("cookie", &self.cookie),
            ("query", &self.query),
        ];
        for (key, text) in texts {
            optional(key, text.as_deref(), report);
        }
        if !self.audience.is_empty() {
            report("audience", Some(&self.audience.join(", ")));
        }
        report("first_message", Some(yes_or_no(self.first_message)));
    }
}

impl RemoteConfig {
    fn shown(&self, report: &mut dyn FnMut(&str, Option<&str>)) {
        let source = match &self.source {
            SourceConfig::Bearer => "bearer".to_owned(),
            SourceConfig::Basic => "basic".to_owned(),
            SourceConfig::Header(name) => format!("header {name}"),
            SourceConfig::Cookie(name) => format!("cookie {name}"),
            SourceConfig::BearerInQuery(name) => format!("bearer, or {name} in the query"),
        };
        report("source", Some(&source));
        report("url", reference(&self.url));
        for (name, value) in &self.headers {
            report(&format!("headers.{name}"), reference(value));
        }
        if self.data.is_some() {
            report("data", None);
        }
        if let Some(ca) = &self.ca {
            report("ca", reference(ca));
        }
        let texts = [
            ("method", &self.method),
            ("timeout", &self.timeout),
            ("cache_ttl", &self.cache_ttl),
            ("denied_ttl", &self.denied_ttl),
        ];
        for (key, text) in texts {
            optional(key, text.as_deref(), report);
        }
        for (key, number) in [
            ("cache_entries_max", self.cache_entries_max),
            ("requests_max", self.requests_max),
        ] {
            let text = number.map(|number| number.to_string());
            optional(key, text.as_deref(), report);
        }
        report("binds_user", Some(yes_or_no(self.binds_user)));
        report("danger_allow_http", Some(yes_or_no(self.danger_allow_http)));
    }
}

fn optional(key: &str, text: Option<&str>, report: &mut dyn FnMut(&str, Option<&str>)) {
    if text.is_some() {
        report(key, text);
    }
}

fn yes_or_no(is: bool) -> &'static str {
    if is { "true" } else { "false" }
}

/// The reference that a secret is; `None` when it stands there itself.
fn reference(secret: &Secret) -> Option<&str> {
    is_reference(secret.expose()).then(|| secret.expose())
}

/// Returns whether a text is one whole reference, `${env:NAME}` or `${file:/path}`.
pub fn is_reference(text: &str) -> bool {
    let inner = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| {
        !inner.contains(['$', '{', '}'])
            && (inner.starts_with("env:") || inner.starts_with("file:"))
    })
}
