//! HTTP requests to a backend: [`PostbackTarget`].
//!
//! In: batches. Out: one request each, signed, to one URL; what its status says. Invariants: the address that the URL's host
//! resolves to is looked at before it is connected to ([`guard`]); a redirection is never followed; of the response nothing
//! counts but its head, whatever its body is.

mod config; // the table
mod guard; // which addresses may be connected to
mod signature; // HMAC of what is sent

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER},
};
use http_body_util::Full;
use tidewire::http::{AllowAddress, Client, ClientConfig, RequestError};
use tokio::time::timeout;

pub use self::config::{PostbackConfig, PostbackMethod};
pub(crate) use self::config::{PostbackSettings, check};
use crate::{Delivery, DeliveryError, Event, EventFormat, Target};

/// Sends events to a URL.
pub struct PostbackTarget {
    settings: PostbackSettings,
    client: Client,
    host: HeaderValue,
}

impl PostbackTarget {
    pub(crate) fn new(
        settings: PostbackSettings,
        request_timeout: Duration,
        parallel: usize,
    ) -> Self {
        let allowed = settings.allowed.clone();
        let allow: AllowAddress = Arc::new(move |host, address| allowed.admits(host, address));
        let mut config = ClientConfig::default();
        config.connect_timeout = request_timeout;
        config.request_timeout = request_timeout;
        config.read_timeout = BODY_TIMEOUT;
        config.idle_per_host_max = parallel;
        config.requests_max = parallel;
        config.body_bytes_max = BODY_BYTES_MAX;
        config.allow_address = Some(allow);
        config.tls.clone_from(&settings.tls);
        config.http2_prior_knowledge = settings.http2_prior_knowledge;
        if settings.format == EventFormat::Classic {
            config.title_case = true;
            config.http2 = false;
        }
        let authority = settings.url.authority();
        let host = authority.map_or("", |authority| authority.as_str());
        Self {
            client: Client::new(config),
            host: HeaderValue::from_str(host).unwrap_or(HeaderValue::from_static("")),
            settings,
        }
    }

    async fn send(&self, events: &[Arc<Event>]) -> Result<(), DeliveryError> {
        let request = match self.settings.format {
            EventFormat::Events => self.events(events),
            EventFormat::Classic => match events {
                [event] => match event.classic() {
                    Some(message) => self.classic(message.clone()),
                    None => return Ok(()),
                },
                _ => return Err(DeliveryError::batch("one message at a time")),
            },
        };
        let request = request.map_err(|error| DeliveryError::impossible(error.to_string()))?;
        let response = self.client.send_streaming(request).await;
        let response = response.map_err(|error| of_request(&error))?;
        let (head, body) = response.into_parts();
        let outcome = self.outcome(head.status, &head.headers, events.len());
        // Read, so that the connection can be used again; a body that is long or slow costs the connection, nothing else.
        drop(timeout(BODY_TIMEOUT, body.read()).await);
        outcome
    }

    fn outcome(
        &self,
        status: StatusCode,
        headers: &http::HeaderMap,
        events_len: usize,
    ) -> Result<(), DeliveryError> {
        let is_classic = self.settings.format == EventFormat::Classic;
        if status.is_success() || (is_classic && status.is_redirection()) {
            return Ok(());
        }
        let reason = format!("answered {}", status.as_u16());
        let error = match status {
            // The way to the backend, or the backend as a whole.
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => DeliveryError::unavailable(reason),
            _ if events_len > 1 => DeliveryError::batch(reason),
            _ => DeliveryError::refused(reason),
        };
        let pause = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        Err(match pause {
            Some(pause) => error.retry_after(pause.min(RETRY_AFTER_MAX)),
            None => error,
        })
    }

    /// All events in one object.
    fn events(&self, events: &[Arc<Event>]) -> Result<Request<Full<Bytes>>, http::Error> {
        let len = events
            .iter()
            .map(|event| event.json.len() + 1)
            .sum::<usize>();
        let mut body = Vec::with_capacity(len + 16);
        body.extend_from_slice(b"{\"events\":[");
        for (index, event) in events.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&event.json);
        }
        body.extend_from_slice(b"]}");
        let mut request = self
            .request()
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let signer = &self.settings.signer;
        if signer.has_keys() {
            let id = batch_id(events);
            let seconds = jiff::Timestamp::now().as_second();
            request = request
                .header("webhook-id", &id)
                .header("webhook-timestamp", seconds)
                .header("webhook-signature", signer.sign(&id, seconds, &body));
        }
        self.with_credentials(request).body(Full::new(body.into()))
    }

    /// The bytes that wsserver sends (S-74): `Host`, `Accept`, `Content-Length`, `Content-Type`, then credentials.
    fn classic(&self, message: Bytes) -> Result<Request<Full<Bytes>>, http::Error> {
        let request = self
            .request()
            .header(HOST, &self.host)
            .header(ACCEPT, HeaderValue::from_static("*/*"))
            .header(CONTENT_LENGTH, message.len())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.with_credentials(request).body(Full::new(message))
    }

    fn request(&self) -> http::request::Builder {
        Request::builder()
            .method(Method::clone(&self.settings.method))
            .uri(&self.settings.url)
    }

    fn with_credentials(&self, mut request: http::request::Builder) -> http::request::Builder {
        for (name, value) in &self.settings.headers {
            request = request.header(HeaderName::clone(name), HeaderValue::clone(value));
        }
        request
    }
}

/// Names a batch, the same whenever the same events are sent.
fn batch_id(events: &[Arc<Event>]) -> String {
    let (first, last) = (events.first(), events.last());
    match (first, last) {
        (Some(first), Some(last)) if events.len() > 1 => {
            format!("{}-{}", first.id(), last.sequence)
        }
        (Some(event), _) => event.id(),
        (None, _) => String::new(),
    }
}

fn of_request(error: &RequestError) -> DeliveryError {
    let reason = tidewire::ErrorChain(error).to_string();
    match error {
        RequestError::Invalid(_) => DeliveryError::impossible(reason),
        RequestError::Connect(_)
        | RequestError::Lost(_)
        | RequestError::TimedOut { .. }
        | RequestError::Response(_)
        | RequestError::TooLarge { .. }
        | _ => DeliveryError::unavailable(reason),
    }
}

impl Target for PostbackTarget {
    fn deliver<'a>(&'a self, events: &'a [Arc<Event>]) -> Delivery<'a> {
        Box::pin(self.send(events))
    }
}

impl fmt::Debug for PostbackTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostbackTarget").finish_non_exhaustive()
    }
}

/// Bytes of a response's body that are read.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How long is waited for a response's body.
const BODY_TIMEOUT: Duration = Duration::from_millis(500);
/// The longest pause that a receiver can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
