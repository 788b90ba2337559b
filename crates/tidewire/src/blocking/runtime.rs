//! The runtime behind the blocking calls: one thread for the whole process.
//!
//! In: futures. Out: their results, for which the calling thread waits without a runtime of its
//! own; so it may be a thread of another runtime.

use std::{
    io,
    sync::{Arc, OnceLock, mpsc},
    thread,
};

use tokio::runtime::Handle;

use crate::runtime::EventLoop;

fn handle() -> io::Result<Handle> {
    static SHARED: OnceLock<Result<Handle, Arc<io::Error>>> = OnceLock::new();
    SHARED
        .get_or_init(|| start().map_err(Arc::new))
        .clone()
        .map_err(|error| io::Error::new(error.kind(), error))
}

fn start() -> io::Result<Handle> {
    let event_loop = EventLoop::new()?;
    let handle = event_loop.handle().clone();
    thread::Builder::new()
        .name("tidewire-blocking".into())
        .spawn(move || event_loop.run(std::future::pending::<()>()))?;
    Ok(handle)
}

/// Runs `future` and blocks the thread until it is ready.
pub(crate) fn wait<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    handle()?.spawn(async move {
        // The caller waits: it takes the result.
        sender.send(future.await).ok();
    });
    receiver
        .recv()
        .map_err(|_lost| io::Error::other("the task that was waited for panicked"))
}
