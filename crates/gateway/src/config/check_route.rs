//! [`RouteConfig`] → [`Route`].

use std::collections::BTreeMap;

use tidewire_config::{Checker, Rule, quote};

use super::{
    tables::{EndpointConfig, RouteConfig},
    value::is_token,
};
use crate::settings::{Condition, Pattern, Route, Source};

/// Checks the route at `index`. Its endpoint is called as the endpoint itself is afterwards.
pub(super) fn route(
    check: &mut Checker<'_>,
    index: usize,
    config: &RouteConfig,
    endpoints: &BTreeMap<String, EndpointConfig>,
) -> Option<Route> {
    let at = format!("routes[{index}]");
    let endpoint = endpoints.iter().find_map(|(name, endpoint)| {
        let is_it = |candidate: &String| candidate.eq_ignore_ascii_case(&config.endpoint);
        (is_it(name) || endpoint.aliases.iter().any(is_it)).then_some(name)
    });
    // Its name may have been among what was not understood.
    if endpoint.is_none() && !check.is_broken("endpoints") {
        let key = format!("{at}.endpoint");
        if config.endpoint.is_empty() {
            let what = "is missing: expected the name of an endpoint".to_owned();
            check.complain(&key, Rule::Missing { what });
        } else {
            let names: Vec<&str> = endpoints.keys().map(String::as_str).collect();
            let expected = format!("the name of an endpoint: {}", names.join(", "));
            check.value(&key, &quote(&config.endpoint), &expected);
        }
    }
    let conditions = conditions(check, &at, config);
    if let Some(prefix) = &config.strip_prefix
        && (!(prefix.is_empty() || prefix.starts_with('/')) || prefix.contains(['?', '#']))
    {
        let key = format!("{at}.strip_prefix");
        check.value(
            &key,
            &quote(prefix),
            "the beginning of a path, such as /chat",
        );
    }
    let upstream_path = upstream_path(check, &at, config);
    Some(Route {
        endpoint: endpoint?.clone(),
        conditions: conditions?,
        keep_path: upstream_path == Some(UpstreamPath::Request),
        strip_prefix: match upstream_path? {
            UpstreamPath::Own | UpstreamPath::Request => None,
            UpstreamPath::Behind(prefix) => Some(prefix),
        },
        by_name: config.by_name,
    })
}

/// The path towards the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
enum UpstreamPath {
    Own,
    Request,
    /// That of the request without this prefix, behind the upstream's own.
    Behind(String),
}

fn upstream_path(check: &mut Checker<'_>, at: &str, config: &RouteConfig) -> Option<UpstreamPath> {
    let key = format!("{at}.upstream_path");
    let Some(word) = config.upstream_path.as_deref() else {
        let prefix = config.strip_prefix.clone();
        return Some(prefix.map_or(UpstreamPath::Own, UpstreamPath::Behind));
    };
    if config.strip_prefix.is_some() {
        let expected = "either this key or strip_prefix";
        check.value(&key, &quote(word), expected);
        return None;
    }
    match word {
        "own" => Some(UpstreamPath::Own),
        "request" => Some(UpstreamPath::Request),
        "rest" => {
            let path = config.path.as_deref().unwrap_or_default();
            let prefix = path
                .strip_suffix('*')
                .filter(|prefix| !prefix.contains('*'));
            let prefix = prefix.filter(|prefix| prefix.starts_with('/'));
            if prefix.is_none() {
                let expected =
                    "a path with one * at its end, such as /chat/*, of which that is the rest";
                check.value(&key, &quote(word), expected);
            }
            Some(UpstreamPath::Behind(prefix?.to_owned()))
        }
        _ => {
            check.value(&key, &quote(word), "\"own\", \"request\" or \"rest\"");
            None
        }
    }
}

/// Returns whether a route takes many paths, and sends all of them to the upstream's own without saying so.
pub(super) fn drops_rest(config: &RouteConfig) -> bool {
    let path = config.path.as_deref().unwrap_or_default();
    let takes_many =
        path.len() > 1 && path != "/*" && (path.contains('*') || path.starts_with("re:"));
    takes_many && config.upstream_path.is_none() && config.strip_prefix.is_none()
}

fn conditions(check: &mut Checker<'_>, at: &str, config: &RouteConfig) -> Option<Vec<Condition>> {
    let mut wanted: Vec<(String, Source, String)> = Vec::new();
    if let Some(path) = &config.path {
        if !(path.starts_with(['/', '*']) || path.starts_with("re:")) {
            let expected = "a path that begins with /, * or re:, for any other never fits";
            check.value(&format!("{at}.path"), &quote(path), expected);
        }
        wanted.push((format!("{at}.path"), Source::Path, path.clone()));
    }
    if let Some(host) = &config.host {
        // The header is compared in lower case.
        let host = if host.starts_with("re:") {
            host.clone()
        } else {
            host.to_ascii_lowercase()
        };
        wanted.push((format!("{at}.host"), Source::Host, host));
    }
    if let Some(subprotocol) = &config.subprotocol {
        let key = format!("{at}.subprotocol");
        wanted.push((key, Source::Subprotocol, subprotocol.clone()));
    }
    for (name, pattern) in &config.header {
        let key = named(check, &format!("{at}.header"), name, is_token(name));
        let source = Source::Header(name.to_ascii_lowercase());
        wanted.push((key, source, pattern.clone()));
    }
    for (name, pattern) in &config.query {
        let key = named(check, &format!("{at}.query"), name, !name.is_empty());
        wanted.push((key, Source::Query(name.clone()), pattern.clone()));
    }
    for (name, pattern) in &config.cookie {
        let key = named(check, &format!("{at}.cookie"), name, is_token(name));
        wanted.push((key, Source::Cookie(name.clone()), pattern.clone()));
    }
    let mut conditions = Vec::new();
    let count = wanted.len();
    for (key, source, text) in wanted {
        match Pattern::parse(&text) {
            Ok(pattern) => conditions.push(Condition { source, pattern }),
            Err(error) => {
                let found = quote(&text);
                let expected = one_line(&error.to_string());
                check.complain(&key, Rule::Value { found, expected });
            }
        }
    }
    (conditions.len() == count).then_some(conditions)
}

fn named(check: &mut Checker<'_>, table: &str, name: &str, is_name: bool) -> String {
    let key = format!("{table}.{name}");
    if !is_name {
        check.value(table, &quote(name), "a name as in HTTP");
    }
    key
}

/// Errors of regular expressions draw a picture; their last line says what is wrong.
fn one_line(error: &str) -> String {
    let error = error.strip_prefix("expected ").unwrap_or(error);
    match (error.split_once('\n'), error.lines().last()) {
        (Some((first, _)), Some(last)) => {
            let first = first
                .split_once(": regex parse error")
                .map_or(first, |(head, _)| head);
            format!("{first}: {}", last.trim_start_matches("error: "))
        }
        (None, _) | (Some(_), None) => error.to_owned(),
    }
}
