//! What an implementation makes of a stream, in a form that can be compared and printed:
//! `text:HEX,ping:HEX,…` and how it ended.

use std::{fmt, sync::Arc, time::Instant};

use tidewire_fuzz::{Seen, receive_all};
use tidewire_proto::{Config, Connection, Kind, MaskKeys, Role};

use crate::cases::{Case, hex};

/// How a stream ended for its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// More bytes might follow.
    More,
    /// A close frame came; it is the last event.
    Close,
    /// A rule was broken; which, as far as the implementation tells.
    Reject(String),
}

/// Events and end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transcript {
    pub(crate) events: Vec<String>,
    pub(crate) end: End,
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = if self.events.is_empty() {
            "-".to_owned()
        } else {
            self.events.join(",")
        };
        match &self.end {
            End::More => write!(f, "{events} more"),
            End::Close => write!(f, "{events} close"),
            End::Reject(why) => write!(f, "{events} reject:{why}"),
        }
    }
}

struct FixedKeys;

impl MaskKeys for FixedKeys {
    fn next_key(&mut self) -> [u8; 4] {
        [1, 2, 3, 4]
    }
}

impl Transcript {
    /// What the core sees.
    pub(crate) fn of_core(case: &Case) -> Self {
        let config = Arc::new(Config::default());
        let now = Instant::now();
        let mut connection = match case.receiver {
            Role::Server => Connection::server(config, now),
            Role::Client => Connection::client(config, Box::new(FixedKeys), now),
        };
        let mut events = Vec::new();
        let mut end = End::More;
        for seen in receive_all(&mut connection, &case.stream, &[]) {
            match seen {
                Seen::Message(Kind::Text, bytes) => events.push(format!("text:{}", hex(&bytes))),
                Seen::Message(Kind::Binary, bytes) => {
                    events.push(format!("binary:{}", hex(&bytes)));
                }
                Seen::Ping(bytes) => events.push(format!("ping:{}", hex(&bytes))),
                Seen::Pong(bytes) => events.push(format!("pong:{}", hex(&bytes))),
                Seen::Close(None) => {
                    events.push("close:-:-".to_owned());
                    end = End::Close;
                }
                Seen::Close(Some((code, reason))) => {
                    events.push(format!("close:{code}:{}", hex(reason.as_bytes())));
                    end = End::Close;
                }
                Seen::Error(error) => {
                    let name = format!("{error:?}");
                    let end_of_name = name.find([' ', '(']).unwrap_or(name.len());
                    end = End::Reject(name[..end_of_name].to_owned());
                }
            }
        }
        Self { events, end }
    }

    /// What is different, in words that the table of known differences uses. `compare.py` has
    /// the same rules.
    pub(crate) fn difference(&self, theirs: &Self) -> Option<String> {
        let common = self.events.len().min(theirs.events.len());
        let same_start = self.events[..common] == theirs.events[..common];
        let ours = match &self.end {
            End::More => "more",
            End::Close => "close",
            End::Reject(why) => why,
        };
        // The first event of ours that is not theirs.
        let first = (0..self.events.len()).find(|&at| theirs.events.get(at) != self.events.get(at));
        let mut words = first.map_or("", |at| &self.events[at]).split(':');
        let close_code = words
            .next()
            .filter(|word| *word == "close")
            .and(words.next());
        if !same_start {
            return Some(match close_code {
                Some(code) => format!("close {code}: other events"),
                None => format!("{ours}: other events"),
            });
        }
        let (less, more) = (
            theirs.events.len() < self.events.len(),
            theirs.events.len() > self.events.len(),
        );
        match (&self.end, &theirs.end) {
            (_, End::Reject(_)) if less => Some(match close_code {
                Some(code) => format!("close {code}: rejects"),
                None => format!("{ours}: rejects earlier"),
            }),
            _ if less => Some(format!("{ours}: sees less")),
            (End::Reject(_), End::Reject(_)) if !more => None,
            (End::Reject(_), End::More) if !more => Some(format!("{ours}: waits")),
            (End::Reject(_), _) => Some(format!("{ours}: accepts")),
            _ if more => Some(format!("{ours}: sees more")),
            (_, End::Reject(_)) => Some(format!("{ours}: rejects")),
            (ours_end, theirs_end) if ours_end == theirs_end => None,
            _ => Some(format!("{ours}: other end")),
        }
    }
}
