//! The policies that ship, inside the program: what `demo` plays with, and `once` without others.

use super::{Checked, Source, check, read_list};

macro_rules! shipped {
    ($($name:literal)+) => {
        /// Name and text of each file of `policies/`.
        const SHIPPED: &[(&str, &str)] = &[
            $( ($name, include_str!(concat!("../../policies/", $name))), )+
        ];
    };
}

shipped! {
    "bandwidth.toml"
    "canary.toml"
    "client-names.toml"
    "daemons.toml"
    "errors.toml"
    "heights.toml"
    "reconnecting.toml"
    "slots.toml"
    "subscriptions.toml"
}

/// The policies that ship, checked.
pub fn shipped() -> Checked {
    let sources = SHIPPED
        .iter()
        .map(|&(name, text)| Source {
            name: format!("policies/{name}"),
            text: text.to_owned(),
        })
        .collect();
    check(sources, &mut read_list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_ships_and_is_free_of_mistakes() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".test.toml"))
            .collect();
        files.sort();
        assert_eq!(
            files,
            SHIPPED.iter().map(|(name, _)| *name).collect::<Vec<_>>()
        );
        let checked = shipped();
        assert_eq!(
            checked
                .diagnostics
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            [""; 0]
        );
        assert!(checked.set.is_some());
    }
}
