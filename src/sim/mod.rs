//! A simulated `ElectrumX` with honest and abusive clients, for the demo and for tests.
//!
//! Two layers. A [`World`] is a value: the server, its clients and its daemon, in which time
//! passes only when told to. A [`Server`] lets a world be reached over TCP as a real server's
//! `LocalRPC` is, and lets its time pass.
//!
//! It gives the replies of seven [`Release`]s, their quirks included. It is no Electrum server:
//! its clients exist only as counters, and no wallet can connect to it.

mod abuse;
mod act;
mod actor;
mod attack;
mod chain;
mod cost;
mod fault;
mod group;
mod habit;
mod info;
mod json;
mod listeners;
mod people;
mod release;
mod reply;
mod rpc;
mod score;
mod server;
mod session;
mod siege;
mod story;
mod tactic;
mod world;

pub use abuse::{Abuse, Harm};
pub use actor::ActorId;
pub use attack::Attack;
pub use chain::Stall;
pub use fault::{Fault, RowFault};
pub use habit::Kind;
pub use release::Release;
pub use rpc::Answer;
pub use score::{KindScore, Record, Role, Score, Spread};
pub use server::{Pace, Server};
pub use session::{Method, SessionKey, Traffic};
pub use story::STORY;
pub use world::{Event, World};

#[cfg(test)]
mod tests;
