//! A pinned connection whose messages the gateway reads: where the endpoint limits them, lets the
//! client's socket outlive its backend, or speaks other extensions with each side.
//!
//! The client's side and the [`BackendSession`] run in one task, with a pair of queues between them.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use tidewire::ws::{
    Answer, CloseCode, CloseFrame, Config, DeflateConfig, Established, IncomingChunk, Opening,
    SendError, WebSocket,
};

use super::AdmittedClient;
use crate::{
    backend::{
        queue::{Down, Piece},
        session::{self, BackendSession, Queues},
    },
    client::{admission::refuse, inbound::Inbound, receipts::Receipts},
    routing::request,
    settings::{Endpoint, Extensions, Limits},
};

/// Room on the way up, where no resume says otherwise.
const UP_BYTES_MAX: usize = 64 << 10;
const UP_ITEMS_MAX: usize = 1024;

/// Pieces of the client's messages that are looked at before others have their turn.
const CHUNKS_PER_POLL: u32 = 1024;

/// The one logical socket of such a connection.
const SOCKET: u32 = 0;

/// Opens the backend, then the client.
pub(super) async fn open(
    admitted: AdmittedClient,
    opening: Opening,
    endpoint: &Endpoint,
) -> Option<Established> {
    let limits = admitted.gateway.table().settings.limits.clone();
    let account = opening.memory().account();
    let queues = match &endpoint.resume {
        Some(resume) => Queues::new(resume.bytes_max, resume.messages_max, &account),
        None => Queues::new(UP_BYTES_MAX, UP_ITEMS_MAX, &account),
    };
    let session = admitted.gateway.sessions.open(admitted.begin);
    let target = Arc::clone(&admitted.target);
    let mut backend_session =
        BackendSession::new(admitted.target, admitted.ask, &queues, &session, &limits);
    let backend = match backend_session.open().await {
        Ok(backend) => backend,
        Err(refusal) => {
            session.never_opened();
            return refuse(opening, &refusal).await;
        }
    };
    let deflate = DeflateConfig::default();
    let headers = backend.answer_fields();
    let own = request::credentials_subprotocol(&opening.request().head, endpoint);
    let answer = Answer {
        subprotocol: backend.subprotocol().or(own.as_deref()),
        deflate: (endpoint.extensions == Extensions::PerHop).then_some(&deflate),
        headers: &headers,
        ..Answer::default()
    };
    let mut config = config(&limits);
    config.deflate = answer.deflate.cloned();
    let config = Arc::new(config);
    let client = match opening.accept(&answer, Some(config)).await {
        Ok(client) => client.charge_to(&account),
        Err(error) => {
            tracing::debug!(error = %tidewire::ErrorChain(&error), "the client has gone");
            session.ended(None, "client lost");
            return None;
        }
    };
    let inbound = Inbound::new(Arc::clone(&queues.up), target, endpoint);
    let mut side = ClientSide {
        client,
        queues,
        inbound,
        receipts: Receipts::default(),
        closing: false,
    };
    let place = admitted.place;
    Some(Box::pin(async move {
        let client = async {
            poll_fn(|cx| side.poll(cx)).await;
            drop(side); // tells the backend session
        };
        let ((), (code, why)) = tokio::join!(client, backend_session.run(backend));
        session.ended(code, why);
        drop(place);
    }))
}

fn config(limits: &Limits) -> Config {
    let mut config = Config::default();
    config.ping_interval = Some(limits.ping_interval);
    config.control_rate = limits.control_rate;
    config.message_timeout = limits.message_timeout;
    config
}

/// The client's socket and its ends of the queues.
struct ClientSide {
    client: WebSocket,
    queues: Queues,
    inbound: Inbound,
    receipts: Receipts,
    /// The client was told to close: what it still sends is thrown away.
    closing: bool,
}

impl ClientSide {
    /// Runs until the client's connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut full = self.poll_down(cx);
            if self.poll_up(cx).is_ready() {
                return Poll::Ready(());
            }
            if !self.closing {
                full |= self.receipts.send(&mut self.client);
            }
            match self.client.poll_flush(cx) {
                Poll::Ready(Ok(())) if full => {}
                // The next receive tells what is wrong.
                Poll::Ready(_) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// From the backend session to the client; whether the send queue is full.
    fn poll_down(&mut self, cx: &Context<'_>) -> bool {
        while !self.closing
            && let Poll::Ready(down) = self.queues.down.poll_pop(cx)
        {
            match down {
                Some(Down::Piece(piece)) => {
                    match self
                        .client
                        .try_send_fragment(piece.kind, &piece.data, piece.last)
                    {
                        Ok(()) => {}
                        Err(SendError::Full) => {
                            self.queues.down.put_back(Down::Piece(piece));
                            return true;
                        }
                        Err(_closing) => self.closing = true,
                    }
                }
                Some(Down::Ping(number)) => self.receipts.due(SOCKET, number),
                Some(Down::Lost(_)) => self.inbound.lost = true,
                Some(Down::Back) => self.inbound.lost = false,
                Some(Down::Closed(frame)) => {
                    let frame = frame.unwrap_or_else(session::no_status);
                    self.close(&frame);
                }
                Some(Down::Opened(_) | Down::Rejected(..)) => {}
                None => self.close(&CloseFrame::new(CloseCode::INTERNAL_ERROR, "")),
            }
        }
        false
    }

    fn close(&mut self, frame: &CloseFrame) {
        self.client.start_close(frame.code, &frame.reason);
        self.closing = true;
    }

    /// From the client to the backend session; ready when the client's connection has ended.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut budget = CHUNKS_PER_POLL;
        while self.closing || self.inbound.poll_ready(cx).is_ready() {
            if budget == 0 {
                cx.waker().wake_by_ref(); // after the others' turn
                break;
            }
            budget -= 1;
            match self.client.poll_recv_chunk_any(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(_late))) if self.closing => {}
                Poll::Ready(Ok(Some(IncomingChunk::Pong(payload)))) => {
                    let proved = &self.queues.proved;
                    let tell = |_socket, number, pong| proved.tell(number, pong);
                    self.receipts.pong(&payload, self.client.pings_sent(), tell);
                }
                Poll::Ready(Ok(Some(IncomingChunk::Chunk(chunk)))) => {
                    let taken = self.inbound.take(Piece {
                        kind: chunk.kind,
                        data: chunk.data,
                        last: chunk.last,
                    });
                    if let Err(frame) = taken {
                        self.close(&frame);
                    }
                }
                Poll::Ready(Ok(Some(_answered))) => {}
                Poll::Ready(Ok(None)) => {
                    self.inbound.close(self.client.close_frame().cloned());
                    return Poll::Ready(());
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(error = %tidewire::ErrorChain(&error), "client lost");
                    return Poll::Ready(());
                }
            }
        }
        Poll::Pending
    }
}
