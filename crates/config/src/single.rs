//! The rules for one value each.

use std::{
    fmt::Display,
    fs::{File, Metadata},
    ops::RangeInclusive,
    path::Path,
};

use tidewire::net::{Address, AddressError, UnixOptions};
use tidewire_access::Gate;
use tidewire_auth::{AuthConfig, Secret, resolve_reference, resolve_text};
use tidewire_proto::proxy::Network;

use crate::{
    Checker, Rule, is_log_filter, listen_address, origin, quote,
    value::{socket_group, socket_mode},
};

impl Checker<'_> {
    /// Whether a value lies in its range; if not, that is noted.
    pub fn range<T: PartialOrd + Display>(
        &mut self,
        key: &str,
        value: &T,
        range: RangeInclusive<T>,
    ) -> bool {
        if !range.contains(value) {
            let expected = format!("{} to {}", range.start(), range.end());
            self.value(key, value, &expected);
            return false;
        }
        true
    }

    /// Where to listen: `ip:port`, `localhost:port`, `*:port` or `unix:/path`. `example` shows the form.
    pub fn listen(&mut self, key: &str, text: &str, example: &str) -> Option<Address> {
        let expected = match listen_address(text) {
            Ok(address) if address.is_unix() && !cfg!(unix) => {
                "ip:port: this system has no Unix sockets".to_owned()
            }
            Ok(address) => return Some(address),
            Err(AddressError::Syntax) => format!(
                "ip:port, localhost:port or *:port, such as {example}, or unix:/path/of.sock"
            ),
            Err(error) => error.to_string(),
        };
        self.value(key, &quote(text), &expected);
        None
    }

    /// Who may connect to a Unix socket: the keys `socket_mode` and `socket_group` of `table`.
    pub fn socket_options(&mut self, table: &str, mode: &str, group: &str) -> UnixOptions {
        let mut options = UnixOptions::default();
        let key = |name: &str| match table {
            "" => name.to_owned(),
            table => format!("{table}.{name}"),
        };
        match socket_mode(mode) {
            Some(mode) => options.mode = mode,
            None => self.value(
                &key("socket_mode"),
                &quote(mode),
                "permissions in octal digits, such as 0660",
            ),
        }
        match socket_group(group) {
            Ok(group) => options.group = group,
            Err(expected) => self.value(&key("socket_group"), &quote(group), expected),
        }
        options
    }

    /// A list of origins and patterns of origins, in the spelling of browsers; `None` when it is `["*"]`: any.
    pub fn origins(&mut self, key: &str, texts: &[String]) -> Option<Vec<String>> {
        if texts.len() > LIST_LENGTH_MAX {
            self.value(key, &format_args!("{} origins", texts.len()), "at most 256");
        }
        if texts.iter().any(|text| text == "*") {
            if texts.len() > 1 {
                self.value(
                    key,
                    &"\"*\" beside others",
                    "\"*\" alone or a list without it",
                );
            }
            return None;
        }
        let mut origins = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match origin(text) {
                Ok(origin) => origins.push(origin),
                Err(expected) => self.value(&format!("{key}[{index}]"), &quote(text), expected),
            }
        }
        Some(origins)
    }

    /// A list of addresses and networks; those that are none are noted.
    pub fn networks(&mut self, key: &str, texts: &[String]) -> Vec<Network> {
        if texts.len() > LIST_LENGTH_MAX {
            self.value(
                key,
                &format_args!("{} networks", texts.len()),
                "at most 256",
            );
        }
        let mut networks = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match text.trim().parse() {
                Ok(network) => networks.push(network),
                Err(_) => self.value(
                    &format!("{key}[{index}]"),
                    &quote(text),
                    "an address, a network like 10.0.0.0/8 or 2001:db8::/32, or unix",
                ),
            }
        }
        networks
    }

    /// Whether a file is there; if not, that is noted.
    pub fn file(&mut self, key: &str, path: &str) -> bool {
        self.opened(key, path, Metadata::is_file, "not a file")
    }

    /// Whether a directory is there; if not, that is noted.
    pub fn directory(&mut self, key: &str, path: &str) -> bool {
        self.opened(key, path, Metadata::is_dir, "not a directory")
    }

    fn opened(
        &mut self,
        key: &str,
        path: &str,
        is_right: fn(&Metadata) -> bool,
        otherwise: &str,
    ) -> bool {
        let path = Path::new(path);
        let reason = match File::open(path).and_then(|file| file.metadata()) {
            Ok(metadata) if is_right(&metadata) => return true,
            Ok(_) => otherwise.to_owned(),
            Err(error) => error.to_string(),
        };
        let path = path.to_owned();
        self.complain(key, Rule::File { path, reason });
        false
    }

    /// What stands in an authentication table, references looked up.
    pub fn auth(&mut self, table: &str, config: &AuthConfig) -> Option<Gate> {
        match config.resolve(self.lookup) {
            Ok(authenticator) => match Gate::new(authenticator) {
                Ok(gate) => Some(gate),
                Err(error) => {
                    let message = error.to_string();
                    self.complain(table, Rule::AuthTable { message });
                    None
                }
            },
            Err(error) => {
                let key = if error.path.is_empty() {
                    table.to_owned()
                } else {
                    format!("{table}.{}", error.path)
                };
                self.complain(&key, Rule::Auth(error.rule));
                None
            }
        }
    }

    /// A secret that the configuration refers to, of at least `bytes_min`.
    pub fn secret_reference(
        &mut self,
        key: &str,
        reference: &str,
        bytes_min: usize,
    ) -> Option<Secret> {
        match resolve_reference(reference, self.lookup) {
            Ok(secret) if secret.expose().len() >= bytes_min => Some(secret),
            Ok(_) => {
                let expected = format_args!("a secret of at least {bytes_min} bytes").to_string();
                self.value(key, &"a shorter one", &expected);
                None
            }
            Err(rule) => {
                self.complain(key, Rule::Auth(rule));
                None
            }
        }
    }

    /// A secret, of which a reference is looked up.
    pub fn secret(&mut self, key: &str, text: &Secret) -> Option<Secret> {
        match resolve_text(text, self.lookup) {
            Ok(secret) => Some(secret),
            Err(rule) => {
                self.complain(key, Rule::Auth(rule));
                None
            }
        }
    }

    /// A filter of log events.
    pub fn log_level(&mut self, key: &str, filter: &str) {
        if !is_log_filter(filter) {
            self.value(
                key,
                &quote(filter),
                "off, error, warn, info, debug or trace, with exceptions such as \
                 info,tidewire=debug",
            );
        }
    }
}

/// The longest list of texts; each is compared one by one.
pub const LIST_LENGTH_MAX: usize = 256;
