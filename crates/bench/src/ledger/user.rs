//! A user with a WebSocket client of some [`Kind`]: connects, reads, answers and talks until
//! the round ends, however often the connection is lost.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use super::{
    book::{Connection, Number, Outcome},
    frames::Frame,
    kind::{Kind, Pong},
    random::Random,
    socket::{self, Downlink, Uplink},
    world::{Envelope, World},
};

#[derive(Debug)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) kind: Kind,
    pub(super) random: Random,
    pub(super) world: Arc<World>,
}

/// How a connection ended, as its client sees it.
#[derive(Debug)]
enum Closed {
    /// By a close frame of the server.
    Code(u16),
    /// By the client, as its kind does.
    Own,
    /// The stream ended without a close frame.
    End,
    /// Nothing was heard for long.
    Silent,
    Error,
}

/// A connection, shared by reading, talking and heartbeats.
struct Live<'a> {
    user: u64,
    kind: Kind,
    world: &'a World,
    connection: Connection,
    up: Mutex<Uplink>,
}

impl User {
    /// Never ends; may be dropped at any time.
    pub(super) async fn run(mut self) -> ! {
        loop {
            let closed = self.connect_once().await;
            self.world.ledger().closed(&closed.to_string());
            let pause = self.world.pace.pick(&mut self.random, &(0..=1_000));
            sleep(pause).await;
        }
    }

    async fn connect_once(&mut self) -> Closed {
        let masks = self.random.split();
        let Ok((down, up)) = socket::connect(self.world.messaging, self.id, masks).await else {
            return Closed::Error;
        };
        let live = Live {
            user: self.id,
            kind: self.kind,
            world: &self.world,
            connection: self.world.ledger().connected(),
            up: Mutex::new(up),
        };
        let (reading, talking) = (self.random.split(), self.random.split());
        tokio::select! {
            closed = live.read(down, reading) => closed,
            closed = live.talk(talking) => closed,
            closed = live.send_heartbeats() => closed,
        }
    }
}

impl Live<'_> {
    async fn read(&self, mut down: Downlink, mut random: Random) -> Closed {
        let pace = self.world.pace;
        let patience = pace.pick(&mut random, &(30_000..=60_000));
        let deafness = self.kind.deafness();
        let mut deaf_at = None;
        if let Some(deafness) = &deafness {
            deaf_at = Some(Instant::now() + pace.pick(&mut random, &deafness.every));
        }
        let mut has_read = false;
        let mut copied = None;
        loop {
            if let (Some(at), Some(deafness)) = (deaf_at, &deafness)
                && at <= Instant::now()
            {
                sleep(pace.pick(&mut random, &deafness.lasts)).await;
                deaf_at = Some(Instant::now() + pace.pick(&mut random, &deafness.every));
            }
            let frame = match timeout(patience, down.next()).await {
                Err(_) => return Closed::Silent,
                Ok(Err(_)) => return Closed::Error,
                Ok(Ok(None)) => return Closed::End,
                Ok(Ok(Some(frame))) => frame,
            };
            match frame {
                Frame::Text(text) => {
                    let Ok(envelope) = serde_json::from_slice(&text) else {
                        return Closed::Error;
                    };
                    has_read |= self.take(&envelope, &mut copied, &mut random).await;
                }
                Frame::Ping(payload) => {
                    if let Some(closed) = self.answer(payload, has_read).await {
                        return closed;
                    }
                }
                Frame::Pong(_) => {}
                Frame::Close(code) => {
                    self.up.lock().await.write(&Frame::Close(code)).await.ok();
                    return Closed::Code(code);
                }
            }
        }
    }

    /// Handles a message, which may take a while; tells whether it was one for the user.
    /// `copied` is the last own message that has come back.
    async fn take(
        &self,
        envelope: &Envelope,
        copied: &mut Option<Number>,
        random: &mut Random,
    ) -> bool {
        if envelope.is_receipt() {
            envelope.note_receipt(&mut self.world.ledger());
            return false;
        }
        if envelope.sender == self.user {
            if let Some(number) = envelope.number() {
                let proved = self.up.lock().await.copied(number);
                let before = copied.replace(number);
                let mut ledger = self.world.ledger();
                ledger.proved(self.user, &proved);
                // Whom a message was refused for is said behind its copy, but before the next one.
                let accepted = if self.world.has_quota {
                    before
                } else {
                    Some(number)
                };
                if let Some(accepted) = accepted {
                    ledger.settled(accepted, Outcome::Accepted);
                }
            }
            return false;
        }
        let Some(number) = self.world.read(self.user, self.connection, envelope) else {
            return false;
        };
        // Only the answer a server cannot take for another one proves something.
        if self.kind.pong() == Pong::Exact {
            self.up.lock().await.was_read(number);
        }
        if let Some(range) = self.kind.handling() {
            sleep(self.world.pace.pick(random, &range)).await;
        }
        self.world.ledger().handled(self.user, number);
        true
    }

    async fn answer(&self, payload: Vec<u8>, has_read: bool) -> Option<Closed> {
        let mut up = self.up.lock().await;
        let written = match self.kind.pong() {
            Pong::Exact => up.pong(payload).await,
            Pong::Empty => up.write(&Frame::Pong(Vec::new())).await,
            Pong::Prefixed => {
                let prefixed = [&[0, 0], payload.as_slice()].concat();
                up.write(&Frame::Pong(prefixed)).await
            }
            Pong::Never => Ok(()),
            Pong::Close if !has_read => up.pong(payload).await,
            Pong::Close => {
                up.write(&Frame::Close(1000)).await.ok();
                return Some(Closed::Own);
            }
        };
        written.is_err().then_some(Closed::Error)
    }

    async fn talk(&self, mut random: Random) -> Closed {
        if !self.kind.talks() {
            std::future::pending::<()>().await;
        }
        loop {
            sleep(self.world.think(&mut random)).await;
            let mut up = self.up.lock().await;
            let (number, message) = self.world.write(self.user, self.connection, &mut random);
            if up.send(number, message).await.is_err() {
                return Closed::Error;
            }
        }
    }

    async fn send_heartbeats(&self) -> Closed {
        let Some(every) = self.kind.heartbeat() else {
            return std::future::pending().await;
        };
        loop {
            sleep(self.world.pace.of(Duration::from_millis(every))).await;
            let empty = Frame::Pong(Vec::new());
            if self.up.lock().await.write(&empty).await.is_err() {
                return Closed::Error;
            }
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "{code}"),
            Self::Own => formatter.write_str("by the client"),
            Self::End => formatter.write_str("end of stream"),
            Self::Silent => formatter.write_str("given up as silent"),
            Self::Error => formatter.write_str("error"),
        }
    }
}
