//! Resident memory of the server per idle connection.

use super::{Figure, Tls, frames::Frames, socket::Socket};
use crate::{child::Server, scenario::Kind};

/// Connections opened first: they pay for what is shared.
pub(crate) const FIRST: usize = 100;

/// Bytes of the echoed message.
const SIZE: usize = 1024;

/// One round.
pub(super) fn round(
    server: &Server,
    connections: usize,
    echoes: usize,
    tls: Option<&Tls>,
) -> anyhow::Result<Figure> {
    let frames = Frames::new(SIZE, Kind::Binary, 1);
    let mut open = Vec::with_capacity(FIRST + connections);
    for _ in 0..FIRST {
        open.push(connection(server, echoes, &frames, tls)?);
    }
    let before = server.resident()?;
    for _ in 0..connections {
        open.push(connection(server, echoes, &frames, tls)?);
    }
    let resident = server.resident()?;
    let grown = resident.saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let cost = grown as f64 / connections as f64;
    Ok(Figure {
        rate: 0.0,
        cost,
        busy: 0.0,
        resident,
    })
}

fn connection(
    server: &Server,
    echoes: usize,
    frames: &Frames,
    tls: Option<&Tls>,
) -> anyhow::Result<Socket> {
    let mut socket = Socket::open(server.address, "/", tls)?;
    for _ in 0..echoes {
        socket.echo_once(frames)?;
    }
    Ok(socket)
}
