//! Mailboxes seen from outside: how much waits in them, and until when.
//!
//! In: one user, or where a page begins. Out: amounts, never what is in the messages. Invariant: a page takes time in
//! proportion to its length, because those who wait stand in the order of their expiry already.

use std::ops::Bound;

use super::{Index, User};
use crate::{MailboxInfo, MailboxPage, MailboxQuery, UserKey};

impl Index {
    pub(in crate::embedded) fn mailboxes(&self, query: &MailboxQuery, now_ms: u64) -> MailboxPage {
        let info = |user: &UserKey, state: &User| MailboxInfo {
            user: UserKey::clone(user),
            messages: state.amount().messages,
            bytes: state.amount().bytes,
            expires_in_ms: state.due_ms.unwrap_or(now_ms).saturating_sub(now_ms),
        };
        match query {
            MailboxQuery::Of(user) => {
                let state = self.users.get(user);
                let state = state.filter(|state| !state.pending.is_empty());
                MailboxPage {
                    mailboxes: state.map(|state| info(user, state)).into_iter().collect(),
                    next: None,
                }
            }
            MailboxQuery::Page { after, count } => {
                let after = after.clone().map_or(Bound::Unbounded, Bound::Excluded);
                let mut found = self.due.range((after, Bound::Unbounded));
                let page: Vec<_> = found.by_ref().take(*count).collect();
                let last = found.next().and_then(|_| page.last());
                let states = page.iter().filter_map(|(_, user)| {
                    let state = self.users.get(user)?;
                    Some(info(user, state))
                });
                MailboxPage {
                    mailboxes: states.collect(),
                    next: last.map(|last| (*last).clone()),
                }
            }
        }
    }
}
