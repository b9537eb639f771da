//! A network namespace of the test's own, whose loopback bears public-looking addresses.
//!
//! No packet leaves it: there is no other interface. Servers, clients and the daemon are made by closures that run
//! `within`; sockets and processes made there stay there, and work from any thread afterwards.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::python::{Release, run};

const REMEDY: &str =
    "install iproute2 and run the tests as root, or where CAP_SYS_ADMIN is granted";

/// The namespace; it goes when this value and every process within have gone.
#[derive(Debug)]
pub(crate) struct Netns(File);

impl Netns {
    /// A namespace whose loopback is up and has `addresses` besides its own.
    pub(crate) fn with(addresses: &[IpAddr]) -> Self {
        Self::set_up(|ip| {
            for address in addresses {
                ip(&["address", "add", &address.to_string(), "dev", "lo"]);
            }
        })
    }

    /// A namespace in which every address of these subnets is loopback's, without being listed as the machine's own.
    pub(crate) fn spanning(subnets: &[&str]) -> Self {
        Self::set_up(|ip| {
            for subnet in subnets {
                ip(&["route", "add", "local", subnet, "dev", "lo"]);
            }
        })
    }

    /// `more` is given what runs `ip` in the namespace.
    fn set_up(more: impl FnOnce(&dyn Fn(&[&str]))) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Nothing can be fetched from within: whatever is missing is put in place before.
        for release in Release::ALL {
            release.environment();
        }
        let name = format!(
            "warden-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let ip = |args: &[&str]| run(Command::new("ip").args(args), REMEDY);
        ip(&["netns", "add", &name]);
        let file = File::open(format!("/run/netns/{name}"));
        let ip_within = |args: &[&str]| drop(ip(&[&["-n", &name], args].concat()));
        ip_within(&["link", "set", "lo", "up"]);
        more(&ip_within);
        // The open file keeps the namespace; without a name nothing is left behind if the test is killed.
        ip(&["netns", "delete", &name]);
        Self(file.expect("open the namespace"))
    }

    /// Connects it with another by a pair of interfaces, each with an address and its subnet.
    pub(crate) fn connect(&self, address: &str, other: &Self, others_address: &str) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let [name, peer] = ["near", "far"].map(|end| format!("{end}{count}"));
        let there = format!("/proc/{}/fd/{}", std::process::id(), other.0.as_raw_fd());
        let ip = |args: &[&str]| drop(run(Command::new("ip").args(args), REMEDY));
        let set_up = |name: &str, address: &str| {
            ip(&["address", "add", address, "dev", name]);
            ip(&["link", "set", name, "up"]);
        };
        self.within(|| {
            ip(&[
                "link", "add", &name, "type", "veth", "peer", &peer, "netns", &there,
            ]);
            set_up(&name, address);
        });
        other.within(|| set_up(&peer, others_address));
    }

    /// Runs `make` in the namespace and gives what it made.
    pub(crate) fn within<T: Send>(&self, make: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("enter the namespace");
                make()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// In this thread's namespace a connection is tried with one SYN, so that one that is dropped is over in a second.
pub(crate) fn one_syn() {
    std::fs::write("/proc/sys/net/ipv4/tcp_syn_retries", "1").expect("set the kernel's retries");
}
