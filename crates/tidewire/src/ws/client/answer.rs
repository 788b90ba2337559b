//! The server's answer to a handshake, as it comes from the wire.
//!
//! In: a stream behind a request. Out: the head of the final answer, and the body of a refusal. Invariant: no more is kept
//! than [`AnswerLimits`] allow, and the caller's deadline ends everything.

use std::io;

use bytes::Bytes;
use tidewire_proto::handshake::{
    BodyDecoder, BodyProgress, HandshakeError, HeadError, HeadLimits, HeadScanner, ResponseHead,
    Url,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{Instant, timeout_at},
};

use super::OtherProtocol;
use crate::ws::{
    ConnectError,
    response::{BODY_BYTES_MAX, BODY_TIMEOUT},
};

/// Bounds of what a server may answer to the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnswerLimits {
    /// Bounds of the answer's head, those of interim answers (1xx) before it included. Default 16 KiB and 64 fields.
    pub head: HeadLimits,
    /// Most bytes of a refusal's body that are read, where the body is read at all. Default 64 KiB.
    pub body_bytes_max: usize,
}

impl Default for AnswerLimits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            body_bytes_max: 64 << 10,
        }
    }
}

/// Interim answers (1xx) that are passed over before the final one.
const INTERIM_MAX: usize = 8;

/// Reads the final answer's head and what came behind it.
pub(super) async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    limits: HeadLimits,
    url: &Url,
) -> Result<(ResponseHead, Vec<u8>), ConnectError> {
    let mut buffer = Vec::with_capacity(512);
    let mut limits = limits;
    for interim in 0..=INTERIM_MAX {
        let len = read_to_end_of_head(stream, &mut buffer, limits, url).await?;
        let leftover = buffer.split_off(len);
        let head =
            ResponseHead::parse(Bytes::from(buffer), limits).map_err(HandshakeError::from)?;
        //= rfc9110#15.2: a client MUST be able to parse interim answers, even if it expects none
        match head.status() {
            // Strict: whoever opens a WebSocket has nothing to say before, and somebody in between might take the
            // answer before for the final one.
            101 if interim > 0 => break,
            101 | ..100 | 200.. => return Ok((head, leftover)),
            100..200 => {}
        }
        limits.bytes_max = limits.bytes_max.saturating_sub(len);
        buffer = leftover;
    }
    Err(HandshakeError::from(HeadError::Malformed).into())
}

async fn read_to_end_of_head(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    limits: HeadLimits,
    url: &Url,
) -> Result<usize, ConnectError> {
    let mut scanner = HeadScanner::default();
    loop {
        if let Some(found) = OtherProtocol::instead_of_http(buffer) {
            return Err(found.at(url));
        }
        let found = scanner.scan_answer(buffer, limits);
        if let Some(len) = found.map_err(HandshakeError::from)? {
            return Ok(len);
        }
        let read = stream.read_buf(buffer).await.map_err(ConnectError::Lost)?;
        if read == 0 {
            let cut = if buffer.is_empty() {
                NO_ANSWER
            } else {
                CUT_ANSWER
            };
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, cut);
            return Err(ConnectError::Lost(error));
        }
    }
}

const NO_ANSWER: &str = "the server ended the connection without an answer: is it a WebSocket server, \
                         and does its port want TLS (wss://) or not (ws://)?";
const CUT_ANSWER: &str = "the server ended the connection within its answer";

/// Reads the beginning of a refusal's body, of which `read` was read already, and gives whether it is all. A body that
/// does not end, or not in time, is not worth losing the status for.
pub(super) async fn read_beginning(
    stream: &mut (impl AsyncRead + Unpin),
    head: &ResponseHead,
    read: &[u8],
    deadline: Instant,
) -> (Bytes, bool) {
    let mut decoder = BodyDecoder::beginning(head, BODY_BYTES_MAX);
    let mut progress = decoder.receive(read);
    let rest = async {
        let mut buffer = Vec::with_capacity(4096);
        while progress == Ok(BodyProgress::Incomplete) {
            buffer.clear();
            match stream.read_buf(&mut buffer).await {
                Ok(count) if count > 0 => progress = decoder.receive(&buffer),
                Ok(_) => return decoder.ends_with_stream(),
                Err(_lost) => return false,
            }
        }
        progress == Ok(BodyProgress::Complete)
    };
    let deadline = deadline.min(Instant::now() + BODY_TIMEOUT);
    let is_complete = timeout_at(deadline, rest).await.unwrap_or(false);
    (decoder.into_beginning(), is_complete)
}

/// Reads the body behind `head`, of which `read` was read already. `None`: it is too long, malformed, or cut off.
pub(super) async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    head: &ResponseHead,
    read: &[u8],
    bytes_max: usize,
) -> Option<Bytes> {
    let mut decoder = BodyDecoder::new(head, bytes_max);
    let mut progress = decoder.receive(read).ok()?;
    let mut buffer = Vec::with_capacity(4096);
    while progress == BodyProgress::Incomplete {
        buffer.clear();
        if stream.read_buf(&mut buffer).await.ok()? == 0 {
            break;
        }
        progress = decoder.receive(&buffer).ok()?;
    }
    decoder.end().ok()
}
