//! The client's side: from a request to a socket, or many, that speak with a backend.
//!
//! In: requests that a listener has read. Out: tasks that move messages between a client and the
//! [backend's side](crate::backend). Nothing here knows how listeners or the life of the gateway work.

pub(crate) mod dispatch; // a request: which dialect, which endpoint?
pub(crate) mod client_request; // who asks
mod admission; // may it: origin, credentials, numbers
mod pinned; // a plain client, connected through
mod classic; // a client that speaks SMHandshake
mod mux; // a client with many logical sockets
mod ready; // which of them have something to do
mod inbound; // what a client may send
mod receipts; // what it proves to have received
