//! Events as lines of a file.

use serde_json::Value;
use tempfile::TempDir;

use crate::feed::Feed;

fn texts(path: &std::path::Path) -> Vec<String> {
    let lines = std::fs::read_to_string(path).unwrap();
    lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|event| event["message"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn events_are_lines_and_a_new_file_is_begun_when_one_is_full_or_moved_away() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("events.jsonl");
    // What a crash has left of a line.
    std::fs::write(&path, "{\"half").unwrap();
    let target = format!(
        r#"{{"batch_max": 1, "file": {{"path": {path:?}, "max_size": "1KiB", "files_max": 2}}}}"#
    );
    let feed = Feed::start(&target);
    feed.say("1", "a").await;
    feed.delivered(1).await;
    let first = std::fs::read_to_string(&path).unwrap();
    assert!(first.starts_with("{\"half\n{\"id\":"), "{first}");
    for number in 0..60 {
        feed.say("1", &format!("{number}")).await;
    }
    feed.delivered(61).await;
    let old = |number| dir.path().join(format!("events.jsonl.{number}"));
    assert!(!old(3).exists(), "two are kept");
    let mut all = texts(&old(2));
    all.extend(texts(&old(1)));
    all.extend(texts(&path));
    let expected: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    assert!(expected.ends_with(&all) && all.len() > 5, "{all:?}");
    let moved = dir.path().join("moved");
    std::fs::rename(&path, &moved).unwrap();
    feed.say("1", "behind").await;
    feed.delivered(62).await;
    assert_eq!(texts(&path), ["behind"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_written_once_it_can() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("absent/events.jsonl");
    let target = format!(
        r#"{{"retry_interval": "1ms", "retry_interval_max": "5ms", "attempts": 1000, "file": {{"path": {path:?}}}}}"#
    );
    let feed = Feed::start(&target);
    feed.say("1", "a").await;
    let targets = feed.notifier.targets();
    while targets.status()[0].counts.failures < 10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(targets.status()[0].breaker.name(), "open");
    std::fs::create_dir(dir.path().join("absent")).unwrap();
    feed.delivered(1).await;
    assert_eq!(texts(&path), ["a"]);
    assert_eq!(targets.status()[0].breaker.name(), "closed");
}
