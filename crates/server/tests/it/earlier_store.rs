//! A store that an earlier program has written is delivered as that program would have.

use std::{fs, path::Path};

use tidewire::ws::{CloseCode, Incoming};

use crate::desk::{Desk, text};

/// See its `README.md`.
const FORMAT_2: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../engine/tests/fixtures/format_2"
);

/// The users with something waiting, each with the text frames the earlier program handed out.
fn recorded() -> Vec<(String, Vec<String>)> {
    let lines = fs::read_to_string(Path::new(FORMAT_2).join("delivered.tsv")).unwrap();
    let mut users: Vec<(String, Vec<String>)> = Vec::new();
    for line in lines.lines() {
        let (user, frame) = line.split_once('\t').unwrap();
        match users.last_mut() {
            Some((last, frames)) if last == user => frames.push(frame.to_owned()),
            Some(_) | None => users.push((user.to_owned(), vec![frame.to_owned()])),
        }
    }
    users
}

#[tokio::test]
async fn a_store_of_an_earlier_program_is_delivered_as_it_was_and_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    for file in ["mailbox.db", "mailbox.db-wal", "commits"] {
        fs::copy(Path::new(FORMAT_2).join(file), data.join(file)).unwrap();
    }
    let desk = Desk::start_in(dir, "");
    let recorded = recorded();
    assert_eq!(recorded.iter().map(|(_, all)| all.len()).sum::<usize>(), 16);
    for (user, frames) in &recorded {
        let id = user.replace("Пётр", "%D0%9F%D1%91%D1%82%D1%80");
        let mut socket = desk.user(&id).await;
        for frame in frames {
            assert_eq!(text(&mut socket).await, *frame);
        }
        // The ping behind the last one; its pong is on the way before the close frame.
        while !matches!(socket.recv_any().await.unwrap(), Some(Incoming::Ping(_))) {}
        socket.close(CloseCode::NORMAL, "").await.unwrap();
    }
    for user in [7, 8] {
        desk.post(user, "next").await;
        let mut socket = desk.user(&user.to_string()).await;
        assert!(text(&mut socket).await.contains("next"));
    }
    let (_, _, metrics) = desk.call("GET", "/metrics", "", "").await;
    assert!(
        metrics.contains("tidewire_mailbox_corrupt_total 0"),
        "{metrics}"
    );
}
