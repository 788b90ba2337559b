//! The connection: handshake, messages to their routes, and back.
//!
//! Invariants: a message that cannot be forwarded is answered with an error object, one by one, and the
//! connection goes on; a full or lost route delays no other; routes take turns message by
//! message on the way back.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tidewire::ws::{self as websocket, CloseCode, CloseFrame, Kind, Message, SendError, WebSocket};
use tidewire_proto::smhandshake::{self, Incoming, Reaction, Refusal, RouteLine};
use tokio::{task::JoinSet, time::sleep};

use super::route::{Route, RouteOutput};
use crate::{
    backend::session::{BackendSession, Queues},
    client::{
        admission,
        client_request::ClientRequest,
        ready::{Ready, ReadyWaker},
        receipts::Receipts,
    },
    gateway::Gateway,
    record::{Begin, Dialect, Record, Refused},
    routing::{
        table,
        target::{Target, add},
    },
};

/// What may wait for the client before its routes and its messages wait, too.
const QUEUED_MAX: usize = 256 << 10;

/// Messages of the client that are looked at before its routes and other connections have their turn.
const MESSAGES_PER_POLL: u32 = 256;

/// Most messages that wait for a route's backend.
const UP_ITEMS_MAX: usize = 4096;

/// One client's connection.
pub(super) struct ClassicSession {
    gateway: Arc<Gateway>,
    client_request: ClientRequest,
    client: WebSocket,
    record: Arc<Record>,
    dialogue: smhandshake::Session,
    routes: BTreeMap<u32, Route>,
    /// Numbers of routes are not used twice: a waker of one that is gone rings for nobody.
    next: u32,
    ready: Arc<Ready>,
    receipts: Receipts,
    backend_sessions: JoinSet<()>,
    /// What the send queue had no room for: a large message of a route behind others, or the errors for
    /// all that one has lost. Nothing else is done before it is sent.
    waiting: VecDeque<(Kind, Vec<u8>)>,
    closing: bool,
}

impl ClassicSession {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        client_request: ClientRequest,
        client: WebSocket,
        record: Arc<Record>,
    ) -> Self {
        let classic = &gateway.table().settings.classic;
        let dialogue = smhandshake::Session::new(smhandshake::Limits {
            bare_ack: classic.bare_ack,
            message_bytes_max: classic.message_bytes_max,
        });
        Self {
            gateway,
            client_request,
            client,
            record,
            dialogue,
            routes: BTreeMap::new(),
            next: 0,
            ready: Arc::default(),
            receipts: Receipts::default(),
            backend_sessions: JoinSet::new(),
            waiting: VecDeque::new(),
            closing: false,
        }
    }

    /// Runs until the connection and all its backend sessions have ended.
    pub(super) async fn run(mut self, within: Duration) -> (Option<CloseCode>, &'static str) {
        let record = Arc::clone(&self.record);
        let mut time_is_up = Box::pin(sleep(within));
        let ended = loop {
            let opening = !self.dialogue.is_ready() && !self.closing;
            tokio::select! {
                ended = poll_fn(|cx| self.poll(cx)) => break ended,
                () = &mut time_is_up, if opening => {
                    if let Some(reaction) = self.dialogue.handle_timeout() {
                        self.react(reaction, &Message::binary(""));
                    }
                }
                frame = record.asked_to_end(), if !self.closing => self.close(&frame),
            }
        };
        self.routes.clear(); // tells the backend sessions
        while self.backend_sessions.join_next().await.is_some() {}
        ended
    }

    fn close(&mut self, frame: &CloseFrame) {
        self.client.start_close(frame.code, &frame.reason);
        self.closing = true;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Option<CloseCode>, &'static str)> {
        self.ready.register(cx);
        while let Poll::Ready(Some(_ended)) = self.backend_sessions.poll_join_next(cx) {}
        let opening = !self.dialogue.is_ready();
        let mut budget = MESSAGES_PER_POLL;
        loop {
            self.send_waiting();
            while self.closing || self.has_room() {
                if budget == 0 {
                    cx.waker().wake_by_ref(); // after the others' turn
                    break;
                }
                budget -= 1;
                match self.client.poll_recv_any(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(Some(_late))) if self.closing => {}
                    Poll::Ready(Ok(Some(websocket::Incoming::Message(message)))) => {
                        self.receive(&message);
                    }
                    Poll::Ready(Ok(Some(websocket::Incoming::Pong(payload)))) => {
                        self.pong(&payload);
                    }
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
            while !self.closing && self.has_room() {
                let Some(number) = self.ready.next() else {
                    break;
                };
                self.turn(number);
            }
            if opening && self.dialogue.is_ready() {
                // The time-out is looked at no more.
                cx.waker().wake_by_ref();
            }
            // What waits may be what the ping has to stand behind.
            let full =
                !self.closing && self.waiting.is_empty() && self.receipts.send(&mut self.client);
            match self.client.poll_flush(cx) {
                Poll::Ready(Ok(())) if !self.closing && (full || self.has_more()) => {}
                // The next receive tells what is wrong.
                Poll::Ready(_) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn turn(&mut self, number: u32) {
        let Some(route) = self.routes.get_mut(&number) else {
            return;
        };
        match route.turn() {
            RouteOutput::Waits => {}
            RouteOutput::Message(kind, message) => self.send(kind, &message),
            RouteOutput::Ping(ping) => self.receipts.due(number, ping),
            RouteOutput::Gone(undelivered) => {
                let Some(route) = self.routes.remove(&number) else {
                    return;
                };
                add(&route.target.counters.overflowed, undelivered as u64);
                // One for each message that is lost, at least one for the route.
                let answer = self.dialogue.refuse(Refusal::NotReachable, &route.name);
                for _ in 0..undelivered.max(1) {
                    self.say(&answer);
                }
            }
        }
    }

    /// The client's WebSocket has answered a ping.
    fn pong(&mut self, payload: &Bytes) {
        let routes = &self.routes;
        let pings_sent = self.client.pings_sent();
        self.receipts
            .pong(payload, pings_sent, |number, ping, pong| {
                if let Some(route) = routes.get(&number) {
                    route.pong(ping, pong);
                }
            });
    }

    /// Returns whether something more may be done for which the client is told something.
    fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.client.queued() < QUEUED_MAX
    }

    /// Returns whether there is something for the client that found no room before.
    fn has_more(&self) -> bool {
        !self.waiting.is_empty() || !self.ready.is_empty()
    }

    fn send(&mut self, kind: Kind, message: &[u8]) {
        if !self.waiting.is_empty() {
            return self.waiting.push_back((kind, message.to_vec()));
        }
        match self.client.try_send_fragment(kind, message, true) {
            Ok(()) => {}
            Err(SendError::Full) => self.waiting.push_back((kind, message.to_vec())),
            Err(error) => {
                tracing::debug!(error = %tidewire::ErrorChain(&error), "a message was not sent");
            }
        }
    }

    /// As far as there is room.
    fn send_waiting(&mut self) {
        while let Some((kind, message)) = self.waiting.front() {
            match self.client.try_send_fragment(*kind, message, true) {
                Err(SendError::Full) => return,
                Ok(()) | Err(_) => self.waiting.pop_front(),
            };
        }
    }

    fn say(&mut self, text: &str) {
        self.send(Kind::Text, text.as_bytes());
    }

    fn receive(&mut self, message: &Message) {
        let incoming = match message {
            Message::Text(text) => Incoming::Text(text.as_str()),
            Message::Binary(bytes) => Incoming::Binary(bytes),
        };
        let table = self.gateway.table();
        let reaction = self
            .dialogue
            .receive(incoming, |name| table.by_name(name).cloned());
        self.react(reaction, message);
    }

    fn react(&mut self, reaction: Reaction<'_, Arc<Target>>, message: &Message) {
        match reaction {
            Reaction::Nothing => {}
            Reaction::Answer(answer)
            | Reaction::Ready(answer)
            | Reaction::Announced { answer, .. }
            | Reaction::Refused { answer, .. } => self.say(&answer),
            Reaction::Forward { route, line } => {
                if let Err(refusal) = self.forward(&route, &line, message) {
                    let answer = self.dialogue.refuse(refusal, line.name);
                    self.say(&answer);
                }
            }
            Reaction::Close { failure, error } => {
                self.say(&error);
                let code = failure.close_code();
                self.close(&CloseFrame::new(code, failure.to_string()));
            }
        }
    }

    /// Gives a message to its route, which is opened on first use.
    fn forward(
        &mut self,
        target: &Arc<Target>,
        line: &RouteLine<'_>,
        message: &Message,
    ) -> Result<(), Refusal> {
        let payload = message.payload().slice(line.payload_at..);
        let used = self
            .routes
            .values_mut()
            .find(|route| Arc::ptr_eq(&route.target, target));
        if let Some(route) = used {
            return route.forward(line, message.kind(), payload);
        }
        let mut route = self.open(target, line)?;
        route.forward(line, message.kind(), payload)?;
        route.ring();
        self.routes.insert(self.next, route);
        Ok(())
    }

    fn open(&mut self, target: &Arc<Target>, line: &RouteLine<'_>) -> Result<Route, Refusal> {
        let table = self.gateway.table();
        let classic = &table.settings.classic;
        if self.routes.len() >= classic.routes_max {
            return Err(Refusal::TooManyRoutes(classic.routes_max));
        }
        let endpoint = target.endpoint();
        let head = &self.client_request.request.head;
        let admitted = if table.may_be_named(target, head) {
            admission::admit(&self.client_request, &endpoint, &target.connections).and_then(
                |place| {
                    let backend = self
                        .gateway
                        .admit_to_backend(self.client_request.client.ip())?;
                    Ok(place.with(backend))
                },
            )
        } else {
            Err(table::guarded())
        };
        let admitted = admitted.map_err(|refusal| {
            add(&target.counters.refused, 1);
            let refused = self.client_request.refused(Dialect::Classic, &refusal);
            self.gateway.sessions.refused(Refused {
                parent: Some(self.record.id),
                endpoint: Some(&endpoint.name),
                ..refused
            });
            Refusal::NotAllowed
        })?;
        let ask = self
            .client_request
            .ask(&endpoint, head.query().map(str::to_owned));
        let session = self.gateway.sessions.open(Begin {
            parent: Some(self.record.id),
            endpoint: Some(endpoint.name.as_str().into()),
            dialect: Dialect::Classic,
            client: self.client_request.client.node(),
            request: None,
            trace: self.client_request.trace(),
        });
        let mut resume = endpoint.resume.clone().unwrap_or_default();
        resume.bytes_max = resume.bytes_max.max(classic.message_bytes_max);
        let account = self.client.memory();
        let queues = Queues::new(classic.queue_bytes_max, UP_ITEMS_MAX, account);
        let limits = &table.settings.limits;
        let backend_session = BackendSession::with_resume(
            Arc::clone(target),
            ask,
            &queues,
            &session,
            limits,
            Some(resume),
        );
        self.backend_sessions.spawn(async move {
            let (code, why) = backend_session.open_and_run(true).await;
            session.ended(code, why);
            drop(admitted);
        });
        self.next += 1;
        let ready_waker = ReadyWaker::new(&self.ready, self.next);
        Ok(Route::new(
            Arc::clone(target),
            &endpoint,
            queues,
            ready_waker,
            line,
        ))
    }
}
