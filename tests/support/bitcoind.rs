//! A real bitcoind on regtest, with a wallet, mining and peers.
//!
//! It comes from Debian's archive, of a newer suite than the machine's own.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::chain::hex;
use super::debian::Package;
use super::port::Port;
use super::process::Tied;
use super::python::run;
use super::wait;

const PACKAGE: Package = Package {
    name: "bitcoin-knots",
    suite: "forky",
    folder: "bitcoind",
};

const USER: &str = "user";
const PASSWORD: &str = "secret";

/// The daemon; killed when dropped.
#[derive(Debug)]
pub(crate) struct Bitcoind {
    process: Tied,
    place: Place,
    /// Where it mines to.
    address: String,
}

/// What stays when it is stopped.
#[derive(Debug)]
struct Place {
    options: Vec<String>,
    user: String,
    password: String,
    rpc: Port,
    peers: Port,
    dir: TempDir,
}

impl Bitcoind {
    /// Starts a daemon with an empty regtest chain, a transaction index and a wallet.
    pub(crate) fn start() -> Self {
        Self::start_with(&["-txindex=1"])
    }

    /// The same with other options.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        Self::start_for(USER, PASSWORD, options)
    }

    /// The same for another user.
    pub(crate) fn start_for(user: &str, password: &str, options: &[&str]) -> Self {
        let mut daemon = Self::launch_for(user, password, options);
        daemon.wait_to_answer();
        daemon.cli(&["createwallet", "tests"]);
        daemon.address = daemon.cli(&["getnewaddress"]);
        daemon
    }

    /// Starts a daemon without a wallet, and does not wait until it answers.
    pub(crate) fn launch(options: &[&str]) -> Self {
        Self::launch_for(USER, PASSWORD, options)
    }

    fn launch_for(user: &str, password: &str, options: &[&str]) -> Self {
        let place = Place {
            options: options.iter().map(|&option| option.to_owned()).collect(),
            user: user.to_owned(),
            password: password.to_owned(),
            rpc: Port::take(),
            peers: Port::take(),
            dir: tempfile::tempdir().expect("a temporary folder"),
        };
        Self {
            process: place.spawn(&[]),
            place,
            address: String::new(),
        }
    }

    /// Waits until it answers.
    pub(crate) fn wait_to_answer(&mut self) {
        wait::until("bitcoind to answer", Duration::from_secs(30), || {
            assert!(
                !self.process.ended(),
                "bitcoind ended:\n{}",
                self.process.log()
            );
            self.command(&["getblockcount"])
                .output()
                .is_ok_and(|o| o.status.success())
                .then_some(())
        });
    }

    /// Stops it in good order.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        wait::until("bitcoind to end", Duration::from_secs(30), || {
            self.process.ended().then_some(())
        });
    }

    /// Starts it again where it was stopped, without peers, and does not wait until it answers.
    pub(crate) fn launch_again(&mut self) {
        self.launch_again_with(&[]);
    }

    /// The same, this time with more options.
    pub(crate) fn launch_again_with(&mut self, more: &[&str]) {
        self.process = self.place.spawn(more);
    }

    /// The password from the next start on.
    pub(crate) fn set_password(&mut self, password: &str) {
        password.clone_into(&mut self.place.password);
    }

    /// Connects it to another, and waits until that is a peer.
    pub(crate) fn join(&self, other: &Self) {
        for daemon in [self, other] {
            daemon.cli(&["setnetworkactive", "true"]);
        }
        let before = other.peers();
        let address = format!("127.0.0.1:{}", other.place.peers.number());
        self.cli(&["addnode", &address, "onetry"]);
        wait::until("the daemons to be peers", Duration::from_secs(20), || {
            (self.peers() > 0 && other.peers() > before).then_some(())
        });
    }

    /// Cuts it off from its peers.
    pub(crate) fn part(&self) {
        self.cli(&["setnetworkactive", "false"]);
        wait::until("the daemon to be alone", Duration::from_secs(20), || {
            (self.peers() == 0).then_some(())
        });
    }

    fn peers(&self) -> u32 {
        let count = self.cli(&["getconnectioncount"]);
        count.parse().expect("a number of peers")
    }

    /// How many times `text` is in what it has said, over all starts.
    pub(crate) fn said(&self, text: &str) -> usize {
        self.process.log().matches(text).count()
    }

    /// Waits until it has every block up to a height.
    pub(crate) fn wait_for_height(&self, height: u32) {
        wait::until("the daemon's height", Duration::from_secs(20), || {
            (self.height() == height).then_some(())
        });
    }

    /// Sends it a signal: `TERM`, `STOP`, `CONT`.
    pub(crate) fn signal(&mut self, name: &str) {
        self.process.signal(name);
    }

    /// Gives it the other's block at a height.
    pub(crate) fn take_block(&self, other: &Self, height: u32) {
        let hash = other.cli(&["getblockhash", &height.to_string()]);
        self.cli(&["submitblock", &other.cli(&["getblock", &hash, "0"])]);
    }

    /// The URL for `DAEMON_URL`, credentials included.
    pub(crate) fn url(&self) -> String {
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let (user, password) = (encoded(&self.place.user), encoded(&self.place.password));
        format!("http://{user}:{password}@{}", self.shown())
    }

    /// Host and port.
    pub(crate) fn shown(&self) -> String {
        format!("127.0.0.1:{}", self.place.rpc.number())
    }

    /// Mines `count` blocks to the wallet.
    pub(crate) fn mine(&self, count: u32) {
        self.cli(&["generatetoaddress", &count.to_string(), &self.address]);
    }

    pub(crate) fn height(&self) -> u32 {
        self.cli(&["getblockcount"]).parse().expect("a height")
    }

    /// Runs bitcoin-cli and gives what it printed.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        run(&mut self.command(args), "see what bitcoin-cli says")
            .trim()
            .to_owned()
    }

    /// Runs bitcoin-cli, whatever comes of it.
    pub(crate) fn try_cli(&self, args: &[&str]) {
        let _ = self.command(args).output();
    }

    fn command(&self, args: &[&str]) -> Command {
        let (loader, first) = program("bitcoin-cli");
        let mut command = Command::new(loader);
        command
            .args(first)
            .args(self.place.common_options())
            .arg(format!("-rpcuser={}", self.place.user))
            .arg(format!("-rpcpassword={}", self.place.password))
            .args(args);
        command
    }
}

impl Place {
    fn spawn(&self, more: &[&str]) -> Tied {
        let (loader, mut args) = program("bitcoind");
        args.extend(self.common_options());
        args.push(format!("-rpcauth={}", rpcauth(&self.user, &self.password)));
        args.push(format!("-bind=127.0.0.1:{}", self.peers.number()));
        // Nobody is a peer who was not told to be.
        args.extend(["-listen=1", "-listenonion=0", "-connect=0", "-dnsseed=0"].map(str::to_owned));
        args.push("-fallbackfee=0.0001".to_owned());
        args.extend_from_slice(&self.options);
        args.extend(more.iter().map(|&option| option.to_owned()));
        Tied::start(&loader, args, &self.dir.path().join("bitcoind.log"), |_| {})
    }

    fn common_options(&self) -> [String; 3] {
        [
            "-regtest".to_owned(),
            format!("-datadir={}", self.dir.path().display()),
            format!("-rpcport={}", self.rpc.number()),
        ]
    }
}

/// User, salt and hash: unlike `rpcpassword` this allows for a colon.
fn rpcauth(user: &str, password: &str) -> String {
    const SALT: &str = "5a17";
    let padded = |filler: u8| {
        let mut block = [filler; 64];
        for (byte, salt) in block.iter_mut().zip(SALT.bytes()) {
            *byte ^= salt;
        }
        Sha256::new().chain_update(block)
    };
    let inner = padded(0x36).chain_update(password).finalize();
    let hash = padded(0x5c).chain_update(inner).finalize();
    format!("{user}:{SALT}${}", hex(&hash))
}

/// The loader and the arguments that make it run one of the package's programs.
fn program(name: &str) -> (PathBuf, Vec<String>) {
    PACKAGE.program(&format!("bin/{name}"))
}
