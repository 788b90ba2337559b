//! The names a client expects its gateway to know: one per line.

/// In the file's order, each once; blanks around names, empty lines and the case of letters do not
/// matter.
pub(crate) fn read(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in text.lines().map(str::trim).filter(|name| !name.is_empty()) {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.to_owned());
        }
    }
    names
}
