mod daemons;
mod random;
mod world;
