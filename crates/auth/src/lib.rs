//! Who is it, and what may it do: the authentication kinds a server can demand of a request.
//!
//! In: an [`AuthConfig`] from a configuration file, and later the header fields of each
//! request. Out: an [`Authenticator`] whose [`check`](Authenticator::check) answers with an [`Identity`] or
//! [`Denied`]. The crate is pure logic: it opens no files, reads no environment and knows no
//! sockets; references to secrets are looked up through [`Lookup`], which the caller gives, and what has to be asked
//! elsewhere is an [`Inquiry`] for the caller to answer.
//!
//! Invariants: what is not understood is refused (an unknown type, an empty secret and an
//! unresolved reference are errors, never "no authentication"); secrets cannot be printed;
//! comparing a candidate takes a time that depends on the candidate only.
//!
//! ```
//! use tidewire_auth::{AuthConfig, NoLookup};
//!
//! let config: AuthConfig = serde_json::from_str(r#"{"type": "bearer", "value": "s3cret"}"#)?;
//! let authenticator = config.resolve(&NoLookup)?;
//! let identity = authenticator.check(&[("Authorization", "Bearer s3cret")])?;
//! assert_eq!(identity.user(), None); // the token is shared: it says nothing of the user
//! assert!(authenticator.check(&[("Authorization", "Bearer guess")]).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod authenticator; // the decision
mod config; // what the operator writes
mod shown; // … as an operator may see it
mod table; // … as it stands in a file
mod credentials; // header bytes → credentials
mod error; // what can be wrong with it
mod headers; // the header fields of a request
mod identity; // who passed
mod grants; // what it may do
mod inquiry; // what has to be asked elsewhere
mod node; // the kinds as a tree
mod jwt; // tokens that somebody has signed
mod remote; // services that are asked
mod outgoing; // credentials for requests of ours
mod query; // parameters of a request's query
mod reference; // `${env:…}` and `${file:…}`
mod resolve; // config → authenticator
mod secret; // a string that cannot be printed
mod user_name; // the spelling of a user's id

pub use authenticator::{Authenticator, Denied};
pub use config::{AuthConfig, CertificatePart, JwtConfig, RemoteConfig, RemoteText, SourceConfig};
pub use credentials::{BEARER_SUBPROTOCOL, claimed_user};
pub use error::{AuthError, AuthRule};
pub use grants::{Grants, PATTERN_BYTES_MAX, PATTERNS_MAX, PatternsError, Scope};
pub use headers::Headers;
pub use identity::Identity;
pub use inquiry::{Answers, Inquiry, RemoteAnswer};
pub use jwt::{
    Algorithm, BadToken, KEYS_MAX, KeyError, KeyServer, KeySet, KnownKeys, LEEWAY_MAX, SignError,
    SigningKey, TOKEN_BYTES_MAX, TokenRules, UnknownAlgorithm, unverified_parts,
};
pub use outgoing::{Outgoing, OutgoingError};
pub use query::{MalformedParameter, decode_parameter, first_parameter, raw_parameters};
pub use reference::{Lookup, LookupError, NoLookup, resolve_reference, resolve_text};
pub use remote::{Remote, RemoteLimits, RemoteRequest};
pub use resolve::{DEPTH_MAX, MEMBERS_MAX, SECRET_BYTES_MAX};
pub use secret::Secret;
pub use shown::is_reference;
pub use user_name::{USER_NAME_BYTES_MAX, UserNameError, composed, user_name};
