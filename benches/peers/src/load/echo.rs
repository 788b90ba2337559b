//! Echo, closed loop: an answer lets the next message go.

use std::time::Duration;

use mio::{Events, Poll};

use super::{
    Figure, Stopwatch, Times, Tls,
    frames::Frames,
    socket::{Sender, Socket, drain},
};
use crate::child::Server;

/// Bytes of the read buffer all connections share.
pub(super) const READ_BUFFER: usize = 512 << 10;

/// Longest wait before the clock is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

struct Connection {
    socket: Socket,
    sender: Sender,
    /// Bytes of a server frame whose end has not come yet.
    partial: usize,
}

/// One round.
pub(super) fn round(
    server: &Server,
    connections: usize,
    in_flight: usize,
    frames: &Frames,
    times: Times,
    tls: Option<&Tls>,
) -> anyhow::Result<Figure> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_BUFFER];
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        let mut socket = frames.open(server.address, "/", tls)?;
        if number == 0 {
            socket.echo_once(frames)?;
        }
        socket.register(poll.registry(), number)?;
        open.push(Connection {
            socket,
            sender: Sender::new(),
            partial: 0,
        });
    }
    let mut stopwatch = Stopwatch::start(server, times);
    for connection in &mut open {
        let due = in_flight * frames.client_len;
        connection
            .sender
            .send(&mut connection.socket, &frames.bytes, due)?;
    }
    let mut count = 0;
    loop {
        poll.poll(&mut events, Some(LOOK_EVERY))?;
        for event in &events {
            let connection = &mut open[event.token().0];
            let mut answered = 0;
            if event.is_readable() {
                let bytes = connection.partial + drain(&mut connection.socket, &mut buffer)?;
                answered = bytes / frames.server_len;
                connection.partial = bytes % frames.server_len;
                count += answered as u64;
            }
            let due = answered * frames.client_len;
            connection
                .sender
                .send(&mut connection.socket, &frames.bytes, due)?;
        }
        if let Some(figure) = stopwatch.look(count)? {
            return Ok(figure);
        }
    }
}
