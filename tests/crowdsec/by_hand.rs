//! All of it: a person bans and unbans by the command line, and the bouncer follows the agent.

use std::fs;
use std::time::Duration;

use electrumx_warden::sim::{Pace, Release, Server, World};
use tokio::task::spawn_blocking;

use crate::support::crowdsec::{LAPI, Mode};
use crate::support::warden::{self, Agent, policies};
use crate::world::{EVIL, NEIGHBOUR, answers, until, until_kept_out, until_let_in, world};
use crate::{pulled, pushed};

/// An agent of a simulated server.
struct Watched {
    agent: Agent,
    _server: Server,
}

impl Watched {
    async fn by(ban: &str, secret: &str) -> Self {
        let simulated = World::empty(Release::V1_20_0, 1);
        let server = Server::start(simulated, Pace::Times(1.0)).await.unwrap();
        let env = [("SECRET", secret.to_owned())];
        let mut agent = Agent::start_with(server.addr().port(), &policies("ladder"), ban, &env);
        agent.wait_to_say("watching", 1);
        Self {
            agent,
            _server: server,
        }
    }

    /// Runs a command until it succeeds: a ban does not before the first poll has. It runs beside the simulated server,
    /// which must answer meanwhile.
    async fn does(&self, command: &[&str]) {
        let config = self.agent.path("warden.toml").display().to_string();
        let args = [command, &["--config", &config]].concat();
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        until(&args.join(" "), async || {
            let args = args.clone();
            let ran = spawn_blocking(move || {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                warden::run(&args)
            });
            ran.await.unwrap().code == Some(0)
        })
        .await;
    }

    fn ends(mut self, secret: &str) {
        assert_eq!(self.agent.terminate(Duration::from_secs(5)), 0);
        for (name, bytes) in self.agent.written() {
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(secret), "{name}: {text}");
        }
    }
}

#[test]
fn whoever_is_banned_is_kept_out_by_a_bouncer_that_pulls() {
    world(async |programs| {
        let listen = pulled::LISTEN;
        let ban = format!(
            "[ban]\nsinks = [\"decisions\"]\n[ban.decisions]\nlisten = \"{listen}\"\nkey = {{ env = \"SECRET\" }}\n"
        );
        let mut watched = Watched::by(&ban, pulled::KEY).await;
        let _bouncer = pulled::bouncer(programs, Mode::Nftables);
        watched.does(&["ban", EVIL, "--for", "1h"]).await;
        until_kept_out(EVIL).await;
        assert!(answers(NEIGHBOUR).await);
        watched.does(&["ban", NEIGHBOUR, "--for", "1h"]).await;
        until_kept_out(NEIGHBOUR).await;
        watched.agent.kill();
        assert!(!answers(EVIL).await, "the kernel goes on");
        // Somebody protects one of them meanwhile.
        let config = watched.agent.path("warden.toml");
        let text = fs::read_to_string(&config).unwrap();
        let protect = format!("[protect]\naddresses = [\"{NEIGHBOUR}\"]\n");
        fs::write(&config, text + &protect).unwrap();
        watched.agent.start_again();
        until_let_in(NEIGHBOUR).await;
        // The bouncer takes out what it may have, and puts in what it is told.
        until_kept_out(EVIL).await;
        watched.does(&["unban", EVIL]).await;
        until_let_in(EVIL).await;
        watched.ends(pulled::KEY);
    });
}

#[test]
fn whoever_is_banned_is_kept_out_by_the_local_api() {
    world(async |programs| {
        let lapi = pushed::lapi(programs);
        let machine = pushed::MACHINE;
        let ban = format!(
            "[ban]\nsinks = [\"crowdsec\"]\n[ban.crowdsec]\nurl = \"http://{LAPI}\"\nmachine = \"{machine}\"\n\
             password = {{ env = \"SECRET\" }}\n"
        );
        let mut watched = Watched::by(&ban, pushed::PASSWORD).await;
        let _bouncer = pushed::bouncer(programs, Mode::Nftables);
        watched.does(&["ban", EVIL, "--for", "1h"]).await;
        until_kept_out(EVIL).await;
        assert!(answers(NEIGHBOUR).await);
        let ours = format!("electrumx-warden electrumx-warden/by-hand {EVIL}");
        assert_eq!(pushed::listed(&lapi), [ours]);
        // In dry-run nobody is kept out.
        watched.agent.kill();
        let config = watched.agent.path("warden.toml");
        let text = fs::read_to_string(&config).unwrap();
        let text = text.replace("mode = \"enforce\"", "mode = \"dry-run\"");
        fs::write(&config, text).unwrap();
        watched.agent.start_again();
        until_let_in(EVIL).await;
        assert!(pushed::listed(&lapi).is_empty());
        watched.ends(pushed::PASSWORD);
    });
}
