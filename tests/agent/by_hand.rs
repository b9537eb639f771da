//! What people ask of the agent between two polls.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use electrumx_warden::control::{
    AskError, BanRow, BannedAnswer, BansAnswer, Control, LiftedAnswer, Network, Request, ask_for,
};
use electrumx_warden::journal::{Event, EventFilter, Journal};
use electrumx_warden::policy::Mode;
use electrumx_warden::sim::Release;
use electrumx_warden::sink::{Changes, Desired, Sink, Sinks};
use electrumx_warden::time::Timestamp;
use ipnet::IpNet;
use serde::de::DeserializeOwned;

use crate::scene::{Scene, SimClock, evil, policy};

/// A scene whose agent can be asked.
async fn scene(mode: Mode) -> (Scene, PathBuf) {
    let mut scene = Scene::new(Release::V1_20_0, evil()).await;
    scene.settings.mode = mode;
    let socket = listen(&mut scene);
    (scene, socket)
}

/// From now on the scene's agent can be asked.
pub(crate) fn listen(scene: &mut Scene) -> PathBuf {
    let socket = scene.folder.path().join("sock");
    let control = Control::listen(&socket).unwrap();
    scene.agent().answer_over(control);
    socket
}

/// The agent's answer to a client of another thread.
pub(crate) async fn said<T>(
    scene: &mut Scene,
    socket: &Path,
    request: Request,
) -> Result<T, AskError>
where
    T: DeserializeOwned + Send + 'static,
{
    let socket = socket.to_owned();
    let client = tokio::task::spawn_blocking(move || ask_for(&socket, &request));
    scene.agent().answer_next().await;
    client.await.unwrap()
}

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn ban(text: &str) -> Request {
    Request::Ban {
        net: network(text),
        for_s: 3_600,
        reason: "scans".into(),
        regulars_too: false,
    }
}

fn unban(text: &str) -> Request {
    Request::Unban {
        net: Some(network(text)),
        policy: None,
        all: false,
    }
}

/// A sink that keeps out what it is told to.
#[derive(Clone, Default)]
struct Wall(Arc<Mutex<BTreeSet<IpNet>>>);

impl Sink for Wall {
    const NAME: &'static str = "wall";

    async fn apply(&mut self, changes: &Changes, _: Timestamp) -> Result<(), String> {
        let mut wall = self.0.lock().unwrap();
        for net in &changes.lifted {
            wall.remove(net);
        }
        wall.extend(changes.held.iter().map(|(net, _)| *net));
        Ok(())
    }

    async fn reconcile(
        &mut self,
        desired: &Desired,
        _: Timestamp,
    ) -> Result<Option<String>, String> {
        *self.0.lock().unwrap() = desired.keys().copied().collect();
        Ok(None)
    }
}

impl Wall {
    /// Waits until these are kept out, and nobody else.
    async fn keeps_out(&self, nets: &[&str]) {
        let nets: BTreeSet<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
        for _ in 0..1_000 {
            if *self.0.lock().unwrap() == nets {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{:?}", self.0.lock().unwrap());
    }
}

#[tokio::test]
async fn a_ban_takes_hold_everywhere_without_a_poll_and_so_does_its_end() {
    let (mut scene, socket) = scene(Mode::Enforce).await;
    let wall = Wall::default();
    let mut sinks = Sinks::default();
    sinks.add(wall.clone(), SimClock(Arc::clone(&scene.server)));
    scene.agent().keep_out_by(sinks);
    let key = scene.client("good/1", 7);
    scene.good_poll().await;
    let banned: BannedAnswer = said(&mut scene, &socket, ban("198.51.100.0/30"))
        .await
        .unwrap();
    assert_eq!(banned.ban.holes, []);
    wall.keeps_out(&["198.51.100.0/30"]).await;
    let banned: BannedAnswer = said(&mut scene, &socket, ban("198.51.100.7"))
        .await
        .unwrap();
    assert_eq!(banned.ban.net.to_string(), "198.51.100.7/32");
    wall.keeps_out(&["198.51.100.0/30", "198.51.100.7/32"])
        .await;
    assert!(scene.is_open(key));
    scene.good_poll().await;
    assert!(!scene.is_open(key));
    let lifted: LiftedAnswer = said(&mut scene, &socket, unban("198.51.100.1"))
        .await
        .unwrap();
    assert_eq!((lifted.bans, lifted.holed.len()), (0, 1));
    wall.keeps_out(&["198.51.100.0/32", "198.51.100.2/31", "198.51.100.7/32"])
        .await;
    let all = Request::Unban {
        net: None,
        policy: None,
        all: true,
    };
    let lifted: LiftedAnswer = said(&mut scene, &socket, all).await.unwrap();
    assert_eq!(lifted.bans, 2);
    wall.keeps_out(&[]).await;
    // The next run begins with nobody banned.
    scene.kill_agent();
    let journal = Journal::open_read_only(&scene.journal()).unwrap();
    assert_eq!(journal.load_state().unwrap().penalties.bans, []);
    let events = journal.events(&EventFilter::default()).unwrap();
    assert_eq!(events.len(), 4, "{events:#?}");
}

#[tokio::test]
async fn what_cannot_be_journalled_is_not_done() {
    let (mut scene, socket) = scene(Mode::Enforce).await;
    let key = scene.client("good/1", 7);
    scene.good_poll().await;
    std::fs::rename(scene.journal(), scene.folder.path().join("elsewhere")).unwrap();
    for wanted in ["nothing is done", "so nothing is done: see the log"] {
        let refused = said::<BannedAnswer>(&mut scene, &socket, ban("198.51.100.7")).await;
        let Err(AskError::Refused(why)) = refused else {
            panic!("{refused:?}");
        };
        assert!(why.contains(wanted), "{why}");
    }
    scene.poll().await;
    assert!(scene.is_open(key));
    assert!(scene.agent().warden().penalties().bans.is_empty());
}

#[tokio::test]
async fn dry_run_says_what_to_do() {
    let (mut scene, socket) = scene(Mode::DryRun).await;
    scene.good_poll().await;
    let refused = said::<BannedAnswer>(&mut scene, &socket, ban("198.51.100.7")).await;
    let Err(AskError::Refused(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("set `mode = \"enforce\"`"), "{why}");
    let journal = Journal::open_read_only(&scene.journal()).unwrap();
    assert_eq!(journal.events(&EventFilter::default()).unwrap(), []);
}

#[tokio::test]
async fn who_would_be_banned_is_told_apart() {
    let ban = "{ ban = { for = \"10m\" } }";
    let evil = policy("evil", "session", "{ client = \"=~ ^evil\" }", ban, "");
    let mut scene = Scene::new(Release::V1_20_0, evil).await;
    scene.settings.mode = Mode::DryRun;
    let socket = listen(&mut scene);
    scene.client("evil/1", 7);
    scene.good_poll().await;
    scene.good_poll().await;
    let bans = |would_be| Request::Bans {
        limit: None,
        after: None,
        would_be,
    };
    let real: BansAnswer = said(&mut scene, &socket, bans(false)).await.unwrap();
    assert_eq!((real.total, real.would_be, real.bans.len()), (0, 1, 0));
    let would_be: BansAnswer = said(&mut scene, &socket, bans(true)).await.unwrap();
    assert_eq!(would_be.bans.len(), 1);
    assert_eq!(would_be.bans[0].ban.net, "198.51.100.7/32".parse().unwrap());
}

#[tokio::test]
async fn long_lists_come_in_pages_and_long_reasons_not_at_all() {
    let (mut scene, socket) = scene(Mode::Enforce).await;
    scene.good_poll().await;
    for host in 0..20 {
        let request = ban(&format!("203.0.113.{host}"));
        said::<BannedAnswer>(&mut scene, &socket, request)
            .await
            .unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let request = Request::Bans {
            limit: Some(7),
            after,
            would_be: false,
        };
        let page: BansAnswer = said(&mut scene, &socket, request).await.unwrap();
        assert_eq!(page.total, 20);
        seen.extend(page.bans.into_iter().map(|BanRow { ban, .. }| ban.net));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let distinct: BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (20, 20));
    let long = Request::Ban {
        net: network("203.0.113.99"),
        for_s: 60,
        reason: "x".repeat(201),
        regulars_too: false,
    };
    let refused = said::<BannedAnswer>(&mut scene, &socket, long).await;
    assert!(matches!(refused, Err(AskError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_pardon_is_journalled_and_lasts() {
    let (mut scene, socket) = scene(Mode::Enforce).await;
    scene.client("evil/1", 7);
    scene.good_poll().await;
    let net: IpNet = "198.51.100.7/32".parse().unwrap();
    let has_strikes = |scene: &Scene| {
        let journal = Journal::open_read_only(&scene.journal()).unwrap();
        let state = journal.load_state().unwrap();
        state.penalties.offenders.iter().any(|it| it.net == net)
    };
    assert!(has_strikes(&scene));
    let pardon = Request::Pardon { net: Network(net) };
    let answer: serde_json::Value = said(&mut scene, &socket, pardon).await.unwrap();
    assert_eq!(
        (&answer["offenders"], &answer["clients"]),
        (&1.into(), &1.into())
    );
    assert!(!has_strikes(&scene));
    let journal = Journal::open_read_only(&scene.journal()).unwrap();
    let events = journal.events(&EventFilter::default()).unwrap();
    assert!(matches!(&events[0].event, Event::Pardoned { net: of, .. } if *of == net));
    scene.kill_agent();
    scene.good_poll().await;
    let clients = scene.agent().warden().saved_clients().clients;
    assert!(clients.iter().all(|client| client.acted_at.is_none()));
}
