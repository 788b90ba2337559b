//! `chat`: messages, and what is kept of them.

use super::object::{Conversion, Object};

/// `chat`; the documented place of a key goes before the one that a version of the program read.
pub(super) fn chat(out: &mut Conversion, object: Option<&Object<'_>>) {
    let message = object.and_then(|object| object.object(out, "message"));
    if let Some(object) = object {
        object.only(
            out,
            &[
                "enableUndeliveredQueue",
                "maxSize",
                "enableDeliveryStatus",
                "message",
            ],
        );
    }
    if let Some(message) = &message {
        message.only(
            out,
            &[
                "maxSize",
                "enableDeliveryStatus",
                "enableUndeliveredQueue",
                "enableSendBack",
                "ignoredTypesSendBack",
            ],
        );
    }
    let (chat, message) = (object, message.as_ref());
    let is_kept = undelivered(out, chat, message);
    delivery_status(out, chat, message, is_kept);
    max_size(out, chat, message, is_kept);
    if let Some(message) = message {
        if let Some(is_on) = message.boolean(out, "enableSendBack") {
            out.set("chat.send_back", is_on, "chat.message.enableSendBack");
        }
        if let Some(types) = message
            .has("ignoredTypesSendBack")
            .then(|| message.texts(out, "ignoredTypesSendBack"))
        {
            let types = types.unwrap_or_default();
            out.set(
                "chat.send_back_ignored_types",
                types,
                "chat.message.ignoredTypesSendBack",
            );
        }
    }
}

/// Returns whether messages are kept.
fn undelivered(
    out: &mut Conversion,
    chat: Option<&Object<'_>>,
    message: Option<&Object<'_>>,
) -> bool {
    const KEY: &str = "enableUndeliveredQueue";
    let documented = chat.and_then(|chat| chat.boolean(out, KEY));
    let elsewhere = message.and_then(|message| message.boolean(out, KEY));
    let is_kept = documented.or(elsewhere).unwrap_or(false);
    let key = "chat.enableUndeliveredQueue";
    match (documented, elsewhere) {
        (Some(documented), Some(elsewhere)) if documented != elsewhere => {
            let text = "counts, and not chat.message.enableUndeliveredQueue, which wsserver 2 read";
            out.note(key, text);
        }
        (Some(true), None) => {
            let text = "is obeyed; wsserver 2 looked for it in chat.message and kept nothing";
            out.note(key, text);
        }
        (None, None) => {
            let text = "is false, as the README says: messages for users who are away are lost; version 1 kept them";
            out.note(key, text);
        }
        _ => {}
    }
    let theirs = if documented.is_none() && elsewhere.is_some() {
        "chat.message.enableUndeliveredQueue"
    } else {
        key
    };
    out.set("mailbox.enabled", is_kept, theirs);
    is_kept
}

fn delivery_status(
    out: &mut Conversion,
    chat: Option<&Object<'_>>,
    message: Option<&Object<'_>>,
    is_kept: bool,
) {
    const KEY: &str = "enableDeliveryStatus";
    let documented = message.and_then(|message| message.boolean(out, KEY));
    let elsewhere = chat.and_then(|chat| chat.boolean(out, KEY));
    let Some(is_on) = documented.or(elsewhere) else {
        return;
    };
    let key = "chat.message.enableDeliveryStatus";
    match (documented, elsewhere) {
        (Some(documented), Some(elsewhere)) if documented != elsewhere => {
            out.note(
                key,
                "counts, and not chat.enableDeliveryStatus, which wsserver read",
            );
        }
        (Some(true), None) => {
            let text = "is obeyed; wsserver looked for it in chat and sent no status";
            out.note(key, text);
        }
        _ => {}
    }
    let theirs = if documented.is_some() {
        key
    } else {
        "chat.enableDeliveryStatus"
    };
    if is_on && !is_kept {
        let text = "has no effect without chat.enableUndeliveredQueue: only what is kept is confirmed; wsserver sent a status once a message was written";
        out.note(theirs, text);
    }
    out.set("chat.delivery_status", is_on, theirs);
}

fn max_size(
    out: &mut Conversion,
    chat: Option<&Object<'_>>,
    message: Option<&Object<'_>>,
    is_kept: bool,
) {
    const KEY: &str = "maxSize";
    let documented = message.filter(|message| message.has(KEY));
    let Some(object) = documented.or_else(|| chat.filter(|chat| chat.has(KEY))) else {
        return;
    };
    let key = object.key(KEY);
    if documented.is_some()
        && let Some(chat) = chat
        && chat.has(KEY)
        && chat.get(KEY) != object.get(KEY)
    {
        out.note(
            key.clone(),
            "counts, and not chat.maxSize, which version 1 of wsserver read",
        );
    }
    let Some(text) = object.text(out, KEY) else {
        return;
    };
    let Some(size) = size(text) else {
        let expected = "a whole number with M or K, such as \"10M\", at most 512M";
        out.wrong(key, tidewire_config::quote(text), expected);
        return;
    };
    out.set("server.limits.message_bytes_max", size, &key);
    let megabyte: u64 = 1 << 20;
    // What a client may send is to fit wherever it passes: the body of a request, what a message makes the store write,
    // and the mailboxes, of which a sender has a share.
    if size > 10 * megabyte {
        out.set("rest.body_bytes_max", size, &key);
    }
    if size > 32 * megabyte {
        out.set("chat.fanout_bytes_max", size + megabyte, &key);
    }
    if is_kept && size > 16 * megabyte {
        out.set("mailbox.user_bytes_max", size * 4, &key);
        out.set(
            "mailbox.sender_bytes_max",
            (size * 4).max(256 * megabyte),
            &key,
        );
    }
}

/// `10M` or `1000K`.
fn size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.strip_suffix('M') {
        Some(digits) => (digits, 1 << 20),
        None => (text.strip_suffix('K')?, 1 << 10),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    // No message of the store is larger.
    (1..=512 << 20).contains(&size).then_some(size)
}
