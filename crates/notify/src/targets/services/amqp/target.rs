//! Deliveries to RabbitMQ: all messages of a batch are on their way at once, and each is taken once the server has confirmed
//! it.

use std::{fmt, sync::Arc};

use amqprs::{
    BasicProperties, DELIVERY_MODE_PERSISTENT, DELIVERY_MODE_TRANSIENT,
    channel::{BasicPublishArguments, Channel, ConfirmSelectArguments},
    connection::{Connection, OpenConnectionArguments},
    error::Error,
    tls::TlsAdaptor,
};
use tokio::{
    select,
    sync::mpsc::{Receiver, channel},
};
use tokio_rustls::TlsConnector;

use super::{
    super::wire::Pool,
    AmqpSettings, SHORT_TEXT_MAX,
    confirms::{Answer, Answers},
};
use crate::{Delivery, DeliveryError, Event, Target};

/// Publishes events to RabbitMQ.
pub struct AmqpTarget {
    settings: AmqpSettings,
    pool: Pool<Open>,
}

struct Open {
    // Dropped before the connection.
    channel: Channel,
    connection: Connection,
    answers: Receiver<Answer>,
    /// Number of the last message on the channel.
    tag: u64,
}

/// The fate of a message.
#[derive(Clone, Debug)]
enum Fate {
    Open,
    Taken,
    Refused(String),
}

impl AmqpTarget {
    pub(crate) fn new(settings: AmqpSettings) -> Self {
        Self {
            pool: Pool::new(settings.connections),
            settings,
        }
    }

    async fn send(&self, events: &[Arc<Event>]) -> Result<(), DeliveryError> {
        let _permit = self.pool.permit().await;
        let kept = self
            .pool
            .take(|open| open.channel.is_open() && open.connection.is_open());
        let mut open = match kept {
            Some(open) => open,
            None => self.connect().await?,
        };
        let first = open.tag + 1;
        let mut lost = None;
        for event in events {
            if let Err(error) = self.publish(&mut open, event).await {
                lost = Some(error);
                break;
            }
        }
        // The first one that cannot be sent ends the batch; those before it are on their way.
        let sent = usize::try_from(open.tag + 1 - first).unwrap_or(usize::MAX);
        let mut fates = vec![Fate::Open; sent];
        let confirmed = confirmed(&mut open, events, first, &mut fates).await;
        let taken = fates
            .iter()
            .take_while(|fate| matches!(fate, Fate::Taken))
            .count();
        confirmed.map_err(|error| error.behind(taken))?;
        self.pool.put(open);
        match fates.get(taken) {
            Some(Fate::Refused(reason)) => Err(DeliveryError::refused(reason).behind(taken)),
            Some(Fate::Taken | Fate::Open) | None => {
                lost.map_or(Ok(()), |error| Err(error.behind(taken)))
            }
        }
    }

    async fn publish(&self, open: &mut Open, event: &Event) -> Result<(), DeliveryError> {
        let settings = &self.settings;
        let routing_key = settings.routing_key.fill(event, '.');
        // The client panics at a longer one.
        if routing_key.len() > SHORT_TEXT_MAX {
            return Err(DeliveryError::impossible(
                "its routing key is longer than 255 bytes",
            ));
        }
        let mut properties = BasicProperties::default();
        properties
            .with_content_type("application/json")
            .with_message_id(&event.id())
            .with_message_type(event.kind)
            .with_timestamp(event.time_ms / 1000)
            .with_app_id("tidewire")
            .with_delivery_mode(if settings.persistent {
                DELIVERY_MODE_PERSISTENT
            } else {
                DELIVERY_MODE_TRANSIENT
            });
        let mut arguments = BasicPublishArguments::new(&settings.exchange, &routing_key);
        arguments.mandatory(settings.mandatory);
        let body = event.json.to_vec();
        let published = open
            .channel
            .basic_publish(properties, body, arguments)
            .await;
        published.map_err(|error| DeliveryError::unavailable(error.to_string()))?;
        open.tag += 1;
        Ok(())
    }

    async fn connect(&self) -> Result<Open, DeliveryError> {
        let settings = &self.settings;
        let password = settings.password.as_ref();
        let password = password.map_or("", |password| password.expose());
        let mut arguments = OpenConnectionArguments::new(
            &settings.address,
            settings.port,
            &settings.user,
            password,
        );
        arguments
            .virtual_host(&settings.virtual_host)
            .connection_name("tidewire");
        if let Some(tls) = &settings.tls {
            let config = tls.client().await;
            let config = config.map_err(|error| DeliveryError::unavailable(error.to_string()))?;
            let connector = TlsConnector::from(config);
            arguments.tls_adaptor(TlsAdaptor::new(connector, tls.server_name.clone()));
        }
        let connection = Connection::open(&arguments)
            .await
            .map_err(|error| not_opened(&error))?;
        let (answer, answers) = channel(ANSWERS_WAITING);
        let opened = async {
            connection
                .register_callback(Answers(answer.clone()))
                .await?;
            let channel = connection.open_channel(None).await?;
            channel.register_callback(Answers(answer)).await?;
            let select = ConfirmSelectArguments::new(false);
            channel.confirm_select(select).await?;
            Ok::<_, Error>(channel)
        };
        let channel = opened.await.map_err(|error| not_opened(&error))?;
        Ok(Open {
            channel,
            connection,
            answers,
            tag: 0,
        })
    }
}

/// Waits until every message has its fate.
async fn confirmed(
    open: &mut Open,
    events: &[Arc<Event>],
    first: u64,
    fates: &mut [Fate],
) -> Result<(), DeliveryError> {
    while fates.iter().any(|fate| matches!(fate, Fate::Open)) {
        let answer = select! {
            biased;
            answer = open.answers.recv() => answer,
            _ = open.connection.listen_network_io_failure() => None,
        };
        match answer {
            Some(Answer::Taken { tag, and_before }) => {
                decide(fates, first, tag, and_before, &Fate::Taken);
            }
            Some(Answer::Refused { tag, and_before }) => {
                let refused = Fate::Refused("the server has refused it (nack)".to_owned());
                decide(fates, first, tag, and_before, &refused);
            }
            Some(Answer::Returned { id, reason }) => {
                let index = events.iter().position(|event| event.id() == id);
                if let Some(fate) = index.and_then(|index| fates.get_mut(index)) {
                    *fate = Fate::Refused(format!("no queue gets it: {reason}"));
                }
            }
            Some(Answer::Ended { reason }) => return Err(DeliveryError::unavailable(reason)),
            None => {
                return Err(DeliveryError::unavailable(
                    "the connection to the server has ended",
                ));
            }
        }
    }
    Ok(())
}

/// Unless a return was there before, which counts.
fn decide(fates: &mut [Fate], first: u64, tag: u64, and_before: bool, answer: &Fate) {
    let Some(last) = tag.checked_sub(first) else {
        return;
    };
    let last = usize::try_from(last).unwrap_or(usize::MAX);
    for (index, fate) in fates.iter_mut().enumerate() {
        let is_meant = index == last || (and_before && index < last);
        if is_meant && matches!(fate, Fate::Open) {
            *fate = answer.clone();
        }
    }
}

/// RabbitMQ closes the connection of those whom it does not know without a word, unless the client has asked for one.
fn not_opened(error: &Error) -> DeliveryError {
    let mut reason = error.to_string();
    let ends = ["reset", "shutdown", "broken pipe", "closed"];
    let said = reason.to_lowercase();
    if matches!(error, Error::NetworkError(_)) && ends.iter().any(|end| said.contains(end)) {
        reason = format!(
            "the server has ended the connection while logging in, as it does when user, password or \
             virtual host are wrong: {reason}"
        );
    }
    DeliveryError::unavailable(reason)
}

impl Target for AmqpTarget {
    fn deliver<'a>(&'a self, events: &'a [Arc<Event>]) -> Delivery<'a> {
        Box::pin(self.send(events))
    }
}

impl fmt::Debug for AmqpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpTarget")
            .field("address", &self.settings.address)
            .finish_non_exhaustive()
    }
}

/// Beyond it the connection's tasks wait until the delivery has looked at what there is.
const ANSWERS_WAITING: usize = 1024;
