//! All streams of a connection, and whose turn it is to send.
//!
//! In: what the handles want. Out: the next frame for the driver to send. Invariants: OPEN frames go
//! out in the order of their numbers; a stream stands in line at most once and sends one frame per
//! turn, so all get the same share; after the end nothing is taken any more and everybody is woken.
//! Its lock is a leaf: no stream is locked under it.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use tidewire_proto::{
    CloseCode, CloseFrame,
    mux::{Body, Frame, FrameError, Open, Side, StreamIds},
};
use tokio::sync::{Notify, watch};

use super::{Lost, OpenError, Violation, stream::Stream};

use crate::sync::Mutex;

/// What is asked for; checked.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) query: String,
    pub(super) subprotocols: Vec<String>,
    pub(super) credit: u32,
}

impl Wanted {
    pub(super) fn open(&self, stream: u32) -> Result<Vec<u8>, FrameError> {
        let body = Body::Open(Open {
            credit: self.credit,
            name: &self.name,
            query: &self.query,
            subprotocols: self.subprotocols.iter().map(String::as_str).collect(),
        });
        Frame { stream, body }.encode()
    }
}

/// The connection as its handles see it.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Up,
    GoingAway(Duration),
    Ended(Lost),
}

/// What the driver and all handles of a connection share.
#[derive(Debug)]
pub(super) struct Streams {
    table: Mutex<Table>,
    /// The driver has something to do; it alone waits.
    pub(super) work: Notify,
    condition: watch::Sender<Condition>,
}

/// Keeps the connection of these streams: who is dropped last closes it.
pub(super) struct Handle {
    pub(super) streams: Arc<Streams>,
}

#[derive(Debug, Default)]
struct Table {
    ids: StreamIds,
    open: HashMap<u32, Arc<Stream>>,
    /// Wanted and not asked for yet; as many as callers wait.
    wanted: VecDeque<(Arc<Stream>, Wanted)>,
    /// Those with something to send.
    line: VecDeque<Arc<Stream>>,
    /// The newest ping: its stream and payload.
    pinged: Option<(u32, Bytes)>,
    /// The connection is to be closed.
    finish: Option<CloseFrame>,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self {
            table: Mutex::default(),
            work: Notify::new(),
            condition: watch::Sender::new(Condition::Up),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    pub(super) fn condition(&self) -> Condition {
        self.condition.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// Puts a stream in line that may have something to send.
    pub(super) fn ready(&self, stream: &Arc<Stream>) {
        {
            let mut state = stream.lock();
            if state.in_line || !state.has_frame() {
                return;
            }
            state.in_line = true;
        }
        self.table().line.push_back(Arc::clone(stream));
        self.work.notify_one();
    }
}

/// For handles.
impl Streams {
    /// Asks for a stream as soon as there is a turn.
    pub(super) fn want(&self, stream: &Arc<Stream>, wanted: Wanted) -> Result<(), OpenError> {
        let mut table = self.table();
        match self.condition() {
            Condition::Ended(lost) => return Err(lost.into()),
            Condition::GoingAway(_) => return Err(OpenError::GoingAway),
            Condition::Up if table.finish.is_some() => return Err(Lost::ClosedHere.into()),
            Condition::Up => table.wanted.push_back((Arc::clone(stream), wanted)),
        }
        drop(table);
        self.work.notify_one();
        Ok(())
    }

    /// Nobody waits for this stream any more.
    pub(super) fn forget(&self, stream: &Arc<Stream>) {
        let mut table = self.table();
        table
            .wanted
            .retain(|(other, _)| !Arc::ptr_eq(other, stream));
    }

    /// Closes the connection once what can be sent is sent; the first wish stays.
    pub(super) fn finish(&self, frame: CloseFrame) {
        self.table().finish.get_or_insert(frame);
        self.work.notify_one();
    }
}

/// For the driver.
impl Streams {
    /// A message of the gateway.
    pub(super) fn receive(&self, message: &Bytes) -> Result<(), Violation> {
        let frame = Frame::decode(message, Side::Gateway)?;
        match frame.body {
            Body::Ping(payload) => {
                self.table().pinged = Some((frame.stream, message.slice_ref(payload)));
                self.work.notify_one();
                return Ok(());
            }
            Body::Pong(_) => return Ok(()),
            Body::GoAway { within_ms } => {
                self.go_away(Duration::from_millis(within_ms.into()));
                return Ok(());
            }
            Body::Open(_)
            | Body::Accept { .. }
            | Body::Reject { .. }
            | Body::Data { .. }
            | Body::Credit(_)
            | Body::Close(_)
            | Body::Down { .. }
            | Body::Up => {}
        }
        let Some(stream) = self.find(frame.stream)? else {
            return Ok(());
        };
        if stream.receive(&frame, message)? {
            self.table().open.remove(&frame.stream);
        }
        self.ready(&stream);
        Ok(())
    }

    fn find(&self, stream: u32) -> Result<Option<Arc<Stream>>, Violation> {
        let table = self.table();
        let found = table.open.get(&stream).cloned();
        if found.is_none() {
            table.ids.gone(stream)?;
        }
        Ok(found)
    }

    fn go_away(&self, within: Duration) {
        let wanted = {
            let mut table = self.table();
            self.condition.send_replace(Condition::GoingAway(within));
            mem::take(&mut table.wanted)
        };
        for (stream, _) in wanted {
            stream.refuse(OpenError::GoingAway);
        }
    }

    /// What to send now, if anything: answers first, then new streams, then whose turn it is.
    pub(super) fn next_frame(&self) -> Result<Option<Vec<u8>>, FrameError> {
        let pinged = self.table().pinged.take();
        if let Some((stream, payload)) = pinged {
            let body = Body::Pong(&payload);
            return Frame { stream, body }.encode().map(Some);
        }
        if let Some(open) = self.next_open()? {
            return Ok(Some(open));
        }
        loop {
            let Some(stream) = self.table().line.pop_front() else {
                return Ok(None);
            };
            if let Some(frame) = self.turn_of(&stream)? {
                return Ok(Some(frame));
            }
        }
    }

    fn next_open(&self) -> Result<Option<Vec<u8>>, FrameError> {
        loop {
            let Some((stream, wanted)) = self.table().wanted.pop_front() else {
                return Ok(None);
            };
            if stream.lock().is_closing() {
                continue; // given up meanwhile
            }
            let number = {
                let mut table = self.table();
                let number = table.ids.allocate();
                if let Some(number) = number {
                    table.open.insert(number, Arc::clone(&stream));
                }
                number
            };
            let Some(number) = number else {
                stream.refuse(OpenError::NumbersUsedUp);
                continue;
            };
            stream.lock().opened(number);
            let open = wanted.open(number)?;
            self.ready(&stream); // to be closed, if it was given up since
            return Ok(Some(open));
        }
    }

    /// One frame of the stream; it goes to the end of the line if it has more.
    fn turn_of(&self, stream: &Arc<Stream>) -> Result<Option<Vec<u8>>, FrameError> {
        let (frame, writable, gone, more) = {
            let mut state = stream.lock();
            let was_full = state.is_full();
            let frame = state.next_frame()?;
            let gone = state.number().filter(|_| state.is_gone());
            state.in_line = state.has_frame();
            (frame, was_full && !state.is_full(), gone, state.in_line)
        };
        if writable {
            stream.writable.notify_one();
        }
        if more || gone.is_some() {
            let mut table = self.table();
            if more {
                table.line.push_back(Arc::clone(stream));
            }
            if let Some(number) = gone {
                table.open.remove(&number);
                drop(table);
                stream.wake_all();
            }
        }
        Ok(frame)
    }

    /// How to close the connection, if that is wanted.
    pub(super) fn finishing(&self) -> Option<CloseFrame> {
        self.table().finish.clone()
    }

    /// The connection is over: everybody is told, nothing is taken any more.
    pub(super) fn end(&self, lost: &Lost) {
        let (open, wanted) = {
            let mut table = self.table();
            let ended = Condition::Ended(lost.clone());
            self.condition.send_if_modified(|condition| {
                let first = !matches!(condition, Condition::Ended(_));
                if first {
                    *condition = ended;
                }
                first
            });
            table.line.clear();
            (mem::take(&mut table.open), mem::take(&mut table.wanted))
        };
        let wanted = wanted.into_iter().map(|(stream, _)| stream);
        open.into_values()
            .chain(wanted)
            .for_each(|stream| stream.fail(lost));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.streams.finish(CloseFrame::new(CloseCode::NORMAL, ""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(streams: &Streams, stream: u32, body: Body<'_>) {
        let frame = Frame { stream, body }.encode().unwrap();
        streams.receive(&Bytes::from(frame)).unwrap();
    }

    fn open(streams: &Streams, number: u32) -> Arc<Stream> {
        let stream = Arc::new(Stream::new(65_536));
        let wanted = Wanted {
            name: "any".into(),
            query: String::new(),
            subprotocols: Vec::new(),
            credit: 65_536,
        };
        streams.want(&stream, wanted).unwrap();
        assert!(streams.next_frame().unwrap().is_some(), "OPEN");
        let accept = Body::Accept {
            credit: 65_536,
            subprotocol: None,
        };
        say(streams, number, accept);
        stream
    }

    #[test]
    fn what_is_gone_is_forgotten_whoever_closed_first() {
        let streams = Streams::new();
        let by_us = open(&streams, 1);
        let by_the_gateway = open(&streams, 2);
        let refused = Arc::new(Stream::new(65_536));
        streams.table().open.insert(3, Arc::clone(&refused));
        streams.table().ids.open(3).unwrap();
        refused.lock().opened(3);
        assert_eq!(streams.table().open.len(), 3);
        by_us.lock().abort(CloseFrame::new(CloseCode::NORMAL, ""));
        streams.ready(&by_us);
        assert!(streams.next_frame().unwrap().is_some(), "CLOSE");
        say(&streams, 1, Body::Close(None));
        say(&streams, 2, Body::Close(None));
        assert!(streams.next_frame().unwrap().is_some(), "its answer");
        let reject = Body::Reject {
            status: 404,
            reason: "",
        };
        say(&streams, 3, reject);
        assert!(streams.next_frame().unwrap().is_none());
        assert!(streams.table().open.is_empty());
        assert!(by_the_gateway.lock().is_gone());
    }
}
