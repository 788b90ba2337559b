//! The JSON of requests and answers as the description shows it. Nothing here is ever made: handlers read and write the
//! hub's own types, which these must look like.

use serde::Serialize;
use utoipa::ToSchema;

/// An unsigned 64-bit number, or a string of 1 to 128 bytes.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes JSON, is never made")]
pub(super) enum Id {
    Number(u64),
    Text(String),
}

/// A message as clients send it.
#[derive(Serialize, ToSchema)]
pub(super) struct Payload {
    /// `text`, `binary` or any other.
    #[schema(example = "text")]
    r#type: String,
    /// Who sends; 0 is the administrator.
    #[schema(example = 0)]
    sender: Id,
    /// At least one.
    #[schema(example = json!([42]))]
    recipients: Vec<Id>,
    /// Required when the type is `text`.
    #[schema(example = "Hello")]
    text: Option<String>,
    /// Any JSON; passed through untouched.
    #[schema(value_type = Object)]
    data: Option<serde_json::Value>,
    /// Kept when present, else the server's time.
    timestamp: Option<String>,
}

/// Statistics of one user. Times are unix seconds, spans are seconds.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatData {
    bytes_transferred: u64,
    connected_times: u64,
    disconnected_times: u64,
    id: Id,
    is_online: bool,
    last_connection: i64,
    last_message_time: i64,
    received_messages: u64,
    sent_messages: u64,
    time_inactivity: i64,
    time_offline: i64,
    time_online: i64,
}

/// The answer of `/stats`.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsAnswer {
    data: Vec<StatData>,
    success: bool,
}

/// The answer of `/stat`.
#[derive(Serialize, ToSchema)]
pub(super) struct StatAnswer {
    data: StatData,
    success: bool,
}

/// Whether a user has a connection.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OnlineData {
    is_online: bool,
}

/// The answer of `/check-online`.
#[derive(Serialize, ToSchema)]
pub(super) struct OnlineAnswer {
    data: OnlineData,
    success: bool,
}

/// A recipient who could not take a message that others took.
#[derive(Serialize, ToSchema)]
pub(super) struct RefusedRecipient {
    /// `mailbox_full` or `sender_quota`.
    #[schema(example = "mailbox_full")]
    code: String,
    recipient: Id,
}

/// What became of a message.
#[derive(Serialize, ToSchema)]
pub(super) struct SentData {
    /// The id it was given.
    id: String,
    /// Everybody else got it; never all recipients.
    refused: Vec<RefusedRecipient>,
}

/// The answer of `/send-message`.
#[derive(Serialize, ToSchema)]
pub(super) struct SentAnswer {
    data: SentData,
    success: bool,
}

/// Names a message whose outcome is not known.
#[derive(Serialize, ToSchema)]
pub(super) struct UnknownData {
    id: String,
}

/// The answer of `/send-message` when the store has not answered in time.
#[derive(Serialize, ToSchema)]
pub(super) struct UnknownAnswer {
    data: UnknownData,
    message: String,
    status: u16,
    success: bool,
}

/// How many messages were removed.
#[derive(Serialize, ToSchema)]
pub(super) struct PurgedData {
    removed: u64,
}

/// The answer of `DELETE /messages`.
#[derive(Serialize, ToSchema)]
pub(super) struct PurgedAnswer {
    data: PurgedData,
    success: bool,
}
