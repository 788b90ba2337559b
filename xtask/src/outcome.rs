//! [`Outcome`]: how a check ended, for the tasks that may find that they cannot be made here.

/// How a step ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Something it needs cannot be had here, so it says nothing; this is why.
    Incomplete(&'static str),
}
