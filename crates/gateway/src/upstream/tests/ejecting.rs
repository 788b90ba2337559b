//! Passive ejection, as seen through picks.

use super::*;

#[test]
fn an_upstream_whose_openings_fail_is_ejected_and_comes_back_by_a_trial() {
    let mut bench = Bench::of(&["a", "b"]);
    bench.fail("a", 3);
    assert_eq!(bench.picks(4), "bbbb");
    bench.wait(1_000);
    let mut trial = bench.lease_of("a");
    assert_eq!(bench.picks(4), "bbbb", "one trial at a time");
    trial.succeeded(bench.now);
    assert!(bench.picks(4).contains('a'));
    let totals = bench.snapshot("a").totals;
    assert_eq!((totals.picked, totals.failed, totals.ejected), (6, 3, 1));
}

#[test]
fn a_trial_that_is_dropped_without_outcome_leaves_room_for_the_next_and_tells_who_waits() {
    let mut bench = Bench::of(&["a"]);
    bench.fail("a", 3);
    bench.wait(1_000);
    let trial = bench.pick().unwrap();
    let refused = bench.pick().unwrap_err();
    assert_eq!((refused.reason, refused.retry_at), (Reason::Ejected, None));
    let changed = bench.pool.usable_changed();
    drop(trial);
    assert!(changed.has_changed().unwrap());
    bench.pick().unwrap();
}

#[test]
fn who_waits_for_a_trial_that_fails_learns_when_the_next_is() {
    let mut bench = Bench::of(&["a"]);
    bench.fail("a", 3);
    bench.wait(1_000);
    let trial = bench.pick().unwrap();
    let mut changed = bench.pool.usable_changed();
    assert_eq!(bench.pick().unwrap_err().retry_at, None);
    trial.failed(bench.now, Fault::Unreachable);
    assert!(changed.has_changed().unwrap());
    changed.mark_unchanged();
    let retry_at = bench.pick().unwrap_err().retry_at;
    assert_eq!(retry_at, Some(bench.now + Duration::from_secs(2)));
    assert_eq!(bench.pool.snapshot().refused, 2);
}

#[test]
fn a_sole_upstream_is_ejected_too_and_openings_fail_at_once() {
    let mut bench = Bench::of(&["a"]);
    bench.fail("a", 3);
    let refused = bench.pick().unwrap_err();
    assert_eq!(refused.reason, Reason::Ejected);
    assert_eq!(refused.retry_at, Some(bench.now + Duration::from_secs(1)));
    bench.make_unhealthy("a");
    let refused = bench.pick().unwrap_err();
    assert_eq!(
        refused.reason,
        Reason::Ejected,
        "panic leaves only health aside"
    );
    bench.wait(1_000);
    bench.pick().unwrap();
}

#[test]
fn no_more_than_the_allowed_part_is_ejected_at_a_time() {
    for (names, percent_max, ejected) in [
        (&["a", "b", "c", "d"][..], 50, 2),
        (&["a", "b", "c", "d"], 100, 4),
        (&["a", "b", "c", "d"], 74, 2),
        (&["a", "b", "c"], 50, 1),
        (&["a", "b", "c"], 0, 1),
        (&["a"], 0, 1),
    ] {
        let mut endpoint = endpoint(names.iter().map(|name| upstream(name)).collect());
        endpoint.ejection.as_mut().unwrap().percent_max = percent_max;
        let bench = Bench::new(&endpoint);
        for _ in 0..100 {
            if let Ok(lease) = bench.pick() {
                lease.failed(bench.now, Fault::Unreachable);
            }
        }
        let all = bench.pool.snapshot().upstreams;
        let open =
            |upstream: &&UpstreamSnapshot| matches!(upstream.breaker, BreakerState::Open { .. });
        assert_eq!(
            all.iter().filter(open).count(),
            ejected,
            "{} upstreams, {percent_max} %",
            names.len()
        );
    }
}

#[test]
fn a_lease_dropped_without_report_says_nothing_about_its_upstream() {
    let bench = Bench::of(&["a"]);
    bench.fail("a", 2);
    drop(bench.pick().unwrap());
    bench.fail("a", 1);
    assert!(bench.pick().is_err(), "the row went on");
}

#[test]
fn a_check_that_succeeds_again_ends_the_ejection_with_one_trial() {
    let bench = Bench::of(&["a"]);
    bench.fail("a", 3);
    bench.check("a", false);
    let changed = bench.pool.usable_changed();
    bench.check("a", true);
    assert!(changed.has_changed().unwrap());
    let mut trial = bench.pick().unwrap();
    assert!(bench.pick().is_err());
    trial.succeeded(bench.now);
    bench.pick().unwrap();
}

#[test]
fn checks_that_never_failed_do_not_end_an_ejection() {
    let bench = Bench::of(&["a"]);
    bench.check("a", true);
    bench.fail("a", 3);
    bench.check("a", true);
    assert_eq!(bench.pick().unwrap_err().reason, Reason::Ejected);
}

#[test]
fn a_process_that_is_ready_again_ends_the_ejection_with_one_trial() {
    let bench = Bench::of(&["a"]);
    bench.fail("a", 3);
    let changed = bench.pool.usable_changed();
    bench.pool.came_back(bench.now);
    assert!(changed.has_changed().unwrap());
    let _trial = bench.pick().unwrap();
    assert!(bench.pick().is_err());
}
