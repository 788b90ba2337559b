//! WebSocket servers and clients.
//!
//! [`Server`] accepts, shakes hands and runs an [`Endpoint`] per connection; [`Client`] connects;
//! both give a [`WebSocket`], the driver that joins a byte stream with the protocol core.

mod server; // bind, route, run, drain
mod request; // an upgrade request, who sent it, what was found out about it
mod decision; // how it is accepted
mod endpoint; // what a server does with a connection
mod sessions; // the open sessions of a server
mod acceptor; // a server on a stream that the caller has
mod client; // connect
mod socket; // the driver: one connection
#[cfg(feature = "futures")]
mod message_stream; // the socket as `Stream` and `Sink`
mod reconnect; // a client that outlives its connections
mod topic; // broadcast
mod response; // what a server says instead
mod error; // what can go wrong, per operation

pub use crate::net::ProxyError;
pub use crate::{
    http::{Fallback, Unrouted},
    net::{ConnectionCounts, Peer},
    service::{ProxyProtocol, ServerStats, StartError, TrustedProxies, client_ip},
};
pub use acceptor::{AcceptedRequest, Acceptor, accept};
#[cfg(feature = "http2")]
pub use client::Http2Connection;
pub use client::{
    AnswerLimits, Client, HandshakeAnswer, OtherProtocol, Proxy, Tunnel, TunnelAnswer, connect,
    connect_with,
};
pub use decision::{AcceptFuture, Decision};
pub use endpoint::{Endpoint, Handlers, IntoEndpoint};
pub use error::{AcceptError, ConnectError, RecvError, SendError};
#[cfg(feature = "futures")]
pub use message_stream::{MessageStream, MessageStreamError};
pub use reconnect::{
    Backoff, ClientEvent, Closed, Delivery, DownReason, OutboxError, OutboxLimits, OutboxSender,
    Reconnect, Reconnecting,
};
pub use request::Request;
pub use response::HttpResponse;
pub use server::{
    Established, Interceptor, Limits, Opening, RefusalObserver, RefusedRequest, RunningServer,
    Server, ServerConfig, Traffic,
};
pub use socket::{
    Handler, Incoming, IncomingChunk, MessageChunk, MessageWriter, Sender, Serving, Session,
    WebSocket,
};
pub use tidewire_proto::{
    CloseCode, CloseFrame, Config, ControlRate, DeflateConfig, Kind, Message, MessageRef, Prepared,
    ProtocolError, Role, Stats, Text,
    handshake::{Answer, HandshakeError, HeadLimits, Refusal, RequestError, Url, UrlError},
    proxy::{
        Credentials, EnvironmentError, Forwarded, ForwardedBy, Network, ProxyEnvironment, ProxyUrl,
        ProxyUrlError, SocksReply, TunnelError,
    },
};
pub use topic::{Membership, TooSlow, Topic, TopicConfig};
