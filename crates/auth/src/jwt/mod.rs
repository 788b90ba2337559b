//! JSON Web Tokens (RFC 7519) in the compact form of JWS (RFC 7515): who signed what is checked here.
//!
//! In: a token as a client sent it, keys, the rules of the operator. Out: an [`Identity`](crate::Identity), or why the
//! token is good for nothing. Invariants, after RFC 8725: algorithms and keys are the operator's choice, the token only
//! chooses among them; whatever is not understood and could matter (`crit`, `b64`, encryption, compression, nesting, a
//! member that is there twice) makes a token bad; work is bounded by [`TOKEN_BYTES_MAX`], and nothing of a token is
//! believed, or even read as claims, before its signature is verified.
//!
//! The signatures themselves are ring's, which TLS brings anyway.

mod algorithm; // names of algorithms
mod keys; // what tokens are checked with
mod key_server; // keys that somebody else keeps
mod object; // JSON, member by member
mod rules; // what the operator demands of a token
mod claims; // what a token says → an identity
mod token; // the compact form
mod sign; // making tokens

pub use self::{
    algorithm::{Algorithm, UnknownAlgorithm},
    key_server::{KeyServer, KnownKeys},
    keys::{KEYS_MAX, KeyError, KeySet},
    rules::{LEEWAY_MAX, TokenRules},
    sign::{SignError, SigningKey},
    token::{BadToken, TOKEN_BYTES_MAX, unverified_parts},
};
pub(crate) use self::{
    claims::{GrantsClaim, Id},
    object::Object,
    token::{Keys, SignedBy, signed_by, verify},
};
