//! The promises of every [`Registry`]: a function per promise, each on a registry of its own.

use std::{
    sync::{Arc, mpsc::sync_channel},
    thread,
};

use crate::{Registry, UserKey, contract::blocking::user};

/// A registry that can be opened.
pub trait RegistryAdapter {
    /// Opens one in which nobody is online.
    fn open() -> Self;
    /// The registry, as this node sees it.
    fn registry(&self) -> Arc<dyn Registry>;
}

/// Makes a module of tests, one per promise, for a [`RegistryAdapter`].
#[macro_export]
macro_rules! registry_contract {
    ($module:ident, $adapter:ty) => {
        $crate::registry_contract! { $module, $adapter:
            nobody_is_online_at_first,
            a_user_is_online_from_the_first_session_to_the_last,
            answers_come_in_the_order_of_the_users_asked_for,
            at_most_so_many_online_users_are_told_each_once,
            one_who_leaves_without_having_entered_changes_nothing,
            a_completion_may_ask_again,
            many_who_enter_and_leave_at_once_leave_nobody,
        }
    };
    ($module:ident, $adapter:ty: $($promise:ident),* $(,)?) => {
        mod $module {
            $(#[test]
            fn $promise() {
                $crate::contract::registry::$promise::<$adapter>();
            })*
        }
    };
}

/// Asks and waits.
pub fn are_online(registry: &dyn Registry, names: &[&str]) -> Vec<bool> {
    let (sender, receiver) = sync_channel(1);
    let users = names.iter().map(|name| user(name)).collect();
    registry.are_online(users, Box::new(move |answer| drop(sender.send(answer))));
    let answer = receiver.recv().expect("every question is answered");
    answer.expect("the registry works")
}

/// Asks and waits; the users in ascending order.
pub fn online_users(registry: &dyn Registry, limit: usize) -> Vec<UserKey> {
    let (sender, receiver) = sync_channel(1);
    registry.online_users(limit, Box::new(move |answer| drop(sender.send(answer))));
    let answer = receiver.recv().expect("every question is answered");
    let mut users = answer.expect("the registry works");
    users.sort_unstable();
    users
}

pub fn nobody_is_online_at_first<A: RegistryAdapter>() {
    let registry = &*A::open().registry();
    assert_eq!(are_online(registry, &["ann", "bob"]), [false, false]);
    assert_eq!(are_online(registry, &[]), [false; 0]);
    assert!(online_users(registry, 10).is_empty());
}

pub fn a_user_is_online_from_the_first_session_to_the_last<A: RegistryAdapter>() {
    let registry = &*A::open().registry();
    let ann = user("ann");
    for _ in 0..2 {
        registry.enter(&ann);
        assert_eq!(are_online(registry, &["ann"]), [true]);
        registry.enter(&ann);
        registry.leave(&ann);
        assert_eq!(are_online(registry, &["ann"]), [true]);
        registry.leave(&ann);
        assert_eq!(are_online(registry, &["ann"]), [false]);
    }
}

pub fn answers_come_in_the_order_of_the_users_asked_for<A: RegistryAdapter>() {
    let registry = &*A::open().registry();
    registry.enter(&user("ann"));
    registry.enter(&user("Пётр"));
    let asked = ["bob", "ann", "eve", "Пётр", "ann"];
    assert_eq!(
        are_online(registry, &asked),
        [false, true, false, true, true]
    );
}

pub fn at_most_so_many_online_users_are_told_each_once<A: RegistryAdapter>() {
    let registry = &*A::open().registry();
    let names: Vec<String> = (100..200).map(|number| format!("user-{number}")).collect();
    for name in names.iter().chain(&names[..50]) {
        registry.enter(&user(name));
    }
    for limit in [0, 1, 99] {
        let mut users = online_users(registry, limit);
        users.dedup();
        assert_eq!(users.len(), limit);
    }
    let all: Vec<UserKey> = names.iter().map(|name| user(name)).collect();
    assert_eq!(online_users(registry, 1000), all);
}

pub fn one_who_leaves_without_having_entered_changes_nothing<A: RegistryAdapter>() {
    let registry = &*A::open().registry();
    registry.leave(&user("ann"));
    registry.enter(&user("ann"));
    assert_eq!(are_online(registry, &["ann"]), [true]);
    registry.leave(&user("bob"));
    assert_eq!(are_online(registry, &["ann", "bob"]), [true, false]);
}

pub fn a_completion_may_ask_again<A: RegistryAdapter>() {
    let registry = A::open().registry();
    registry.enter(&user("ann"));
    let (sender, receiver) = sync_channel(1);
    let inner = Arc::clone(&registry);
    let done = Box::new(move |first: Result<Vec<UserKey>, _>| {
        let users = first.expect("the registry works");
        inner.leave(&user("bob"));
        inner.are_online(users, Box::new(move |answer| drop(sender.send(answer))));
    });
    registry.online_users(10, done);
    let answer = receiver.recv().expect("every question is answered");
    assert_eq!(answer, Ok(vec![true]));
}

pub fn many_who_enter_and_leave_at_once_leave_nobody<A: RegistryAdapter>() {
    let registry = &*A::open().registry();
    let names = ["ann", "bob", "eve"];
    thread::scope(|scope| {
        for at in 0..4 {
            scope.spawn(move || {
                for number in 0..300 {
                    let name = user(names[(at + number) % names.len()]);
                    registry.enter(&name);
                    assert_eq!(are_online(registry, &[&name]), [true]);
                    registry.leave(&name);
                }
            });
        }
    });
    assert_eq!(are_online(registry, &names), [false; 3]);
}
