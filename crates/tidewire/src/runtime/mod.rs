//! The host of servers, clients, tasks and jobs: threads with event loops.
//!
//! [`Runtime`] starts the threads; servers run in it with [`Workers::On`](crate::service::Workers::On), clients and
//! any other task by [`spawn`](Runtime::spawn), functions by [`post`](Runtime::post) and [`dispatch`](Runtime::dispatch).
//! Programs that have a tokio runtime need none of this: [`Workers::Pool`](crate::service::Workers::Pool) runs a
//! server there.
//!
//! ```
//! use tidewire::{
//!     runtime::{Config, Runtime},
//!     service::Workers,
//!     tcp::{Client, Connection, Server, ServerConfig},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::start(Config::default().threads(2.try_into()?))?;
//! let config = ServerConfig::new("127.0.0.1:0".parse()?).workers(Workers::On(runtime.clone()));
//! let server = Server::new(config, |mut connection: Connection| async move {
//!     while let Ok(Some(bytes)) = connection.recv().await {
//!         connection.send(bytes).await.ok();
//!     }
//! })
//! .start()?;
//! let address = server.local_addr();
//! let answer = runtime.spawn(async move {
//!     let mut connection = Client::to(address).connect().await.ok()?;
//!     connection.send("hello").await.ok()?;
//!     connection.recv().await.ok()?
//! });
//! assert_eq!(runtime.block_on(answer)?.as_deref(), Some(&b"hello"[..]));
//! drop(server);
//! runtime.stop();
//! # Ok(()) }
//! ```

mod config; // threads, placement, hooks
mod jobs; // functions that wait for a thread
mod event_loop; // tokio's runtime of one thread
mod threads; // event loops and who runs them
mod host; // the runtime as its owner holds it

pub use config::{Config, Design, Hooks, Placement};
pub(crate) use event_loop::EventLoop;
pub(crate) use host::Load;
pub use host::Runtime;
pub use jobs::PostError;
