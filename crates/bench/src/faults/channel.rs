//! The ways a client has to an endpoint, as one: text there and back, and what it is told.

use anyhow::{Context as _, ensure};
use tidewire::{
    gateway::{Event, LogicalSocket},
    ws::{Message, WebSocket, connect},
};

/// What comes from the gateway.
#[derive(Debug)]
pub(super) enum Told {
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

impl Channel {
    pub(super) async fn classic(url: &str, endpoint: &str) -> anyhow::Result<Self> {
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
        Ok(Self::Classic(socket, format!("ROUTENAME={endpoint}\n")))
    }

    pub(super) async fn pinned(url: &str, endpoint: &str) -> anyhow::Result<Self> {
        let url = format!("{url}?ROUTENAME={endpoint}");
        Ok(Self::Pinned(connect(&url).await?))
    }

    /// Whether it is told when its backend is lost.
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
    pub(super) async fn next(&mut self) -> Told {
        match self {
            Self::Mux(socket) => loop {
                return match socket.recv_any().await {
                    Ok(Some(Event::Message(message))) => text(&message, ""),
                    Ok(Some(Event::Down { .. })) => Told::Down,
                    Ok(Some(Event::Up)) => Told::Up,
                    Ok(Some(_)) => continue,
                    Ok(None) => Told::Ended(format!("closed with {:?}", socket.close_frame())),
                    Err(error) => Told::Ended(error.to_string()),
                };
            },
            Self::Classic(socket, line) => received(socket, line).await,
            Self::Pinned(socket) => received(socket, "").await,
        }
    }
}

async fn received(socket: &mut WebSocket, line: &str) -> Told {
    match socket.recv().await {
        Ok(Some(message)) => text(&message, line),
        Ok(None) => Told::Ended(format!("closed with {:?}", socket.close_frame())),
        Err(error) => Told::Ended(error.to_string()),
    }
}

fn text(message: &Message, line: &str) -> Told {
    let text = message.as_text().unwrap_or_default();
    // What has not the line is an error object; it is nobody's echo then.
    Told::Text(text.strip_prefix(line).unwrap_or(text).to_owned())
}
