//! [`TokenRules`]: what the operator demands of a token besides a signature.

use std::time::Duration;

use super::Algorithm;

/// The most that two clocks may differ.
pub const LEEWAY_MAX: Duration = Duration::from_mins(10);

/// The demands on a token, and which of its claims say who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRules {
    /// How it may be signed. Default: nothing is accepted.
    pub algorithms: Vec<Algorithm>,
    /// `iss` must be this; `None`: it is not looked at. Default: none.
    pub issuer: Option<String>,
    /// `aud` must name one of these. Empty: a token that is for anybody in particular is refused (RFC 7519 section
    /// 4.1.3). Default: empty.
    pub audiences: Vec<String>,
    /// How far the issuer's clock and ours may differ. Default: 30 s.
    pub leeway: Duration,
    /// The claim with the user. Default: `sub`.
    pub user_claim: String,
    /// The claim with the user's device; `None`: no device is bound. Default: none.
    pub device_claim: Option<String>,
    /// The claim with the grants. Default: `tidewire`.
    pub grants_claim: String,
}

impl Default for TokenRules {
    fn default() -> Self {
        Self {
            algorithms: Vec::new(),
            issuer: None,
            audiences: Vec::new(),
            leeway: Duration::from_secs(30),
            user_claim: "sub".to_owned(),
            device_claim: None,
            grants_claim: "tidewire".to_owned(),
        }
    }
}
