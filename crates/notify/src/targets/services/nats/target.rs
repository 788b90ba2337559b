//! Deliveries to NATS.
//!
//! JetStream answers every event. NATS by itself answers none: the connection sends itself a message behind a batch, and when that
//! is back the server has read the batch. A client that has lost its connection is let go, since it would send later what
//! has come another way meanwhile.

use std::{fmt, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectOptions, Event as Notice, Subscriber,
    jetstream::{
        self,
        context::{PublishError, PublishErrorKind},
        message::PublishMessage,
    },
};
use futures_util::StreamExt as _;
use tokio::{select, sync::watch};

use super::{super::wire::Pool, NatsSettings};
use crate::{Delivery, DeliveryError, Event, Target};

/// Publishes events to NATS.
pub struct NatsTarget {
    settings: NatsSettings,
    pool: Pool<Open>,
}

struct Open {
    client: Client,
    /// Its last word about the connection as a whole, once something is wrong.
    trouble: watch::Receiver<Option<String>>,
    /// Gets what the connection sends itself.
    echo: Option<Subscriber>,
    context: jetstream::Context,
}

impl NatsTarget {
    pub(crate) fn new(settings: NatsSettings) -> Self {
        Self {
            pool: Pool::new(settings.connections),
            settings,
        }
    }

    async fn send(&self, events: &[Arc<Event>]) -> Result<(), DeliveryError> {
        let _permit = self.pool.permit().await;
        let mut open = match self.pool.take(|_| true) {
            Some(open) => open,
            None => self.connect().await?,
        };
        let mut trouble = open.trouble.clone();
        select! {
            biased;
            // Also what has come since the last delivery.
            said = trouble.wait_for(Option::is_some) => {
                let said = said.ok().and_then(|said| said.clone());
                return Err(DeliveryError::unavailable(said.unwrap_or_else(|| ENDED.to_owned())));
            }
            published = self.publish(&mut open, events) => published?,
        }
        self.pool.put(open);
        Ok(())
    }

    async fn publish(&self, open: &mut Open, events: &[Arc<Event>]) -> Result<(), DeliveryError> {
        match &mut open.echo {
            Some(echo) => self.publish_plain(&open.client, echo, events).await,
            None => self.publish_stored(&open.context, events).await,
        }
    }

    async fn publish_stored(
        &self,
        context: &jetstream::Context,
        events: &[Arc<Event>],
    ) -> Result<(), DeliveryError> {
        let mut answers = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let message = PublishMessage::build()
                .message_id(event.id())
                .payload(event.json.clone());
            let subject = self.settings.subject.fill(event, '.');
            match context.send_publish(subject, message).await {
                Ok(answer) => answers.push(answer),
                // What is before it may be refused too, and is told first.
                Err(error) => {
                    self.answered(answers).await?;
                    return Err(self.explained(&error).behind(index));
                }
            }
        }
        self.answered(answers).await
    }

    async fn answered(
        &self,
        answers: Vec<jetstream::context::PublishAckFuture>,
    ) -> Result<(), DeliveryError> {
        for (index, answer) in answers.into_iter().enumerate() {
            if let Err(error) = answer.await {
                return Err(self.explained(&error).behind(index));
            }
        }
        Ok(())
    }

    async fn publish_plain(
        &self,
        client: &Client,
        echo: &mut Subscriber,
        events: &[Arc<Event>],
    ) -> Result<(), DeliveryError> {
        for (index, event) in events.iter().enumerate() {
            let subject = self.settings.subject.fill(event, '.');
            let published = client.publish(subject, event.json.clone()).await;
            if let Err(error) = published {
                let is_too_long = event.json.len() > client.max_payload();
                let error = if is_too_long {
                    DeliveryError::impossible(error.to_string())
                } else {
                    DeliveryError::unavailable(error.to_string())
                };
                return Err(error.behind(index));
            }
        }
        let subject = inbox(client);
        let sent = client.publish(subject, bytes::Bytes::new()).await;
        sent.map_err(|error| DeliveryError::unavailable(error.to_string()))?;
        match echo.next().await {
            Some(_) => Ok(()),
            None => Err(DeliveryError::unavailable(ENDED)),
        }
    }

    fn explained(&self, error: &PublishError) -> DeliveryError {
        let source = std::error::Error::source(error);
        let reason = match source {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => DeliveryError::impossible(reason),
            PublishErrorKind::StreamNotFound => {
                let reason = "no stream of JetStream takes the subject";
                if self.settings.subject.is_fixed() {
                    DeliveryError::unavailable(reason)
                } else {
                    DeliveryError::refused(reason)
                }
            }
            PublishErrorKind::WrongLastMessageId
            | PublishErrorKind::WrongLastSequence
            | PublishErrorKind::TimedOut
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::MaxAckPending
            | PublishErrorKind::Other => DeliveryError::unavailable(reason),
        }
    }

    async fn connect(&self) -> Result<Open, DeliveryError> {
        let settings = &self.settings;
        let (notify, trouble) = watch::channel(None);
        let mut options = ConnectOptions::new()
            .name("tidewire")
            .connection_timeout(CONNECT_WITHIN)
            .ignore_discovered_servers()
            .reconnect_delay_callback(|_| Duration::ZERO)
            // Each once, for the first connection.
            .max_reconnects(settings.servers.len())
            .event_callback(move |notice| {
                if let Some(text) = trouble_of(&notice) {
                    notify.send_if_modified(|said| {
                        let is_first = said.is_none();
                        said.get_or_insert(text);
                        is_first
                    });
                }
                std::future::ready(())
            });
        if let Some(token) = &settings.token {
            options = options.token(token.expose().to_owned());
        } else if !settings.user.is_empty() {
            let password = settings.password.as_ref();
            let password = password.map_or("", |password| password.expose());
            options = options.user_and_password(settings.user.clone(), password.to_owned());
        }
        if let Some(tls) = &settings.tls {
            let config = tls.client().await;
            let config = config.map_err(|error| DeliveryError::unavailable(error.to_string()))?;
            options = options
                .require_tls(true)
                .tls_client_config(rustls::ClientConfig::clone(&config));
        }
        let connected = options.connect(settings.servers.clone()).await;
        let client = connected.map_err(|error| {
            let source = std::error::Error::source(&error);
            let source = source.map(|source| format!(": {source}"));
            DeliveryError::unavailable(format!("NATS: {error}{}", source.unwrap_or_default()))
        })?;
        let echo = if settings.jetstream {
            None
        } else {
            let subscribed = client.subscribe(inbox(&client)).await;
            let subscribed =
                subscribed.map_err(|error| DeliveryError::unavailable(error.to_string()))?;
            Some(subscribed)
        };
        Ok(Open {
            context: jetstream::context::ContextBuilder::new()
                // The worker's limit is the one that counts.
                .timeout(Duration::from_hours(1))
                .max_ack_inflight(ACKS_AT_A_TIME)
                .build(client.clone()),
            client,
            trouble,
            echo,
        })
    }
}

/// One subject per connection.
fn inbox(client: &Client) -> String {
    format!("_INBOX.tidewire.{}", client.server_info().client_id)
}

/// Text for what concerns the connection as a whole.
fn trouble_of(notice: &Notice) -> Option<String> {
    match notice {
        Notice::Connected | Notice::SlowConsumer(_) | Notice::LameDuckMode | Notice::Draining => {
            None
        }
        Notice::Disconnected | Notice::Closed => Some(ENDED.to_owned()),
        Notice::ServerError(error) => Some(format!("NATS: {error}")),
        Notice::ClientError(error) => Some(format!("NATS: {error}")),
    }
}

impl Target for NatsTarget {
    fn deliver<'a>(&'a self, events: &'a [Arc<Event>]) -> Delivery<'a> {
        Box::pin(self.send(events))
    }
}

impl fmt::Debug for NatsTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsTarget")
            .field("servers", &self.settings.servers)
            .finish_non_exhaustive()
    }
}

const ENDED: &str = "the connection to NATS has ended";
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// As many as a batch may have.
const ACKS_AT_A_TIME: usize = 10_000;
