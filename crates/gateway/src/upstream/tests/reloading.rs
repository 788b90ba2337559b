//! New settings for a running pool.

use super::*;

#[test]
fn upstreams_that_stay_keep_what_is_known_about_them() {
    let bench = Bench::of(&["a", "b", "c", "d"]);
    bench.make_unhealthy("a");
    bench.fail("b", 3);
    let lease = bench.lease_of("c");
    let before = ["a", "b", "c"].map(|name| bench.snapshot(name));
    let changed = bench.pool.usable_changed();
    bench
        .pool
        .update(&endpoint(["c", "b", "a", "e"].map(upstream).into()));
    assert!(changed.has_changed().unwrap());
    for old in before {
        let host = old
            .address
            .trim_start_matches("ws://")
            .trim_end_matches('/');
        let new = bench.snapshot(host);
        assert_eq!(new.id, old.id);
        assert_eq!(new.active, old.active);
        assert_eq!(new.health, old.health);
        assert_eq!(new.breaker, old.breaker);
        assert_eq!(new.totals, old.totals);
    }
    assert_eq!(bench.picks(4), "cece");
    drop(lease);
    assert_eq!(bench.snapshot("c").active, 0);
}

#[test]
fn new_weights_limits_and_zones_hold_at_once() {
    let bench = Bench::of(&["a", "b"]);
    bench.picks(1);
    bench
        .pool
        .update(&endpoint(vec![weighted("a", 2), weighted("b", 1)]));
    assert_eq!(bench.picks(6), "abaaba");
    let full = Upstream {
        connections_max: 0,
        ..upstream("a")
    };
    bench.pool.update(&endpoint(vec![full, upstream("b")]));
    assert_eq!(bench.picks(2), "bb");
}

#[test]
fn removed_upstreams_live_until_their_last_connection_and_are_never_picked() {
    let bench = Bench::of(&["a", "b"]);
    let mut lease = bench.lease_of("a");
    let id = lease.id();
    bench.pool.update(&endpoint(vec![upstream("b")]));
    assert_eq!(bench.picks(4), "bbbb");
    let removed = bench.snapshot("a");
    assert!(removed.removed);
    assert_eq!(removed.active, 1);
    lease.succeeded(bench.now);
    lease.lost(bench.now);
    let left = bench.pool.snapshot().upstreams;
    assert!(left.iter().all(|upstream| upstream.id != id));
    assert_eq!(left.len(), 1);
}

#[test]
fn an_upstream_that_returns_before_its_last_connection_ends_is_the_same() {
    let bench = Bench::of(&["a", "b"]);
    let lease = bench.lease_of("a");
    bench.pool.update(&endpoint(vec![upstream("b")]));
    bench
        .pool
        .update(&endpoint(vec![upstream("b"), upstream("a")]));
    assert_eq!(bench.id("a"), lease.id());
    assert_eq!(bench.snapshot("a").active, 1);
    assert!(!bench.snapshot("a").removed);
}

#[test]
fn two_entries_with_one_address_stay_two() {
    let bench = Bench::of(&["a", "a"]);
    let ids = |bench: &Bench| -> Vec<UpstreamId> {
        let all = bench.pool.snapshot().upstreams;
        all.iter().map(|upstream| upstream.id).collect()
    };
    let before = ids(&bench);
    bench
        .pool
        .update(&endpoint(vec![upstream("a"), upstream("a")]));
    assert_eq!(ids(&bench), before);
}

#[test]
fn switching_checks_and_ejection_off_forgets_what_they_said() {
    let bench = Bench::of(&["a", "b"]);
    bench.make_unhealthy("a");
    bench.fail("b", 3);
    bench.pool.update(&Endpoint {
        health: None,
        ejection: None,
        ..endpoint(vec![upstream("a"), upstream("b")])
    });
    assert_eq!(bench.picks(2), "ab");
    bench.fail("b", 10);
    bench.make_unhealthy("a"); // a check that was still under way
    assert_eq!(bench.picks(2).len(), 2);
    assert_eq!(bench.snapshot("a").health, HealthStatus::Unknown);
}
