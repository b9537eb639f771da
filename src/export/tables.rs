//! What is exported: every table, every column, what it means, and what of a poll goes into it.
//!
//! What a server's release does not tell is null, and so is what was not heard because the poll failed.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::Value;

use super::column::{Always, Column, Flag, Maybe, Printed, Real, Text, Thousandths, Time, Whole};
use super::table::table;
use crate::act::Carried;
use crate::daemon::{Failure, Report};
use crate::decision::{Outcome, Target};
use crate::history::SubnetWidths;
use crate::recording::{Act, Tick};
use crate::snapshot::{Generation, Snapshot, Transport};
use crate::time::Timestamp;
use crate::wire::Inspection;

table! {
    /// One row a session and poll, RPC connections included.
    // Polls of the same session resemble each other: side by side they take a third of the room.
    Sessions in "sessions" by id {
        /// The time of the poll
        polled_at: Always<Time>,
        /// The agent's connection that asked; counts up within one run of the agent
        epoch: Always<Whole>,
        /// The server's ID of the session; begins again when the server does
        id: Always<Whole>,
        /// `tcp`, `ssl`, `websocket`, `rpc` or `other`
        transport: Always<Text>,
        /// Whether it is being closed
        closing: Always<Flag>,
        /// Whether the server logs it
        logged: Always<Flag>,
        /// The client's address; null where the server does not know it
        ip: Maybe<Printed<IpAddr>>,
        /// The client's port
        port: Maybe<Whole>,
        /// The subnet that the address is in, as wide as the agent has it
        subnet: Maybe<Printed<IpNet>>,
        /// The name that the client gave; it may say anything
        client: Always<Text>,
        /// The protocol version; from `ElectrumX` 1.1 on
        protocol: Maybe<Text>,
        /// The cost that the server reckons; from 1.10.1 on
        cost: Maybe<Thousandths>,
        /// The cost of its group that it bears; from 1.10.1 on
        extra_cost: Maybe<Thousandths>,
        /// Requests not yet answered
        pending: Always<Whole>,
        /// Transactions broadcast since it connected
        txs_sent: Always<Whole>,
        /// Subscriptions
        subs: Always<Whole>,
        /// Messages received since it connected
        recv_count: Always<Whole>,
        /// Bytes received
        recv_size: Always<Whole>,
        /// Messages sent
        sent_count: Always<Whole>,
        /// Bytes sent
        sent_size: Always<Whole>,
        /// How long it has been connected; null where the server's clock was set back
        age_ms: Maybe<Whole>,
    }
}

impl Sessions {
    pub(super) fn push(&mut self, tick: &Tick, row: usize, widths: SubnetWidths) {
        let sessions = &tick.snapshot.sessions;
        let (flags, peer) = (sessions.flags[row], sessions.peer[row].0);
        let tells_cost = tells_cost(&tick.snapshot);
        let cost = |cost: f64| (tells_cost && !cost.is_nan()).then_some(cost);
        let protocol = sessions.names.get(sessions.protocol[row]);
        self.polled_at.push(tick.at);
        self.epoch.push(tick.epoch.0);
        self.id.push(sessions.id[row]);
        self.transport.push(transport(flags.transport));
        self.closing.push(flags.closing);
        self.logged.push(flags.logged);
        self.ip.push(peer.map(|peer| peer.ip()));
        self.port.push(peer.map(|peer| peer.port().into()));
        self.subnet.push(peer.map(|peer| subnet(peer.ip(), widths)));
        self.client.push(sessions.names.get(sessions.client[row]));
        self.protocol
            .push((!protocol.is_empty()).then_some(protocol));
        self.cost.push(cost(sessions.cost[row]));
        self.extra_cost.push(cost(sessions.extra_cost[row]));
        self.pending.push(sessions.pending_requests[row]);
        self.txs_sent.push(sessions.txs_sent[row]);
        self.subs.push(sessions.subs[row]);
        self.recv_count.push(sessions.recv_count[row]);
        self.recv_size.push(sessions.recv_size[row]);
        self.sent_count.push(sessions.sent_count[row]);
        self.sent_size.push(sessions.sent_size[row]);
        self.age_ms.push(millis(sessions.age_s[row]));
    }
}

fn tells_cost(snapshot: &Snapshot) -> bool {
    snapshot.sessions.generation == Some(Generation::Cost)
}

const fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Ssl => "ssl",
        Transport::Websocket => "websocket",
        Transport::Rpc => "rpc",
        Transport::Canary => "canary",
        Transport::Other => "other",
    }
}

fn subnet(address: IpAddr, widths: SubnetWidths) -> IpNet {
    match address {
        IpAddr::V4(v4) => Ipv4Net::new_assert(v4, widths.v4.min(32)).trunc().into(),
        IpAddr::V6(v6) => Ipv6Net::new_assert(v6, widths.v6.min(128)).trunc().into(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the decoder lets nothing negative through, and what is too large saturates"
)]
fn millis(age_s: f64) -> Option<u64> {
    (!age_s.is_nan()).then_some((age_s * 1_000.0).round() as u64)
}

table! {
    /// One row a poll, whether it succeeded or not.
    Polls in "polls" {
        /// The time of the poll
        polled_at: Always<Time>,
        /// The agent's connection that asked
        epoch: Always<Whole>,
        /// The agent's mode in force: `off`, `dry-run` or `enforce`
        mode: Always<Text>,
        /// Why the poll failed; null if it did not. If it did, all that the server tells is null
        failure: Maybe<Text>,
        /// How long `getinfo` took
        getinfo_ms: Maybe<Whole>,
        /// How long `sessions` took
        sessions_ms: Maybe<Whole>,
        /// The server's version
        version: Maybe<Text>,
        /// The server's class of the coin
        coin: Maybe<Text>,
        /// Host and port of the daemon in use
        daemon: Maybe<Text>,
        /// The daemon's height, as the server has it
        daemon_height: Maybe<Whole>,
        /// The index's height
        db_height: Maybe<Whole>,
        /// Sessions connected, RPC connections included
        sessions: Maybe<Whole>,
        /// Errors of the sessions connected: it falls when one leaves
        errors: Maybe<Whole>,
        /// Sessions that are logged
        logged: Maybe<Whole>,
        /// Requests not yet answered
        pending: Maybe<Whole>,
        /// Subscriptions
        subs: Maybe<Whole>,
        /// Transactions broadcast since the server started
        txs_sent: Maybe<Whole>,
        /// Groups that the server has
        groups: Maybe<Whole>,
        /// The server's process
        pid: Maybe<Whole>,
        /// How long the server has run, rounded down
        uptime_s: Maybe<Whole>,
        /// Rows of `acts` of this poll
        acts: Always<Whole>,
        /// Rows of `decisions` of this poll; null without `--policies`
        decisions: Maybe<Whole>,
    }
}

impl Polls {
    pub(super) fn push(&mut self, tick: &Tick, decisions: Option<usize>) {
        let heard = tick.failure.is_none().then_some(&tick.snapshot);
        let server = heard.map(|snapshot| &snapshot.server);
        let took = |span: crate::snapshot::Span| {
            u64::try_from(span.took().as_millis()).unwrap_or(u64::MAX)
        };
        self.polled_at.push(tick.at);
        self.epoch.push(tick.epoch.0);
        self.mode.push(&tick.mode.to_string());
        self.failure.push(tick.failure.as_deref());
        self.getinfo_ms.push(heard.map(|it| took(it.server_read)));
        self.sessions_ms
            .push(heard.map(|it| took(it.sessions_read)));
        self.version
            .push(server.and_then(|it| it.version.as_deref()));
        self.coin.push(server.and_then(|it| it.coin.as_deref()));
        self.daemon.push(server.and_then(|it| it.daemon.as_deref()));
        self.daemon_height
            .push(server.and_then(|it| it.daemon_height));
        self.db_height.push(server.and_then(|it| it.db_height));
        self.sessions.push(server.map(|it| it.sessions));
        self.errors.push(server.map(|it| it.errors));
        self.logged.push(server.map(|it| it.logged));
        self.pending.push(server.map(|it| it.pending_requests));
        self.subs.push(server.map(|it| it.subs));
        self.txs_sent.push(server.map(|it| it.txs_sent));
        self.groups.push(server.map(|it| it.groups));
        self.pid.push(server.and_then(|it| it.pid));
        let uptime = server.and_then(|it| it.uptime);
        self.uptime_s.push(uptime.map(|it| it.at_least.as_secs()));
        self.acts.push(tick.acts.len() as u64);
        self.decisions.push(decisions.map(|count| count as u64));
    }
}

table! {
    /// One row a daemon and round of probes, if the agent that recorded probed daemons.
    Daemons in "daemons" {
        /// The time of the first poll after the round
        polled_at: Always<Time>,
        /// When the round's last answer was there, or given up
        probed_at: Always<Time>,
        /// Host and port of the daemon, as the agent's configuration has them
        daemon: Always<Text>,
        /// How long its answer took
        took_ms: Always<Whole>,
        /// `unreachable`, `busy`, `wrong-credentials` or `warming-up`; null if it told its chain. If it did not, all that it tells is null
        failure: Maybe<Text>,
        /// What happened, or the daemon's words
        detail: Maybe<Text>,
        /// `main`, `test`, `testnet4`, `signet` or `regtest`
        chain: Maybe<Text>,
        /// Its height
        height: Maybe<Whole>,
        /// The height of its headers: the blocks in between are still to come
        headers: Maybe<Whole>,
        /// The hash of its last block
        tip: Maybe<Text>,
        /// Whether it still catches up for the first time
        initial_download: Maybe<Flag>,
        /// Whether it has thrown blocks away
        pruned: Maybe<Flag>,
    }
}

impl Daemons {
    pub(super) fn push(&mut self, tick: &Tick, at: Timestamp, daemon: &str, report: &Report) {
        let chain = report.heard.as_ref().ok();
        let failure = report.heard.as_ref().err();
        let took_ms = u64::try_from(report.took.as_millis());
        self.polled_at.push(tick.at);
        self.probed_at.push(at);
        self.daemon.push(daemon);
        self.took_ms.push(took_ms.unwrap_or(u64::MAX));
        self.failure.push(failure.map(|failure| told(failure).0));
        self.detail
            .push(failure.and_then(|failure| told(failure).1));
        self.chain.push(chain.map(|chain| &*chain.name));
        self.height.push(chain.map(|chain| chain.height));
        self.headers.push(chain.map(|chain| chain.headers));
        let tip = chain.map(|chain| chain.tip.to_string());
        self.tip.push(tip.as_deref());
        self.initial_download
            .push(chain.map(|chain| chain.is_initial_download));
        self.pruned.push(chain.map(|chain| chain.is_pruned));
    }
}

/// A failure in a word, and what is said of it.
fn told(failure: &Failure) -> (&'static str, Option<&str>) {
    match failure {
        Failure::Unreachable { detail } => ("unreachable", Some(detail)),
        Failure::Busy { detail } => ("busy", Some(detail)),
        Failure::WrongCredentials => ("wrong-credentials", None),
        Failure::WarmingUp { detail } => ("warming-up", Some(detail)),
    }
}

table! {
    /// One row a group and poll, as the server groups its sessions.
    Groups in "groups" {
        /// The time of the poll
        polled_at: Always<Time>,
        /// The agent's connection that asked
        epoch: Always<Whole>,
        /// The server's name of the group
        name: Always<Text>,
        /// Present members, RPC connections included
        sessions: Always<Whole>,
        /// The members' cost; from 1.10.1 on
        cost: Maybe<Thousandths>,
        /// The cost that members left behind; from 1.10.1 on
        retained_cost: Maybe<Thousandths>,
    }
}

impl Groups {
    pub(super) fn push(&mut self, tick: &Tick, row: usize) {
        let groups = &tick.snapshot.groups;
        let tells_cost = tells_cost(&tick.snapshot);
        let cost = |cost: f64| (tells_cost && !cost.is_nan()).then_some(cost);
        self.polled_at.push(tick.at);
        self.epoch.push(tick.epoch.0);
        self.name.push(groups.names.get(groups.name[row]));
        self.sessions.push(groups.sessions[row]);
        self.cost.push(cost(groups.cost[row]));
        self.retained_cost.push(cost(groups.retained_cost[row]));
    }
}

table! {
    /// One row a session that the agent asked about with `inspect_session`, from 2.0 on.
    Inspections in "inspections" {
        /// The time of the poll
        polled_at: Always<Time>,
        /// The agent's connection that asked
        epoch: Always<Whole>,
        /// The session's ID
        id: Always<Whole>,
        /// Errors since it connected
        errors: Always<Whole>,
        /// Requests since it connected
        requests: Always<Whole>,
        /// Requests by method: a JSON object
        methods: Always<Text>,
    }
}

impl Inspections {
    pub(super) fn push(&mut self, tick: &Tick, id: u64, inspection: &Inspection) {
        self.polled_at.push(tick.at);
        self.epoch.push(tick.epoch.0);
        self.id.push(id);
        self.errors.push(inspection.errors);
        self.requests.push(inspection.requests);
        self.methods.push(&json(&inspection.methods));
    }
}

table! {
    /// One row a thing that the agent did, or tried to do.
    Acts in "acts" {
        /// The time of the poll that it followed from
        polled_at: Always<Time>,
        /// When it was done
        settled_at: Always<Time>,
        /// The agent's connection
        epoch: Always<Whole>,
        /// The policy
        policy: Always<Text>,
        /// `server`, `session`, `address`, `subnet`, `group` or `client`
        scope: Always<Text>,
        /// What it was about
        target: Always<Text>,
        /// The session's ID; null for other scopes
        session_id: Maybe<Whole>,
        /// `executed` or `failed`
        outcome: Always<Text>,
        /// The server's words
        detail: Maybe<Text>,
        /// Of so many sessions the server was never asked
        unsent: Always<Whole>,
    }
}

impl Acts {
    pub(super) fn push(&mut self, tick: &Tick, act: &Act) {
        let told = Told::of(&act.outcome);
        self.polled_at.push(tick.at);
        self.settled_at.push(tick.settled);
        self.epoch.push(tick.epoch.0);
        self.policy.push(&act.policy);
        self.scope.push(act.target.scope().name());
        self.target.push(&act.target.to_string());
        self.session_id.push(session_id(&act.target));
        self.outcome.push(told.text("outcome").unwrap_or_default());
        self.detail.push(told.detail());
        self.unsent.push(act.unsent as u64);
    }
}

table! {
    /// One row a decision of the policies given with `--policies`.
    Decisions in "decisions" {
        /// The time of the poll that it was made on
        polled_at: Always<Time>,
        /// The agent's connection
        epoch: Always<Whole>,
        /// The policy
        policy: Always<Text>,
        /// The policy's own mode
        mode: Always<Text>,
        /// `disconnect`, `ban`, `evict`, `log`, `daemon_url` or `alert`
        action: Always<Text>,
        /// `server`, `session`, `address`, `subnet`, `group` or `client`
        scope: Always<Text>,
        /// What it is about
        target: Always<Text>,
        /// The session's ID; null for other scopes
        session_id: Maybe<Whole>,
        /// `dry-run`, `suppressed`, or what came of it when the agent did the same
        outcome: Always<Text>,
        /// What held it back, as in `journal`
        suppressed_by: Maybe<Text>,
        /// The server's words, or why a daemon would not do
        detail: Maybe<Text>,
        /// For how long the tests have held
        held_ms: Always<Whole>,
        /// How many times the threshold the worst value is
        severity: Always<Real>,
        /// Whether it did not wait, by `at_once`
        at_once: Always<Flag>,
        /// How many sessions it would act on
        sessions: Always<Whole>,
        /// Members of the target that are left alone
        spared: Always<Whole>,
        /// The IDs of the sessions it would act on: a JSON array
        session_ids: Always<Text>,
        /// Whom it bans: a JSON array of objects with `net`, `until` in milliseconds, `strikes` before this one, and `holes`
        bans: Always<Text>,
        /// Bans that there are none of: a JSON array of objects with `net` and `why`
        refused: Always<Text>,
        /// The tests that held: a JSON array of objects with `field`, `test`, `seen`, and of numbers `threshold` and `dimension`
        evidence: Always<Text>,
    }
}

impl Decisions {
    pub(super) fn push(&mut self, carried: &Carried) {
        let decision = &carried.decision;
        let told = Told::of(&carried.outcome);
        let ids: Vec<u64> = decision.sessions.iter().map(|it| it.id).collect();
        self.polled_at.push(decision.at);
        self.epoch.push(decision.epoch.0);
        self.policy.push(&decision.policy);
        self.mode.push(&decision.mode.to_string());
        self.action.push(decision.action.kind().name());
        self.scope.push(decision.target.scope().name());
        self.target.push(&decision.target.to_string());
        self.session_id.push(session_id(&decision.target));
        self.outcome.push(told.text("outcome").unwrap_or_default());
        self.suppressed_by.push(told.text("by"));
        self.detail.push(told.detail());
        let held_ms = u64::try_from(decision.held.as_millis());
        self.held_ms.push(held_ms.unwrap_or(u64::MAX));
        self.severity.push(decision.severity);
        self.at_once.push(decision.at_once);
        self.sessions.push(ids.len() as u64);
        self.spared.push(decision.spared.into());
        self.session_ids.push(&json(&ids));
        self.bans.push(&json(&decision.bans));
        self.refused.push(&json(&decision.refused));
        self.evidence.push(&json(&decision.evidence));
    }
}

const fn session_id(target: &Target) -> Option<u64> {
    match target {
        Target::Session(session) => Some(session.id),
        _ => None,
    }
}

/// An outcome in the words that it has as JSON everywhere.
struct Told(Value);

impl Told {
    fn of(outcome: &Outcome) -> Self {
        Self(serde_json::to_value(outcome).unwrap_or_default())
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    fn detail(&self) -> Option<&str> {
        self.text("detail").or_else(|| self.text("why"))
    }
}

/// Writing into memory fails only for values that are no JSON, and there are none.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
