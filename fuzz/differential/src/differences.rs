//! The table in `differences.md`: what another implementation does differently, and who is
//! right. Read by `compare.py` too.

use std::collections::BTreeSet;

use anyhow::Context as _;

/// The known differences of one implementation.
#[derive(Debug)]
pub(crate) struct Differences(BTreeSet<String>);

impl Differences {
    /// The rows of this implementation.
    pub(crate) fn read(implementation: &str) -> anyhow::Result<Self> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/differences.md");
        let text = std::fs::read_to_string(path).context(path)?;
        let mut known = BTreeSet::new();
        for line in text.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            if let ["", name, difference, _section, _reason, ""] = cells[..]
                && name == implementation
            {
                known.insert(difference.to_owned());
            }
        }
        Ok(Self(known))
    }

    pub(crate) fn explain(&self, difference: &str) -> bool {
        self.0.contains(difference)
    }
}
