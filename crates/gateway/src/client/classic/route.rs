//! One route of a client in use: its queues, its limits, how its messages go back.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tidewire::ws::{CloseCode, Kind};
use tidewire_proto::smhandshake::{Prefix, Refusal, RouteLine};

use crate::{
    backend::{
        queue::{Down, Piece, Pong},
        session::Queues,
    },
    client::{inbound::Inbound, ready::ReadyWaker},
    routing::target::{Target, add},
    settings::Endpoint,
};

/// A route in use.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) target: Arc<Target>,
    queues: Queues,
    inbound: Inbound,
    /// Stands before every message to the client.
    prefix: Prefix,
    /// The name as the client last wrote it.
    pub(super) name: String,
    ready_waker: Arc<ReadyWaker>,
    waker: Waker,
}

/// What a route has for the client.
#[derive(Debug)]
pub(super) enum RouteOutput {
    /// A message, its route line in front.
    Message(Kind, Vec<u8>),
    /// The backend's ping of this number, behind the messages before.
    Ping(u64),
    /// The backend is gone for good: so many messages that were taken for it are not delivered. The
    /// route is opened again by the next message.
    Gone(usize),
    /// Nothing.
    Waits,
}

impl Route {
    pub(super) fn new(
        target: Arc<Target>,
        endpoint: &Endpoint,
        queues: Queues,
        ready_waker: Arc<ReadyWaker>,
        line: &RouteLine<'_>,
    ) -> Self {
        Self {
            inbound: Inbound::new(Arc::clone(&queues.up), Arc::clone(&target), endpoint),
            target,
            queues,
            prefix: Prefix::of(line),
            name: line.name.to_owned(),
            waker: Arc::clone(&ready_waker).into(),
            ready_waker,
        }
    }

    /// A message of the client, without its route line.
    ///
    /// # Errors
    /// Why it is not forwarded.
    pub(super) fn forward(
        &mut self,
        line: &RouteLine<'_>,
        kind: Kind,
        payload: Bytes,
    ) -> Result<(), Refusal> {
        self.prefix.follow(line);
        if self.name != line.name {
            line.name.clone_into(&mut self.name);
        }
        if !self.queues.up.has_room() {
            add(&self.target.counters.overflowed, 1);
            return Err(Refusal::QueueFull);
        }
        let bytes_max = self.inbound.message_bytes_max;
        let piece = Piece {
            kind,
            data: payload,
            last: true,
        };
        self.inbound.take(piece).map_err(|frame| match frame.code {
            CloseCode::TOO_BIG => Refusal::TooLarge(bytes_max),
            CloseCode::POLICY_VIOLATION => Refusal::TooFast,
            _ => Refusal::QueueFull,
        })
    }

    /// The client's pong for the backend's ping of this number.
    pub(super) fn pong(&self, number: u64, pong: Pong) {
        self.queues.proved.tell(number, pong);
    }

    /// It has something to do.
    pub(super) fn ring(&self) {
        self.ready_waker.ring();
    }

    /// Returns what it has for the client now; at most one message.
    pub(super) fn turn(&mut self) -> RouteOutput {
        self.ready_waker.heard();
        let cx = Context::from_waker(&self.waker);
        loop {
            let Poll::Ready(down) = self.queues.down.poll_pop(&cx) else {
                return RouteOutput::Waits;
            };
            match down {
                Some(Down::Piece(piece)) => {
                    let message = [self.prefix.as_str().as_bytes(), &piece.data].concat();
                    self.ring();
                    return RouteOutput::Message(piece.kind, message);
                }
                Some(Down::Ping(number)) => {
                    self.ring();
                    return RouteOutput::Ping(number);
                }
                Some(Down::Opened(_) | Down::Back) => self.inbound.lost = false,
                Some(Down::Lost(_)) => self.inbound.lost = true,
                Some(Down::Closed(_) | Down::Rejected(..)) | None => {
                    return RouteOutput::Gone(self.queues.up.abandon());
                }
            }
        }
    }
}
