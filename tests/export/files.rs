use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use electrumx_warden::export::Written;
use electrumx_warden::recording::Recording;

use crate::heard::export;
use crate::recorded::recordings;
use crate::support::warden::{Ended, run};

const TABLES: [&str; 7] = [
    "sessions",
    "polls",
    "daemons",
    "groups",
    "inspections",
    "acts",
    "decisions",
];

/// Every file and folder below, without what is above.
pub(crate) fn tree(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap();
            found.insert(name.to_str().unwrap().to_owned());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

pub(crate) fn exported(recordings: &[&Path], out: &Path) -> Ended {
    let mut args = vec!["export", "--out", out.to_str().unwrap()];
    args.extend(recordings.iter().map(|path| path.to_str().unwrap()));
    run(&args)
}

/// What a failed export says, in a folder that it leaves as it was.
#[track_caller]
fn refused(recordings: &[&Path], out: &Path, code: i32) -> String {
    let folder = out.parent().unwrap();
    let before = tree(folder);
    let ended = exported(recordings, out);
    assert_eq!(tree(folder), before);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(code), ""),
        "{ended:?}"
    );
    let name = folder.to_str().unwrap();
    ended.stderr.replace(name, "FOLDER").replace('\n', " ")
}

#[test]
fn the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let [fra, nyc] = recordings();
    let ended = exported(&[&nyc, &fra], &out);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let files: BTreeSet<_> = tree(&out)
        .into_iter()
        .filter(|it| it.ends_with(".parquet"))
        .collect();
    let mut expected = BTreeSet::new();
    for table in TABLES {
        for server in ["fra-1", "nyc%2F..%2F1%3A%20%22ü%22%20%252F"] {
            for day in ["2026-07-01", "2026-07-02"] {
                expected.insert(format!("{table}/server={server}/day={day}/part-0.parquet"));
            }
        }
    }
    assert_eq!(files, expected);
    assert!(ended.stdout.contains("sessions"), "{}", ended.stdout);
    assert!(
        ended
            .stdout
            .ends_with(&format!("written to `{}`\n", out.display()))
    );
    assert_eq!(ended.stderr, "");
    // Recordings are for their owner and group alone, and so is what is made of them.
    for name in tree(&out) {
        let metadata = fs::metadata(out.join(&name)).unwrap();
        let strangers = metadata.permissions().mode() & 0o027;
        assert_eq!(strangers, 0, "{name}");
    }
}

#[test]
fn what_is_there_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("theirs"), "").unwrap();
    let [fra, _] = recordings();
    let said = refused(&[&fra], &out, 3);
    assert!(
        said.contains("`FOLDER/out` is not empty, and nothing is overwritten: give another folder"),
        "{said}"
    );
}

#[test]
fn bad_recordings_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (out, path) = (folder.path().join("out"), folder.path());
    let said = refused(&[&path.join("none.rec")], &out, 3);
    assert!(
        said.contains("there is no recording `FOLDER/none.rec`"),
        "{said}"
    );
    fs::create_dir(path.join("empty.rec")).unwrap();
    let said = refused(&[&path.join("empty.rec")], &out, 3);
    assert!(
        said.contains("`FOLDER/empty.rec` holds no segments"),
        "{said}"
    );
    fs::write(path.join("notes.txt"), "dear diary").unwrap();
    let said = refused(&[&path.join("notes.txt")], &out, 3);
    assert!(
        said.contains("`FOLDER/notes.txt` is no segment of a recording"),
        "{said}"
    );

    let [fra, _] = recordings();
    let said = refused(&[&fra, &fra], &out, 3);
    assert!(said.contains("are the same segment"), "{said}");

    // Damaged in its second half, when much of it is written already.
    let segment = fs::read_dir(&fra).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() * 3 / 4;
    for byte in &mut bytes[middle..middle + 64] {
        *byte ^= 0x55;
    }
    let damaged = path.join(segment.file_name().unwrap());
    fs::write(&damaged, &bytes).unwrap();
    let said = refused(&[&damaged], &out, 3);
    assert!(said.contains("is damaged after 2026-07-02T"), "{said}");
}

#[test]
fn a_file_in_place_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let [fra, _] = recordings();
    let said = refused(&[&fra], &folder.path().join("file"), 3);
    let told = "`FOLDER/file` is a file, and the tables are many files: give a folder, empty or not there yet";
    assert!(said.contains(told), "{said}");
}

#[test]
fn what_breaks_off_is_exported_to_its_last_whole_poll() {
    let folder = tempfile::tempdir().unwrap();
    let [fra, _] = recordings();
    let segment = fs::read_dir(&fra).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&segment).unwrap();
    let cut = folder.path().join(segment.file_name().unwrap());
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let ended = exported(&[&cut], &folder.path().join("out"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.stderr.contains("read to its last whole poll"),
        "{}",
        ended.stderr
    );
}

#[test]
fn segments_of_a_run_share_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let [fra, _] = recordings();
    let segments: Vec<_> = fs::read_dir(&fra)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    assert!(segments.len() >= 2, "{segments:?}");
    let recording = Recording::open(&segments).unwrap();
    let written = export(recording, None, &folder.path().join("a"));
    let names: Vec<_> = written.iter().map(|it| it.table).collect();
    assert_eq!(names, TABLES);
    assert!(
        written.iter().all(|it| it.files == 2 && it.bytes > 100),
        "{written:?}"
    );
    assert_eq!(
        written[1],
        Written {
            rows: 110,
            ..written[1]
        }
    );
}
