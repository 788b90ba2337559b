//! The JSON of requests and answers as the description shows it. Nothing here is ever made: handlers read and write the
//! hub's own types, which these must look like.

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

/// An unsigned 64-bit number, or a string of 1 to 128 bytes.
#[derive(Serialize)]
pub(super) struct Id;

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0_u64))
            .maximum(Some(u64::MAX));
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1));
        OneOfBuilder::new()
            .description(Some(
                "An unsigned 64-bit number, or a string of 1 to 128 bytes",
            ))
            .item(number)
            .item(text)
            .examples([42])
            .into()
    }
}

impl ToSchema for Id {}

/// How the server does.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`, `degraded` or `failing`.
    #[schema(example = "ok")]
    status: String,
    /// Why it is not `ok`.
    #[schema(required = false)]
    reason: String,
}

/// A message as clients send it.
#[derive(Serialize, ToSchema)]
pub(super) struct Payload {
    /// `text`, `binary` or any other.
    #[schema(example = "text", max_length = 64)]
    r#type: String,
    /// Who sends; 0 is the administrator.
    #[schema(example = 0)]
    sender: Id,
    /// At least one.
    #[schema(example = json!([42]), min_items = 1)]
    recipients: Vec<Id>,
    /// Required when the type is `text`.
    #[schema(example = "Hello", required = false)]
    text: String,
    /// Any JSON, passed through as it is; `null` when there is none.
    #[schema(required = false, example = json!({"anything": [1, true]}))]
    data: serde_json::Value,
    /// Kept when it is a string of at most 64 bytes, else the server's time takes its place.
    #[schema(required = false, example = "2018-11-27 22:53:30.123456+00:00")]
    timestamp: serde_json::Value,
}

/// A live session.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionData {
    /// Where the client is; missing when that is not known.
    #[schema(required = false, example = "192.0.2.7")]
    address: String,
    /// Its number.
    session: u64,
    /// When it began.
    #[schema(example = "2026-11-27T22:53:30.123456Z")]
    since: String,
    user: Id,
}

/// Sessions.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionsAnswer {
    data: Vec<SessionData>,
    #[schema(example = true)]
    success: bool,
}

/// How many sessions were ended.
#[derive(Serialize, ToSchema)]
pub(super) struct DisconnectedData {
    disconnected: u64,
}

/// How many sessions were ended.
#[derive(Serialize, ToSchema)]
pub(super) struct DisconnectedAnswer {
    data: DisconnectedData,
    #[schema(example = true)]
    success: bool,
}

/// A user who may not connect.
#[derive(Serialize, ToSchema)]
pub(super) struct BlockData {
    /// Told to the client.
    reason: String,
    /// When it was made.
    #[schema(example = "2026-11-27T22:53:30.123456Z")]
    since: String,
    /// When it is over; `null`: not before it is lifted.
    until: Option<String>,
    user: Id,
}

/// All blocks.
#[derive(Serialize, ToSchema)]
pub(super) struct BlocksAnswer {
    data: Vec<BlockData>,
    #[schema(example = true)]
    success: bool,
}

/// A new block.
#[derive(Serialize, ToSchema)]
pub(super) struct BlockedData {
    block: BlockData,
    /// Sessions that were ended.
    disconnected: u64,
}

/// A new block.
#[derive(Serialize, ToSchema)]
pub(super) struct BlockedAnswer {
    data: BlockedData,
    #[schema(example = true)]
    success: bool,
}

/// Tells if there was a block.
#[derive(Serialize, ToSchema)]
pub(super) struct LiftedData {
    lifted: bool,
}

/// Tells if there was a block.
#[derive(Serialize, ToSchema)]
pub(super) struct LiftedAnswer {
    data: LiftedData,
    #[schema(example = true)]
    success: bool,
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
    /// Missing when the message was given no id.
    #[schema(required = false)]
    data: UnknownData,
    message: String,
    #[schema(example = 504)]
    status: u16,
    /// Always false.
    #[schema(example = false)]
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
