//! The access log of the server: a line for each WebSocket and request, and nothing that clients could forge or steal.

use std::{fs, path::Path};

use serde_json::Value;
use tidewire::ws::{Client, CloseCode, Message};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    run,
    server::{Home, Server},
};

/// The records of a file, once there are so many.
async fn records(path: &Path, count: usize) -> Vec<Value> {
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        let complete = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let records: Vec<Value> = complete
            .map(|line| serde_json::from_str(line).expect("a JSON object per line"))
            .collect();
        if records.len() >= count {
            return records;
        }
        tokio::task::yield_now().await;
    }
}

/// Sends bytes to a listener, and waits for the end of the answer.
async fn raw(server: &Server, label: &str, request: &[u8]) -> String {
    let url = server.url(label);
    let host = url.split('/').nth(2).expect("an address");
    let mut stream = TcpStream::connect(host).await.expect("it listens");
    stream.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn a_websocket_and_a_request_are_a_line_each() {
    run(async {
        let home = Home::new("access_log = \"access.log\"\n");
        let path = home.path().join("access.log");
        let server = home.start().await;
        let url = format!("{}?id=42&token=secret", server.url("messaging"));
        let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let client = Client::new(&url)
            .expect("a URL")
            .header("traceparent", &traceparent);
        let mut socket = client.connect().await.expect("it listens");
        let text = r#"{"type":"text","sender":42,"recipients":[42],"text":"to myself"}"#;
        socket.send(Message::text(text)).await.expect("open");
        let echoed = socket.recv().await.expect("open");
        assert!(echoed.is_some());
        socket.close(CloseCode(1000), "bye").await.expect("open");
        let first = &records(&path, 1).await[0];
        for (key, expected) in [
            ("listener", Value::from("messaging")),
            ("client", "127.0.0.1".into()),
            ("request", "GET /chat".into()),
            ("trace", TRACE.into()),
            ("user", "42".into()),
            ("code", 1000.into()),
            ("end", "client".into()),
            ("messages_in", 1.into()),
        ] {
            assert_eq!(first[key], expected, "{key}: {first}");
        }
        for key in ["messages_out", "bytes_in", "bytes_out"] {
            assert!(first[key].as_u64() > Some(0), "{key}: {first}");
        }
        assert!(first["time"].is_string() && first["milliseconds"].is_u64());
        let mut rest = server.rest().await;
        rest.get("/stat?id=42&access_token=secret")
            .await
            .expect("it runs");
        let second = &records(&path, 2).await[1];
        for (key, expected) in [
            ("listener", Value::from("rest")),
            ("request", "GET /stat".into()),
            ("status", 200.into()),
            ("end", "answered".into()),
        ] {
            assert_eq!(second[key], expected, "{key}: {second}");
        }
        let log = fs::read_to_string(&path).expect("readable");
        assert!(!log.contains("secret"), "{log}");
        server.stop().await;
    });
}

#[test]
fn refused_ones_and_those_that_the_server_ends_are_told_too() {
    run(async {
        let home = Home::new("access_log = \"access.log\"\n");
        let path = home.path().join("access.log");
        let server = home.start().await;
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
        let foreign = format!(
            "GET /chat?id=1 HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n{upgrade}\r\n"
        );
        raw(&server, "messaging", foreign.as_bytes()).await;
        let refused = &records(&path, 1).await[0];
        assert_eq!(
            (&refused["status"], &refused["end"]),
            (&403.into(), &"refused".into())
        );
        let url = server.url("messaging").to_owned();
        let mut nobody = Client::new(&url)
            .expect("a URL")
            .connect()
            .await
            .expect("open");
        while let Ok(Some(_)) = nobody.recv().await {}
        let nobody = &records(&path, 2).await[1];
        let told = (&nobody["code"], &nobody["end"]);
        assert_eq!(told, (&4000.into(), &"invalid_request".into()));
        let url = format!("{url}?id=1");
        let _open = Client::new(&url)
            .expect("a URL")
            .connect()
            .await
            .expect("open");
        server.stop().await;
        let ended = &records(&path, 3).await[2];
        assert_eq!(
            (&ended["user"], &ended["end"]),
            (&"1".into(), &"shutdown".into())
        );
    });
}

/// Line ends, quotes and escape sequences, wherever a client can put them.
#[test]
fn nothing_that_a_client_sends_makes_a_line_of_its_own() {
    run(async {
        let home = Home::new("access_log = \"access.log\"\n");
        let path = home.path().join("access.log");
        let server = home.start().await;
        let forged = "%0a{%22end%22:%22forged%22}\"{\"end\":\"forged\"}";
        for (label, path) in [("rest", "/stat/"), ("messaging", "/chat/")] {
            for method in ["GET", "G\x1b[31mET"] {
                let request = format!(
                    "{method} {path}{forged} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                     traceparent: {forged}\r\nX-Forwarded-For: {forged}\r\n\r\n"
                );
                raw(&server, label, request.as_bytes()).await;
            }
            let long = format!(
                "GET {path}{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                "a".repeat(8000)
            );
            raw(&server, label, long.as_bytes()).await;
        }
        let user = "%0A%1b%22%2C%22end%22%3A%22forged";
        let url = format!("{}?id={user}", server.url("messaging"));
        if let Ok(mut socket) = Client::new(&url).expect("a URL").connect().await {
            socket
                .close(CloseCode(1000), "\u{1b}\",\"end\":\"forged")
                .await
                .ok();
        }
        let mut rest = server.rest().await;
        rest.get("/stat?id=the-last").await.expect("it runs");
        server.stop().await;
        let records = records(&path, 1).await;
        assert!(
            records.iter().all(|it| it["end"] != "forged"),
            "{records:?}"
        );
        let text = fs::read_to_string(&path).expect("readable");
        let longest = text.lines().map(str::len).max();
        assert!(longest < Some(1500), "{text}");
        assert!(
            text.bytes().all(|byte| byte == b'\n' || byte >= b' '),
            "{text}"
        );
    });
}

/// By `logrotate` with SIGHUP behind it.
#[cfg(unix)]
#[test]
fn a_rotated_log_goes_on_in_a_new_file() {
    run(async {
        let home = Home::new("access_log = \"access.log\"\n");
        let [path, old] = ["access.log", "access.log.1"].map(|it| home.path().join(it));
        let server = home.start().await;
        let mut rest = server.rest().await;
        rest.get("/health").await.expect("it runs");
        records(&path, 1).await;
        fs::rename(&path, &old).expect("renamed");
        server.signal("HUP");
        server
            .until_logged("the configuration was read again", 1)
            .await;
        rest.get("/stat?id=1").await.expect("it runs");
        assert_eq!(records(&path, 1).await[0]["request"], "GET /stat");
        assert_eq!(records(&old, 1).await.len(), 1);
        server.stop().await;
    });
}

#[test]
fn a_log_that_cannot_be_opened_is_told_at_the_start() {
    run(async {
        let home = Home::new("access_log = \"no/such/directory/access.log\"\n");
        let mut server = home.spawn(home.command());
        assert_ne!(server.end().await, Some(0));
        assert!(
            server.log().contains("cannot open the access log"),
            "{}",
            server.log()
        );
    });
}
