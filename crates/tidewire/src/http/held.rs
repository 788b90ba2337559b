//! What answers may hold in memory, over all connections: [`AnswerBudget`].
//!
//! In: answers about to be written. Out: the same answers, each holding its size of the budget
//! until its last byte is given to the system; 503 when the budget is used up. Invariant: the
//! share is given back whatever ends the answer.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use tidewire_proto::handshake;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{cache::CachedBody, progress::Answered};

/// Answers of this size are taken without asking: they fit into the system's buffer.
const SMALL: u64 = 4 << 10;
/// What a connection buffers of an answer made page by page, at most.
const STREAMED: u64 = 256 << 10;
/// Of an answer over HTTP/2 at a time: so much has to move for it to be seen moving. A frame as large as any client
/// takes.
const PIECE_BYTES: usize = 16 << 10;
/// The budget is counted in these.
const UNIT: u64 = 1 << 10;

/// Bytes that answers may hold in memory. Clones share it.
#[derive(Clone, Debug)]
pub struct AnswerBudget {
    units: Arc<Semaphore>,
    refusal: Refusal,
}

/// The body of an answer for which there is no room.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    content_type: &'static str,
    text: &'static str,
}

impl AnswerBudget {
    /// Room for so many bytes, counted in KiB; answers up to 4 KiB need none.
    pub fn new(bytes: usize) -> Self {
        let units = usize::try_from(bytes as u64 / UNIT).unwrap_or(usize::MAX);
        Self {
            units: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            refusal: Refusal {
                content_type: "text/plain; charset=utf-8",
                text: "too many answers are waiting to be read\n",
            },
        }
    }

    /// The body of the 503 that stands for an answer without room. Default: a line of text.
    #[must_use]
    pub fn refuse_with(mut self, content_type: &'static str, text: &'static str) -> Self {
        self.refusal = Refusal { content_type, text };
        self
    }

    /// Lets an answer hold its share, or replaces it.
    pub(crate) fn hold<B: Body>(&self, response: Response<B>) -> Response<HeldBody<B>> {
        let bytes = response.body().size_hint().exact().unwrap_or(STREAMED);
        if bytes <= SMALL {
            return response.map(|body| HeldBody::new(Kind::Small(body)));
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&self.units).try_acquire_many_owned(units) else {
            return self.refusal.response();
        };
        let share = Arc::new(permit);
        response.map(|body| HeldBody::new(Kind::Held(body, share)))
    }

    /// An answer of which the cache holds the bytes, or a file: it costs next to nothing more.
    #[expect(clippy::unused_self, reason = "as the others")]
    pub(crate) fn hold_cached<B>(&self, response: Response<CachedBody>) -> Response<HeldBody<B>> {
        response.map(|body| HeldBody::new(Kind::Cached(body)))
    }
}

/// The 503 for a request that has no place, whatever the budget.
pub(crate) fn refused<B>(text: &'static str) -> Response<HeldBody<B>> {
    let content_type = "text/plain; charset=utf-8";
    Refusal { content_type, text }.response()
}

/// The answer to a request that breaks a rule.
pub(super) fn malformed<B>(refusal: &handshake::Refusal) -> Response<HeldBody<B>> {
    let (content_type, content) = refusal.content();
    let content = Bytes::from(content.into_owned());
    let mut response = Response::new(HeldBody::new(Kind::Refused(Full::new(content))));
    *response.status_mut() =
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    response
}

impl Refusal {
    fn response<B>(self) -> Response<HeldBody<B>> {
        let text = Bytes::from_static(self.text.as_bytes());
        let mut response = Response::new(HeldBody::new(Kind::Refused(Full::new(text))));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let fields = [
            (header::CONTENT_TYPE, self.content_type),
            (header::RETRY_AFTER, "5"),
        ];
        for (name, value) in fields {
            let headers = response.headers_mut();
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// An answer's body, with its share of the budget if it needs one.
#[derive(Debug)]
pub(crate) struct HeldBody<B> {
    kind: Kind<B>,
    /// Of HTTP/2 only.
    answered: Option<Answered>,
    /// Behind the piece that was given last.
    rest: Bytes,
}

impl<B> HeldBody<B> {
    fn new(kind: Kind<B>) -> Self {
        Self {
            kind,
            answered: None,
            rest: Bytes::new(),
        }
    }

    /// Tells the connection how the answer moves on, and so gives it in pieces that move.
    pub(super) fn watched_by(mut self, answered: Answered) -> Self {
        self.answered = Some(answered);
        self
    }
}

#[derive(Debug)]
enum Kind<B> {
    Small(B),
    Held(B, Arc<OwnedSemaphorePermit>),
    Refused(Full<Bytes>),
    Cached(CachedBody),
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

impl<B> Body for HeldBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Some(answered) = &this.answered else {
            return this.kind.poll_frame(context);
        };
        if this.rest.is_empty() {
            let polled = this.kind.poll_frame(context);
            answered.polled(polled.is_pending());
            match ready!(polled).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => this.rest = data,
                Some(Err(other)) => return Poll::Ready(Some(Ok(other))),
                None => return Poll::Ready(None),
            }
        } else {
            answered.polled(false);
        }
        let len = this.rest.len().min(PIECE_BYTES);
        let piece = answered.piece(this.rest.split_to(len));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        if !self.rest.is_empty() {
            return false;
        }
        match &self.kind {
            Kind::Small(body) | Kind::Held(body, _) => body.is_end_stream(),
            Kind::Refused(body) => body.is_end_stream(),
            Kind::Cached(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = match &self.kind {
            Kind::Small(body) | Kind::Held(body, _) => body.size_hint(),
            Kind::Refused(body) => body.size_hint(),
            Kind::Cached(body) => body.size_hint(),
        };
        if !self.rest.is_empty() {
            let rest = self.rest.len() as u64;
            let upper = hint.upper().map(|upper| upper + rest);
            hint.set_lower(hint.lower() + rest);
            if let Some(upper) = upper {
                hint.set_upper(upper);
            }
        }
        hint
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<B> Kind<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let (body, share) = match self {
            Self::Small(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
            }
            Self::Refused(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                return Poll::Ready(frame.and_then(Result::ok).map(Ok));
            }
            Self::Cached(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
            }
            Self::Held(body, share) => (body, share),
        };
        let Some(frame) = ready!(Pin::new(body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let held = |bytes| {
            Bytes::from_owner(Piece {
                bytes,
                _share: Arc::clone(share),
            })
        };
        Poll::Ready(Some(
            frame.map(|frame| frame.map_data(held)).map_err(Into::into),
        ))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn answer(len: usize) -> Response<Full<Bytes>> {
        Response::new(Full::new(Bytes::from(vec![b'x'; len])))
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
