//! Load for servers, as a library: the benchmark [`pairs`] behind `tidewire bench`. The program `tidewire-bench`, which
//! puts the messaging server and the gateway under load and faults, has modules of its own.
#![forbid(unsafe_code)]

pub mod pairs;
pub mod process;
