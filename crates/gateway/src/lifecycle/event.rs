//! What happens to a gateway that a service manager wants to know.

/// Something that a service manager wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The configuration is about to be read again.
    Reloading,
    /// The reload is over: what has changed, or why nothing has.
    Reloaded(Result<&'a str, &'a str>),
    /// A successor serves, and is about to be told that it is alone. The drain follows, without another event.
    HandedOver {
        /// The number of its process, where the system tells it.
        pid: Option<u32>,
    },
    /// The stop begins.
    Stopping,
}

/// Is told of [`Event`]s, on the task that [operates](crate::Running::operate) the gateway: it should not block.
pub type Observer = Box<dyn Fn(Event<'_>) + Send + Sync>;
