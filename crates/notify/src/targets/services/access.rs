//! Parts that the tables of all services share: where a server is, TLS towards it, secrets, and names that an event fills in.

use tidewire_auth::Secret;
use tidewire_config::{Checker, quote};
use tidewire_table::table;

use crate::Event;

table! {
    /// TLS towards the server of a target. Without: none.
    pub struct ServiceTlsConfig {
        /// Switches the table on.
        enabled: bool = true;
        /// PEM file with the authorities to trust; empty = the system's. Read for every connection, so it can be replaced.
        ca: String;
        /// PEM file with a certificate chain, for servers that ask; read for every connection.
        certificate: String;
        /// PEM file with the key of `certificate`, not encrypted.
        key: String;
        /// Name that the server's certificate is for; empty = `address`.
        server_name: String;
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Name or address, and port.
    Tcp(String, u16),
    /// The path of a Unix socket.
    Unix(String),
}

/// TLS, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) ca: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// Whose certificate the server has to show.
    pub(crate) server_name: String,
}

/// Something is wrong, and noted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted;

/// Checks `address`, `port` and `unix_socket` of the table at `at`.
pub(crate) fn endpoint(
    check: &mut Checker<'_>,
    at: &str,
    address: &str,
    port: u16,
    unix_socket: &str,
) -> Option<Endpoint> {
    if !unix_socket.is_empty() {
        if !cfg!(unix) || !unix_socket.starts_with('/') {
            let key = format!("{at}.unix_socket");
            check.value(&key, &quote(unix_socket), "the whole path of a Unix socket");
            return None;
        }
        return Some(Endpoint::Unix(unix_socket.to_owned()));
    }
    let is_host = !address.is_empty()
        && !address.contains(|c: char| c.is_whitespace() || c.is_control() || "/@".contains(c));
    if !is_host {
        let key = format!("{at}.address");
        // Who writes a URL here has written a password too, perhaps.
        check.value(&key, &"another text", "a host name or an address alone");
        return None;
    }
    Some(Endpoint::Tcp(address.to_owned(), port))
}

/// Checks a table `tls` behind the table at `at`; `host` is whose certificate is expected unless it says otherwise.
pub(crate) fn tls(
    check: &mut Checker<'_>,
    at: &str,
    config: Option<&ServiceTlsConfig>,
    host: &str,
) -> Result<Option<TlsFiles>, Noted> {
    let Some(config) = config.filter(|config| config.enabled) else {
        return Ok(None);
    };
    let at = format!("{at}.tls");
    let mut is_sound = true;
    let files = [
        ("ca", &config.ca),
        ("certificate", &config.certificate),
        ("key", &config.key),
    ];
    for (name, file) in files {
        is_sound &= check.file_if_named(&format!("{at}.{name}"), file);
    }
    if config.certificate.is_empty() != config.key.is_empty() {
        let expected = "`certificate` and `key` together";
        check.value(&at, &"one of them", expected);
        is_sound = false;
    }
    if !is_sound {
        return Err(Noted);
    }
    let server_name = if config.server_name.is_empty() {
        host
    } else {
        &config.server_name
    };
    Ok(Some(TlsFiles {
        ca: config.ca.clone(),
        certificate: config.certificate.clone(),
        key: config.key.clone(),
        server_name: server_name.to_owned(),
    }))
}

/// Looks a password up. An empty one is none.
pub(crate) fn password(
    check: &mut Checker<'_>,
    at: &str,
    text: &str,
) -> Result<Option<Secret>, Noted> {
    if text.is_empty() {
        return Ok(None);
    }
    let key = format!("{at}.password");
    match check.secret(&key, &Secret::from(text)) {
        Some(secret) => Ok(Some(secret)),
        None => Err(Noted),
    }
}

/// Notes a key that is empty. Returns whether it is not.
pub(crate) fn filled(check: &mut Checker<'_>, key: &str, text: &str, expected: &str) -> bool {
    if text.is_empty() {
        check.value(key, &quote(text), expected);
    }
    !text.is_empty()
}

/// A name with places for what an event has: `{kind}`, `{user}`, `{type}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Kind,
    User,
    Type,
}

impl Template {
    /// Reads a template, or notes what is wrong with it at `key`.
    pub(crate) fn of(check: &mut Checker<'_>, key: &str, text: &str) -> Option<Self> {
        let template = Self::parse(text);
        if template.is_none() {
            let expected = "a name; of places it may have {kind}, {user} and {type}";
            check.value(key, &quote(text), expected);
        }
        template
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (place, behind) = behind.split_once('}')?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match place {
                "kind" => Part::Kind,
                "user" => Part::User,
                "type" => Part::Type,
                _ => return None,
            });
            rest = behind;
        }
        if rest.contains('}') {
            return None;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Some(Self { parts })
    }

    /// Returns whether it is the same name for all events.
    pub(crate) fn is_fixed(&self) -> bool {
        !self.parts.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// The name for an event. `separator` and white space in what it fills in become `_`, as do `*`, `#` and `>`,
    /// which have a meaning in subjects and routing keys; what is empty becomes `_` too.
    pub(crate) fn fill(&self, event: &Event, separator: char) -> String {
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Kind => name.push_str(event.kind),
                Part::User => push_clean(&mut name, &event.user, separator),
                Part::Type => {
                    let kind = event.content.message_type.as_deref().unwrap_or_default();
                    push_clean(&mut name, kind, separator);
                }
            }
        }
        name
    }
}

fn push_clean(name: &mut String, text: &str, separator: char) {
    if text.is_empty() {
        name.push('_');
    }
    name.extend(text.chars().map(|c| {
        let is_special = c == separator || c.is_whitespace() || c.is_control() || "*#>".contains(c);
        if is_special { '_' } else { c }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_known_places_only() {
        assert!(Template::parse("chat.{kind}.{user}").is_some());
        assert!(Template::parse("").is_some());
        for wrong in ["{", "}", "{what}", "{kind", "a}b{kind}", "{{kind}}"] {
            assert_eq!(Template::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_filled_in_cannot_change_the_form_of_a_name() {
        let mut name = String::from("chat.");
        push_clean(&mut name, "a.b > *#\r\nc", '.');
        assert_eq!(name, "chat.a_b______c");
        push_clean(&mut name, "", '.');
        assert_eq!(name, "chat.a_b______c_");
    }
}
