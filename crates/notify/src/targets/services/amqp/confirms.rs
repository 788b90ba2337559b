//! Answers of a server about messages, in order of their coming: confirms, refusals, returns, ends.

use amqprs::{
    Ack, BasicProperties, Cancel, Close, CloseChannel, Nack, Return,
    callbacks::{ChannelCallback, ConnectionCallback},
    channel::Channel,
    connection::Connection,
    error::Error,
};
use tokio::sync::mpsc::Sender;

/// An answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// This message, or all up to it, are stored.
    Taken { tag: u64, and_before: bool },
    /// They are not.
    Refused { tag: u64, and_before: bool },
    /// No queue gets the message with this id; the confirm comes all the same, later.
    Returned { id: String, reason: String },
    /// The channel or the connection is at its end.
    Ended { reason: String },
}

/// Passes answers on.
pub(super) struct Answers(pub(super) Sender<Answer>);

impl Answers {
    async fn tell(&self, answer: Answer) {
        // Nobody asks any more when a delivery was cut off.
        let (Ok(()) | Err(_)) = self.0.send(answer).await;
    }
}

#[async_trait::async_trait]
impl ChannelCallback for Answers {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), Error> {
        let reason = close.to_string();
        self.tell(Answer::Ended { reason }).await;
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), Error> {
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.tell(Answer::Taken {
            tag: ack.delivery_tag(),
            and_before: ack.mutiple(),
        })
        .await;
    }

    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        self.tell(Answer::Refused {
            tag: nack.delivery_tag(),
            and_before: nack.multiple(),
        })
        .await;
    }

    async fn publish_return(
        &mut self,
        _: &Channel,
        returned: Return,
        properties: BasicProperties,
        _: Vec<u8>,
    ) {
        let id = properties.message_id().cloned().unwrap_or_default();
        let reason = format!("{} {}", returned.reply_code(), returned.reply_text());
        self.tell(Answer::Returned { id, reason }).await;
    }
}

#[async_trait::async_trait]
impl ConnectionCallback for Answers {
    async fn close(&mut self, _: &Connection, close: Close) -> Result<(), Error> {
        let reason = close.to_string();
        self.tell(Answer::Ended { reason }).await;
        Ok(())
    }

    async fn blocked(&mut self, _: &Connection, reason: String) {
        let reason = format!("the server takes nothing for now: {reason}");
        self.tell(Answer::Ended { reason }).await;
    }

    async fn unblocked(&mut self, _: &Connection) {}

    async fn secret_updated(&mut self, _: &Connection) {}
}
