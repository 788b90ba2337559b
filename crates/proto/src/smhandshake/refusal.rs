//! What a client is told about a message that is not forwarded. The connection goes on.
//!
//! In: the reason and the route's name. Out: an `SMError` object. A backend's message always begins
//! with a route line, so no backend can write one of these.

use super::{ERROR, EVENT_BYTES_MAX, Form, NAME_BYTES_MAX, RouteLineError, render};

/// Why a message is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    // Not one of these texts has a comma, colon, quote or brace: the unquoted form needs no quotes.
    /// It has no route line and is no event that is allowed after the handshake.
    #[error("no route; expected a first line of ROUTENAME=<name> ended by a line feed")]
    NoRouteLine,
    /// The name is above [`NAME_BYTES_MAX`].
    #[error("route name too long; expected at most {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    /// The name is empty, is no UTF-8 or has control characters.
    #[error("route name not printable; expected UTF-8 without control characters")]
    NameInvalid,
    /// It looks like an event above [`EVENT_BYTES_MAX`].
    #[error("event too long; expected at most {EVENT_BYTES_MAX} bytes")]
    EventTooLong,
    /// No configured route has this name.
    #[error("no such route; expected a configured name")]
    NoSuchRoute,
    /// The client may not use this route.
    #[error("route not allowed; expected credentials or an origin that may use it")]
    NotAllowed,
    /// The client uses as many routes as it may.
    #[error("too many routes; expected at most {0} at a time")]
    TooManyRoutes(usize),
    /// The backend is not there, and what was to wait for it is refused.
    #[error("route not reachable; expected its backend to be there")]
    NotReachable,
    /// As much waits for the backend as may.
    #[error("queue full and message refused; expected fewer bytes waiting for this route")]
    QueueFull,
    /// The message is larger than allowed.
    #[error("message too large; expected at most {0} bytes")]
    TooLarge(usize),
    /// More messages or bytes per second than allowed.
    #[error("too fast and message refused; expected fewer messages or bytes per second")]
    TooFast,
}

impl Refusal {
    /// The `SMError` object; `route` as the client wrote it, where it is known. JSON has it as a member `route` as well.
    pub fn render(self, form: Form, route: Option<&str>) -> String {
        let text = match route {
            Some(name) => format!("{self} - route {name}"),
            None => self.to_string(),
        };
        render(form, ERROR, Some(&text), route)
    }
}

impl From<RouteLineError> for Refusal {
    fn from(error: RouteLineError) -> Self {
        match error {
            RouteLineError::Missing => Self::NoRouteLine,
            RouteLineError::NameTooLong => Self::NameTooLong,
            RouteLineError::NameInvalid => Self::NameInvalid,
        }
    }
}
