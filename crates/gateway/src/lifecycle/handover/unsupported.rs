//! Stands in for `exchange` and `place` on systems without Unix sockets: nothing is ever handed over.

use std::path::Path;

use super::Bound;
use crate::error::HandoverError;

#[derive(Debug, Default)]
pub(crate) struct HandoverSocket;

#[derive(Debug)]
pub(crate) enum Predecessor {}

#[derive(Debug)]
pub(crate) enum Leaving {}

#[derive(Debug)]
pub(crate) enum Successor {}

pub(crate) async fn ask(_path: &Path) -> Result<Option<(Predecessor, Vec<Bound>)>, HandoverError> {
    Err(HandoverError::Unsupported)
}

impl HandoverSocket {
    pub(crate) fn bind(_path: &Path) -> Result<Self, HandoverError> {
        Err(HandoverError::Unsupported)
    }

    pub(crate) async fn successor(&self) -> Successor {
        std::future::pending().await
    }

    pub(crate) fn leave(&mut self) {}
}

impl Predecessor {
    pub(crate) async fn ready(self, _path: &Path) -> Result<Leaving, HandoverError> {
        match self {}
    }
}

impl Leaving {
    pub(crate) async fn ended(self) {
        match self {}
    }
}

impl Successor {
    pub(crate) fn pid(&self) -> Option<u32> {
        match *self {}
    }

    pub(crate) async fn give(&mut self, _bound: &[Bound]) -> Result<(), HandoverError> {
        match *self {}
    }

    pub(crate) async fn release(&mut self) {
        match *self {}
    }
}
