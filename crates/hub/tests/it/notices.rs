//! Copies for the sender and receipts.

use crate::desk::{Desk, message, text};

/// S-26, S-27: before the recipients, on all devices of the sender, same id and time.
#[test]
fn the_sender_gets_a_copy_on_all_his_devices() {
    let desk = Desk::with(|config| config.send_back = true);
    let (mut phone, mut laptop, mut bob) = (desk.online("1"), desk.online("1"), desk.online("2"));
    phone.send(&["2", "1"], "hi");
    desk.mailbox.pump();
    let original = bob.receive().remove(0);
    // The copy, then the message itself, for he is among the recipients.
    assert_eq!(phone.receive(), [original.clone(), original.clone()]);
    assert_eq!(laptop.receive(), [original.clone(), original]);
    assert_eq!(desk.mailbox.pending("1").len(), 1);
}

/// S-27.
#[test]
fn ignored_types_are_not_sent_back_whatever_their_case() {
    let desk = Desk::with(|config| {
        config.send_back = true;
        config.send_back_ignored_types = vec!["TEXT".to_owned()];
    });
    let mut anna = desk.online("1");
    anna.send(&["2"], "hi");
    desk.mailbox.pump();
    assert!(anna.receive().is_empty());
}

/// S-27: by the payload's sender; a message of the administrator has no copies.
#[test]
fn the_copy_of_an_api_message_goes_to_the_sender_it_names() {
    let desk = Desk::with(|config| config.send_back = true);
    let (mut anna, mut bot) = (desk.online("1"), desk.online("0"));
    for sender in ["1", "0"] {
        desk.send_api(&message(&sender.parse().unwrap(), &["2"], sender));
    }
    desk.mailbox.pump();
    assert_eq!(anna.texts(), ["1"]);
    assert!(bot.receive().is_empty());
}

/// S-28, with our reference inside `data`; one per connection.
#[test]
fn each_connection_that_received_a_message_makes_one_receipt() {
    let desk = Desk::with(|config| config.delivery_status = true);
    let (mut anna, mut phone, mut laptop) = (desk.online("1"), desk.online("2"), desk.online("2"));
    anna.send(&["2"], "hi");
    desk.mailbox.pump();
    let id = phone.receive()[0]["id"].clone();
    assert!(anna.receive().is_empty(), "handing out is no receipt");
    phone.confirm();
    let receipt = anna.receive();
    assert_eq!(receipt.len(), 1);
    assert_eq!(
        receipt[0].to_string(),
        format!(
            r#"{{"data":{{"id":{id},"recipient":2}},"id":"00000000-00000000-0000-00000000","recipients":[1],"sender":0,"text":"","timestamp":"","type":"notification_received"}}"#
        )
    );
    laptop.receive();
    laptop.confirm();
    laptop.confirm();
    assert_eq!(anna.receive(), receipt);
    // Receipts are not confirmed in turn.
    anna.confirm();
    assert!(phone.receive().is_empty());
}

#[test]
fn a_message_that_waited_in_the_mailbox_makes_its_receipt_too() {
    let desk = Desk::with(|config| config.delivery_status = true);
    let mut anna = desk.online("anna");
    anna.send(&["2"], "hi");
    desk.mailbox.pump();
    let mut bob = desk.online("2");
    let id = bob.receive()[0]["id"].clone();
    bob.confirm();
    assert_eq!(anna.receive()[0]["data"]["id"], id);
}

/// S-29.
#[test]
fn the_administrator_gets_no_receipts() {
    let desk = Desk::with(|config| config.delivery_status = true);
    let (mut bot, mut bob) = (desk.online("0"), desk.online("2"));
    desk.send_api(&message(&"0".parse().unwrap(), &["2"], "hi"));
    desk.mailbox.pump();
    bob.receive();
    bob.confirm();
    assert!(bot.receive().is_empty());
}

#[test]
fn copies_beyond_the_outbox_of_another_device_are_dropped_and_counted() {
    let desk = Desk::with(|config| {
        config.send_back = true;
        config.outbox_messages_max = 2;
    });
    let (mut anna, mut other) = (desk.online("1"), desk.online("1"));
    for text in ["a", "b", "c"] {
        anna.send(&["2"], text);
    }
    assert!(anna.is_ready_to_submit());
    desk.mailbox.pump();
    assert!(
        !anna.is_ready_to_submit(),
        "a full outbox holds the sender back"
    );
    let wakes = anna.wakes();
    assert_eq!(
        other.receive().iter().map(text).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(
        anna.receive().iter().map(text).collect::<Vec<_>>(),
        ["a", "b", "c"],
        "for the session that submitted they are receipts"
    );
    assert_eq!(anna.wakes(), wakes + 1);
    assert!(anna.is_ready_to_submit());
    assert_eq!(desk.hub.totals().ephemeral_dropped, 1);
    assert_eq!(desk.hub.totals().accepted, 3);
}
