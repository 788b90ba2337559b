//! Statements with named parameters: `INSERT INTO events VALUES (:id, :event)`.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::Event;

/// A statement with places for what an event has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// With the places as the server names them.
    pub(crate) text: String,
    /// The parameters that stand there, in this order.
    pub(crate) parameters: Vec<Parameter>,
}

/// A member of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    Id,
    Kind,
    Time,
    TimeMs,
    User,
    Sequence,
    Type,
    Sender,
    Recipients,
    MessageId,
    Message,
    Session,
    Code,
    Reason,
    Event,
}

/// Whose form places have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `$1`; a parameter that comes twice has one number.
    Postgres,
    /// `?`.
    Mysql,
}

impl Statement {
    /// Reads a statement; the error is what is wrong with it.
    pub(crate) fn parse(text: &str, dialect: Dialect) -> Result<Self, String> {
        let mut statement = Self {
            text: String::with_capacity(text.len()),
            parameters: Vec::new(),
        };
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let skipped = skipped(rest, dialect);
            if skipped > 0 {
                let (literal, behind) = rest.split_at(skipped);
                statement.text.push_str(literal);
                rest = behind;
                continue;
            }
            let behind = rest.get(first.len_utf8()..).unwrap_or_default();
            if first != ':' {
                statement.text.push(first);
                rest = behind;
                continue;
            }
            let length = behind
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(behind.len());
            let (name, behind) = behind.split_at(length);
            if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                // An assignment, a slice.
                statement.text.push(':');
                statement.text.push_str(name);
                rest = behind;
                continue;
            }
            let parameter = PARAMETERS.iter().find(|(known, _)| *known == name);
            let Some((_, parameter)) = parameter else {
                return Err(format!("there is no parameter :{name}"));
            };
            statement.push(*parameter, dialect);
            rest = behind;
        }
        if statement.parameters.is_empty() {
            return Err("it has no parameter".to_owned());
        }
        Ok(statement)
    }

    fn push(&mut self, parameter: Parameter, dialect: Dialect) {
        match dialect {
            Dialect::Mysql => {
                self.text.push('?');
                self.parameters.push(parameter);
            }
            Dialect::Postgres => {
                let mut known = self.parameters.iter();
                let index = known.position(|known| *known == parameter);
                let index = index.unwrap_or_else(|| {
                    self.parameters.push(parameter);
                    self.parameters.len() - 1
                });
                let written = write!(self.text, "${}", index + 1);
                debug_assert!(written.is_ok(), "a string takes everything");
            }
        }
    }

    /// The statement that fills a table as docs/events.md creates it, and leaves a row that is there alone.
    pub(crate) fn of_table(table: &str, dialect: Dialect) -> Result<Self, String> {
        let is_name =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !table.split('.').all(is_name) || table.split('.').count() > 2 {
            return Err("expected a name, or schema.name, of letters, digits and _".to_owned());
        }
        let (quote, unless_there) = match dialect {
            Dialect::Postgres => ('"', "ON CONFLICT (id) DO NOTHING"),
            Dialect::Mysql => ('`', "ON DUPLICATE KEY UPDATE id = id"),
        };
        let table: Vec<String> = table
            .split('.')
            .map(|part| format!("{quote}{part}{quote}"))
            .collect();
        let text = format!(
            "INSERT INTO {} (id, kind, time, user_id, sequence, event) \
             VALUES (:id, :kind, :time, :user, :sequence, :event) {unless_there}",
            table.join(".")
        );
        Self::parse(&text, dialect)
    }
}

impl Parameter {
    /// The value as text; `None` = NULL.
    pub(crate) fn of(self, event: &Event, dialect: Dialect) -> Option<String> {
        let content = &event.content;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::Id => Some(event.id()),
            Self::Kind => Some(event.kind.to_owned()),
            Self::Time => Some(match dialect {
                Dialect::Postgres => event.time(),
                Dialect::Mysql => without_zone(event.time_ms),
            }),
            Self::TimeMs => Some(event.time_ms.to_string()),
            Self::User => Some(event.user.to_string()),
            Self::Sequence => Some(event.user_sequence.to_string()),
            Self::Type => content.message_type.clone(),
            Self::Sender => content
                .sender
                .as_ref()
                .map(|sender| sender.mailbox_key().to_string()),
            Self::Recipients => {
                let recipients: Vec<_> = content
                    .recipients
                    .iter()
                    .map(|recipient| recipient.mailbox_key().to_string())
                    .collect();
                Some(serde_json::Value::from(recipients).to_string())
            }
            Self::MessageId => content.message_id.clone(),
            Self::Message => content.message.as_deref().map(text),
            Self::Session => content.session.clone(),
            Self::Code => content.code.map(|code| code.to_string()),
            Self::Reason => content.reason.clone(),
            Self::Event => Some(text(&event.json)),
        }
    }
}

/// UTC, as DATETIME(3) takes it.
fn without_zone(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or_default();
    let text = format!("{time:.3}");
    text.trim_end_matches('Z').replace('T', " ")
}

/// How many bytes at the beginning hold no parameter: a literal, a name in quotes, a comment, a cast.
fn skipped(text: &str, dialect: Dialect) -> usize {
    let until = |opening: usize, end: &str| {
        let found = text.get(opening..).and_then(|rest| rest.find(end));
        found.map_or(text.len(), |at| opening + at + end.len())
    };
    if text.starts_with("::") {
        return 2;
    }
    if text.starts_with("--") {
        return until(2, "\n");
    }
    if text.starts_with("/*") {
        return until(2, "*/");
    }
    for quote in ['\'', '"', '`'] {
        if !text.starts_with(quote) {
            continue;
        }
        let mut is_escaped = false;
        for (at, c) in text.char_indices().skip(1) {
            if is_escaped {
                is_escaped = false;
            } else if c == '\\' && dialect == Dialect::Mysql && quote != '`' {
                is_escaped = true;
            } else if c == quote {
                // A doubled one begins the next literal, which comes to the same.
                return at + 1;
            }
        }
        return text.len();
    }
    0
}

const PARAMETERS: &[(&str, Parameter)] = &[
    ("id", Parameter::Id),
    ("kind", Parameter::Kind),
    ("time", Parameter::Time),
    ("time_ms", Parameter::TimeMs),
    ("user", Parameter::User),
    ("sequence", Parameter::Sequence),
    ("type", Parameter::Type),
    ("sender", Parameter::Sender),
    ("recipients", Parameter::Recipients),
    ("message_id", Parameter::MessageId),
    ("message", Parameter::Message),
    ("session", Parameter::Session),
    ("code", Parameter::Code),
    ("reason", Parameter::Reason),
    ("event", Parameter::Event),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_parameters_become_those_of_the_server() {
        let text =
            "INSERT INTO t VALUES (:id, :event, :id) -- :what\nRETURNING a::text, ':kind', \":id\"";
        let postgres = Statement::parse(text, Dialect::Postgres).expect("right");
        assert_eq!(
            postgres.text,
            "INSERT INTO t VALUES ($1, $2, $1) -- :what\nRETURNING a::text, ':kind', \":id\""
        );
        assert_eq!(postgres.parameters, [Parameter::Id, Parameter::Event]);
        let mysql = Statement::parse("CALL f(:id, 'it\\':kind', @a := 1, :id)", Dialect::Mysql);
        let mysql = mysql.expect("right");
        assert_eq!(mysql.text, "CALL f(?, 'it\\':kind', @a := 1, ?)");
        assert_eq!(mysql.parameters, [Parameter::Id, Parameter::Id]);
    }

    #[test]
    fn a_statement_without_known_parameters_is_refused() {
        for dialect in [Dialect::Postgres, Dialect::Mysql] {
            assert!(Statement::parse("SELECT 1", dialect).is_err());
            assert!(Statement::parse("SELECT :password", dialect).is_err());
            assert!(Statement::parse("SELECT ':id", dialect).is_err());
        }
    }

    #[test]
    fn a_table_is_a_name_and_nothing_else() {
        let made = Statement::of_table("audit.events", Dialect::Postgres).expect("a name");
        assert!(
            made.text.starts_with("INSERT INTO \"audit\".\"events\" ("),
            "{}",
            made.text
        );
        for wrong in ["", "a;b", "a\"b", "a.b.c", "a b", ".a"] {
            assert!(
                Statement::of_table(wrong, Dialect::Mysql).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_time_of_mysql_has_no_zone() {
        assert_eq!(without_zone(1_767_225_600_123), "2026-01-01 00:00:00.123");
    }
}
