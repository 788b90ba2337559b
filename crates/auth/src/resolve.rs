//! From [`AuthConfig`] to [`Authenticator`]: references are looked up, everything is checked.
//!
//! Invariant: this is the only way to an authenticator, so every running one has been checked.

use std::{sync::Arc, time::Duration};

use crate::{
    AuthConfig, AuthError, AuthRule, Authenticator, JwtConfig, Lookup, RemoteConfig, Secret,
    config::{RemoteText, SourceConfig},
    jwt::{Algorithm, KeyServer, KeySet, LEEWAY_MAX, TokenRules},
    node::{Jwt, Node},
    reference::resolve_text,
    remote::{Remote, RemoteData, RemoteLimits, RemoteSource, host_of},
};

/// How deep `oneOf` and `allOf` may be nested; a single kind alone is one level.
pub const DEPTH_MAX: usize = 4;
/// How many members all `types` lists may have together; each is evaluated for every request.
pub const MEMBERS_MAX: usize = 16;
/// The longest user name, token or password in bytes: half of the default request head.
pub const SECRET_BYTES_MAX: usize = 8192;

impl AuthConfig {
    /// Looks up the references, checks every rule of [`AuthRule`] and makes the authenticator.
    ///
    /// # Errors
    /// The first broken rule, with the key it is broken at.
    pub fn resolve(&self, lookup: &dyn Lookup) -> Result<Authenticator, AuthError> {
        let mut resolver = Resolver {
            lookup,
            members_count: 0,
        };
        Ok(Authenticator::new(resolver.node(self, "", 1)?))
    }
}

struct Resolver<'a> {
    lookup: &'a dyn Lookup,
    members_count: usize,
}

impl Resolver<'_> {
    fn node(&mut self, config: &AuthConfig, path: &str, depth: usize) -> Result<Node, AuthError> {
        if depth > DEPTH_MAX {
            return Err(broken(path, AuthRule::TooDeep));
        }
        Ok(match config {
            AuthConfig::NoAuth => Node::NoAuth,
            AuthConfig::Basic { user, password } => Node::Basic {
                user: self.text(&Secret::from(user.as_str()), &key(path, "user"), USER)?,
                password: self.text(password, &key(path, "password"), PASSWORD)?,
            },
            AuthConfig::Bearer { value, query } => Node::Bearer {
                value: self.text(value, &key(path, "value"), TOKEN)?,
                query: query
                    .as_ref()
                    .map(|name| field_name(name, &key(path, "query")))
                    .transpose()?,
            },
            AuthConfig::Header { name, value } => Node::Header {
                name: field_name(name, &key(path, "name"))?,
                value: self.text(value, &key(path, "value"), FIELD_VALUE)?,
            },
            AuthConfig::Cookie { name, value } => Node::Cookie {
                name: field_name(name, &key(path, "name"))?,
                value: self.text(value, &key(path, "value"), COOKIE_VALUE)?,
            },
            AuthConfig::Jwt(jwt) => Node::Jwt(Arc::new(self.jwt(jwt, path)?)),
            AuthConfig::Remote(remote) => Node::Remote(Arc::new(self.remote(remote, path)?)),
            AuthConfig::Certificate {
                part,
                prefix,
                suffix,
            } => Node::Certificate {
                part: *part,
                prefix: prefix.clone(),
                suffix: suffix.clone(),
            },
            AuthConfig::OneOf { types } => Node::OneOf(self.members(types, path, depth)?),
            AuthConfig::AllOf { types } => Node::AllOf(self.members(types, path, depth)?),
        })
    }

    fn members(
        &mut self,
        types: &[AuthConfig],
        path: &str,
        depth: usize,
    ) -> Result<Vec<Node>, AuthError> {
        let path = key(path, "types");
        if types.is_empty() {
            return Err(broken(&path, AuthRule::NoMembers));
        }
        self.members_count += types.len();
        if self.members_count > MEMBERS_MAX {
            return Err(broken(&path, AuthRule::TooManyMembers));
        }
        types
            .iter()
            .enumerate()
            .map(|(index, member)| self.node(member, &format!("{path}[{index}]"), depth + 1))
            .collect()
    }

    fn jwt(&self, config: &JwtConfig, path: &str) -> Result<Jwt, AuthError> {
        let at = |name: &str| key(path, name);
        let wrong = |name: &str, rule: AuthRule| broken(&at(name), rule);
        let mut algorithms: Vec<Algorithm> = Vec::new();
        for name in &config.algorithms {
            let parsed = name.parse();
            algorithms
                .push(parsed.map_err(|error| wrong("algorithms", AuthRule::Algorithm(error)))?);
        }
        if algorithms.is_empty() {
            return Err(wrong("algorithms", AuthRule::Empty));
        }
        let keys = self.keys(config, path, &algorithms)?;
        let server = match &config.jwks {
            None => None,
            Some(url) => {
                web_address(url, false).map_err(|rule| wrong("jwks", rule))?;
                // Who signs for many would let in whoever has a token for any of them.
                let needed = [
                    ("issuer", config.issuer.is_none()),
                    ("audience", config.audience.is_empty()),
                ];
                if let Some((name, _)) = needed.iter().find(|(_, is_missing)| *is_missing) {
                    return Err(wrong(name, AuthRule::NeededWithKeyServer));
                }
                Some(KeyServer::new(
                    url,
                    self.certificates(config.ca.as_ref(), path)?,
                ))
            }
        };
        let has_public = |algorithm: &Algorithm| algorithm.secret_bytes_min() == 0;
        let lacks_key = |algorithm: &&Algorithm| {
            !(keys.has_key_for(**algorithm) || server.is_some() && has_public(algorithm))
        };
        if let Some(algorithm) = algorithms.iter().find(lacks_key) {
            return Err(wrong("algorithms", AuthRule::NoKeyFor(*algorithm)));
        }
        let claim = |name: &Option<String>, default: &str| {
            name.clone().unwrap_or_else(|| default.to_owned())
        };
        let defaults = TokenRules::default();
        let leeway = time_of(config.leeway.as_ref(), &at("leeway"), LEEWAY_MAX)?;
        let name = |name: &Option<String>, of: &str| {
            let checked = name.as_ref().map(|name| field_name(name, &at(of)));
            checked.transpose()
        };
        Ok(Jwt {
            rules: TokenRules {
                algorithms,
                issuer: config.issuer.clone(),
                audiences: config.audience.clone(),
                leeway: leeway.unwrap_or(defaults.leeway),
                user_claim: claim(&config.user_claim, &defaults.user_claim),
                device_claim: config.device_claim.clone(),
                grants_claim: claim(&config.grants_claim, &defaults.grants_claim),
            },
            keys,
            server,
            cookie: name(&config.cookie, "cookie")?,
            query: name(&config.query, "query")?,
            first_message: config.first_message,
        })
    }

    fn keys(
        &self,
        config: &JwtConfig,
        path: &str,
        algorithms: &[Algorithm],
    ) -> Result<KeySet, AuthError> {
        let mut keys = KeySet::default();
        if let Some(secret) = &config.secret {
            let at = key(path, "secret");
            let secret = resolve_text(secret, self.lookup).map_err(|rule| broken(&at, rule))?;
            let least = algorithms.iter().map(|it| it.secret_bytes_min()).max();
            let least = least.unwrap_or_default();
            if secret.expose().len() < least.max(1) {
                return Err(broken(&at, AuthRule::TooShort { least }));
            }
            // Whoever knows a public key could sign with it.
            if secret.expose().contains("-----BEGIN ") {
                return Err(broken(&at, AuthRule::KeyAsSecret));
            }
            keys = KeySet::of_secret(secret);
        }
        if let Some(text) = &config.public_key {
            let at = key(path, "public_key");
            let text = resolve_text(text, self.lookup).map_err(|rule| broken(&at, rule))?;
            let found = KeySet::from_text(text.expose());
            keys = keys.and(found.map_err(|error| broken(&at, AuthRule::Key(error)))?);
        }
        Ok(keys)
    }

    fn remote(&self, config: &RemoteConfig, path: &str) -> Result<Remote, AuthError> {
        let at = |name: &str| key(path, name);
        let resolved = |text: &Secret, name: &str| {
            resolve_text(text, self.lookup).map_err(|rule| broken(&at(name), rule))
        };
        let url = resolved(&config.url, "url")?;
        web_address(url.expose(), config.danger_allow_http)
            .map_err(|rule| broken(&at("url"), rule))?;
        let name = |text: &str, of: &str| field_name(text, &at(of));
        let source = match &config.source {
            SourceConfig::Bearer => RemoteSource::Bearer { query: None },
            SourceConfig::BearerInQuery(query) => RemoteSource::Bearer {
                query: Some(name(query, "source.query")?),
            },
            SourceConfig::Basic => RemoteSource::Basic,
            SourceConfig::Header(header) => RemoteSource::Header(name(header, "source.name")?),
            SourceConfig::Cookie(cookie) => RemoteSource::Cookie(name(cookie, "source.name")?),
        };
        let mut headers = Vec::new();
        for (field, value) in &config.headers {
            let value = self.text(value, &at("headers"), FIELD_VALUE)?;
            headers.push((name(field, "headers")?, value));
        }
        let data = match &config.data {
            None => RemoteData::None,
            Some(RemoteText::Text(text)) => RemoteData::Text(resolved(text, "data")?),
            Some(RemoteText::Json(json)) => RemoteData::Json(json.clone()),
        };
        let method = config
            .method
            .as_deref()
            .unwrap_or("POST")
            .to_ascii_uppercase();
        NAME.check(&method)
            .map_err(|rule| broken(&at("method"), rule))?;
        let day = Duration::from_hours(24);
        let defaults = RemoteLimits::default();
        let time = |text: &Option<String>, name: &str, most: Duration, default: Duration| {
            let time = time_of(text.as_ref(), &at(name), most);
            time.map(|time| time.unwrap_or(default))
        };
        let number = |number: Option<usize>, default: usize| number.unwrap_or(default);
        let minute = Duration::from_mins(1);
        Ok(Remote {
            source,
            url,
            method,
            headers,
            data,
            binds_user: config.binds_user,
            limits: RemoteLimits {
                timeout: time(&config.timeout, "timeout", minute, defaults.timeout)?,
                cache_ttl: time(&config.cache_ttl, "cache_ttl", day, defaults.cache_ttl)?,
                denied_ttl: time(&config.denied_ttl, "denied_ttl", day, defaults.denied_ttl)?,
                cache_entries_max: number(config.cache_entries_max, defaults.cache_entries_max)
                    .min(10_000_000),
                requests_max: number(config.requests_max, defaults.requests_max).clamp(1, 100_000),
            },
            authorities: self.certificates(config.ca.as_ref(), path)?,
        })
    }

    fn certificates(&self, text: Option<&Secret>, path: &str) -> Result<Option<Secret>, AuthError> {
        let at = key(path, "ca");
        let resolved = text.map(|text| resolve_text(text, self.lookup));
        resolved.transpose().map_err(|rule| broken(&at, rule))
    }

    fn text(&self, text: &Secret, path: &str, allowed: Allowed) -> Result<Secret, AuthError> {
        let resolved = resolve_text(text, self.lookup).map_err(|rule| broken(path, rule))?;
        allowed
            .check(resolved.expose())
            .map_err(|rule| broken(path, rule))?;
        Ok(resolved)
    }
}

/// What may stand in a text. Values that no client can send are errors: they would lock
/// everybody out, or be compared with something the HTTP parser has trimmed.
#[derive(Clone, Copy)]
struct Allowed {
    contains: fn(char) -> bool,
    space_at_ends: bool,
    expected: &'static str,
}

impl Allowed {
    fn check(self, text: &str) -> Result<(), AuthRule> {
        if text.is_empty() {
            return Err(AuthRule::Empty);
        }
        if text.len() > SECRET_BYTES_MAX {
            return Err(AuthRule::TooLong);
        }
        let at_ends_ok = self.space_at_ends || text.trim_matches([' ', '\t']).len() == text.len();
        if !at_ends_ok || !text.chars().all(self.contains) {
            return Err(AuthRule::Unsendable {
                expected: self.expected,
            });
        }
        Ok(())
    }
}

fn time_of(
    text: Option<&String>,
    path: &str,
    most: Duration,
) -> Result<Option<Duration>, AuthError> {
    let Some(text) = text else { return Ok(None) };
    let time = tidewire_table::parse_duration(text).filter(|time| *time <= most);
    let rule = AuthRule::Time {
        most: tidewire_table::format_duration(most),
    };
    time.map(Some).ok_or_else(|| broken(path, rule))
}

/// Credentials and keys travel encrypted, or do not leave the machine.
fn web_address(url: &str, allow_http: bool) -> Result<(), AuthRule> {
    let host = host_of(url);
    let authority = host
        .split_once("://")
        .map_or("", |(_, authority)| authority);
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic());
    if authority.is_empty() || authority.contains(['{', '@', '\\']) || !is_plain {
        return Err(AuthRule::Url);
    }
    let name = authority
        .strip_prefix('[')
        .and_then(|it| it.split_once(']'));
    let name = name.map_or_else(
        || authority.split(':').next().unwrap_or(""),
        |(name, _)| name,
    );
    let is_here = matches!(name, "localhost" | "127.0.0.1" | "::1");
    match host.split_once("://").map_or("", |(scheme, _)| scheme) {
        "https" => Ok(()),
        "http" if is_here || allow_http => Ok(()),
        "http" => Err(AuthRule::Unencrypted),
        _ => Err(AuthRule::Url),
    }
}

fn field_name(name: &str, path: &str) -> Result<String, AuthError> {
    NAME.check(name).map_err(|rule| broken(path, rule))?;
    Ok(name.to_owned())
}

fn key(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn broken(path: &str, rule: AuthRule) -> AuthError {
    AuthError {
        path: path.to_owned(),
        rule,
    }
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

const USER: Allowed = Allowed {
    contains: |c| !c.is_control() && c != ':',
    space_at_ends: true,
    expected: "no colon and no control character (RFC 7617)",
};
const PASSWORD: Allowed = Allowed {
    contains: |c| !c.is_control(),
    space_at_ends: true,
    expected: "no control character (RFC 7617)",
};
const TOKEN: Allowed = Allowed {
    contains: |c| c.is_ascii_graphic(),
    space_at_ends: false,
    expected: "visible ASCII characters without spaces, without the word Bearer",
};
const FIELD_VALUE: Allowed = Allowed {
    contains: |c| c == '\t' || !c.is_control(),
    space_at_ends: false,
    expected: "no control character and no space at either end",
};
const COOKIE_VALUE: Allowed = Allowed {
    contains: |c| !c.is_control() && c != ';',
    space_at_ends: false,
    expected: "no semicolon, no control character and no space at either end",
};
const NAME: Allowed = Allowed {
    contains: is_token_char,
    space_at_ends: false,
    expected: "letters, digits and !#$%&'*+-.^_`|~ (an HTTP token)",
};
