//! A connection becomes a session: takes a number, fills its inbox, gives the number back.

use std::{pin::Pin, sync::Arc};

use tidewire_proto::CloseCode;

use super::slots::Slots;
use crate::ws::{AcceptFuture, Decision, Endpoint, Refusal, Request, Sender, WebSocket};

pub(super) struct Serving(pub(super) Arc<Slots>);

impl Endpoint for Serving {
    fn accept<'a>(&'a self, request: &'a Request) -> AcceptFuture<'a> {
        if self.0.reserve(&request.head) {
            Decision::default().into()
        } else {
            let refusal = Refusal::new(503, "all sessions are taken");
            refusal.header("Retry-After", "5").into()
        }
    }

    fn serve(
        &self,
        mut socket: WebSocket,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let slots = Arc::clone(&self.0);
        let sender = socket.sender();
        // Now, and not when the future is first polled: from here on the number has a session.
        let opened = slots.open(&request.head, &sender);
        Box::pin(async move {
            drop(request);
            let Some((id, pump)) = opened else {
                socket.start_close(CloseCode::GOING_AWAY, "");
                while let Ok(Some(_)) = socket.recv().await {}
                return;
            };
            // Also when the task is aborted.
            let _occupied = Occupied { slots, id, sender };
            pump.run(socket).await;
        })
    }
}

struct Occupied {
    slots: Arc<Slots>,
    id: usize,
    sender: Sender,
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.slots.ended(self.id, &self.sender);
    }
}
