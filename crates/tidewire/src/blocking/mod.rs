//! For programs without async: a connection whose calls block the thread.
//!
//! ```no_run
//! let connection = tidewire::blocking::connect("ws://127.0.0.1:9001/echo")?;
//! connection.send("hello")?;
//! println!("{:?}", connection.recv()?);
//! connection.close(tidewire::ws::CloseCode::NORMAL, "")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! All connections of the process are driven by one thread, started with the first of them and
//! idle when there is none (`runtime`); each has one task (`pump`), which ends with its
//! [`Connection`]. Called from inside an async runtime nothing panics, but the calling thread is
//! blocked, and with it whatever else it should drive: use [`crate::ws`] there.

pub(crate) mod runtime; // the thread that drives everything
pub(crate) mod pump; // from a socket into a queue
mod connection; // the calls
pub mod tcp; // the same for bytes
pub mod fbe; // requests of the simple protocol
#[cfg(feature = "http")]
pub mod http; // requests
#[cfg(feature = "udp")]
pub mod udp; // datagrams

pub use connection::{Connection, ReceiveError, Sender, connect};
