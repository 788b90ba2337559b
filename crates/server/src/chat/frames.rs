//! Events of the hub as frames for the wire, and payloads as commands for the hub.
//!
//! In: events, and the dialect of a connection. Out: one ready frame each, or none where the dialect tells nothing.
//! Invariant: a publication is encoded by the first connection of a dialect that sends it, and compressed by the first that
//! may; all others of that dialect take the same frame.

use std::{borrow::Cow, marker::PhantomData};

use tidewire::ws::{CloseFrame, DeflateConfig, Prepared};
use tidewire_dialect::{Dialect, Ending, Payload};
use tidewire_hub::{CommandError, Event, Session, UserId};

/// A publication as one dialect sends it. The dialect is in the type, so that each has a place of its own.
struct Frame<D> {
    prepared: Option<Prepared>,
    dialect: PhantomData<fn() -> D>,
}

/// The same with its compressed form, for connections that have agreed on compression.
struct Compressed<D>(Frame<D>);

/// The frame of an event for a connection of `user`, compressed by `deflate` where the connection agreed on that.
pub(super) fn frame<'a, D: Dialect>(
    event: &'a Event,
    user: &UserId,
    deflate: Option<&DeflateConfig>,
) -> Option<Cow<'a, Prepared>> {
    let compress = |prepared: Prepared| match deflate {
        Some(config) => prepared.compress(config),
        None => prepared,
    };
    match event {
        Event::Publication(publication) if deflate.is_some() => {
            let frame = publication.rendered(|publication| {
                let prepared = D::publication(publication).map(prepare);
                Compressed(Frame::<D> {
                    prepared: prepared.map(compress),
                    dialect: PhantomData,
                })
            });
            frame.0.prepared.as_ref().map(Cow::Borrowed)
        }
        Event::Publication(publication) => {
            let frame = publication.rendered(|publication| Frame::<D> {
                prepared: D::publication(publication).map(prepare),
                dialect: PhantomData,
            });
            frame.prepared.as_ref().map(Cow::Borrowed)
        }
        Event::Notice(notice) => {
            let notice = D::notice(notice, user).map(prepare);
            notice.map(compress).map(Cow::Owned)
        }
    }
}

fn prepare(payload: Payload) -> Prepared {
    match payload {
        Payload::Text(text) => Prepared::text(&text),
        Payload::Binary(bytes) => Prepared::binary(&bytes),
    }
}

/// Whether the peer's close frame answers ours, and is not one that crossed it: most libraries echo
/// code and reason, some the code alone. Codes of our own nobody sends by himself.
pub(super) fn is_answer(frame: &CloseFrame, ours: &CloseFrame) -> bool {
    let own_code = (4000..5000).contains(&ours.code.0);
    let same_reason = frame.reason == ours.reason && !ours.reason.is_empty();
    frame.code == ours.code && (same_reason || own_code)
}

/// Gives the hub the command in a payload; the error is the end of the connection.
pub(super) fn submit<'a, D: Dialect>(
    session: &Session,
    payload: &[u8],
) -> Result<(), Ending<'a, D::Error>> {
    let command = D::decode(payload, session.user(), session.settings()).map_err(|error| {
        session.count_invalid();
        Ending::Invalid(error)
    })?;
    let submitted = session.submit(command, payload.len());
    submitted.map_err(|error| match error {
        CommandError::Ended(reason) => Ending::Session(reason),
        CommandError::ForeignSender | _ => Ending::ForeignSender,
    })
}
