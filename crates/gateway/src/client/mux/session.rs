//! The frames of one connection: received and given to their streams, collected from the streams and
//! sent.
//!
//! Invariants: streams take turns frame by frame, so that a busy one delays another by one frame;
//! nothing is read from the client while what is to be sent to it waits; an error of the protocol ends
//! the connection with 1002 and says what was expected; a client that opens and closes streams faster than
//! their backends come and go is refused.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tidewire::{
    Drain,
    proto::mux::{Body, DataFlags, FlowError, Frame, FrameError, Open, Side, StreamIds},
    ws::{CloseCode, CloseFrame, Incoming, Kind, Message, Refusal, WebSocket},
};
use tokio::task::JoinSet;

use super::{
    allowance::{Allowance, TooMany},
    stream::{self, Stream, StreamState},
};
use crate::{
    backend::{
        queue::Piece,
        session::{BackendSession, Queues},
    },
    client::{
        admission,
        client_request::ClientRequest,
        ready::{Ready, ReadyWaker},
        receipts::Receipts,
    },
    gateway::Gateway,
    record::{Begin, Dialect, Record, Refused},
    routing::{table, target::add},
};

/// What may wait for the client before its streams and its frames wait, too.
const QUEUED_MAX: usize = 64 << 10;

/// Frames of the client that are looked at before its streams and other connections have their turn.
const FRAMES_PER_POLL: u32 = 256;

/// One client's connection.
pub(super) struct MuxSession {
    gateway: Arc<Gateway>,
    client_request: ClientRequest,
    client: WebSocket,
    record: Arc<Record>,
    ids: StreamIds,
    streams: HashMap<u32, Stream>,
    allowance: Allowance,
    ready: Arc<Ready>,
    receipts: Receipts,
    backend_sessions: JoinSet<()>,
    /// No stream is opened any more.
    going_away: bool,
    closing: bool,
    scratch: Vec<u8>,
}

/// The client broke a rule.
enum Broken {
    Frame(FrameError),
    Flow(FlowError),
    /// Nothing that it did justifies so many frames without data.
    Flood(TooMany),
    /// A text message.
    Text,
}

impl From<FrameError> for Broken {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<FlowError> for Broken {
    fn from(error: FlowError) -> Self {
        Self::Flow(error)
    }
}

impl From<TooMany> for Broken {
    fn from(error: TooMany) -> Self {
        Self::Flood(error)
    }
}

impl Broken {
    fn frame(&self) -> CloseFrame {
        let reason = match self {
            Self::Frame(error) => error.to_string(),
            Self::Flow(error) => error.to_string(),
            Self::Flood(TooMany { per_second }) => {
                format!("expected at most {per_second} frames per second that carry no data")
            }
            Self::Text => "expected binary messages only".to_owned(),
        };
        let code = match self {
            Self::Flood(_) => CloseCode::POLICY_VIOLATION,
            Self::Frame(_) | Self::Flow(_) | Self::Text => CloseCode::PROTOCOL_ERROR,
        };
        CloseFrame::new(code, reason)
    }
}

impl MuxSession {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        client_request: ClientRequest,
        client: WebSocket,
        record: Arc<Record>,
    ) -> Self {
        let settings = &gateway.table().settings;
        let allowance = Allowance::new(settings.limits.control_rate, settings.mux.streams_max);
        Self {
            gateway,
            client_request,
            client,
            record,
            ids: StreamIds::default(),
            streams: HashMap::new(),
            allowance,
            ready: Arc::default(),
            receipts: Receipts::default(),
            backend_sessions: JoinSet::new(),
            going_away: false,
            closing: false,
            scratch: Vec::new(),
        }
    }

    /// Runs until the connection and all its backend sessions have ended.
    pub(super) async fn run(
        mut self,
        drain: Drain,
        within: Duration,
    ) -> (Option<CloseCode>, &'static str) {
        let record = Arc::clone(&self.record);
        let ended = loop {
            tokio::select! {
                biased; // GOAWAY goes before a close
                ended = poll_fn(|cx| self.poll(cx)) => break ended,
                () = drain.started(), if !self.going_away => self.go_away(within),
                frame = record.asked_to_end(), if !self.closing => self.close(&frame),
            }
        };
        self.streams.clear(); // tells the backend sessions
        while self.backend_sessions.join_next().await.is_some() {}
        ended
    }

    fn go_away(&mut self, within: Duration) {
        self.going_away = true;
        let within_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        self.send(0, Body::GoAway { within_ms });
    }

    fn close(&mut self, frame: &CloseFrame) {
        self.client.start_close(frame.code, &frame.reason);
        self.closing = true;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Option<CloseCode>, &'static str)> {
        self.ready.register(cx);
        while let Poll::Ready(Some(_ended)) = self.backend_sessions.poll_join_next(cx) {}
        let mut budget = FRAMES_PER_POLL;
        loop {
            while self.closing || self.client.queued() < QUEUED_MAX {
                if budget == 0 {
                    cx.waker().wake_by_ref(); // after the others' turn
                    break;
                }
                budget -= 1;
                match self.client.poll_recv_any(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(Some(_late))) if self.closing => {}
                    Poll::Ready(Ok(Some(Incoming::Message(message)))) => {
                        if let Err(broken) = self.receive(&message) {
                            self.close(&broken.frame());
                        }
                    }
                    Poll::Ready(Ok(Some(Incoming::Pong(payload)))) => self.pong(&payload),
                    Poll::Ready(Ok(Some(_answered))) => {}
                    Poll::Ready(Ok(None)) => {
                        let code = self.client.close_frame().map(|frame| frame.code);
                        return Poll::Ready((code, "closed by the client"));
                    }
                    Poll::Ready(Err(error)) => {
                        tracing::debug!(error = %tidewire::ErrorChain(&error), "client lost");
                        return Poll::Ready((None, "client lost"));
                    }
                }
            }
            while !self.closing && self.client.queued() < QUEUED_MAX {
                let Some(number) = self.ready.next() else {
                    break;
                };
                self.turn(number);
            }
            let full = !self.closing && self.receipts.send(&mut self.client);
            let more = full || !self.ready.is_empty();
            match self.client.poll_flush(cx) {
                Poll::Ready(Ok(())) if !self.closing && more => {}
                // The next receive tells what is wrong.
                Poll::Ready(_) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// A stream's turn: at most one frame of data.
    fn turn(&mut self, number: u32) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        let (client, scratch) = (&mut self.client, &mut self.scratch);
        let turn = stream.turn(|body| {
            if let Body::Data { payload, .. } = &body {
                self.allowance.data_sent(payload.len());
            }
            send(client, scratch, number, body);
        });
        match turn {
            StreamState::Continues => {}
            StreamState::Ended => drop(self.streams.remove(&number)),
            StreamState::Ping(ping) => self.receipts.due(number, ping),
        }
    }

    /// The client's WebSocket has answered a ping.
    fn pong(&mut self, payload: &Bytes) {
        let streams = &self.streams;
        let pings_sent = self.client.pings_sent();
        self.receipts
            .pong(payload, pings_sent, |number, ping, pong| {
                if let Some(stream) = streams.get(&number) {
                    stream.pong(ping, pong);
                }
            });
    }

    fn send(&mut self, stream: u32, body: Body<'_>) {
        send(&mut self.client, &mut self.scratch, stream, body);
    }

    /// A frame of the client.
    fn receive(&mut self, message: &Message) -> Result<(), Broken> {
        let bytes = match message.kind() {
            Kind::Binary => message.payload().clone(),
            Kind::Text => return Err(Broken::Text),
        };
        let frame = Frame::decode(&bytes, Side::Client)?;
        let number = frame.stream;
        match frame.body {
            Body::Open(open) => {
                self.ids.open(number)?;
                if let Err((status, reason)) = self.open(number, &open) {
                    self.allowance.other()?;
                    self.note_refused(open.name, status, &reason);
                    let reason = stream::line(&reason);
                    self.send(number, Body::Reject { status, reason });
                }
                return Ok(());
            }
            Body::Ping(payload) => {
                self.allowance.other()?;
                self.send(number, Body::Pong(payload));
                return Ok(());
            }
            Body::Pong(_) => return Ok(self.allowance.other()?), // nobody has asked
            Body::Credit(_) => self.allowance.credit()?,
            Body::Data { .. } | Body::Close(_) => {} // its credit bounds the one, the stream the other
            // Decoding has refused what only a gateway sends.
            Body::Accept { .. }
            | Body::Reject { .. }
            | Body::Down { .. }
            | Body::Up
            | Body::GoAway { .. } => return Ok(()),
        }
        let Some(stream) = self.streams.get_mut(&number) else {
            self.ids.gone(number)?;
            return Ok(self.allowance.other()?);
        };
        let (client, scratch) = (&mut self.client, &mut self.scratch);
        let mut send = |body: Body<'_>| send(client, scratch, number, body);
        let turn = match frame.body {
            Body::Data { flags, payload } => {
                let piece = piece(&bytes, payload.len(), flags);
                stream.data(flags, piece, &mut send)?
            }
            Body::Credit(more) => stream.credit(more)?,
            Body::Close(close) => {
                let frame = close.map(|close| CloseFrame::new(close.code, close.reason));
                stream.closed_by_client(frame, &mut send)?
            }
            Body::Open(_)
            | Body::Accept { .. }
            | Body::Reject { .. }
            | Body::Ping(_)
            | Body::Pong(_)
            | Body::Down { .. }
            | Body::Up
            | Body::GoAway { .. } => StreamState::Continues,
        };
        if turn == StreamState::Ended {
            self.streams.remove(&number);
        }
        Ok(())
    }

    /// A client can make as many of these as its allowance lets it send frames without data.
    fn note_refused(&self, name: &str, status: u16, reason: &str) {
        let table = self.gateway.table();
        let endpoint = table.by_name(name).map(|target| target.endpoint());
        let refusal = Refusal::new(status, reason);
        let refused = self.client_request.refused(Dialect::Mux, &refusal);
        self.gateway.sessions.refused(Refused {
            parent: Some(self.record.id),
            endpoint: endpoint.as_ref().map(|endpoint| endpoint.name.as_str()),
            ..refused
        });
    }

    /// Opens a stream, or says why not.
    fn open(&mut self, number: u32, open: &Open<'_>) -> Result<(), (u16, String)> {
        let table = self.gateway.table();
        let mux = &table.settings.mux;
        if self.going_away {
            return Err((503, "the gateway is going away".to_owned()));
        }
        // A stream that its client has closed is gone at once, its backend session when its backend has all.
        let most = mux.streams_max;
        if self.streams.len() >= most || self.backend_sessions.len() >= most.saturating_mul(2) {
            return Err((429, format!("expected at most {most} streams at a time")));
        }
        let Some(target) = table.by_name(open.name) else {
            let refusal = table::unknown(open.name);
            return Err((refusal.status, refusal.reason));
        };
        if !table.may_be_named(target, &self.client_request.request.head) {
            let refusal = table::guarded();
            return Err((refusal.status, refusal.reason));
        }
        let endpoint = target.endpoint();
        let admitted = admission::admit(&self.client_request, &endpoint, &target.connections)
            .and_then(|place| {
                let backend = self
                    .gateway
                    .admit_to_backend(self.client_request.client.ip())?;
                Ok(place.with(backend))
            });
        let admitted = admitted.map_err(|refusal| {
            add(&target.counters.refused, 1);
            (refusal.status, refusal.reason)
        })?;
        let query = (!open.query.is_empty()).then(|| open.query.to_owned());
        let mut ask = self.client_request.ask(&endpoint, query);
        ask.subprotocols = open
            .subprotocols
            .iter()
            .map(|name| (*name).into())
            .collect();
        let session = self.gateway.sessions.open(Begin {
            parent: Some(self.record.id),
            endpoint: Some(endpoint.name.as_str().into()),
            dialect: Dialect::Mux,
            client: self.client_request.client.node(),
            request: None,
            trace: self.client_request.trace(),
        });
        let credit = mux.credit;
        // Credit bounds what waits for the backend, besides what comes back from one that was lost: a client
        // that keeps to its credit is not told that it has sent too much.
        let queues = Queues::new(usize::MAX, usize::MAX, self.client.memory());
        let limits = &table.settings.limits;
        let backend_session =
            BackendSession::new(Arc::clone(target), ask, &queues, &session, limits);
        self.backend_sessions.spawn(async move {
            let (code, why) = backend_session.open_and_run(false).await;
            session.ended(code, why);
            drop(admitted);
        });
        let ready_waker = ReadyWaker::new(&self.ready, number);
        let stream = Stream::new(
            number,
            ready_waker,
            queues,
            target,
            &endpoint,
            credit,
            open.credit,
        );
        // Its first turn waits for the backend session.
        stream.ring();
        self.streams.insert(number, stream);
        Ok(())
    }
}

/// The payload of a DATA frame, without copying it.
fn piece(frame: &Bytes, payload_len: usize, flags: DataFlags) -> Piece {
    Piece {
        kind: if flags.binary {
            Kind::Binary
        } else {
            Kind::Text
        },
        data: frame.slice(frame.len() - payload_len..),
        last: flags.last,
    }
}

fn send(client: &mut WebSocket, scratch: &mut Vec<u8>, stream: u32, body: Body<'_>) {
    scratch.clear();
    let frame = Frame { stream, body };
    if let Err(error) = frame.encode_into(scratch) {
        tracing::error!(%error, "a frame of the gateway is not valid");
        return;
    }
    // There is room: nothing is sent while more than a part of the queue's bound waits. A client that is
    // closing gets no more.
    if let Err(error) = client.try_send_fragment(Kind::Binary, scratch, true) {
        tracing::debug!(error = %tidewire::ErrorChain(&error), "a frame was not sent");
    }
}
