//! Choices that only the messaging server has.
//!
//! They are read from strings only: a derived enum would also take numbers and tables
//! from the configuration library and so accept `runtime = 1` in silence.

use serde::Deserialize;

/// How the server's threads share the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[non_exhaustive]
pub enum Runtime {
    /// `per-core`: an event loop per core; a connection stays where it was accepted.
    PerCore,
    /// `pool`: one pool whose threads steal work from each other.
    Pool,
}

impl TryFrom<String> for Runtime {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "per-core" => Ok(Self::PerCore),
            "pool" => Ok(Self::Pool),
            _ => Err("\"per-core\" or \"pool\""),
        }
    }
}

/// When a message to a classic client, which cannot acknowledge, counts as delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[non_exhaustive]
pub enum Confirm {
    /// `pong`: the client answered a ping that was sent behind the message.
    Pong,
    /// `written`: the message was handed to the operating system.
    Written,
}

impl TryFrom<String> for Confirm {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "pong" => Ok(Self::Pong),
            "written" => Ok(Self::Written),
            _ => Err("\"pong\" or \"written\""),
        }
    }
}
