//! Mailboxes seen from outside: how much waits for whom, page by page.

use std::{collections::BTreeMap, sync::mpsc::sync_channel};

use tidewire_engine::{
    Mailbox, MailboxPage, MailboxQuery,
    contract::blocking::{ack, append, message, submit, user},
};

use crate::sqlite::{fresh, open};

fn ask(store: &dyn Mailbox, query: MailboxQuery) -> MailboxPage {
    let (send, receive) = sync_channel(1);
    let done = Box::new(move |page| send.send(page).expect("the test waits"));
    store.mailboxes(query, done).expect("the command is taken");
    receive.recv().expect("completes").expect("the store works")
}

fn page(
    store: &dyn Mailbox,
    after: Option<(u64, tidewire_engine::UserKey)>,
    count: usize,
) -> MailboxPage {
    ask(store, MailboxQuery::Page { after, count })
}

#[test]
fn pages_tell_of_everybody_for_whom_something_waits_once() {
    let (_dir, config) = fresh();
    let store = open(&config);
    let names: Vec<String> = (0..25).map(|at| format!("user-{at}")).collect();
    for (at, name) in names.iter().enumerate() {
        for _ in 0..=at % 3 {
            append(&*store, name, b"12345");
        }
    }
    let placed = append(&*store, "confirmed", b"12345");
    ack(&*store, "confirmed", placed);
    let mut seen = BTreeMap::new();
    let mut after = None;
    loop {
        let found = page(&*store, after, 10);
        assert!(found.mailboxes.len() <= 10);
        for info in &found.mailboxes {
            assert_eq!(info.bytes, info.messages * 5);
            let twice = seen.insert(info.user.to_string(), info.messages);
            assert_eq!(twice, None, "{}", info.user);
        }
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    let expected = names.iter().enumerate();
    let expected = expected.map(|(at, name)| (name.clone(), at as u64 % 3 + 1));
    assert_eq!(seen, expected.collect());
    assert_eq!(page(&*store, None, 0), MailboxPage::default());
}

#[test]
fn the_next_to_expire_comes_first_and_one_user_is_found_alone() {
    let (_dir, config) = fresh();
    let store = open(&config);
    for (name, ttl_ms) in [("late", 900_000), ("soon", 60_000), ("between", 300_000)] {
        let stored = submit(&*store, message(&[name], b"abc", Some(ttl_ms)));
        stored.recv().expect("completes").expect("stored");
    }
    let found = page(&*store, None, 10);
    let order: Vec<_> = found.mailboxes.iter().map(|it| it.user.clone()).collect();
    assert_eq!(order, [user("soon"), user("between"), user("late")]);
    assert!((1..=60_000).contains(&found.mailboxes[0].expires_in_ms));
    let one = ask(&*store, MailboxQuery::Of(user("between")));
    assert_eq!(one.mailboxes[0].messages, 1);
    assert_eq!(one.next, None);
    assert_eq!(
        ask(&*store, MailboxQuery::Of(user("nobody"))),
        MailboxPage::default()
    );
}
