//! The budget's rules: what is counted, who is evicted, what is given back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::advance;

use super::*;

#[derive(Default)]
struct Told(AtomicUsize);

impl Holder for Told {
    fn evicted(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn holding(budget: &MemoryBudget, bytes: usize) -> Reservation {
    let mut reservation = budget.account().reserve();
    reservation.resize(bytes).expect("room");
    reservation
}

#[test]
fn what_is_reserved_is_counted_until_it_is_given_back() {
    let budget = MemoryBudget::new(1000).share_max(1000);
    let account = budget.account();
    let (mut a, mut b) = (account.reserve(), account.reserve());
    a.resize(300).unwrap();
    b.resize(200).unwrap();
    assert_eq!((account.held(), budget.stats().bytes_used), (500, 500));
    a.resize(100).unwrap();
    assert_eq!(budget.stats().bytes_used, 300);
    drop(a);
    assert_eq!((account.held(), budget.stats().bytes_used), (200, 200));
    drop((b, account));
    assert_eq!(budget.stats().bytes_used, 0);
}

#[test]
fn one_connection_gets_no_more_than_its_share_and_a_refusal_changes_nothing() {
    let budget = MemoryBudget::new(1000);
    let account = budget.account();
    let (mut a, mut b) = (account.reserve(), account.reserve());
    a.resize(200).unwrap();
    assert!(b.resize(51).is_err(), "a quarter");
    assert_eq!((b.bytes(), account.held()), (0, 200));
    b.resize(50).unwrap();
    assert_eq!(budget.stats().refused, 1);
    assert_eq!(budget.stats().evicted, 0, "nobody else has to go for it");
}

#[tokio::test(start_paused = true)]
async fn who_holds_most_for_longest_makes_room_for_who_holds_little() {
    let budget = MemoryBudget::new(1000).share_max(1000);
    let (told, spared) = (Arc::new(Told::default()), Arc::new(Told::default()));
    let large = holding(&budget, 600);
    let holder: Weak<Told> = Arc::downgrade(&told);
    large.account().add_holder(holder);
    advance(Duration::from_secs(5)).await;
    let small = holding(&budget, 100);
    let holder: Weak<Told> = Arc::downgrade(&spared);
    small.account().add_holder(holder);
    let newest = holding(&budget, 350);
    assert!(large.account().is_evicted());
    assert!(!small.account().is_evicted() && !newest.account().is_evicted());
    assert_eq!(told.0.load(Ordering::Relaxed), 1);
    assert_eq!(spared.0.load(Ordering::Relaxed), 0);
    assert_eq!(budget.stats().bytes_used, 1050, "until it lets go");
    drop(large);
    assert_eq!(budget.stats().bytes_used, 450);
    assert_eq!((budget.stats().evicted, budget.stats().refused), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn who_holds_little_is_spared_however_old_and_who_asks_for_most_is_refused() {
    let budget = MemoryBudget::new(1000).share_max(1000);
    let small: Vec<_> = (0..10).map(|_| holding(&budget, 9)).collect();
    advance(Duration::from_hours(1)).await;
    let mut large: Vec<_> = (0..3).map(|_| holding(&budget, 300)).collect();
    let mut most = budget.account().reserve();
    assert!(most.resize(400).is_err(), "it would hold most of all");
    assert!(large.iter().all(|it| !it.account().is_evicted()));
    assert_eq!(budget.stats().refused, 1);
    most.resize(200).unwrap();
    large.retain(|it| !it.account().is_evicted());
    assert_eq!(large.len(), 2);
    assert!(small.iter().all(|it| !it.account().is_evicted()));
}

/// A stalled crowd with middling messages does not shut out a large one that moves.
#[tokio::test(start_paused = true)]
async fn what_has_been_held_for_long_goes_before_what_has_just_come() {
    let budget = MemoryBudget::new(1_000_000).share_max(500_000);
    let crowd: Vec<_> = (0..100).map(|_| holding(&budget, 9_900)).collect();
    advance(Duration::from_mins(1)).await;
    let mut upload = budget.account().reserve();
    for step in 1..=10 {
        upload.resize(step * 10_000).unwrap();
        advance(Duration::from_millis(100)).await;
    }
    assert!(!upload.account().is_evicted());
    assert!(crowd.iter().any(|it| it.account().is_evicted()));
}

#[test]
fn those_who_do_not_let_go_are_not_followed_by_ever_more() {
    let budget = MemoryBudget::new(1000).share_max(1000);
    let first = holding(&budget, 300);
    let mut others: Vec<_> = (0..7).map(|_| holding(&budget, 100)).collect();
    let mut refused = 0;
    for _ in 0..50 {
        let mut asking = budget.account().reserve();
        match asking.resize(50) {
            Ok(()) => others.push(asking),
            Err(_) => refused += 1,
        }
        assert!(
            budget.stats().bytes_used <= 1250 + 300,
            "{:?}",
            budget.stats()
        );
    }
    assert!(refused > 0);
    drop(first);
    assert!(budget.stats().bytes_used <= 1250);
}

#[test]
fn an_evicted_account_gets_nothing_more_and_gives_back_what_it_held() {
    let budget = MemoryBudget::new(1000).share_max(1000);
    let mut large = holding(&budget, 900);
    let _other = holding(&budget, 500);
    assert!(large.account().is_evicted());
    assert!(large.resize(901).is_err());
    large.resize(100).unwrap();
    assert_eq!(budget.stats().bytes_used, 600);
    let told = Arc::new(Told::default());
    let holder: Weak<Told> = Arc::downgrade(&told);
    large.account().add_holder(holder);
    assert_eq!(told.0.load(Ordering::Relaxed), 1, "also who comes late");
    drop(large);
    assert_eq!(budget.stats().bytes_used, 500);
}

#[test]
fn accounts_that_are_gone_are_forgotten() {
    let budget = MemoryBudget::new(1000);
    for _ in 0..10_000 {
        drop(holding(&budget, 10));
    }
    assert!(budget.0.accounts.lock().len() <= 16);
}

#[test]
fn threads_that_take_and_give_back_leave_nothing() {
    let budget = MemoryBudget::new(10_000).share_max(10_000);
    std::thread::scope(|scope| {
        for seed in 0..4_usize {
            let budget = budget.clone();
            scope.spawn(move || {
                for round in 0..2_000 {
                    let mut held = budget.account().reserve();
                    for step in 0..4 {
                        let bytes = (seed * 7919 + round * 104_729 + step * 1_299_709) % 5_000;
                        held.resize(bytes).ok(); // whether it fits does not matter
                    }
                }
            });
        }
    });
    assert_eq!(budget.stats().bytes_used, 0);
    assert_eq!(budget.0.used.load(Ordering::Relaxed), 0);
    assert_eq!(budget.0.leaving.load(Ordering::Relaxed), 0);
}
