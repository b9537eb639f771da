//! The fields that policies test, in one table: scope, name, kind, unit, what they say.
//!
//! The same table makes the reference (`fields`), the diagnostics of `check` and the plan of what
//! the history has to keep. It computes nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of thing that a policy looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The server as a whole.
    Server,
    /// One connection of one client.
    Session,
    /// All sessions of one IPv4 address, or of one IPv6 /64.
    Address,
    /// All sessions of one subnet: IPv4 /24 and IPv6 /48 unless set otherwise.
    Subnet,
    /// The server's own group.
    Group,
    /// All sessions that give one client name.
    Client,
}

impl Scope {
    /// Every scope, in the order of the reference.
    pub const ALL: [Self; 6] = [
        Self::Server,
        Self::Session,
        Self::Address,
        Self::Subnet,
        Self::Group,
        Self::Client,
    ];

    /// As written in a policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Session => "session",
            Self::Address => "address",
            Self::Subnet => "subnet",
            Self::Group => "group",
            Self::Client => "client",
        }
    }

    /// The scopes that a target's surroundings are of: what a policy of this scope can test of them,
    /// it writes as `SCOPE.FIELD`. Which groups a session is in is not always certain, so no group is
    /// one of them.
    pub const fn surroundings(self) -> &'static [Self] {
        match self {
            Self::Server => &[],
            Self::Session => &[Self::Address, Self::Subnet, Self::Client, Self::Server],
            Self::Address => &[Self::Subnet, Self::Server],
            Self::Subnet | Self::Group | Self::Client => &[Self::Server],
        }
    }

    /// The scope of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// What the scope is, for the reference.
    pub const fn doc(self) -> &'static str {
        match self {
            Self::Server => "the server as a whole",
            Self::Session => "one connection of one client",
            Self::Address => "all sessions of one IPv4 address, or of one IPv6 /64",
            Self::Subnet => "all sessions of one subnet, IPv4 /24 or IPv6 /48 unless set otherwise",
            Self::Group => "one of the server's own groups",
            Self::Client => "all sessions that give one client name",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a number counts; a quantity in a policy must be of the field's dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// A plain number: sessions, errors, blocks, cost units.
    Count,
    /// Bytes.
    Size,
    /// A number a second.
    Rate,
    /// Bytes a second.
    ByteRate,
    /// Seconds.
    Duration,
    /// A part of a whole, from 0 to 1.
    Share,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A number of this dimension.
    Number(Dimension),
    /// Yes or no.
    Flag,
    /// Text; clients or the server chose it.
    Text,
    /// An IP address or a subnet.
    Address,
    /// A [version](crate::version::Version).
    Version,
}

/// From which release on a server can give a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Every release does.
    Always,
    /// Only releases with 13 or more session columns, from 1.1 on.
    Protocol,
    /// Only releases that reckon costs, from 1.10.1 on.
    Cost,
    /// Only releases with `inspect_session`, from 2.0 on.
    Inspection,
    /// Only releases with running totals in getinfo, from 1.11 on.
    Totals,
    /// Only releases that tell it in getinfo; what is not told is unknown.
    Getinfo,
    /// The agent's own observation, on any release.
    Agent,
    /// The agent's own probes of the daemons that the configuration names.
    Probes,
    /// How many slots the server has, as the configuration tells.
    Slots,
    /// The agent's own visits as a wallet.
    Canary,
}

impl Source {
    /// For the reference.
    pub const fn doc(self) -> &'static str {
        match self {
            Self::Always => "every release",
            Self::Protocol => "from 1.1 on",
            Self::Cost => "from 1.10.1 on",
            Self::Inspection => "from 2.0 on, by inspect_session",
            Self::Totals => "from 1.11 on",
            Self::Getinfo => "where getinfo tells it",
            Self::Agent => "the agent's own observation",
            Self::Probes => "with `[server.daemon]`",
            Self::Slots => "with `sessions_max` of `[server]`",
            Self::Canary => "with `[canary]`",
        }
    }
}

macro_rules! fields {
    ($( $variant:ident $name:literal [$($scope:ident)+] $kind:expr, $windowed:literal, $source:ident, $doc:literal; )+) => {
        /// A field of a scope. One field bears the same name and unit in every scope that has it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Field {
            $( #[doc = $doc] $variant, )+
        }

        impl Field {
            /// Every field, in the order of the reference.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// What the table says of this field.
            pub const fn info(self) -> &'static FieldInfo {
                &TABLE[self as usize]
            }
        }

        const TABLE: &[FieldInfo] = &[ $( FieldInfo {
            name: $name,
            scopes: &[ $( Scope::$scope, )+ ],
            kind: $kind,
            windowed: $windowed,
            source: Source::$source,
            doc: $doc,
        }, )+ ];
    };
}

/// A row of the table.
#[derive(Debug)]
pub struct FieldInfo {
    /// As written in a policy.
    pub name: &'static str,
    /// The scopes that have it.
    pub scopes: &'static [Scope],
    /// What it holds.
    pub kind: Kind,
    /// Whether it is taken over the policy's window.
    pub windowed: bool,
    /// Which servers give it.
    pub source: Source,
    /// One line for the reference.
    pub doc: &'static str,
}

const COUNT: Kind = Kind::Number(Dimension::Count);
const SIZE: Kind = Kind::Number(Dimension::Size);
const RATE: Kind = Kind::Number(Dimension::Rate);
const BYTE_RATE: Kind = Kind::Number(Dimension::ByteRate);
const DURATION: Kind = Kind::Number(Dimension::Duration);
const SHARE: Kind = Kind::Number(Dimension::Share);

fields! {
    // What a target is.
    Address "address" [Session Address Subnet] Kind::Address, false, Always,
        "the peer's address, or the subnet; tested with `in` and `not in`";
    Client "client" [Session Client] Kind::Text, false, Always,
        "the name the client gave; any text, and never proof of anything";
    ClientVersion "client_version" [Session Client] Kind::Version, false, Always,
        "the first version in the client's name, such as `4.5.8`; unknown if there is none";
    Group "group" [Group] Kind::Text, false, Always,
        "the server's name for the group";
    Protocol "protocol" [Session] Kind::Text, false, Protocol,
        "the protocol version agreed on";
    Transport "transport" [Session] Kind::Text, false, Always,
        "`tcp`, `ssl` or `websocket`";
    Private "private" [Session Address Subnet] Kind::Flag, false, Always,
        "whether the peer's address is private, loopback or unknown: Tor and local proxies";
    Logged "logged" [Session] Kind::Flag, false, Always,
        "whether the server logs this session";
    Age "age" [Session] DURATION, false, Always,
        "how long ago the session connected";
    Seniority "seniority" [Session Address] DURATION, false, Agent,
        "how long the client has been connected in all, as far as the agent knows it; of a private \
         peer, the session's age";
    Regular "regular" [Session Address] Kind::Flag, false, Agent,
        "whether the client is one of the regulars: the most senior, as many as are usually \
         connected, without an action against them in the last day";

    Strikes "strikes" [Session Address Subnet] COUNT, false, Agent,
        "acts of the agent against this address or subnet, each fading with time; in dry-run those that \
         would have been; of a private peer 0";
    Banned "banned" [Session Address Subnet] Kind::Flag, false, Agent,
        "whether this address or subnet is banned; in dry-run whether it would be";

    // How many.
    Sessions "sessions" [Server Address Subnet Group Client] COUNT, false, Always,
        "sessions connected now; of the server, those of RPC connections too";
    SessionsShare "sessions_share" [Address Subnet Group Client] SHARE, false, Always,
        "its part of all client sessions";
    Addresses "addresses" [Subnet] COUNT, false, Always,
        "addresses (IPv6: /64) with a session now";
    Regulars "regulars" [Server Subnet Group Client] COUNT, false, Agent,
        "regular clients with a session now";
    NewSessions "new_sessions" [Server Address Subnet Group Client] COUNT, true, Always,
        "sessions that connected within the window, as far as the polls saw them";
    GoneSessions "gone_sessions" [Server Address Subnet Group Client] COUNT, true, Always,
        "sessions that left within the window";
    BriefSessions "brief_sessions" [Server Address Subnet Group Client] COUNT, true, Always,
        "sessions that left within the window and had certainly lasted less than 30 seconds; polls \
         must be closer than that";
    NewAddresses "new_addresses" [Subnet] COUNT, true, Always,
        "addresses (IPv6: /64) from which sessions connected within the window, as far as the polls \
         saw them";
    BriefAddresses "brief_addresses" [Subnet] COUNT, true, Always,
        "addresses (IPv6: /64) with brief sessions within the window";

    // Sums over the sessions connected now.
    PendingRequests "pending_requests" [Server Session Address Subnet Group Client] COUNT, false, Always,
        "requests that the server has not answered yet";
    Subs "subs" [Server Session Address Subnet Group Client] COUNT, false, Always,
        "subscriptions";
    TxsSent "txs_sent" [Server Session Address Subnet Group Client] COUNT, false, Always,
        "transactions broadcast by the sessions connected now; of the server, since it started";
    Requests "requests" [Session Address Subnet Group Client] COUNT, false, Always,
        "messages received from the sessions connected now";
    RecvSize "recv_size" [Session Address Subnet Group Client] SIZE, false, Always,
        "bytes received from the sessions connected now";
    SentSize "sent_size" [Session Address Subnet Group Client] SIZE, false, Always,
        "bytes sent to the sessions connected now";
    Cost "cost" [Session Address Subnet Group Client] COUNT, false, Cost,
        "the server's own reckoning of the resources used; decays with time";
    ExtraCost "extra_cost" [Session] COUNT, false, Cost,
        "what the session's groups add to its cost";
    RetainedCost "retained_cost" [Group] COUNT, false, Cost,
        "cost left behind by sessions that have gone";

    // Over the window, with the sessions that left in it.
    RecvRate "recv_rate" [Server Session Address Subnet Group Client] BYTE_RATE, true, Always,
        "bytes received a second";
    SentRate "sent_rate" [Server Session Address Subnet Group Client] BYTE_RATE, true, Always,
        "bytes sent a second";
    RequestRate "request_rate" [Server Session Address Subnet Group Client] RATE, true, Always,
        "messages received a second";
    TxRate "tx_rate" [Server Session Address Subnet Group Client] RATE, true, Always,
        "transactions broadcast a second";
    CostRate "cost_rate" [Server Session Address Subnet Group Client] RATE, true, Cost,
        "cost incurred a second, decay left aside; each error costs 100";
    RecvShare "recv_share" [Session Address Subnet Group Client] SHARE, true, Always,
        "its part of all bytes received";
    SentShare "sent_share" [Session Address Subnet Group Client] SHARE, true, Always,
        "its part of all bytes sent";
    RequestShare "request_share" [Session Address Subnet Group Client] SHARE, true, Always,
        "its part of all messages received";
    CostShare "cost_share" [Session Address Subnet Group Client] SHARE, true, Cost,
        "its part of all cost incurred";

    // Errors.
    ServerErrors "errors" [Server] COUNT, false, Always,
        "errors of the sessions connected now, our own RPC connection's included";
    ServerErrorRate "error_rate" [Server] RATE, true, Always,
        "errors a second, at the least: the server's sum falls when a session leaves";
    Errors "errors" [Session] COUNT, false, Inspection,
        "errors since the session connected, when it was last inspected";
    ErrorRate "error_rate" [Session] RATE, true, Inspection,
        "errors a second, between inspections";
    ErrorShare "error_share" [Session] SHARE, false, Inspection,
        "errors by requests, when it was last inspected";
    MethodRequests "requests." [Session] COUNT, false, Inspection,
        "requests of one method since the session connected, as in `requests.server.ping`";

    // Requests by the server's own totals, those of sessions that have gone too.
    RequestTotalRate "request_total_rate" [Server] RATE, true, Totals,
        "requests a second by the server's own count, those over RPC and of sessions that no poll saw too";
    MethodRate "method_rate." [Server] RATE, true, Totals,
        "requests of one method a second by the server's own count, as in `method_rate.server.ping`";
    UnseenRequestRate "unseen_request_rate" [Server] RATE, true, Totals,
        "clients' requests a second by the server's own count that no session seen accounts for; a batch \
         is one message of a session and many requests, so batches count here too";

    // The server.
    Coin "coin" [Server] Kind::Text, false, Getinfo,
        "the server's name for its coin, such as `Bitcoin`";
    Version "version" [Server] Kind::Text, false, Getinfo,
        "the server's version, such as `ElectrumX 1.20.0`";
    Daemon "daemon" [Server] Kind::Text, false, Getinfo,
        "host and port of the daemon in use";
    Uptime "uptime" [Server] DURATION, false, Getinfo,
        "how long the server has run";
    LoggedSessions "logged_sessions" [Server] COUNT, false, Always,
        "sessions that the server logs";
    SlotsLeft "slots_left" [Server] SHARE, false, Slots,
        "the share of the slots that is free: at 0% the server takes nobody until 5% are";
    Groups "groups" [Server] COUNT, false, Always,
        "groups that the server has";
    DaemonHeight "daemon_height" [Server] COUNT, false, Always,
        "the daemon's height, as the server remembers it";
    DbHeight "db_height" [Server] COUNT, false, Always,
        "the height of the server's index";
    HeightLag "height_lag" [Server] COUNT, false, Always,
        "blocks that the index is behind the daemon";
    DaemonStalled "daemon_stalled" [Server] DURATION, false, Agent,
        "how long the daemon's height has stood still, as far as the agent has watched";
    DbStalled "db_stalled" [Server] DURATION, false, Agent,
        "how long the index's height has stood still, as far as the agent has watched";
    DaemonStallOdds "daemon_stall_odds" [Server] SHARE, false, Agent,
        "the chance that a healthy chain of this coin stands still for as long as `daemon_stalled`";
    Stall "stall" [Server] Kind::Text, false, Probes,
        "what holds the blocks up: `none`, `slow block`, `stuck daemon`, `index behind`, `busy rpc` \
         or `wrong chain`";
    OnPrimary "on_primary" [Server] Kind::Flag, false, Probes,
        "whether the daemon in use is the first of `[server.daemon]`";
    DaemonHealthy "daemon_healthy" [Server] Kind::Flag, false, Probes,
        "whether the daemon in use is healthy, by rise and fall";
    DaemonState "daemon_state" [Server] Kind::Text, false, Probes,
        "the last probe's word for the daemon in use, such as `healthy`, `behind` or `unreachable`";
    DaemonHeightGap "daemon_height_gap" [Server] COUNT, false, Probes,
        "blocks that the daemon in use is behind the best healthy one; below 0 if it is ahead of it";
    PrimaryHealthy "primary_healthy" [Server] Kind::Flag, false, Probes,
        "whether the primary is healthy, by rise and fall";
    PrimaryHealthyFor "primary_healthy_for" [Server] DURATION, false, Probes,
        "for how long the primary has been healthy; 0 while it is not";
    PrimaryState "primary_state" [Server] Kind::Text, false, Probes,
        "the last probe's word for the primary";
    PrimaryHeightGap "primary_height_gap" [Server] COUNT, false, Probes,
        "blocks that the primary is behind the best healthy daemon; below 0 if it is ahead of it";
    Preempt "preempt" [Server] Kind::Flag, false, Probes,
        "whether the configuration wants the primary back while another daemon does well";
    RpcLatency "rpc_latency" [Server] DURATION, false, Agent,
        "how long the server took to answer `sessions`";
    RpcDown "rpc_down" [Server] DURATION, false, Agent,
        "how long no poll has succeeded; only this, `preempt` and what the primary and the canary tell is known then";

    // The server as a wallet meets it.
    FeltLatency "felt_latency" [Server] DURATION, false, Canary,
        "how long the canary waited for the tip and a ping, at its last visit; unknown while it is not served";
    FeltDown "felt_down" [Server] DURATION, false, Canary,
        "how long the canary has not been served: it cannot connect, or gets no answer in time";
    FeltHeight "felt_height" [Server] COUNT, false, Canary,
        "the height of the tip that the canary was told; unknown while it is not served";
    FeltHeightLag "felt_height_lag" [Server] COUNT, false, Canary,
        "blocks that this tip is behind the server's index; below 0 if it is ahead of it";
    CertificateLeft "certificate_left" [Server] DURATION, false, Canary,
        "how long the server's certificate is still valid; 0 once it is over, unknown without TLS";
}

impl Field {
    /// The field of `scope` that a policy calls `name`. `requests.<method>` gives
    /// [`Field::MethodRequests`].
    pub fn of(scope: Scope, name: &str) -> Option<Self> {
        Self::in_scope(scope).find(|field| {
            if field.has_method() {
                field.method(name).is_some()
            } else {
                field.name() == name
            }
        })
    }

    /// The field that a policy of `scope` calls `name`, and whose it is: the scope's own, or as
    /// `SCOPE.FIELD` one of its [surroundings](Scope::surroundings).
    pub fn seen_from(scope: Scope, name: &str) -> Option<(Scope, Self)> {
        if let Some(own) = Self::of(scope, name) {
            return Some((scope, own));
        }
        let (around, name) = name.split_once('.')?;
        let around = Scope::named(around).filter(|around| scope.surroundings().contains(around))?;
        Some((around, Self::of(around, name)?))
    }

    /// Whether it is known while the server does not answer: the agent's own watch, its probes of
    /// the primary and its canary tell it. Which daemon is in use only the server knows.
    pub const fn is_known_while_down(self) -> bool {
        matches!(
            self,
            Self::RpcDown
                | Self::PrimaryHealthy
                | Self::PrimaryHealthyFor
                | Self::PrimaryState
                | Self::PrimaryHeightGap
                | Self::Preempt
                | Self::FeltLatency
                | Self::FeltDown
                | Self::FeltHeight
                | Self::CertificateLeft
        )
    }

    /// Whether it is a family of fields, one a method of the Electrum protocol.
    pub fn has_method(self) -> bool {
        self.name().ends_with('.')
    }

    /// The method in `name`, if it is a name of this family.
    pub fn method(self, name: &str) -> Option<&str> {
        let method = name.strip_prefix(self.name())?;
        (self.has_method() && !method.is_empty()).then_some(method)
    }

    /// The fields of `scope`, in the order of the reference.
    pub fn in_scope(scope: Scope) -> impl Iterator<Item = Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(move |field| field.info().scopes.contains(&scope))
    }

    /// Of a field that counts addresses, the address's own field that says whether it counts.
    pub(crate) const fn of_address(self) -> Option<Self> {
        Some(match self {
            Self::NewAddresses => Self::NewSessions,
            Self::BriefAddresses => Self::BriefSessions,
            _ => return None,
        })
    }

    /// Whether it says how a session is connected or for how long it is known, and nothing that it
    /// does: it is as true of many who do nothing.
    pub(crate) const fn is_circumstance(self) -> bool {
        matches!(
            self,
            Self::Private
                | Self::Transport
                | Self::Logged
                | Self::Age
                | Self::Seniority
                | Self::Regular
        )
    }

    /// Whether a number of many sessions tells whose part of it is how large: it is theirs added up,
    /// or counts them, or how they come and go.
    pub(crate) fn is_made_up_of_parts(self) -> bool {
        let is_counted = matches!(
            self,
            Self::Sessions
                | Self::SessionsShare
                | Self::Addresses
                | Self::NewSessions
                | Self::GoneSessions
                | Self::BriefSessions
                | Self::NewAddresses
                | Self::BriefAddresses
        );
        is_counted || self.info().scopes.contains(&Scope::Session)
    }

    /// As written in a policy; `requests.` stands before a method.
    pub const fn name(self) -> &'static str {
        self.info().name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_within_a_scope() {
        for scope in Scope::ALL {
            let mut names: Vec<_> = Field::in_scope(scope).map(Field::name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{scope}");
        }
    }

    #[test]
    fn every_field_is_found_by_scope_and_name() {
        for scope in Scope::ALL {
            for field in Field::in_scope(scope).filter(|f| !f.has_method()) {
                assert_eq!(Field::of(scope, field.name()), Some(field));
            }
        }
        assert_eq!(
            Field::of(Scope::Session, "requests.server.ping"),
            Some(Field::MethodRequests)
        );
        assert_eq!(Field::of(Scope::Session, "requests."), None);
        assert_eq!(
            Field::of(Scope::Server, "method_rate.server.ping"),
            Some(Field::MethodRate)
        );
        assert_eq!(Field::of(Scope::Server, "method_rate."), None);
        assert_eq!(Field::of(Scope::Server, "age"), None);
    }

    #[test]
    fn surroundings_are_named_by_their_scope() {
        let seen = |scope, name| Field::seen_from(scope, name);
        assert_eq!(
            seen(Scope::Session, "age"),
            Some((Scope::Session, Field::Age))
        );
        assert_eq!(
            seen(Scope::Session, "address.sessions"),
            Some((Scope::Address, Field::Sessions))
        );
        assert_eq!(
            seen(Scope::Session, "server.method_rate.server.ping"),
            Some((Scope::Server, Field::MethodRate))
        );
        assert_eq!(
            seen(Scope::Session, "requests.server.ping"),
            Some((Scope::Session, Field::MethodRequests))
        );
        for (scope, name) in [
            (Scope::Session, "session.age"),
            (Scope::Session, "group.sessions"),
            (Scope::Session, "address.age"),
            (Scope::Session, "address."),
            (Scope::Session, ".sessions"),
            (Scope::Session, "server.method_rate."),
            (Scope::Session, "address.subnet.sessions"),
            (Scope::Address, "client.sessions"),
            (Scope::Subnet, "address.sessions"),
            (Scope::Server, "server.sessions"),
        ] {
            assert_eq!(seen(scope, name), None, "{scope} {name}");
        }
    }

    /// A name before a dot is a scope, or else a family of the scope's own fields.
    #[test]
    fn no_family_of_fields_is_called_as_a_scope_is() {
        let families = Field::ALL.iter().filter(|field| field.has_method());
        for family in families {
            assert_eq!(Scope::named(family.name().trim_end_matches('.')), None);
        }
    }
}
