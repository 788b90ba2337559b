//! TCP connections, plain and with TLS, for threads: every call may have a time limit.
//!
//! ```no_run
//! use std::time::Duration;
//! use tidewire::{blocking, tcp::Client};
//!
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let connection = blocking::tcp::connect(&Client::new("127.0.0.1:7"))?;
//! connection.send_timeout("hello", Duration::from_secs(1))?;
//! println!("{:?}", connection.recv_timeout(Duration::from_secs(1))?);
//! connection.close()?;
//! # Ok(()) }
//! ```
//!
//! Nothing is received before it is asked for: a peer that sends more than the system's buffers hold is slowed down.
//! Several threads may share a connection; one receives while others send: who receives writes for all others.

use std::{future::pending, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{Mutex, MutexGuard, watch},
    time::timeout,
};

use super::runtime::wait;
use crate::{
    net::Peer,
    tcp::{self, Client, ConnectError, RecvError, SendError, Sender},
};

/// Connects; blocks for at most [`Client::connect_timeout`].
///
/// # Errors
/// [`ConnectError`].
pub fn connect(client: &Client) -> Result<Connection, ConnectError> {
    let client = client.clone();
    let connected =
        wait(async move { client.connect().await }).map_err(ConnectError::Runtime)??;
    Ok(Connection::new(connected))
}

/// Nothing was received.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Nothing has come in time.
    #[error("nothing has come so far")]
    Nothing,
    /// The connection is over.
    #[error(transparent)]
    Ended(#[from] RecvError),
}

/// One connection, for threads. Dropping it loses what is queued; [`close`](Self::close) ends it properly.
#[derive(Debug)]
pub struct Connection {
    driver: Arc<Driver>,
    sender: Sender,
}

/// The connection, for the call that waits for its stream. Invariant: who only writes does not keep it from who
/// receives, since the peer may send before it takes more.
#[derive(Debug)]
struct Driver {
    /// Held by the call that waits for the stream, which writes for all others.
    connection: Mutex<tcp::Connection>,
    /// Calls that wait for the connection to receive.
    receivers: watch::Sender<usize>,
}

/// A call that waits to receive.
struct Receiver<'a>(&'a watch::Sender<usize>);

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Driver {
    /// The connection, for who receives.
    async fn receive(&self) -> MutexGuard<'_, tcp::Connection> {
        self.receivers.send_modify(|count| *count += 1);
        let _waiting = Receiver(&self.receivers);
        self.connection.lock().await
    }

    /// Waits until somebody waits to receive. Whoever lets the connection go then is behind that call in the line.
    async fn is_awaited(&self) {
        let mut receivers = self.receivers.subscribe();
        // It fails without the sender, which is here.
        receivers.wait_for(|count| *count > 0).await.ok();
    }

    /// Writes what is queued; ready when the connection has ended.
    async fn write(&self) {
        loop {
            let mut connection = self.connection.lock().await;
            tokio::select! {
                biased;
                () = connection.drive() => return,
                () = self.is_awaited() => {}
            }
        }
    }

    /// Ends our direction behind what is queued.
    async fn finish_sending(&self) -> Result<(), RecvError> {
        loop {
            let mut connection = self.connection.lock().await;
            tokio::select! {
                biased;
                finished = connection.finish_sending() => return finished,
                () = self.is_awaited() => {}
            }
        }
    }
}

impl Connection {
    fn new(connection: tcp::Connection) -> Self {
        Self {
            sender: connection.sender(),
            driver: Arc::new(Driver {
                connection: Mutex::new(connection),
                receivers: watch::Sender::new(0),
            }),
        }
    }

    /// The next bytes, all that have come; blocks until there are some. `None` once the peer has sent its last.
    ///
    /// # Errors
    /// [`RecvError`]; the connection is over, later calls return it again.
    pub fn recv(&self) -> Result<Option<Bytes>, RecvError> {
        let driver = Arc::clone(&self.driver);
        ended(wait(async move { driver.receive().await.recv().await }))
    }

    /// As [`recv`](Self::recv); blocks for at most `limit`.
    ///
    /// # Errors
    /// [`ReceiveError::Nothing`] when nothing came in this time; otherwise as [`recv`](Self::recv).
    pub fn recv_timeout(&self, limit: Duration) -> Result<Option<Bytes>, ReceiveError> {
        let driver = Arc::clone(&self.driver);
        let received = wait(async move {
            // Given up, it has taken nothing.
            timeout(limit, async { driver.receive().await.recv().await }).await
        });
        match received {
            Ok(Ok(received)) => Ok(received?),
            Ok(Err(_elapsed)) => Err(ReceiveError::Nothing),
            Err(_panicked) => Err(RecvError::Aborted.into()),
        }
    }

    /// As [`tcp::Connection::recv_exact`], blocking.
    ///
    /// # Errors
    /// As [`tcp::Connection::recv_exact`].
    pub fn recv_exact(&self, len: usize) -> Result<Option<Bytes>, RecvError> {
        let driver = Arc::clone(&self.driver);
        ended(wait(
            async move { driver.receive().await.recv_exact(len).await },
        ))
    }

    /// Sends bytes; blocks until they have been given to the system.
    ///
    /// # Errors
    /// [`SendError::Closed`]: the connection is over.
    pub fn send(&self, bytes: impl Into<Bytes>) -> Result<(), SendError> {
        let (sender, bytes) = (self.sender.clone(), bytes.into());
        self.drive(async move {
            sender.send(bytes).await?;
            sender.flush().await
        })
    }

    /// As [`send`](Self::send); blocks for at most `limit`.
    ///
    /// # Errors
    /// [`SendError::TimedOut`]: the bytes may be queued, and then still go out with whatever is sent or received next.
    /// [`SendError::Closed`].
    pub fn send_timeout(&self, bytes: impl Into<Bytes>, limit: Duration) -> Result<(), SendError> {
        let (sender, bytes) = (self.sender.clone(), bytes.into());
        self.drive(async move {
            let sent = timeout(limit, async {
                sender.send(bytes).await?;
                sender.flush().await
            });
            sent.await.unwrap_or(Err(SendError::TimedOut))
        })
    }

    /// Waits for `what`, and writes for it if nobody else does.
    fn drive(
        &self,
        what: impl Future<Output = Result<(), SendError>> + Send + 'static,
    ) -> Result<(), SendError> {
        let driver = Arc::clone(&self.driver);
        let driven = wait(async move {
            let writing = async {
                driver.write().await;
                pending::<()>().await; // what has failed is told to `what`
            };
            tokio::select! {
                biased;
                done = what => done,
                () = writing => Err(SendError::Closed),
            }
        });
        driven.unwrap_or(Err(SendError::Closed))
    }

    /// Ends our direction behind what is queued (half close): the peer reads the end, and may go on sending. Blocks
    /// until that is done, and while another thread receives.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn finish_sending(&self) -> Result<(), RecvError> {
        let driver = Arc::clone(&self.driver);
        ended(wait(async move { driver.finish_sending().await }))
    }

    /// Ends the connection: sends what is queued, ends our direction, and waits for the end of the peer's, at most for
    /// [`close_timeout`](tcp::Config::close_timeout). A thread that receives is told of the end.
    ///
    /// # Errors
    /// [`RecvError`], when what was queued could not be sent.
    pub fn close(self) -> Result<(), RecvError> {
        self.sender.close();
        let driver = self.driver;
        ended(wait(async move {
            let mut connection = driver.connection.lock().await;
            connection.finish().await
        }))
    }

    /// A handle to send by without blocking, from anywhere: what it queues is written by the calls of this connection.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Who is at the other end, and what the TLS handshake told.
    pub fn peer(&self) -> &Peer {
        self.sender.peer()
    }

    /// Our address of the connection.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.sender.local_addr()
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.sender.queued()
    }

    /// Bytes given to the system on this connection.
    pub fn bytes_sent(&self) -> u64 {
        self.sender.bytes_sent()
    }

    /// Bytes received on this connection.
    pub fn bytes_received(&self) -> u64 {
        self.sender.bytes_received()
    }

    /// Returns whether bytes can still be sent.
    pub fn is_open(&self) -> bool {
        self.sender.is_open()
    }
}

/// A task that panicked has aborted the connection.
fn ended<T>(waited: io::Result<Result<T, RecvError>>) -> Result<T, RecvError> {
    waited.unwrap_or(Err(RecvError::Aborted))
}
