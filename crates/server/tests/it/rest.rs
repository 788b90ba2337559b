//! The REST API beyond what foreign clients check.

use crate::desk::{Desk, envelope, text};

const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";

#[tokio::test]
async fn a_message_is_accepted_with_parameters_in_its_content_type() {
    let desk = Desk::start("");
    let mut user = desk.user("42").await;
    let (status, head, body) = desk
        .call("POST", "/send-message", JSON, &envelope("0", "42", "hello"))
        .await;
    assert_eq!(status, 202, "{head}");
    assert!(head.contains("server: WS Rest Server"), "{head}");
    let received: serde_json::Value = serde_json::from_str(&text(&mut user).await).unwrap();
    assert_eq!(received["text"], "hello");
    let expected = format!(
        r#"{{"data":{{"id":{},"refused":[]}},"success":true}}"#,
        received["id"]
    );
    assert_eq!(body, expected);
}

#[tokio::test]
async fn what_cannot_be_taken_has_its_status() {
    let desk = Desk::start("[rest]\nbody_bytes_max = \"2K\"\n[mailbox]\nuser_messages_max = 1\n");
    let (status, _, body) = desk
        .call(
            "POST",
            "/send-message",
            JSON,
            &envelope("0", "1", &"x".repeat(3000)),
        )
        .await;
    assert_eq!(status, 413, "{body}");
    assert_eq!(
        desk.call("POST", "/send-message", JSON, &envelope("0", "1", "first"))
            .await
            .0,
        202
    );
    let (status, _, body) = desk
        .call("POST", "/send-message", JSON, &envelope("0", "1", "second"))
        .await;
    assert_eq!(status, 429);
    assert!(body.ends_with(r#""status":429,"success":false}"#), "{body}");
}

#[tokio::test]
async fn the_description_lists_every_route_and_the_ui_loads_nothing_from_elsewhere() {
    let desk = Desk::start("");
    let (status, _, body) = desk.call("GET", "/openapi.json", "", "").await;
    assert_eq!(status, 200);
    let description: serde_json::Value = serde_json::from_str(&body).unwrap();
    let mut paths: Vec<_> = description["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/check-online",
            "/health",
            "/messages",
            "/metrics",
            "/send-message",
            "/stat",
            "/stats",
            "/status"
        ]
    );
    for path in paths {
        assert_ne!(desk.call("GET", &path, "", "").await.0, 404, "{path}");
    }
    let (status, _, page) = desk.call("GET", "/swagger-ui/", "", "").await;
    assert_eq!(status, 200);
    assert!(
        !page.contains("src=\"http") && !page.contains("href=\"http"),
        "{page}"
    );
}

#[tokio::test]
async fn counters_move() {
    let desk = Desk::start("");
    let value = |text: &str, name: &str| -> u64 {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .unwrap_or_else(|| panic!("{name}: {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (_, head, before) = desk.call("GET", "/metrics", "", "").await;
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(before.ends_with("# EOF\n"));
    let _user = desk.user("1").await;
    desk.post(42, "waiting").await;
    let (_, _, after) = desk.call("GET", "/metrics", "", "").await;
    for (name, by) in [
        ("tidewire_messages_accepted_total", 1),
        ("tidewire_websockets_opened_total", 1),
        ("tidewire_sessions", 1),
        ("tidewire_mailbox_pending_messages", 1),
    ] {
        assert_eq!(value(&after, name) - value(&before, name), by, "{name}");
    }
}
