//! Who is online, and the numbers of S-52.

use tidewire_hub::UserId;

use crate::desk::Desk;

#[test]
fn online_is_who_has_a_live_session() {
    let desk = Desk::new();
    let user = |id: &str| id.parse::<UserId>().unwrap();
    let (_anna, phone, laptop) = (desk.online("anna"), desk.online("2"), desk.online("2"));
    assert_eq!(desk.online_users(10), [user("2"), user("anna")]);
    assert_eq!(desk.online_users(1).len(), 1);
    assert_eq!(desk.hub.sessions_len(), 3);
    drop(phone);
    assert!(desk.is_online("2"));
    // Dropping the handle is all it takes.
    drop(laptop);
    assert!(!desk.is_online("2"));
    assert_eq!(desk.hub.sessions_len(), 1);
}

#[test]
fn statistics_count_messages_and_bytes() {
    let desk = Desk::new();
    desk.clock.set(1000);
    let (anna, mut phone, mut laptop) = (desk.online("1"), desk.online("2"), desk.online("2"));
    desk.clock.set(1010);
    anna.send(&["2", "3"], "hi");
    desk.mailbox.pump();
    let received = phone.receive().len() + laptop.receive().len();
    assert_eq!(received, 2);
    desk.clock.set(1015);
    let sender = desk.hub.stat(&"1".parse().unwrap());
    // One message, whatever the recipients.
    assert_eq!((sender.sent_messages, sender.received_messages), (1, 0));
    assert_eq!(
        (sender.last_message_time, sender.time_inactivity),
        (1010, 5)
    );
    assert_eq!((sender.time_online, sender.is_online), (15, true));
    assert!(sender.bytes_transferred > 0);
    let recipient = desk.hub.stat(&"2".parse().unwrap());
    assert_eq!(
        (recipient.sent_messages, recipient.received_messages),
        (0, 2)
    );
    assert!(recipient.bytes_transferred > 200);
    assert_eq!(recipient.connected_times, 2);
    // User 3 was addressed, but never connected.
    assert_eq!(desk.hub.stats_page(None, 10).len(), 2);
    assert_eq!(desk.hub.stat(&"3".parse().unwrap()).time_offline, 0);
    let totals = desk.hub.totals();
    assert_eq!(
        (totals.sessions, totals.accepted, totals.delivered),
        (3, 1, 2)
    );
}

#[test]
fn a_message_of_the_api_counts_for_the_user_it_names() {
    let desk = Desk::new();
    let _anna = desk.online("1");
    let answer = desk.send_api(&crate::desk::message(&"1".parse().unwrap(), &["2"], "hi"));
    desk.mailbox.pump();
    assert!(answer.get().unwrap().is_ok());
    assert_eq!(desk.hub.stat(&"1".parse().unwrap()).sent_messages, 1);
}
