//! Messages, copies, receipts and refusals.

use super::record::Transcript;
use crate::raw::BINARY;

#[tokio::test]
async fn messages_in_every_form() {
    let mut log = Transcript::new("[chat]\nlive_only_types = [\"typing\"]\n");
    log.session("anna", "?id=1").await;
    log.session("bob", "?id=bob").await;
    log.session("eve", "?id=a%20%22b%22%5C%D0%B6").await;
    log.note("the common form, and every member in an order of its own");
    for payload in [
        r#"{"type":"text","sender":1,"recipients":["bob"],"text":"Hello"}"#,
        r#"{ "text" : "spaces" ,"recipients" : [ "bob" ] , "sender":1,"type":"text" }"#,
        "{\"type\":\"text\",\"sender\":\"1\",\"recipients\":[\"bob\"],\n\"text\":\"a quoted number is the number\"}",
        r#"{"type":"text","sender":1,"recipients":["bob"],"text":"esc \u00e9 \ud83d\ude00 \" \\ \/ \n \u0000 ж","data":"x"}"#,
        r#"{"type":"t\u0065xt","sender":1,"recipients":["bob"],"text":"an escaped type"}"#,
        r#"{"type":"text","sender":1,"recipients":["bob"],"text":"","data":{"b":1,"a":[1.50,-0,1E300,18446744073709551616,null,true],"b\u0062": "x" }}"#,
        r#"{"type":"poke","sender":1,"recipients":["bob"]}"#,
        r#"{"type":"poke","sender":1,"recipients":["bob"],"text":7,"data":[ ]}"#,
        r#"{"type":"","sender":1,"recipients":["bob"],"text":"an empty type"}"#,
        r#"{"type":"text","sender":1,"recipients":["bob"],"text":"unusual members","id":"mine","extra":{"x":[1]},"Type":"x"}"#,
        r#"{"type":"notification_received","sender":1,"recipients":["bob"],"data":{"id":"forged","recipient":9}}"#,
    ] {
        log.send("anna", payload).await;
        log.hear("bob", 1).await;
    }
    time_stamps(&mut log).await;
    log.note("a binary frame is as good");
    let payload = br#"{"type":"text","sender":1,"recipients":["bob"],"text":"binary"}"#;
    log.send_frame("anna", BINARY, payload).await;
    log.hear("bob", 1).await;
    log.note("several recipients: the full list, each once, 0 skipped; names with quotes");
    log.send("anna", r#"{"type":"text","sender":1,"recipients":["bob",0,"a \"b\"\\ж",7,"7",1,"bob"],"text":"all"}"#).await;
    log.hear("bob", 1).await;
    log.hear("eve", 1).await;
    log.hear("anna", 1).await;
    log.send(
        "eve",
        r#"{"type":"text","sender":"a \"b\"\\\u0436","recipients":[1],"text":"from a name"}"#,
    )
    .await;
    log.hear("anna", 1).await;
    log.note("live-only types are passed on, to themselves too, and never stored");
    log.send(
        "anna",
        r#"{"type":"TYPING","sender":1,"recipients":[7,"bob",1]}"#,
    )
    .await;
    log.hear("bob", 1).await;
    log.hear("anna", 1).await;
    log.note("for the administrator alone: nobody hears of it");
    log.send(
        "anna",
        r#"{"type":"text","sender":1,"recipients":[0],"text":"to 0"}"#,
    )
    .await;
    log.send(
        "anna",
        r#"{"type":"text","sender":1,"recipients":[1],"text":"behind it"}"#,
    )
    .await;
    log.hear("anna", 1).await;
    log.check("messages");
}

async fn time_stamps(log: &mut Transcript) {
    log.note("time stamps of the client");
    for timestamp in [
        r#""yesterday""#,
        r#""""#,
        r#""2018-11-27T22:53:30Z \u0041""#,
        "7",
        "null",
        &format!("\"{}\"", "t".repeat(64)),
        &format!("\"{}\"", "t".repeat(65)),
    ] {
        let payload = format!(
            r#"{{"type":"text","sender":1,"recipients":["bob"],"text":"x","timestamp":{timestamp}}}"#
        );
        log.send("anna", &payload).await;
        log.hear("bob", 1).await;
    }
}

#[tokio::test]
async fn messages_that_waited() {
    let mut log = Transcript::new("");
    log.session("anna", "?id=1").await;
    for payload in [
        r#"{"type":"text","sender":1,"recipients":[42],"text":"alone","data":{"a":1}}"#,
        r#"{"type":"text","sender":1,"recipients":[1,42,"bob",0],"text":"one of several","timestamp":"then"}"#,
        r#"{"type":"poke","sender":1,"recipients":["bob","a\"b"],"data":{"recipients":[]}}"#,
        r#"{"type":"text","sender":1,"recipients":[1],"text":"behind them"}"#,
    ] {
        log.send("anna", payload).await;
    }
    log.hear("anna", 2).await;
    log.note("each names only its recipient; unproven, it comes again with the same id");
    log.connect("first", "?id=42").await;
    log.hear_mute("first", 2).await;
    log.leave("first");
    log.session("second", "?id=42").await;
    log.hear("second", 2).await;
    log.prove("second").await;
    log.leave("second");
    log.note("proven, it comes no more");
    log.send(
        "anna",
        r#"{"type":"text","sender":1,"recipients":[42],"text":"next"}"#,
    )
    .await;
    log.send(
        "anna",
        r#"{"type":"text","sender":1,"recipients":[1],"text":"behind it"}"#,
    )
    .await;
    log.hear("anna", 1).await;
    log.session("third", "?id=42").await;
    log.hear("third", 1).await;
    log.session("bob", "?id=bob").await;
    log.hear("bob", 2).await;
    log.session("quote", "?id=a%22b").await;
    log.hear("quote", 1).await;
    log.check("waited");
}

#[tokio::test]
async fn copies_and_receipts_for_all() {
    let mut log = Transcript::new(
        "[chat]\nsend_back = true\ndelivery_status = true\nsend_back_ignored_types = [\"quiet\"]\n\
         live_only_types = [\"typing\"]\n",
    );
    log.session("phone", "?id=1").await;
    log.session("laptop", "?id=1").await;
    log.session("bob", "?id=bob").await;
    for (payload, copies) in [
        (
            r#"{"type":"text","sender":1,"recipients":["bob"],"text":"a copy","data":{"ref":"r"}}"#,
            1,
        ),
        (
            r#"{"type":"Quiet","sender":1,"recipients":["bob"],"text":"no copy"}"#,
            0,
        ),
    ] {
        log.send("phone", payload).await;
        log.hear("bob", 1).await;
        log.prove("bob").await;
        log.hear("phone", copies + 1).await;
        log.hear("laptop", copies + 1).await;
    }
    log.note("a live-only message has a copy and no proof");
    log.send(
        "laptop",
        r#"{"type":"typing","sender":1,"recipients":["bob"]}"#,
    )
    .await;
    log.hear("bob", 1).await;
    log.hear("laptop", 1).await;
    log.hear("phone", 1).await;
    log.check("copies");
}

#[tokio::test]
async fn receipts_for_who_asks() {
    let mut log = Transcript::new("[chat]\nlive_only_types = [\"typing\"]\n");
    log.session("page", "?id=1&receipts=1").await;
    log.session("old", "?receipts=0&id=1").await;
    log.session("bob", "?id=bob").await;
    let long = format!("\"{}\"", "r".repeat(128));
    let too_long = format!("\"{}\"", "r".repeat(129));
    for reference in [r#""r-1""#, r#""a\u00e9\"b""#, "7", &long, &too_long] {
        let payload = format!(
            r#"{{"type":"text","sender":1,"recipients":["bob"],"text":"x","data":{{"x":[2],"ref":{reference}}}}}"#
        );
        log.send("page", &payload).await;
        log.hear("bob", 1).await;
        log.prove("bob").await;
        log.hear("page", 2).await;
    }
    log.note("an escaped key is the key; two of them are none; no data");
    for data in [
        r#"{"r\u0065f":"x"}"#,
        r#"{"ref":"a","ref":"b"}"#,
        "null",
        "[\"ref\"]",
    ] {
        let payload = format!(r#"{{"type":"typing","sender":1,"recipients":[9],"data":{data}}}"#);
        log.send("page", &payload).await;
        log.hear("page", 1).await;
    }
    log.note("for the administrator");
    log.send(
        "page",
        r#"{"type":"text","sender":1,"recipients":[0,0],"text":"x","data":{"ref":"0"}}"#,
    )
    .await;
    log.hear("page", 1).await;
    log.note("what another session of the user sent was received");
    log.send(
        "old",
        r#"{"type":"text","sender":1,"recipients":["bob"],"text":"by the old client"}"#,
    )
    .await;
    log.hear("bob", 1).await;
    log.prove("bob").await;
    log.hear("page", 1).await;
    log.send(
        "old",
        r#"{"type":"text","sender":1,"recipients":[1],"text":"nothing came before"}"#,
    )
    .await;
    log.hear("old", 1).await;
    log.check("receipts");
}

#[tokio::test]
async fn refusals() {
    let mut log = Transcript::new("[mailbox]\nuser_messages_max = 2\n");
    log.session("anna", "?id=1").await;
    log.session("page", "?id=1&receipts=1").await;
    log.session("bob", "?id=bob").await;
    log.post(r#"{"type":"text","sender":0,"recipients":[901,"full"],"text":"fills"}"#)
        .await;
    log.post(r#"{"type":"text","sender":0,"recipients":[901,"full"],"text":"fills"}"#)
        .await;
    log.note("as a whole");
    log.send(
        "anna",
        r#"{"type":"text","sender":1,"recipients":[901],"text":"x","data":{"ref":"r\n"}}"#,
    )
    .await;
    log.hear("anna", 1).await;
    log.send(
        "anna",
        r#"{"type":"text","sender":1,"recipients":["full",901],"text":"x"}"#,
    )
    .await;
    log.hear("anna", 1).await;
    log.note("in part");
    log.send("anna", r#"{"type":"text","sender":1,"recipients":["bob",901,"full"],"text":"x","data":{"ref":"part"}}"#).await;
    log.hear("anna", 1).await;
    log.hear("bob", 1).await;
    log.prove("bob").await;
    log.send(
        "page",
        r#"{"type":"text","sender":1,"recipients":[901,"bob"],"text":"x"}"#,
    )
    .await;
    log.hear("page", 2).await;
    log.hear("bob", 1).await;
    log.prove("bob").await;
    log.note("the sender's share of a mailbox");
    log.send(
        "bob",
        r#"{"type":"text","sender":"bob","recipients":[77],"text":"1"}"#,
    )
    .await;
    log.send(
        "bob",
        r#"{"type":"text","sender":"bob","recipients":[77],"text":"2"}"#,
    )
    .await;
    log.hear("bob", 1).await;
    log.note("over REST");
    log.post(r#"{"type":"text","sender":1,"recipients":[901],"text":"x"}"#)
        .await;
    log.check("refusals");
}

#[tokio::test]
async fn messages_that_are_too_large_for_so_many() {
    let mut log = Transcript::new("");
    log.session("anna", "?id=1").await;
    let recipients: Vec<String> = (1000..1256).map(|id| id.to_string()).collect();
    // 256 × 132 000 bytes are more than 32 MiB.
    let payload = format!(
        r#"{{"type":"text","sender":0,"recipients":[{}],"text":"{}"}}"#,
        recipients.join(","),
        "x".repeat(132_000)
    );
    let (status, _, answer) = log
        .desk
        .call(
            "POST",
            "/send-message",
            "Content-Type: application/json\r\n",
            &payload,
        )
        .await;
    log.note(&format!("{status} {answer}"));
    log.check("fanout");
}

#[tokio::test]
async fn anybody_as_sender_and_repeated_recipients() {
    let mut log = Transcript::new(
        "[chat]\ncheck_sender = false\nrepeat_recipients = true\nsend_back = true\n",
    );
    log.session("anna", "?id=1").await;
    log.session("bob", "?id=bob").await;
    log.note("0 as sender: no copies; somebody else: copies to him");
    log.send(
        "anna",
        r#"{"type":"text","sender":0,"recipients":["bob"],"text":"as 0"}"#,
    )
    .await;
    log.hear("bob", 1).await;
    log.send(
        "anna",
        r#"{"type":"text","sender":"bob","recipients":[1],"text":"as bob"}"#,
    )
    .await;
    log.hear("anna", 1).await;
    log.hear("bob", 1).await;
    log.note("each time it is named");
    log.send(
        "anna",
        r#"{"type":"text","sender":1,"recipients":["bob","bob",0,5,"bob"],"text":"3"}"#,
    )
    .await;
    log.hear("bob", 3).await;
    log.hear("anna", 1).await;
    log.note("0 may connect and get messages");
    log.session("zero", "?id=0").await;
    log.send(
        "zero",
        r#"{"type":"text","sender":0,"recipients":["bob"],"text":"from 0"}"#,
    )
    .await;
    log.hear("bob", 1).await;
    log.check("compatible");
}

/// Kinds: ids beyond 2^53 and small ones, names, 0; live, from the mailbox, copies, receipts and refusals; next to a
/// connection of the same user that reads numbers.
#[tokio::test]
async fn ids_as_strings_for_who_asks() {
    let mut log = Transcript::new("[chat]\nsend_back = true\n[mailbox]\nuser_messages_max = 1\n");
    log.session("page", "?id=9007199254740993&ids=strings&receipts=1")
        .await;
    log.session("old", "?id=9007199254740993&ids=numbers").await;
    log.send(
        "page",
        r#"{"type":"text","sender":"9007199254740993","recipients":["18446744073709551615","bob",7],"text":"waits","data":{"ref":"r"}}"#,
    )
    .await;
    log.hear("page", 2).await;
    log.hear("old", 1).await;
    log.session("bob", "?id=bob&ids=strings&receipts=1").await;
    log.hear("bob", 1).await;
    log.prove("bob").await;
    log.hear("page", 1).await;
    log.note("a refusal in part");
    log.send(
        "page",
        r#"{"type":"text","sender":9007199254740993,"recipients":[18446744073709551615,"bob",0],"text":"x"}"#,
    )
    .await;
    log.hear("page", 3).await;
    log.hear("old", 1).await;
    log.hear("bob", 1).await;
    log.prove("bob").await;
    log.note("as a whole");
    log.send(
        "page",
        r#"{"type":"text","sender":9007199254740993,"recipients":[18446744073709551615],"text":"x"}"#,
    )
    .await;
    log.hear("page", 2).await;
    log.check("strings");
}
