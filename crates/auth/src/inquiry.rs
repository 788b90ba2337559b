//! Questions to be asked elsewhere before a request can be judged: [`Inquiry`], and the [`Answers`].
//!
//! The crate asks nobody. Without answers a request that needs some is denied.

use std::sync::Arc;

use crate::{Identity, Remote, Secret, jwt::KeyServer};

/// A question about a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Inquiry {
    /// Ask a service about a credential.
    Remote {
        /// The service.
        remote: Arc<Remote>,
        /// The credential, as the client has sent it.
        credential: Secret,
    },
    /// The keys of a key server: the token may be signed with one that is not known. The answer goes to
    /// [`KeyServer::set`].
    Keys {
        /// The server.
        server: KeyServer,
        /// The key that the token names.
        key_id: Option<String>,
    },
}

/// The answers of services about credentials.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    answers: Vec<(Arc<Remote>, Secret, RemoteAnswer)>,
}

/// The answer of a service about a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteAnswer {
    /// It is good, and stands for this identity.
    Yes(Identity),
    /// It is not good.
    No,
    /// There is no answer: the service is down, slow, or says what cannot be understood.
    Unavailable,
}

impl Answers {
    /// Notes an answer.
    pub fn add(&mut self, remote: &Arc<Remote>, credential: Secret, answer: RemoteAnswer) {
        self.answers.push((Arc::clone(remote), credential, answer));
    }

    pub(crate) fn about(&self, remote: &Arc<Remote>, credential: &Secret) -> RemoteAnswer {
        let mut answers = self.answers.iter();
        let found = answers
            .find(|(asked, about, _)| Arc::ptr_eq(asked, remote) && about == credential)
            .map(|(_, _, answer)| answer.clone());
        found.unwrap_or(RemoteAnswer::Unavailable)
    }
}
