//! [`Asker`]: asks one service about credentials.
//!
//! Invariants: of the same credential there is one question at a time; a client that goes away takes only its own
//! waiting with it.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use hyper::{Request, header::HeaderValue};
use parking_lot::Mutex;
use tidewire::{http::Client, tls::TlsError};
use tidewire_auth::{Remote, RemoteAnswer, RemoteRequest, Secret};
use tokio::sync::OnceCell;

use crate::{
    breaker::Breaker,
    cache::{Cache, Fingerprint},
    client::{client, in_words},
};

pub(crate) struct Asker {
    remote: Arc<Remote>,
    client: Client,
    state: Mutex<State>,
}

struct State {
    cache: Cache,
    breaker: Breaker,
    /// Questions under way; as many as there are clients that wait for them.
    asked: HashMap<Fingerprint, Arc<OnceCell<RemoteAnswer>>>,
}

impl Asker {
    pub(crate) fn new(remote: Arc<Remote>) -> Result<Self, TlsError> {
        let limits = *remote.limits();
        let client = client(
            remote.authorities(),
            limits.timeout,
            limits.requests_max,
            ANSWER_BYTES_MAX,
        )?;
        let state = State {
            cache: Cache::new(limits.cache_entries_max),
            breaker: Breaker::default(),
            asked: HashMap::new(),
        };
        Ok(Self {
            remote,
            client,
            state: Mutex::new(state),
        })
    }

    pub(crate) fn asks(&self, remote: &Arc<Remote>) -> bool {
        Arc::ptr_eq(&self.remote, remote)
    }

    /// Asks the service, within its time limit.
    pub(crate) async fn ask(&self, credential: &Secret) -> RemoteAnswer {
        let key = Fingerprint::of(credential);
        let cell = {
            let mut state = self.state.lock();
            if let Some(answer) = state.cache.get(key) {
                return answer;
            }
            Arc::clone(state.asked.entry(key).or_default())
        };
        let waiting = Waiting {
            asker: self,
            key,
            cell,
        };
        // If whoever asks goes away, the next one who waits asks.
        let answer = waiting.cell.get_or_init(|| self.ask_now(key, credential));
        answer.await.clone()
    }

    async fn ask_now(&self, key: Fingerprint, credential: &Secret) -> RemoteAnswer {
        let limits = self.remote.limits();
        if !self.state.lock().breaker.lets_through(limits.timeout) {
            return RemoteAnswer::Unavailable;
        }
        let answer = self.exchange(credential).await;
        let ttl = match &answer {
            Ok(RemoteAnswer::Yes(_)) => limits.cache_ttl,
            Ok(RemoteAnswer::No) => limits.denied_ttl,
            Ok(RemoteAnswer::Unavailable) | Err(_) => std::time::Duration::ZERO,
        };
        let mut state = self.state.lock();
        match answer {
            Ok(answer) => {
                let was_shut = state.breaker.answered();
                state.cache.insert(key, answer.clone(), ttl);
                drop(state);
                if was_shut {
                    let host = self.remote.host();
                    tracing::info!(host, "the authentication service answers again");
                }
                answer
            }
            Err(reason) => {
                let pause = state.breaker.failed();
                drop(state);
                let host = self.remote.host();
                if let Some(pause) = pause {
                    tracing::warn!(
                        host,
                        reason,
                        ?pause,
                        "the authentication service fails: everybody is denied"
                    );
                } else {
                    tracing::debug!(host, reason, "the authentication service failed");
                }
                RemoteAnswer::Unavailable
            }
        }
    }

    /// One question. `Err`: it was not answered; the text says why.
    async fn exchange(&self, credential: &Secret) -> Result<RemoteAnswer, &'static str> {
        // What cannot stand in a header field is not asked about: it is not good.
        let Some(request) = request(&self.remote.request(credential)) else {
            return Ok(RemoteAnswer::No);
        };
        let response = self.client.send(request).await;
        let response = response.map_err(|error| in_words(&error))?;
        let status = response.status().as_u16();
        if status >= 500 || status == 429 {
            return Err("it answers with an error of its own");
        }
        let identity = self.remote.identity(status, response.body());
        Ok(identity.map_or(RemoteAnswer::No, RemoteAnswer::Yes))
    }
}

/// Somebody who waits for an answer; the last one takes the question away.
struct Waiting<'a> {
    asker: &'a Asker,
    key: Fingerprint,
    cell: Arc<OnceCell<RemoteAnswer>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.asker.state.lock();
        // An answered one belongs to nobody: whoever comes finds it in the cache, or asks anew.
        let is_last = Arc::strong_count(&self.cell) <= 2;
        let is_ours = state
            .asked
            .get(&self.key)
            .is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        if is_ours && (is_last || self.cell.initialized()) {
            state.asked.remove(&self.key);
        }
    }
}

fn request(asked: &RemoteRequest) -> Option<Request<Bytes>> {
    let mut request = Request::builder()
        .method(asked.method.as_str())
        .uri(asked.url.expose());
    for (name, value) in &asked.headers {
        let mut value = HeaderValue::from_str(value.expose()).ok()?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    let body = Bytes::copy_from_slice(asked.body.expose().as_bytes());
    request.body(body).ok()
}

const ANSWER_BYTES_MAX: usize = 64 << 10;
