//! [`Peer`]: a user's WebSocket connection, and the envelopes on it.

use std::time::Duration;

use serde::Deserialize;
use tidewire::ws::{Client, CloseCode, ConnectError, Incoming, Message, RecvError, WebSocket};
use tokio::time::timeout;

use crate::server::Server;

/// A delivered message, as far as the tests look at it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) id: String,
    pub(crate) sender: u64,
    pub(crate) text: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// The text of a message a client writes.
pub(crate) fn message(sender: u64, recipients: &[u64], text: &str) -> String {
    format!(r#"{{"type":"text","sender":{sender},"recipients":{recipients:?},"text":"{text}"}}"#)
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) socket: WebSocket,
}

impl Peer {
    pub(crate) async fn connect(server: &Server, user: u64) -> Result<Self, ConnectError> {
        Self::connect_to(server.url("messaging"), user).await
    }

    pub(crate) async fn connect_to(messaging: &str, user: u64) -> Result<Self, ConnectError> {
        let socket = Client::new(&format!("{messaging}?id={user}"))?
            .connect()
            .await?;
        Ok(Self { socket })
    }

    /// The next envelope; `None` when the server has closed the connection.
    pub(crate) async fn next(&mut self) -> Result<Option<Envelope>, RecvError> {
        Ok(self.socket.recv().await?.map(|message| envelope(&message)))
    }

    /// The envelopes up to one with this text, which is expected to come.
    pub(crate) async fn until(&mut self, text: &str) -> Vec<Envelope> {
        let mut envelopes = Vec::new();
        loop {
            let next = self.next().await.expect("no failure");
            let envelope = next.unwrap_or_else(|| {
                panic!("closed before {text:?}: {:?}", self.socket.close_frame())
            });
            if envelope.text == text {
                return envelopes;
            }
            envelopes.push(envelope);
        }
    }

    /// Ends the connection when the last message has been confirmed to the server, that is when
    /// its ping behind that message has been answered.
    pub(crate) async fn confirm_and_close(mut self) {
        timeout(PING_GUARD, self.ping())
            .await
            .expect("a ping behind the last message");
        self.socket
            .close(CloseCode::NORMAL, "")
            .await
            .expect("a proper end");
    }

    async fn ping(&mut self) {
        loop {
            match self.socket.recv_any().await.expect("no failure") {
                Some(Incoming::Ping(_)) => return,
                Some(Incoming::Message(message)) => panic!("unexpected {message:?}"),
                Some(_) => {}
                None => panic!("closed: {:?}", self.socket.close_frame()),
            }
        }
    }
}

/// Below the 10 s after which the server looks at a connection in any case, and closes idle ones
/// of the REST API.
const PING_GUARD: Duration = Duration::from_secs(8);

pub(crate) fn envelope(message: &Message) -> Envelope {
    let text = message.as_text().expect("envelopes are texts");
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
