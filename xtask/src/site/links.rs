//! Links of the site: those of documents to files of the repository that are no chapters, and those of the pages that
//! were built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};

/// The pages of the repository's files.
const REPOSITORY: &str = "https://github.com/tidewire/tidewire/blob/main/";

/// Made for machines, or the same text once more.
const UNCHECKED: &[&str] = &["print.html", "404.html", "toc.html"];

/// How much was looked at.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) pages: usize,
    pub(super) links: usize,
}

/// The document with its links out of its top folder turned into addresses of the repository.
pub(super) fn to_repository(file: &str, text: &str, root: &Path) -> String {
    let (top, _) = file.split_once('/').unwrap_or_default();
    let folder = Path::new(file).parent().unwrap_or_else(|| Path::new(""));
    let mut in_code = false;
    let mut written = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        in_code ^= line.trim_start().starts_with("```");
        if in_code || !line.contains("](") {
            written.push_str(line);
            continue;
        }
        let mut parts = line.split("](");
        written.push_str(parts.next().unwrap_or_default());
        for part in parts {
            written.push_str("](");
            let end = part.find([')', ' ']).unwrap_or(part.len());
            let (target, rest) = part.split_at(end);
            match outside(top, folder, target) {
                // GitHub shows folders at another address, and sends on who asks for the wrong one.
                Some(path)
                    if root
                        .join(path.split('#').next().unwrap_or_default())
                        .exists() =>
                {
                    written.push_str(REPOSITORY);
                    written.push_str(&path);
                }
                Some(_) | None => written.push_str(target),
            }
            written.push_str(rest);
        }
    }
    written
}

/// The path from the root, if the target is a relative link to something outside of the top folder, or to a folder in it.
fn outside(top: &str, folder: &Path, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    if path.is_empty() || path.contains(':') {
        return None;
    }
    let path = plain(&folder.join(path))?;
    let path = path.to_str()?;
    let is_chapter = path.starts_with(&format!("{top}/")) && Path::new(path).extension().is_some();
    let anchor = if anchor.is_empty() {
        String::new()
    } else {
        format!("#{anchor}")
    };
    (!is_chapter).then(|| format!("{path}{anchor}"))
}

/// The path without `.` and `..`; `None` where it leaves what it is relative to.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut parts = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if !parts.pop() {
                    return None;
                }
            }
            Component::Normal(name) => parts.push(name),
            Component::Prefix(_) | Component::RootDir => return None,
        }
    }
    Some(parts)
}

/// A page's anchors, and the addresses it refers to.
struct Page {
    anchors: BTreeSet<String>,
    targets: BTreeSet<String>,
}

/// Every link within the site leads to a file of it, and to an anchor that the file has; nothing that a page needs to be
/// shown comes from elsewhere.
pub(super) fn check(html: &Path) -> anyhow::Result<Checked> {
    let mut pages = BTreeMap::new();
    collect(html, html, &mut pages)?;
    let mut problems = Vec::new();
    let mut links = 0;
    for (path, page) in &pages {
        if UNCHECKED.contains(&path.to_str().unwrap_or_default()) {
            continue;
        }
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for target in &page.targets {
            if let Some(why) = broken(html, &pages, path, folder, target) {
                problems.push(format!("{}: link to `{target}`, {why}", path.display()));
            }
            links += 1;
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(Checked {
        pages: pages.len(),
        links,
    })
}

fn broken(
    html: &Path,
    pages: &BTreeMap<PathBuf, Page>,
    path: &Path,
    folder: &Path,
    target: &str,
) -> Option<&'static str> {
    if target.contains(':') || target.starts_with("//") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = file.split('?').next().unwrap_or_default();
    let named = if file.is_empty() {
        path.to_owned()
    } else {
        let Some(named) = plain(&folder.join(file)) else {
            return Some("which is outside of the site");
        };
        named
    };
    if !html.join(&named).is_file() {
        return Some("expected a file of the site");
    }
    let page = pages.get(&named)?;
    let has_anchor = anchor.is_empty() || page.anchors.contains(anchor);
    (!has_anchor).then_some("expected a heading with this anchor")
}

fn collect(html: &Path, folder: &Path, pages: &mut BTreeMap<PathBuf, Page>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(html, &path, pages)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "html")
        {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let name = path.strip_prefix(html).unwrap_or(&path).to_owned();
            pages.insert(name, read(&text));
        }
    }
    Ok(())
}

fn read(text: &str) -> Page {
    let values = |name: &str| {
        let start = format!(" {name}=\"");
        text.split(&start)
            .skip(1)
            .filter_map(|rest| rest.split_once('"'))
            .map(|(value, _)| value.replace("&amp;", "&").replace("&#39;", "'"))
            .collect::<BTreeSet<String>>()
    };
    let mut targets = values("href");
    targets.extend(values("src"));
    Page {
        anchors: values("id"),
        targets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["docs/guide", "crates"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder");
        }
        fs::write(root.path().join("README.md"), "").expect("a file");
        to_repository("docs/guide/a.md", text, root.path())
    }

    #[test]
    fn links_out_of_the_chapters_lead_to_the_repository() {
        let base = REPOSITORY;
        for (text, expected) in [
            (
                "[r](../../README.md#top), yes",
                format!("[r]({base}README.md#top), yes"),
            ),
            ("[c](../../crates)", format!("[c]({base}crates)")),
            ("[g](../guide/)", format!("[g]({base}docs/guide)")),
        ] {
            assert_eq!(rewritten(text), expected, "{text}");
        }
    }

    #[test]
    fn other_links_stay_as_they_are() {
        for text in [
            "[b](b.md#x) and [c](../c.md)",
            "[w](https://example.com) [here](#part)",
            "```\n[r](../../README.md)\n```\n",
            "[gone](../../gone.md)",
        ] {
            assert_eq!(rewritten(text), text);
        }
    }

    fn problems(files: &[(&str, &str)]) -> String {
        let html = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = html.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        check(html.path()).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn links_of_pages_need_a_file_and_an_anchor() {
        let other = ("b/c.html", "<h2 id=\"x\">");
        for text in [
            "<a href=\"b/c.html#x\">",
            "<a href=\"#y\"><p id=\"y\">",
            "<a href=\"https://example.com/\">",
        ] {
            assert_eq!(problems(&[("a.html", text), other]), "", "{text}");
        }
        for text in [
            "<a href=\"b/c.html#y\">",
            "<a href=\"gone.html\">",
            "<script src=\"gone.js\">",
            "<a href=\"../out.html\">",
        ] {
            let found = problems(&[("a.html", text), other]);
            assert!(found.starts_with("a.html: link to"), "{text}: {found}");
        }
    }
}
