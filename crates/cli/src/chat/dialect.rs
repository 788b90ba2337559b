//! [`Dialect`]: what a typed line becomes on the wire, and a message on the screen.

use serde::{Deserialize, Serialize};
use tidewire::ws::Message;
use tidewire_hub::UserId;

/// How lines and messages translate.
#[derive(Clone, Debug)]
pub(super) enum Dialect {
    /// A line is a text message.
    Plain,
    /// A line is the text of an envelope of a messaging server.
    Envelope {
        /// Who we are.
        sender: UserId,
        /// Who is written to.
        recipient: UserId,
    },
}

impl Dialect {
    pub(super) fn message(&self, line: &str) -> Message {
        let text = match self {
            Self::Plain => line.to_owned(),
            Self::Envelope { sender, recipient } => serde_json::to_string(&Outgoing {
                kind: "text",
                sender,
                recipients: [recipient],
                text: line,
            })
            .expect("ids and texts are always JSON"),
        };
        Message::text(text)
    }

    /// Returns what to show of a message; `None` when it is not for people.
    pub(super) fn shown(&self, message: &Message) -> Option<String> {
        let Some(text) = message.as_text() else {
            return Some(format!(
                "({} bytes of binary data)",
                message.payload().len()
            ));
        };
        match self {
            Self::Plain => Some(text.to_owned()),
            Self::Envelope { .. } => match serde_json::from_str::<Incoming>(text) {
                Ok(incoming) => incoming.shown(),
                Err(_) => Some(text.to_owned()),
            },
        }
    }
}

#[derive(Serialize)]
struct Outgoing<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sender: &'a UserId,
    recipients: [&'a UserId; 1],
    text: &'a str,
}

#[derive(Deserialize)]
struct Incoming {
    #[serde(rename = "type")]
    kind: String,
    sender: UserId,
    #[serde(default)]
    text: String,
}

impl Incoming {
    fn shown(self) -> Option<String> {
        let Self { kind, sender, text } = self;
        match kind.as_str() {
            "text" => Some(format!("{sender}: {text}")),
            // A receipt: it has no words.
            "notification_received" => None,
            _ if text.is_empty() => Some(format!("{sender}: ({kind})")),
            _ => Some(format!("{sender}: ({kind}) {text}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Dialect {
        Dialect::Envelope {
            sender: UserId::from(1),
            recipient: "bøb".parse().expect("an id"),
        }
    }

    #[test]
    fn lines_become_messages() {
        let line = "say \"hi\"";
        assert_eq!(Dialect::Plain.message(line).as_text(), Some(line));
        assert_eq!(
            envelope().message(line).as_text(),
            Some(r#"{"type":"text","sender":1,"recipients":["bøb"],"text":"say \"hi\""}"#)
        );
    }

    #[test]
    fn envelopes_become_sender_and_text() {
        for (message, shown) in [
            (
                r#"{"data":null,"id":"x","recipients":[1],"sender":"bøb","text":"hi","type":"text"}"#,
                Some("bøb: hi"),
            ),
            (
                r#"{"sender":7,"text":"","type":"imageUrl","data":{}}"#,
                Some("7: (imageUrl)"),
            ),
            (
                r#"{"sender":0,"text":"full","type":"notification_refused"}"#,
                Some("0: (notification_refused) full"),
            ),
            (
                r#"{"sender":0,"text":"","type":"notification_received"}"#,
                None,
            ),
            ("no envelope", Some("no envelope")),
            ("{}", Some("{}")),
        ] {
            let message = Message::text(message.to_owned());
            assert_eq!(envelope().shown(&message).as_deref(), shown, "{message:?}");
            assert_eq!(Dialect::Plain.shown(&message).as_deref(), message.as_text());
        }
        let binary = Message::binary(vec![0, 1, 2]);
        assert_eq!(
            envelope().shown(&binary).as_deref(),
            Some("(3 bytes of binary data)")
        );
    }
}
