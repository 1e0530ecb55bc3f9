//! One attempt to make a release current: its phases from the plan to the conclusion.
//!
//! [`forward`], [`backward`] and [`live`] are the three ways in. They look ([`prepare`], [`baseline`]), say what must
//! be true ([`expect`]), and hand over to [`course`], which ships, verifies, bakes and puts right.

pub(crate) mod attempt;
pub(crate) mod backward;
pub(crate) mod baseline;
pub(crate) mod conclude;
pub(crate) mod configuration;
pub(crate) mod course;
pub(crate) mod destination;
pub(crate) mod diagnose;
pub(crate) mod event;
pub(crate) mod expect;
pub(crate) mod explain;
pub(crate) mod finish;
pub(crate) mod forward;
pub(crate) mod interrupt;
pub(crate) mod job;
pub(crate) mod live;
pub(crate) mod ownership;
pub(crate) mod plan;
pub(crate) mod prepare;
pub(crate) mod recall;
pub(crate) mod report;
pub(crate) mod returning;
pub(crate) mod rules;
pub(crate) mod settle;
pub(crate) mod ship;
pub(crate) mod shipment;
pub(crate) mod stages;
pub(crate) mod supersede;
pub(crate) mod witnesses;
