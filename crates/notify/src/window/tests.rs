//! Order, attempts and the cursor of events in hand.

use std::time::Duration;

use bytes::Bytes;
use tidewire_engine::{EventKind, StoredEvent, UserKey};

use super::*;
use crate::EventContent;

fn event(sequence: u64, user: &str) -> Event {
    Event {
        sequence,
        epoch: 1,
        user: user.into(),
        user_sequence: sequence,
        kind: "message",
        time_ms: 0,
        content: EventContent::default(),
        json: Bytes::from_static(b"{}"),
        stored: StoredEvent {
            sequence,
            key: UserKey::from(user),
            key_sequence: sequence,
            kind: EventKind::Message,
            time_ms: 0,
            body: Bytes::new(),
        },
    }
}

/// Events of these users in turn, numbered from 1.
fn window(users: &str) -> Window {
    let mut window = Window::new(0);
    for (at, user) in (1..).zip(users.chars()) {
        window.push(at, Some(event(at, &user.to_string())));
    }
    window
}

fn take(window: &mut Window, now: Instant, events_max: usize) -> Vec<Arc<Event>> {
    window
        .take_batch(now, events_max, usize::MAX)
        .unwrap_or_default()
}

fn numbers(batch: &[Arc<Event>]) -> Vec<u64> {
    batch.iter().map(|event| event.sequence).collect()
}

#[test]
fn events_of_a_user_who_is_under_way_wait_and_others_go_on() {
    let now = Instant::now();
    let mut window = window("aabca");
    let first = take(&mut window, now, 1);
    assert_eq!(numbers(&first), [1]);
    let second = take(&mut window, now, 10);
    assert_eq!(numbers(&second), [3, 4]);
    assert!(take(&mut window, now, 10).is_empty());
    window.done(&second);
    assert_eq!(window.cursor(), 0, "the first is not done");
    window.done(&first);
    assert_eq!(window.cursor(), 1);
    assert_eq!(numbers(&take(&mut window, now, 10)), [2, 5]);
}

#[test]
fn one_that_waits_for_its_next_attempt_holds_its_user_and_nobody_else() {
    let now = Instant::now();
    let mut window = window("abab");
    let batch = take(&mut window, now, 10);
    let retry_at = now + Duration::from_secs(1);
    let exhausted = window.failed(&batch, Failed::First { retry_at }, 3);
    assert!(exhausted.is_empty());
    assert_eq!(window.next_retry(), Some(retry_at));
    let others = take(&mut window, now, 10);
    assert_eq!(numbers(&others), [2, 4]);
    window.done(&others);
    assert!(take(&mut window, now, 10).is_empty());
    assert_eq!(numbers(&take(&mut window, retry_at, 10)), [1, 3]);
}

#[test]
fn an_event_is_exhausted_with_its_last_attempt_and_stays_until_it_is_done() {
    let now = Instant::now();
    let mut window = window("aa");
    let all = |counts| Failed::All {
        retry_at: now,
        counts,
    };
    for attempt in 1..3 {
        let batch = take(&mut window, now, 1);
        assert!(window.failed(&batch, all(true), 3).is_empty(), "{attempt}");
    }
    // One that does not count.
    let batch = take(&mut window, now, 1);
    assert!(window.failed(&batch, all(false), 3).is_empty());
    let batch = take(&mut window, now, 1);
    let exhausted = window.failed(&batch, all(true), 3);
    assert_eq!(exhausted.len(), 1);
    assert_eq!((exhausted[0].0.sequence, exhausted[0].1), (1, 3));
    assert!(take(&mut window, now, 10).is_empty(), "its user waits");
    window.done(&batch);
    assert_eq!(numbers(&take(&mut window, now, 10)), [2]);
}

#[test]
fn a_batch_that_was_refused_as_a_whole_goes_one_by_one_in_order() {
    let now = Instant::now();
    let mut window = window("abc");
    let batch = take(&mut window, now, 10);
    assert!(window.failed(&batch, Failed::OneByOne, 1).is_empty());
    for number in 1..=3 {
        let batch = take(&mut window, now, 10);
        assert_eq!(numbers(&batch), [number]);
    }
}

#[test]
fn what_a_target_does_not_get_moves_the_cursor() {
    let mut window = Window::new(7);
    window.push(8, None);
    assert_eq!((window.cursor(), window.len().0), (8, 0));
    window.push(9, Some(event(9, "a")));
    window.push(10, None);
    window.read_up_to(12);
    assert_eq!((window.cursor(), window.next_read()), (8, 12));
    let batch = take(&mut window, Instant::now(), 10);
    window.done(&batch);
    assert_eq!(window.cursor(), 12);
}

#[test]
fn the_trial_takes_turns_so_that_one_event_cannot_keep_the_target_away_from_all() {
    let now = Instant::now();
    let mut window = window("abc");
    let mut seen = Vec::new();
    for _ in 0..6 {
        let trial = window.take_trial(now).expect("one is due");
        seen.extend(numbers(&trial));
        let failed = Failed::All {
            retry_at: now,
            counts: false,
        };
        assert!(window.failed(&trial, failed, 1).is_empty());
    }
    assert_eq!(seen, [1, 2, 3, 1, 2, 3]);
}
