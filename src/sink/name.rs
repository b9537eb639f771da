//! Who banned, in a word that is safe anywhere.

use crate::penalty::BannedBy;

/// Longer names are cut.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// The policy's name or the user's, in characters that mean nothing to a shell.
pub(super) fn name_of(by: &BannedBy) -> String {
    let name = match by {
        BannedBy::Policy(name) => name,
        BannedBy::Hand { user, .. } => user.split_once(" (").map_or(&**user, |(user, _)| user),
    };
    let plain = |char: char| match char {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | ':' | '-' => char,
        _ => '_',
    };
    let name: String = name.chars().map(plain).take(NAME_BYTES_MAX).collect();
    // It must not be taken for an option.
    match name.strip_prefix('-') {
        Some(rest) => format!("_{rest}"),
        None => name,
    }
}
