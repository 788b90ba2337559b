//! Stands in for permessage-deflate when the cargo feature `deflate` is off: the same names, of
//! types that have no value, so that nobody else has to know.

use crate::{ExtensionError, ProtocolError, Role};

/// Settings of permessage-deflate. There are none without the cargo feature `deflate`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeflateConfig {}

/// The parameters that both ends agreed on: nothing without the cargo feature `deflate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeflateParameters {}

#[derive(Debug)]
pub(crate) enum Inflater {}

#[derive(Debug)]
pub(crate) enum Deflater {}

impl Inflater {
    pub(crate) fn new(agreed: DeflateParameters, _: Role, _: &DeflateConfig) -> Self {
        match agreed {}
    }

    pub(crate) fn push(
        &mut self,
        _: &[u8],
        _: &mut Vec<u8>,
        _: usize,
    ) -> Result<(), ProtocolError> {
        match *self {}
    }

    pub(crate) fn finish(&mut self, _: &mut Vec<u8>, _: usize) -> Result<(), ProtocolError> {
        match *self {}
    }

    pub(crate) fn engine_bytes(&self) -> usize {
        match *self {}
    }
}

impl Deflater {
    pub(crate) fn new(agreed: DeflateParameters, _: Role, _: &DeflateConfig) -> Option<Self> {
        match agreed {}
    }

    pub(crate) fn wants(&self, _: usize) -> bool {
        match *self {}
    }

    pub(crate) fn window_bits(&self) -> u8 {
        match *self {}
    }

    pub(crate) fn message(&mut self, _: &[u8], _: impl FnOnce(&[u8])) -> bool {
        match *self {}
    }

    pub(crate) fn piece(&mut self, _: &[u8], _: bool, _: impl FnOnce(&[u8])) {
        match *self {}
    }

    pub(crate) fn is_streaming(&self) -> bool {
        match *self {}
    }

    pub(crate) fn forget(&mut self) {
        match *self {}
    }
}

pub(crate) fn compress_once(config: &DeflateConfig, _: &[u8]) -> Option<(Vec<u8>, u8)> {
    match *config {}
}

pub(crate) fn accept<'a>(
    _: impl Iterator<Item = &'a [u8]>,
    config: &DeflateConfig,
) -> Result<Option<(DeflateParameters, String)>, ExtensionError> {
    match *config {}
}

pub(crate) fn offer(config: &DeflateConfig) -> String {
    match *config {}
}

/// Whatever the server chose was not offered.
pub(crate) fn verify<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
    _: Option<&DeflateConfig>,
) -> Result<Option<DeflateParameters>, ExtensionError> {
    if values.all(<[u8]>::is_empty) {
        Ok(None)
    } else {
        Err(ExtensionError::NotOffered)
    }
}
