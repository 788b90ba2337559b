//! SQL databases: PostgreSQL, and MySQL with MariaDB. A batch is a transaction, and an event that comes again changes
//! nothing.

#[cfg(feature = "sql")]
mod mysql; // MySQL and MariaDB
#[cfg(feature = "sql")]
mod postgres; // PostgreSQL
mod statement; // named parameters

use tidewire_auth::Secret;
use tidewire_config::{Checker, Rule};
use tidewire_table::{OnceThere, table};

use self::statement::{Dialect, Statement};
#[cfg(feature = "sql")]
pub use self::{mysql::MysqlTarget, postgres::PostgresTarget};
use super::access::{self, Endpoint, Noted, ServiceTlsConfig, TlsFiles};

table! {
    /// A PostgreSQL database.
    pub struct PostgresConfig {
        /// Switches the table on.
        enabled: bool = true;
        /// Host name or address.
        address: String = "127.0.0.1".to_owned();
        /// Port.
        port: u16 = 5432, in 1..=65535;
        /// Path of a Unix socket, such as `"/run/postgresql/.s.PGSQL.5432"`, instead of `address` and `port`.
        unix_socket: String;
        /// Name of the database.
        database: String, example "\"tidewire\"";
        /// User.
        user: String, example "\"tidewire\"";
        /// Password, or a reference such as `"${env:PGPASSWORD}"`.
        password: String;
        /// Table that events go into, made as docs/events.md says. The server creates none.
        table: String = "tidewire_events".to_owned();
        /// A statement with named parameters instead of `table`, such as
        /// `"INSERT INTO audit (id, body) VALUES (:id, :event) ON CONFLICT DO NOTHING"`. It is run for every event, several in one transaction.
        statement: String;
        /// Connections at a time.
        connections: usize = 2, in 1..=64;
        tls: Option<ServiceTlsConfig> as OnceThere = None;
    }
}

table! {
    /// A MySQL or MariaDB database.
    pub struct MysqlConfig {
        /// Switches the table on.
        enabled: bool = true;
        /// Host name or address.
        address: String = "127.0.0.1".to_owned();
        /// Port.
        port: u16 = 3306, in 1..=65535;
        /// Path of a Unix socket, such as `"/run/mysqld/mysqld.sock"`, instead of `address` and `port`.
        unix_socket: String;
        /// Name of the database.
        database: String, example "\"tidewire\"";
        /// User.
        user: String, example "\"tidewire\"";
        /// Password, or a reference such as `"${env:MYSQL_PASSWORD}"`.
        password: String;
        /// Table that events go into, made as docs/events.md says. The server creates none.
        table: String = "tidewire_events".to_owned();
        /// A statement with named parameters instead of `table`, such as
        /// `"INSERT INTO audit (id, body) VALUES (:id, :event) ON DUPLICATE KEY UPDATE id = id"`. It is run for every event, several in one transaction.
        statement: String;
        /// Connections at a time.
        connections: usize = 2, in 1..=64;
        tls: Option<ServiceTlsConfig> as OnceThere = None;
    }
}

/// The checked settings of a target in a database.
#[derive(Clone, Debug)]
pub(crate) struct SqlSettings {
    pub(super) endpoint: Endpoint,
    pub(super) tls: Option<TlsFiles>,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) statement: Statement,
    pub(super) connections: usize,
}

/// Checks the table at `at`. `None` only when something was noted.
pub(crate) fn check_postgres(
    check: &mut Checker<'_>,
    at: &str,
    config: &PostgresConfig,
) -> Option<SqlSettings> {
    let (address, socket) = (&config.address, &config.unix_socket);
    let endpoint = access::endpoint(check, at, address, config.port, socket);
    let tls = access::tls(check, at, config.tls.as_ref(), address);
    let password = access::password(check, at, &config.password);
    let statement = statement(
        check,
        at,
        &config.table,
        &config.statement,
        Dialect::Postgres,
    );
    let is_filled = filled(check, at, &config.database, &config.user);
    is_filled.ok()?;
    Some(SqlSettings {
        endpoint: endpoint?,
        tls: tls.ok()?,
        database: config.database.clone(),
        user: config.user.clone(),
        password: password.ok()?,
        statement: statement?,
        connections: config.connections,
    })
}

/// Checks the table at `at`. `None` only when something was noted.
pub(crate) fn check_mysql(
    check: &mut Checker<'_>,
    at: &str,
    config: &MysqlConfig,
) -> Option<SqlSettings> {
    let (address, socket) = (&config.address, &config.unix_socket);
    let endpoint = access::endpoint(check, at, address, config.port, socket);
    let tls = access::tls(check, at, config.tls.as_ref(), address);
    let password = access::password(check, at, &config.password);
    let statement = statement(check, at, &config.table, &config.statement, Dialect::Mysql);
    let is_filled = filled(check, at, &config.database, &config.user);
    is_filled.ok()?;
    Some(SqlSettings {
        endpoint: endpoint?,
        tls: tls.ok()?,
        database: config.database.clone(),
        user: config.user.clone(),
        password: password.ok()?,
        statement: statement?,
        connections: config.connections,
    })
}

fn filled(check: &mut Checker<'_>, at: &str, database: &str, user: &str) -> Result<(), Noted> {
    let has_database = access::filled(
        check,
        &format!("{at}.database"),
        database,
        "the name of a database",
    );
    let has_user = access::filled(check, &format!("{at}.user"), user, "the name of a user");
    if has_database && has_user {
        Ok(())
    } else {
        Err(Noted)
    }
}

fn statement(
    check: &mut Checker<'_>,
    at: &str,
    table: &str,
    text: &str,
    dialect: Dialect,
) -> Option<Statement> {
    let (key, made) = if text.is_empty() {
        ("table", Statement::of_table(table, dialect))
    } else {
        ("statement", Statement::parse(text, dialect))
    };
    match made {
        Ok(statement) => Some(statement),
        Err(what) => {
            check.complain(&format!("{at}.{key}"), Rule::Missing { what });
            None
        }
    }
}
