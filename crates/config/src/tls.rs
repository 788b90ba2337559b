//! The files of TLS: what a table names becomes certificates and keys that can be used.
//!
//! In: paths. Out: what a listener or a client shows, read once, or what is wrong with which key of the configuration;
//! and what is allowed but deserves a line in the log. Both programs and `check-config` go this way, so a
//! configuration that is called valid can be served.

use std::time::{Duration, SystemTime};

use tidewire::tls::{Identity, ServerTls, TlsError};

use crate::{Checker, Rule};

/// A handshake looks at most so often whether certificate files have changed.
pub const FILES_LOOKED_AT_EVERY: Duration = Duration::from_secs(30);

/// Files of a certificate and its key, as a table names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityFiles<'a> {
    /// `certificate`.
    pub certificate: &'a str,
    /// `key`.
    pub key: &'a str,
    /// `key_passphrase_file`; empty when the key is not encrypted.
    pub passphrase: &'a str,
    /// `danger_allow_exposed_key`.
    pub is_exposed_key_allowed: bool,
}

impl Checker<'_> {
    /// A listener's TLS. `at` is its table; an empty `client_ca` asks clients for nothing. `None` when something was
    /// noted, or a file is not named.
    pub fn server_tls(
        &mut self,
        at: &str,
        files: IdentityFiles<'_>,
        client_ca: &str,
    ) -> Option<ServerTls> {
        let identity = self.identity(at, files);
        let has_client_ca = self.file_if_named(&format!("{at}.client_ca"), client_ca);
        let identity = identity.filter(|_| has_client_ca)?;
        let mut builder = ServerTls::builder(identity).reload_every(FILES_LOOKED_AT_EVERY);
        if !client_ca.is_empty() {
            builder = builder.client_ca_file(client_ca);
        }
        self.tls_built(at, builder.build())
    }

    /// A certificate with its key. `None` when something was noted, or a file is not named.
    pub fn identity(&mut self, at: &str, files: IdentityFiles<'_>) -> Option<Identity> {
        let mut is_there = true;
        for (name, file) in [("certificate", files.certificate), ("key", files.key)] {
            is_there &= !file.is_empty() && self.file(&format!("{at}.{name}"), file);
        }
        let mut identity = Identity::from_files(files.certificate, files.key);
        if !files.passphrase.is_empty() {
            match self.lookup.file(files.passphrase) {
                // Editors end a file with a line break.
                Ok(text) => {
                    let passphrase = text.expose().trim_end_matches(['\r', '\n']);
                    identity = identity.passphrase(passphrase);
                }
                Err(error) => {
                    let rule = Rule::File {
                        path: files.passphrase.into(),
                        reason: error.to_string(),
                    };
                    self.complain(&format!("{at}.key_passphrase_file"), rule);
                    is_there = false;
                }
            }
        }
        if files.is_exposed_key_allowed {
            identity = identity.danger_allow_exposed_key_file();
        }
        is_there.then_some(identity)
    }

    /// Returns whether a file is there, or none was named.
    pub fn file_if_named(&mut self, key: &str, file: &str) -> bool {
        file.is_empty() || self.file(key, file)
    }

    /// Gives what was made of the files of the table `at`, or notes why they cannot be used.
    pub fn tls_built<T>(&mut self, at: &str, result: Result<T, TlsError>) -> Option<T> {
        match result {
            Ok(made) => Some(made),
            Err(error) => {
                let message = in_terms_of_keys(at, &error);
                self.complain(at, Rule::Tls { message });
                None
            }
        }
    }
}

/// The error, and the key of the configuration that helps.
fn in_terms_of_keys(at: &str, error: &TlsError) -> String {
    if matches!(error, TlsError::KeyExposed { .. }) {
        return format!(
            "{error}; where the mode is not yours to choose, as for a secret that an orchestrator mounts, mount it \
             with mode 0440, or set {at}.danger_allow_exposed_key = true"
        );
    }
    if matches!(error, TlsError::PassphraseMissing { .. }) {
        return format!("{error}: name a file that holds it in {at}.key_passphrase_file");
    }
    error.to_string()
}

/// Tells what is allowed of a listener's TLS and deserves a line in the log all the same. `at` is its table.
pub fn tls_warnings(
    at: &str,
    tls: &ServerTls,
    is_exposed_key_allowed: bool,
    now: SystemTime,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_exposed_key_allowed {
        warnings.push(format!(
            "{at}.danger_allow_exposed_key is true: every user of this machine who can read the key can pose as this \
             server"
        ));
    }
    // Files that cannot be read any more were told by whoever has built this.
    if let Ok(Some(validity)) = tls.validity() {
        if let Ok(past) = now.duration_since(validity.not_after)
            && !past.is_zero()
        {
            warnings.push(format!(
                "{at}.certificate has expired {}: clients will refuse it",
                ago(past)
            ));
        } else if let Ok(left) = validity.not_before.duration_since(now)
            && !left.is_zero()
        {
            warnings.push(format!(
                "{at}.certificate is not valid yet, but {}: clients will refuse it until then; is the clock right?",
                ahead(left)
            ));
        } else if let Ok(left) = validity.not_after.duration_since(now)
            && left < RENEWAL_IS_LATE_WITHIN
        {
            warnings.push(format!("{at}.certificate expires {}", ahead(left)));
        }
    }
    warnings
}

/// Certificates that live for 90 days are renewed 30 days before their end, and the shortest in use live for six days.
const RENEWAL_IS_LATE_WITHIN: Duration = Duration::from_hours(48);

fn ago(past: Duration) -> String {
    format!("{} ago", roughly(past))
}

fn ahead(left: Duration) -> String {
    format!("in {}", roughly(left))
}

/// In the largest unit of which there is more than one.
fn roughly(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match minutes {
        0..120 => format!("{minutes} minutes"),
        120..2880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 60 / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_a_unit_that_fits() {
        for (minutes, expected) in [
            (0, "0 minutes"),
            (119, "119 minutes"),
            (120, "2 hours"),
            (47 * 60, "47 hours"),
            (48 * 60, "2 days"),
            (400 * 24 * 60, "400 days"),
        ] {
            assert_eq!(roughly(Duration::from_mins(minutes)), expected);
        }
    }
}
