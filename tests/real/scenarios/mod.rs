//! The scenarios, by what goes wrong in them.

mod answers;
mod byhand;
mod callers;
mod changes;
mod colleagues;
mod configuration;
mod cutoff;
mod health;
mod interruption;
mod machines;
mod migration;
mod others;
mod outage;
mod platform;
mod returns;
mod rollback;
mod rules;
mod services;
mod sleep;
mod strategies;
mod timing;
mod troubles;

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
    answers::SCENARIOS,
    byhand::SCENARIOS,
    callers::SCENARIOS,
    outage::SCENARIOS,
    returns::SCENARIOS,
    timing::SCENARIOS,
    cutoff::SCENARIOS,
    rules::SCENARIOS,
    services::SCENARIOS,
    colleagues::SCENARIOS,
    changes::SCENARIOS,
    troubles::SCENARIOS,
];
