use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::{Act, Item, Notice, Recorder, RecorderOptions, Recording, RecordingError, Start, Turn};
use crate::daemon::Round;
use crate::decision::{Epoch, Outcome, Peer, Target};
use crate::limits::Cooldown;
use crate::policy::Mode;
use crate::pseudonym::Key;
use crate::rpc::Tape;
use crate::snapshot::{Snapshot, Span};
use crate::time::Timestamp;
use crate::visit::{Unserved, Visit, Visits};

const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// What a server sent; bare words included, as Python writes them.
const GETINFO: &str = r#"{"jsonrpc": "2.0", "result": {"coin": "Bitcoin", "daemon": "127.0.0.1:8332/", "daemon height": 5, "db height": 5, "groups": 1, "pid": 7, "sessions": {"count": 2, "count with subs": 0, "errors": 0, "logged": 0, "pending requests": 1, "subs": 0}, "txs sent": 0, "uptime": "09s", "version": "ElectrumX 1.20.0"}, "id": 1}"#;
const SESSIONS: &str = r#"{"jsonrpc": "2.0", "result": [[0, "T", "203.0.113.9:50001", "\u00e9lectrum", "1.4", NaN, Infinity, 0, 0, 3, 4, 500, 4, 600, 9.5], [1, "R", "127.0.0.1:4", "RPC", "RPC", 0, 0, 1, 0, 0, 1, 60, 0, 0, 0.1]], "id": 2}"#;

fn tape() -> Tape {
    let mut tape = Tape::default();
    tape.hear("getinfo", GETINFO.as_bytes());
    tape.hear("disconnect", br#"{"jsonrpc":"2.0","result":[],"id":9}"#);
    tape.hear("sessions", SESSIONS.as_bytes());
    tape
}

fn at(s: u64) -> Timestamp {
    START + Duration::from_secs(s)
}

fn options(path: &Path) -> RecorderOptions {
    RecorderOptions::unbounded(path)
}

/// Records a tick at each of these seconds; the one at a multiple of 7 fails.
fn record(recorder: &mut Recorder, seconds: impl IntoIterator<Item = u64>) {
    for s in seconds {
        if recorder.is_between_segments(at(s)) {
            recorder.begin(at(s), start("one")).unwrap();
        }
        let mut snapshot = Snapshot::default();
        let span = Span {
            asked: at(s),
            answered: at(s),
        };
        (snapshot.server_read, snapshot.sessions_read) = (span, span);
        let acts = [Act {
            policy: "p".into(),
            target: Target::Server,
            outcome: Outcome::Executed {
                detail: "told".into(),
            },
            unsent: 0,
        }];
        let turn = Turn {
            at: at(s),
            epoch: Epoch(3),
            mode: Mode::Enforce,
            polled: if s % 7 == 0 {
                Err("no answer")
            } else {
                Ok(&snapshot)
            },
            rounds: &[],
            visits: &Visits::default(),
            inspected: &[],
            acts: &acts,
            closed: &[],
            by_hand: &[],
            not_held_off: 0,
            settled: at(s + 1),
        };
        recorder.record(&turn, Some(&tape())).unwrap();
    }
}

fn start(server: &str) -> Start {
    Start {
        server: server.to_owned(),
        interval: Duration::from_secs(10),
        ..Start::default()
    }
}

fn recorded(path: &Path, seconds: impl IntoIterator<Item = u64>) {
    let mut recorder = Recorder::open(options(path)).unwrap();
    record(&mut recorder, seconds);
    recorder.finish().unwrap();
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The seconds of the ticks, and what else is told.
fn heard(paths: &[PathBuf]) -> Result<(Vec<u64>, Vec<Notice>), RecordingError> {
    let (mut seconds, mut notices) = (Vec::new(), Vec::new());
    for item in Recording::open(paths)?.play() {
        match item? {
            Item::Start(_) => {}
            Item::Tick(tick) => seconds.push(tick.at.since(START).as_secs()),
            Item::Notice(notice) => notices.push(notice),
        }
    }
    Ok((seconds, notices))
}

fn refused(paths: &[PathBuf], folder: &Path) -> String {
    let error = heard(paths).unwrap_err().to_string();
    error.replace(&*folder.to_string_lossy(), "DIR")
}

/// A file's lines, with `edit` made to them, as one segment.
fn edited(path: &Path, edit: impl FnOnce(String) -> String) -> PathBuf {
    let text = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
    let text = edit(String::from_utf8(text).unwrap());
    let to = path.with_file_name("edited.rec.zst");
    fs::write(&to, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    to
}

#[test]
fn what_was_heard_comes_out_again() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path(), [1, 7]);
    let recording = Recording::open(&[folder.path().to_owned()]).unwrap();
    assert_eq!(recording.servers(), ["one"]);
    let mut items = recording.play();
    let Some(Ok(Item::Start(begun))) = items.next() else {
        panic!("a start")
    };
    assert_eq!(begun.interval, Duration::from_secs(10));
    let Some(Ok(Item::Tick(tick))) = items.next() else {
        panic!("a tick")
    };
    assert_eq!((tick.at, tick.epoch), (at(1), Epoch(3)));
    assert_eq!((tick.mode, &tick.failure), (Mode::Enforce, &None));
    assert_eq!((tick.settled, tick.acts.len()), (at(2), 1));
    let snapshot = &tick.snapshot;
    assert_eq!(snapshot.at(), at(1));
    assert_eq!(snapshot.server.pid, Some(7));
    let sessions = &snapshot.sessions;
    assert_eq!(sessions.names.get(sessions.client[0]), "électrum");
    assert!(sessions.cost[0].is_nan());
    assert_eq!(sessions.age_s, [9.5, 0.1]);
    let Some(Ok(Item::Tick(tick))) = items.next() else {
        panic!("a tick")
    };
    assert_eq!(tick.failure.as_deref(), Some("no answer"));
    assert!(items.next().is_none());
}

#[test]
fn replies_are_kept_to_the_letter_and_those_to_acts_are_not() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path(), [1]);
    let text = zstd::decode_all(fs::File::open(&segments(folder.path())[0]).unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert_eq!(lines[3..5], [GETINFO, SESSIONS]);
    assert!(!text.contains(r#""id":9"#), "{text}");
}

#[test]
fn credentials_that_a_fork_shows_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::open(options(folder.path())).unwrap();
    recorder.begin(at(0), start("one")).unwrap();
    let mut tape = Tape::default();
    let info = GETINFO.replace("127.0.0.1:8332/", "http://user:sesame@127.0.0.1:8332/");
    tape.hear("getinfo", info.as_bytes());
    tape.hear("sessions", SESSIONS.as_bytes());
    let snapshot = Snapshot::default();
    let turn = Turn {
        at: at(0),
        epoch: Epoch(1),
        mode: Mode::Off,
        polled: Ok(&snapshot),
        rounds: &[],
        visits: &Visits::default(),
        inspected: &[],
        acts: &[],
        closed: &[],
        by_hand: &[],
        not_held_off: 0,
        settled: at(0),
    };
    recorder.record(&turn, Some(&tape)).unwrap();
    recorder.finish().unwrap();
    let path = segments(folder.path()).remove(0);
    let text = zstd::decode_all(fs::File::open(&path).unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("sesame"), "{text}");
    assert!(text.contains("127.0.0.1:8332"), "{text}");
    assert_eq!(heard(&[path]).unwrap().0, [0]);
}

/// However the file ends, every tick that was flushed before is there, and nothing is made up.
#[test]
fn a_recording_that_breaks_off_is_read_to_its_last_whole_tick() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::open(options(folder.path())).unwrap();
    let mut ends = Vec::new();
    for s in 0..6 {
        record(&mut recorder, [s]);
        ends.push(fs::metadata(&segments(folder.path())[0]).unwrap().len());
    }
    let path = segments(folder.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let cut = path.with_file_name("cut.rec.zst");
    for length in 0..=whole.len() {
        fs::write(&cut, &whole[..length]).unwrap();
        let ticks = ends.iter().filter(|&&end| end <= length as u64).count();
        match heard(std::slice::from_ref(&cut)) {
            Ok((seconds, notices)) => {
                assert!(seconds.len() >= ticks, "{length}: {seconds:?}");
                let expected: Vec<u64> = (0..seconds.len() as u64).collect();
                assert_eq!(seconds, expected, "{length}");
                assert_eq!(notices.len(), 1, "{length}: {notices:?}");
            }
            Err(error) => {
                assert!(
                    matches!(error, RecordingError::Empty { .. }),
                    "{length}: {error}"
                );
                assert_eq!(ticks, 0, "{length}");
            }
        }
    }
}

#[test]
fn what_breaks_off_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::open(options(folder.path())).unwrap();
    record(&mut recorder, [1, 2]);
    drop(recorder);
    let (seconds, notices) = heard(&[folder.path().to_owned()]).unwrap();
    assert_eq!(seconds, [1, 2]);
    let name = segments(folder.path()).remove(0);
    assert_eq!(
        notices[0].to_string(),
        format!(
            "`{}` breaks off after 2026-01-01T00:00:02.000Z: read to its last whole poll",
            name.display()
        )
    );
}

#[test]
fn what_is_no_recording_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let refused = |path: PathBuf| refused(&[path], folder.path());

    assert_eq!(
        refused(path("none")),
        "there is no recording `DIR/none`: give a folder that `run`, `record` or `demo --record` \
         has written, or segments of it"
    );
    fs::create_dir(path("empty")).unwrap();
    assert_eq!(
        refused(path("empty")),
        "`DIR/empty` holds no segments of a recording (`*.rec.zst`)"
    );
    fs::write(path("zero"), "").unwrap();
    assert_eq!(
        refused(path("zero")),
        "`DIR/zero` holds not one whole poll: `DIR/zero` breaks off before its first whole poll"
    );
    // What is wrong with the files of a folder is not lost.
    fs::write(path("empty/rubbish.rec.zst"), "rubbish").unwrap();
    let told = refused(path("empty"));
    assert!(told.contains("it is not compressed by zstd"), "{told}");
    fs::write(path("text"), "hello\n").unwrap();
    assert_eq!(
        refused(path("text")),
        "`DIR/text` is no segment of a recording: it is not compressed by zstd (Unknown frame \
         descriptor)"
    );
    let other = zstd::encode_all(&b"{\"x\":1}\n"[..], 1).unwrap();
    fs::write(path("other"), other).unwrap();
    assert_eq!(
        refused(path("other")),
        "`DIR/other` is no segment of a recording: its first line is no heading of a recording"
    );
    let later = br#"{"recording":{"format":2,"by":"electrumx-warden 9.0","runs":[]}}"#;
    let later = [&later[..], b"\n"].concat();
    fs::write(path("later"), zstd::encode_all(&later[..], 1).unwrap()).unwrap();
    assert_eq!(
        refused(path("later")),
        "`DIR/later` has format 2, written by `electrumx-warden 9.0`; this version reads up to 1: \
         use a later one"
    );
}

#[test]
fn damage_is_found_and_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path(), [1, 2, 3]);
    let path = segments(folder.path()).remove(0);
    let refused = |path: PathBuf| refused(&[path], folder.path());

    let heading = edited(&path, |text| {
        text.replacen("\"server\":\"one\"", "\"server\":\"onE\"", 1)
    });
    assert_eq!(
        refused(heading),
        "`DIR/edited.rec.zst` is damaged from its beginning: a checksum is wrong; give the other \
         segments by name to leave it out"
    );
    // A counter of the second tick.
    let second = edited(&path, |text| {
        let tick = text.match_indices("500, 4").nth(1).unwrap().0;
        format!("{}501, 4{}", &text[..tick], &text[tick + 6..])
    });
    assert_eq!(
        refused(second),
        "`DIR/edited.rec.zst` is damaged after 2026-01-01T00:00:01.000Z: a checksum is wrong; give \
         the other segments by name to leave it out"
    );
    let lost = edited(&path, |text| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.remove(4);
        lines.join("\n") + "\n"
    });
    assert_eq!(
        refused(lost),
        "`DIR/edited.rec.zst` is damaged from its beginning: a checksum is wrong; give the other \
         segments by name to leave it out"
    );
    let swapped = edited(&path, |text| {
        let lines: Vec<&str> = text.lines().collect();
        let (heading, ticks) = lines.split_at(2);
        [heading, &ticks[4..8], &ticks[..4], &[""]]
            .concat()
            .join("\n")
    });
    assert_eq!(
        refused(swapped),
        "`DIR/edited.rec.zst` is out of order: 2026-01-01T00:00:01.000Z comes after \
         2026-01-01T00:00:02.000Z"
    );
}

#[test]
fn recordings_of_one_time_are_not_played_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    recorded(&path("a"), (1..300).step_by(10));
    recorded(&path("b"), (61..300).step_by(10));
    let error = refused(&[path("b"), path("a")], folder.path());
    let (first, second) = (segments(&path("a")), segments(&path("b")));
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(
        error,
        format!(
            "`DIR/b/{}` begins at 2026-01-01T00:01:01.000Z, before `DIR/a/{}` ends \
             (2026-01-01T00:04:51.000Z): two recordings of the same time cannot be replayed as one, \
             give one of them",
            name(&second[0]),
            name(&first[0]),
        )
    );
    fs::copy(&first[0], path("copy.rec.zst")).unwrap();
    let twice = refused(&[path("a"), path("copy.rec.zst")], folder.path());
    assert!(
        twice.ends_with("are the same segment: give one of them"),
        "{twice}"
    );
}

#[test]
fn recordings_come_in_the_order_of_time_whatever_the_order_of_paths() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    recorded(&path("late"), [100, 110]);
    recorded(&path("early"), [1, 2]);
    // A clock that was set back by a little while the agent was down is no second recording.
    recorded(&path("back"), [101, 120]);
    let (seconds, _) = heard(&[path("late"), path("back"), path("early")]).unwrap();
    assert_eq!(seconds, [1, 2, 100, 110, 101, 120]);
}

#[test]
fn segments_follow_each_other_and_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let options = RecorderOptions {
        age_max: Duration::from_secs(800),
        ..options(folder.path())
    };
    let mut recorder = Recorder::open(options).unwrap();
    let starts = |path: &Path| {
        let items = Recording::open(&[path.to_owned()]).unwrap().play();
        items
            .filter(|item| matches!(item, Ok(Item::Start(_))))
            .count()
    };
    record(&mut recorder, (1..500).step_by(10));
    assert_eq!(segments(folder.path()).len(), 5);
    assert_eq!(
        starts(folder.path()),
        1,
        "one run is one run, in however many segments"
    );
    record(&mut recorder, (501..2_000).step_by(10));
    let (seconds, _) = heard(&[folder.path().to_owned()]).unwrap();
    let first = seconds[0];
    assert!((1_000..=1_200).contains(&first), "{first}");
    assert_eq!(*seconds.last().unwrap(), 1_991);
}

/// As when a clock is years ahead.
#[test]
fn few_segments_go_for_their_age_at_once_and_none_while_the_clock_may_be_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let options = RecorderOptions {
        age_max: Duration::from_secs(800),
        ..options(folder.path())
    };
    let mut recorder = Recorder::open(options.clone()).unwrap();
    record(&mut recorder, (1..700).step_by(10));
    recorder.finish().unwrap();
    drop(recorder);
    let before = segments(folder.path()).len();
    let late = 400 * 86_400;
    let mut recorder = Recorder::open(options).unwrap();
    recorder.prune_by_age(false);
    record(&mut recorder, [late]);
    assert_eq!(segments(folder.path()).len(), before + 1);
    recorder.prune_by_age(true);
    record(&mut recorder, [late + 100, late + 101]);
    assert_eq!(segments(folder.path()).len(), before);
}

#[test]
fn size_bounds_what_is_kept_and_strangers_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.rec.zst"), "mine").unwrap();
    let size_max = 20_000;
    let options = RecorderOptions {
        size_max,
        ..options(folder.path())
    };
    let mut recorder = Recorder::open(options).unwrap();
    record(&mut recorder, 1..3_000);
    let sizes = segments(folder.path())
        .into_iter()
        .map(|path| fs::metadata(path).unwrap().len());
    let bytes: u64 = sizes.sum();
    assert!((size_max / 2..=size_max).contains(&bytes), "{bytes}");
    let notes = fs::read(folder.path().join("notes.rec.zst")).unwrap();
    assert_eq!(notes, b"mine");
}

#[test]
fn a_demo_is_recorded_into_a_folder_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Recorder::create(folder.path()).is_ok());
    fs::write(folder.path().join("x"), "").unwrap();
    let error = Recorder::create(folder.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("is there already and is not overwritten: give another path"),
        "{error}"
    );
}

#[test]
fn one_recorder_at_a_time_writes_into_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let options = RecorderOptions {
        age_max: Duration::from_secs(8),
        ..options(folder.path())
    };
    let mut first = Recorder::open(options.clone()).unwrap();
    record(&mut first, [1, 2]);
    let mut second = Recorder::open(options).unwrap();
    let refused = second.claim().unwrap_err().to_string();
    assert_eq!(
        refused.replace(&*folder.path().to_string_lossy(), "DIR"),
        format!(
            "`DIR` is being recorded into by another recorder (process {}): give each a folder of its \
             own, or stop that one",
            std::process::id()
        )
    );
    assert!(second.begin(at(3), start("one")).is_err());
    // What is pruned are segments alone.
    record(&mut first, (3..60).chain([100]));
    drop(first);
    assert!(second.is_between_segments(at(101)));
    record(&mut second, [101, 102]);
    let (seconds, _) = heard(&[folder.path().to_owned()]).unwrap();
    assert_eq!(seconds[seconds.len() - 2..], [101, 102]);
}

#[test]
fn a_folder_that_cannot_be_written_stops_the_recorder_for_a_while_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    let mut recorder = Recorder::open(options(&path)).unwrap();
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "in its place").unwrap();
    assert!(recorder.begin(at(1), start("one")).is_err());
    assert!(!recorder.is_between_segments(at(60)));
    fs::remove_file(&path).unwrap();
    assert!(recorder.is_between_segments(at(61)));
    record(&mut recorder, [61]);
    assert_eq!(heard(&[path]).unwrap().0, [61]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens to a file's bytes, what comes out is what went in, or nothing and a reason.
    #[test]
    fn no_damage_goes_unnoticed(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        recorded(folder.path(), 1..6);
        let path = segments(folder.path()).remove(0);
        let mut bytes = fs::read(&path).unwrap();
        for (index, byte) in edits {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
        if let Ok((seconds, _)) = heard(&[path]) {
            let expected: Vec<u64> = (1..=seconds.len() as u64).collect();
            prop_assert_eq!(seconds, expected);
        }
    }
}

#[test]
fn only_texts_of_getinfo_lose_their_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::open(options(folder.path())).unwrap();
    recorder.begin(at(0), start("one")).unwrap();
    let mut tape = Tape::default();
    let info = GETINFO.replace(
        r#""daemon": "127.0.0.1:8332/""#,
        r#""daemon": "http://127.0.0.1:8332/", "contact": "\"ops\"@example.org""#,
    );
    tape.hear("getinfo", info.as_bytes());
    tape.hear("sessions", SESSIONS.as_bytes());
    let snapshot = Snapshot::default();
    recorder.record(&turn(&snapshot, &[]), Some(&tape)).unwrap();
    recorder.finish().unwrap();
    let mut items = Recording::open(&[folder.path().to_owned()]).unwrap().play();
    items.next();
    let Some(Ok(Item::Tick(tick))) = items.next() else {
        panic!("a tick")
    };
    let daemon = tick.snapshot.server.daemon.clone().unwrap();
    assert_eq!(daemon.trim_end_matches('/'), "http://127.0.0.1:8332");
}

fn turn<'a>(snapshot: &'a Snapshot, acts: &'a [Act]) -> Turn<'a> {
    Turn {
        at: at(0),
        epoch: Epoch(1),
        mode: Mode::Enforce,
        polled: Ok(snapshot),
        rounds: &snapshot.rounds,
        visits: &snapshot.visits,
        inspected: &[],
        acts,
        closed: &[],
        by_hand: &[],
        not_held_off: 0,
        settled: at(0),
    }
}

/// A recording may come from anywhere.
#[test]
fn clients_that_no_agent_knows_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let made = |clients: &str| {
        let text = format!(
            r#"{{"recording":{{"format":1,"by":"x","run":"1","part":0,"began":0,"start":{}}}}}"#,
            serde_json::to_string(&start("one")).unwrap()
        );
        let known = format!(r#""clients":{{"clients":[{clients}]"#);
        let text = text.replace(r#""clients":{"clients":[]"#, &known);
        let path = folder.path().join("made.rec.zst");
        let line = format!("{text}\n");
        let sum = format!("{{\"crc32\":{}}}\n", crc32fast::hash(line.as_bytes()));
        let bytes = zstd::encode_all([line, sum].concat().as_bytes(), 1).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    };
    let client = |address: &str| {
        format!(r#"{{"address":"{address}","met":0,"connected_ms":1,"last_seen":2}}"#)
    };
    assert!(heard(&[made(&client("203.0.113.7/32"))]).is_ok());
    assert_eq!(
        refused(&[made(&client("203.0.113.0/24"))], folder.path()),
        "`DIR/made.rec.zst` is no segment of a recording: its heading has settings that no agent has \
         (`clients`)"
    );
}

#[test]
fn hours_that_no_agent_has_watched_are_refused() {
    let usual = |hours: usize, watched_ms: u64, client_ms: u64| {
        let hours = vec![serde_json::json!({"clients": 1, "newcomers": 1}); hours];
        let open = serde_json::json!({
            "watched_ms": watched_ms, "client_ms": client_ms, "newcomers": 0
        });
        let usual = serde_json::json!({"hours": hours, "open": open});
        let mut start = start("one");
        start.clients.usual = serde_json::from_value(usual).unwrap();
        start.complaint()
    };
    assert_eq!(usual(168, 3_599_999, 1 << 40), None);
    assert_eq!(usual(169, 0, 0), Some("clients"));
    assert_eq!(usual(0, 3_600_000, 0), Some("clients"));
    assert_eq!(usual(0, 1, u64::MAX), Some("clients"));
}

#[test]
fn a_stranger_among_the_segments_is_left_out_and_told() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path(), [1, 2]);
    let name = "20250101T000000000Z-00000000-0000.rec.zst";
    // As a power cut leaves a file.
    fs::write(folder.path().join(name), [0; 4_096]).unwrap();
    let (seconds, notices) = heard(&[folder.path().to_owned()]).unwrap();
    assert_eq!(seconds, [1, 2]);
    let told = notices[0].to_string();
    assert!(told.contains(name) && told.contains("left out"), "{told}");
    // Somebody who names it wants it.
    assert!(heard(&[folder.path().join(name)]).is_err());
}

#[test]
fn settings_that_no_agent_has_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path(), [1]);
    let path = segments(folder.path()).remove(0);
    for (from, to, what) in [
        (r#""count":12000"#, r#""count":0"#, "limits"),
        (r#""v4":24"#, r#""v4":99"#, "widths"),
        (r#""share":0.1"#, r#""share":-1"#, "breaker"),
        (r#""share_of_all":0.33"#, r#""share_of_all":7"#, "breaker"),
        (
            r#""clients_max":200000"#,
            r#""clients_max":99000000"#,
            "bounds",
        ),
        (r#""interval_s":10.0"#, r#""interval_s":1.8e19"#, ""),
    ] {
        let edited = edited(&path, |text| {
            assert!(text.contains(from), "{text}");
            text.replacen(from, to, 1)
        });
        let error = heard(&[edited]).unwrap_err().to_string();
        assert!(
            error.contains("its heading") && error.contains(what),
            "{error}"
        );
    }
}

#[test]
fn the_key_is_never_in_the_folder() {
    for path in ["rec", "rec/", "./rec//"] {
        let key = options(Path::new(path)).key_path();
        assert!(key.ends_with("rec.key"), "{}", key.display());
    }
}

/// What was not recorded in between is not known, so the heading after it counts.
#[test]
fn a_recorder_that_could_not_write_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    let mut recorder = Recorder::open(options(&path)).unwrap();
    record(&mut recorder, [1, 2]);
    recorder.finish().unwrap();
    let away = folder.path().join("away");
    fs::rename(&path, &away).unwrap();
    fs::write(&path, "in its place").unwrap();
    assert!(recorder.begin(at(3), start("one")).is_err());
    fs::remove_file(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    record(&mut recorder, [64, 65]);
    recorder.finish().unwrap();
    let items = Recording::open(&[path]).unwrap().play();
    let told: Vec<String> = items
        .map(|item| match item.unwrap() {
            Item::Start(_) => "start".to_owned(),
            Item::Tick(tick) => tick.at.since(START).as_secs().to_string(),
            Item::Notice(notice) => notice.to_string(),
        })
        .collect();
    let gap = "nothing is recorded from 2026-01-01T00:00:02.000Z to 2026-01-01T00:01:04.000Z";
    assert_eq!(told, ["start", "1", "2", gap, "start", "64", "65"]);
}

/// Such as when the machine slept.
#[test]
fn a_long_time_between_segments_of_a_run_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::open(options(folder.path())).unwrap();
    let times = [1, 3_601, 3_901, 7_501, 7_802];
    record(&mut recorder, times);
    recorder.finish().unwrap();
    drop(recorder);
    let (seconds, notices) = heard(&[folder.path().to_owned()]).unwrap();
    assert_eq!(seconds, times);
    let gap = Notice::Gap {
        from: at(7_501),
        to: at(7_802),
    };
    assert_eq!(notices, [gap]);
    // Another run begins when it begins.
    recorded(folder.path(), [9_000]);
    let (_, after) = heard(&[folder.path().to_owned()]).unwrap();
    assert_eq!(after, notices);
}

#[test]
fn what_is_being_written_does_not_break_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::open(options(folder.path())).unwrap();
    record(&mut recorder, [1, 2]);
    let recording = Recording::open(&[folder.path().to_owned()]).unwrap();
    assert!(recording.is_being_written());
    let (seconds, notices) = heard(&[folder.path().to_owned()]).unwrap();
    assert_eq!((seconds, notices), (vec![1, 2], vec![]));
    drop(recorder);
}

#[test]
fn words_of_the_server_have_no_address_among_pseudonyms() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::generate().unwrap();
    let recorder = Recorder::open(options(folder.path())).unwrap();
    let mut recorder = recorder.hiding(&key);
    recorder.begin(at(0), start("one")).unwrap();
    let acts = [Act {
        policy: "p".into(),
        target: Target::Client("4.2.2.1".into()),
        outcome: Outcome::Failed {
            detail: "no session of 4.2.2.1 or 203.0.113.9:50001".into(),
        },
        unsent: 0,
    }];
    let mut tape = Tape::default();
    tape.hear("getinfo", GETINFO.as_bytes());
    tape.hear(
        "sessions",
        SESSIONS.replace("203.0.113.9", "4.2.2.1").as_bytes(),
    );
    let snapshot = Snapshot::default();
    recorder
        .record(&turn(&snapshot, &acts), Some(&tape))
        .unwrap();
    let failed = Turn {
        polled: Err("error 1: session 203.0.113.9:5000 broke"),
        ..turn(&snapshot, &acts)
    };
    recorder.record(&failed, None).unwrap();
    recorder.finish().unwrap();
    let path = segments(folder.path()).remove(0);
    let text = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(
        !text.contains("203.0.113.9") && !text.contains("4.2.2.1"),
        "{text}"
    );
}

#[test]
fn a_folder_that_somebody_removed_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rec");
    let mut recorder = Recorder::open(options(&path)).unwrap();
    record(&mut recorder, [1, 2]);
    fs::remove_dir_all(&path).unwrap();
    let snapshot = Snapshot::default();
    let error = recorder.record(&turn(&snapshot, &[]), None).unwrap_err();
    assert!(
        error.to_string().contains("somebody has removed it"),
        "{error}"
    );
    // After the pause.
    record(&mut recorder, [71, 72]);
    recorder.finish().unwrap();
    assert_eq!(heard(&[path]).unwrap().0, [71, 72]);
}

#[test]
fn a_link_is_as_good_as_the_segment_that_it_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let (there, here) = (folder.path().join("there"), folder.path().join("here"));
    recorded(&there, [1, 2]);
    fs::create_dir(&here).unwrap();
    std::os::unix::fs::symlink(segments(&there).remove(0), here.join("link.rec.zst")).unwrap();
    assert_eq!(heard(&[here]).unwrap().0, [1, 2]);
}

#[test]
fn a_poll_without_its_replies_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::open(options(folder.path())).unwrap();
    recorder.begin(at(0), start("one")).unwrap();
    let snapshot = Snapshot::default();
    recorder.record(&turn(&snapshot, &[]), None).unwrap();
    recorder.finish().unwrap();
    let error = heard(&[folder.path().to_owned()]).unwrap_err();
    assert!(
        error.to_string().contains("a poll without its replies"),
        "{error}"
    );
}

#[test]
fn names_of_clients_that_are_gone_have_no_address_either_and_daemons_keep_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(options(folder.path())).unwrap();
    let mut recorder = recorder.hiding(&Key::generate().unwrap());
    let mut began = start("one");
    began.cooldowns = vec![Cooldown {
        policy: "names".into(),
        target: Target::Client("5.6.7.1".into()),
        until: at(60),
    }];
    recorder.begin(at(0), began).unwrap();
    let said = "now using daemon at 10.11.12.13:8332/".to_owned();
    let acts = [Act {
        policy: "failback".into(),
        target: Target::Server,
        outcome: Outcome::Executed {
            detail: said.clone(),
        },
        unsent: 0,
    }];
    let snapshot = Snapshot::default();
    recorder.record(&turn(&snapshot, &acts), None).unwrap();
    recorder.finish().unwrap();
    let path = segments(folder.path()).remove(0);
    let text = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("5.6.7.1"), "{text}");
    assert!(text.contains(&said), "{text}");
}

/// The server that cannot be read is one thing, the daemons are another.
#[test]
fn rounds_of_a_poll_that_failed_or_cannot_be_read_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(options(folder.path())).unwrap();
    let mut recorder = recorder.hiding(&Key::generate().unwrap());
    recorder.begin(at(0), start("one")).unwrap();
    let round = |s| Round {
        at: at(s),
        reports: Vec::new(),
    };
    let polls = [
        (vec![round(1)], SESSIONS),
        (vec![round(2), round(3)], "{\"result\": [[\"198.51.100.7"),
        (vec![round(4)], ""),
        (vec![round(5)], SESSIONS),
        (vec![round(6)], SESSIONS),
    ];
    for (rounds, sessions) in polls {
        let snapshot = Snapshot {
            rounds,
            ..Snapshot::default()
        };
        let mut tape = Tape::default();
        tape.hear("getinfo", GETINFO.as_bytes());
        tape.hear("sessions", sessions.as_bytes());
        let polled = if sessions.is_empty() {
            Err("no answer")
        } else {
            Ok(&snapshot)
        };
        let turn = Turn {
            polled,
            ..turn(&snapshot, &[])
        };
        recorder.record(&turn, Some(&tape)).unwrap();
    }
    recorder.finish().unwrap();
    let ticks = Recording::open(&[folder.path().to_owned()]).unwrap().play();
    let heard: Vec<(bool, Vec<u64>)> = ticks
        .filter_map(|item| match item.unwrap() {
            Item::Tick(tick) => Some(tick),
            _ => None,
        })
        .map(|tick| {
            let rounds = tick.snapshot.rounds.iter();
            let seconds = rounds.map(|round| round.at.since(START).as_secs());
            (tick.failure.is_some(), seconds.collect())
        })
        .collect();
    let expected = [
        (false, vec![1]),
        (true, vec![2, 3]),
        (true, vec![4]),
        (false, vec![5]),
        (false, vec![6]),
    ];
    assert_eq!(heard, expected);
}

/// What the first play heard is what every other hears, and what went in between is told.
#[test]
fn a_recording_is_played_again_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::open(options(folder.path())).unwrap();
    record(&mut recorder, [1, 2]);
    recorder.finish().unwrap();
    drop(recorder);
    let mut recorder = Recorder::open(options(folder.path())).unwrap();
    record(&mut recorder, [11, 12]);
    let recording = Recording::open(&[folder.path().to_owned()]).unwrap();
    let played = |recording: &Recording| {
        let told = recording.play().map(|item| match item.unwrap() {
            Item::Start(_) => "start".to_owned(),
            Item::Tick(tick) => tick.at.since(START).as_secs().to_string(),
            Item::Notice(Notice::Gone { .. }) => "gone".to_owned(),
            Item::Notice(other) => other.to_string(),
        });
        told.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(played(&recording), "start 1 2 start 11 12");
    // The agent goes on, and somebody else begins.
    record(&mut recorder, [13]);
    recorder.finish().unwrap();
    drop(recorder);
    recorded(folder.path(), [21]);
    let recording = recording.before(at(13));
    assert_eq!(played(&recording), "start 1 2 start 11 12");
    fs::remove_file(segments(folder.path()).remove(0)).unwrap();
    assert_eq!(played(&recording), "gone start 11 12");
    let recording = recording.before(at(5));
    assert_eq!(played(&recording), "gone");
}

/// What is known of clients may take more room than a segment has.
#[test]
fn a_large_heading_does_not_end_its_segment() {
    let folder = tempfile::tempdir().unwrap();
    let options = RecorderOptions {
        size_max: 40_000,
        ..options(folder.path())
    };
    let mut recorder = Recorder::open(options).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut start = start("one");
    start.clients.clients = (0..1_000)
        .map(|_| crate::history::KnownClient {
            address: std::net::IpAddr::from(random.u32(..).to_be_bytes()).into(),
            met: START,
            connected_ms: random.u64(..1_000_000),
            last_seen: START,
            acted_at: None,
        })
        .collect();
    recorder.begin(at(0), start).unwrap();
    assert!(fs::metadata(&segments(folder.path())[0]).unwrap().len() > 5_000);
    record(&mut recorder, [1, 2]);
    assert!(!recorder.is_between_segments(at(3)));
}

/// A replay sees what the canary felt, and knows its session, by pseudonyms too.
#[test]
fn visits_are_recorded_and_the_canarys_session_is_known_again() {
    let peer = Peer("198.51.100.7:4000".parse().ok());
    let sessions = r#"{"id": 1, "result": [[3, "T8", "198.51.100.7:4000", "a", "1.4", 0, 0, 0, 0, 0, 0, 0, 0, 0, 5], [4, "T8", "198.51.100.7:4001", "a", "1.4", 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]]}"#;
    for key in [None, Some(Key::generate().unwrap())] {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::open(options(folder.path())).unwrap();
        if let Some(key) = &key {
            recorder = recorder.hiding(key);
        }
        recorder.begin(at(0), start("one")).unwrap();
        let visit = Visit {
            at: at(1),
            felt: Err(Unserved::Closed),
        };
        let snapshot = Snapshot {
            visits: Visits {
                made: vec![visit.clone()],
                sockets: vec![peer],
            },
            ..Snapshot::default()
        };
        let mut tape = Tape::default();
        tape.hear("getinfo", GETINFO.as_bytes());
        tape.hear("sessions", sessions.as_bytes());
        recorder.record(&turn(&snapshot, &[]), Some(&tape)).unwrap();
        recorder.finish().unwrap();
        let mut ticks = Recording::open(&[folder.path().to_owned()]).unwrap().play();
        let tick = ticks.find_map(|item| match item.unwrap() {
            Item::Tick(tick) => Some(tick),
            _ => None,
        });
        let tick = tick.unwrap();
        assert_eq!(tick.failure, None);
        assert_eq!(tick.snapshot.visits.made, [visit]);
        assert_eq!(tick.snapshot.visits.sockets[0] == peer, key.is_none());
        let clients: Vec<bool> = tick
            .snapshot
            .sessions
            .flags
            .iter()
            .map(|it| it.is_client())
            .collect();
        assert_eq!(clients, [false, true]);
    }
}
