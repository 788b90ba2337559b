//! [`Owner`]: who is asked for what the admin API cannot do itself.

use std::{
    fmt,
    future::{Future, ready},
    pin::Pin,
};

use crate::process::state::ProcessState;

/// What came of a reload: what has changed, or why nothing has; for the operator.
pub type Outcome = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// Who owns the gateway, and is asked for what the admin API cannot do itself.
pub trait Owner: Send + Sync + fmt::Debug {
    /// Reads the configuration again and takes it; one that is wrong changes nothing.
    fn reload(&self) -> Outcome;

    /// Begins to stop the gateway: accepts nothing more, ends all sessions at the drain's pace. Returns at
    /// once.
    fn stop(&self);

    /// How the process of an endpoint stands; `None`: none is supervised.
    fn process(&self, endpoint: &str) -> Option<ProcessState> {
        let _ = endpoint;
        None
    }

    /// Begins to restart the process of an endpoint. Returns at once; `false`: none is supervised.
    fn restart(&self, endpoint: &str) -> bool {
        let _ = endpoint;
        false
    }
}

/// For programs that reload and stop the gateway by other means.
#[derive(Clone, Copy, Debug, Default)]
pub struct NobodyOwns;

impl Owner for NobodyOwns {
    fn reload(&self) -> Outcome {
        let error = "this gateway has no configuration that could be read again";
        Box::pin(ready(Err(error.to_owned())))
    }

    fn stop(&self) {
        tracing::warn!("the admin API asks for a stop, and nobody listens");
    }
}
