//! The rules between keys: values that are fine alone and wrong together.

use std::{collections::BTreeMap, time::SystemTime};

use tidewire::net::Address;
use tidewire_config::{Checker, Rule, listen_address, quote, tls_warnings};

use super::{Config, check_route::drops_rest, rules::size_not_below};
use crate::settings::{Endpoint, Origins, Settings};

/// Checks the rules between keys. The listeners are `None` when one of them was wrong by itself.
pub(super) fn agreement(
    check: &mut Checker<'_>,
    config: &Config,
    listeners: Option<&[crate::settings::Listener]>,
) {
    if config.endpoints.is_empty() {
        let what = "there is none: expected at least one, such as [endpoints.chat] with \
                    upstreams = [\"ws://127.0.0.1:9001/\"]";
        let what = what.to_owned();
        check.complain("endpoints", Rule::Missing { what });
    }
    names(check, config);
    ports(check, config, listeners.unwrap_or_default());
    for (name, endpoint) in &config.endpoints {
        let at = format!("endpoints.{name}");
        if let Some(resume) = endpoint.resume.as_ref().filter(|resume| resume.enabled) {
            size_not_below(
                check,
                (&format!("{at}.resume.bytes_max"), resume.bytes_max),
                (
                    &format!("{at}.rates.message_bytes_max"),
                    endpoint.rates.message_bytes_max,
                ),
            );
        }
    }
    let classic = &config.classic;
    size_not_below(
        check,
        ("classic.queue_bytes_max", classic.queue_bytes_max),
        ("classic.message_bytes_max", classic.message_bytes_max),
    );
}

/// A name leads to one endpoint, in any case of letters (M-21).
fn names(check: &mut Checker<'_>, config: &Config) {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let own = config
        .endpoints
        .keys()
        .map(|name| (format!("endpoints.{name}"), name));
    let aliases = config.endpoints.iter().flat_map(|(name, endpoint)| {
        let key = move |index| format!("endpoints.{name}.aliases[{index}]");
        (0..).map(key).zip(&endpoint.aliases)
    });
    for (key, name) in own.chain(aliases) {
        if let Some(other) = taken.get(&name.to_ascii_lowercase()) {
            let rule = Rule::NameTaken {
                found: quote(name),
                other: other.clone(),
            };
            check.complain(&key, rule);
        } else {
            taken.insert(name.to_ascii_lowercase(), key);
        }
    }
}

/// Two listeners cannot have the same address.
fn ports(check: &mut Checker<'_>, config: &Config, listeners: &[crate::settings::Listener]) {
    let mut all: Vec<(String, Address)> = Vec::new();
    let admin = config
        .admin
        .as_ref()
        .filter(|admin| admin.enabled)
        .and_then(|admin| listen_address(&admin.address).ok())
        .map(|address| ("admin.address".to_owned(), address));
    let listeners = listeners.iter().enumerate().map(|(index, listener)| {
        let key = format!("listeners[{index}].address");
        (key, listener.address.clone())
    });
    for (key, address) in listeners.chain(admin) {
        let clash = all.iter().find(|(_, other)| are_one(&address, other));
        if let Some((other, _)) = clash {
            let other = other.clone();
            let rule = match address.socket_addr() {
                Some(address) => Rule::PortTaken {
                    port: address.port(),
                    other,
                },
                None => Rule::SocketTaken {
                    socket: address.to_string(),
                    other,
                },
            };
            check.complain(&key, rule);
        }
        all.push((key, address));
    }
}

/// Returns whether two listeners cannot both have theirs.
fn are_one(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Ip(one), Address::Ip(other)) => {
            let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() != 0 && one.port() == other.port() && (is_any || one.ip() == other.ip())
        }
        (one, other) => one == other,
    }
}

impl Config {
    /// What to say in the log although it is allowed.
    pub(super) fn warnings(&self, settings: &Settings) -> Vec<String> {
        let mut warnings = self.listener_warnings(settings);
        for endpoint in &settings.endpoints {
            self.endpoint_warnings(endpoint, &mut warnings);
        }
        if let Some(admin) = &self.admin
            && admin.enabled
            && admin.auth.has_inline_secret()
        {
            warnings.push(inline_secret("admin.auth"));
        }
        let all = settings
            .routes
            .iter()
            .position(|route| route.conditions.is_empty());
        if let Some(all) = all
            && all + 1 < settings.routes.len()
        {
            warnings.push(format!(
                "routes[{all}] has no condition, so no route after it is ever used"
            ));
        }
        for (index, route) in self.routes.iter().enumerate() {
            if drops_rest(route) {
                let path = route.path.as_deref().unwrap_or_default();
                warnings.push(format!(
                    "routes[{index}] takes many paths ({path}), and its upstream gets the path of its own address for all \
                     of them: set upstream_path to \"rest\" or \"request\" to pass them on, or to \"own\" if this is meant"
                ));
            }
        }
        if !(self.classic.enabled || self.mux.enabled || self.pin_by_name)
            && settings.routes.is_empty()
        {
            warnings.push(
                "nothing leads to an endpoint: there are no routes, and classic, mux and \
                 pin_by_name are off"
                    .to_owned(),
            );
        }
        warnings
    }

    fn listener_warnings(&self, settings: &Settings) -> Vec<String> {
        let now = SystemTime::now();
        let listeners = settings.listeners.iter().zip(&self.listeners).enumerate();
        let warnings = listeners.filter_map(|(index, (listener, config))| {
            let at = format!("listeners[{index}].tls");
            let files = config.tls.as_ref();
            let is_exposed_key_allowed = files.is_some_and(|tls| tls.danger_allow_exposed_key);
            let tls = listener.tls.as_ref();
            tls.map(|tls| tls_warnings(&at, tls, is_exposed_key_allowed, now))
        });
        warnings.flatten().collect()
    }

    fn endpoint_warnings(&self, endpoint: &Endpoint, warnings: &mut Vec<String>) {
        let name = &endpoint.name;
        let Some(config) = self.endpoints.get(name) else {
            return;
        };
        if endpoint.origins == Origins::Any {
            warnings.push(format!(
                "endpoints.{name}.origins is \"any\": every web page may connect"
            ));
        }
        if config.auth.has_inline_secret() {
            warnings.push(inline_secret(&format!("endpoints.{name}.auth")));
        }
        if let Some(tls) = config.tls.as_ref().filter(|tls| tls.enabled) {
            if tls.danger_unverified {
                warnings.push(format!(
                    "endpoints.{name}.tls.danger_unverified is true: nobody knows who answers"
                ));
            }
            if !endpoint.upstreams.iter().any(|one| one.url.is_secure()) {
                warnings.push(format!(
                    "endpoints.{name}.tls has no effect: no upstream is wss://"
                ));
            }
        }
    }
}

fn inline_secret(key: &str) -> String {
    format!("{key} contains a secret: refer to it with ${{env:NAME}} or ${{file:/path}}")
}
