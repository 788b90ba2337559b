//! The classic dialect byte by byte, where only a store that is pumped by hand gets to: refusals of the
//! store, and the ends of sessions.

use tidewire_engine::AppendError;
use tidewire_hub::{ConnectError, UserId};

use crate::desk::{Client, Desk};

/// Everything handed out, as the client's payloads, without ids.
fn heard(client: &mut Client) -> Vec<String> {
    let mut all = client.receive_raw();
    all.extend(client.receive_raw());
    all
}

fn refusal(code: &str, text: &str, reference: &str) -> String {
    format!(
        r#"{{"data":{{"code":"{code}","message":"{text}"{reference}}},"id":"00000000-00000000-0000-00000000","recipients":[1],"sender":0,"text":"{text}","timestamp":"","type":"notification_refused"}}"#
    )
}

const PAYLOAD: &[u8] =
    br#"{"type":"text","sender":1,"recipients":[2],"text":"x","data":{"ref":"r"}}"#;
const REFERENCE: &str = r#","ref":"r""#;

#[test]
fn refusals_of_the_store() {
    let failed = AppendError::Failed {
        reason: "a secret".into(),
    };
    for (error, code, text) in [
        (AppendError::DiskFull, "disk_full", "the disk is full"),
        (
            AppendError::StoreFull,
            "store_full",
            "the message store is full",
        ),
        (failed, "store_failed", "the message store has failed"),
        (
            AppendError::SenderFull,
            "sender_quota",
            "too many messages of the sender are waiting",
        ),
    ] {
        let desk = Desk::new();
        let mut anna = desk.online("1");
        desk.mailbox.refuse_next(error);
        anna.submit(PAYLOAD).unwrap();
        desk.mailbox.pump();
        assert_eq!(heard(&mut anna), [refusal(code, text, REFERENCE)]);
    }
}

#[test]
fn refusals_before_the_store() {
    let desk = Desk::with(|config| {
        config.submissions_max = 1;
        config.fanout_bytes_max = 400;
    });
    let mut anna = desk.online("1");
    anna.submit(PAYLOAD).unwrap();
    anna.submit(PAYLOAD).unwrap();
    assert_eq!(
        heard(&mut anna),
        [refusal("busy", "the server is busy, try again", REFERENCE)]
    );
    desk.mailbox.pump();
    // Each recipient counts 160 bytes, the sender's id and the members of the message.
    let two = br#"{"type":"text","sender":1,"recipients":[2,3],"text":"","timestamp":"t"}"#;
    let bytes = 2 * (160 + 20 + "null".len() + "\"\"".len() + "\"text\"".len() + "\"t\"".len());
    assert_eq!(bytes, 390);
    anna.submit(two).unwrap();
    desk.mailbox.pump();
    assert!(heard(&mut anna).is_empty());
    let larger =
        br#"{"type":"text","sender":1,"recipients":[2,3],"text":"123456","timestamp":"t"}"#;
    anna.submit(larger).unwrap();
    let text = "the message is too large for so many recipients";
    assert_eq!(heard(&mut anna), [refusal("fanout_too_large", text, "")]);
    desk.mailbox.set_queue_max(0);
    anna.submit(PAYLOAD).unwrap();
    assert_eq!(
        heard(&mut anna),
        [refusal("busy", "the server is busy, try again", REFERENCE)]
    );
    desk.hub.stop_accepting();
    anna.submit(PAYLOAD).unwrap();
    assert_eq!(
        heard(&mut anna),
        [refusal(
            "stopping",
            "the server is about to stop",
            REFERENCE
        )]
    );
}

#[test]
fn ends_of_sessions() {
    let check = |end: &dyn Fn(&Desk) -> Client, code: u16, reason: &str| {
        let desk = Desk::new();
        let mut client = end(&desk);
        heard(&mut client);
        assert_eq!(client.close(), (code, reason.to_owned()));
    };
    check(
        &|desk| {
            let client = desk.connect("1");
            desk.mailbox.fail_reads();
            desk.mailbox.pump();
            client
        },
        1011,
        "the message store has failed",
    );
    check(
        &|desk| {
            let (anna, client) = (desk.online("9"), desk.online("1"));
            desk.mailbox.set_epoch(8);
            anna.send(&["1"], "x");
            desk.mailbox.pump();
            client
        },
        1013,
        "the mailbox was reset, please reconnect",
    );
}

#[test]
fn connections_that_become_no_session() {
    let user = || "1".parse::<UserId>().unwrap();
    let closes = |error: ConnectError| crate::desk::close_of(error);
    let desk = Desk::with(|config| config.sessions_max = 1);
    let _one = desk.online("2");
    let error = desk.hub.connect(user()).unwrap_err();
    assert_eq!(closes(error), (1013, "too many connections".to_owned()));
    let desk = Desk::with(|config| config.sessions_per_user_max = 1);
    let _one = desk.online("1");
    let error = desk.hub.connect(user()).unwrap_err();
    assert_eq!(
        closes(error),
        (1013, "too many connections of this user".to_owned())
    );
    desk.hub.stop_accepting();
    let error = desk.hub.connect(user()).unwrap_err();
    assert_eq!(
        closes(error),
        (1013, "the server is about to stop".to_owned())
    );
    let desk = Desk::new();
    tidewire_engine::Mailbox::stop(&*desk.mailbox);
    let error = desk.hub.connect(user()).unwrap_err();
    assert_eq!(closes(error), (1012, "the store is closed".to_owned()));
}
