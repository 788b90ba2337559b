//! Stands in for `exchange` and `place` on systems without Unix sockets: nothing is ever handed over.

use std::{path::Path, time::Duration};

use super::{Bound, Program};
use crate::HandoverError;

#[derive(Debug, Default)]
pub struct HandoverSocket;

#[derive(Debug)]
pub enum Predecessor {}

#[derive(Debug)]
pub enum Leaving {}

#[derive(Debug)]
pub enum Successor {}

pub async fn ask(
    _path: &Path,
    _program: Program,
) -> Result<Option<(Predecessor, Vec<Bound>)>, HandoverError> {
    Err(HandoverError::Unsupported)
}

impl HandoverSocket {
    pub fn bind(_path: &Path) -> Result<Self, HandoverError> {
        Err(HandoverError::Unsupported)
    }

    pub async fn successor(&self) -> Successor {
        std::future::pending().await
    }

    pub fn leave(&mut self) {}
}

impl Predecessor {
    pub async fn ready(self, _path: &Path, _within: Duration) -> Result<Leaving, HandoverError> {
        match self {}
    }
}

impl Leaving {
    pub async fn serving(&mut self) {
        match *self {}
    }

    pub async fn ended(self) {
        match self {}
    }
}

impl Successor {
    pub fn pid(&self) -> Option<u32> {
        match *self {}
    }

    pub async fn give(&mut self, _program: Program, _bound: &[Bound]) -> Result<(), HandoverError> {
        match *self {}
    }

    pub async fn release(&mut self) {
        match *self {}
    }

    pub async fn serving(&mut self) -> Result<(), HandoverError> {
        match *self {}
    }
}
