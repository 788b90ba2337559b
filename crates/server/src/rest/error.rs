//! The error body of every endpoint (S-50): `{"message":…,"status":…,"success":false}`.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidewire::http::BodyError;
use tidewire_dialect::EnvelopeError;
use tidewire_hub::{ApiError, Refusal};

use crate::shaping::retry_after;

/// A message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// It broke a rule of the envelope; the text is that of the error.
    #[error(transparent)]
    Invalid(#[from] EnvelopeError),
    /// It is beyond a bound for one message.
    #[error("Invalid payload: {0}")]
    BeyondBounds(Refusal),
    /// The caller may not send as this user.
    #[error("the sender is another user than that of the credentials")]
    ForeignSender,
    /// The hub did not take it.
    #[error(transparent)]
    Hub(#[from] ApiError),
}

/// An error answer.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RestError {
    /// What was expected, for people.
    #[schema(example = "Id required")]
    message: String,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// Always false.
    #[schema(example = false)]
    success: bool,
    /// Seconds after which to try again.
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl RestError {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status,
            success: false,
            retry_after: None,
        }
    }

    /// More of something than may be in this time.
    pub(crate) fn too_many(message: &str, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::new(429, message)
        }
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized")
    }

    pub(crate) fn not_found() -> Self {
        Self::new(404, "Not found")
    }

    pub(crate) fn too_slow() -> Self {
        Self::new(408, "the request took too long")
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(405, "Method not allowed")
    }
}

impl From<BodyError> for RestError {
    fn from(error: BodyError) -> Self {
        let (status, key) = match &error {
            BodyError::TooLarge { .. } => (413, "; see rest.body_bytes_max"),
            BodyError::TooSlow { .. } => (408, "; see rest.body_bytes_per_second_min"),
            BodyError::Exhausted => (503, "; see server.limits.memory_bytes_max"),
            BodyError::Broken(_) | _ => (400, ""),
        };
        Self::new(status, format!("{error}{key}"))
    }
}

impl From<Refusal> for RestError {
    fn from(refusal: Refusal) -> Self {
        Self::from(SendError::from(ApiError::Refused(refusal)))
    }
}

impl From<SendError> for RestError {
    /// What the caller did wrong is 4xx, what may be tried again later is 429 or 503.
    fn from(error: SendError) -> Self {
        let status = match &error {
            SendError::Hub(ApiError::Refused(
                Refusal::MailboxFull | Refusal::SenderQuota | Refusal::RateLimited,
            )) => 429,
            SendError::Hub(ApiError::Refused(Refusal::FanoutTooLarge)) => 413,
            SendError::ForeignSender | SendError::Hub(ApiError::Refused(Refusal::NotAllowed)) => {
                403
            }
            SendError::Hub(ApiError::Refused(_)) => 503,
            SendError::Hub(ApiError::ForBot | _)
            | SendError::Invalid(_)
            | SendError::BeyondBounds(_) => 400,
        };
        let is_short = matches!(&error, SendError::Hub(ApiError::Refused(Refusal::Busy)));
        Self {
            retry_after: is_short.then(|| retry_after(Duration::ZERO)),
            ..Self::new(status, error.to_string())
        }
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        if let Some(seconds) = retry_after {
            let fields = response.headers_mut();
            fields.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            //= rfc9110#15.5.16: who refuses a content coding says which ones are understood
            let identity = HeaderValue::from_static("identity");
            response
                .headers_mut()
                .insert(header::ACCEPT_ENCODING, identity);
        }
        response
    }
}
