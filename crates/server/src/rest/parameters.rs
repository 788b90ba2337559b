//! The query of requests that change something: exactly what was meant, or an error.

use std::collections::BTreeMap;

use tidewire_auth::{decode_parameter, raw_parameters};
use tidewire_hub::UserId;

use super::RestError;

/// Parameters of a query, each at most once, and no others than those that are known: a misspelt one would mean something
/// else than what was meant.
pub(super) struct Parameters<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Parameters<'a> {
    pub(super) fn of(query: Option<&'a str>, known: &[&str]) -> Result<Self, RestError> {
        let mut values = BTreeMap::new();
        for (name, value) in raw_parameters(query.unwrap_or_default()) {
            if !known.contains(&name) {
                let expected = format!("expected only {}", known.join(", "));
                return Err(RestError::bad_request(expected));
            }
            if values.insert(name, value).is_some() {
                return Err(RestError::bad_request(format!("{name} is given twice")));
            }
        }
        Ok(Self(values))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, RestError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let decoded = decode_parameter(value)
            .map_err(|error| RestError::bad_request(format!("Invalid {name}: {error}")))?;
        Ok(Some(decoded.into_owned()))
    }

    pub(super) fn user(&self, name: &str) -> Result<Option<UserId>, RestError> {
        let value = self.0.get(name).map(|value| UserId::from_query(value));
        let user = value.transpose();
        user.map_err(|error| RestError::bad_request(format!("Invalid {name}: {error}")))
    }

    pub(super) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, RestError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let number = text.parse();
        number
            .map(Some)
            .map_err(|_| RestError::bad_request(format!("Invalid {name}: expected a number")))
    }

    /// How many of something an answer has at most.
    pub(super) fn limit(&self, default: usize, max: usize) -> Result<usize, RestError> {
        let limit = self.number("limit")?.unwrap_or(default);
        if (1..=max).contains(&limit) {
            return Ok(limit);
        }
        let expected = format!("Invalid limit: expected 1 to {max}");
        Err(RestError::bad_request(expected))
    }

    /// Words for a client's close frame.
    pub(super) fn reason(&self) -> Result<Option<String>, RestError> {
        let reason = self.text("reason")?;
        match &reason {
            Some(text) if text.len() > REASON_LEN_MAX || text.chars().any(char::is_control) => {
                Err(RestError::bad_request(
                    "Invalid reason: expected at most 123 bytes without control characters",
                ))
            }
            _ => Ok(reason),
        }
    }
}

/// A close frame carries no more (RFC 6455 section 5.5).
const REASON_LEN_MAX: usize = 123;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_request_is_understood() {
        let known = ["user", "code", "reason"];
        let parsed = Parameters::of(Some("user=a+b&code=4000&reason=no%20seat"), &known);
        let parsed = parsed.unwrap_or_else(|_| panic!("it is clear"));
        assert_eq!(parsed.user("user").ok().flatten(), "a b".parse().ok());
        assert_eq!(parsed.number::<u16>("code").ok(), Some(Some(4000)));
        assert_eq!(parsed.reason().ok().flatten().as_deref(), Some("no seat"));
        for wrong in ["usr=1", "user=1&user=2", "User=1"] {
            assert!(Parameters::of(Some(wrong), &known).is_err(), "{wrong}");
        }
        let long = format!("reason={}", "x".repeat(124));
        for wrong in ["reason=a%00b", "reason=%ff", &long] {
            let parsed = Parameters::of(Some(wrong), &known);
            assert!(parsed.is_ok_and(|it| it.reason().is_err()), "{wrong}");
        }
        for wrong in ["code=", "code=-1", "code=65536", "code=4e3"] {
            let parsed = Parameters::of(Some(wrong), &known);
            let number = parsed.map(|it| it.number::<u16>("code").is_err());
            assert!(number.is_ok_and(|it| it), "{wrong}");
        }
    }
}
