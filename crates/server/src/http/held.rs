//! What answers may hold in memory, over all connections: [`AnswerBudget`].
//!
//! In: answers about to be written. Out: the same answers, each holding its size of the budget
//! until its last byte is given to the system; 503 when the budget is used up. Invariant: the
//! share is given back whatever ends the answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Answers of this size are taken without asking: they fit into the system's buffer.
const SMALL: u64 = 4 << 10;
/// What a connection buffers of an answer made page by page, at most.
const STREAMED: u64 = 256 << 10;
/// The budget is counted in these.
const UNIT: u64 = 1 << 10;

/// Bytes that answers may hold. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct AnswerBudget(Arc<Semaphore>);

impl AnswerBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = usize::try_from(bytes as u64 / UNIT).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))))
    }

    /// Lets an answer hold its share, or replaces it.
    pub(crate) fn hold(&self, response: Response) -> Response {
        let bytes = response.body().size_hint().exact().unwrap_or(STREAMED);
        if bytes <= SMALL {
            return response;
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&self.0).try_acquire_many_owned(units) else {
            return too_many();
        };
        let share = Arc::new(permit);
        response.map(|body| Body::new(Held { body, share }))
    }
}

fn too_many() -> Response {
    let text =
        r#"{"message":"too many answers are waiting to be read","status":503,"success":false}"#;
    let fields = [
        (header::CONTENT_TYPE, "application/json"),
        (header::RETRY_AFTER, "5"),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, fields, text).into_response()
}

/// An answer's body with its share of the budget.
#[derive(Debug)]
struct Held {
    body: Body,
    share: Arc<OwnedSemaphorePermit>,
}

/// A piece on its way out of the connection's buffer.
struct Piece {
    bytes: Bytes,
    _share: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let held = |bytes| {
            Bytes::from_owner(Piece {
                bytes,
                _share: Arc::clone(&self.share),
            })
        };
        Poll::Ready(Some(frame.map(|frame| frame.map_data(held))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn answer(len: usize) -> Response {
        Bytes::from(vec![b'x'; len]).into_response()
    }

    #[tokio::test]
    async fn answers_that_are_not_read_use_the_budget_up_and_give_it_back() {
        let budget = AnswerBudget::new(100 << 10);
        let first = budget.hold(answer(60 << 10));
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(budget.hold(answer(60 << 10)).status(), 503);
        assert_eq!(budget.hold(answer(1000)).status(), 200, "small ones pass");
        // The body is read, but its bytes are still waiting.
        let bytes = first.into_body().collect().await.expect("whole").to_bytes();
        assert_eq!(bytes.len(), 60 << 10);
        assert_eq!(budget.hold(answer(60 << 10)).status(), 503);
        drop(bytes);
        let again = budget.hold(answer(60 << 10));
        assert_eq!(again.status(), StatusCode::OK);
        drop(again);
        assert_eq!(budget.hold(answer(100 << 10)).status(), 200);
    }
}
