//! The real `CrowdSec` of Debian 12: its local API and its bouncer for firewalls. Nothing of it leaves the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::debian::Package;
use super::nft::{Nft, executable};
use super::process::Tied;
use super::python::run;
use super::wait;

const fn bookworm(name: &'static str, folder: &'static str) -> Package {
    Package {
        name,
        suite: "bookworm",
        folder,
    }
}

/// Version 1.4.6.
const CROWDSEC: Package = bookworm("crowdsec", "crowdsec/1.4.6");
/// Version 0.0.25.
const BOUNCER: Package = bookworm("crowdsec-firewall-bouncer", "crowdsec/bouncer-0.0.25");
const IPTABLES: Package = bookworm("iptables", "crowdsec/iptables");
const IPSET: Package = bookworm("ipset", "crowdsec/ipset");

const REMEDY: &str = "see what it says";

/// The programs, in a folder of the test's own. To be made outside any namespace.
#[derive(Debug)]
pub(crate) struct Programs(TempDir);

impl Programs {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let make = |name: &str, script: String| drop(executable(folder.path(), name, &script));
        make("nft", Nft::Bookworm.script());
        for (name, package, program) in [
            ("crowdsec", CROWDSEC, "bin/crowdsec"),
            ("cscli", CROWDSEC, "bin/cscli"),
            (
                "crowdsec-firewall-bouncer",
                BOUNCER,
                "bin/crowdsec-firewall-bouncer",
            ),
            ("ipset", IPSET, "sbin/ipset"),
        ] {
            make(name, script(&package, program, ""));
        }
        let plugins = IPTABLES.file("lib/x86_64-linux-gnu/xtables");
        for name in ["iptables", "ip6tables"] {
            let script = script(&IPTABLES, "sbin/xtables-nft-multi", name);
            let plugins = plugins.display();
            make(name, format!("export XTABLES_LIBDIR={plugins}\n{script}"));
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs one of them to its end.
    pub(crate) fn run(&self, name: &str, args: &[&str]) -> String {
        run(Command::new(self.path(name)).args(args), REMEDY)
    }
}

fn script(package: &Package, program: &str, more: &str) -> String {
    let (loader, args) = package.program(program);
    format!("exec {} {} {more} \"$@\"", loader.display(), args.join(" "))
}

/// Bans by hand and by others, in a database of its own.
#[derive(Debug)]
pub(crate) struct Lapi<'p> {
    programs: &'p Programs,
    folder: TempDir,
    process: Option<Tied>,
}

/// Where it listens, in a namespace of the test's own.
pub(crate) const LAPI: &str = "127.0.0.1:8080";

impl<'p> Lapi<'p> {
    /// With an empty database.
    pub(crate) fn start(programs: &'p Programs) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path();
        for name in ["data", "hub", "notifications"] {
            fs::create_dir(dir.join(name)).expect("make a folder");
        }
        let root = CROWDSEC.file("../etc/crowdsec");
        for name in ["profiles.yaml", "simulation.yaml"] {
            fs::copy(root.join(name), dir.join(name)).expect("copy its own configuration");
        }
        fs::write(dir.join("hub/.index.json"), "{}").expect("write an empty index");
        fs::write(dir.join("client.yaml"), "").expect("write no credentials");
        fs::write(dir.join("config.yaml"), config(dir)).expect("write its configuration");
        let mut lapi = Self {
            programs,
            folder,
            process: None,
        };
        lapi.go_on();
        lapi
    }

    /// Starts it again.
    pub(crate) fn go_on(&mut self) {
        // The command line logs in as a machine, too.
        let client = self.folder.path().join("client.yaml");
        let client = client.to_str().expect("a path in UTF-8");
        let url = format!("http://{LAPI}/");
        let machine = ["cscli", "--force", "-p", "own", "-u", &url, "-f", client];
        self.cscli(&[&["machines", "add"][..], &machine].concat());
        let dir = self.folder.path();
        let args = ["-c".into(), dir.join("config.yaml"), "-no-cs".into()];
        let crowdsec = self.programs.path("crowdsec");
        self.process = Some(Tied::start(&crowdsec, args, &dir.join("log"), |_| {}));
        wait::until("the local API", Duration::from_secs(20), || {
            std::net::TcpStream::connect(LAPI).ok()
        });
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// Its database.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("data/crowdsec.db")
    }

    /// Runs its command line, with JSON as output.
    pub(crate) fn cscli(&self, args: &[&str]) -> String {
        let config = self.folder.path().join("config.yaml");
        let config = config.to_str().expect("a path in UTF-8");
        let args = [&["-c", config, "-o", "json"], args].concat();
        self.programs.run("cscli", &args)
    }

    /// Lets a machine log in.
    pub(crate) fn add_machine(&self, name: &str, password: &str) {
        self.cscli(&["machines", "add", name, "-p", password, "-f", "/dev/null"]);
    }

    /// Lets a bouncer pull.
    pub(crate) fn add_bouncer(&self, name: &str, key: &str) {
        self.cscli(&["bouncers", "add", name, "-k", key]);
    }
}

fn config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "common: {{daemonize: false, log_media: stdout, log_level: info, working_dir: .}}\n\
         config_paths: {{config_dir: {dir}/, data_dir: {dir}/data/, hub_dir: {dir}/hub/, \
           index_path: {dir}/hub/.index.json, simulation_path: {dir}/simulation.yaml, \
           notification_dir: {dir}/notifications/, plugin_dir: {dir}/}}\n\
         cscli: {{output: human}}\n\
         db_config: {{type: sqlite, db_path: {dir}/data/crowdsec.db, use_wal: false}}\n\
         plugin_config: {{user: nobody, group: nogroup}}\n\
         api:\n  client: {{credentials_path: {dir}/client.yaml}}\n  \
           server: {{enable: true, log_level: info, listen_uri: '{LAPI}', profiles_path: {dir}/profiles.yaml}}\n\
         prometheus: {{enabled: false}}\n"
    )
}

/// How the bouncer drops packets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Nftables,
    Iptables,
}

/// The bouncer, which pulls every second.
#[derive(Debug)]
pub(crate) struct Bouncer {
    process: Tied,
    _folder: TempDir,
}

impl Bouncer {
    pub(crate) fn start(programs: &Programs, mode: Mode, url: &str, key: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = match mode {
            Mode::Nftables => "nftables",
            Mode::Iptables => "iptables",
        };
        let dir = folder.path().display();
        let config = format!(
            "mode: {name}\npid_dir: {dir}\nupdate_frequency: 1s\ndaemonize: false\nlog_mode: stdout\nlog_level: debug\n\
             api_url: {url}\napi_key: {key}\ndisable_ipv6: false\ndeny_action: DROP\ndeny_log: false\n\
             supported_decisions_types: [ban]\nblacklists_ipv4: crowdsec-blacklists\n\
             blacklists_ipv6: crowdsec6-blacklists\nipset_type: nethash\niptables_chains: [INPUT]\n\
             nftables:\n  ipv4: {{enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain}}\n  \
             ipv6: {{enabled: true, set-only: false, table: crowdsec6, chain: crowdsec6-chain}}\n\
             prometheus: {{enabled: false}}\n"
        );
        let path = folder.path().join("config.yaml");
        fs::write(&path, config).expect("write its configuration");
        let program = programs.path("crowdsec-firewall-bouncer");
        let paths = std::env::var("PATH").expect("a path");
        let paths = format!("{}:{paths}", programs.0.path().display());
        let args = [Path::new("-c"), &path];
        let process = Tied::start(&program, args, &folder.path().join("log"), |command| {
            command.env("PATH", paths);
        });
        Self {
            process,
            _folder: folder,
        }
    }

    /// Everything it has said.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}
