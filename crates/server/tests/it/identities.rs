//! Who a connection is bound to, and what it may do: tokens, certificates, services that are asked.

use std::time::SystemTime;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};
use serde_json::{Value, json};
use tidewire::{
    tls::ClientTls,
    ws::{Client, Message, WebSocket},
};
use tidewire_auth::{Secret, SigningKey};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    access::Authority,
    desk::{Desk, envelope, http, text},
};

const SECRET: &str = "a secret of thirty-two bytes or more";

pub(crate) fn jwt(table: &str, more: &str) -> String {
    format!(
        "[{table}.auth]\ntype = \"jwt\"\nalgorithms = [\"HS256\"]\nsecret = \"{SECRET}\"\nleeway = \"0s\"\n{more}\n"
    )
}

pub(crate) fn seconds_from_now(seconds: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs() + seconds
}

pub(crate) fn token_of(user: &str, more: &Value) -> String {
    let mut claims = json!({"sub": user, "exp": seconds_from_now(3600)});
    let members = more.as_object().unwrap().clone();
    claims.as_object_mut().unwrap().extend(members);
    let key = SigningKey::new("HS256".parse().unwrap(), &Secret::from(SECRET)).unwrap();
    key.sign(&claims).unwrap()
}

pub(crate) fn token(user: &str) -> String {
    token_of(user, &json!({}))
}

pub(crate) fn bearer(client: Client, token: &str) -> Client {
    client.header("Authorization", format!("Bearer {token}"))
}

/// Code and reason with which a connection is closed.
async fn closed(mut socket: WebSocket) -> (u16, String) {
    assert_eq!(socket.recv().await.unwrap(), None);
    let close = socket.close_frame().unwrap();
    (close.code.0, close.reason.clone())
}

#[tokio::test]
async fn a_token_binds_a_connection_to_its_user_wherever_it_stands() {
    let desk = Desk::start(&jwt(
        "server",
        "cookie = \"session\"\nquery = \"access_token\"\nfirst_message = true",
    ));
    let url = desk.url("messaging");
    let mut bob = bearer(desk.client("bob"), &token("bob"))
        .connect()
        .await
        .unwrap();
    let alice = token("alice");
    let page = Client::new(&url)
        .unwrap()
        .subprotocol("tidewire.classic")
        .subprotocol(format!("tidewire.bearer.{alice}"));
    let clients = [
        bearer(desk.client("alice"), &alice),
        // The token says who it is.
        bearer(Client::new(&url).unwrap(), &alice),
        page,
        desk.client("alice")
            .header("Cookie", format!("session={alice}")),
        Client::new(&format!("{url}?access_token={alice}")).unwrap(),
    ];
    for (index, client) in clients.into_iter().enumerate() {
        let mut socket = client.connect().await.unwrap();
        let words = format!("hello {index}");
        socket
            .send(envelope("\"alice\"", "\"bob\"", &words))
            .await
            .unwrap();
        assert!(text(&mut bob).await.contains(&words), "{index}");
    }
    let mut page = Client::new(&url).unwrap().connect().await.unwrap();
    let first = json!({"type": "authenticate", "token": alice}).to_string();
    page.send(first).await.unwrap();
    page.send(envelope("\"alice\"", "\"bob\"", "behind it"))
        .await
        .unwrap();
    assert!(text(&mut bob).await.contains("behind it"));
}

#[tokio::test]
async fn a_token_is_good_for_nobody_else_and_a_bad_one_for_nobody() {
    let desk = Desk::start(&jwt("server", "first_message = true"));
    let unauthorized = (4050, "Unauthorized".to_owned());
    let other = bearer(desk.client("bob"), &token("alice"))
        .connect()
        .await
        .unwrap();
    assert_eq!(closed(other).await, unauthorized);
    let expired = token_of("alice", &json!({"exp": seconds_from_now(0) - 1}));
    let foreign = {
        let key = SigningKey::new(
            "HS256".parse().unwrap(),
            &Secret::from("another secret, long enough for this"),
        )
        .unwrap();
        key.sign(&json!({"sub": "alice", "exp": seconds_from_now(60)}))
            .unwrap()
    };
    for bad in [expired.as_str(), &foreign, "a.b.c", ""] {
        let socket = bearer(desk.client("alice"), bad).connect().await.unwrap();
        assert_eq!(closed(socket).await, unauthorized, "{bad}");
        let mut socket = desk.client("alice").connect().await.unwrap();
        socket
            .send(json!({"type": "authenticate", "token": bad}).to_string())
            .await
            .unwrap();
        assert_eq!(closed(socket).await, unauthorized, "{bad}");
    }
    // What is no token is not read as anything else.
    let mut eve = desk.client("eve").connect().await.unwrap();
    eve.send(envelope("\"eve\"", "\"bob\"", "stolen"))
        .await
        .unwrap();
    assert_eq!(closed(eve).await, unauthorized);
    let mut bob = bearer(desk.client("bob"), &token("bob"))
        .connect()
        .await
        .unwrap();
    bob.send(envelope("\"bob\"", "\"bob\"", "to myself"))
        .await
        .unwrap();
    assert!(
        text(&mut bob).await.contains("to myself"),
        "and nothing before"
    );
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let desk = Desk::start(&jwt("server", ""));
    let short = token_of("alice", &json!({"exp": seconds_from_now(2)}));
    let socket = bearer(desk.client("alice"), &short)
        .connect()
        .await
        .unwrap();
    let long = bearer(desk.client("alice"), &token("alice"))
        .connect()
        .await
        .unwrap();
    let expired = (4401, "The credentials have expired".to_owned());
    assert_eq!(closed(socket).await, expired);
    drop(long);
}

/// Of several recipients, those that the grants cover get the message.
#[tokio::test]
async fn a_message_reaches_only_whom_the_grants_cover() {
    let desk = Desk::start(&jwt("server", ""));
    let limited = token_of(
        "alice",
        &json!({"tidewire": {"send_to": ["bob", "team-*"]}}),
    );
    let mut alice = bearer(desk.client("alice"), &limited)
        .connect()
        .await
        .unwrap();
    let desk = &desk;
    let connect = |user: &'static str| async move {
        bearer(desk.client(user), &token(user))
            .connect()
            .await
            .unwrap()
    };
    let (mut bob, mut carol, mut team) = (
        connect("bob").await,
        connect("carol").await,
        connect("team-7").await,
    );
    let message = |recipients: &Value, kind: &str, words: &str| {
        json!({"type": kind, "sender": "alice", "recipients": recipients, "text": words, "data": {"ref": words}}).to_string()
    };
    alice
        .send(message(&json!(["bob", "carol", "team-7"]), "text", "one"))
        .await
        .unwrap();
    let told: Value = serde_json::from_str(&text(&mut alice).await).unwrap();
    assert_eq!(told["type"], "notification_refused");
    assert_eq!(
        told["data"]["refused"],
        json!([{"code": "not_allowed", "recipient": "carol"}])
    );
    for friend in [&mut bob, &mut team] {
        let got: Value = serde_json::from_str(&text(friend).await).unwrap();
        assert_eq!(
            (&got["text"], &got["recipients"]),
            (&json!("one"), &json!(["bob", "team-7"]))
        );
    }
    alice
        .send(message(&json!(["carol"]), "text", "two"))
        .await
        .unwrap();
    let told: Value = serde_json::from_str(&text(&mut alice).await).unwrap();
    assert_eq!(
        (&told["data"]["code"], &told["data"]["ref"]),
        (&json!("not_allowed"), &json!("two"))
    );
    bob.send(
        json!({"type": "text", "sender": "bob", "recipients": ["carol"], "text": "first"})
            .to_string(),
    )
    .await
    .unwrap();
    assert!(
        text(&mut carol).await.contains("first"),
        "and nothing of alice's before"
    );
    let (_, _, metrics) = desk.call("GET", "/metrics", "", "").await;
    assert!(
        metrics.contains(r#"tidewire_messages_refused_total{reason="not_allowed"} 1"#),
        "{metrics}"
    );
}

/// An operator has business that is no user's, over REST and least of all on the admin listener.
#[tokio::test]
async fn a_user_neither_sees_nor_ends_what_is_others() {
    let admin_table = jwt("admin", "");
    let admin_table = admin_table.replacen(
        "[admin.auth]",
        "[admin]\nenabled = true\nlisten = \"127.0.0.1:0\"\n[admin.auth]",
        1,
    );
    let desk = Desk::start(&format!("{}{admin_table}", jwt("rest", "")));
    let alice = token_of("alice", &json!({"tidewire": {"send_to": ["bob"]}}));
    let admin = token_of("root", &json!({"tidewire": {"admin": true}}));
    let operator = desk
        .url("admin")
        .replace("http://", "")
        .replace("/admin/", "");
    let rest = desk.url("rest").replace("http://", "").replace('/', "");
    for (method, path, as_alice, as_admin) in [
        ("GET", "/sessions", 403, 200),
        ("GET", "/sessions?user=alice", 200, 200),
        ("GET", "/sessions?user=bob", 403, 200),
        ("DELETE", "/sessions?user=alice", 200, 200),
        ("DELETE", "/sessions?user=bob", 403, 200),
        ("DELETE", "/sessions?session=1", 403, 200),
        ("GET", "/blocks", 403, 200),
        ("POST", "/blocks?user=bob", 403, 201),
        ("DELETE", "/blocks?user=bob", 403, 200),
        ("GET", "/v1/events", 403, 200),
        ("GET", "/v1/events/dead-letters", 403, 200),
        ("DELETE", "/v1/events/dead-letters?id=1", 403, 200),
        ("POST", "/v1/events/dead-letters/replay", 403, 200),
        ("GET", "/v1/mailboxes", 403, 200),
        ("GET", "/v1/mailboxes?user=alice", 200, 200),
        ("GET", "/v1/mailboxes?user=bob", 403, 200),
        ("GET", "/v1/mailboxes/messages?user=alice", 200, 200),
        ("GET", "/v1/mailboxes/messages?user=bob", 403, 200),
        ("GET", "/v1/status", 403, 200),
        ("GET", "/v1/config", 403, 200),
    ] {
        for (address, token, expected) in [
            (&rest, Some(&alice), as_alice),
            (&rest, Some(&admin), as_admin),
            (&rest, None, 401),
            (&operator, Some(&alice), 403),
            (&operator, Some(&admin), as_admin),
            (&operator, None, 401),
        ] {
            let auth = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
            let head = format!("X-Tidewire-Admin: 1\r\n{}", auth.unwrap_or_default());
            let (status, _, answer) = http(address, method, path, &head, "").await;
            assert_eq!(status, expected, "{address} {method} {path} {answer}");
        }
    }
}

/// Two users and an administrator, over every operation.
#[tokio::test]
async fn over_rest_a_user_acts_for_himself_alone() {
    let desk = Desk::start(&jwt("rest", ""));
    let limited = json!({"tidewire": {"send_to": ["bob"]}});
    let alice = token_of("alice", &limited);
    let admin = token_of("root", &json!({"tidewire": {"admin": true}}));
    let send = |sender: &str, to: &str| {
        json!({"type": "text", "sender": sender, "recipients": [to], "text": "x"}).to_string()
    };
    for (method, path, body, as_alice, as_admin) in [
        ("POST", "/send-message", send("alice", "bob"), 202, 202),
        ("POST", "/send-message", send("bob", "bob"), 403, 202),
        ("POST", "/send-message", send("alice", "carol"), 403, 202),
        (
            "POST",
            "/send-message",
            json!({"type": "text", "sender": 0, "recipients": ["bob"], "text": "x"}).to_string(),
            403,
            202,
        ),
        ("GET", "/stat?id=alice", String::new(), 200, 200),
        ("GET", "/stat?id=bob", String::new(), 403, 200),
        ("GET", "/stats", String::new(), 403, 200),
        ("GET", "/check-online?id=bob", String::new(), 200, 200),
        ("GET", "/metrics", String::new(), 403, 200),
        ("HEAD", "/status", String::new(), 200, 200),
        ("DELETE", "/messages?user=alice", String::new(), 200, 200),
        ("DELETE", "/messages?sender=alice", String::new(), 200, 200),
        (
            "DELETE",
            "/messages?user=bob&sender=alice",
            String::new(),
            200,
            200,
        ),
        (
            "DELETE",
            "/messages?user=alice&sender=bob",
            String::new(),
            200,
            200,
        ),
        ("DELETE", "/messages?user=bob", String::new(), 403, 200),
        ("DELETE", "/messages?sender=bob", String::new(), 403, 200),
        (
            "DELETE",
            "/messages?user=bob&sender=carol",
            String::new(),
            403,
            200,
        ),
    ] {
        for (token, expected) in [
            (Some(&alice), as_alice),
            (Some(&admin), as_admin),
            (None, 401),
        ] {
            let auth = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
            let head = format!(
                "Content-Type: application/json\r\n{}",
                auth.unwrap_or_default()
            );
            let (status, _, answer) = desk.call(method, path, &head, &body).await;
            assert_eq!(status, expected, "{method} {path} {body} {answer}");
        }
    }
    let (_, head, _) = desk.call("GET", "/status", "", "").await;
    assert!(
        head.to_ascii_lowercase()
            .contains("www-authenticate: bearer"),
        "{head}"
    );
}

#[tokio::test]
async fn a_client_certificate_says_who_it_is() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    let identity = |name: &str, uris: &[&str]| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().unwrap()))
            .collect();
        let (certificate, key) =
            authority.sign_with(name, params, ExtendedKeyUsagePurpose::ClientAuth);
        ClientTls::with_ca_and_identity(&authority.ca(), &certificate, &key).unwrap()
    };
    let desk = Desk::start(&format!(
        "[server.auth]\ntype = \"certificate\"\nname = \"uri\"\nprefix = \"spiffe://example.org/user/\"\n\
         [server.tls]\nenabled = true\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\n",
        certificate.display().to_string(),
        key.display().to_string(),
        authority.ca().display().to_string()
    ));
    let url = desk.url("messaging").replace("127.0.0.1", "localhost");
    let connect = async |query: &str, tls: &ClientTls| {
        Client::new(&format!("{url}{query}"))
            .unwrap()
            .tls(tls.clone())
            .connect()
            .await
    };
    let alice = identity(
        "alice",
        &["spiffe://example.org/user/alice", "https://example.org"],
    );
    let mut socket = connect("", &alice).await.unwrap();
    socket
        .send(envelope("\"alice\"", "\"alice\"", "me"))
        .await
        .unwrap();
    assert!(text(&mut socket).await.contains("me"));
    assert_eq!(
        closed(connect("?id=bob", &alice).await.unwrap()).await.0,
        4050
    );
    for (name, uris) in [
        ("none", &[][..]),
        ("other", &["spiffe://example.com/user/alice"][..]),
        (
            "two",
            &[
                "spiffe://example.org/user/alice",
                "spiffe://example.org/user/bob",
            ][..],
        ),
        ("empty", &["spiffe://example.org/user/"][..]),
    ] {
        let socket = connect("?id=alice", &identity(name, uris)).await.unwrap();
        assert_eq!(closed(socket).await.0, 4050, "{name}");
    }
}

/// A service that answers every request with these bytes.
async fn service(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Until the head is there; none of the questions has a body.
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    url
}

#[tokio::test]
async fn a_service_decides_and_its_silence_is_no_yes() {
    let remote = |url: &str| {
        format!(
            "type = \"remote\"\nsource = {{ type = \"bearer\" }}\nurl = \"{url}\"\nbinds_user = true\ntimeout = \"5s\"\n"
        )
    };
    let yes = service(
        "HTTP/1.1 200 OK\r\nContent-Length: 16\r\nConnection: close\r\n\r\n{\"user\":\"alice\"}",
    )
    .await;
    let no = service("HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    let broken = service("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    for (url, code, status) in [
        (&yes, None, 200),
        (&no, Some(4050), 401),
        (&broken, Some(1013), 503),
    ] {
        let auth = remote(url);
        let desk = Desk::start(&format!("[server.auth]\n{auth}\n[rest.auth]\n{auth}"));
        let mut socket = bearer(desk.client("alice"), "t").connect().await.unwrap();
        match code {
            None => {
                socket
                    .send(envelope("\"alice\"", "\"alice\"", "me"))
                    .await
                    .unwrap();
                assert!(text(&mut socket).await.contains("me"));
                let bob = bearer(desk.client("bob"), "t").connect().await.unwrap();
                assert_eq!(closed(bob).await.0, 4050);
            }
            Some(code) => assert_eq!(closed(socket).await.0, code),
        }
        let (found, _, _) = desk
            .call("GET", "/stat?id=alice", "Authorization: Bearer t\r\n", "")
            .await;
        assert_eq!(found, status);
        let url = desk.url("web chat");
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let (found, _, _) = http(address, "GET", "/", "Authorization: Bearer t\r\n", "").await;
        assert_eq!(found, status);
    }
}

#[tokio::test]
async fn what_is_too_long_for_a_token_is_none() {
    let desk = Desk::start(&jwt("server", "first_message = true"));
    let mut socket = desk.client("alice").connect().await.unwrap();
    socket
        .send(Message::Binary(vec![b'x'; 64 << 10].into()))
        .await
        .unwrap();
    assert_eq!(closed(socket).await.0, 4050, "what is too long is no token");
}
