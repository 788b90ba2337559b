//! Every external dependency states why it is here.

use super::Problem;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    tree.files
        .get("Cargo.toml")
        .map_or_else(Vec::new, |manifest| check_manifest(manifest))
}

/// The reason stands behind the dependency, on the same line: a comment above may be a
/// heading for a group.
fn check_manifest(manifest: &str) -> Vec<Problem> {
    let mut in_table = false;
    let mut problems = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            in_table = line.trim_end() == "[workspace.dependencies]";
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let ours = value.contains("path =");
        let reason = value
            .rsplit_once('#')
            .map_or("", |(_, comment)| comment.trim());
        if in_table && !line.starts_with('#') && !ours && reason.is_empty() {
            let message = format!(
                "dependency `{}` without a reason, expected `# why it is here` on its line",
                name.trim()
            );
            problems.push(Problem::at("Cargo.toml", index, message));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_dependencies_need_a_reason_on_their_line() {
        let manifest = "\
[workspace.dependencies]
ours = { path = \"crates/ours\", version = \"0.1.0\" }
# data
serde = \"1\"
bytes = \"1\" # shared payloads
empty = \"1\" #
[profile.release]
lto = \"thin\"
";
        let lines: Vec<usize> = check_manifest(manifest).iter().map(|p| p.line).collect();
        assert_eq!(lines, [4, 6]);
    }
}
