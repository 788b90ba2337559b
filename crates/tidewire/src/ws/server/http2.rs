//! Many WebSockets on one HTTP/2 connection (RFC 8441).
//!
//! In: a connection that speaks HTTP/2. Out: each extended CONNECT as a session of its endpoint,
//! in a task of its own; every other request is refused. Invariants: a connection has at most
//! [`Limits::streams_per_connection_max`](super::Limits) streams and each session counts for the
//! server's limits; a connection without sessions ends after the handshake deadline.
//!
//! Floods end the connection with `ENHANCE_YOUR_CALM`: opened and reset streams, our own resets, CONTINUATION
//! (by the header list's size) and small DATA frames at the bounds in [`crate::net::http2`]; frames that carry nothing
//! (SETTINGS, PING, `WINDOW_UPDATE`, PRIORITY, empty DATA, unknown ones) at the socket's `control_rate`
//! ([`crate::net::http2_frames`]).

use std::{future::poll_fn, io, sync::Arc};

use bytes::Bytes;
use h2::{Reason, RecvStream, ext::Protocol, server::SendResponse};
use http::Method;
use tidewire_proto::handshake::{self, Refusal, RequestHead};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    accepting::Accepting,
    opening::{Established, Interceptor, Wire},
    places::Places,
    session::endpoint,
    sockets::Sockets,
    unanswered::{self, Unanswered},
};
use crate::{
    http::head,
    net::{
        Rewind, Stream,
        admission::AddressPlace,
        http2,
        http2_frames::{CountedFrames, Flood},
    },
    service::Service,
    ws::{Peer, Request},
};

type Connection = h2::server::Connection<CountedFrames<Rewind<Stream>>, Bytes>;

/// Exchanges prefaces and settings; gives what is to be run for the connection.
pub(super) async fn handshake(
    stream: Rewind<Stream>,
    peer: Peer,
    service: &Arc<Service<Sockets>>,
) -> io::Result<Established> {
    let config = &service.protocol().config;
    let limits = &config.limits;
    let (stream, flood) = CountedFrames::new(stream, config.socket.control_rate);
    let streams_max = limits.streams_per_connection_max;
    let connection = h2::server::Builder::new()
        .enable_connect_protocol()
        .initial_window_size(http2::STREAM_WINDOW)
        .initial_connection_window_size(http2::connection_window(streams_max))
        .max_header_list_size(u32::try_from(limits.head.bytes_max).unwrap_or(u32::MAX))
        .header_table_size(http2::HEADER_TABLE)
        .max_concurrent_streams(streams_max)
        .max_concurrent_reset_streams(http2::RESET_STREAMS_MAX)
        .reset_stream_duration(http2::RESET_STREAMS_FOR)
        .max_pending_accept_reset_streams(http2::PEER_RESETS_MAX)
        .max_local_error_reset_streams(Some(http2::LOCAL_RESETS_MAX))
        .max_send_buffer_size(http2::SEND_BUFFER_MAX)
        .data_frame_budget(http2::SMALL_FRAMES_BUDGET)
        .handshake(stream)
        .await
        .map_err(http2::io_error)?;
    let ip = peer.client_address().or(peer.address);
    let multiplexed = Multiplexed {
        places: Arc::new(Places::new(
            service.admission(),
            ip.map(|address| address.ip()),
        )),
        peer: Arc::new(peer),
        service: Arc::clone(service),
        flood,
    };
    Ok(Box::pin(multiplexed.serve(connection)))
}

/// A connection and what its streams share.
struct Multiplexed {
    places: Arc<Places>,
    peer: Arc<Peer>,
    service: Arc<Service<Sockets>>,
    flood: Flood,
}

impl Multiplexed {
    fn sockets(&self) -> &Sockets {
        self.service.protocol()
    }

    /// Runs until the connection has ended. Sessions learn of that from their streams.
    async fn serve(self, mut connection: Connection) {
        let within = self.sockets().config.limits.handshake_timeout;
        let mut ending = false;
        let mut idle_until = Instant::now() + within;
        loop {
            let idle = self.places.sessions() == 0;
            tokio::select! {
                accepted = connection.accept() => match accepted {
                    Some(Ok((request, respond))) => self.answer(request, respond),
                    Some(Err(error)) => {
                        tracing::debug!(%error, "HTTP/2 connection failed");
                        return;
                    }
                    None => return,
                },
                () = self.service.accepting_ended().started(), if !ending => {
                    connection.graceful_shutdown();
                    ending = true;
                    idle_until = Instant::now() + within;
                }
                () = self.flood.begun() => {
                    tracing::debug!(peer = ?self.peer.client_address(), "HTTP/2 flood");
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    // The peer has to take the GOAWAY; nothing more is read.
                    let end = poll_fn(|context| connection.poll_closed(context));
                    if timeout(within, end).await.is_err() {
                        tracing::debug!("the peer of a flood does not read");
                    }
                    return;
                }
                () = self.places.emptied.notified() => idle_until = Instant::now() + within,
                () = sleep_until(idle_until), if idle => {
                    if ending {
                        // The peer did not answer to the end.
                        return;
                    }
                    connection.graceful_shutdown();
                    ending = true;
                    idle_until = Instant::now() + within;
                }
            }
        }
    }

    fn answer(&self, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        if self.service.drain().is_started() {
            // Nothing was done for it: the client may try again elsewhere.
            respond.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        let protocol = request.extensions().get::<Protocol>().map(Protocol::as_str);
        if let (&Method::CONNECT, Some("websocket"), Some(interceptor)) =
            (request.method(), protocol, &self.sockets().interceptor)
        {
            return self.intercept(interceptor, request, respond);
        }
        let refusal = match (request.method(), protocol) {
            (&Method::CONNECT, Some("websocket")) => return self.websocket(request, respond),
            (&Method::CONNECT, Some(_)) => Refusal::new(501, "expected :protocol websocket"),
            (&Method::CONNECT, None) => Refusal::new(405, "this is no proxy"),
            _ if self.sockets().fallback.is_some() => {
                respond.send_reset(Reason::HTTP_1_1_REQUIRED);
                return;
            }
            _ if self.sockets().routes.contains_key(request.uri().path()) => {
                Refusal::new(405, "this address speaks WebSocket only").header("allow", "CONNECT")
            }
            _ => Refusal::new(404, "this address speaks WebSocket only"),
        };
        self.refuse(&mut respond, &refusal);
    }

    /// The head of a request as endpoints know it, and what follows.
    fn read(&self, request: http::Request<RecvStream>) -> Result<(Request, RecvStream), Refusal> {
        let (parts, incoming) = request.into_parts();
        let fields = parts.headers.iter();
        let head = RequestHead::from_http2(
            parts.method.as_str(),
            parts
                .uri
                .path_and_query()
                .map_or("/", |target| target.as_str()),
            parts
                .uri
                .authority()
                .map_or("", |authority| authority.as_str()),
            fields.map(|(name, value)| (name.as_str(), value.as_bytes())),
            self.sockets().config.limits.head,
        )?;
        Ok((Request::new(head, Arc::clone(&self.peer)), incoming))
    }

    /// Gives the request to the interceptor, in a task of its own.
    fn intercept(
        &self,
        interceptor: &Interceptor,
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        let valid = self.read(request).and_then(|(request, incoming)| {
            let checked = handshake::check_request(&request.head)
                .and_then(|()| Ok((self.places.place()?, self.place_of_client(&request)?)));
            let places =
                checked.inspect_err(|refusal| self.sockets().tell_refused(&request, refusal))?;
            Ok((request, incoming, places))
        });
        let (request, incoming, places) = match valid {
            Ok(valid) => valid,
            Err(refusal) => return self.refuse(&mut respond, &refusal),
        };
        let wire = Wire::Http2(Unanswered { respond, incoming });
        let opened = Box::pin(interceptor(self.sockets().opening(
            request,
            wire,
            self.service.drain(),
        )));
        let service = Arc::clone(&self.service);
        let within = self.sockets().config.limits.handshake_timeout;
        self.service.spawn(Box::pin(async move {
            match timeout(within, opened).await {
                Ok(Some(established)) => established.await,
                Ok(None) | Err(_) => {
                    service.count_refused();
                }
            }
            drop(places);
        }));
    }

    /// A place of the client that a trusted proxy tells.
    fn place_of_client(&self, request: &Request) -> Result<Option<AddressPlace>, Refusal> {
        let values = |name: &str| request.head.values_of(name);
        let place = self.service.place_of_client(&request.peer, values);
        place.map_err(|_exceeded| head::too_many_of_address())
    }

    fn refuse(&self, respond: &mut SendResponse<Bytes>, refusal: &Refusal) {
        self.service.count_refused();
        if let Err(error) = unanswered::refuse(respond, refusal) {
            tracing::debug!(%error, "a refusal was not sent");
        }
    }

    /// Asks the endpoint, in a task of its own.
    fn websocket(&self, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let routed = self.read(request).and_then(|(request, incoming)| {
            let endpoint = Arc::clone(endpoint(self.sockets(), &request)?);
            let client = self.place_of_client(&request)?;
            Ok((request, incoming, endpoint, client))
        });
        let (request, incoming, endpoint, client) = match routed {
            Ok(routed) => routed,
            Err(refusal) => return self.refuse(&mut respond, &refusal),
        };
        let accepting = Accepting {
            places: Arc::clone(&self.places),
            service: Arc::clone(&self.service),
            endpoint,
            request,
            wire: Unanswered { respond, incoming },
            client,
        };
        self.service.spawn(Box::pin(accepting.run()));
    }
}
