//! Who may begin a session: failed logins, credentials or a ticket, the connect hook, blocks and rates, in this order.
//!
//! In: a request. Out: an identity, or how the connection is closed and by which reason that is counted. Invariants: who
//! failed too often is not looked at; the backend hears of nobody whose credentials are wrong; a ticket is taken once.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tidewire::{
    service::Sampled,
    ws::{AcceptFuture, Decision, Request},
};
use tidewire_auth::{Denied, Identity, claimed_user, first_parameter};
use tidewire_dialect::{Close, Dialect, Ending};
use tidewire_hub::UserId;

use crate::{
    access::Access,
    credentials::UpgradeHeaders,
    shaping::{CloseReason, Hook, Login, NotIdentified, Shaping, Verdict, retry_after},
    tickets::Tickets,
};

/// The checks for connections of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub(crate) access: Access,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) shaping: Arc<Shaping>,
    pub(crate) hook: Option<Arc<Hook>>,
}

/// A connection that becomes no session.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) close: Close,
    pub(super) reason: CloseReason,
}

/// What is found out about a client before the handshake is answered, for the session behind it.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// Who it is.
    Identity(Arc<Identity>),
    /// It becomes no session.
    Refused(Refused),
    /// It has no credentials, and may send a token as its first message.
    FirstMessage,
}

impl Refused {
    pub(super) fn new<D: Dialect>(ending: &Ending<'_, D::Error>) -> Self {
        Self {
            close: D::close(ending),
            reason: CloseReason::of_ending(ending),
        }
    }

    /// More of something than may be in this time.
    fn too_many<D: Dialect>(what: &str, wait: Duration, reason: CloseReason) -> Self {
        let retry_after = retry_after(wait);
        Self {
            close: D::close(&Ending::TooMany { what, retry_after }),
            reason,
        }
    }
}

impl Admission {
    /// Where the client is, as far as it can be believed.
    pub(super) fn client(&self, request: &Request) -> Option<IpAddr> {
        self.access.client(request.head.as_ref(), &request.peer)
    }

    /// Attaches to the decision who it is; waits where somebody has to be asked.
    pub(super) fn check<'a, D: Dialect>(
        &'a self,
        request: &'a Request,
        decision: Decision,
    ) -> AcceptFuture<'a> {
        let headers = UpgradeHeaders::of(request);
        let (gate, login) = (&self.access.auth, self.login(request));
        let known = if let Err(error) = self.shaping.may_log_in(&login) {
            Some(Err(error))
        } else if let Some(identity) = self.tickets.take(&request.head) {
            Some(Ok(identity))
        } else {
            self.shaping.identify_if_known(gate, &headers, &login)
        };
        let known = match known {
            Some(identified) if self.hook.is_none() || identified.is_err() => {
                let found = self.found::<D>(request, identified);
                return decision.extension(found).into();
            }
            known => known,
        };
        AcceptFuture::wait(async move {
            let identified = match known {
                Some(identified) => identified,
                None => self.identify(request, &headers).await,
            };
            let found = self.found::<D>(request, identified);
            Ok(decision.extension(self.ask_hook::<D>(request, found).await))
        })
    }

    /// The same for a token that came behind the handshake.
    pub(super) async fn check_first_message<D: Dialect>(
        &self,
        request: &Request,
        token: &[u8],
    ) -> Result<Arc<Identity>, Refused> {
        let headers = UpgradeHeaders::of(request).with_first_message(token);
        let identified = self.identify(request, &headers).await;
        let found = match identified {
            Ok(identity) => Found::Identity(identity),
            Err(error) => Found::Refused(self.refused::<D>(request, error)),
        };
        match self.ask_hook::<D>(request, found).await {
            Found::Identity(identity) => Ok(identity),
            Found::Refused(refused) => Err(refused),
            Found::FirstMessage => Err(self.no_credentials::<D>(request)),
        }
    }

    /// A connection without credentials, and without a further chance to send some.
    pub(super) fn no_credentials<D: Dialect>(&self, request: &Request) -> Refused {
        self.refused::<D>(request, NotIdentified::Denied(Denied::Missing))
    }

    async fn identify(
        &self,
        request: &Request,
        headers: &UpgradeHeaders<'_>,
    ) -> Result<Arc<Identity>, NotIdentified> {
        let (gate, login) = (&self.access.auth, self.login(request));
        self.shaping.identify(gate, headers, &login).await
    }

    fn login(&self, request: &Request) -> Login {
        Login {
            address: self.client(request),
            account: claimed_user(&UpgradeHeaders::of(request)).or_else(|| named_user(request)),
        }
    }

    fn found<D: Dialect>(
        &self,
        request: &Request,
        identified: Result<Arc<Identity>, NotIdentified>,
    ) -> Found {
        match identified {
            Ok(identity) => Found::Identity(identity),
            Err(NotIdentified::Denied(Denied::Missing))
                if self.access.auth.takes_first_message() =>
            {
                Found::FirstMessage
            }
            Err(error) => Found::Refused(self.refused::<D>(request, error)),
        }
    }

    fn refused<D: Dialect>(&self, request: &Request, error: NotIdentified) -> Refused {
        match error {
            NotIdentified::Denied(denied) => {
                if let Some(left_out) = DENIED.admit() {
                    let client = self.client(request);
                    tracing::info!(?client, %denied, left_out, "connection without valid credentials");
                }
                Refused::new::<D>(&if denied == Denied::Unavailable {
                    Ending::CannotTell
                } else {
                    Ending::Unauthorized
                })
            }
            NotIdentified::Wait(wait) => {
                Refused::too_many::<D>("failed logins", wait, CloseReason::TooManyLogins)
            }
        }
    }

    /// The backend says what it thinks of those whose credentials are right.
    async fn ask_hook<D: Dialect>(&self, request: &Request, found: Found) -> Found {
        match (&self.hook, found) {
            (Some(hook), Found::Identity(identity)) => {
                let verdict = hook.ask(request, self.client(request), &identity).await;
                match judged::<D>(verdict) {
                    Ok(identity) => Found::Identity(identity),
                    Err(refused) => Found::Refused(refused),
                }
            }
            (_, found) => found,
        }
    }

    /// Checks that this user may begin a session now.
    pub(super) fn admit<D: Dialect>(
        &self,
        request: &Request,
        user: &UserId,
        identity: &Identity,
    ) -> Result<(), Refused> {
        self.check_block::<D>(user)?;
        let admitted = self
            .shaping
            .admit_connect(self.client(request), user, identity);
        admitted.map_err(|wait| {
            Refused::too_many::<D>("connections", wait, CloseReason::TooManyConnects)
        })
    }

    /// To be asked once more when the session can be found: a block that ends all sessions either finds it or is seen
    /// here.
    pub(super) fn check_block<D: Dialect>(&self, user: &UserId) -> Result<(), Refused> {
        match self.shaping.blocks.of(user) {
            None => Ok(()),
            Some(block) => Err(Refused::new::<D>(&Ending::Blocked(&block.reason))),
        }
    }
}

fn judged<D: Dialect>(verdict: Verdict) -> Result<Arc<Identity>, Refused> {
    match verdict {
        Verdict::Allow(identity) => Ok(identity),
        Verdict::Deny { code, reason } => Err(Refused::new::<D>(&Ending::Denied {
            code,
            reason: &reason,
        })),
        Verdict::Unavailable => {
            let seconds = retry_after(Duration::from_secs(1));
            let reason =
                format!("This connection cannot be checked now, try again in {seconds} seconds");
            Err(Refused {
                close: Close::new(TRY_AGAIN_LATER, reason),
                reason: CloseReason::HookUnavailable,
            })
        }
    }
}

/// The user that the query names.
fn named_user(request: &Request) -> Option<String> {
    let id = first_parameter(request.head.query().unwrap_or_default(), "id")?;
    UserId::from_query(id).ok().map(|user| user.to_string())
}

/// The log's lines about credentials.
static DENIED: Sampled = Sampled::new();

const TRY_AGAIN_LATER: u16 = 1013;
