//! What becomes of messages that were handed out and not confirmed.

use tidewire_hub::Begin;

use crate::desk::{Client, Desk};

/// Three clients of user 2, one after the other, got "a" and "b" and proved nothing.
fn three_in_vain() -> Desk {
    let desk = Desk::new();
    let anna = desk.online("1");
    for text in ["a", "b"] {
        anna.send(&["2"], text);
    }
    desk.mailbox.pump();
    for _ in 0..3 {
        let mut bob = desk.online("2");
        assert!(!bob.session().is_waiting());
        assert_eq!(bob.texts(), ["a", "b"]);
        bob.vanish();
    }
    anna.send(&["2"], "c");
    desk.mailbox.pump();
    desk
}

fn pump(desk: &Desk, client: &mut Client) -> Vec<String> {
    desk.mailbox.pump();
    client.texts()
}

#[test]
fn no_more_than_the_window_is_handed_out_until_it_is_confirmed() {
    let desk = Desk::new();
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    bob.session().set_window(2, 1 << 20);
    for text in ["a", "b", "c", "d"] {
        anna.send(&["2"], text);
    }
    desk.mailbox.pump();
    assert_eq!(bob.texts(), ["a", "b"]);
    let wakes = bob.wakes();
    bob.session().set_window(3, 1 << 20);
    assert_eq!(bob.wakes(), wakes + 1);
    assert_eq!(bob.texts(), ["c"]);
    bob.confirm();
    assert_eq!(bob.texts(), ["d"]);
}

#[test]
fn one_message_larger_than_the_window_is_handed_out_alone() {
    let desk = Desk::new();
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    bob.session().set_window(10, 1);
    for text in ["a", "b"] {
        anna.send(&["2"], text);
    }
    desk.mailbox.pump();
    assert_eq!(bob.texts(), ["a"]);
    bob.confirm();
    assert_eq!(bob.texts(), ["b"]);
}

#[test]
fn who_waits_to_submit_beside_a_full_outbox_is_woken_when_submissions_settle() {
    let desk = Desk::with(|config| {
        config.outbox_messages_max = 4;
        config.submissions_max = 4;
    });
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    bob.session().set_window(1, 1);
    for _ in 0..5 {
        anna.send(&["2"], "unproved");
        desk.mailbox.pump();
    }
    assert_eq!(bob.texts().len(), 1);
    for _ in 0..4 {
        bob.send(&["1"], "a pong stands behind this");
    }
    assert!(!bob.is_ready_to_submit_when(true));
    let wakes = bob.wakes();
    desk.mailbox.pump();
    assert_eq!(bob.wakes(), wakes + 1);
    assert!(bob.is_ready_to_submit_when(true));
}

#[test]
fn what_was_handed_out_three_times_in_vain_waits_for_a_client_that_answers() {
    let desk = three_in_vain();
    let mut bob = desk.online("2");
    assert!(bob.session().is_waiting());
    assert!(pump(&desk, &mut bob).is_empty());
    bob.session().begin(Begin::Everything);
    assert_eq!(pump(&desk, &mut bob), ["a", "b", "c"]);
    bob.confirm();
    drop(bob);
    desk.mailbox.pump();
    assert!(desk.mailbox.pending("2").is_empty());
    assert!(!desk.online("2").session().is_waiting());
}

#[test]
fn a_client_that_does_not_answer_gets_the_rest() {
    let desk = three_in_vain();
    let mut bob = desk.online("2");
    bob.session().begin(Begin::BehindRepeated);
    assert_eq!(pump(&desk, &mut bob), ["c"]);
    let anna = desk.online("1");
    anna.send(&["2"], "live");
    assert_eq!(pump(&desk, &mut bob), ["live"]);
    assert_eq!(desk.mailbox.pending("2").len(), 4, "nothing has left");
}

#[test]
fn a_client_that_answers_late_gets_everything_in_order() {
    let desk = three_in_vain();
    let mut bob = desk.online("2");
    bob.session().begin(Begin::BehindRepeated);
    assert_eq!(pump(&desk, &mut bob), ["c"]);
    bob.session().begin(Begin::Everything);
    bob.confirm();
    assert_eq!(pump(&desk, &mut bob), ["a", "b", "c"]);
    assert_eq!(
        desk.mailbox.pending("2").len(),
        3,
        "the first \"c\" proved nothing"
    );
    bob.confirm();
    desk.mailbox.pump();
    assert!(desk.mailbox.pending("2").is_empty());
}

#[test]
fn a_late_answer_during_a_read_begins_anew_behind_it() {
    let desk = three_in_vain();
    let mut bob = desk.connect("2");
    bob.session().begin(Begin::BehindRepeated);
    bob.session().begin(Begin::Everything);
    assert_eq!(pump(&desk, &mut bob), ["a", "b", "c"]);
}

#[test]
fn what_was_never_written_does_not_count_as_handed_out() {
    let desk = Desk::new();
    desk.online("1").send(&["2"], "a");
    desk.mailbox.pump();
    for round in 0..6 {
        let mut bob = desk.online("2");
        assert!(!bob.session().is_waiting(), "round {round}");
        assert_eq!(bob.session().unproven_sessions(), round);
        assert_eq!(bob.texts(), ["a"]);
    }
}

/// A client without pongs that got "a" to "d", of which the newest two are kept.
fn without_pongs(desk: &Desk) -> Client {
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    for text in ["a", "b", "c", "d"] {
        anna.send(&["2"], text);
    }
    desk.mailbox.pump();
    assert_eq!(bob.texts().len(), 4);
    bob.session().forget_unproven(bob.session().mark());
    bob
}

#[test]
fn a_client_without_pongs_is_handed_more_than_may_be_unconfirmed_and_all_stays() {
    let desk = Desk::with(|config| {
        config.unproven_messages_kept = 1;
        config.in_flight_messages_max = 2;
    });
    let (anna, mut bob) = (desk.online("1"), desk.online("2"));
    for round in 0..50 {
        anna.send(&["2"], &round.to_string());
        desk.mailbox.pump();
        assert_eq!(bob.texts(), [round.to_string()]);
        bob.session().forget_unproven(bob.session().mark());
    }
    assert_eq!(desk.mailbox.pending("2").len(), 50);
    bob.confirm();
    desk.mailbox.pump();
    assert!(
        desk.mailbox.pending("2").is_empty(),
        "a late proof covers all"
    );
}

#[test]
fn a_client_without_pongs_lets_go_what_was_held_and_keeps_the_newest() {
    let desk = Desk::with(|config| config.unproven_messages_kept = 2);
    let bob = without_pongs(&desk);
    bob.session().release_unproven();
    desk.mailbox.pump();
    assert_eq!(desk.mailbox.pending("2").len(), 4, "nothing was held");
    bob.session().hold_unproven();
    bob.session().release_unproven();
    desk.mailbox.pump();
    assert_eq!(desk.mailbox.pending("2").len(), 2);
    let totals = desk.hub.totals();
    assert_eq!((totals.released, totals.confirmed), (2, 0));
}

#[test]
fn nothing_is_let_go_of_a_user_whose_clients_have_answered() {
    let desk = Desk::with(|config| config.unproven_messages_kept = 2);
    desk.online("2").session().begin(Begin::Everything);
    let bob = without_pongs(&desk);
    bob.session().hold_unproven();
    bob.session().release_unproven();
    desk.mailbox.pump();
    assert_eq!(desk.mailbox.pending("2").len(), 4);
}

#[test]
fn what_was_unproven_at_the_end_can_be_confirmed_behind_it() {
    for confirmed in [false, true] {
        let desk = Desk::with(|config| config.delivery_status = true);
        let (mut anna, mut bob) = (desk.online("1"), desk.online("2"));
        anna.send(&["2"], "a");
        desk.mailbox.pump();
        assert_eq!(bob.texts(), ["a"]);
        let unproven = bob.into_unproven();
        assert!(!desk.is_online("2"));
        if confirmed {
            unproven.confirm();
        } else {
            drop(unproven);
        }
        desk.mailbox.pump();
        assert_eq!(desk.mailbox.pending("2").is_empty(), confirmed);
        assert_eq!(anna.receive().len(), usize::from(confirmed));
        // It was slow all the same: the next session is to be more patient.
        assert_eq!(desk.online("2").session().unproven_sessions(), 1);
    }
}
