//! What the program's exit code means: the end of every help text.

/// The text, for `concat!`.
macro_rules! exit_codes {
    () => {
        "EXIT CODES\n  0  everything went well\n  1  something failed while running\n  \
         2  wrong usage or configuration"
    };
}
pub(crate) use exit_codes;
