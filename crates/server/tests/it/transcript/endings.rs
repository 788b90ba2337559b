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
        "?id=&id=1",
        "?id=%",
        "?id=%4g",
        "?id=%ff",
        "?id=%0A",
        "?id=%00",
        "?id=%201",
        "?id=+491511234567",
        &format!("?id={}", "a".repeat(129)),
        &format!("?id={}", "%D0%B6".repeat(65)),
        "?id=1&receipts=",
        "?id=1&receipts=yes",
        &format!("?id=1&receipts={}", "2".repeat(200)),
        "?receipts=2",
        "?id=1&ids=",
        "?id=1&ids=text",
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

/// Kinds: numbers at both ends of their range, numbers in other spellings, which are names, encodings of one name, its
/// two normal forms, invisible characters.
#[tokio::test]
async fn ids_that_people_have() {
    let mut log = Transcript::new("");
    for (query, sender) in [
        ("?id=0042", r#""0042""#),
        ("?id=-1", r#""-1""#),
        ("?id=1e3", r#""1e3""#),
        ("?id=1.0", r#""1.0""#),
        ("?id=0x1", r#""0x1""#),
        ("?id=18446744073709551615", "18446744073709551615"),
        ("?id=18446744073709551616", r#""18446744073709551616""#),
        ("?id=123456789012345678901", r#""123456789012345678901""#),
        ("?id=%2B491511234567", r#""+491511234567""#),
        ("?id=J%C3%B6rg+K", r#""Jörg K""#),
        ("?id=J%c3%b6rg%20K", r#""Jo\u0308rg K""#),
        ("?id=Jo%CC%88rg+K", "\"Jo\u{308}rg K\""),
        ("?i%64=%34%32", "42.0"),
        ("?id=%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7", r#""👩‍👧""#),
    ] {
        log.session("who", query).await;
        let payload =
            format!(r#"{{"type":"text","sender":{sender},"recipients":[{sender}],"text":"x"}}"#);
        log.send("who", &payload).await;
        log.hear("who", 1).await;
        log.prove("who").await;
        log.leave("who");
    }
    log.check("names");
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
        "{}",
        r#"{"type":7,"sender":1,"recipients":[2],"text":"x"}"#,
        r#"{"type":"text","recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":-1,"recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":" 42","recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":"a\u0000","recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":9007199254740993.0,"recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":null,"recipients":[2],"text":"x"}"#,
        r#"{"type":"text","sender":1,"text":"x"}"#,
        r#"{"type":"text","sender":1,"recipients":2,"text":"x"}"#,
        r#"{"type":"text","sender":1,"recipients":[2,1.5],"text":"x"}"#,
        r#"{"type":"text","sender":1,"recipients":[2,""],"text":"x"}"#,
        r#"{"type":"text","sender":1,"recipients":[],"text":"x"}"#,
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

/// Bounds that old servers did not have. Kinds: as many recipients as there may be and one more, named twice, among
/// others that are refused; a type, nesting and numbers at and beyond their bound; with and without a reference.
#[tokio::test]
async fn messages_beyond_a_bound_end_no_connection() {
    let mut log = Transcript::new("[chat]\nrecipients_max = 3\n");
    log.session("anna", "?id=1").await;
    let long_type = format!(
        r#"{{"type":"{}","sender":1,"recipients":[2],"data":{{"ref":"type"}}}}"#,
        "t".repeat(65)
    );
    let deep = format!(
        r#"{{"type":"x","sender":1,"recipients":[2],"data":{}{}}}"#,
        "[".repeat(127),
        "]".repeat(127)
    );
    let digits = format!(
        r#"{{"type":"x","sender":1,"recipients":[2],"data":{{"ref":"digits","x":{}}}}}"#,
        "1".repeat(1001)
    );
    for payload in [
        r#"{"type":"text","sender":1,"recipients":[2,3,4,5],"text":"x","data":{"ref":"many"}}"#,
        r#"{"type":"text","sender":1,"recipients":[2,3,4,5],"text":"x"}"#,
        &long_type,
        &deep,
        r#"{"type":"x","sender":1,"recipients":[2],"data":[1E400]}"#,
        &digits,
    ] {
        log.send("anna", payload).await;
        log.hear("anna", 1).await;
    }
    log.note("the connection goes on");
    log.send(
        "anna",
        r#"{"type":"text","sender":1,"recipients":[1,2,3,3,2,1],"text":"x","data":1E300}"#,
    )
    .await;
    log.hear("anna", 1).await;
    log.note("over REST");
    log.post(r#"{"type":"text","sender":0,"recipients":[1,2,3,4],"text":"x"}"#)
        .await;
    log.post(r#"{"type":"x","sender":0,"recipients":[1],"data":-1e309}"#)
        .await;
    log.check("beyond");
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
