//! Broadcast, closed loop: a publication that has reached all receivers lets the next one go.

use mio::{Events, Poll};

use super::{
    Figure, Stopwatch, Times, Tls,
    echo::{LOOK_EVERY, READ_BUFFER},
    frames::Frames,
    socket::{Sender, Socket, drain},
};
use crate::child::Server;

struct Receiver {
    socket: Socket,
    /// Bytes of a frame whose end has not come yet.
    partial: usize,
    /// Publications it has.
    has: u64,
}

/// Which publications are still under way.
struct Window {
    /// Receivers that miss a publication, by its number modulo the length.
    missing: Vec<usize>,
    receivers: usize,
    /// Publications all receivers have.
    complete: u64,
}

impl Window {
    /// A receiver that had `before` publications has `after`.
    fn advance(&mut self, before: u64, after: u64) -> anyhow::Result<()> {
        let length = self.missing.len() as u64;
        for number in before..after {
            let missing = usize::try_from(number % length)?;
            anyhow::ensure!(self.missing[missing] > 0, "more came than was published");
            self.missing[missing] -= 1;
        }
        Ok(())
    }

    /// Retires publications all receivers have; gives how many.
    fn retire(&mut self) -> anyhow::Result<usize> {
        let length = self.missing.len() as u64;
        let mut retired = 0;
        while retired < self.missing.len() {
            let oldest = usize::try_from(self.complete % length)?;
            if self.missing[oldest] > 0 {
                break;
            }
            self.missing[oldest] = self.receivers;
            self.complete += 1;
            retired += 1;
        }
        Ok(retired)
    }
}

/// One round.
pub(super) fn round(
    server: &Server,
    receivers: usize,
    in_flight: usize,
    frames: &Frames,
    times: Times,
    tls: Option<&Tls>,
) -> anyhow::Result<Figure> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_BUFFER];
    let mut open = Vec::with_capacity(receivers);
    for number in 0..receivers {
        let mut socket = frames.open(server.address, "/broadcast", tls)?;
        socket.register(poll.registry(), number)?;
        open.push(Receiver {
            socket,
            partial: 0,
            has: 0,
        });
    }
    let mut publisher = frames.open(server.address, "/publish", tls)?;
    publisher.register(poll.registry(), receivers)?;
    let mut sender = Sender::new();
    let mut window = Window {
        missing: vec![receivers; in_flight],
        receivers,
        complete: 0,
    };
    // A handshake is answered before its task has joined the room: let every server settle.
    std::thread::park_timeout(LOOK_EVERY * 5);
    let mut stopwatch = Stopwatch::start(server, times);
    sender.send(&mut publisher, &frames.bytes, in_flight * frames.client_len)?;
    let mut deliveries = 0;
    loop {
        poll.poll(&mut events, Some(LOOK_EVERY))?;
        for event in &events {
            let number = event.token().0;
            let Some(receiver) = open.get_mut(number) else {
                sender.send(&mut publisher, &frames.bytes, 0)?;
                continue;
            };
            if !event.is_readable() {
                continue;
            }
            let bytes = receiver.partial + drain(&mut receiver.socket, &mut buffer)?;
            receiver.partial = bytes % frames.server_len;
            let came = (bytes / frames.server_len) as u64;
            window.advance(receiver.has, receiver.has + came)?;
            receiver.has += came;
            deliveries += came;
        }
        let retired = window.retire()?;
        if retired > 0 {
            sender.send(&mut publisher, &frames.bytes, retired * frames.client_len)?;
        }
        if let Some(figure) = stopwatch.look(deliveries)? {
            return Ok(figure);
        }
    }
}
