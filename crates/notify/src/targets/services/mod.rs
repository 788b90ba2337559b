//! Systems with a protocol of their own. Each is behind a cargo feature that brings its client; its table of keys is always
//! known, so that a configuration is checked alike in every build, and a build without the client says so.

mod access; // what their tables share
mod amqp; // RabbitMQ
mod nats; // NATS, JetStream
mod redis; // Redis
mod sql; // PostgreSQL, MySQL, MariaDB
#[cfg(feature = "tls")]
mod wire; // connections, and where they lie between deliveries

use std::sync::Arc;

use tidewire_config::{Checker, Rule};

#[cfg(feature = "amqp")]
pub use self::amqp::AmqpTarget;
#[cfg(feature = "nats")]
pub use self::nats::NatsTarget;
#[cfg(feature = "redis")]
pub use self::redis::RedisTarget;
#[cfg(feature = "sql")]
pub use self::sql::{MysqlTarget, PostgresTarget};
pub use self::{
    access::ServiceTlsConfig,
    amqp::AmqpConfig,
    nats::NatsConfig,
    redis::{RedisConfig, RedisMode},
    sql::{MysqlConfig, PostgresConfig},
};
use self::{amqp::AmqpSettings, nats::NatsSettings, redis::RedisSettings, sql::SqlSettings};
use crate::{Target, TargetConfig};

/// A checked target of such a type.
#[derive(Clone, Debug)]
pub(crate) enum Service {
    Redis(RedisSettings),
    Postgres(SqlSettings),
    Mysql(SqlSettings),
    Amqp(AmqpSettings),
    Nats(NatsSettings),
}

/// The names of their tables.
pub(crate) const TYPES: [&str; 5] = ["redis", "postgres", "mysql", "amqp", "nats"];

/// Tells which of the tables are there, in the order of [`TYPES`].
pub(crate) fn there(config: &TargetConfig) -> [bool; 5] {
    [
        config.redis.as_ref().is_some_and(|table| table.enabled),
        config.postgres.as_ref().is_some_and(|table| table.enabled),
        config.mysql.as_ref().is_some_and(|table| table.enabled),
        config.amqp.as_ref().is_some_and(|table| table.enabled),
        config.nats.as_ref().is_some_and(|table| table.enabled),
    ]
}

/// Checks the table of such a type. `None` when there is none, or something was noted.
pub(crate) fn check(check: &mut Checker<'_>, at: &str, config: &TargetConfig) -> Option<Service> {
    if let Some(table) = config.redis.as_ref().filter(|table| table.enabled) {
        let at = format!("{at}.redis");
        let settings = redis::check(check, &at, table)?;
        return built(check, &at, cfg!(feature = "redis"), "redis")
            .then(|| Service::Redis(settings));
    }
    if let Some(table) = config.postgres.as_ref().filter(|table| table.enabled) {
        let at = format!("{at}.postgres");
        let settings = sql::check_postgres(check, &at, table)?;
        return built(check, &at, cfg!(feature = "sql"), "sql")
            .then(|| Service::Postgres(settings));
    }
    if let Some(table) = config.mysql.as_ref().filter(|table| table.enabled) {
        let at = format!("{at}.mysql");
        let settings = sql::check_mysql(check, &at, table)?;
        return built(check, &at, cfg!(feature = "sql"), "sql").then(|| Service::Mysql(settings));
    }
    if let Some(table) = config.amqp.as_ref().filter(|table| table.enabled) {
        let at = format!("{at}.amqp");
        let settings = amqp::check(check, &at, table)?;
        return built(check, &at, cfg!(feature = "amqp"), "amqp").then(|| Service::Amqp(settings));
    }
    let table = config.nats.as_ref().filter(|table| table.enabled)?;
    let at = format!("{at}.nats");
    let settings = nats::check(check, &at, table)?;
    built(check, &at, cfg!(feature = "nats"), "nats").then(|| Service::Nats(settings))
}

/// Notes that this build has no client for a table. Returns whether it has.
fn built(check: &mut Checker<'_>, at: &str, is_built: bool, feature: &str) -> bool {
    if !is_built {
        let what =
            format!("cannot be used: this program was built without the feature \"{feature}\"");
        check.complain(at, Rule::Missing { what });
    }
    is_built
}

impl Service {
    /// The name of the type.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Redis(_) => "redis",
            Self::Postgres(_) => "postgres",
            Self::Mysql(_) => "mysql",
            Self::Amqp(_) => "amqp",
            Self::Nats(_) => "nats",
        }
    }

    /// Makes the target. Nothing is connected yet.
    pub(crate) fn make(&self) -> Arc<dyn Target> {
        match self {
            #[cfg(feature = "redis")]
            Self::Redis(settings) => Arc::new(RedisTarget::new(settings.clone())),
            #[cfg(feature = "sql")]
            Self::Postgres(settings) => Arc::new(PostgresTarget::new(settings.clone())),
            #[cfg(feature = "sql")]
            Self::Mysql(settings) => Arc::new(MysqlTarget::new(settings.clone())),
            #[cfg(feature = "amqp")]
            Self::Amqp(settings) => Arc::new(AmqpTarget::new(settings.clone())),
            #[cfg(feature = "nats")]
            Self::Nats(settings) => Arc::new(NatsTarget::new(settings.clone())),
            #[cfg(not(all(
                feature = "redis",
                feature = "sql",
                feature = "amqp",
                feature = "nats"
            )))]
            _ => unreachable!("a table of a client that was not built is refused"),
        }
    }
}
