//! Which events a target gets: [`Filter`].

use std::collections::HashSet;

use crate::Event;

/// Tells what an event has to be like. All conditions have to hold; an empty list is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Its kind is one of these.
    pub kinds: Vec<String>,
    /// Its message has one of these types, in any case. Events without a message are not concerned.
    pub types: Vec<String>,
    /// Its message has none of these types, in any case.
    pub ignored_types: Vec<String>,
    /// It is of one of these users, or its message is from or for one.
    pub users: HashSet<String>,
}

impl Filter {
    /// Returns whether the target gets this event.
    pub fn passes(&self, event: &Event) -> bool {
        let listed = |list: &[String], text: &str| {
            list.iter().any(|listed| listed.eq_ignore_ascii_case(text))
        };
        if !self.kinds.iter().any(|kind| kind == event.kind) {
            return false;
        }
        if let Some(kind) = &event.content.message_type
            && ((!self.types.is_empty() && !listed(&self.types, kind))
                || listed(&self.ignored_types, kind))
        {
            return false;
        }
        if self.users.is_empty() || self.users.contains(&*event.user) {
            return true;
        }
        let users = event.content.sender.iter().chain(&event.content.recipients);
        users
            .into_iter()
            .any(|user| self.users.contains(&*user.mailbox_key()))
    }
}
