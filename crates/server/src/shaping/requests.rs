//! Requests: whose credentials are looked at, what they come to, and how many requests there may be.
//!
//! In: a request. Out: who it is, or the answer that it gets. Invariants: who failed too often is not looked at, however
//! many requests come at a time; what is refused is counted, with the reason.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::http::Request;
use tidewire_access::Gate;
use tidewire_auth::{BadToken, Denied, Headers, Identity, claimed_user};

use super::{RefusalReason, Shaping, retry_after};
use crate::{
    access::{Access, peer_of},
    credentials::PartsHeaders,
};

/// A request is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotIdentified {
    /// Its credentials let nobody in.
    Denied(Denied),
    /// Too many were wrong: they are not looked at for so long.
    Wait(Duration),
}

/// Told to the client then.
pub(crate) const TOO_MANY_LOGINS: &str = "too many failed logins, try again later";

/// Who tries to be let in, as failures are counted.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// `None`: over a Unix socket.
    pub(crate) address: Option<IpAddr>,
    /// The account that the client names; `None`: a token does, and nobody knows whether it is right.
    pub(crate) account: Option<String>,
}

impl Shaping {
    /// Checks credentials, if they are to be looked at, and asks whoever has to be asked.
    ///
    /// While somebody is asked, others fail: the answer counts for nothing once their attempts have used up the limit.
    pub(crate) async fn identify(
        &self,
        gate: &Gate,
        headers: &dyn Headers,
        login: &Login,
    ) -> Result<Arc<Identity>, NotIdentified> {
        self.may_log_in(login)?;
        let checked = gate.check(headers).await;
        self.may_log_in(login)?;
        self.note_login(checked, login)
    }

    /// The same where nobody has to be asked; `None`: somebody has to.
    pub(crate) fn identify_if_known(
        &self,
        gate: &Gate,
        headers: &dyn Headers,
        login: &Login,
    ) -> Option<Result<Arc<Identity>, NotIdentified>> {
        if let Err(wait) = self.may_log_in(login) {
            return Some(Err(wait));
        }
        let checked = gate.check_if_known(headers)?;
        Some(self.note_login(checked, login))
    }

    /// Checks the credentials of a request over HTTP.
    pub(crate) fn check_request<'a, B>(
        &'a self,
        access: &'a Access,
        request: &'a Request<B>,
    ) -> impl Future<Output = Result<Arc<Identity>, NotIdentified>> + Send {
        let headers = PartsHeaders::of(request);
        let login = Login {
            address: access.client(request.headers(), &peer_of(request)),
            account: claimed_user(&headers),
        };
        async move {
            let identified = self.identify(&access.auth, &headers, &login).await;
            if let Err(error) = &identified {
                self.reasons.refused(error.reason(), &login.address);
            }
            identified
        }
    }

    /// Counts a request; the error is the number of seconds after which to try again.
    pub(crate) fn count_request<B>(
        &self,
        access: &Access,
        request: &Request<B>,
    ) -> Result<(), u64> {
        let address = access.client(request.headers(), &peer_of(request));
        self.admit_request(address).map_err(|wait| {
            self.reasons
                .refused(RefusalReason::TooManyRequests, &address);
            retry_after(wait)
        })
    }

    /// Checks that credentials of `login` are to be looked at.
    pub(crate) fn may_log_in(&self, login: &Login) -> Result<(), NotIdentified> {
        self.check_login(login.address, login.account.as_deref())
            .map_err(NotIdentified::Wait)
    }

    fn note_login(
        &self,
        checked: Result<Arc<Identity>, Denied>,
        login: &Login,
    ) -> Result<Arc<Identity>, NotIdentified> {
        let account = login.account.as_deref();
        match checked {
            Ok(identity) => {
                self.login_passed(login.address, account);
                Ok(identity)
            }
            Err(denied) => {
                if is_guess(denied) {
                    self.login_failed(login.address, account);
                }
                Err(NotIdentified::Denied(denied))
            }
        }
    }
}

impl NotIdentified {
    fn reason(self) -> RefusalReason {
        match self {
            Self::Denied(Denied::Unavailable) => RefusalReason::CannotTell,
            Self::Denied(_) => RefusalReason::Unauthorized,
            Self::Wait(_) => RefusalReason::TooManyLogins,
        }
    }
}

/// Returns whether it may have been an attempt to guess. A token that was good until a while ago is none: its client
/// is to get a new one, not to be kept out.
fn is_guess(denied: Denied) -> bool {
    match denied {
        Denied::Missing | Denied::Unavailable | Denied::Token(BadToken::Expired) => false,
        Denied::Wrong | Denied::Token(_) | _ => true,
    }
}
