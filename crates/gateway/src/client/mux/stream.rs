//! One logical socket, as its client's connection sees it.
//!
//! In: the client's frames, and what comes down from the backend session. Out: frames for the client. Invariants: no more
//! DATA than the client gave credit for; credit is given back as the backend session takes what was sent; after
//! CLOSE nothing but the answer to it.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tidewire::{
    proto::mux::{
        Body, Close, DATA_HEADER_BYTES, DataFlags, FlowError, FrameType, MessageFrames,
        REASON_BYTES_MAX, ReceiveCredit, Received, SendCredit, Side, StreamLife,
    },
    ws::{CloseCode, CloseFrame, Kind},
};

use crate::{
    backend::{
        queue::{Dequeued, Down, Piece, Pong},
        session::Queues,
    },
    client::{inbound::Inbound, ready::ReadyWaker},
    routing::target::Target,
    settings::Endpoint,
};

/// The state of a stream after one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamState {
    Continues,
    Ended,
    /// It continues, and the backend's ping of this number has come behind what was sent.
    Ping(u64),
}

/// A logical socket.
#[derive(Debug)]
pub(super) struct Stream {
    number: u32,
    life: StreamLife,
    /// What the gateway may send.
    send: SendCredit,
    /// What the client may send.
    receive: ReceiveCredit,
    frames: MessageFrames,
    queues: Queues,
    inbound: Inbound,
    /// What was taken by the backend session and told to the client.
    passed: Dequeued,
    /// Came down and waits for credit.
    waiting: Option<Piece>,
    first_credit: u32,
    ready_waker: Arc<ReadyWaker>,
    waker: Waker,
}

impl Stream {
    pub(super) fn new(
        number: u32,
        ready_waker: Arc<ReadyWaker>,
        queues: Queues,
        target: &Arc<Target>,
        endpoint: &Endpoint,
        given: u32,
        got: u32,
    ) -> Self {
        Self {
            number,
            life: StreamLife::new(number, Side::Gateway),
            send: SendCredit::new(number, got),
            receive: ReceiveCredit::new(number, given),
            frames: MessageFrames::default(),
            inbound: Inbound::new(Arc::clone(&queues.up), Arc::clone(target), endpoint),
            queues,
            passed: Dequeued::default(),
            waiting: None,
            first_credit: given,
            waker: Arc::clone(&ready_waker).into(),
            ready_waker,
        }
    }

    /// It has something to do.
    pub(super) fn ring(&self) {
        self.ready_waker.ring();
    }

    /// DATA was received.
    pub(super) fn data(
        &mut self,
        flags: DataFlags,
        piece: Piece,
        send: &mut impl FnMut(Body<'_>),
    ) -> Result<StreamState, FlowError> {
        if self.life.receive(FrameType::Data)? != Received::Take {
            // It crossed our CLOSE; the credit from before bounds it.
            self.receive.charge(piece.data.len())?;
            return Ok(StreamState::Continues);
        }
        self.frames.accept(self.number, flags)?;
        self.receive.charge(piece.data.len())?;
        match self.inbound.take(piece) {
            Ok(()) => Ok(StreamState::Continues),
            Err(frame) => {
                self.inbound.close(Some(CloseFrame::new(
                    CloseCode::GOING_AWAY,
                    "the client broke a limit",
                )));
                Ok(self.close(Some(frame), send))
            }
        }
    }

    /// CREDIT was received.
    pub(super) fn credit(&mut self, more: u32) -> Result<StreamState, FlowError> {
        if self.life.receive(FrameType::Credit)? == Received::Take {
            self.send.add(more)?;
            self.ring();
        }
        Ok(StreamState::Continues)
    }

    /// CLOSE was received.
    pub(super) fn closed_by_client(
        &mut self,
        frame: Option<CloseFrame>,
        send: &mut impl FnMut(Body<'_>),
    ) -> Result<StreamState, FlowError> {
        match self.life.receive(FrameType::Close)? {
            Received::Close => {
                self.inbound.close(frame);
                send(Body::Close(None));
                self.life.closed(FrameType::Close);
                Ok(StreamState::Ended)
            }
            Received::End => Ok(StreamState::Ended),
            Received::Take | Received::Ignore => Ok(StreamState::Continues),
        }
    }

    /// Sends what it has, at most one frame of data.
    pub(super) fn turn(&mut self, mut send: impl FnMut(Body<'_>)) -> StreamState {
        self.ready_waker.heard();
        if self.life.is_open() {
            self.give_credit(&mut send);
        }
        if self.life.is_closing() {
            return StreamState::Continues;
        }
        if let Some(piece) = self.waiting.take() {
            return self.send_data(piece, &mut send);
        }
        loop {
            let cx = Context::from_waker(&self.waker);
            let Poll::Ready(down) = self.queues.down.poll_pop(&cx) else {
                return StreamState::Continues;
            };
            match down {
                Some(Down::Piece(piece)) => return self.send_data(piece, &mut send),
                Some(Down::Opened(subprotocol)) => {
                    self.life.accepted();
                    send(Body::Accept {
                        credit: self.first_credit,
                        subprotocol: subprotocol.as_deref(),
                    });
                    // From now on it is to ring when the backend session takes something.
                    self.give_credit(&mut send);
                }
                Some(Down::Rejected(status, reason)) => {
                    self.life.closed(FrameType::Reject);
                    let reason = line(&reason);
                    let status = if (400..600).contains(&status) {
                        status
                    } else {
                        502
                    };
                    send(Body::Reject { status, reason });
                    return StreamState::Ended;
                }
                Some(Down::Ping(number)) => {
                    self.ring();
                    return StreamState::Ping(number);
                }
                Some(Down::Lost(retry_ms)) => {
                    self.inbound.lost = true;
                    send(Body::Down { retry_ms });
                }
                Some(Down::Back) => {
                    self.inbound.lost = false;
                    send(Body::Up);
                }
                Some(Down::Closed(frame)) => return self.close(frame, &mut send),
                None => {
                    let why = CloseFrame::new(CloseCode::INTERNAL_ERROR, "the link has ended");
                    return self.close(Some(why), &mut send);
                }
            }
        }
    }

    /// The client's pong for the backend's ping of this number.
    pub(super) fn pong(&self, number: u64, pong: Pong) {
        self.queues.proved.tell(number, pong);
    }

    /// Sends as much of a piece as there is credit for; the rest has another turn.
    fn send_data(&mut self, mut piece: Piece, send: &mut impl FnMut(Body<'_>)) -> StreamState {
        let Some(len) = self.send.take(piece.data.len()) else {
            self.waiting = Some(piece); // CREDIT rings
            return StreamState::Continues;
        };
        let part: Bytes = piece.data.split_to(len);
        let ends = piece.data.is_empty();
        let flags = DataFlags {
            last: piece.last && ends,
            binary: piece.kind == Kind::Binary,
        };
        send(Body::Data {
            flags,
            payload: &part,
        });
        if !ends {
            self.waiting = Some(piece);
        }
        self.ring();
        StreamState::Continues
    }

    /// Tells the client that it may send as much again as the backend session has taken.
    fn give_credit(&mut self, send: &mut impl FnMut(Body<'_>)) {
        let taken = self.queues.up.taken(&Context::from_waker(&self.waker));
        // What was taken and put back counts as taken: at most one piece above the window.
        let items = taken.items - self.passed.items;
        if items == 0 {
            return;
        }
        let bytes = taken.bytes - self.passed.bytes;
        self.passed = taken;
        // Each frame costs its header, too; one is counted by the credit itself.
        let headers = (items - 1).saturating_mul(DATA_HEADER_BYTES as u64);
        let passed = usize::try_from(bytes + headers).unwrap_or(usize::MAX);
        if let Some(more) = self.receive.give_back(passed) {
            send(Body::Credit(more));
        }
    }

    /// Sends CLOSE.
    fn close(&mut self, frame: Option<CloseFrame>, send: &mut impl FnMut(Body<'_>)) -> StreamState {
        let frame = frame.filter(|frame| frame.code.is_valid_on_wire());
        send(Body::Close(frame.as_ref().map(|frame| Close {
            code: frame.code,
            reason: &frame.reason,
        })));
        self.life.closed(FrameType::Close);
        if self.life.is_gone() {
            StreamState::Ended
        } else {
            StreamState::Continues
        }
    }
}

/// As much of a reason as a frame may hold.
pub(super) fn line(reason: &str) -> &str {
    reason
        .get(..reason.floor_char_boundary(REASON_BYTES_MAX))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tidewire::memory::MemoryBudget;

    use super::*;
    use crate::{backend::queue::Up, client::ready::Ready};

    #[test]
    fn a_first_message_above_the_window_rings_for_credit_as_the_link_takes_it() {
        const WINDOW: u32 = 64 << 10;
        let endpoint = Arc::new(Endpoint::new("one", Vec::new()));
        let target = Arc::new(Target::new(Arc::clone(&endpoint)));
        let queues = Queues::new(1 << 20, 1024, &MemoryBudget::unlimited().account());
        let (up, down) = (Arc::clone(&queues.up), Arc::clone(&queues.down));
        let ready = Arc::new(Ready::default());
        let ready_waker = ReadyWaker::new(&ready, 1);
        let mut stream = Stream::new(1, ready_waker, queues, &target, &endpoint, WINDOW, WINDOW);
        down.push(Down::Opened(None));
        let mut sent = Vec::new();
        assert_eq!(
            stream.turn(|body| sent.push(format!("{body:?}"))),
            StreamState::Continues
        );
        assert!(sent.concat().starts_with("Accept"), "{sent:?}");
        while ready.next().is_some() {}

        let flags = DataFlags {
            last: false,
            binary: true,
        };
        for _ in 0..3 {
            let piece = Piece {
                kind: Kind::Binary,
                data: Bytes::from_static(&[0; 16 << 10]),
                last: false,
            };
            stream.data(flags, piece, &mut |_body| {}).unwrap();
        }
        let cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(taken) = up.poll_pop(&cx) {
            assert!(matches!(taken, Some(Up::Piece(_))));
        }
        assert_eq!(ready.next(), Some(1), "the link's taking rings");
        sent.clear();
        stream.turn(|body| sent.push(format!("{body:?}")));
        assert_eq!(sent, [format!("Credit({})", 3 * ((16 << 10) + 6))]);
    }
}
