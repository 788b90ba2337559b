//! The exchange itself: what predecessor and successor say to each other, and how long they wait.

use std::{os::fd::OwnedFd, path::Path, time::Duration};

use rustix::net::sockopt::socket_acceptconn;
use tidewire::net::{Address, Listener};
use tokio::{net::UnixStream, time::timeout};

use super::{
    Bound, Program, READY_WITHIN, Role,
    wire::{self, Line, VERSION, Wire},
};
use crate::HandoverError;

/// How long the exchange of the sockets may take.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(10);

/// The process that runs, seen from the new one. Dropping it lets that process go on.
#[derive(Debug)]
pub struct Predecessor(Wire);

/// The process that ran, on its way out.
#[derive(Debug)]
pub struct Leaving(Wire);

/// A new process, seen from the one that runs.
#[derive(Debug)]
pub struct Successor(Wire);

async fn receive(wire: &mut Wire, program: Program) -> Result<Vec<Bound>, HandoverError> {
    let version = VERSION;
    wire.send(&Line::Hello { version, program }, &[]).await?;
    let mut bound: Vec<Bound> = Vec::new();
    loop {
        match wire.receive().await? {
            Line::Listener {
                role,
                address,
                sockets,
                owns_file,
            } => {
                let mut received = Vec::new();
                for _ in 0..sockets {
                    let socket = wire.descriptor();
                    received.push(socket.ok_or(HandoverError::Protocol("a socket is missing"))?);
                }
                let sockets: Result<Vec<_>, _> = received.into_iter().map(listening).collect();
                let unknown = |_| HandoverError::Protocol("an address cannot be read");
                let address = address.parse().map_err(unknown)?;
                add(&mut bound, role, address, sockets?, owns_file);
            }
            Line::End => return Ok(bound),
            Line::Refused { why } => return Err(HandoverError::Refused(why)),
            Line::Hello { .. } | Line::Ready | Line::Released | Line::Serving => {
                return Err(HandoverError::Protocol("expected listeners"));
            }
        }
    }
}

/// Sockets of one listener may come with several lines. Two listeners may be called alike (port 0), but
/// then they listen elsewhere.
fn add(
    bound: &mut Vec<Bound>,
    role: Role,
    configured: Address,
    sockets: Vec<Listener>,
    owns_file: bool,
) {
    let address = |sockets: &[Listener]| sockets.first().and_then(|it| it.local_addr().ok());
    if let Some(last) = bound.last_mut()
        && (last.role, &last.configured) == (role, &configured)
        && address(&last.sockets) == address(&sockets)
    {
        last.sockets.extend(sockets);
    } else {
        bound.push(Bound {
            role,
            configured,
            sockets,
            owns_file,
        });
    }
}

/// A descriptor that was received is what it is said to be.
fn listening(descriptor: OwnedFd) -> Result<Listener, HandoverError> {
    if !socket_acceptconn(&descriptor).unwrap_or(false) {
        return Err(HandoverError::Protocol("a descriptor is no listener"));
    }
    Listener::try_from(descriptor)
        .map_err(|_| HandoverError::Protocol("a listener is neither of TCP nor a Unix socket"))
}

impl Predecessor {
    /// Asks the process at the other end of `stream` for its sockets.
    pub(super) async fn ask(
        stream: UnixStream,
        program: Program,
    ) -> Result<(Self, Vec<Bound>), HandoverError> {
        check_peer(&stream)?;
        let mut wire = Wire::new(stream);
        let bound = timeout(EXCHANGE_WITHIN, receive(&mut wire, program)).await??;
        Ok((Self(wire), bound))
    }

    /// We are ready: waits until the predecessor has let go, for at most `within`. That it has died
    /// meanwhile is no error.
    ///
    /// # Errors
    /// [`HandoverError`]: it goes on.
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have let go, and notices that we have gone.
    pub async fn ready(mut self, path: &Path, within: Duration) -> Result<Leaving, HandoverError> {
        let told = timeout(within, async {
            self.0.send(&Line::Ready, &[]).await?;
            self.0.receive().await
        })
        .await;
        match told {
            Ok(Ok(Line::Released)) => Ok(Leaving(self.0)),
            Ok(Ok(_)) => Err(HandoverError::Protocol("expected a release")),
            // It has given us up, or died.
            Ok(Err(_)) | Err(_) => match UnixStream::connect(path).await {
                Ok(_alive) => Err(HandoverError::NotReleased),
                Err(_) => Ok(Leaving(self.0)),
            },
        }
    }
}

impl Leaving {
    /// Tells it that we serve, so that it need not come back. That it is gone already is fine.
    pub async fn serving(&mut self) {
        if let Err(error) = self.0.send(&Line::Serving, &[]).await {
            tracing::debug!(%error, "the predecessor is gone already");
        }
    }

    /// Waits until it has ended.
    pub async fn ended(mut self) {
        while self.0.receive().await.is_ok() {}
    }
}

impl Successor {
    pub(super) fn new(stream: UnixStream) -> Result<Self, HandoverError> {
        check_peer(&stream)?;
        Ok(Self(Wire::new(stream)))
    }

    /// The number of its process, where the system tells it and we can see it.
    pub fn pid(&self) -> Option<u32> {
        let pid = self.0.peer_cred().ok()?.pid()?;
        u32::try_from(pid).ok().filter(|pid| *pid != 0)
    }

    /// Gives it the sockets, and waits until it is ready.
    ///
    /// # Errors
    /// [`HandoverError`]; then nothing has changed.
    ///
    /// # Cancel safety
    /// Cancel safe: the successor has to end.
    pub async fn give(&mut self, program: Program, bound: &[Bound]) -> Result<(), HandoverError> {
        timeout(EXCHANGE_WITHIN, self.exchange(program, bound)).await??;
        match timeout(READY_WITHIN, self.0.receive()).await?? {
            Line::Ready => Ok(()),
            Line::Hello { .. }
            | Line::Refused { .. }
            | Line::Listener { .. }
            | Line::End
            | Line::Released
            | Line::Serving => Err(HandoverError::Protocol("expected word that it is ready")),
        }
    }

    async fn exchange(&mut self, ours: Program, bound: &[Bound]) -> Result<(), HandoverError> {
        match self.0.receive().await? {
            Line::Hello {
                version: VERSION,
                program,
            } if program == ours => {}
            Line::Hello { program, .. } if program != ours => {
                let why = "it is another program".to_owned();
                self.0.send(&Line::Refused { why }, &[]).await?;
                return Err(HandoverError::Protocol("it is another program"));
            }
            Line::Hello { version, .. } => {
                let why = format!("expected version {VERSION}, found {version}");
                self.0.send(&Line::Refused { why }, &[]).await?;
                return Err(HandoverError::Protocol("it speaks another version"));
            }
            Line::Refused { .. }
            | Line::Listener { .. }
            | Line::End
            | Line::Ready
            | Line::Released
            | Line::Serving => return Err(HandoverError::Protocol("expected its version")),
        }
        for bound in bound {
            for sockets in bound.sockets.chunks(wire::ATTACHED_MAX) {
                let line = Line::Listener {
                    role: bound.role,
                    address: bound.configured.to_string(),
                    sockets: sockets.len(),
                    owns_file: bound.owns_file,
                };
                self.0.send(&line, sockets).await?;
            }
        }
        self.0.send(&Line::End, &[]).await?;
        Ok(())
    }

    /// The sockets are its own from now on. It waits until this is dropped to do what two processes cannot
    /// do at a time.
    pub async fn release(&mut self) {
        if let Err(error) = self.0.send(&Line::Released, &[]).await {
            tracing::warn!(%error, "the successor was not told that it is alone now");
        }
    }

    /// Waits until it serves; an error when it ends before.
    ///
    /// # Errors
    /// [`HandoverError`]: it will not serve.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn serving(&mut self) -> Result<(), HandoverError> {
        match self.0.receive().await? {
            Line::Serving => Ok(()),
            Line::Hello { .. }
            | Line::Refused { .. }
            | Line::Listener { .. }
            | Line::End
            | Line::Ready
            | Line::Released => Err(HandoverError::Protocol("expected word that it serves")),
        }
    }
}

/// Only our own user and root may have the sockets, or give us some.
fn check_peer(stream: &UnixStream) -> Result<(), HandoverError> {
    let peer = stream.peer_cred()?.uid();
    if peer == 0 || peer == our_user() {
        return Ok(());
    }
    Err(HandoverError::Stranger(peer))
}

pub(super) fn our_user() -> u32 {
    rustix::process::geteuid().as_raw()
}
