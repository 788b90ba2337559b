//! The protocol between two processes: a JSON object per line, some with sockets attached.
//!
//! In: lines, whole or in parts, and descriptors. Out: the same, parsed. Invariants: nobody can make us hold
//! more than a line and [`HELD_MAX`] descriptors; descriptors that nobody has asked for are closed.
//!
//! ```text
//! successor                       predecessor
//!    hello {version, program} →
//!                             ←   listener {role, address, sockets} + descriptors, again and again
//!                             ←   end
//!    ready                    →                    (a gateway: it serves)
//!                             ←   released         (it is alone now)
//!    serving                  →                    (a server: its store is open)
//!                             ←   end of the connection (all that the predecessor ran has ended)
//! ```

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use serde::{Deserialize, Serialize};
use tidewire::net::Listener;
use tokio::{io::Interest, net::UnixStream};

use super::{Program, Role};

/// What we speak.
pub(super) const VERSION: u32 = 1;

/// Most descriptors with a line; the system's own limit is 253.
pub(super) const ATTACHED_MAX: usize = 64;

/// Most descriptors that wait to be asked for.
const HELD_MAX: usize = 4096;

/// Longest line, bytes.
const LINE_MAX: usize = 1024;

/// What is said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    /// The successor wants the sockets.
    Hello {
        version: u32,
        #[serde(default, skip_serializing_if = "is_gateway")]
        program: Program,
    },
    /// It gets none.
    Refused { why: String },
    /// So many sockets are attached, which listen at the address that the settings call this.
    Listener {
        role: Role,
        address: String,
        sockets: usize,
        /// The file of a Unix socket goes with it.
        #[serde(default, skip_serializing_if = "is_false")]
        owns_file: bool,
    },
    /// These were all.
    End,
    /// The successor serves.
    Ready,
    /// The predecessor accepts nothing more.
    Released,
    /// The successor serves; of a server only, which is ready before.
    Serving,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_gateway(it: &Program) -> bool {
    *it == Program::Gateway
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(it: &bool) -> bool {
    !it
}

/// A connection between two processes.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    buffer: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Wire {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            descriptors: VecDeque::new(),
        }
    }

    /// Who is at the other end.
    pub(super) fn peer_cred(&self) -> io::Result<tokio::net::unix::UCred> {
        self.stream.peer_cred()
    }

    /// Sends a line, with descriptors of which the receiver gets copies.
    pub(super) async fn send(&mut self, line: &Line, attached: &[Listener]) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        let mut attached: Vec<BorrowedFd<'_>> = attached.iter().map(AsFd::as_fd).collect();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let send = || send_some(&self.stream, rest, &attached);
            let sent = self.stream.async_io(Interest::WRITABLE, send).await?;
            rest = rest.get(sent..).unwrap_or_default();
            attached.clear(); // they went with the first byte
        }
        Ok(())
    }

    /// The next line. What is attached to it is [there](Self::descriptor) then.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn receive(&mut self) -> io::Result<Line> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(serde_json::from_slice(&line)?);
            }
            if self.buffer.len() >= LINE_MAX {
                return Err(invalid("a line is too long"));
            }
            let mut chunk = [0; LINE_MAX];
            let (stream, descriptors) = (&self.stream, &mut self.descriptors);
            let receive = || receive_some(stream, &mut chunk, descriptors);
            let received = stream.async_io(Interest::READABLE, receive).await?;
            if received == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer
                .extend_from_slice(chunk.get(..received).unwrap_or_default());
        }
    }

    /// The next descriptor that was attached.
    pub(super) fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }
}

fn send_some(stream: &UnixStream, bytes: &[u8], attached: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(ATTACHED_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !attached.is_empty() && !control.push(SendAncillaryMessage::ScmRights(attached)) {
        return Err(invalid("too many descriptors for a line"));
    }
    // A broken pipe is an error, not a signal: programs in Rust ignore that.
    let flags = SendFlags::empty();
    Ok(sendmsg(
        stream,
        &[IoSlice::new(bytes)],
        &mut control,
        flags,
    )?)
}

fn receive_some(
    stream: &UnixStream,
    bytes: &mut [u8],
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(ATTACHED_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // No process that is started later gets them.
    #[cfg(not(target_vendor = "apple"))]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(target_vendor = "apple")]
    let flags = RecvFlags::empty();
    let received = recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(attached) = message {
            descriptors.extend(attached);
        }
    }
    #[cfg(target_vendor = "apple")]
    for descriptor in &*descriptors {
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?;
    }
    if received.flags.contains(ReturnFlags::CTRUNC) || descriptors.len() > HELD_MAX {
        return Err(invalid("more descriptors than expected"));
    }
    Ok(received.bytes)
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn lines_arrive_with_their_sockets_however_they_are_cut() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut left, mut right) = (Wire::new(left), Wire::new(right));
        let sockets: Vec<_> = (0..ATTACHED_MAX)
            .map(|_| Listener::from(TcpListener::bind("127.0.0.1:0").unwrap()))
            .collect();
        for sockets in [&sockets[..], &sockets[..1]] {
            let line = Line::Listener {
                role: Role::Clients,
                address: sockets[0].local_addr().unwrap().to_string(),
                sockets: sockets.len(),
                owns_file: false,
            };
            left.send(&line, sockets).await.unwrap();
        }
        left.stream.write_all(b"\"rea").await.unwrap();
        for expected in [&sockets[..], &sockets[..1]] {
            let Line::Listener { sockets, .. } = right.receive().await.unwrap() else {
                panic!("a listener")
            };
            assert_eq!(sockets, expected.len());
            for expected in expected {
                let socket = Listener::try_from(right.descriptor().unwrap()).unwrap();
                assert_eq!(socket.local_addr().unwrap(), expected.local_addr().unwrap());
            }
        }
        assert!(right.descriptor().is_none());
        left.stream.write_all(b"dy\"\n").await.unwrap();
        assert!(matches!(right.receive().await.unwrap(), Line::Ready));
        drop(left);
        let gone = right.receive().await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn garbage_and_endless_lines_are_errors() {
        for bytes in [
            vec![b'x'; 1 << 16],
            b"{\"ready\":1,\n".to_vec(),
            b"\n".to_vec(),
        ] {
            let (mut left, right) = UnixStream::pair().unwrap();
            let mut right = Wire::new(right);
            let write = tokio::spawn(async move { left.write_all(&bytes).await });
            assert!(right.receive().await.is_err());
            drop(right);
            drop(write.await.unwrap());
        }
    }
}
