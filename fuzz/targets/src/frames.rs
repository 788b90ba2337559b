//! Received bytes: the events are those of the [`model`](crate::model), in any cut, and what
//! is kept stays within the limits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arbitrary::{Arbitrary as _, Unstructured};
use tidewire_proto::{Config, Role};

use crate::{
    drive::{self, receive_all},
    model::{self, Taken},
    script,
    script::Script,
    wire,
};

/// Any bytes.
pub(crate) fn raw(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok((receiver, cuts)) = head(&mut u) else {
        return;
    };
    let rest = u.take_rest();
    check(&Script {
        receiver,
        cuts,
        bytes: rest.to_vec(),
    });
}

/// Frames, most of them valid.
pub(crate) fn scripted(data: &[u8]) {
    if let Ok(script) = Script::arbitrary(&mut Unstructured::new(data)) {
        check(&script);
    }
}

fn head(u: &mut Unstructured<'_>) -> arbitrary::Result<(Role, Vec<u8>)> {
    Ok((script::role(u)?, script::cuts(u)?))
}

/// Limits small enough to be reached.
pub(crate) fn small_limits() -> Config {
    let mut config = Config::default();
    config.message_bytes_max = 600;
    config.frame_bytes_max = 400;
    config.fragments_max = 5;
    config.send_queue_bytes_max = 2000;
    config.control_queue_bytes_max = 300;
    config.send_frame_bytes_max = 500;
    config.ping_interval = Some(Duration::from_secs(25));
    config
}

fn check(script: &Script) {
    let now = Instant::now();
    for config in [Config::default(), small_limits()] {
        let config = Arc::new(config);
        let expected = model::expected(script.receiver, &config, Taken::Whole, &script.bytes);
        let mut sent = Vec::new();
        for cuts in [&[][..], &[1], &script.cuts] {
            let mut connection = drive::connection(script.receiver, &config, now);
            let seen = receive_all(&mut connection, &script.bytes, cuts);
            assert_eq!(seen, expected, "the same events in cuts of {cuts:?}");
            sent.push(drive::transmit(&mut connection, usize::MAX, 4));
        }
        assert!(
            sent.windows(2).all(|pair| pair[0] == pair[1]),
            "the same answers in any cut"
        );
        wire::read_sent(&sent[0], script.receiver);
    }
    check_memory(script);
}

/// The heap of a connection whose peer sends and never reads: bounded by the limits, and by
/// what has really come, whatever a header announces.
fn check_memory(script: &Script) {
    let small = small_limits();
    // A growing vector holds its old half beside twice what it needs for a moment: 3 times.
    let within_limits = 3
        * (small.message_bytes_max
            + small.control_queue_bytes_max.max(256)
            + 4 * 139 // the pong, the close frame, a control frame in pieces, the pong that waits
            + 256); // the text of an error
    check_heap(script, small, within_limits);
    // A masked pong is up to three times as long as its ping.
    let by_arrival = 3 * (3 * script.bytes.len() + 1024);
    check_heap(script, Config::default(), by_arrival);
}

fn check_heap(script: &Script, config: Config, most: usize) {
    let config = Arc::new(config);
    let now = Instant::now();
    let mut stream = script.bytes.clone();
    let mut connection = drive::connection(script.receiver, &config, now);
    let used = allocation_counter::measure(|| {
        let mut sizes = script.cuts.iter().cycle();
        let mut rest = stream.as_mut_slice();
        while !rest.is_empty() {
            let size = sizes.next().map_or(64, |size| usize::from(*size).max(1));
            let (mut read, later) = rest.split_at_mut(size.min(rest.len()));
            while !read.is_empty() {
                let (taken, _) = connection.receive(read);
                read = &mut read[taken..];
            }
            rest = later;
        }
    });
    assert!(
        used.bytes_max <= most as u64,
        "{} bytes of heap, expected at most {most}",
        used.bytes_max
    );
}
