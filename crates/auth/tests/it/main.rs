//! Behaviour of the crate, seen from outside.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod config; // what is accepted and refused in a configuration
mod lists; // truth tables of oneOf and allOf
mod requests; // which requests pass
mod secrecy; // what must never be printed
mod tokens; // JSON Web Tokens

use tidewire_auth::{AuthConfig, AuthError, Authenticator, NoLookup};

/// Reads a configuration that is expected to be well-formed.
fn config(json: &str) -> AuthConfig {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn resolve(json: &str) -> Result<Authenticator, AuthError> {
    config(json).resolve(&NoLookup)
}

fn authenticator(json: &str) -> Authenticator {
    resolve(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}
