//! Close codes and their reasons.

use super::record::Transcript;
use crate::raw::{BINARY, TEXT};

#[tokio::test]
async fn identities_that_are_none() {
    let mut log = Transcript::new("");
    for query in [
        "",
        "?",
        "?x=1",
        "?id",
        "?id=",
        "?id=042",
        "?id=-1",
        "?id=1e3",
        "?id=18446744073709551616",
        "?id=%",
        "?id=%ff",
        "?id=%0A",
        "?id=%201",
        &format!("?id={}", "a".repeat(129)),
        &format!("?id={}", "%D0%B6".repeat(65)),
        "?id=1&receipts=",
        "?id=1&receipts=yes",
        &format!("?id=1&receipts={}", "2".repeat(200)),
        "?receipts=2",
    ] {
        log.connect("who", query).await;
        log.hear("who", 1).await;
    }
    log.note("the first counts, in any case of letters");
    log.connect("who", "?a=1&ID=7&id=8").await;
    log.send(
        "who",
        r#"{"type":"text","sender":7,"recipients":[7],"text":"7"}"#,
    )
    .await;
    log.hear("who", 1).await;
    log.check("identities");
}

#[tokio::test]
async fn wrong_credentials_and_too_many_connections() {
    let mut log = Transcript::new("[server.auth]\ntype = \"bearer\"\nvalue = \"t\"\n");
    log.connect("thief", "?id=1").await;
    log.send(
        "thief",
        r#"{"type":"text","sender":1,"recipients":[2],"text":"x"}"#,
    )
    .await;
    log.hear("thief", 1).await;
    let good = "Authorization: Bearer t\r\n";
    log.connect_with("nobody", "", good).await;
    log.hear("nobody", 1).await;
    log.note("as many connections as a user may have, then one more");
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(crate::desk::raw_query(&log.desk, "?id=5", good).await);
    }
    log.connect_with("late", "?id=5", good).await;
    log.hear("late", 1).await;
    drop(held);
    log.check("refused");
}

#[tokio::test]
async fn payloads_that_break_a_rule() {
    let mut log = Transcript::new("[chat]\nrecipients_max = 3\n");
    let long_type = format!(
        r#"{{"type":"{}","sender":1,"recipients":[2]}}"#,
        "t".repeat(65)
    );
    let deep = format!(
        r#"{{"type":"x","sender":1,"recipients":[2],"data":{}{}}}"#,
        "[".repeat(127),
        "]".repeat(127)
    );
    for payload in [
        "",
        " ",
        "hello",
        "{",
        "[]",
        "7",
        "null",
        r#"["text",1,[2],"x",null,"t"]"#,
        r#"{"type":"text","sender":1,"recipients":[2],"text":"x"} x"#,
        r#"{"type":"text","type":"text","sender":1,"recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":1,"recipients":[2],"text":"\ud800"}"#,
        r#"{"type":"text","sender":1,"recipients":[2],"text":"\ud800\u0041"}"#,
        "{\"type\":\"text\",\"sender\":1,\"recipients\":[2],\"text\":\"\u{1}\"}",
        &deep,
        "{}",
        r#"{"type":7,"sender":1,"recipients":[2],"text":"x"}"#,
        &long_type,
        r#"{"type":"text","recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":-1,"recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":"042","recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":null,"recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":1,"text":"x"}"#,
        r#"{"type":"text","sender":1,"recipients":2,"text":"x"}"#,
        r#"{"type":"text","sender":1,"recipients":[2,1.5],"text":"x"}"#,
        r#"{"type":"text","sender":1,"recipients":[2,""],"text":"x"}"#,
        r#"{"type":"text","sender":1,"recipients":[],"text":"x"}"#,
        r#"{"type":"text","sender":1,"recipients":[2,3,4,5],"text":"x"}"#,
        r#"{"type":"text","sender":1,"recipients":[2,3,4,5]}"#,
        r#"{"type":"text","sender":1,"recipients":[2]}"#,
        r#"{"type":"text","sender":1,"recipients":[2],"text":7}"#,
        r#"{"type":"text","sender":9,"recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":0,"recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":9,"recipients":[0],"text":"x"}"#,
    ] {
        log.connect("anna", "?id=1").await;
        log.send("anna", payload).await;
        log.hear("anna", 1).await;
    }
    log.note("repeated recipients count once");
    log.connect("anna", "?id=1").await;
    log.send(
        "anna",
        r#"{"type":"text","sender":1,"recipients":[1,1,1,1,1,2,3],"text":"x"}"#,
    )
    .await;
    log.hear("anna", 1).await;
    log.check("invalid");
}

#[tokio::test]
async fn bytes_that_are_no_messages() {
    let mut log = Transcript::new("[server.limits]\nmessage_bytes_max = 100\n");
    log.connect("anna", "?id=1").await;
    log.send_frame("anna", BINARY, b"\xff{}").await;
    log.hear("anna", 1).await;
    log.connect("anna", "?id=1").await;
    log.send_frame(
        "anna",
        BINARY,
        "{\"type\":\"жжж".as_bytes().get(..13).unwrap(),
    )
    .await;
    log.hear("anna", 1).await;
    log.connect("anna", "?id=1").await;
    log.send_frame("anna", TEXT, b"\xff{}").await;
    log.hear("anna", 1).await;
    log.connect("anna", "?id=1").await;
    log.send_frame("anna", TEXT, &[b' '; 101]).await;
    log.hear("anna", 1).await;
    log.check("bytes");
}
