//! Checks of the source tree that no compiler makes. Each check is a file here: a pure
//! function from the [`Tree`] to the [`Problem`]s it finds, tested on small inputs.
//! To add one: write the file, add it to [`CHECKS`].

mod architecture;
mod crate_roots;
mod dependencies;
mod file_size;
mod generated;
mod layers;
mod links;
mod manifests;
mod module_docs;
mod names;
mod references;
mod tree;
mod unfinished;
mod vocabulary;
mod white_space;

use std::fmt;
use std::process::ExitCode;

use self::tree::Tree;
use crate::workspace::Workspace;

type Check = fn(&Tree) -> Vec<Problem>;

const CHECKS: &[(&str, Check)] = &[
    ("layers", layers::check),
    ("manifests", manifests::check),
    ("crate roots", crate_roots::check),
    ("dependencies", dependencies::check),
    ("module docs", module_docs::check),
    ("names", names::check),
    ("file size", file_size::check),
    ("architecture", architecture::check),
    ("links", links::check),
    ("references", references::check),
    ("vocabulary", vocabulary::check),
    ("generated", generated::check),
    ("white space", white_space::check),
    ("unfinished", unfinished::check),
];

/// Something to mend. Displays as `path:line: what is wrong, what is expected`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    path: String,
    line: usize,
    message: String,
}

impl Problem {
    /// A problem in the line with this index (counted from 0).
    fn at(path: &str, line_index: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: line_index + 1,
            message: message.into(),
        }
    }

    /// A problem of the file as a whole.
    fn of_file(path: &str, message: impl Into<String>) -> Self {
        Self::at(path, 0, message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Writes the digests that [`generated`] compares.
pub(crate) fn write_digests(workspace: &Workspace) -> anyhow::Result<()> {
    let tree = Tree::read(workspace)?;
    for page in generated::PAGES {
        let digest = generated::digest(page, tree.with_extension(&["rs"]));
        generated::put_digest(workspace, page.path, &digest)?;
    }
    Ok(())
}

/// Runs every check and prints what they find; fails if they find anything.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let tree = Tree::read(workspace)?;
    let mut count = 0;
    for (name, check) in CHECKS {
        for problem in check(&tree) {
            println!("{problem} [{name}]");
            count += 1;
        }
    }
    println!(
        "tidy: {} checks, {} files, {count} problems",
        CHECKS.len(),
        tree.files.len()
    );
    Ok(ExitCode::from(u8::from(count > 0)))
}
