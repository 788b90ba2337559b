//! Deliveries to Redis. What Redis has replied to is taken; a batch goes in one round trip, as a whole or not at all.

use std::{fmt, sync::Arc};

use redis::{
    ErrorKind, Pipeline, RedisConnectionInfo, RedisError, ServerErrorKind,
    aio::MultiplexedConnection, pipe,
};

use super::{
    super::wire::{Pool, Task, Wire},
    RedisMode, RedisSettings,
};
use crate::{Delivery, DeliveryError, Event, EventFormat, Target};

/// Passes events on to Redis.
pub struct RedisTarget {
    settings: RedisSettings,
    pool: Pool<Open>,
}

struct Open {
    connection: MultiplexedConnection,
    /// Reads and writes.
    driver: Task,
}

impl RedisTarget {
    pub(crate) fn new(settings: RedisSettings) -> Self {
        Self {
            pool: Pool::new(settings.connections),
            settings,
        }
    }

    async fn send(&self, events: &[Arc<Event>]) -> Result<(), DeliveryError> {
        let values: Vec<_> = events
            .iter()
            .filter_map(|event| self.value(event))
            .collect();
        if values.is_empty() {
            return Ok(());
        }
        let _permit = self.pool.permit().await;
        let kept = self.pool.take(|open| !open.driver.is_finished());
        let mut open = match kept {
            Some(open) => open,
            None => self.connect().await?,
        };
        let sent = self
            .commands(&values)
            .exec_async(&mut open.connection)
            .await;
        match sent {
            Ok(()) => {
                self.pool.put(open);
                Ok(())
            }
            Err(error) => {
                self.pool.clear();
                Err(explained(&error))
            }
        }
    }

    /// What is written of an event, if anything is.
    fn value<'a>(&self, event: &'a Event) -> Option<(&'a Event, &'a [u8])> {
        let value = match self.settings.format {
            EventFormat::Events => &event.json,
            EventFormat::Classic => event.classic()?,
        };
        Some((event, value))
    }

    fn commands(&self, events: &[(&Event, &[u8])]) -> Pipeline {
        let name = &self.settings.name;
        let mut pipe = pipe();
        match self.settings.mode {
            RedisMode::Queue => {
                pipe.cmd("RPUSH").arg(name);
                for (_event, value) in events {
                    pipe.arg(*value);
                }
            }
            RedisMode::Channel => {
                pipe.atomic();
                for (_event, value) in events {
                    pipe.cmd("PUBLISH").arg(name).arg(*value);
                }
            }
            RedisMode::Stream => {
                pipe.atomic();
                for (event, value) in events {
                    pipe.cmd("XADD").arg(name);
                    if self.settings.stream_length_max > 0 {
                        let length = self.settings.stream_length_max;
                        pipe.arg("MAXLEN").arg("~").arg(length);
                    }
                    pipe.arg("*").arg("id").arg(event.id());
                    pipe.arg("kind").arg(event.kind);
                    pipe.arg("user").arg(&*event.user);
                    pipe.arg("event").arg(*value);
                }
            }
        }
        pipe
    }

    async fn connect(&self) -> Result<Open, DeliveryError> {
        let settings = &self.settings;
        let wire = Wire::open_with(&settings.endpoint, settings.tls.as_ref()).await;
        let wire = wire.map_err(|error| DeliveryError::unavailable(error.to_string()))?;
        let mut info = RedisConnectionInfo::default()
            .set_db(settings.database)
            .set_skip_set_lib_name();
        if !settings.user.is_empty() {
            info = info.set_username(&settings.user);
        }
        if let Some(password) = &settings.password {
            info = info.set_password(password.expose());
        }
        let config = redis::AsyncConnectionConfig::new()
            // The worker's limit is the one that counts.
            .set_response_timeout(None)
            .set_connection_timeout(None);
        let made = MultiplexedConnection::new_with_config(&info, wire, config).await;
        let (connection, driver) = made.map_err(|error| explained(&error))?;
        Ok(Open {
            connection,
            driver: Task::spawn(driver),
        })
    }
}

/// Only what a command itself is refused for says something about an event; everything else is about the server: no
/// memory, a replica, no permission, another type under this name.
fn explained(error: &RedisError) -> DeliveryError {
    let code = error.code().unwrap_or_default();
    if error.kind() == ErrorKind::AuthenticationFailed || matches!(code, "NOAUTH" | "WRONGPASS") {
        return DeliveryError::unavailable(format!(
            "Redis refuses user or password: {}",
            error.detail().unwrap_or(code)
        ));
    }
    let said = error.detail().unwrap_or_default();
    let is_too_long = error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
        && said.contains("maximum allowed size");
    if is_too_long {
        return DeliveryError::impossible(error.to_string());
    }
    DeliveryError::unavailable(error.to_string())
}

impl Target for RedisTarget {
    fn deliver<'a>(&'a self, events: &'a [Arc<Event>]) -> Delivery<'a> {
        Box::pin(self.send(events))
    }
}

impl fmt::Debug for RedisTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTarget")
            .field("endpoint", &self.settings.endpoint)
            .finish_non_exhaustive()
    }
}
