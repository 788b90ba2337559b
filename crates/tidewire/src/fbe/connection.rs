//! [`Connection`]: the client's end, shared by all tasks that use it.

use std::{sync::Arc, time::Duration};

use tidewire_proto::fbe::{Id, Message, MessageRef};

use super::{
    RequestError, SendError, Sender, SessionError,
    requests::{Requests, ask, within},
};

/// A server's answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// Bytes of the request's text.
    pub length: u32,
    /// A hash of the request's text; which one is up to the server.
    pub hash: u32,
}

/// A connection to a server. All functions may be called by several tasks at once; requests do not wait for one another.
/// A wish of the server to disconnect closes it. Dropping it closes it behind what is queued, and resets the requests
/// that wait.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    requests: Arc<Requests>,
    request_timeout: Option<Duration>,
}

impl Connection {
    pub(super) fn new(
        sender: Sender,
        requests: Arc<Requests>,
        request_timeout: Option<Duration>,
    ) -> Self {
        Self {
            sender,
            requests,
            request_timeout,
        }
    }

    /// Sends a request and waits for its answer, as long as
    /// [`Client::request_timeout`](super::Client::request_timeout) says.
    ///
    /// # Errors
    /// [`RequestError`].
    ///
    /// # Cancel safety
    /// When dropped, the answer is not waited for; the request may have been sent.
    pub async fn request(&self, message: &str) -> Result<Response, RequestError> {
        self.request_timeout(message, self.request_timeout).await
    }

    /// As [`request`](Self::request), with a time limit of its own; `None` waits as long as the connection lasts. The
    /// limit counts from the call, so the wait for room in a full queue is in it.
    ///
    /// # Errors
    /// [`RequestError`].
    ///
    /// # Cancel safety
    /// As [`request`](Self::request).
    pub async fn request_timeout(
        &self,
        message: &str,
        limit: impl Into<Option<Duration>>,
    ) -> Result<Response, RequestError> {
        within(limit.into(), ask(&self.requests, &self.sender, message)).await
    }

    /// Sends a notification; waits while the queue is full.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued.
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn notify(&self, notification: &str) -> Result<(), SendError> {
        self.sender.send(MessageRef::Notify { notification }).await
    }

    /// The next message that is no answer to a request, usually a notification; `None` when the connection has ended
    /// and none is left.
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost when the future is dropped.
    pub async fn recv(&self) -> Option<Message> {
        self.requests.next().await
    }

    /// Returns how many messages were dropped because they were not [received](Self::recv) in time.
    pub fn missed(&self) -> u64 {
        self.requests.missed()
    }

    /// Asks the server to disconnect, and closes the connection when the wish has been sent.
    ///
    /// # Errors
    /// [`SendError`]: the connection had ended.
    ///
    /// # Cancel safety
    /// When dropped, the connection is closed behind what is queued.
    pub async fn disconnect(self) -> Result<(), SendError> {
        self.ask_to_disconnect().await
    }

    pub(crate) async fn ask_to_disconnect(&self) -> Result<(), SendError> {
        let id = Id::from_random(crate::entropy::random());
        self.sender.send(MessageRef::Disconnect { id }).await?;
        self.sender.flush().await
    }

    /// Waits for the end of the connection.
    ///
    /// # Errors
    /// [`SessionError`]: it ended otherwise than by a proper end of either side.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn closed(&self) -> Result<(), SessionError> {
        self.requests.ended().await
    }

    /// A handle to send any message from other tasks and threads.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Returns whether something can still be sent.
    pub fn is_open(&self) -> bool {
        self.sender.is_open()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.sender.close();
    }
}
