//! [`Fetcher`]: fetches the keys of one key server.
//!
//! Invariants: a token with a made-up key id makes nobody fetch more often than [`PAUSE`]; a server that fails is
//! asked less and less often; keys that are known stay in use meanwhile.

use std::time::Duration;

use tidewire::{http::Client, tls::TlsError};
use tidewire_auth::{KeyServer, KeySet};
use tokio::{sync::Mutex, time::Instant};

use crate::client::{client, in_words};

/// Between two fetches, however many tokens name unknown keys.
pub(crate) const PAUSE: Duration = Duration::from_secs(10);
/// Keys are fetched anew in the background after this time.
pub(crate) const REFRESH: Duration = Duration::from_mins(10);
const BACKOFF_LEAST: Duration = Duration::from_secs(1);
const BACKOFF_MOST: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 256 << 10;

pub(crate) struct Fetcher {
    server: KeyServer,
    client: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// Not before then.
    next: Option<Instant>,
}

impl Fetcher {
    pub(crate) fn new(server: KeyServer) -> Result<Self, TlsError> {
        let client = client(server.authorities(), TIMEOUT, 2, ANSWER_BYTES_MAX)?;
        Ok(Self {
            server,
            client,
            state: Mutex::default(),
        })
    }

    pub(crate) fn fetches(&self, server: &KeyServer) -> bool {
        self.server.is_same(server)
    }

    /// Returns whether there is nothing known, or nothing new for a while, and nobody is about to change that.
    pub(crate) fn is_due(&self) -> bool {
        let known = self.server.known();
        known.is_none_or(|known| known.fetched.elapsed() >= REFRESH) && self.may_fetch()
    }

    /// Returns whether nobody fetches, and the pause is over.
    pub(crate) fn may_fetch(&self) -> bool {
        let state = self.state.try_lock();
        state.is_ok_and(|state| state.next.is_none_or(|next| Instant::now() >= next))
    }

    /// Fetches the keys, unless that was just tried. Who comes while somebody fetches waits for what comes of it.
    pub(crate) async fn refresh(&self) {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if state.next.is_some_and(|next| now < next) {
            return;
        }
        // Should this future be dropped on the way, the next one has to wait all the same.
        state.next = now.checked_add(BACKOFF_LEAST);
        let host = host_of(self.server.url());
        let pause = match self.fetch().await {
            Ok(keys) => {
                if state.failures > 0 {
                    tracing::info!(host, "the key server answers again");
                }
                self.server.set(keys);
                state.failures = 0;
                PAUSE
            }
            Err(reason) => {
                let pause = BACKOFF_LEAST.saturating_mul(1 << state.failures.min(6));
                let pause = pause.min(BACKOFF_MOST);
                state.failures = state.failures.saturating_add(1);
                tracing::warn!(host, reason, ?pause, "the keys of tokens cannot be fetched");
                pause
            }
        };
        state.next = Instant::now().checked_add(pause);
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let response = self.client.get(self.server.url()).await;
        let response = response.map_err(|error| in_words(&error).to_owned())?;
        if response.status() != 200 {
            return Err(format!("it answers {}", response.status().as_u16()));
        }
        KeySet::from_key_server(response.body()).map_err(|error| error.to_string())
    }
}

/// Scheme, host and port, for logs.
fn host_of(url: &str) -> &str {
    let behind = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(behind..).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    url.get(..behind + end).unwrap_or_default()
}
