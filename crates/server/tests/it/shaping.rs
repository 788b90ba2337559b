//! Rates of clients, users who may not connect at all, and a reason for every end.

use std::collections::BTreeMap;

use tidewire::ws::{Message, WebSocket};

use crate::desk::{Desk, envelope, http, raw_query, text};

const BASIC: &str = "type = \"basic\"\nuser = \"alice\"\npassword = \"p\"\n"; // YWxpY2U6cA==
const RIGHT: &str = "Basic YWxpY2U6cA==";
const WRONG: &str = "Basic YWxpY2U6cQ==";

/// Code and reason by which the server ends a connection.
async fn closed(mut socket: WebSocket) -> (u16, String) {
    while let Ok(Some(_)) = socket.recv().await {}
    let close = socket.close_frame().expect("a close frame");
    (close.code.0, close.reason.as_str().to_owned())
}

/// Waits until so many sessions of a user have begun: they do so behind the handshake.
async fn begun(desk: &Desk, user: &str, count: usize) {
    let path = format!("/sessions?user={user}");
    loop {
        let (_, _, body) = desk.call("GET", &path, "", "").await;
        if body.matches("\"session\"").count() == count {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A counter's values by reason.
async fn by_reason(desk: &Desk, head: &str, name: &str) -> BTreeMap<String, u64> {
    let (status, _, body) = desk.call("GET", "/metrics", head, "").await;
    assert_eq!(status, 200);
    let prefix = format!("tidewire_{name}_total{{reason=\"");
    let lines = body.lines().filter_map(|line| line.strip_prefix(&prefix));
    let pairs = lines.map(|line| {
        let (reason, count) = line.split_once("\"} ").unwrap();
        (reason.to_owned(), count.parse().unwrap())
    });
    pairs.filter(|(_, count)| *count > 0).collect()
}

async fn count(desk: &Desk, name: &str) -> u64 {
    let (_, _, body) = desk.call("GET", "/metrics", "", "").await;
    let prefix = format!("tidewire_{name} ");
    let mut lines = body.lines().filter_map(|line| line.strip_prefix(&prefix));
    lines.next().unwrap().parse().unwrap()
}

/// Promise F4: REST from one address, and the right user from another one.
#[tokio::test]
async fn ten_wrong_passwords_are_looked_at_and_the_right_user_elsewhere_gets_through() {
    let proxies = "trusted_proxies = [\"127.0.0.0/8\"]\n";
    let desk = Desk::start(&format!("[rest]\n{proxies}[rest.auth]\n{BASIC}"));
    let ask = async |address: &str, credentials: &str| {
        let head = format!("X-Forwarded-For: {address}\r\nAuthorization: {credentials}\r\n");
        desk.call("GET", "/stats", &head, "").await
    };
    let mut answers = BTreeMap::<u16, u32>::new();
    for _ in 0..200 {
        let (status, head, _) = ask("192.0.2.1", WRONG).await;
        *answers.entry(status).or_default() += 1;
        if status == 429 {
            let after = head.to_lowercase();
            let (_, after) = after
                .split_once("retry-after: ")
                .expect("when to come back");
            let seconds: u64 = after.lines().next().unwrap().parse().unwrap();
            assert!((1..=80).contains(&seconds), "{seconds}");
        }
    }
    assert_eq!(answers, BTreeMap::from([(401, 10), (429, 190)]));
    assert_eq!(ask("192.0.2.1", RIGHT).await.0, 429, "not even looked at");
    assert_eq!(ask("192.0.2.2", RIGHT).await.0, 200);
    // A thousand addresses: those that have failed share what is left, which is nothing.
    for last in 3..100 {
        assert_eq!(ask(&format!("192.0.2.{last}"), WRONG).await.0, 401);
        assert_eq!(ask(&format!("192.0.2.{last}"), WRONG).await.0, 429);
    }
    assert_eq!(ask("192.0.2.2", RIGHT).await.0, 200);
    let head = format!("X-Forwarded-For: 192.0.2.2\r\nAuthorization: {RIGHT}\r\n");
    let refused = by_reason(&desk, &head, "requests_refused").await;
    assert_eq!(refused["unauthorized"], 10 + 97);
    assert_eq!(refused["too_many_logins"], 191 + 97);
}

#[tokio::test]
async fn a_websocket_with_wrong_credentials_too_often_is_closed_with_4429() {
    let desk = Desk::start(&format!("[server.auth]\n{BASIC}"));
    let try_with = async |credentials: &str| {
        let client = desk.client("7").header("Authorization", credentials);
        client.connect().await.unwrap()
    };
    for _ in 0..10 {
        assert_eq!(closed(try_with(WRONG).await).await.0, 4050);
    }
    for credentials in [WRONG, RIGHT] {
        let (code, reason) = closed(try_with(credentials).await).await;
        assert_eq!(code, 4429);
        assert!(
            reason.starts_with("Too many failed logins, try again in "),
            "{reason}"
        );
    }
    // Who sends nothing at all guesses nothing.
    let without = desk.client("8").connect().await.unwrap();
    assert_eq!(closed(without).await.0, 4050);
}

#[tokio::test]
async fn a_blocked_user_is_closed_and_stays_out_over_a_restart_until_the_block_is_lifted() {
    let desk = Desk::start("");
    let (mut seven, mut eight) = (desk.user("7").await, desk.user("8").await);
    begun(&desk, "7", 1).await;
    let path = "/blocks?user=7&for=1h&reason=no%20spam";
    let (status, _, body) = desk.call("POST", path, "", "").await;
    assert_eq!(status, 201, "{body}");
    assert!(body.contains("\"disconnected\":1"), "{body}");
    assert_eq!(seven.recv().await.unwrap(), None);
    let blocked = (4403, "no spam".to_owned());
    let close = seven.close_frame().unwrap();
    assert_eq!((close.code.0, close.reason.as_str().to_owned()), blocked);
    assert_eq!(closed(desk.user("7").await).await, blocked);
    // What is sent to him waits; others go on.
    eight.send(envelope("8", "7", "kept")).await.unwrap();
    eight
        .close(tidewire::ws::CloseCode::NORMAL, "")
        .await
        .unwrap();
    drop((seven, eight));
    let Desk { running, dir } = desk;
    assert!(running.stop().await);
    let desk = Desk::start_in(dir, "");
    assert_eq!(closed(desk.user("7").await).await, blocked);
    let (_, _, body) = desk.call("GET", "/blocks?ids=strings", "", "").await;
    assert!(
        body.contains("\"reason\":\"no spam\"") && body.contains("\"user\":\"7\""),
        "{body}"
    );
    for lifted in ["true", "false"] {
        let (status, _, body) = desk.call("DELETE", "/blocks?user=7", "", "").await;
        let expected = format!("{{\"data\":{{\"lifted\":{lifted}}},\"success\":true}}");
        assert_eq!((status, body), (200, expected));
    }
    assert!(text(&mut desk.user("7").await).await.contains("kept"));
}

#[tokio::test]
async fn a_request_to_block_or_disconnect_that_is_not_clear_changes_nothing() {
    let desk = Desk::start("[server.limits]\nblocked_users_max = 1\n");
    for (method, path) in [
        ("POST", "/blocks"),
        ("POST", "/blocks?user="),
        ("POST", "/blocks?user=7&for=soon"),
        ("POST", "/blocks?user=7&for=0s"),
        ("POST", "/blocks?user=7&until=1h"),
        ("POST", "/blocks?user=7&reason=a%0Ab"),
        ("DELETE", "/blocks"),
        ("DELETE", "/sessions"),
        ("DELETE", "/sessions?user=7&session=1"),
        ("DELETE", "/sessions?user=7&code=1006"),
        ("DELETE", "/sessions?user=7&code=999"),
        ("DELETE", "/sessions?session=x"),
        ("GET", "/sessions?limit=0"),
        ("GET", "/sessions?usr=7"),
    ] {
        let (status, _, body) = desk.call(method, path, "", "").await;
        assert_eq!(status, 400, "{method} {path}: {body}");
    }
    assert_eq!(desk.call("POST", "/blocks?user=7", "", "").await.0, 201);
    assert_eq!(desk.call("POST", "/blocks?user=8", "", "").await.0, 409);
    assert_eq!(
        desk.call("POST", "/blocks?user=7&for=1d", "", "").await.0,
        201
    );
}

#[tokio::test]
async fn one_session_or_all_of_a_user_are_ended_with_the_operators_words() {
    let desk = Desk::start("");
    let (first, second) = (desk.user("7").await, desk.user("7").await);
    let other = desk.user("8").await;
    begun(&desk, "7", 2).await;
    begun(&desk, "8", 1).await;
    let (_, _, body) = desk.call("GET", "/sessions?user=7", "", "").await;
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let sessions = answer["data"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0]["address"], "127.0.0.1");
    let id = sessions[0]["session"].as_u64().unwrap();
    let path = format!("/sessions?session={id}&code=4999&reason=moved");
    for ended in [1, 0] {
        let (_, _, body) = desk.call("DELETE", &path, "", "").await;
        assert!(
            body.contains(&format!("\"disconnected\":{ended}")),
            "{body}"
        );
    }
    assert_eq!(closed(first).await, (4999, "moved".to_owned()));
    let (_, _, body) = desk.call("DELETE", "/sessions?user=7", "", "").await;
    assert!(body.contains("\"disconnected\":1"), "{body}");
    let words = "disconnected by the operator".to_owned();
    assert_eq!(closed(second).await, (4020, words));
    let (_, _, body) = desk.call("GET", "/sessions?limit=1", "", "").await;
    assert!(body.contains("\"user\":8"), "{body}");
    drop(other);
}

/// A client that reads nothing is not kept by that.
#[tokio::test]
async fn a_session_whose_client_reads_nothing_can_be_ended() {
    let desk = Desk::start("");
    let stuck = raw_query(&desk, "?id=7", "").await;
    begun(&desk, "7", 1).await;
    let mut sender = desk.user("8").await;
    let long = "x".repeat(1 << 20);
    for _ in 0..16 {
        sender.send(envelope("8", "7", &long)).await.unwrap();
    }
    let (_, _, body) = desk.call("DELETE", "/sessions?user=7", "", "").await;
    assert!(body.contains("\"disconnected\":1"), "{body}");
    // The session is over although the socket still has to write.
    let mut again = desk.user("7").await;
    assert!(text(&mut again).await.contains("xxx"));
    begun(&desk, "7", 1).await;
    drop(stuck);
}

#[tokio::test]
async fn who_sends_too_fast_is_told_by_a_notice_and_then_by_a_close() {
    let desk = Desk::start(
        "[server.rates]\nmessages_per_second = 10\nburst_time = \"1s\"\nwhen_exceeded = \"refuse\"\n",
    );
    let mut seven = desk.user("7").await;
    let message = |number: u32| {
        format!(
            r#"{{"type":"text","sender":7,"recipients":[8],"text":"","data":{{"ref":"r{number}"}}}}"#
        )
    };
    // A burst is taken, and what exceeds it is refused.
    for number in 0..20 {
        seven.send(message(number)).await.unwrap();
    }
    let first = text(&mut seven).await;
    assert!(first.contains("\"code\":\"rate_limited\""), "{first}");
    assert!(first.contains("\"ref\":\"r"), "{first}");
    // Who goes on in spite of the notices is closed.
    for number in 20..200 {
        if seven.send(message(number)).await.is_err() {
            break;
        }
    }
    while let Ok(Some(message)) = seven.recv().await {
        let Message::Text(text) = message else {
            continue;
        };
        assert!(text.contains("rate_limited"), "{text}");
    }
    let close = seven.close_frame().unwrap();
    assert_eq!(close.code.0, 4429);
    assert!(
        close
            .reason
            .as_str()
            .starts_with("Too many messages, try again in ")
    );
}

#[tokio::test]
async fn who_has_to_wait_loses_nothing() {
    let desk = Desk::start("[server.rates]\nmessages_per_second = 100\nburst_time = \"1s\"\n");
    let (mut seven, mut eight) = (desk.user("7").await, desk.user("8").await);
    for number in 0..150 {
        seven
            .send(envelope("7", "8", &number.to_string()))
            .await
            .unwrap();
    }
    seven.flush().await.unwrap();
    for number in 0..150 {
        let text = text(&mut eight).await;
        assert!(text.contains(&format!("\"text\":\"{number}\"")), "{text}");
    }
}

#[tokio::test]
async fn connections_of_a_user_and_requests_of_an_address_have_rates_and_the_exempt_have_none() {
    let rates = "[server.rates]\nuser_connects_per_minute = 2\nrequests_per_second = 5\n";
    let desk = Desk::start(rates);
    let held = [desk.user("7").await, desk.user("7").await];
    let (code, reason) = closed(desk.user("7").await).await;
    assert_eq!(code, 4429);
    assert!(reason.starts_with("Too many connections, "), "{reason}");
    let other = desk.user("8").await;
    let mut statuses = Vec::new();
    for _ in 0..50 {
        statuses.push(desk.call("GET", "/stat?id=7", "", "").await.0);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(statuses[0], 200);
    // A probe is no request that could be too many.
    assert_eq!(desk.call("GET", "/health", "", "").await.0, 200);
    drop((held, other));
    let exempt = format!("{rates}exempt_networks = [\"127.0.0.0/8\"]\n");
    let desk = Desk::start(&exempt);
    for _ in 0..20 {
        let mut socket = desk.user("7").await;
        socket
            .close(tidewire::ws::CloseCode::NORMAL, "")
            .await
            .unwrap();
        assert_eq!(desk.call("GET", "/stat?id=7", "", "").await.0, 200);
    }
}

/// Promise G4. A WebSocket that was opened is open, or is counted by the reason it ended for.
#[tokio::test]
async fn every_end_of_a_websocket_is_counted_by_its_reason() {
    let desk = Desk::start("[server]\necho = true\n[chat]\nsessions_per_user_max = 1\n");
    let mut leaving = desk.user("1").await;
    leaving
        .close(tidewire::ws::CloseCode::NORMAL, "")
        .await
        .unwrap();
    let lost = raw_query(&desk, "?id=2", "").await;
    drop(lost);
    assert_eq!(
        closed(desk.client("").connect().await.unwrap()).await.0,
        4000
    );
    let kept = desk.user("3").await;
    begun(&desk, "3", 1).await;
    assert_eq!(closed(desk.user("3").await).await.0, 1013);
    let mut invalid = desk.user("4").await;
    invalid.send("no JSON").await.unwrap();
    assert_eq!(closed(invalid).await.0, 4001);
    let mut foreign = desk.user("5").await;
    foreign.send(envelope("6", "7", "")).await.unwrap();
    assert_eq!(closed(foreign).await.0, 4001);
    let disconnected = desk.user("6").await;
    begun(&desk, "6", 1).await;
    desk.call("DELETE", "/sessions?user=6", "", "").await;
    closed(disconnected).await;
    desk.call("POST", "/blocks?user=6", "", "").await;
    closed(desk.user("6").await).await;
    let echo = desk.url("echo");
    let mut echo = tidewire::ws::connect(&echo).await.unwrap();
    echo.close(tidewire::ws::CloseCode::NORMAL, "")
        .await
        .unwrap();
    let opened = count(&desk, "websockets_opened_total").await;
    assert_eq!(opened, 10);
    let closes = loop {
        let closes = by_reason(&desk, "", "websockets_closed").await;
        if closes.values().sum::<u64>() == opened - 1 {
            break closes;
        }
        tokio::task::yield_now().await;
    };
    let expected = [
        ("blocked", 1),
        ("client", 2),
        ("disconnected", 1),
        ("foreign_sender", 1),
        ("invalid_payload", 1),
        ("invalid_request", 1),
        ("lost", 1),
        ("too_many_connections", 1),
    ];
    let expected = expected.map(|(reason, count)| (reason.to_owned(), count));
    assert_eq!(closes, BTreeMap::from(expected));
    drop(kept);
}

#[tokio::test]
async fn refused_requests_are_counted_by_reason() {
    let desk = Desk::start("");
    let address = desk.url("messaging").replace("ws://", "");
    let (address, _) = address.split_once('/').unwrap();
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let evil = format!("{upgrade}Origin: http://evil.example\r\n");
    assert_eq!(http(address, "GET", "/chat", &evil, "").await.0, 403);
    assert_eq!(http(address, "GET", "/nowhere", upgrade, "").await.0, 404);
    let refused = by_reason(&desk, "", "requests_refused").await;
    let expected = [("handshake".to_owned(), 1), ("origin".to_owned(), 1)];
    assert_eq!(refused, BTreeMap::from(expected));
}
