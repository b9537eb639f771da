//! What the policies need to know: nothing else is computed, nothing else is remembered.

use std::sync::Arc;
use std::time::Duration;

use crate::field::{Field, Kind, Scope};
use crate::policy::{Mode, Policy, Test};

/// One of the plan's windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WindowId(pub(super) usize);

/// One of the plan's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ColumnId(pub(super) usize);

/// A number or flag that some policy tests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(super) scope: Scope,
    pub(super) field: Field,
    pub(super) method: Option<Arc<str>>,
    pub(super) window: Option<WindowId>,
}

/// The distinct windows and columns of a set of policies.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub(super) windows: Vec<Duration>,
    pub(super) columns: Vec<Column>,
    needs_groups: bool,
}

impl Plan {
    /// What these policies need, those that are off left out.
    pub fn new(policies: &[Policy]) -> Self {
        let mut plan = Self::default();
        for policy in policies.iter().filter(|policy| policy.mode != Mode::Off) {
            plan.needs_groups |= policy.scope == Scope::Group;
            let tests = policy
                .conditions()
                .flat_map(|condition| &condition.any)
                .flat_map(|all| &all.tests);
            for test in tests {
                plan.add(policy, test.scope, test.field, test.method.as_ref());
                if let Some(by_address) = test.field.of_address() {
                    plan.add(policy, Scope::Address, by_address, None);
                }
            }
            if policy.asks_who() {
                let tables = policy.when.any.iter();
                for test in tables.flat_map(|all| policy.own_tests(all)) {
                    plan.add_parts(policy, test);
                }
            }
        }
        plan
    }

    /// What is needed to tell who of a whole did it: the parts of its sessions, and of its addresses,
    /// for what sessions did that have left.
    fn add_parts(&mut self, policy: &Policy, test: &Test) {
        let field = test.field;
        for scope in [Scope::Session, Scope::Address] {
            if test.is_upward() && field.info().scopes.contains(&scope) {
                self.add(policy, scope, field, test.method.as_ref());
            }
        }
    }

    fn add(&mut self, policy: &Policy, scope: Scope, field: Field, method: Option<&Arc<str>>) {
        let info = field.info();
        if !matches!(info.kind, Kind::Number(_) | Kind::Flag) {
            return;
        }
        let window = info.windowed.then(|| self.window(policy.window));
        let column = Column {
            scope,
            field,
            method: method.cloned(),
            window,
        };
        if !self.columns.contains(&column) {
            self.columns.push(column);
        }
    }

    fn window(&mut self, window: Duration) -> WindowId {
        let known = self.windows.iter().position(|&w| w == window);
        WindowId(known.unwrap_or_else(|| {
            self.windows.push(window);
            self.windows.len() - 1
        }))
    }

    /// The column that the numeric or flag test `test` of `policy` reads. The plan must have been
    /// made from that policy: a test that reads nothing would make its policy wider.
    pub(crate) fn column(&self, policy: &Policy, test: &Test) -> ColumnId {
        self.find(test.scope, test.field, test.method.as_ref(), policy.window)
            .expect("the plan was made from these policies")
    }

    /// The column of another scope that says which part of a test's number somebody has, if there is
    /// one.
    pub(crate) fn part(&self, policy: &Policy, scope: Scope, field: Field) -> Option<ColumnId> {
        self.find(scope, field, None, policy.window)
    }

    fn find(
        &self,
        scope: Scope,
        field: Field,
        method: Option<&Arc<str>>,
        window: Duration,
    ) -> Option<ColumnId> {
        let window = field.info().windowed.then_some(window);
        let position = self.columns.iter().position(|column| {
            column.scope == scope
                && column.field == field
                && column.method.as_ref() == method
                && column.window.map(|id| self.windows[id.0]) == window
        });
        position.map(ColumnId)
    }

    /// Whether any policy looks at what only `inspect_session` tells.
    pub fn needs_inspection(&self) -> bool {
        self.columns
            .iter()
            .any(|column| column.field.info().source == crate::field::Source::Inspection)
    }

    /// Whether any policy looks at the server's groups.
    pub const fn needs_groups(&self) -> bool {
        self.needs_groups
    }
}
