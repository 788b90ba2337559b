//! HTTP/2 (RFC 9113) for requests, through hyper.
//!
//! In: a connection that speaks HTTP/2. Out: each of its requests as a call of the service, in a task of its own.
//! Invariants: requests, resets, header lists and what waits for the client are bounded; floods of frames that carry
//! nothing end the connection; a client that takes nothing of an answer is cut, whatever else it does; a connection without requests ends.

use std::{error::Error, future::poll_fn, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use hyper::{
    body::{Body, Incoming},
    rt::Executor,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tidewire_proto::ControlRate;
use tokio::time::{Instant, sleep_until};
use tower_service::Service as Tower;

use super::{
    answering::Answering,
    body::RequestBody,
    config::Config,
    deadline::Paced,
    progress::{Progress, Seen},
};
use crate::{
    net::{
        Rewind, Stream,
        http2::{self, SEND_BUFFER_MAX, STREAM_WINDOW, connection_window},
        http2_frames::CountedFrames,
    },
    service::{Protocol, Service},
};

/// Runs requests as tasks of the server.
struct Tasks<P>(Arc<Service<P>>);

impl<P> Clone for Tasks<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Protocol, F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks<P> {
    fn execute(&self, task: F) {
        self.0.spawn(Box::pin(task));
    }
}

/// Serves a connection until it has ended.
pub(super) async fn serve<P, S, B>(
    mut answering: Answering<S>,
    config: Config,
    stream: Rewind<Stream>,
    service: Arc<Service<P>>,
) where
    P: Protocol,
    S: Tower<Request<RequestBody>, Response = http::Response<B>, Error = std::convert::Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let progress = Arc::new(Progress::default());
    answering.progress = Some(Arc::clone(&progress));
    let end = answering
        .listening
        .as_ref()
        .map(|(_, session)| session.end.clone());
    let counters = Arc::clone(&answering.counters);
    let counted = Arc::clone(&counters);
    let answering = Arc::new(answering);
    let requests = service_fn(move |request: Request<Incoming>| {
        counters.request();
        answering.answer(request)
    });
    let (stream, flood) = CountedFrames::new(stream, Some(ControlRate::default()));
    let stream = TokioIo::new(Paced::new(stream, config.answer_timeout, counted));
    let rules = rules(&config, Arc::clone(&service));
    let mut connection = pin!(rules.serve_connection(stream, requests));
    let mut watch = Watch::new(&config, progress);
    let mut ending = false;
    loop {
        tokio::select! {
            ended = poll_fn(|context| connection.as_mut().poll(context)) => {
                if let Err(error) = ended {
                    tracing::debug!(error = %crate::ErrorChain(&error), "HTTP/2 connection ended");
                }
                return;
            }
            () = service.drain().started(), if !ending => {
                connection.as_mut().graceful_shutdown();
                ending = true;
            }
            () = ended(end.as_ref()), if !ending => {
                connection.as_mut().graceful_shutdown();
                ending = true;
            }
            () = flood.begun() => {
                tracing::debug!("HTTP/2 flood");
                return;
            }
            () = sleep_until(watch.look_at) => match watch.look() {
                Verdict::AtWork => {}
                Verdict::Stuck => {
                    tracing::debug!("the client does not take an answer");
                    return;
                }
                Verdict::Idle if ending => return,
                Verdict::Idle => {
                    connection.as_mut().graceful_shutdown();
                    (ending, watch.since) = (true, Instant::now());
                }
            },
        }
    }
}

/// Looks now and then at what a connection does.
struct Watch {
    progress: Arc<Progress>,
    idle_timeout: Duration,
    answer_timeout: Duration,
    /// The state seen last, and since when it is so.
    sees: Seen,
    since: Instant,
    look_at: Instant,
}

/// The judgement of a look at a connection.
enum Verdict {
    AtWork,
    /// It has had no requests for the time that is allowed.
    Idle,
    /// The client takes nothing of an answer.
    Stuck,
}

impl Watch {
    fn new(config: &Config, progress: Arc<Progress>) -> Self {
        let mut watch = Self {
            sees: progress.see(),
            progress,
            idle_timeout: config.idle_timeout,
            answer_timeout: config.answer_timeout,
            since: Instant::now(),
            look_at: Instant::now(),
        };
        watch.look_at += watch.patience();
        watch
    }

    fn patience(&self) -> Duration {
        self.idle_timeout.min(self.answer_timeout)
    }

    fn look(&mut self) -> Verdict {
        let (now, sees) = (Instant::now(), self.progress.see());
        self.look_at = now + self.patience();
        let waits = sees.waited_since.map(|since| since.elapsed());
        if waits.is_some_and(|time| time >= self.answer_timeout) {
            return Verdict::Stuck;
        }
        if sees != self.sees || !sees.is_idle {
            (self.sees, self.since) = (sees, now);
        } else if self.since.elapsed() >= self.idle_timeout {
            return Verdict::Idle;
        }
        Verdict::AtWork
    }
}

async fn ended(end: Option<&crate::Drain>) {
    match end {
        Some(end) => end.started().await,
        None => std::future::pending().await,
    }
}

fn rules<P: Protocol>(
    config: &Config,
    service: Arc<Service<P>>,
) -> hyper::server::conn::http2::Builder<Tasks<P>> {
    let mut rules = hyper::server::conn::http2::Builder::new(Tasks(service));
    let streams = config.streams_per_connection_max;
    rules
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(streams.min(WINDOWS_MAX)))
        .max_header_list_size(u32::try_from(config.head.bytes_max).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER_MAX)
        .max_pending_accept_reset_streams(http2::PEER_RESETS_MAX)
        .max_local_error_reset_streams(http2::LOCAL_RESETS_MAX);
    rules
}

/// Windows of streams that a connection may fill at a time: bodies that nobody reads yet.
const WINDOWS_MAX: u32 = 16;
