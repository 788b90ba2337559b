//! [`Rights`]: what the caller of the API may do.
//!
//! In: who it is. Out: yes, or 403. Invariants: a caller whose credentials bind nobody, as passwords and tokens that a
//! group shares, may do everything, as before there were others; one who is bound to a user, and is no administrator,
//! acts for that user and nobody else; each command asks for itself.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use tidewire_auth::{Identity, Scope};
use tidewire_hub::UserId;

use super::RestError;

/// The caller.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    identity: Arc<Identity>,
}

impl Rights {
    pub(crate) fn of(identity: Arc<Identity>) -> Self {
        Self { identity }
    }

    /// Who may ask for everything, and send as anybody.
    fn is_operator(&self) -> bool {
        self.identity.is_admin() || self.identity.user().is_none()
    }

    /// For what concerns all users.
    pub(crate) fn everything(&self) -> Result<(), RestError> {
        if self.is_operator() {
            return Ok(());
        }
        Err(RestError::new(403, "only an administrator may do this"))
    }

    /// For what concerns one user.
    pub(super) fn for_user(&self, user: &UserId) -> Result<(), RestError> {
        let is_own = || {
            let bound = self.identity.user().and_then(|bound| bound.parse().ok());
            bound.as_ref() == Some(user)
        };
        if self.is_operator() || is_own() {
            return Ok(());
        }
        Err(RestError::new(403, "these credentials are another user's"))
    }

    /// The user besides whom the caller sees nothing, if there is one.
    pub(super) fn bound_user(&self) -> Option<UserId> {
        if self.is_operator() {
            return None;
        }
        self.identity.user().and_then(|user| user.parse().ok())
    }

    /// Whom it may send to; an administrator to everybody.
    pub(super) fn send_to(&self) -> &Scope {
        if self.identity.is_admin() {
            return &Scope::All;
        }
        self.identity.grants().send_to()
    }
}

impl<S: Sync> FromRequestParts<S> for Rights {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, RestError> {
        let rights = parts.extensions.get::<Self>();
        rights.cloned().ok_or_else(RestError::unauthorized)
    }
}
