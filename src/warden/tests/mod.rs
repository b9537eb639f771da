mod bans;
mod daemons;
mod false_alarms;
mod own_acts;
mod random;
mod restarts;
mod share;
mod world;
