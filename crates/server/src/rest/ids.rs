//! How an answer writes ids: numbers as numbers, or every id as a string for clients whose numbers do not hold 64 bits
//! (`?ids=strings`, as on a connection).

use serde::Serialize;
use serde_json::Value;
use tidewire_auth::first_parameter;
use tidewire_hub::{Stat, UserId};

use super::RestError;

/// The form that a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ids {
    #[default]
    Numbers,
    Strings,
}

/// An id in that form.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Id {
    AsItIs(UserId),
    Text(String),
}

/// Statistics with their id in that form.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum StatOf {
    AsItIs(Stat),
    Respelt(Value),
}

impl Ids {
    /// # Errors
    /// 400 for anything but `numbers` and `strings`.
    pub(super) fn of(query: Option<&str>) -> Result<Self, RestError> {
        match first_parameter(query.unwrap_or_default(), "ids") {
            None | Some("numbers") => Ok(Self::Numbers),
            Some("strings") => Ok(Self::Strings),
            Some(_) => Err(RestError::bad_request(
                "Invalid ids: expected numbers or strings",
            )),
        }
    }

    pub(super) fn id(self, user: UserId) -> Id {
        match self {
            Self::Numbers => Id::AsItIs(user),
            Self::Strings => Id::Text(user.to_string()),
        }
    }

    pub(super) fn stat(self, stat: Stat) -> StatOf {
        if self == Self::Numbers {
            return StatOf::AsItIs(stat);
        }
        let id = stat.id.to_string();
        let mut value = serde_json::to_value(stat).expect("numbers and a user id are JSON");
        value["id"] = Value::String(id);
        StatOf::Respelt(value)
    }
}
