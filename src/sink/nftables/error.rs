//! Errors of the sink, each with its remedy.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::escape;
use crate::redact::redact;

/// Grants what `nft` needs.
const DROP_IN: &str = "examples/electrumx-warden.service.d/nftables.conf";

/// Why the table could not be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum NftablesError {
    /// There is no program.
    #[error("`nft` is neither in `PATH` nor in /usr/sbin: install the package nftables")]
    NotInstalled,
    /// The program cannot be started.
    #[error("cannot run `{}`: {error}; install the package nftables, or correct the path of `nft`", program.display())]
    Start {
        /// Its path.
        program: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The agent may not change the firewall.
    #[error(
        "no right to change the firewall: give the agent CAP_NET_ADMIN, as the drop-in {DROP_IN} does"
    )]
    NotPermitted,
    /// The kernel lacks `nf_tables`, or a sandbox forbids netlink.
    #[error(
        "the kernel does not answer `nft`: load its module nf_tables, and allow the agent AF_NETLINK, as the drop-in \
         {DROP_IN} does"
    )]
    NoKernelSupport,
    /// The program did not end in time and was killed.
    #[error("`nft` did not end within {} s and was killed", .0.as_secs_f64())]
    Deadline(Duration),
    /// The program printed more than this many bytes and was killed.
    #[error("`nft` printed more than {} MiB and was killed", .0 >> 20)]
    Flood(u64),
    /// The program failed for another reason: its own words, escaped and cut.
    #[error("`nft` failed: {0}")]
    Failed(String),
    /// The pipes to the program failed.
    #[error("the pipes to `nft` failed: {0}")]
    Io(#[from] io::Error),
    /// The program printed something other than a list of the table.
    #[error("cannot read the list that `nft` printed: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The sink does not know the table: it has just started, or a call failed.
    #[error("the state of the table is unknown: reconcile it first")]
    NotReconciled,
}

/// The longest error message of `nft` that is shown, in columns.
const WORDS_MAX: usize = 300;

impl NftablesError {
    /// From what the program printed on stderr before it failed.
    pub(super) fn from_words(stderr: &[u8]) -> Self {
        let words = String::from_utf8_lossy(stderr);
        let says = |text| words.contains(text);
        if says("Operation not permitted") {
            return Self::NotPermitted;
        }
        if says("Protocol not supported") || says("Address family not supported") {
            return Self::NoKernelSupport;
        }
        let lines = words.lines().map(str::trim).filter(|line| !line.is_empty());
        let lines: Vec<Cow<'_, str>> = lines.map(redact).collect();
        let words = match lines.join("; ") {
            silent if silent.is_empty() => "it printed no reason".to_owned(),
            words => escape::terminal(&words, WORDS_MAX).into_owned(),
        };
        Self::Failed(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let permission = || io::Error::from(io::ErrorKind::PermissionDenied);
        let all = [
            NftablesError::NotInstalled,
            NftablesError::Start {
                program: "/opt/nft".into(),
                error: permission(),
            },
            NftablesError::from_words(
                b"Operation not permitted (you must be root)\nnetlink: Error: ...",
            ),
            NftablesError::from_words(
                b"Unable to initialize Netlink socket: Protocol not supported",
            ),
            NftablesError::Deadline(Duration::from_millis(1_500)),
            NftablesError::Flood(4 << 20),
            NftablesError::from_words(
                b"internal:0:0-0: Error: Could not process rule: No such file or directory\n\n\n",
            ),
            NftablesError::from_words(b""),
            NftablesError::from_words(b"\x1b[31mu:p@h\xff"),
            NftablesError::NotReconciled,
        ];
        insta::assert_snapshot!(all.map(|error| error.to_string()).join("\n"));
    }

    #[test]
    fn words_are_bounded() {
        let long = NftablesError::from_words(&b"x".repeat(10_000)).to_string();
        assert!(long.chars().count() < WORDS_MAX + 20, "{long}");
    }
}
