mod daemons;
mod false_alarms;
mod random;
mod world;
