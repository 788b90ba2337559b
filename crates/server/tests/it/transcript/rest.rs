//! Messages over REST.

use super::record::Transcript;

#[tokio::test]
async fn messages_and_what_is_wrong_with_them() {
    let mut log = Transcript::new("[chat]\nrecipients_max = 3\nsend_back = true\n");
    log.session("anna", "?id=1&receipts=1").await;
    log.session("bob", "?id=bob").await;
    log.note("any sender, 0 included; copies go to the sender it names, receipts to nobody");
    log.post(r#"{"type":"text","sender":0,"recipients":["bob"],"text":"as 0"}"#)
        .await;
    log.hear("bob", 1).await;
    log.post(r#"{"type":"text","sender":1,"recipients":["bob",0,7],"text":"as 1","timestamp":"t","data":{"ref":"x"}}"#).await;
    log.hear("bob", 1).await;
    log.hear("anna", 1).await;
    log.note("what is refused");
    for body in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"type":"text","sender":0,"recipients":[0],"text":"x"}"#,
        r#"{"type":"text","sender":0,"recipients":[0,0],"text":"x"}"#,
        r#"{"type":"text","sender":"","recipients":[1],"text":"x"}"#,
        r#"{"type":"text","sender":0,"recipients":[],"text":"x"}"#,
        r#"{"type":"text","sender":0,"recipients":[1,2,3,4],"text":"x"}"#,
        r#"{"type":"text","sender":0,"recipients":[1]}"#,
    ] {
        log.post(body).await;
    }
    let (path, body) = (
        "/send-message",
        r#"{"type":"text","sender":0,"recipients":["bob"],"text":"k"}"#,
    );
    log.call("POST", path, "Content-Type: text/plain\r\n", body)
        .await;
    log.note("a repeated request sends nothing");
    let head = "Content-Type: application/json; charset=utf-8\r\nIdempotency-Key: k\r\n";
    log.call("POST", path, head, body).await;
    log.call("POST", path, head, body).await;
    log.call("POST", path, head, "{}").await;
    let head = "Content-Type: application/json\r\nIdempotency-Key: wrong\r\n";
    log.call("POST", path, head, "{}").await;
    log.call("POST", path, head, "{}").await;
    log.hear("bob", 1).await;
    log.post(r#"{"type":"text","sender":0,"recipients":["bob"],"text":"next"}"#)
        .await;
    log.hear("bob", 1).await;
    log.check("rest");
}

/// Bytes of messages in and out are statistics of a user.
#[tokio::test]
async fn statistics_count_the_bytes_of_messages() {
    let mut log = Transcript::new("[chat]\nsend_back = true\n");
    log.session("anna", "?id=1").await;
    log.session("bob", "?id=bob").await;
    log.send(
        "anna",
        r#"{"type":"text","sender":1,"recipients":["bob",5],"text":"hi","timestamp":"t"}"#,
    )
    .await;
    log.hear("bob", 1).await;
    log.prove("bob").await;
    log.hear("anna", 1).await;
    log.prove("anna").await;
    for user in ["1", "bob", "5"] {
        let (_, _, answer) = log
            .desk
            .call("GET", &format!("/stat?id={user}"), "", "")
            .await;
        let stat: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let part = |key: &str| format!("{key} {}", stat["data"][key]);
        let parts = ["id", "bytesTransferred", "receivedMessages", "sentMessages"].map(part);
        log.note(&parts.join(", "));
    }
    log.check("statistics");
}
