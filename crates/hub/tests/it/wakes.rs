//! Wake-ups: one per batch.

use crate::desk::Desk;

#[test]
fn a_batch_of_messages_wakes_a_session_once() {
    let desk = Desk::new();
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    assert!(bob.receive().is_empty());
    for _ in 0..100 {
        anna.send(&["2"], "hi");
    }
    desk.mailbox.pump();
    assert_eq!(bob.wakes(), 1);
    assert_eq!(bob.receive().len(), 100);
}

#[test]
fn the_end_of_a_session_wakes_it() {
    let desk = Desk::new();
    let mut bob = desk.connect("2");
    assert!(bob.receive().is_empty());
    desk.mailbox.fail_reads();
    desk.mailbox.pump();
    assert_eq!(bob.wakes(), 1);
}
