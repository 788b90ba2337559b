//! What stands between a client and a server: load balancers and proxies.
//!
//! In: bytes of a balancer or proxy, request heads, addresses. Out: who is really at the other
//! end, bytes to send, a tunnel. Nothing here reads, waits or looks at the environment; every
//! length is bounded before anything is kept. Specifications: the PROXY protocol of `HAProxy`
//! (versions 1 and 2), RFC 7239, RFC 9110 section 9.3.6, RFC 1928, RFC 1929.

mod network; // CIDR blocks: who is trusted, who is reached directly
mod header; // server: the PROXY protocol
mod forwarded; // server: Forwarded, X-Forwarded-* and the like
mod url; // client: the address of a proxy, and credentials
mod environment; // client: which proxy the environment names
mod tunnel; // client: HTTP CONNECT and SOCKS5

pub use environment::{EnvironmentError, ProxyEnvironment};
pub use forwarded::{Forwarded, ForwardedBy, client_ip};
pub use header::{
    Addresses, Command, EncodeError, HEADER_BYTES_MAX, Header, HeaderError, Ssl, Tlv, Tlvs,
    Transport, Version,
};
pub use network::{Network, NetworkError, Node};
pub use tunnel::{SocksReply, Step, Tunnel, TunnelError};
pub use url::{Credentials, ProxyScheme, ProxyUrl, ProxyUrlError};
