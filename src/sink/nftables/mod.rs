//! Keeps networks out with the kernel's packet filter, in a table of the agent's own.
//!
//! ```text
//! table inet electrumx_warden
//!   set v4_24, v6_64, …      a hash set with timeouts for each family and prefix length in use
//!   chain sources            drops and counts packets whose masked source is in a set
//!   chain arrivals           hooks `prerouting`, sends packets to this machine at the server's ports to `sources`
//! ```
//!
//! Nothing outside the table is changed. Changes are transactions of `nft -j -f -`, of 20,000 networks at most. Networks
//! expire in the kernel, even if the agent is gone.
//!
//! Other programs may remove or alter the table. [`Nftables::reconcile`] repairs it. While the kernel's generation shows
//! that nobody changed the firewall, that costs a few system calls.

mod difference;
mod error;
mod generation;
mod listing;
mod plan;
mod program;
mod repair;
mod set;
mod settings;
mod transaction;

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;

pub use self::error::NftablesError;
pub use self::repair::{Reason, Repair};
pub use self::settings::{DEADLINE, NftablesSettings, Ports};

use self::difference::{Difference, TOLERANCE, difference};
use self::generation::generation;
use self::listing::{ListedNetwork, Shape};
use self::plan::{Change, Plan};
use self::program::Program;
use self::set::Set;
use self::transaction::{FAMILY, TABLE, Transaction};
use super::{Changes, Desired, Sink};
use crate::time::Timestamp;

/// The sink.
#[derive(Debug)]
pub struct Nftables {
    program: Program,
    ports: Ports,
    /// `None` while its state is unknown.
    table: Option<Table>,
}

/// The table as the sink left it in the kernel.
#[derive(Debug)]
struct Table {
    shape: Shape,
    sets: BTreeSet<Set>,
    /// The kernel's generation when the table was certainly in this state; `None` if that is unknown.
    generation: Option<u32>,
    /// When its elements were last compared or replaced.
    compared: Timestamp,
}

/// The most networks in one transaction; `nft` needs about 2 kB of memory for each.
const TRANSACTION_MAX: usize = 20_000;

/// Larger tables are replaced instead of compared. The time that the kernel takes to list a hash set grows with the square
/// of its size: 0.5 s for 100,000 elements, a minute for a million.
const COMPARED_MAX: usize = 200_000;

/// Elements are compared this often even if the generation shows no change.
const COMPARED_EVERY: Duration = Duration::from_secs(3_600);

/// `nft` prints nothing when it changes something.
const OUTPUT_MAX_BYTES: u64 = 1 << 20;

/// Enough for a table of [`COMPARED_MAX`] elements, and for all rules of a large firewall.
const LIST_MAX_BYTES: u64 = 64 << 20;

impl Sink for Nftables {
    const NAME: &'static str = "nftables";

    async fn apply(&mut self, changes: &Changes, at: Timestamp) -> Result<(), String> {
        let applied = Self::apply(self, changes, at).await;
        applied.map_err(|error| error.to_string())
    }

    async fn reconcile(
        &mut self,
        desired: &Desired,
        at: Timestamp,
    ) -> Result<Option<String>, String> {
        match Self::reconcile(self, desired, at).await {
            // At the start nothing was wrong: nobody knew.
            Ok(
                Repair::Nothing
                | Repair::Replaced {
                    reason: Reason::Unknown,
                    ..
                },
            ) => Ok(None),
            Ok(repair) => Ok(Some(repair.to_string())),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Nftables {
    /// The command that removes the table, for an operator who removes the agent.
    pub const REMOVE: &str = "nft delete table inet electrumx_warden";

    /// A sink that does not know the table yet: call [`reconcile`](Self::reconcile) first.
    pub fn new(settings: NftablesSettings) -> Self {
        let NftablesSettings {
            ports,
            program,
            deadline,
        } = settings;
        Self {
            program: Program {
                path: program,
                deadline,
            },
            ports,
            table: None,
        }
    }

    /// Applies `changes` to the table.
    ///
    /// After an error some of them are applied or none: call [`reconcile`](Self::reconcile).
    pub async fn apply(&mut self, changes: &Changes, at: Timestamp) -> Result<(), NftablesError> {
        if self.table.is_none() {
            return Err(NftablesError::NotReconciled);
        }
        self.send(plan::of_changes(changes, at)).await
    }

    /// Makes the table equal to `desired`, and returns what was wrong with it.
    ///
    /// It is cheap unless another program changed the firewall since the last call. Then it lists the table, which takes
    /// about 1.5 s of CPU for 100,000 networks; a table of more than 200,000 is replaced.
    pub async fn reconcile(
        &mut self,
        desired: &Desired,
        at: Timestamp,
    ) -> Result<Repair, NftablesError> {
        let start = Instant::now();
        let now = generation().ok();
        if let Some(table) = &self.table
            && now.is_some()
            && table.generation == now
            && at.since(table.compared) < COMPARED_EVERY
        {
            return Ok(Repair::Nothing);
        }
        if let Some(reason) = self.reason_to_replace(desired.len()).await? {
            return self.replace(desired, at, reason).await;
        }
        let at = at + start.elapsed();
        let start = Instant::now();
        let listed = match self.elements().await {
            Ok(listed) => listed,
            // Another program may have filled it with more than can be listed.
            Err(NftablesError::Flood(_) | NftablesError::Deadline(_)) => {
                return self.replace(desired, at, Reason::TooLarge).await;
            }
            Err(error) => return Err(error),
        };
        // The kernel read the elements somewhen between start and now.
        let tolerance = TOLERANCE + start.elapsed();
        if let Some(table) = &mut self.table {
            table.compared = at;
            // A change since then has raised it further, and is found next time.
            table.generation = now;
        }
        let desired = plan::of_desired(desired, at);
        self.repair(difference(&desired, listed, tolerance)).await
    }

    async fn repair(&mut self, difference: Difference) -> Result<Repair, NftablesError> {
        let Difference {
            plan,
            missing,
            extra,
            wrong_end,
        } = difference;
        if plan.is_empty() {
            return Ok(Repair::Nothing);
        }
        self.send(plan).await?;
        Ok(Repair::Elements {
            missing,
            extra,
            wrong_end,
        })
    }

    /// Why the table must be replaced; `None` if changes to its elements are enough.
    async fn reason_to_replace(&self, networks: usize) -> Result<Option<Reason>, NftablesError> {
        let Some(table) = &self.table else {
            return Ok(Some(Reason::Unknown));
        };
        let shape = self.shape().await?;
        Ok(if shape.is_empty() {
            Some(Reason::Gone)
        } else if shape != table.shape {
            Some(Reason::Altered)
        } else {
            (networks > COMPARED_MAX).then_some(Reason::TooLarge)
        })
    }

    /// Replaces the table, whatever it is.
    async fn replace(
        &mut self,
        desired: &Desired,
        at: Timestamp,
        reason: Reason,
    ) -> Result<Repair, NftablesError> {
        self.table = None;
        let before = generation().ok();
        let desired = plan::of_desired(desired, at);
        let plan: Plan = desired
            .iter()
            .map(|&(network, left)| (network, Change::Hold(left)))
            .collect();
        let sets: BTreeSet<Set> = plan.iter().map(|(network, _)| Set::of(network)).collect();
        let (first, rest) = plan.split_at(plan.len().min(TRANSACTION_MAX));
        let mut transaction = Transaction::make(&self.ports);
        transaction.add_sets(&sets);
        transaction.add(first);
        self.commit(&transaction).await?;
        for chunk in rest.chunks(TRANSACTION_MAX) {
            let mut transaction = Transaction::change();
            transaction.add(chunk);
            self.commit(&transaction).await?;
        }
        let shape = self.shape().await?;
        let after = generation().ok();
        let transactions = 1 + rest.len().div_ceil(TRANSACTION_MAX);
        // If another program changed the firewall meanwhile, the shape may be altered already: replace it next time.
        if before.is_none() || follow(before, after, transactions) {
            self.table = Some(Table {
                shape,
                sets,
                generation: after,
                compared: at,
            });
        }
        Ok(Repair::Replaced {
            reason,
            networks: plan.len(),
        })
    }

    /// Applies a plan to the known table.
    async fn send(&mut self, mut plan: Plan) -> Result<(), NftablesError> {
        let Some(table) = &self.table else {
            return Err(NftablesError::NotReconciled);
        };
        let is_there = |network: &IpNet| table.sets.contains(&Set::of(network));
        plan.retain(|(network, change)| *change != Change::Lift || is_there(network));
        let sets = plan.iter().map(|(network, _)| Set::of(network));
        let new: BTreeSet<Set> = sets.filter(|set| !table.sets.contains(set)).collect();
        if !new.is_empty() {
            self.grow(new).await?;
        }
        let before = generation().ok();
        // Unknown until all is committed: this future may be dropped at any await.
        let known = self
            .table
            .as_mut()
            .and_then(|table| table.generation.take());
        let chunks = plan.chunks(TRANSACTION_MAX);
        let transactions = chunks.len();
        for chunk in chunks {
            let mut transaction = Transaction::change();
            transaction.replace(chunk);
            self.commit(&transaction).await?;
        }
        let after = generation().ok();
        if let Some(table) = &mut self.table
            && known == before
            && follow(before, after, transactions)
        {
            table.generation = after;
        }
        Ok(())
    }

    /// Adds sets to the known table.
    async fn grow(&mut self, new: BTreeSet<Set>) -> Result<(), NftablesError> {
        let Some(mut table) = self.table.take() else {
            return Err(NftablesError::NotReconciled);
        };
        let before = generation().ok();
        let mut transaction = Transaction::change();
        transaction.add_sets(&new);
        self.commit(&transaction).await?;
        table.shape = self.shape().await?;
        table.sets.extend(new);
        let after = generation().ok();
        let alone = follow(before, after, 1);
        table.generation = after.filter(|_| alone && table.generation == before);
        self.table = Some(table).filter(|_| alone || before.is_none());
        Ok(())
    }

    async fn commit(&self, transaction: &Transaction) -> Result<(), NftablesError> {
        let json = transaction.to_json();
        let args = ["-j", "-f", "-"];
        self.program
            .run(&args, &json, OUTPUT_MAX_BYTES)
            .await
            .map(drop)
    }

    async fn shape(&self) -> Result<Shape, NftablesError> {
        // For a single table, nft 1.0.6 reads all elements even with `-t`.
        let args = ["-j", "-t", "list", "ruleset", FAMILY];
        let json = self.program.run(&args, b"", LIST_MAX_BYTES).await?;
        Ok(Shape::read(&json)?)
    }

    async fn elements(&self) -> Result<Vec<ListedNetwork>, NftablesError> {
        let args = ["-j", "list", "table", FAMILY, TABLE];
        let json = self.program.run(&args, b"", LIST_MAX_BYTES).await?;
        Ok(listing::elements(&json)?)
    }
}

/// Whether exactly this many transactions lie between two generations.
fn follow(before: Option<u32>, after: Option<u32>, transactions: usize) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return false;
    };
    u32::try_from(transactions).is_ok_and(|count| before.wrapping_add(count) == after)
}
