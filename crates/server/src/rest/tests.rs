//! Sending over a store that does not answer until the test lets it.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, StatusCode},
};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tidewire::http::BodyLimits;
use tidewire_auth::AuthConfig;
use tidewire_engine::{
    Append, Appended, Mailbox, MailboxStats, OnAppend, OnPurge, OnRead, Outbox, Placed, Purge,
    SqliteMailbox, SubmitError, UserKey,
};
use tidewire_hub::{Config as HubConfig, Hub, Publication, Settings as HubSettings};
use tidewire_notify::{Notifier, Targets};
use tower::ServiceExt as _;

use super::{About, ConfigData, Idempotency, Rest, router};
use crate::{
    access::Access,
    config::{AllowedOrigins, Overrides, load},
    shaping::{Rules, Shaping},
    telemetry::{Listeners, Telemetry},
};

/// Keeps every append waiting.
#[derive(Default)]
struct Stuck(Mutex<Vec<OnAppend>>);

impl Stuck {
    fn waiting(&self) -> usize {
        self.0.lock().len()
    }

    fn store_all(&self) {
        let waiting = std::mem::take(&mut *self.0.lock());
        for done in waiting {
            done(Ok(Appended {
                epoch: 1,
                outcomes: vec![Ok(Placed {
                    offset: 1,
                    previous: Some(0),
                })],
            }));
        }
    }
}

impl fmt::Debug for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stuck")
    }
}

impl Mailbox for Stuck {
    fn append(&self, _: Append, done: OnAppend) -> Result<(), SubmitError> {
        self.0.lock().push(done);
        Ok(())
    }

    fn read(&self, _: UserKey, _: u64, _: usize, _: usize, _: OnRead) -> Result<(), SubmitError> {
        Err(SubmitError::Closed)
    }

    fn ack(&self, _: &UserKey, _: u64) -> Result<(), SubmitError> {
        Ok(())
    }

    fn purge(&self, _: Purge, _: OnPurge) -> Result<(), SubmitError> {
        Err(SubmitError::Busy)
    }

    fn stats(&self) -> MailboxStats {
        MailboxStats::default()
    }

    fn stop(&self) {}
}

fn api() -> (Router, Arc<Stuck>) {
    let store = Arc::new(Stuck::default());
    let mailbox: Arc<dyn Mailbox> = Arc::<Stuck>::clone(&store);
    let hub_settings = HubSettings::try_from(HubConfig::default()).unwrap();
    let hub = Hub::new(hub_settings, Arc::clone(&mailbox));
    let settings = load(None, std::iter::empty(), &Overrides::default()).unwrap();
    let targets = no_targets();
    let listeners = Listeners::new(&Arc::default());
    let telemetry = Telemetry::new(
        Arc::clone(&hub),
        Arc::clone(&mailbox),
        listeners.clone(),
        tidewire::memory::MemoryBudget::unlimited(),
        Arc::default(),
        targets.clone(),
    );
    let dir = tempfile::tempdir().unwrap();
    let shaping = Shaping::open(dir.path(), Rules::of(&settings)).unwrap();
    let rest = Rest {
        hub,
        mailbox,
        telemetry: Arc::new(telemetry),
        targets,
        access: Access {
            trusted_proxies: Arc::default(),
            port: Arc::default(),
            auth: settings.server.auth.clone(),
            allowed_origins: Arc::new(AllowedOrigins::Any),
            secure: false,
            loopback_names_only: false,
        },
        body: BodyLimits::default().bytes_max(1000),
        answer_timeout: Duration::from_secs(30),
        shaping: Arc::new(shaping),
        blocked_users_max: 9,
        about: Arc::new(About {
            started: std::time::Instant::now(),
            listeners,
            config: Arc::new(ConfigData::of(&settings)),
        }),
        idempotency: Arc::new(Idempotency::new(Duration::from_mins(10), 10)),
    };
    (router(rest, &AuthConfig::NoAuth), store)
}

fn no_targets() -> Targets {
    let dir = tempfile::tempdir().unwrap();
    let mut config = tidewire_engine::embedded::Config::new(dir.path());
    config.reserve_bytes = 0;
    let outbox: Arc<dyn Outbox> = SqliteMailbox::open(config).unwrap();
    let render = Arc::new(|_: &Publication| String::new());
    let notifier = Notifier::start(&tidewire_notify::Settings::default(), &outbox, render);
    notifier.unwrap().targets()
}

fn request(key: Option<&str>, body: Body) -> Request<Body> {
    let mut request = Request::post("/send-message").header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    request.body(body).unwrap()
}

async fn send(api: &Router, key: Option<&str>) -> (StatusCode, serde_json::Value) {
    call(api, request(key, MESSAGE.into())).await
}

async fn call(api: &Router, request: Request<Body>) -> (StatusCode, serde_json::Value) {
    let answer = api.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// A body that does not come.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

const MESSAGE: &str = r#"{"type":"text","sender":0,"recipients":[7],"text":"hi"}"#;

/// It was told 408 although the message was accepted later.
#[tokio::test(start_paused = true)]
async fn a_request_whose_message_is_on_its_way_learns_that_its_outcome_is_unknown() {
    let (api, store) = api();
    let (status, answer) = send(&api, None).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer["success"], false);
    assert_eq!(answer["data"]["id"].as_str().unwrap().len(), 31);
    assert_eq!(store.waiting(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_learns_what_became_of_the_first() {
    let (api, store) = api();
    let (status, unknown) = send(&api, Some("k")).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    let repeated = tokio::spawn({
        let api = api.clone();
        async move { send(&api, Some("k")).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(store.waiting(), 1, "nothing is sent again");
    store.store_all();
    let (status, answer) = repeated.await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(answer["data"]["id"], unknown["data"]["id"]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_cut_before_anything_is_sent() {
    let (api, store) = api();
    let (status, _) = call(&api, request(None, Body::new(Never))).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(store.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_purge_of_a_busy_store_may_be_tried_again() {
    let (api, _) = api();
    let request = Request::delete("/messages?user=7").body(Body::empty());
    let (status, _) = call(&api, request.unwrap()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}
