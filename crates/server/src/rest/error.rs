//! The error body of every endpoint (S-50): `{"message":…,"status":…,"success":false}`.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidewire_hub::{ApiError, Refusal};

use super::sending::SendError;

/// An error answer.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RestError {
    /// What was expected, for people.
    message: String,
    /// The HTTP status.
    status: u16,
    /// Always false.
    success: bool,
}

impl RestError {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status,
            success: false,
        }
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

impl From<Refusal> for RestError {
    fn from(refusal: Refusal) -> Self {
        Self::from(SendError::from(ApiError::Refused(refusal)))
    }
}

impl From<SendError> for RestError {
    /// What the caller did wrong is 4xx, what may be tried again later is 429 or 503.
    fn from(error: SendError) -> Self {
        let status = match &error {
            SendError::Hub(ApiError::Refused(Refusal::MailboxFull | Refusal::SenderQuota)) => 429,
            SendError::Hub(ApiError::Refused(Refusal::FanoutTooLarge)) => 413,
            SendError::Hub(ApiError::Refused(_)) => 503,
            SendError::Hub(ApiError::ForBot | _)
            | SendError::Invalid(_)
            | SendError::BeyondBounds(_) => 400,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self)).into_response()
    }
}
