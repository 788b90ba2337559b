//! Messages taken as they arrive: the chunks, joined, are the messages of the
//! [`model`](crate::model), and no limit on sizes applies: of all limits only that of empty fragments.

use std::{sync::Arc, time::Instant};

use arbitrary::{Arbitrary as _, Unstructured};
use tidewire_proto::Event;

use crate::{
    drive::{self, Seen},
    frames::small_limits,
    model::{self, Taken},
    script::Script,
};

pub(crate) fn run(data: &[u8]) {
    let Ok(script) = Script::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let limits = small_limits();
    let expected = model::expected(script.receiver, &limits, Taken::InChunks, &script.bytes);
    for cuts in [&[][..], &[1], &script.cuts] {
        assert_eq!(joined(&script, cuts), expected, "in cuts of {cuts:?}");
    }
}

/// What is seen when chunks are put together again.
fn joined(script: &Script, cuts: &[u8]) -> Vec<Seen> {
    let config = Arc::new(small_limits());
    let connection = drive::connection(script.receiver, &config, Instant::now());
    let (mut incoming, _) = connection.split();
    let mut stream = script.bytes.clone();
    let mut rest = stream.as_mut_slice();
    let mut sizes = cuts.iter().cycle();
    let mut seen = Vec::new();
    let mut message = None;
    while !rest.is_empty() {
        let size = sizes
            .next()
            .map_or(rest.len(), |size| usize::from(*size).max(1));
        let (mut read, later) = rest.split_at_mut(size.min(rest.len()));
        while !read.is_empty() {
            let (used, event) = incoming.receive_chunk(read);
            assert!(used > 0, "every call takes something: nothing was kept");
            match event {
                Ok(None) => {}
                Ok(Some(Event::Chunk(chunk))) => {
                    let (kind, bytes) = message.get_or_insert((chunk.kind, Vec::new()));
                    assert_eq!(*kind, chunk.kind, "a message keeps its kind");
                    bytes.extend_from_slice(chunk.data);
                    if chunk.last {
                        seen.extend(
                            message
                                .take()
                                .map(|(kind, bytes)| Seen::Message(kind, bytes)),
                        );
                    }
                }
                Ok(Some(event)) => seen.push(drive::seen_of(event)),
                Err(error) => {
                    seen.push(Seen::Error(error));
                    return seen;
                }
            }
            read = &mut read[used..];
        }
        rest = later;
    }
    seen
}
