//! [`EventLoop`]: tokio's runtime of one thread, before that thread has it.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// An event loop for a thread that is about to start. Whoever cannot start that drops it, also within another runtime:
/// then nothing is waited for.
#[derive(Debug)]
pub(crate) struct EventLoop(Option<Runtime>);

impl EventLoop {
    pub(crate) fn new() -> io::Result<Self> {
        Self::build(Builder::new_current_thread().enable_all())
    }

    pub(crate) fn build(builder: &mut Builder) -> io::Result<Self> {
        Ok(Self(Some(builder.build()?)))
    }

    pub(crate) fn handle(&self) -> &Handle {
        let runtime = self.0.as_ref();
        runtime.expect("it is there until it runs").handle()
    }

    /// Runs `task` to its end, then drops all others and waits for work that blocks.
    pub(crate) fn run<T>(mut self, task: impl Future<Output = T>) -> T {
        let runtime = self.0.take().expect("it is there until it runs");
        runtime.block_on(task)
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_event_loop_that_no_thread_could_take_is_dropped_within_another() {
        let event_loop = EventLoop::new().unwrap();
        let task = event_loop.handle().spawn(std::future::pending::<()>());
        drop(event_loop);
        assert!(task.await.unwrap_err().is_cancelled());
    }
}
