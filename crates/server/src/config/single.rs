//! The rules for one value each.

use std::{
    fmt::Display,
    fs::File,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::tz::TimeZone;
use tidewire_auth::{AuthConfig, Authenticator};

use super::{
    AllowedOrigins, ByteSize, TlsConfig, TlsSettings,
    check::Checker,
    error::Rule,
    report::quote,
    value::{is_log_filter, listen_address, origin},
};

impl Checker<'_> {
    pub(super) fn range<T: PartialOrd + Display>(
        &mut self,
        key: &str,
        value: &T,
        range: RangeInclusive<T>,
    ) {
        if !range.contains(value) {
            let expected = format!("{} to {}", range.start(), range.end());
            self.value(key, value, &expected);
        }
    }

    pub(super) fn count(&mut self, key: &str, value: u32, least: u32, most: u32) -> usize {
        self.range(key, &value, least..=most);
        value as usize
    }

    pub(super) fn seconds(&mut self, key: &str, value: u32, least: u32, most: u32) -> Duration {
        self.range(key, &value, least..=most);
        Duration::from_secs(value.into())
    }

    pub(super) fn size(
        &mut self,
        key: &str,
        value: ByteSize,
        least: ByteSize,
        most: ByteSize,
    ) -> usize {
        self.range(key, &value, least..=most);
        usize::try_from(value.0).unwrap_or(usize::MAX)
    }

    pub(super) fn listen(&mut self, key: &str, text: &str) -> Option<SocketAddr> {
        let address = listen_address(text);
        if address.is_none() {
            self.value(
                key,
                &quote(text),
                "ip:port, localhost:port or *:port, such as 127.0.0.1:8085",
            );
        }
        address
    }

    pub(super) fn endpoint(&mut self, path: &str) {
        let is_segment = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
        };
        let is_path = path.len() <= 256
            && path
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(is_segment));
        if !is_path || path == "/echo" {
            self.value(
                "server.endpoint",
                &quote(path),
                "a path such as /chat: segments of letters, digits and -_.~, no slash at the end, \
                 not / and not /echo",
            );
        }
    }

    pub(super) fn origins(&mut self, texts: &[String]) -> AllowedOrigins {
        const KEY: &str = "server.allowed_origins";
        if texts.len() > LIST_LENGTH_MAX {
            self.value(KEY, &format_args!("{} origins", texts.len()), "at most 256");
        }
        if texts.iter().any(|text| text == "*") {
            if texts.len() > 1 {
                self.value(
                    KEY,
                    &"\"*\" beside others",
                    "\"*\" alone or a list without it",
                );
            }
            return AllowedOrigins::Any;
        }
        let mut origins = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match origin(text) {
                Some(origin) => origins.push(origin),
                None => self.value(
                    &format!("{KEY}[{index}]"),
                    &quote(text),
                    "exactly scheme://host or scheme://host:port, or \"*\" for any",
                ),
            }
        }
        AllowedOrigins::Only(origins)
    }

    pub(super) fn tls(&mut self, table: &str, config: &TlsConfig) -> Option<TlsSettings> {
        let enabled = format!("{table}.enabled");
        let client_ca = format!("{table}.client_ca");
        if !config.enabled {
            if !config.client_ca.is_empty() {
                self.complain(&client_ca, Rule::ClientCaWithoutTls { other: enabled });
            }
            return None;
        }
        for (key, file) in [
            (format!("{table}.certificate"), &config.certificate),
            (format!("{table}.key"), &config.key),
        ] {
            if file.is_empty() {
                let other = enabled.clone();
                self.complain(&key, Rule::NeededBy { other });
            } else {
                self.file(&key, file);
            }
        }
        if !config.client_ca.is_empty() {
            self.file(&client_ca, &config.client_ca);
        }
        Some(TlsSettings {
            certificate: PathBuf::from(&config.certificate),
            key: PathBuf::from(&config.key),
            client_ca: (!config.client_ca.is_empty()).then(|| PathBuf::from(&config.client_ca)),
        })
    }

    fn file(&mut self, key: &str, path: &str) {
        let path = Path::new(path);
        let reason = match File::open(path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => return,
            Ok(_) => "not a file".to_owned(),
            Err(error) => error.to_string(),
        };
        let path = path.to_owned();
        self.complain(key, Rule::File { path, reason });
    }

    pub(super) fn auth(&mut self, table: &str, config: &AuthConfig) -> Option<Authenticator> {
        match config.resolve(self.lookup) {
            Ok(authenticator) => Some(authenticator),
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

    pub(super) fn time_zone(&mut self, name: &str) -> Option<TimeZone> {
        let zone = TimeZone::get(name).ok();
        if zone.is_none() {
            self.value(
                "chat.time_zone",
                &quote(name),
                "an IANA time zone such as UTC or Europe/Berlin",
            );
        }
        zone
    }

    pub(super) fn log_level(&mut self, filter: &str) {
        if !is_log_filter(filter) {
            self.value(
                "log.level",
                &quote(filter),
                "off, error, warn, info, debug or trace, with exceptions such as \
                 info,tidewire=debug",
            );
        }
    }
}

/// The longest list of texts; each is compared one by one.
pub(super) const LIST_LENGTH_MAX: usize = 256;
