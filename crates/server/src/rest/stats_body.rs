//! The answer to `GET /stats`, made page by page while the client reads.
//!
//! In: the hub's table. Out: `{"data":[…],"success":true}`, users ascending. Invariant: at most
//! one page exists at a time, whoever reads and however slowly; a user who comes or goes
//! meanwhile may be in it or not, everybody else is in it once.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use tidewire_hub::{Hub, Stat, UserId};

use super::ids::Ids;

/// About 64 KiB of JSON.
const PAGE_USERS: usize = 200;

/// The body.
#[derive(Debug)]
pub(super) struct StatsBody {
    hub: Arc<Hub>,
    ids: Ids,
    next: Next,
}

#[derive(Debug)]
enum Next {
    Begin,
    Behind(UserId),
    Done,
}

impl StatsBody {
    pub(super) fn new(hub: Arc<Hub>, ids: Ids) -> Self {
        Self {
            hub,
            ids,
            next: Next::Begin,
        }
    }

    fn page(&mut self) -> Option<Vec<u8>> {
        let (mut json, after) = match &self.next {
            Next::Begin => (br#"{"data":["#.to_vec(), None),
            Next::Behind(user) => (Vec::new(), Some(user)),
            Next::Done => return None,
        };
        let stats: Vec<Stat> = self.hub.stats_page(after, PAGE_USERS);
        let mut is_first = after.is_none();
        let is_last = stats.len() < PAGE_USERS;
        self.next = match stats.last() {
            Some(stat) if !is_last => Next::Behind(stat.id.clone()),
            Some(_) | None => Next::Done,
        };
        for stat in stats {
            if !is_first {
                json.push(b',');
            }
            is_first = false;
            let stat = self.ids.stat(stat);
            serde_json::to_writer(&mut json, &stat).expect("numbers and a user id are JSON");
        }
        if is_last {
            json.extend_from_slice(br#"],"success":true}"#);
        }
        Some(json)
    }
}

impl HttpBody for StatsBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let page = self.page();
        Poll::Ready(page.map(|json| Ok(Frame::data(Bytes::from(json)))))
    }
}
