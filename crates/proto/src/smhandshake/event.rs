//! An event: `event` says what it is, `data` what it says (M-23).
//!
//! In: the text of a message. Out: an [`Event`] and the form it was written in, so that it is
//! answered in kind; and the other way round. Invariant: what [`render`] writes, [`Event::parse`]
//! reads as the same, in the same form.

use super::{relaxed, strict};

/// An event of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The member `event`.
    pub name: String,
    /// The member `data`; numbers and truth values as they are written. `None`: absent, or `null`.
    pub data: Option<String>,
}

/// How an event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// JSON: `{"event":"SMHandshake","data":"SYN"}`.
    #[default]
    Strict,
    /// Without quotes, or with some: `{event: SMHandshake, data: SYN}`.
    Relaxed,
}

/// A text is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// Longer than [`EVENT_BYTES_MAX`]; it was not looked at.
    #[error("an event is at most {EVENT_BYTES_MAX} bytes")]
    TooLong,
    /// Neither JSON nor the unquoted form, without `event`, with a member twice, or with more than 16.
    #[error("expected an object with the member event")]
    Malformed,
}

impl Event {
    /// Reads an event in either form. Unknown members are ignored; JSON ones may hold anything, in the unquoted form
    /// only words.
    ///
    /// # Errors
    /// [`EventError`], see there.
    pub fn parse(text: &str) -> Result<(Self, Form), EventError> {
        if text.len() > EVENT_BYTES_MAX {
            return Err(EventError::TooLong);
        }
        if let Some(event) = strict::parse(text) {
            return Ok((event, Form::Strict));
        }
        relaxed::parse(text)
            .map(|event| (event, Form::Relaxed))
            .ok_or(EventError::Malformed)
    }

    /// Writes it.
    pub fn render(&self, form: Form) -> String {
        render(form, &self.name, self.data.as_deref(), None)
    }
}

/// Writes an event. `route` is the name it is about and becomes a member `route` in JSON only (M-24).
pub fn render(form: Form, name: &str, data: Option<&str>, route: Option<&str>) -> String {
    let mut text;
    match form {
        Form::Strict => {
            text = format!("{{\"event\":{}", strict::quoted(name));
            for (key, value) in [("data", data), ("route", route)] {
                if let Some(value) = value {
                    text.push_str(&[",\"", key, "\":", &strict::quoted(value)].concat());
                }
            }
        }
        Form::Relaxed => {
            text = format!("{{event: {}", relaxed::written(name));
            if let Some(data) = data {
                text.push_str(", data: ");
                text.push_str(&relaxed::written(data));
            }
        }
    }
    text.push('}');
    text
}

/// Longest event that is read: a name of 255 bytes, all escaped, leaves room for a client's own members. It bounds
/// how deep JSON can nest, too.
pub const EVENT_BYTES_MAX: usize = 4096;
