//! What the original's own tests check: exact counts, members that come and go, random operations.

use tidewire::fbe::{Connection, Message, MessageRef};

use super::{connect, start, within};

async fn notification(client: &Connection) -> String {
    match within(client.recv()).await {
        Some(Message::Notify { notification }) => notification,
        other => panic!("expected a notification, got {other:?}"),
    }
}

#[tokio::test]
async fn an_echo_moves_exact_numbers_of_bytes() {
    let server = start();
    let client = connect(&server).await;
    assert_eq!(notification(&client).await, "hello");
    for _ in 0..100 {
        let response = within(client.request("test")).await.unwrap();
        assert_eq!(response.length, 4);
    }
    let traffic = server.tcp().traffic();
    assert_eq!(traffic.bytes_received, 100 * 44);
    assert_eq!(traffic.bytes_sent, 24 + 5 + 100 * 40);
    assert_eq!(client.sender().tcp().bytes_received(), traffic.bytes_sent);
}

#[tokio::test]
async fn members_that_come_and_go_get_what_is_sent_to_all_while_they_are_there() {
    let server = start();
    let publish = |text: &str| {
        server
            .broadcast(MessageRef::Notify { notification: text })
            .unwrap();
    };
    let mut members = Vec::new();
    for text in ["a", "b", "c"] {
        let member = connect(&server).await;
        assert_eq!(notification(&member).await, "hello");
        members.push(member);
        publish(text);
        for member in &members {
            assert_eq!(notification(member).await, text);
        }
    }
    while let Some(member) = members.pop() {
        within(member.disconnect()).await.unwrap();
        let is_gone = async {
            while server.tcp().stats().sessions > members.len() {
                tokio::task::yield_now().await;
            }
        };
        within(is_gone).await;
        publish("later");
        for member in &members {
            assert_eq!(notification(member).await, "later");
        }
    }
}

/// In any order: connect, disconnect, request, notify all, disconnect all.
#[tokio::test]
async fn random_operations_leave_every_request_with_an_end() {
    const OPERATIONS: usize = 2000;
    const CLIENTS_MAX: usize = 20;

    let server = start();
    let mut clients: Vec<Connection> = Vec::new();
    let mut seed = 0x5eed_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let mut answered = 0;
    for _ in 0..OPERATIONS {
        match random(100) {
            0..10 if clients.len() < CLIENTS_MAX => clients.push(connect(&server).await),
            10..15 if !clients.is_empty() => {
                let client = clients.swap_remove(random(clients.len()));
                within(client.disconnect()).await.ok();
            }
            15..16 => server.disconnect_all(),
            16..25 => {
                let notification = "to all";
                server
                    .broadcast(MessageRef::Notify { notification })
                    .unwrap();
            }
            _ if !clients.is_empty() => {
                let client = &clients[random(clients.len())];
                match within(client.request("test")).await {
                    Ok(response) => {
                        assert_eq!(response.length, 4);
                        answered += 1;
                    }
                    Err(error) => {
                        within(client.closed()).await.ok();
                        assert!(!client.is_open(), "{error}");
                    }
                }
            }
            _ => {}
        }
    }
    assert!(answered > OPERATIONS / 10, "{answered} answers");
    drop(clients);
    assert!(server.drain(super::GUARD).await, "nothing remains");
}
