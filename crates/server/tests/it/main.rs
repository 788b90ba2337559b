//! Behaviour of the whole server in this process, over loopback sockets.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod desk; // a server, users, HTTP calls
mod receiver; // a backend that takes events

mod access; // credentials and TLS on both listeners
mod identities; // who a connection is bound to, and what it may do
mod behind_proxies; // proxies that tell who asks, and pages from elsewhere
mod connect_hook; // a backend that decides who may connect
mod admission; // credentials, failed logins and the connect hook together
mod callers; // health checks, pages of other origins, bodies that are not taken
mod description; // the API's description is true
mod delivery; // what happens to messages when connections misbehave
mod earlier_store; // what an earlier program has left is delivered
mod events; // what other systems hear
mod proof; // what proves that a message has arrived
mod raw; // a client frame by frame
mod recipients; // one recipient's, one sender's trouble is his own
mod rest; // the REST API beyond what foreign clients check
mod shaping; // rates, blocks, reasons
mod trace; // why a message has not arrived
mod transcript; // every byte of the classic dialect
