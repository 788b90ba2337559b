//! The REST API beyond what foreign clients check.

use tidewire::ws::Incoming;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

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
    assert!(head.contains("server: Tidewire"), "{head}");
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
            "/blocks",
            "/check-online",
            "/health",
            "/messages",
            "/metrics",
            "/send-message",
            "/sessions",
            "/stat",
            "/stats",
            "/status",
            "/v1/config",
            "/v1/events",
            "/v1/events/dead-letters",
            "/v1/events/dead-letters/replay",
            "/v1/mailboxes",
            "/v1/mailboxes/messages",
            "/v1/status",
            "/v1/trace",
            "/v1/trace/{id}"
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
    let _user = desk.user_online("1").await;
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

#[tokio::test]
async fn statistics_of_many_users_are_one_answer_in_order() {
    let desk = Desk::start("");
    let mut users = Vec::new();
    for id in (0..450).rev() {
        let mut user = desk.user(&id.to_string()).await;
        // The first ping says that the session has begun.
        let first = user.recv_any().await.unwrap();
        assert!(matches!(first, Some(Incoming::Ping(_))), "{first:?}");
        users.push(user);
    }
    let (status, head, body) = desk.call("GET", "/stats", "", "").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    let body = unchunked(&body);
    assert!(
        body.starts_with(r#"{"data":[{"bytesTransferred":"#),
        "{body}"
    );
    assert!(body.ends_with(r#"}],"success":true}"#), "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let stats = answer["data"].as_array().unwrap();
    let ids: Vec<_> = stats
        .iter()
        .map(|stat| stat["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, (0..450).collect::<Vec<_>>());
}

#[tokio::test]
async fn statistics_of_nobody_are_an_empty_list() {
    let desk = Desk::start("");
    let (_, _, body) = desk.call("GET", "/stats", "", "").await;
    assert_eq!(unchunked(&body), r#"{"data":[],"success":true}"#);
}

/// Puts the chunks of a body together.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (len, rest) = body.split_once("\r\n").unwrap();
        let len = usize::from_str_radix(len, 16).unwrap();
        if len == 0 {
            return whole;
        }
        let (chunk, rest) = rest.split_at(len);
        whole.push_str(chunk);
        body = rest.strip_prefix("\r\n").unwrap();
    }
}

/// A client that asks again and again and reads nothing: it is cut, and others are answered meanwhile. Kinds of answers:
/// JSON, pages of the statistics, files, metrics, the description, health, and refusals of every kind but those that end
/// the connection by themselves. On the port of the WebSockets each answer ends its connection and fits the buffers: there the
/// client is left when it has sent more than is dropped behind a last answer.
#[tokio::test]
async fn a_client_that_reads_no_answer_is_cut() {
    let desk = Desk::start("[server.limits]\nanswer_timeout = \"1s\"\n");
    let mut cut = Vec::new();
    for (listener, asked) in [
        ("rest", "GET /stat?id=1"),
        ("rest", "GET /stats"),
        ("rest", "GET /swagger-ui/index.html"),
        ("rest", "GET /metrics"),
        ("rest", "GET /openapi.json"),
        ("rest", "GET /health"),
        ("rest", "GET /nope"),
        ("rest", "DELETE /stats"),
        ("rest", "POST /send-message"),
        ("rest", "GET /stat"),
        ("web chat", "GET /chat.js"),
    ] {
        let address = desk.url(listener).replace("http://", "");
        let mut stream = TcpStream::connect(address.trim_end_matches('/'))
            .await
            .unwrap();
        let request = format!("{asked} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(100);
        cut.push(tokio::spawn(async move {
            // Until the server has stopped reading, then until it has cut the connection.
            while stream.write_all(request.as_bytes()).await.is_ok() {}
        }));
    }
    for cut in cut {
        cut.await.unwrap();
    }
    assert_eq!(desk.call("GET", "/health", "", "").await.0, 200);
}

/// Who asks for what is too large, and reads no answer to it: those before it have to be read first.
#[tokio::test]
async fn a_refused_upload_behind_unread_answers_is_cut_too() {
    let desk =
        Desk::start("[server.limits]\nanswer_timeout = \"1s\"\n[rest]\nbody_bytes_max = \"2K\"\n");
    let address = desk.url("rest").replace("http://", "");
    let mut stream = TcpStream::connect(address.trim_end_matches('/'))
        .await
        .unwrap();
    let files = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2000);
    let upload = format!(
        "POST /send-message HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 1000000000\r\n\r\n"
    );
    let cut = async {
        stream.write_all(files.as_bytes()).await?;
        stream.write_all(upload.as_bytes()).await?;
        while stream.write_all(&[b'x'; 10_000]).await.is_ok() {}
        Ok::<_, std::io::Error>(())
    };
    // Whichever of the writes it is that ends.
    drop(cut.await);
    assert_eq!(desk.call("GET", "/health", "", "").await.0, 200);
}

#[tokio::test]
async fn answers_that_wait_to_be_read_are_bounded_over_all_clients() {
    let desk = Desk::start("[server.limits]\nanswers_bytes_max = \"1M\"\n");
    let (status, _, page) = desk
        .call("GET", "/swagger-ui/swagger-ui-bundle.js", "", "")
        .await;
    assert_eq!(status, 503, "it is larger than all answers may be: {page}");
    assert!(page.contains("waiting to be read"), "{page}");
    assert_eq!(desk.call("GET", "/openapi.json", "", "").await.0, 200);
}

/// For clients whose numbers hold no 64 bits, in every answer that names a user.
#[tokio::test]
async fn ids_are_strings_for_who_asks_and_a_wrong_wish_is_told() {
    let desk = Desk::start("[mailbox]\nuser_messages_max = 1\n");
    let large = "9007199254740993";
    let to = |recipients: &str| {
        format!(r#"{{"type":"text","sender":0,"recipients":[{recipients}],"text":"t"}}"#)
    };
    desk.call("POST", "/send-message", JSON, &to(large)).await;
    for (other, query, recipient) in [
        (1, "", large.to_owned()),
        (2, "?ids=numbers", large.to_owned()),
        (3, "?ids=strings", format!("\"{large}\"")),
    ] {
        let body = to(&format!("{large},{other}"));
        let path = format!("/send-message{query}");
        let (status, _, body) = desk.call("POST", &path, JSON, &body).await;
        assert_eq!(status, 202, "{body}");
        let expected = format!(r#""refused":[{{"code":"mailbox_full","recipient":{recipient}}}]"#);
        assert!(body.contains(&expected), "{query}: {body}");
    }
    let _user = desk.user_online(large).await;
    for path in ["/stats?", "/stat?id=9007199254740993&"] {
        let (_, _, numbers) = desk.call("GET", path, "", "").await;
        let (_, _, strings) = desk
            .call("GET", &format!("{path}IDS=strings"), "", "")
            .await;
        let [number, string] = [format!("\"id\":{large},"), format!("\"id\":\"{large}\",")];
        assert!(numbers.contains(&number), "{path}: {numbers}");
        assert!(strings.contains(&string), "{path}: {strings}");
        assert_eq!(keys(&numbers), keys(&strings), "in one order");
        let (status, _, body) = desk.call("GET", &format!("{path}ids=text"), "", "").await;
        assert_eq!(status, 400, "{path}: {body}");
        assert!(
            body.contains("Invalid ids: expected numbers or strings"),
            "{body}"
        );
    }
}

/// The names of members, in their order.
fn keys(json: &str) -> Vec<&str> {
    let parts = json.split('"').skip(1).step_by(2);
    parts
        .filter(|part| part.starts_with(char::is_alphabetic))
        .collect()
}
