use std::fs::{self, OpenOptions};
use std::path::Path;

use crate::files::{exported, tree};
use crate::recorded::recordings;
use crate::small_disk::{fill, on_a_small_disk};

#[test]
fn a_full_disk_leaves_nothing_half_done() {
    on_a_small_disk(full);
}

fn full(disk: &Path) {
    let (ballast, out) = (disk.join("ballast"), disk.join("out"));
    let [fra, _] = recordings();
    fill(&ballast);
    // It gets further and further before the disk is full.
    for _ in 0..4 {
        let ended = exported(&[&fra], &out);
        let said = ended.stderr.replace(disk.to_str().unwrap(), "DISK");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{said}");
        assert!(said.starts_with("error: `DISK/out/"), "{said}");
        let told = "cannot be written: No space left on device (os error 28); nothing is exported";
        assert!(said.replace('\n', " ").contains(told), "{said}");
        assert_eq!(tree(disk), ["ballast".to_owned()].into());
        let file = OpenOptions::new().write(true).open(&ballast).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - (16 << 10)).unwrap();
    }
    fs::remove_file(&ballast).unwrap();
    let ended = exported(&[&fra], &out);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(tree(&out).contains("sessions"));
}
