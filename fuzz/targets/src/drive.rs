//! Feeds a connection in pieces and notes what happens, as owned values that can be compared.

use std::{io::IoSlice, sync::Arc, time::Instant};

use tidewire_proto::{Config, Connection, Event, Kind, MaskKeys, ProtocolError, Role};

/// What came out of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A whole message.
    Message(Kind, Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame: code and reason.
    Close(Option<(u16, String)>),
    /// A broken rule.
    Error(ProtocolError),
}

/// Mask keys that repeat with every run.
#[derive(Debug)]
struct CountingKeys(u32);

impl MaskKeys for CountingKeys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_mul(0x9e37_79b9).wrapping_add(1);
        self.0.to_be_bytes()
    }
}

/// A fresh connection of this role.
pub(crate) fn connection(role: Role, config: &Arc<Config>, now: Instant) -> Connection {
    match role {
        Role::Server => Connection::server(Arc::clone(config), now),
        Role::Client => Connection::client(Arc::clone(config), Box::new(CountingKeys(1)), now),
    }
}

/// Gives `stream` to the connection in reads of the sizes in `cuts`, in turn (all at once if
/// there are none), and returns what it saw up to its end.
///
/// # Panics
/// If the connection breaks the contract of [`Connection::receive`].
pub fn receive_all(connection: &mut Connection, stream: &[u8], cuts: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut rest = stream;
    let mut sizes = cuts.iter().cycle();
    while !rest.is_empty() {
        let size = sizes
            .next()
            .map_or(rest.len(), |size| usize::from(*size).max(1));
        let (read, later) = rest.split_at(size.min(rest.len()));
        receive_read(connection, read, &mut seen);
        rest = later;
    }
    seen
}

/// One read: every byte of it is taken. Reads of an even length try the fast way first, as a
/// driver does; what is seen must not depend on that.
pub(crate) fn receive_read(connection: &mut Connection, read: &[u8], seen: &mut Vec<Seen>) {
    let mut buffer = read.to_vec();
    let mut input = buffer.as_mut_slice();
    while !input.is_empty() {
        let over = connection.halves().0.is_finished();
        if read.len().is_multiple_of(2)
            && let Some((used, message)) = connection.halves().0.receive_whole(input)
        {
            assert!(!over, "nothing is received after the end");
            seen.push(seen_of(Event::Message(message)));
            input = &mut input[used..];
            continue;
        }
        let len = input.len();
        let (used, event) = connection.receive(input);
        assert!(
            (1..=len).contains(&used),
            "every call takes something, and not more than there is"
        );
        match event {
            Ok(None) => {}
            Ok(Some(event)) => {
                assert!(!over, "nothing is received after the end");
                seen.push(seen_of(event));
            }
            Err(error) if over => {
                let last = Seen::Error(error);
                assert_eq!(seen.last(), Some(&last), "a failure stays the same");
                assert_eq!(used, len, "after a failure all input is taken");
            }
            Err(error) => seen.push(Seen::Error(error)),
        }
        input = &mut input[used..];
    }
}

/// The event as owned values.
pub(crate) fn seen_of(event: Event<'_>) -> Seen {
    match event {
        Event::Message(message) => {
            let (kind, borrowed) = (message.kind(), message.payload().to_vec());
            let owned = message.to_message();
            assert_eq!(
                owned.payload(),
                &borrowed,
                "owned and borrowed are the same"
            );
            assert_eq!(owned.kind(), kind);
            if let Some(text) = owned.as_text() {
                assert_eq!(text.as_bytes(), borrowed, "text is handed out whole");
            }
            Seen::Message(kind, borrowed)
        }
        Event::Ping(body) => Seen::Ping(body.to_vec()),
        Event::Pong(body) => Seen::Pong(body.to_vec()),
        Event::Close(frame) => Seen::Close(frame.map(|frame| (frame.code.0, frame.reason))),
        Event::Chunk(_) | _ => panic!("not an event of whole messages"),
    }
}

/// Takes up to `count` bytes that wait to be sent, in `width` slices at a time.
pub(crate) fn transmit(connection: &mut Connection, count: usize, width: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while out.len() < count && connection.queued() > 0 {
        let mut parts = [IoSlice::new(&[]); 8];
        let parts = &mut parts[..width.clamp(1, 8)];
        let set = connection.poll_transmit(parts);
        assert!(set > 0, "what is queued can be sent");
        let before = out.len();
        for part in &parts[..set] {
            assert!(!part.is_empty(), "no empty part is handed out");
            let room = count - out.len();
            out.extend_from_slice(&part[..part.len().min(room)]);
        }
        let queued = connection.queued();
        let written = out.len() - before;
        assert!(written <= queued, "not more is handed out than is queued");
        connection.transmitted(written);
    }
    out
}
