//! Saying no, before anything is opened.

use tidewire::ws::{Established, Opening, Refusal};

/// Tells the client; then nothing is to be run.
pub(crate) async fn refuse(opening: Opening, refusal: &Refusal) -> Option<Established> {
    if let Err(error) = opening.refuse(refusal).await {
        tracing::debug!(%error, "a refusal was not sent");
    }
    None
}
