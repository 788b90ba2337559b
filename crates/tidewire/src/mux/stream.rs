//! One stream: what its two users, the driver and the socket's owner, share.
//!
//! In: frames of the gateway, messages of the owner. Out: the next frame to send, what the owner
//! receives. Invariants: what waits to be received is bounded by the credit that was given; one message
//! waits to be sent; nothing is sent after CLOSE. Its lock is a leaf.

use std::{collections::VecDeque, sync::MutexGuard};

use bytes::Bytes;
use tidewire_proto::{
    CloseFrame, Kind, Message,
    mux::{
        Body, Close, DataFlags, FlowError, Frame, FrameError, FrameType, MessageFrames,
        ReceiveCredit, Received, SendCredit, Side, StreamLife, data_header,
    },
};
use tokio::sync::Notify;

use super::{Lost, OpenError};

use crate::sync::Mutex;

/// A stream, from the wish to open it until both ends have closed it and its owner has let go.
#[derive(Debug)]
pub(super) struct Stream {
    state: Mutex<State>,
    /// Something may be received, or the end has come; one task waits.
    pub(super) readable: Notify,
    /// A message may be sent, or none any more; senders wait.
    pub(super) writable: Notify,
}

/// What the owner receives.
#[derive(Debug)]
pub(super) enum Item {
    /// A frame of a message.
    Data(DataFlags, Bytes),
    /// The backend is lost; milliseconds until the gateway tries again.
    Down(u32),
    /// The backend is back.
    Up,
}

/// How far the opening is.
#[derive(Debug)]
pub(super) enum Opening {
    Waiting,
    Accepted(Option<String>),
    Failed(OpenError),
}

/// What this end wants of the stream's end.
#[derive(Debug)]
enum Wish {
    None,
    /// After the message that waits to be sent.
    AfterMessage(CloseFrame),
    Now(CloseFrame),
}

/// The locked part.
#[derive(Debug)]
pub(super) struct State {
    /// Known when OPEN is sent.
    life: Option<(u32, StreamLife)>,
    pub(super) opening: Opening,
    send: Option<SendCredit>,
    receive: ReceiveCredit,
    frames: MessageFrames,
    incoming: VecDeque<Item>,
    /// The message that is being sent, from where on.
    outgoing: Option<(Message, usize)>,
    /// Given back, not sent.
    credit: u32,
    wish: Wish,
    /// The gateway's CLOSE has come.
    closed: bool,
    /// What it said.
    close_frame: Option<CloseFrame>,
    pub(super) lost: Option<Lost>,
    /// Stands in the line of those that have something to send.
    pub(super) in_line: bool,
}

impl Stream {
    /// A stream that gives this much credit at first.
    pub(super) fn new(credit: u32) -> Self {
        Self {
            state: Mutex::new(State {
                life: None,
                opening: Opening::Waiting,
                send: None,
                receive: ReceiveCredit::new(0, credit),
                frames: MessageFrames::default(),
                incoming: VecDeque::new(),
                outgoing: None,
                credit: 0,
                wish: Wish::None,
                closed: false,
                close_frame: None,
                lost: None,
                in_line: false,
            }),
            readable: Notify::new(),
            writable: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Has everybody look who waits for this stream.
    pub(super) fn wake_all(&self) {
        self.readable.notify_one();
        self.writable.notify_waiters();
    }

    /// The stream ends without CLOSE.
    pub(super) fn fail(&self, lost: &Lost) {
        let mut state = self.lock();
        if !state.is_over() {
            state.lost.get_or_insert_with(|| lost.clone());
        }
        state.outgoing = None;
        drop(state);
        self.wake_all();
    }

    /// The opening has failed.
    pub(super) fn refuse(&self, error: OpenError) {
        self.lock().opening = Opening::Failed(error);
        self.wake_all();
    }

    /// A frame of the gateway; `message` is what it was decoded from. Gives whether the stream is
    /// gone.
    pub(super) fn receive(&self, frame: &Frame<'_>, message: &Bytes) -> Result<bool, FlowError> {
        let mut state = self.lock();
        let Some((_, life)) = &mut state.life else {
            return Ok(false);
        };
        let received = life.receive(frame.frame_type())?;
        match received {
            Received::Ignore => return Ok(false),
            Received::Take => state.take(frame, message)?,
            Received::Close => {
                state.ended_by(frame);
                state.outgoing = None;
            }
            Received::End => {
                if let Body::Reject { status, reason } = frame.body {
                    state.opening = Opening::Failed(OpenError::Rejected {
                        status,
                        reason: reason.to_owned(),
                    });
                }
                state.ended_by(frame);
            }
        }
        let gone = state.is_gone();
        drop(state);
        self.readable.notify_one();
        if received != Received::Take {
            self.writable.notify_waiters();
        }
        Ok(gone)
    }
}

/// For the driver.
impl State {
    /// OPEN is being sent with this number.
    pub(super) fn opened(&mut self, stream: u32) {
        self.receive = ReceiveCredit::new(stream, self.receive.available());
        self.life = Some((stream, StreamLife::new(stream, Side::Client)));
    }

    /// CLOSE or REJECT has come.
    fn ended_by(&mut self, frame: &Frame<'_>) {
        self.closed = true;
        if let Body::Close(Some(close)) = &frame.body {
            self.close_frame = Some(CloseFrame::new(close.code, close.reason));
        }
    }

    fn take(&mut self, frame: &Frame<'_>, message: &Bytes) -> Result<(), FlowError> {
        match &frame.body {
            Body::Accept {
                credit,
                subprotocol,
            } => {
                self.send = Some(SendCredit::new(frame.stream, *credit));
                self.opening = Opening::Accepted(subprotocol.map(str::to_owned));
            }
            Body::Data { flags, payload } => {
                self.receive.charge(payload.len())?;
                self.frames.accept(frame.stream, *flags)?;
                let payload = message.slice_ref(payload);
                self.incoming.push_back(Item::Data(*flags, payload));
                if !matches!(self.wish, Wish::None) {
                    // Nobody receives any more, but the other end must not wait for that.
                    while self.pop().is_some() {}
                }
            }
            Body::Credit(increment) => {
                if let Some(send) = &mut self.send {
                    send.add(*increment)?;
                }
            }
            Body::Down { retry_ms } => self.tell(Item::Down(*retry_ms)),
            Body::Up => self.tell(Item::Up),
            // Judged by the stream's life, or not about a stream.
            Body::Open(_)
            | Body::Reject { .. }
            | Body::Close(_)
            | Body::Ping(_)
            | Body::Pong(_)
            | Body::GoAway { .. } => {}
        }
        Ok(())
    }

    /// Of several in a row the newest is enough; so they are bounded by the frames between them.
    fn tell(&mut self, event: Item) {
        if matches!(self.incoming.back(), Some(Item::Down(_) | Item::Up)) {
            self.incoming.pop_back();
        }
        self.incoming.push_back(event);
    }

    /// Whether there is a frame to send.
    pub(super) fn has_frame(&self) -> bool {
        let Some((_, life)) = &self.life else {
            return false;
        };
        let Some(mut send) = self.send else {
            return !life.is_gone() && matches!(self.wish, Wish::Now(_)) && !self.close_sent();
        };
        if life.is_gone() || self.close_sent() {
            return false;
        }
        let data = self.outgoing.as_ref().is_some_and(|(message, sent)| {
            let remaining = message.payload().len().saturating_sub(*sent);
            send.take(remaining).is_some() // of a copy
        });
        let close = match self.wish {
            Wish::None => false,
            Wish::AfterMessage(_) => self.outgoing.is_none(),
            Wish::Now(_) => true,
        };
        data || close || self.credit > 0 || self.closed
    }

    /// The next frame to send.
    pub(super) fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        if !self.has_frame() {
            return Ok(None);
        }
        let Some((stream, _)) = self.life else {
            return Ok(None);
        };
        let frame = |body| Frame { stream, body }.encode().map(Some);
        if self.closed {
            self.life_closed();
            return frame(Body::Close(None));
        }
        let now = match &self.wish {
            Wish::Now(close) => Some(close),
            Wish::AfterMessage(close) if self.outgoing.is_none() => Some(close),
            Wish::None | Wish::AfterMessage(_) => None,
        };
        if let Some(close) = now {
            let body = Body::Close(Some(Close::new(close.code, &close.reason)));
            let encoded = frame(body);
            self.life_closed();
            return encoded;
        }
        if self.credit > 0 {
            return frame(Body::Credit(std::mem::take(&mut self.credit)));
        }
        Ok(self.next_data(stream))
    }

    /// A piece of the message that waits, as large as the credit allows.
    fn next_data(&mut self, stream: u32) -> Option<Vec<u8>> {
        let (message, sent) = self.outgoing.as_mut()?;
        let rest = message.payload().get(*sent..).unwrap_or_default();
        let len = self.send.as_mut()?.take(rest.len())?;
        let flags = DataFlags {
            last: len == rest.len(),
            binary: message.kind() == Kind::Binary,
        };
        let payload = rest.get(..len).unwrap_or_default();
        let frame = [&data_header(stream, flags), payload].concat();
        *sent = sent.saturating_add(len);
        if flags.last {
            self.outgoing = None;
        }
        Some(frame)
    }

    fn life_closed(&mut self) {
        if let Some((_, life)) = &mut self.life {
            life.closed(FrameType::Close);
        }
    }

    fn close_sent(&self) -> bool {
        let life = self.life.as_ref().map(|(_, life)| life);
        life.is_some_and(StreamLife::is_closing)
    }

    /// Whether both ends are done with it.
    pub(super) fn is_gone(&self) -> bool {
        let life = self.life.as_ref().map(|(_, life)| life);
        life.is_some_and(StreamLife::is_gone)
    }

    /// Its number, once it has one.
    pub(super) fn number(&self) -> Option<u32> {
        self.life.as_ref().map(|(stream, _)| *stream)
    }
}

/// For the owner.
impl State {
    /// The next thing received. The credit it cost is given back, once that is worth a frame.
    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.incoming.pop_front()?;
        if let Item::Data(_, payload) = &item {
            let increment = self.receive.give_back(payload.len()).unwrap_or(0);
            self.credit = self.credit.saturating_add(increment);
        }
        Some(item)
    }

    /// Whether the end has come: CLOSE of the gateway, or all of the closing.
    pub(super) fn is_over(&self) -> bool {
        self.closed || self.is_gone()
    }

    /// Whether the gateway has closed it, or this end wants to.
    pub(super) fn is_closing(&self) -> bool {
        self.is_over() || !matches!(self.wish, Wish::None)
    }

    /// The gateway's CLOSE.
    pub(super) fn close_frame(&self) -> Option<&CloseFrame> {
        self.close_frame.as_ref()
    }

    /// Whether a message waits to be sent.
    pub(super) fn is_full(&self) -> bool {
        self.outgoing.is_some()
    }

    /// Takes a message for sending; the last one is out.
    pub(super) fn offer(&mut self, message: Message) {
        self.outgoing = Some((message, 0));
    }

    /// This end closes after what it has taken for sending.
    pub(super) fn close(&mut self, frame: CloseFrame) {
        self.incoming.clear();
        if matches!(self.wish, Wish::None) {
            self.wish = Wish::AfterMessage(frame);
        }
    }

    /// This end closes at once and forgets what waits; a close that has begun goes on.
    pub(super) fn abort(&mut self, frame: CloseFrame) {
        self.incoming.clear();
        if matches!(self.wish, Wish::None) {
            self.outgoing = None;
            self.wish = Wish::Now(frame);
        }
    }
}
