//! Every block of TOML in the documents is what it claims to be: a policy file, a configuration, or
//! tests of the policies that ship, which pass.
#![expect(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::{Path, PathBuf};

use electrumx_warden::config::Config;
use electrumx_warden::policy::{Source, check};
use electrumx_warden::trial;

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let markdown = |folder: PathBuf| {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    };
    markdown(root.to_owned())
        .chain(markdown(root.join("docs")))
        .collect()
}

fn blocks(document: &str) -> impl Iterator<Item = &str> {
    document
        .split("```toml\n")
        .skip(1)
        .filter_map(|block| block.split("```").next())
}

/// What is wrong with a block; a list file that it names is there, and empty.
fn mistakes(block: &str) -> Vec<String> {
    if block.contains("[server]") {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("policies")).unwrap();
        let file = folder.path().join("warden.toml");
        fs::write(&file, block).unwrap();
        return Config::load(&file)
            .diagnostics
            .iter()
            .map(ToString::to_string)
            .collect();
    }
    if block.contains("[[test]]") {
        return failures(block);
    }
    let source = Source {
        name: "block.toml".into(),
        text: block.to_owned(),
    };
    let checked = check(vec![source], &mut |_| Ok(String::new()));
    checked
        .diagnostics
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// What is wrong with a block of tests, as if it stood beside the policies that ship.
fn failures(block: &str) -> Vec<String> {
    let source = Source {
        name: "policies/errors.test.toml".into(),
        text: block.to_owned(),
    };
    let checked = trial::check(source, &mut trial::Disk);
    let mistakes = checked.diagnostics.iter().map(ToString::to_string);
    let failed = checked.trials.iter().filter(|trial| !trial.run().is_ok());
    mistakes
        .chain(failed.map(|trial| trial.name.clone()))
        .collect()
}

#[test]
fn every_block_of_toml_is_valid_and_without_warnings() {
    let mut count = 0;
    for document in documents() {
        for block in blocks(&fs::read_to_string(&document).unwrap()) {
            assert_eq!(mistakes(block), [""; 0], "{}\n{block}", document.display());
            count += 1;
        }
    }
    assert!(count >= 8, "{count} blocks found");
}

#[test]
fn a_mistake_would_be_found() {
    assert_ne!(mistakes("[[policy]]\nname = 'x'\n"), [""; 0]);
    assert_ne!(mistakes("[[test]]\nname = 'x'\n"), [""; 0]);
    let wrong = "[[test]]\nname = 'x'\n[[test.expect]]\npolicy = 'errors-server-wide'\nat = '0s'\n";
    assert_eq!(mistakes(wrong), ["x"]);
    assert_ne!(mistakes("[server]\nrcp = 'x'\n"), [""; 0]);
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .filter(|link| !link.starts_with("https://"))
        {
            let target = document
                .parent()
                .unwrap()
                .join(link.split('#').next().unwrap());
            assert!(target.exists(), "{}: {link}", document.display());
        }
    }
}

/// As README says: the example with a copy of the policies beside it.
#[test]
fn the_example_checks_out_where_it_is_copied_to() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    for entry in fs::read_dir(root.join("policies")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(
            &path,
            folder
                .path()
                .join("policies")
                .join(path.file_name().unwrap()),
        )
        .unwrap();
    }
    let file = folder.path().join("electrumx-warden.toml");
    fs::copy(root.join("examples/electrumx-warden.toml"), &file).unwrap();
    let config = Config::load(&file);
    assert!(config.diagnostics.is_empty());
    let policies = config.config.unwrap().policies.load();
    assert!(policies.diagnostics.is_empty());
    assert!(policies.set.unwrap().policies.len() >= 15);
}
