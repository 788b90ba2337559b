//! [`Gate`]: the decision about a request, with the questions that it takes.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use tidewire::tls::TlsError;
use tidewire_auth::{Answers, Authenticator, Denied, Headers, Identity, Inquiry, KeyServer};
use tokio::task::JoinSet;

use crate::{key_server::Fetcher, remote::Asker};

/// An authenticator together with the clients of the services that it asks. Clones share everything; equal are those
/// that demand the same.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    authenticator: Authenticator,
    askers: Vec<Arc<Asker>>,
    fetchers: Vec<Arc<Fetcher>>,
}

/// The labels of [`Denied`].
const REASONS: [&str; 5] = ["missing", "wrong", "expired", "token", "unavailable"];

/// How many requests were denied, by reason.
pub type Denials = Vec<(&'static str, u64)>;

/// A service that has to be asked cannot be.
#[derive(Debug, thiserror::Error)]
#[error("the certificates in `ca` cannot be used: {0}")]
pub struct GateError(#[source] TlsError);

impl Gate {
    /// Prepares the clients; nothing is asked yet.
    ///
    /// # Errors
    /// [`GateError`].
    pub fn new(authenticator: Authenticator) -> Result<Self, GateError> {
        let askers = authenticator.remotes().into_iter().map(Asker::new);
        let askers = askers
            .map(|asker| asker.map(Arc::new))
            .collect::<Result<_, _>>();
        let fetchers = authenticator.key_servers().into_iter().map(Fetcher::new);
        let fetchers = fetchers
            .map(|it| it.map(Arc::new))
            .collect::<Result<_, _>>();
        Ok(Self {
            inner: Arc::new(Inner {
                askers: askers.map_err(GateError)?,
                fetchers: fetchers.map_err(GateError)?,
                authenticator,
            }),
        })
    }

    /// Fetches the keys of key servers, so that the first client does not have to wait for them.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn warm_up(&self) {
        for fetcher in &self.inner.fetchers {
            if fetcher.is_due() {
                let fetcher = Arc::clone(fetcher);
                tokio::spawn(async move { fetcher.refresh().await });
            }
        }
    }

    /// Decides about a request; returns who it is. Asks whoever has to be asked, within their time limits: without
    /// services and key servers it is ready at once.
    ///
    /// # Errors
    /// [`Denied`]: answer 401, or 503 where it is [`Denied::Unavailable`], and say no more than that.
    ///
    /// # Cancel safety
    /// Cancel safe: what was asked by others as well goes on.
    pub async fn check(&self, headers: &dyn Headers) -> Result<Arc<Identity>, Denied> {
        let checked = self.decide(headers).await;
        counted(checked)
    }

    /// [`check`](Self::check) for those who cannot wait: by what is known already. Keys that are missing are fetched in
    /// the background, so that a later request finds them; services are not asked, so who needs them is denied.
    ///
    /// # Errors
    /// [`Denied`].
    ///
    /// # Panics
    /// Outside of a tokio runtime, when keys are missing.
    pub fn check_now(&self, headers: &dyn Headers) -> Result<Arc<Identity>, Denied> {
        self.warm_up();
        let checked = self.inner.authenticator.check(headers);
        if checked.is_err() {
            for inquiry in self.inner.authenticator.inquiries(headers) {
                if let Inquiry::Keys { server, .. } = inquiry
                    && let Some(fetcher) = self.fetcher(&server).filter(|it| it.may_fetch())
                {
                    tokio::spawn(async move { fetcher.refresh().await });
                }
            }
        }
        counted(checked)
    }

    /// The decision, where it takes no question; `None`: [`check`](Self::check) would ask somebody.
    ///
    /// # Panics
    /// Outside of a tokio runtime, when keys of a key server are due.
    pub fn check_if_known(&self, headers: &dyn Headers) -> Option<Result<Arc<Identity>, Denied>> {
        let decided = self.decide_locally(headers).ok()?;
        Some(counted(decided))
    }

    /// `Err`: the questions that have to be asked before.
    fn decide_locally(
        &self,
        headers: &dyn Headers,
    ) -> Result<Result<Arc<Identity>, Denied>, Vec<Inquiry>> {
        let inner = &*self.inner;
        self.warm_up();
        let checked = inner.authenticator.check(headers);
        if checked.is_ok() || (inner.askers.is_empty() && inner.fetchers.is_empty()) {
            return Ok(checked);
        }
        let inquiries = inner.authenticator.inquiries(headers);
        if inquiries.is_empty() {
            return Ok(checked);
        }
        Err(inquiries)
    }

    async fn decide(&self, headers: &dyn Headers) -> Result<Arc<Identity>, Denied> {
        let inquiries = match self.decide_locally(headers) {
            Ok(checked) => return checked,
            Err(inquiries) => inquiries,
        };
        let answers = self.ask(inquiries).await;
        let authenticator = &self.inner.authenticator;
        authenticator.check_with(headers, &answers, SystemTime::now())
    }

    /// All at once.
    async fn ask(&self, inquiries: Vec<Inquiry>) -> Answers {
        let mut tasks = JoinSet::new();
        for inquiry in inquiries {
            match inquiry {
                Inquiry::Remote { remote, credential } => {
                    let mut askers = self.inner.askers.iter();
                    if let Some(asker) = askers.find(|asker| asker.asks(&remote)).cloned() {
                        tasks.spawn(async move {
                            let answer = asker.ask(&credential).await;
                            Some((remote, credential, answer))
                        });
                    }
                }
                Inquiry::Keys { server, .. } => {
                    if let Some(fetcher) = self.fetcher(&server) {
                        tasks.spawn(async move {
                            fetcher.refresh().await;
                            None
                        });
                    }
                }
                // A question that nobody here can ask stays without an answer.
                _ => {}
            }
        }
        let mut answers = Answers::default();
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok(Some((remote, credential, answer))) => answers.add(&remote, credential, answer),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "a question of authentication was given up"),
            }
        }
        answers
    }

    fn fetcher(&self, server: &KeyServer) -> Option<Arc<Fetcher>> {
        let mut fetchers = self.inner.fetchers.iter();
        fetchers.find(|it| it.fetches(server)).cloned()
    }
}

fn counted(checked: Result<Arc<Identity>, Denied>) -> Result<Arc<Identity>, Denied> {
    if let Err(denied) = &checked {
        let label = denied.label();
        let mut counters = REASONS.iter().zip(&DENIED);
        if let Some((_, counter)) = counters.find(|(reason, _)| **reason == label) {
            counter.fetch_add(1, Relaxed);
        }
    }
    checked
}

/// How many requests all gates of this process have denied since its start, by reason: a reload makes new gates, and
/// counters must not go back.
pub fn denials() -> Denials {
    let counters = DENIED.iter().map(|counter| counter.load(Relaxed));
    REASONS.into_iter().zip(counters).collect()
}

static DENIED: [AtomicU64; REASONS.len()] = [const { AtomicU64::new(0) }; REASONS.len()];

impl Deref for Gate {
    type Target = Authenticator;

    fn deref(&self) -> &Authenticator {
        &self.inner.authenticator
    }
}

impl PartialEq for Gate {
    fn eq(&self, other: &Self) -> bool {
        self.inner.authenticator == other.inner.authenticator
    }
}

impl Eq for Gate {}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate")
            .field(&self.inner.authenticator)
            .finish()
    }
}
