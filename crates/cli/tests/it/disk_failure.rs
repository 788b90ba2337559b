//! A failed fsync: what is on disk is unknown, so nothing is accepted any more, and everybody
//! is told. strace makes the kernel fail.

use std::process::Command;

use crate::{
    ledger::{Ledger, Reading, Sent},
    peer::{Peer, message},
    run,
    server::{Home, Server},
};

const READER: u64 = 5;

/// The server under strace, which fails one fsync and no other: a later one would succeed and
/// lie, as Linux does. The server is the direct child, and strace ends with it.
async fn start_failing(home: &Home, fsync: u32) -> Server {
    let installed = Command::new("strace").arg("-V").output();
    assert!(installed.is_ok(), "this test needs strace: {installed:?}");
    let inject = format!("inject=fsync,fdatasync:error=EIO:when={fsync}");
    let arguments = [
        "-D",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        &inject,
        crate::program::BINARY,
    ];
    home.start_by(home.command_under("strace", &arguments))
        .await
}

fn sent(number: u64, accepted: bool) -> Sent {
    Sent {
        sender: 1,
        number,
        recipients: vec![READER],
        accepted,
    }
}

/// Everything accepted is there after a new start on a disk that works again.
async fn check_after_restart(home: &Home, sent: Vec<Sent>) {
    let server = home.start().await;
    let mut reader = Peer::connect(&server, READER).await.expect("it runs");
    let mut rest = server.rest().await;
    let marked = rest.send_message(&message(0, &[READER], "the end")).await;
    assert_eq!(marked.expect("an answer").status, 202);
    let reading = Reading {
        user: READER,
        envelopes: reader.until("the end").await,
    };
    reader.confirm_and_close().await;
    let readings = vec![reading];
    Ledger { sent, readings }.check();
    server.stop().await;
}

#[test]
fn after_a_failed_fsync_rest_accepts_nothing_and_says_why() {
    run(async {
        for fsync in [20, 33] {
            let home = Home::new("");
            let server = start_failing(&home, fsync).await;
            let mut rest = server.rest().await;
            let mut log = Vec::new();
            let refusal = loop {
                let number = log.len() as u64;
                let body = message(1, &[READER], &number.to_string());
                let answer = rest.send_message(&body).await.expect("an answer");
                log.push(sent(number, answer.status == 202));
                if answer.status != 202 {
                    break answer;
                }
            };
            assert!(log.len() > 1, "no message was accepted before");
            let body = r#"{"message":"the message store has failed","status":503,"success":false}"#;
            assert_eq!((refusal.status, refusal.body.as_str()), (503, body));
            for number in 0..5 {
                let body = message(1, &[READER], &format!("{}", log.len() + number));
                let answer = rest.send_message(&body).await.expect("an answer");
                assert_eq!(answer.status, 503, "{answer:?}");
            }
            let health = rest.get("/health").await.expect("an answer");
            assert_eq!(health.status, 503, "{health:?}");
            assert!(
                health.body.contains("the message store has failed"),
                "{health:?}"
            );
            assert!(server.log().contains("ERROR"), "{}", server.log());
            server.kill().await;
            check_after_restart(&home, log).await;
        }
    });
}

#[test]
fn after_a_failed_fsync_a_writer_on_a_websocket_gets_no_copy() {
    run(async {
        let home = Home::new("[chat]\nsend_back = true\n");
        let server = start_failing(&home, 25).await;
        let mut writer = Peer::connect(&server, 1).await.expect("it runs");
        let mut log = Vec::new();
        loop {
            let number = log.len() as u64;
            let text = message(1, &[READER], &number.to_string());
            log.push(sent(number, false));
            if writer.socket.send(text).await.is_err() {
                break;
            }
            match writer.next().await {
                Ok(Some(copy)) if copy.kind == "text" => {
                    assert_eq!(copy.text, number.to_string());
                    log.last_mut().expect("not empty").accepted = true;
                }
                // Refused, closed with 1011, or closed before: anything but a copy.
                Ok(Some(refused)) => {
                    assert_eq!(refused.kind, "notification_refused");
                    assert_eq!(refused.text, "the message store has failed");
                    break;
                }
                Ok(None) | Err(_) => break,
            }
        }
        assert!(log.len() > 1, "no message was accepted before");
        server.kill().await;
        check_after_restart(&home, log).await;
    });
}
