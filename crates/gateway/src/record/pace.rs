//! Ends sessions at a pace, so that neither their clients nor the backends they come back to are
//! stampeded.
//!
//! In: the open sessions, a pace, perhaps a deadline. Out: sessions that are asked to end with 1012, in the
//! order they were opened. Invariants: within any second no more than the pace are asked, and a
//! hundredth of it; only a deadline that could not be kept otherwise makes it faster; a late wake-up
//! is not made up for by a burst.

use std::sync::Arc;

use tidewire::ws::CloseCode;
pub(crate) use tidewire_handover::Pace;

use crate::record::{Record, sessions::Sessions};

/// Asks the sessions that are chosen to end with 1012, also those that are opened meanwhile. Returns how
/// many were asked, when all there are have been.
///
/// # Cancel safety
/// Cancel safe: the rest is not asked.
pub(crate) async fn end(
    sessions: &Sessions,
    pace: &mut Pace,
    reason: &str,
    chosen: impl Fn(&Record) -> bool,
) -> usize {
    let mut asked = 0;
    let mut last = 0;
    loop {
        let mut records = sessions.after(last);
        let Some(newest) = records.last() else {
            return asked;
        };
        let newest = newest.id;
        records.retain(|record| !record.is_asked_to_end() && chosen(record));
        let waiting = records.len();
        // Looked at anew after some: more may have come, which a deadline has to count.
        records.truncate(AT_A_TIME);
        let all = records.len() == waiting;
        last = match records.last() {
            Some(record) if !all => record.id,
            Some(_) | None => newest,
        };
        asked += end_each(&records, waiting, pace, reason).await;
    }
}

/// Asks these to end with 1012, when so many in all (these too) wait for their turn. Returns how many were
/// asked.
///
/// # Cancel safety
/// Cancel safe: the rest is not asked.
pub(crate) async fn end_each(
    records: &[Arc<Record>],
    waiting: usize,
    pace: &mut Pace,
    reason: &str,
) -> usize {
    let mut asked = 0;
    let mut turn = false;
    for (index, record) in records.iter().enumerate() {
        if !turn && !record.is_over() {
            pace.turn(waiting.saturating_sub(index)).await;
            turn = true;
        }
        // One that ends by itself leaves its turn to the next.
        if !record.is_over() && record.end(CloseCode::SERVICE_RESTART, reason) {
            asked += 1;
            turn = false;
        }
    }
    asked
}

/// After so many the list of sessions is looked at again.
const AT_A_TIME: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance, sleep};

    use super::*;
    use crate::record::{Begin, Dialect, access_log::AccessLog, sessions::Session};

    fn open(sessions: &Arc<Sessions>, parent: Option<u64>) -> Session {
        sessions.open(Begin {
            parent,
            endpoint: None,
            dialect: Dialect::Mux,
            client: tidewire::proto::proxy::Node::Unknown,
            request: None,
            trace: None,
        })
    }

    fn asked(sessions: &[Session]) -> usize {
        sessions
            .iter()
            .filter(|session| session.record.is_asked_to_end())
            .count()
    }

    async fn run(sessions: &Arc<Sessions>, mut pace: Pace) -> tokio::task::JoinHandle<usize> {
        let sessions = Arc::clone(sessions);
        let connections = |record: &Record| record.parent.is_none();
        let work = async move { end(&sessions, &mut pace, "restart", connections).await };
        let task = tokio::spawn(work);
        tokio::task::yield_now().await;
        task
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_end_one_by_one_at_exactly_the_pace() {
        let sessions = Sessions::new(AccessLog::default());
        let open: Vec<_> = (0..5).map(|_| open(&sessions, None)).collect();
        let task = run(&sessions, Pace::new(4, None)).await;
        for count in 1..5 {
            assert_eq!(asked(&open), count);
            sleep(Duration::from_millis(249)).await;
            assert_eq!(asked(&open), count);
            sleep(Duration::from_millis(1)).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(asked(&open), 5);
        assert_eq!(task.await.unwrap(), 5);
        assert!(
            open.iter()
                .zip(sessions.all())
                .all(|(session, record)| session.record.id == record.id)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_pace_is_kept_over_a_second_and_in_each_part_of_it() {
        let sessions = Sessions::new(AccessLog::default());
        let open: Vec<_> = (0..10_000).map(|_| open(&sessions, None)).collect();
        let task = run(&sessions, Pace::new(4000, None)).await;
        for tenth in 1..=24 {
            sleep(Duration::from_millis(100)).await;
            let expected = tenth * 400;
            let asked = asked(&open);
            assert!(
                (expected - 8..=expected + 8).contains(&asked),
                "{asked} instead of {expected}"
            );
        }
        assert_eq!(task.await.unwrap(), 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_opened_meanwhile_get_their_turn_and_logical_ones_need_none() {
        let sessions = Sessions::new(AccessLog::default());
        let mut open_ones = vec![open(&sessions, None), open(&sessions, None)];
        let logical = open(&sessions, Some(open_ones[0].record.id));
        let task = run(&sessions, Pace::new(1, None)).await;
        sleep(Duration::from_millis(500)).await;
        open_ones.push(open(&sessions, None));
        sleep(Duration::from_millis(510)).await;
        assert_eq!(asked(&open_ones), 2);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(asked(&open_ones), 3);
        assert_eq!(task.await.unwrap(), 3);
        assert!(!logical.record.is_asked_to_end());
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_has_ended_by_itself_takes_no_turn() {
        let sessions = Sessions::new(AccessLog::default());
        let mut open: Vec<_> = (0..3).map(|_| open(&sessions, None)).collect();
        let task = run(&sessions, Pace::new(1, None)).await;
        drop(open.remove(1)); // while the task waits to ask it
        sleep(Duration::from_millis(1010)).await;
        assert_eq!(asked(&open), 2);
        assert_eq!(task.await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_makes_the_pace_faster_where_it_must() {
        let sessions = Sessions::new(AccessLog::default());
        let started = Instant::now();
        let mut open_ones: Vec<_> = (0..100).map(|_| open(&sessions, None)).collect();
        let deadline = started + Duration::from_secs(10);
        let task = run(&sessions, Pace::new(1, Some(deadline))).await;
        sleep(Duration::from_secs(5)).await;
        let half = asked(&open_ones);
        assert!((48..=52).contains(&half), "{half}");
        open_ones.extend((0..100).map(|_| open(&sessions, None)));
        assert_eq!(task.await.unwrap(), 200);
        assert!(started.elapsed() <= Duration::from_millis(10_010));
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspended_process_makes_no_burst() {
        let sessions = Sessions::new(AccessLog::default());
        let open: Vec<_> = (0..1000).map(|_| open(&sessions, None)).collect();
        let task = run(&sessions, Pace::new(100, None)).await;
        assert_eq!(asked(&open), 1);
        advance(Duration::from_secs(5)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let asked = asked(&open);
        assert!(asked <= 3, "{asked}");
        task.abort();
    }
}
