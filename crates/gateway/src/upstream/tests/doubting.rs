//! Doubts: ends that a client may have caused. Of this kind are requests without answer (a cookie that is too large, a path
//! that hangs, a field that makes a server close), answers that are no HTTP, and connections that end within a second
//! (a first message that a server does not bear); closes, refusals of every status and clients that go are none.

use super::*;

/// Lets an upstream lose a connection that was opened so long ago.
fn lose(bench: &mut Bench, lived_ms: u64) {
    let mut lease = bench.lease_of("a");
    lease.succeeded(bench.now);
    bench.wait(lived_ms);
    lease.lost(bench.now);
}

#[test]
fn connections_that_break_early_are_asked_about_and_old_ones_are_not() {
    for (lived_ms, asked) in [(999, "a"), (1_000, "")] {
        let mut bench = Bench::of(&["a", "b"]);
        for _ in 0..3 {
            lose(&mut bench, lived_ms);
        }
        assert!(bench.picks(4).contains('a'), "it stays in use");
        assert_eq!(bench.ask(Evidence::Answered), asked, "lived {lived_ms} ms");
        assert_eq!(bench.snapshot("a").totals.lost, 3);
    }
}

#[test]
fn an_upstream_that_breaks_under_everybody_is_ejected() {
    let mut bench = Bench::of(&["a", "b"]);
    for _ in 0..3 {
        lose(&mut bench, 1);
    }
    assert_eq!(bench.ask(Evidence::Fault(Fault::Unanswered)), "a");
    assert_eq!(bench.picks(4), "bbbb");
    assert_eq!(bench.snapshot("a").totals.ejected, 1);
}

#[test]
fn the_last_usable_upstream_is_not_ejected_for_what_a_client_may_have_caused() {
    for others in [&[][..], &["ejected"], &["unhealthy"], &["off"], &["full"]] {
        let mut upstreams = vec![upstream("a")];
        upstreams.extend(others.iter().map(|name| Upstream {
            connections_max: if *name == "full" { 1 } else { usize::MAX },
            ..upstream(name)
        }));
        let mut endpoint = endpoint(upstreams);
        endpoint.ejection.as_mut().unwrap().percent_max = 100;
        let bench = Bench::new(&endpoint);
        let held = others.contains(&"full").then(|| bench.lease_of("full"));
        for name in others {
            match *name {
                "ejected" => bench.fail(name, 3),
                "unhealthy" => bench.make_unhealthy(name),
                "off" => assert!(bench.pool.enable(bench.id(name), false)),
                _ => {}
            }
        }
        for _ in 0..10 {
            bench.doubt("a", 3);
            let asked = bench.ask(Evidence::Fault(Fault::Unanswered));
            assert_eq!(asked, "a", "{others:?}");
            assert_eq!(bench.picks(4), "aaaa", "{others:?}");
        }
        drop(held);
    }
}

#[test]
fn an_answer_of_any_kind_ends_the_row() {
    let bench = Bench::of(&["a"]);
    for _ in 0..10 {
        bench.doubt("a", 2);
        let refused = bench.pick().unwrap();
        refused.ended(bench.now, Evidence::Answered);
        let not_asked = bench.pick().unwrap();
        not_asked.ended(bench.now, Evidence::Nothing);
    }
    assert_eq!(bench.ask(Evidence::Answered), "");
    let breaker = bench.snapshot("a").breaker;
    assert_eq!(breaker, BreakerState::Closed { failures: 0 });
}

#[test]
fn who_waits_for_an_ejected_upstream_is_woken_when_it_answers() {
    let mut bench = Bench::of(&["a"]);
    bench.fail("a", 3);
    bench.wait(1_000);
    let changed = bench.pool.usable_changed();
    let _held_up = bench.pick().unwrap();
    assert!(bench.pick().is_err());
    assert_eq!(bench.ask(Evidence::Answered), "a");
    assert!(changed.has_changed().unwrap());
    bench.pick().unwrap();
}

#[test]
fn without_ejection_nobody_is_asked() {
    let mut endpoint = endpoint(vec![upstream("a")]);
    endpoint.ejection = None;
    let bench = Bench::new(&endpoint);
    bench.doubt("a", 100);
    bench.fail("a", 100);
    assert_eq!(bench.ask(Evidence::Answered), "");
}
