//! The opening handshake (RFC 6455 section 4, RFC 8441), both roles, as pure functions over heads.
//!
//! In: the bytes of a request or response head, found by [`HeadScanner`]. Out: the answer to
//! write, or a refusal with its HTTP status. Nothing here waits or reads; the caller enforces
//! the deadline.

mod head; // HTTP/1.1 request heads
mod request_scanner; // a request's first bytes: is it HTTP at all?
mod response; // heads of answers
mod body; // and their bodies
mod parameters; // query parameters, cookies and bearer tokens of a request
mod accept_key; // SHA-1 and Base64 of Sec-WebSocket-Accept
mod url; // ws:// and wss:// addresses
mod client; // make an upgrade request, check the answer
mod agreement; // what an endpoint can agree on
mod refusal; // the answer that ends a handshake
mod extended_connect; // the same over HTTP/2 (RFC 8441), both roles
mod server; // answer a request

pub use accept_key::accept_key;
pub(crate) use accept_key::base64;
pub use agreement::AcceptOptions;
pub use body::{BodyDecoder, BodyError, BodyProgress};
pub(crate) use client::is_token;
pub use client::{Agreed, ClientRequest, HandshakeError, RequestError, RequestOptions};
pub use extended_connect::{ExtendedAccepted, ExtendedConnect, accept_extended};
pub use head::{HeadError, HeadLimits, HeadScanner, RequestHead};
pub use parameters::query_parameter;
pub use refusal::Refusal;
pub use request_scanner::{ClientProtocol, RequestScanner};
pub use response::ResponseHead;
pub use server::{Accepted, Answer, AnswerFields, accept, answer_with, check_request};
pub(crate) use url::authority;
pub use url::{Url, UrlError};
