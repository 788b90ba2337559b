//! The configuration in force: `GET /v1/config`.
//!
//! In: the keys that the server runs by. Out: each with its value as TOML. Invariant: of a secret nothing is told but the
//! reference to it: what stands in the file itself, in a URL, or in a field that is sent along, is hidden.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use tidewire_auth::is_reference;
use tidewire_table::{HIDDEN, Table as _};

use super::{Rest, RestError, handlers::Answer, rights::Rights};
use crate::config::{Config, Settings};

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct KeyData {
    /// True when it is as without a configuration.
    is_default: bool,
    #[schema(example = "server.listen")]
    key: String,
    /// As TOML; `(hidden)` for a secret that stands in the configuration itself.
    #[schema(example = "\"127.0.0.1:8085\"")]
    value: String,
}

/// The configuration by which the server runs.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ConfigData {
    keys: Vec<KeyData>,
    /// Settings that are allowed and deserve a second look.
    warnings: Vec<String>,
}

/// The configuration in force, after file, environment, flags and reloads. Secrets are shown as the references that the
/// configuration has (`${env:NAME}`), or not at all.
#[utoipa::path(get, path = "/v1/config", tag = "operation", responses(
    (status = 200, description = "Every key with its value", body = ConfigData),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError)))]
pub(super) async fn config(
    State(rest): State<Rest>,
    rights: Rights,
) -> Result<Json<Answer<Arc<ConfigData>>>, RestError> {
    rights.everything()?;
    Ok(Answer::of(Arc::clone(&rest.about.config)))
}

impl ConfigData {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            keys: keys(&settings.config),
            warnings: settings.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}

fn keys(config: &Config) -> Vec<KeyData> {
    let mut defaults = BTreeMap::new();
    Config::default().entries("", &mut |key, value| {
        defaults.insert(key, value);
    });
    let mut keys = Vec::new();
    config.entries("", &mut |key, value| {
        keys.push(KeyData {
            is_default: defaults.get(&key) == Some(&value),
            value: presentable(&key, &value),
            key,
        });
    });
    keys
}

/// The value of a key as everybody may see it who may see the configuration.
fn presentable(key: &str, value: &str) -> String {
    let text = value.trim_matches('"');
    if text.is_empty() || is_reference(text) {
        return value.to_owned();
    }
    if is_secret(key) {
        return references(value).unwrap_or_else(|| HIDDEN.to_owned());
    }
    without_url_secrets(value)
}

/// A list of nothing but references.
fn references(value: &str) -> Option<String> {
    let inner = value.strip_prefix('[')?.strip_suffix(']')?;
    let mut items = inner.split(", ").filter(|item| !item.is_empty());
    items
        .all(|item| is_reference(item.trim_matches('"')))
        .then(|| value.to_owned())
}

/// Returns whether what stands at a key is secret by its name. Files are not: their names are no secrets.
fn is_secret(key: &str) -> bool {
    const NAMES: [&str; 10] = [
        "password",
        "passphrase",
        "secret",
        "token",
        "credential",
        "headers",
        "signing",
        "api_key",
        "access_key",
        "private_key",
    ];
    // Authentication tables know themselves what is secret.
    let is_auth = key.split('.').any(|part| part == "auth");
    let segments = || key.split('.').map(str::to_ascii_lowercase);
    let is_file = segments()
        .next_back()
        .is_some_and(|it| it.ends_with("_file"));
    // The connect hook names fields of the client, and has no values of them.
    let names_fields =
        key.starts_with("server.connect_hook.headers") || key.starts_with("server.limits.");
    !is_auth
        && !is_file
        && !names_fields
        && segments().any(|part| NAMES.iter().any(|name| part.contains(name)))
}

/// Leaves out user, password and query of every URL in a text.
fn without_url_secrets(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after
            .find(['"', ' ', ',', '\'', '<', '>'])
            .unwrap_or(after.len());
        let (url, behind) = after.split_at(end);
        let (path, query) = match url.split_once('?') {
            Some((path, _)) => (path, "?…"),
            None => (url, ""),
        };
        let host_end = path.find('/').unwrap_or(path.len());
        // A password with a slash in it is no password of a URL, but operators write them.
        let at = path
            .rfind('@')
            .filter(|at| *at < host_end || !path.starts_with('/'));
        match at {
            Some(at) => {
                shown.push('…');
                shown.push_str(path.get(at..).unwrap_or_default());
            }
            None => shown.push_str(path),
        }
        shown.push_str(query);
        rest = behind;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A canary in every place that takes a secret, whether the checks would let it stand there or not.
    #[test]
    fn no_secret_of_any_table_is_shown() {
        let auth = r#"{"type": "oneOf", "types": [
            {"type": "basic", "user": "ops", "password": "canary"},
            {"type": "bearer", "value": "canary"},
            {"type": "header", "name": "X-Key", "value": "canary"},
            {"type": "cookie", "name": "sid", "value": "canary"},
            {"type": "jwt", "algorithms": ["HS256"], "secret": "canary"},
            {"type": "bearer", "value": "${env:SHOWN}"}]}"#;
        let targets = r#"[
            {"name": "a", "postback": {"url": "https://u:canary@h/x?key=canary", "headers": {"X-Key": "canary"},
                "signing_keys": ["canary"], "auth": {"type": "bearer", "value": "canary"}}},
            {"name": "b", "redis": {"password": "canary"}},
            {"name": "c", "postgres": {"password": "canary"}},
            {"name": "d", "amqp": {"password": "canary"}},
            {"name": "e", "nats": {"password": "canary", "token": "canary"}}]"#;
        let text = format!(
            r#"{{"server": {{"auth": {auth}, "connect_hook":
                {{"backend_url": "https://u:canary@h/?k=canary", "secrets": ["canary"]}}}},
                "rest": {{"auth": {auth}}}, "admin": {{"auth": {auth}}}, "targets": {targets}}}"#
        );
        let config: Config = serde_json::from_str(&text).unwrap();
        let shown = serde_json::to_string(&keys(&config)).unwrap();
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("${env:SHOWN}"), "{shown}");
        assert!(shown.contains(HIDDEN), "{shown}");
    }

    #[test]
    fn urls_keep_what_is_no_secret() {
        for (text, shown) in [
            ("\"https://a.example/x\"", "\"https://a.example/x\""),
            ("\"redis://:pw@h:1/0\"", "\"redis://…@h:1/0\""),
            ("\"http://u:p/w@h/x?token=s\"", "\"http://…@h/x?…\""),
            (
                "[\"https://*.example\", \"amqp://u:p@h\"]",
                "[\"https://*.example\", \"amqp://…@h\"]",
            ),
            ("\"unix:/run/x.sock\"", "\"unix:/run/x.sock\""),
        ] {
            assert_eq!(without_url_secrets(text), shown);
        }
    }

    #[test]
    fn secrets_are_hidden_and_references_are_shown() {
        for (key, value, shown) in [
            ("targets[0].redis.password", "\"pw\"", HIDDEN),
            (
                "targets[0].redis.password",
                "\"${env:PW}\"",
                "\"${env:PW}\"",
            ),
            ("targets[0].redis.password", "\"${env:PW}x\"", HIDDEN),
            ("targets[0].postback.headers.X-Key", "\"k\"", HIDDEN),
            (
                "server.connect_hook.secrets",
                "[\"${env:A}\", \"${file:/b}\"]",
                "[\"${env:A}\", \"${file:/b}\"]",
            ),
            (
                "server.connect_hook.secrets",
                "[\"${env:A}\", \"x\"]",
                HIDDEN,
            ),
            (
                "server.tls.key_passphrase_file",
                "\"/run/pw\"",
                "\"/run/pw\"",
            ),
            ("server.limits.headers_max", "64", "64"),
        ] {
            assert_eq!(presentable(key, value), shown, "{key} = {value}");
        }
    }
}
