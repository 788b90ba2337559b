//! The backend's side: a request as a backend gets it, the way to one that answers, and logical sockets
//! that outlive one.
//!
//! In: a client's request and messages. Out: the same at a backend, and what that answers. Knows no
//! dialects of clients.

pub(crate) mod forward; // the request as the upstream gets it
pub(crate) mod answer; // the upstream's answer as the client gets it
pub(crate) mod reach; // open an upstream, or another one
pub(crate) mod queue; // from one task to another
pub(crate) mod session; // a logical socket's backend, which may change
