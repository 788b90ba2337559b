//! The ways a client has to an endpoint, as one: text there and back, and what it is told.

use anyhow::{Context as _, ensure};
use tidewire::{
    mux::{self, Event, Gateway, LogicalSocket},
    ws::{Message, WebSocket, connect},
};

/// A message of the gateway.
#[derive(Debug)]
pub(super) enum Received {
    Text(String),
    /// The backend is lost. Only a mux client is told.
    Down,
    Up,
    /// The socket has ended, for this reason.
    Ended(String),
}

/// A client's socket to one endpoint.
pub(super) enum Channel {
    /// One of the logical sockets of a connection.
    Mux(LogicalSocket),
    /// A connection of SocketMaster's dialect, with the line before each message.
    Classic(WebSocket, String),
    /// A plain connection.
    Pinned(WebSocket),
}

/// The dialects, in the order of their figures.
pub(super) const DIALECTS: [&str; 3] = ["mux", "classic", "pinned"];

/// Where channels of one dialect come from.
#[derive(Clone)]
pub(super) enum Connector {
    /// A connection that carries them all.
    Mux(Gateway),
    /// A connection for each, at this URL.
    Classic(String),
    Pinned(String),
}

impl Connector {
    /// `dialect` counts as in [`DIALECTS`].
    pub(super) async fn new(dialect: usize, url: &str) -> anyhow::Result<Self> {
        Ok(match dialect {
            0 => Self::Mux(mux::connect(url).await?),
            1 => Self::Classic(url.to_owned()),
            _ => Self::Pinned(url.to_owned()),
        })
    }

    pub(super) async fn open(&self, endpoint: &str) -> anyhow::Result<Channel> {
        match self {
            Self::Mux(gateway) => Ok(Channel::Mux(gateway.endpoint(endpoint).await?)),
            Self::Classic(url) => classic(url, endpoint).await,
            Self::Pinned(url) => {
                let url = format!("{url}?ROUTENAME={endpoint}");
                Ok(Channel::Pinned(connect(&url).await?))
            }
        }
    }
}

impl Channel {
    /// Returns whether it is told when its backend is lost.
    pub(super) fn is_told(&self) -> bool {
        matches!(self, Self::Mux(_))
    }

    pub(super) async fn send(&mut self, text: &str) -> Result<(), String> {
        let text = text.to_owned();
        let sent = match self {
            Self::Mux(socket) => socket.send(text).await.map_err(|error| error.to_string()),
            Self::Classic(socket, line) => {
                let sent = socket.send(format!("{line}{text}")).await;
                sent.map_err(|error| error.to_string())
            }
            Self::Pinned(socket) => {
                let sent = socket.send(text).await;
                sent.map_err(|error| error.to_string())
            }
        };
        sent.map_err(|error| format!("not sent: {error}"))
    }

    /// The next thing it is told. Cancel safe.
    pub(super) async fn next(&mut self) -> Received {
        match self {
            Self::Mux(socket) => loop {
                return match socket.recv_any().await {
                    Ok(Some(Event::Message(message))) => text(&message, ""),
                    Ok(Some(Event::Down { .. })) => Received::Down,
                    Ok(Some(Event::Up)) => Received::Up,
                    Ok(Some(_)) => continue,
                    Ok(None) => Received::Ended(format!("closed with {:?}", socket.close_frame())),
                    Err(error) => Received::Ended(error.to_string()),
                };
            },
            Self::Classic(socket, line) => received(socket, line).await,
            Self::Pinned(socket) => received(socket, "").await,
        }
    }
}

async fn classic(url: &str, endpoint: &str) -> anyhow::Result<Channel> {
    let mut socket = connect(url).await?;
    let event = |data: &str| format!(r#"{{"event":"SMHandshake","data":"{data}"}}"#);
    for text in [event("SYN"), event("ACK"), event(endpoint)] {
        socket.send(text).await?;
    }
    socket.send(r#"{"event":"SMHandshakeEnd"}"#).await?;
    for expected in ["SYN/ACK", "ACK", "SMHandshakeEnd"] {
        let answer = socket.recv().await?.context("an answer")?;
        let answer = answer.as_text().unwrap_or_default();
        ensure!(answer.contains(expected), "{answer}, expected {expected}");
    }
    Ok(Channel::Classic(socket, format!("ROUTENAME={endpoint}\n")))
}

async fn received(socket: &mut WebSocket, line: &str) -> Received {
    match socket.recv().await {
        Ok(Some(message)) => text(&message, line),
        Ok(None) => Received::Ended(format!("closed with {:?}", socket.close_frame())),
        Err(error) => Received::Ended(error.to_string()),
    }
}

fn text(message: &Message, line: &str) -> Received {
    let text = message.as_text().unwrap_or_default();
    // What has not the line is an error object; it is nobody's echo then.
    Received::Text(text.strip_prefix(line).unwrap_or(text).to_owned())
}
