//! The requests that pass [`Framing`], for fuzz targets: what hyper is given of a connection.

use bytes::Bytes;
use tidewire_proto::handshake::{HeadLimits, Refusal};

use super::framing::{Framing, FramingError, Step};

/// A request as it is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Its head, to the empty line.
    pub head: Bytes,
    /// So much of its body as has come, in the bytes of the connection (chunks are not decoded).
    pub body: Vec<u8>,
    /// That is all of it.
    pub is_whole: bool,
}

/// How it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassedEnd {
    /// All that came was taken, or waits for more.
    More,
    /// A head is refused.
    Refused(Refusal),
    /// A chunked body is malformed.
    MalformedBody,
}

/// Takes the bytes of a connection in pieces of `piece` bytes.
pub fn passed(input: &[u8], limits: HeadLimits, piece: usize) -> (Vec<Passed>, PassedEnd) {
    let mut framing = Framing::new(limits);
    let mut requests: Vec<Passed> = Vec::new();
    let (mut from, mut to) = (0, 0);
    loop {
        let step = framing.step(input.get(from..to).unwrap_or_default());
        match step {
            Ok(Step::Head { head, len }) => {
                from += len;
                requests.push(Passed {
                    head: head.as_bytes().clone(),
                    body: Vec::new(),
                    is_whole: !framing.is_in_body(),
                });
            }
            Ok(Step::Body(len)) => {
                let bytes = input.get(from..from + len).unwrap_or_default();
                if let Some(last) = requests.last_mut() {
                    last.body.extend_from_slice(bytes);
                    last.is_whole = !framing.is_in_body();
                }
                from += len;
            }
            Ok(Step::More) if to == input.len() => return (requests, PassedEnd::More),
            Ok(Step::More) => to = input.len().min(to.saturating_add(piece.max(1))),
            Err(FramingError::Head(refusal)) => return (requests, PassedEnd::Refused(refusal)),
            Err(FramingError::Body) => return (requests, PassedEnd::MalformedBody),
        }
    }
}
