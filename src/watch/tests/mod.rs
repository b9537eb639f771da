mod confirm;
pub(crate) mod node;
mod routes;
mod stalls;
mod states;
