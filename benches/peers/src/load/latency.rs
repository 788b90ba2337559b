//! How long one message takes there and back, when nothing else is under way.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    time::Instant,
};

use anyhow::Context as _;

use super::{
    Times,
    frames::Frames,
    socket::{self, Socket},
};
use crate::scenario::Kind;

/// What a round measured, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    /// Half of the echoes took at most so long.
    pub(crate) p50: f64,
    /// 99 of 100 took at most so long.
    pub(crate) p99: f64,
}

/// One round: one connection, one message of `size` bytes under way, blocking reads.
pub(crate) fn latency(address: SocketAddr, size: usize, times: Times) -> anyhow::Result<Latency> {
    let frames = Frames::new(size, Kind::Binary, 1);
    let mut socket = Socket::open_blocking(address, &socket::request("/"), None)?;
    socket.echo_once(&frames)?;
    let mut answer = vec![0; frames.server_len];
    let begin_at = Instant::now() + times.warm_up;
    let end_at = begin_at + times.measure;
    let mut micros = Vec::new();
    loop {
        let sent = Instant::now();
        socket.write_all(&frames.bytes[..frames.client_len])?;
        socket
            .read_exact(&mut answer)
            .context("no echo in time, or the end of the connection")?;
        let got = Instant::now();
        if sent >= begin_at {
            micros.push(got.duration_since(sent).as_secs_f64() * 1e6);
        }
        if got >= end_at {
            break;
        }
    }
    micros.sort_by(f64::total_cmp);
    let part = |hundredths: usize| {
        let index = micros.len() * hundredths / 100;
        micros.get(index).copied()
    };
    let (Some(p50), Some(p99)) = (part(50), part(99)) else {
        anyhow::bail!("no echo fell into the measurement; the machine is too busy");
    };
    Ok(Latency { p50, p99 })
}
