//! Deliveries to MySQL and MariaDB.

use std::{fmt, path::PathBuf, sync::Arc};

use mysql_async::{
    ClientIdentity, Conn, Error, Opts, OptsBuilder, Params, SslOpts, TxOpts, Value,
    prelude::Queryable as _,
};

use super::{
    super::{access::Endpoint, access::TlsFiles, wire::Pool},
    SqlSettings,
    statement::Dialect,
};
use crate::{Delivery, DeliveryError, Event, Fault, Target};

/// Writes events to MySQL or MariaDB.
pub struct MysqlTarget {
    settings: SqlSettings,
    options: Opts,
    pool: Pool<Conn>,
}

impl MysqlTarget {
    pub(crate) fn new(settings: SqlSettings) -> Self {
        Self {
            options: options(&settings),
            pool: Pool::new(settings.connections),
            settings,
        }
    }

    async fn send(&self, events: &[Arc<Event>]) -> Result<(), DeliveryError> {
        let _permit = self.pool.permit().await;
        let mut connection = match self.pool.take(|_| true) {
            Some(connection) => connection,
            None => Conn::new(self.options.clone())
                .await
                .map_err(|error| explained(&error, 1))?,
        };
        match self.insert(&mut connection, events).await {
            Ok(()) => {
                self.pool.put(connection);
                Ok(())
            }
            Err(error) => {
                if !matches!(error, Error::Server(_)) {
                    self.pool.clear();
                }
                Err(explained(&error, events.len()))
            }
        }
    }

    async fn insert(&self, connection: &mut Conn, events: &[Arc<Event>]) -> Result<(), Error> {
        let statement = &self.settings.statement;
        let mut transaction = connection.start_transaction(TxOpts::default()).await?;
        let prepared = transaction.prep(&*statement.text).await?;
        for event in events {
            let values = statement.parameters.iter().map(|parameter| {
                let value = parameter.of(event, Dialect::Mysql);
                value.map_or(Value::NULL, |text| Value::Bytes(text.into_bytes()))
            });
            let values = Params::Positional(values.collect());
            transaction.exec_drop(&prepared, values).await?;
        }
        transaction.commit().await
    }
}

fn options(settings: &SqlSettings) -> Opts {
    let password = settings.password.as_ref();
    let mut builder = OptsBuilder::default()
        .user(Some(settings.user.clone()))
        .pass(password.map(|password| password.expose().to_owned()))
        .db_name(Some(settings.database.clone()))
        // It would look for a socket of its own accord.
        .prefer_socket(false)
        // Rows that were there count as taken.
        .client_found_rows(true)
        .stmt_cache_size(4);
    builder = match &settings.endpoint {
        Endpoint::Tcp(host, port) => builder.ip_or_hostname(host.clone()).tcp_port(*port),
        Endpoint::Unix(path) => builder.socket(Some(path.clone())),
    };
    builder.ssl_opts(settings.tls.as_ref().map(ssl)).into()
}

fn ssl(tls: &TlsFiles) -> SslOpts {
    let mut ssl = SslOpts::default();
    if !tls.ca.is_empty() {
        ssl = ssl
            .with_disable_built_in_roots(true)
            .with_root_certs(vec![PathBuf::from(&tls.ca).into()]);
    }
    if !tls.certificate.is_empty() {
        let identity = ClientIdentity::new(
            PathBuf::from(&tls.certificate).into(),
            PathBuf::from(&tls.key).into(),
        );
        ssl = ssl.with_client_identity(Some(identity));
    }
    ssl.with_danger_tls_hostname_override(Some(tls.server_name.clone()))
}

/// Tells the fault behind an error: the server or the events.
fn explained(error: &Error, events: usize) -> DeliveryError {
    let Error::Server(said) = error else {
        return DeliveryError::unavailable(error.to_string());
    };
    let reason = format!(
        "MySQL says {} ({}): {}",
        said.code, said.state, said.message
    );
    let fault = match (said.code, said.state.get(..2)) {
        (TOO_LONG_FOR_THE_SERVER | WRONG_TEXT_FOR_COLUMN | WRONG_JSON, _) | (_, Some("22")) => {
            Fault::Impossible
        }
        (LOCK_WAIT, _) | (_, Some("23" | "40" | "45")) => Fault::Refused,
        _ => Fault::Unavailable,
    };
    match fault {
        Fault::Unavailable => DeliveryError::unavailable(reason),
        _ if events > 1 => DeliveryError::batch(reason),
        Fault::Impossible => DeliveryError::impossible(reason),
        Fault::Refused | Fault::Batch => DeliveryError::refused(reason),
    }
}

const TOO_LONG_FOR_THE_SERVER: u16 = 1153;
const LOCK_WAIT: u16 = 1205;
const WRONG_TEXT_FOR_COLUMN: u16 = 1366;
const WRONG_JSON: u16 = 3140;

impl Target for MysqlTarget {
    fn deliver<'a>(&'a self, events: &'a [Arc<Event>]) -> Delivery<'a> {
        Box::pin(self.send(events))
    }
}

impl fmt::Debug for MysqlTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlTarget")
            .field("endpoint", &self.settings.endpoint)
            .finish_non_exhaustive()
    }
}
