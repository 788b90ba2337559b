//! Credentials that have to be asked about, failed logins and the connect hook together.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, response::IntoResponse};
use serde_json::{Value, json};
use tidewire::ws::WebSocket;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Barrier,
    task::JoinSet,
};

use crate::{
    connect_hook::Backend,
    desk::{Desk, envelope, text},
    identities::{bearer, jwt, seconds_from_now, token, token_of},
};

/// The code with which a connection is closed.
async fn closed(mut socket: WebSocket) -> u16 {
    assert_eq!(socket.recv().await.unwrap(), None);
    socket.close_frame().unwrap().code.0
}

async fn first_message(desk: &Desk, token: &str) -> WebSocket {
    let mut socket = desk.client("alice").connect().await.unwrap();
    let first = json!({"type": "authenticate", "token": token}).to_string();
    socket.send(first).await.unwrap();
    socket
}

#[tokio::test]
async fn bad_tokens_are_counted_in_the_first_message_as_in_the_handshake() {
    let desk = Desk::start(&jwt("server", "first_message = true"));
    for _ in 0..5 {
        assert_eq!(closed(first_message(&desk, "a.b.c").await).await, 4050);
        let socket = bearer(desk.client("alice"), "a.b.c").connect().await;
        assert_eq!(closed(socket.unwrap()).await, 4050);
    }
    let good = token("alice");
    let socket = bearer(desk.client("alice"), &good).connect().await;
    assert_eq!(closed(socket.unwrap()).await, 4429, "not looked at");
    let mut socket = desk.client("alice").connect().await.unwrap();
    // Whoever is refused before is not waited for.
    socket.send("{}").await.ok();
    assert_eq!(closed(socket).await, 4429);
}

#[tokio::test]
async fn a_token_that_has_expired_and_a_service_that_is_silent_keep_nobody_out() {
    let desk = Desk::start(&jwt("server", ""));
    let expired = token_of("alice", &json!({"exp": seconds_from_now(0) - 1}));
    for _ in 0..12 {
        let socket = bearer(desk.client("alice"), &expired).connect().await;
        assert_eq!(closed(socket.unwrap()).await, 4050);
    }
    let mut socket = bearer(desk.client("alice"), &token("alice"))
        .connect()
        .await
        .unwrap();
    let message = envelope("\"alice\"", "\"alice\"", "in");
    socket.send(message).await.unwrap();
    assert!(text(&mut socket).await.contains("in"));

    let nobody =
        "type = \"remote\"\nsource = { type = \"bearer\" }\nurl = \"http://127.0.0.1:1/\"\n";
    let desk = Desk::start(&format!("[server.auth]\n{nobody}[rest.auth]\n{nobody}"));
    for _ in 0..12 {
        let socket = bearer(desk.client("alice"), "t").connect().await;
        assert_eq!(closed(socket.unwrap()).await, 1013);
        let head = "Authorization: Bearer t\r\n";
        assert_eq!(desk.call("GET", "/stats", head, "").await.0, 503);
    }
}

/// A service that says no to everybody once `count` have been asked about.
async fn slow_service(count: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let all = Arc::new(Barrier::new(count));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let all = Arc::clone(&all);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                all.wait().await;
                let no = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(no).await.ok();
            });
        }
    });
    url
}

#[tokio::test]
async fn guesses_at_a_time_are_no_more_than_guesses_one_after_the_other() {
    const GUESSES: usize = 40;
    let url = slow_service(GUESSES).await;
    let desk = Desk::start(&format!(
        "[server.auth]\ntype = \"remote\"\nsource = {{ type = \"bearer\" }}\nurl = \"{url}\"\ntimeout = \"60s\"\n"
    ));
    let mut clients = JoinSet::new();
    for guess in 0..GUESSES {
        let client = bearer(desk.client("alice"), &format!("guess{guess}"));
        clients.spawn(async move { closed(client.connect().await.unwrap()).await });
    }
    let mut codes = BTreeMap::<u16, usize>::new();
    for code in clients.join_all().await {
        *codes.entry(code).or_default() += 1;
    }
    assert!(codes[&4050] >= 10, "{codes:?}");
    assert!(codes[&4429] >= GUESSES / 2, "{codes:?}");
    assert_eq!(codes.values().sum::<usize>(), GUESSES, "{codes:?}");
}

#[tokio::test]
async fn the_backend_hears_whom_a_token_names_and_narrows_what_it_grants() {
    let backend = Backend::start(|question| {
        let expires = (question["query"]["room"][0] == "closed").then_some(1);
        let grants = json!({"send_to": ["team-a", "carol"], "admin": true});
        Json(json!({"allow": true, "grants": grants, "expires": expires})).into_response()
    });
    let desk = backend.desk(&jwt("server", "first_message = true"));
    let limited = token_of("alice", &json!({"tidewire": {"send_to": ["team-*"]}}));
    for _ in 0..2 {
        let mut alice = first_message(&desk, &limited).await;
        for (recipient, code) in [("carol", "not_allowed"), ("team-b", "not_allowed")] {
            let message = envelope("\"alice\"", &format!("\"{recipient}\""), "no");
            alice.send(message).await.unwrap();
            let told: Value = serde_json::from_str(&text(&mut alice).await).unwrap();
            assert_eq!(told["data"]["code"], code, "{recipient}");
        }
        let mut team = bearer(desk.client("team-a"), &token("team-a"))
            .connect()
            .await
            .unwrap();
        let message = envelope("\"alice\"", "\"team-a\"", "yes");
        alice.send(message).await.unwrap();
        assert!(text(&mut team).await.contains("yes"));
    }
    let users = backend
        .seen
        .lock()
        .iter()
        .map(asked_about)
        .collect::<Vec<_>>();
    assert_eq!(users, ["alice", "team-a", "alice", "team-a"]);
    let late = bearer(desk.client("alice&room=closed"), &limited);
    assert_eq!(closed(late.connect().await.unwrap()).await, 4401);
    // Of a token that is good for nothing the backend hears nothing.
    assert_eq!(closed(first_message(&desk, "a.b.c").await).await, 4050);
    assert_eq!(backend.seen.lock().len(), 5);
    // A client hears of its end before the connection is over and counted.
    for reason in ["expired", "unauthorized"] {
        let line = format!("tidewire_websockets_closed_total{{reason=\"{reason}\"}} 1\n");
        desk.until_metrics_have(&line).await;
    }
}

fn asked_about<H>((_, body): &(H, axum::body::Bytes)) -> String {
    let question: Value = serde_json::from_slice(body).unwrap();
    question["user"].as_str().unwrap().to_owned()
}
