//! Balance, zones, limits and health.

use std::task::{Context, Waker};

use super::*;

#[test]
fn turns_are_taken_smoothly_by_weight() {
    for (weights, expected) in [
        (vec![("a", 1), ("b", 1), ("c", 1)], "abcabc"),
        (vec![("a", 5), ("b", 1), ("c", 1)], "aabacaa"), // as nginx
        (vec![("a", 2), ("b", 1)], "abaaba"),
        (vec![("a", 1)], "aaa"),
    ] {
        let upstreams = weights.iter().map(|(name, weight)| weighted(name, *weight));
        let bench = Bench::new(&endpoint(upstreams.collect()));
        assert_eq!(bench.picks(expected.len()), expected, "{weights:?}");
    }
}

#[test]
fn the_fewest_connections_per_weight_get_the_next() {
    let bench = Bench::new(&Endpoint {
        balance: Balance::LeastConnections,
        ..endpoint(vec![weighted("a", 1), weighted("b", 2)])
    });
    let mut leases: Vec<Lease> = (0..9).map(|_| bench.pick().unwrap()).collect();
    assert_eq!(bench.snapshot("a").active, 3);
    assert_eq!(bench.snapshot("b").active, 6);
    leases.retain(|lease| lease.upstream().url.host() == "b");
    for _ in 0..3 {
        let lease = bench.pick().unwrap();
        assert_eq!(lease.upstream().url.host(), "a");
        leases.push(lease);
    }
}

#[test]
fn equal_loads_take_turns() {
    let bench = Bench::new(&Endpoint {
        balance: Balance::LeastConnections,
        ..endpoint(vec![upstream("a"), upstream("b"), upstream("c")])
    });
    assert_eq!(bench.picks(6), "abcabc");
}

#[test]
fn a_key_stays_with_its_upstream_and_moves_only_while_that_is_not_usable() {
    let hashed = |key: HashKey| {
        Bench::new(&Endpoint {
            balance: Balance::Hash(key),
            ..endpoint(vec![upstream("a"), upstream("b"), upstream("c")])
        })
    };
    let bench = hashed(HashKey::Header("X-User".into()));
    let place = |bench: &Bench, user: u32| {
        let value = user.to_string();
        let client = ClientKey {
            value: Some(value.as_bytes()),
            ..ClientKey::default()
        };
        let lease = bench.pool.pick(bench.now, &client, &[]).unwrap();
        lease.upstream().url.host().to_owned()
    };
    let before: Vec<String> = (0..300).map(|user| place(&bench, user)).collect();
    assert_eq!(
        before,
        (0..300).map(|user| place(&bench, user)).collect::<Vec<_>>()
    );
    bench.make_unhealthy("b");
    for (user, home) in (0..300).zip(&before) {
        let now = place(&bench, user);
        assert_ne!(now, "b");
        assert!(
            home == "b" || *home == now,
            "user {user} moved without need"
        );
    }
    bench.check("b", true);
    assert_eq!(
        before,
        (0..300).map(|user| place(&bench, user)).collect::<Vec<_>>()
    );
}

#[test]
fn addresses_hash_alike_in_both_notations_and_who_has_no_key_takes_turns() {
    let bench = Bench::new(&Endpoint {
        balance: Balance::Hash(HashKey::Ip),
        ..endpoint(vec![upstream("a"), upstream("b"), upstream("c")])
    });
    let place = |ip: &str| {
        let client = ClientKey {
            ip: Some(ip.parse::<IpAddr>().unwrap()),
            value: None,
        };
        let lease = bench.pool.pick(bench.now, &client, &[]).unwrap();
        lease.id()
    };
    for last in 0..50 {
        let v4 = format!("192.0.2.{last}");
        assert_eq!(place(&v4), place(&format!("::ffff:{v4}")));
    }
    assert_eq!(bench.picks(6), "abcabc");
}

#[test]
fn the_own_zone_is_preferred_while_one_of_it_is_usable() {
    let bench = Bench::new(&Endpoint {
        zone: Some("east".into()),
        ..endpoint(vec![
            zoned("a", "east"),
            zoned("b", "west"),
            zoned("c", "east"),
            upstream("d"),
        ])
    });
    assert_eq!(bench.picks(4), "acac");
    bench.make_unhealthy("a");
    assert_eq!(bench.picks(3), "ccc");
    bench.make_unhealthy("c");
    assert_eq!(bench.picks(4), "bdbd");
    bench.check("a", true);
    assert_eq!(bench.picks(2), "aa");
}

#[test]
fn who_was_tried_is_not_picked_again() {
    let bench = Bench::of(&["a", "b"]);
    let (a, b) = (bench.id("a"), bench.id("b"));
    let pick = |tried: &[UpstreamId]| bench.pool.pick(bench.now, &ClientKey::default(), tried);
    assert_eq!(pick(&[a]).unwrap().id(), b);
    assert_eq!(pick(&[b]).unwrap().id(), a);
    let refused = pick(&[a, b]).unwrap_err();
    assert_eq!((refused.reason, refused.retry_at), (Reason::Tried, None));
}

#[test]
fn a_full_upstream_is_passed_over_until_a_connection_ends() {
    let limited = Upstream {
        connections_max: 2,
        ..upstream("a")
    };
    let bench = Bench::new(&endpoint(vec![limited]));
    let changed = bench.pool.usable_changed();
    let first = bench.pick().unwrap();
    let _second = bench.pick().unwrap();
    assert_eq!(bench.pick().unwrap_err().reason, Reason::Full);
    assert!(!changed.has_changed().unwrap());
    drop(first);
    assert!(changed.has_changed().unwrap(), "who waits is told");
    let _third = bench.pick().unwrap();
}

#[test]
fn unhealthy_ones_are_not_picked_unless_all_are() {
    let bench = Bench::of(&["a", "b"]);
    bench.make_unhealthy("a");
    assert_eq!(bench.picks(2), "bb");
    assert!(!bench.pool.snapshot().panicking);
    bench.make_unhealthy("b");
    assert!(bench.pool.snapshot().panicking);
    assert_eq!(bench.picks(4).matches('a').count(), 2);
    bench.check("a", true);
    assert_eq!(bench.picks(2), "aa");
}

#[test]
fn an_unhealthy_one_is_no_resort_after_the_healthy_one_was_tried() {
    let bench = Bench::of(&["a", "b"]);
    bench.make_unhealthy("a");
    let tried = [bench.id("b")];
    let refused = bench
        .pool
        .pick(bench.now, &ClientKey::default(), &tried)
        .unwrap_err();
    assert_eq!(refused.reason, Reason::Unhealthy);
}

#[test]
fn a_change_of_health_is_told_once_and_to_those_who_watch() {
    let bench = Bench::of(&["a", "b"]);
    let is_told = |lease: &mut Lease| lease.poll_unhealthy(&mut Context::from_waker(Waker::noop()));
    let mut lease = bench.lease_of("a");
    lease.watch();
    let mut other = bench.lease_of("b");
    other.watch();
    let mut careless = bench.lease_of("a");
    let mut late = bench.lease_of("a");
    let mut changed = bench.pool.usable_changed();
    bench.check("a", false);
    assert!(!changed.has_changed().unwrap());
    assert!(is_told(&mut lease).is_pending());
    bench.check("a", false);
    assert!(changed.has_changed().unwrap());
    assert!(is_told(&mut lease).is_ready());
    assert!(is_told(&mut other).is_pending() && is_told(&mut careless).is_pending());
    late.watch();
    assert!(is_told(&mut late).is_ready(), "picked before it fell");
    changed.mark_unchanged();
    bench.check("a", false);
    assert!(!changed.has_changed().unwrap());
    bench.check("a", true);
    assert!(changed.has_changed().unwrap());
    assert_eq!(bench.snapshot("a").totals.checks_failed, 3);
}

#[test]
fn snapshots_tell_no_query() {
    let secret = Upstream {
        url: tidewire::ws::Url::parse("wss://a:444/path?token=secret").unwrap(),
        ..upstream("a")
    };
    let bench = Bench::new(&endpoint(vec![secret]));
    let snapshot = bench.pool.snapshot();
    assert_eq!(snapshot.upstreams[0].address, "wss://a:444/path");
    let lease = bench.pick().unwrap();
    assert!(!format!("{snapshot:?} {:?} {lease:?}", bench.pool).contains("secret"));
}

#[test]
fn an_upstream_that_is_switched_off_gets_nothing_until_it_is_on_again() {
    let bench = Bench::of(&["a", "b"]);
    assert!(bench.pool.enable(bench.id("a"), false));
    assert_eq!(bench.picks(3), "bbb");
    assert!(bench.snapshot("a").disabled);
    // The other is unhealthy, but the only one in use: still better than nobody.
    bench.make_unhealthy("b");
    assert_eq!(bench.picks(2), "bb");
    assert!(bench.pool.enable(bench.id("b"), false));
    assert_eq!(bench.pick().unwrap_err().reason, Reason::Disabled);
    let waiting = bench.pool.usable_changed();
    assert!(bench.pool.enable(bench.id("a"), true));
    assert!(waiting.has_changed().unwrap(), "those who wait are told");
    assert_eq!(bench.picks(2), "aa");
    bench
        .pool
        .update(&endpoint(vec![upstream("a"), upstream("b")]));
    assert_eq!(bench.picks(2), "aa", "a reload does not switch on");
    assert!(!bench.pool.enable(UpstreamId(99), false));
}
