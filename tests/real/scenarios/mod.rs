//! The scenarios, by what goes wrong in them.

mod configuration;
mod health;
mod interruption;
mod machines;
mod migration;
mod others;
mod platform;
mod rollback;
mod sleep;
mod strategies;

use crate::scenario::Scenario;

pub(crate) const ALL: &[&[Scenario]] = &[
    interruption::SCENARIOS,
    platform::SCENARIOS,
    rollback::SCENARIOS,
    health::SCENARIOS,
    strategies::SCENARIOS,
    migration::SCENARIOS,
    others::SCENARIOS,
    sleep::SCENARIOS,
    machines::SCENARIOS,
    configuration::SCENARIOS,
];
