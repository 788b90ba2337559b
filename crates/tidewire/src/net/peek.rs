//! Reads a preamble off a socket and not one byte more: what follows may be a TLS handshake,
//! which must find its first byte in the socket.

use std::io;

use tokio::io::AsyncReadExt as _;

use crate::socket::Socket;

/// Reads until `decide` finds something in the bytes that came so far, and takes exactly the
/// length it tells out of the socket. `decide` gets all bytes, at least one more each time;
/// while it gives `None` all of them must belong to what it looks for. It must bound them.
///
/// # Errors
/// What `decide` says, and those of the stream, its end included.
///
/// # Cancel safety
/// Not cancel safe: what was read is lost.
pub(crate) async fn take<T, E: From<io::Error>>(
    socket: &mut Socket,
    mut decide: impl FnMut(&[u8]) -> Result<Option<(T, usize)>, E>,
) -> Result<T, E> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 512];
    loop {
        // Looking leaves the bytes there, so the next look must not find them again: else a
        // peer that sends half a preamble would make this loop spin.
        let count = socket.peek(&mut chunk).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let before = bytes.len();
        bytes.extend_from_slice(&chunk[..count]);
        let found = decide(&bytes)?;
        let taken = found
            .as_ref()
            .map_or(count, |(_, len)| len.saturating_sub(before).min(count));
        socket.read_exact(&mut chunk[..taken]).await?;
        if let Some((value, _)) = found {
            return Ok(value);
        }
    }
}
