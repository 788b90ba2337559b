//! [`RequestError`]: why there is no response.

use std::{error::Error, time::Duration};

use super::connector::ConnectFailure;

type Cause = Box<dyn Error + Send + Sync>;

/// A request has no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request cannot be sent as it is: correct it.
    #[error("the request is not valid")]
    Invalid(#[source] Cause),
    /// There is no connection to the server; nothing was sent. Another attempt may help.
    #[error("cannot connect")]
    Connect(#[source] Cause),
    /// The connection ended before the response was there. The server may have acted on the request.
    #[error("the connection was lost before the response was complete")]
    Lost(#[source] Cause),
    /// No response within [`ClientConfig::request_timeout`](super::ClientConfig::request_timeout), or no further piece of
    /// it within [`ClientConfig::read_timeout`](super::ClientConfig::read_timeout). The server may have acted on the
    /// request.
    #[error("no response within {within:?}")]
    TimedOut {
        /// The deadline.
        within: Duration,
    },
    /// There came no response of HTTP, or its head is too large.
    #[error("the response is not valid")]
    Response(#[source] Cause),
    /// The body of the response is larger than
    /// [`ClientConfig::body_bytes_max`](super::ClientConfig::body_bytes_max).
    #[error("expected a response of at most {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
}

impl RequestError {
    /// The text that programs of older toolkits print and look for: `Invalid HTTP request!`, `Connection failed!`,
    /// `Failed to send HTTP request!`, `Timeout!`, `Invalid HTTP response!`.
    pub fn compatible_text(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "Invalid HTTP request!",
            Self::Connect(_) => "Connection failed!",
            Self::Lost(_) => "Failed to send HTTP request!",
            Self::TimedOut { .. } => "Timeout!",
            Self::Response(_) | Self::TooLarge { .. } => "Invalid HTTP response!",
        }
    }

    pub(super) fn invalid(cause: impl Into<Cause>) -> Self {
        Self::Invalid(cause.into())
    }
}

impl RequestError {
    /// Sorts the pool's error; no `From`, so that the pool's crate stays out of the interface.
    pub(super) fn of_pool(error: hyper_util::client::legacy::Error) -> Self {
        if error.is_connect() {
            // The pool's own words say nothing; those of the connector do.
            return Self::Connect(below(error));
        }
        let cause = find::<hyper::Error>(&error).map(|hyper| {
            let is_request = hyper.is_user();
            let is_response =
                hyper.is_parse() || hyper.is_parse_too_large() || hyper.is_parse_status();
            (is_request, is_response)
        });
        match cause {
            Some((true, _)) => Self::Invalid(below(error)),
            Some((false, true)) => Self::Response(below(error)),
            Some((false, false)) => Self::Lost(below(error)),
            // A URL that the pool cannot use.
            None => Self::Invalid(error.into()),
        }
    }
}

impl From<hyper::Error> for RequestError {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse() {
            return Self::Response(error.into());
        }
        Self::Lost(error.into())
    }
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The connector's error, if it is inside; else the whole.
fn below(error: hyper_util::client::legacy::Error) -> Cause {
    match find::<ConnectFailure>(&error) {
        Some(failure) => Box::new(failure.clone()),
        None => error.into(),
    }
}
