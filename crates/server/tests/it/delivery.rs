//! What happens to messages when connections misbehave.

use tidewire::ws::{Incoming, Message, RecvError};

use crate::desk::{Desk, envelope, raw, text};

#[tokio::test]
async fn users_with_numbers_and_names_talk_in_both_scaling_designs() {
    for server in [
        "runtime = \"per-core\"\nworkers = 2\n",
        "runtime = \"pool\"\n",
    ] {
        let desk = Desk::start(&format!("[server]\n{server}"));
        let mut bob = desk.user("bob").await;
        let mut seven = tidewire::ws::connect(&format!("{}/?id=7", desk.url("messaging")))
            .await
            .unwrap();
        for round in 0..50 {
            bob.send(envelope("\"bob\"", "7", &format!("ping {round}")))
                .await
                .unwrap();
            assert!(text(&mut seven).await.contains(&format!("ping {round}")));
            seven
                .send(envelope("7", "\"bob\"", &format!("pong {round}")))
                .await
                .unwrap();
            assert!(text(&mut bob).await.contains(&format!("pong {round}")));
        }
        drop((bob, seven));
        assert!(desk.running.stop().await);
    }
}

#[tokio::test]
async fn what_was_proved_to_have_arrived_is_not_delivered_again() {
    let desk = Desk::start("");
    let mut first = desk.user("42").await;
    desk.post(42, "once").await;
    assert!(text(&mut first).await.contains("once"));
    // The ping behind the message; its pong is on the way before the close frame.
    while !matches!(first.recv_any().await.unwrap(), Some(Incoming::Ping(_))) {}
    first
        .close(tidewire::ws::CloseCode::NORMAL, "")
        .await
        .unwrap();
    desk.post(42, "next").await;
    assert!(text(&mut desk.user("42").await).await.contains("next"));
}

#[tokio::test]
async fn with_confirm_written_a_message_leaves_the_mailbox_when_the_system_has_it() {
    let desk = Desk::start("[server]\nconfirm = \"written\"\n[chat]\ndelivery_status = true\n");
    let mut sender = desk.user("1").await;
    let _mute = raw(&desk, 42).await;
    sender.send(envelope("1", "42", "hello")).await.unwrap();
    assert!(text(&mut sender).await.contains("notification_received"));
}

/// S-41.
#[tokio::test]
async fn a_user_who_sends_nothing_for_too_long_is_closed_with_4010() {
    let desk = Desk::start("[server.keep_alive]\ninactive_timeout = \"1s\"\n");
    let mut idle = desk.user("42").await;
    assert_eq!(idle.recv().await.unwrap(), None);
    let close = idle.close_frame().unwrap();
    assert_eq!(
        (close.code.0, close.reason.as_str()),
        (4010, "Inactive more than 1 seconds (1)")
    );
}

#[tokio::test]
async fn a_large_backlog_arrives_in_order_at_a_slow_reader() {
    let desk = Desk::start("[mailbox]\nuser_messages_max = 10000\n[chat]\nsend_back = true\n");
    let mut sender = desk.user("1").await;
    let filler = "x".repeat(1000);
    for number in 0..3000 {
        sender
            .send(envelope("1", "42", &format!("{number} {filler}")))
            .await
            .unwrap();
    }
    for number in 0..3000 {
        let copy = text(&mut sender).await;
        assert!(
            copy.contains(&format!("\"text\":\"{number} ")),
            "{number}: {copy:.200}"
        );
    }
    let mut reader = desk.user("42").await;
    for number in 0..3000 {
        let message = text(&mut reader).await;
        assert!(
            message.contains(&format!("\"text\":\"{number} ")),
            "{number}: {message:.200}"
        );
    }
}

#[tokio::test]
async fn two_users_who_flood_each_other_both_get_everything() {
    let desk = Desk::start(
        "[mailbox]\nuser_messages_max = 100000\n[chat]\nsend_back = true\ndelivery_status = true\n",
    );
    let talk = |me: &'static str, other: &'static str, mut socket: tidewire::ws::WebSocket| async move {
        let (mut sent, mut got) = (0, 0);
        while sent < 5000 || got < 5000 {
            if sent < 5000 {
                match socket.try_send(&Message::text(envelope(me, other, &format!("{sent}")))) {
                    Ok(()) => {
                        sent += 1;
                        continue;
                    }
                    Err(error) => assert_eq!(error.to_string(), "the send queue is full"),
                }
            }
            let message = text(&mut socket).await;
            assert!(!message.contains("notification_refused"), "{message}");
            if message.contains(&format!("\"sender\":{other},")) {
                assert!(
                    message.contains(&format!("\"text\":\"{got}\"")),
                    "expected {got} in {message}"
                );
                got += 1;
            }
        }
        socket
    };
    let (one, two) = (desk.user("1").await, desk.user("2").await);
    let (one, two) = tokio::join!(talk("1", "2", one), talk("2", "1", two));
    drop((one, two));
}

#[tokio::test]
async fn a_graceful_stop_keeps_what_was_accepted_and_refuses_newcomers() {
    let desk = Desk::start("");
    let mut online = desk.user("1").await;
    desk.post(42, "kept").await;
    let url = desk.url("messaging");
    let Desk { running, dir } = desk;
    let stop = tokio::spawn(running.stop());
    assert_eq!(online.recv().await.unwrap(), None);
    assert_eq!(online.close_frame().unwrap().code.0, 1001);
    assert!(stop.await.unwrap(), "nobody was cut");
    assert!(tidewire::ws::connect(&format!("{url}?id=2")).await.is_err());
    let desk = Desk::start_in(dir, "");
    assert!(text(&mut desk.user("42").await).await.contains("kept"));
}

/// 2.4-4.
#[tokio::test]
async fn a_reset_makes_the_user_offline() {
    let desk = Desk::start("");
    let stream = raw(&desk, 42).await;
    desk.until_online("42", true).await;
    #[expect(deprecated, reason = "a reset is what is wanted")]
    stream.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    desk.until_online("42", false).await;
}

#[tokio::test]
async fn a_connection_ends_with_an_error_when_the_server_dies() {
    let desk = Desk::start("");
    let mut user = desk.user("1").await;
    drop(desk);
    let end = user.recv().await;
    assert!(
        matches!(end, Ok(None) | Err(RecvError::Lost | RecvError::Io(_))),
        "{end:?}"
    );
}
