//! Deliveries to PostgreSQL.

use std::{error::Error as _, fmt, io, pin::Pin, sync::Arc};

use bytes::{BufMut as _, BytesMut};
use futures_util::future::join_all;
use tokio_postgres::{
    Client, Config,
    config::SslMode,
    tls::{ChannelBinding, TlsConnect, TlsStream},
    types::{Format, IsNull, ToSql, Type, to_sql_checked},
};

use super::{
    super::{
        access::TlsFiles,
        wire::{Pool, Task, Wire},
    },
    SqlSettings,
    statement::Dialect,
};
use crate::{Delivery, DeliveryError, Event, Fault, Target};

/// Writes events to PostgreSQL.
pub struct PostgresTarget {
    settings: SqlSettings,
    pool: Pool<Open>,
}

struct Open {
    client: Client,
    statement: tokio_postgres::Statement,
    /// Reads and writes.
    driver: Task,
}

impl PostgresTarget {
    pub(crate) fn new(settings: SqlSettings) -> Self {
        Self {
            pool: Pool::new(settings.connections),
            settings,
        }
    }

    async fn send(&self, events: &[Arc<Event>]) -> Result<(), DeliveryError> {
        let _permit = self.pool.permit().await;
        let kept = self
            .pool
            .take(|open| !open.driver.is_finished() && !open.client.is_closed());
        let mut open = match kept {
            Some(open) => open,
            None => self.connect().await?,
        };
        match self.insert(&mut open, events).await {
            Ok(()) => {
                self.pool.put(open);
                Ok(())
            }
            Err(error) => {
                if open.client.is_closed() {
                    self.pool.clear();
                }
                Err(explained(&error, events.len()))
            }
        }
    }

    /// One round trip for all, in a transaction.
    async fn insert(
        &self,
        open: &mut Open,
        events: &[Arc<Event>],
    ) -> Result<(), tokio_postgres::Error> {
        let transaction = open.client.transaction().await?;
        let rows = events.iter().map(|event| {
            let parameters = self.settings.statement.parameters.iter();
            let values: Vec<Text> = parameters
                .map(|parameter| Text(parameter.of(event, Dialect::Postgres)))
                .collect();
            let (transaction, statement) = (&transaction, &open.statement);
            async move {
                let values = values.iter().map(|value| value as &(dyn ToSql + Sync));
                transaction.execute_raw(statement, values).await
            }
        });
        // They are sent in their order, and the answers come in it: the first error is the one that counts.
        for result in join_all(rows).await {
            result?;
        }
        transaction.commit().await
    }

    async fn connect(&self) -> Result<Open, DeliveryError> {
        let settings = &self.settings;
        let unavailable = |error: io::Error| DeliveryError::unavailable(error.to_string());
        let wire = Wire::open(&settings.endpoint).await.map_err(unavailable)?;
        let mut config = Config::new();
        config
            .user(&settings.user)
            .dbname(&settings.database)
            .application_name("tidewire");
        if let Some(password) = &settings.password {
            config.password(password.expose());
        }
        config.ssl_mode(match settings.tls {
            Some(_) => SslMode::Require,
            None => SslMode::Disable,
        });
        let secure = Secure(settings.tls.clone());
        let connected = config.connect_raw(wire, secure).await;
        let (client, connection) = connected.map_err(|error| explained(&error, 1))?;
        let driver = Task::spawn(async move {
            // The client hears of its end.
            let (Ok(()) | Err(_)) = connection.await;
        });
        let prepared = client.prepare(&settings.statement.text).await;
        let statement = prepared.map_err(|error| explained(&error, 1))?;
        Ok(Open {
            client,
            statement,
            driver,
        })
    }
}

/// A value as text, which the server reads as whatever the statement has there.
#[derive(Debug)]
struct Text(Option<String>);

impl ToSql for Text {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.0 {
            Some(text) => {
                out.put_slice(text.as_bytes());
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// Tells the fault behind an error: the server or the events. Values are in its detail, which is left out.
fn explained(error: &tokio_postgres::Error, events: usize) -> DeliveryError {
    let Some(said) = error.as_db_error() else {
        let source = error.source().map(|source| format!(": {source}"));
        return DeliveryError::unavailable(format!("{error}{}", source.unwrap_or_default()));
    };
    let code = said.code().code();
    let reason = format!("PostgreSQL says {code}: {}", said.message());
    let fault = match code.get(..2) {
        // Data that a column does not take.
        Some("22") => Fault::Impossible,
        // A rule of the table, a deadlock.
        Some("23" | "40" | "P0") => Fault::Refused,
        _ => Fault::Unavailable,
    };
    match fault {
        Fault::Unavailable => DeliveryError::unavailable(reason),
        _ if events > 1 => DeliveryError::batch(reason),
        Fault::Impossible => DeliveryError::impossible(reason),
        Fault::Refused | Fault::Batch => DeliveryError::refused(reason),
    }
}

/// Begins TLS where it is configured.
struct Secure(Option<TlsFiles>);

impl TlsConnect<Wire> for Secure {
    type Stream = Wire;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

    fn connect(self, wire: Wire) -> Self::Future {
        Box::pin(async move {
            match self.0 {
                Some(tls) => wire.secured(&tls).await,
                None => Ok(wire),
            }
        })
    }
}

impl TlsStream for Wire {
    /// Without it SCRAM proves the password all the same.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl Target for PostgresTarget {
    fn deliver<'a>(&'a self, events: &'a [Arc<Event>]) -> Delivery<'a> {
        Box::pin(self.send(events))
    }
}

impl fmt::Debug for PostgresTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTarget")
            .field("endpoint", &self.settings.endpoint)
            .finish_non_exhaustive()
    }
}
