//! Reelmill: a file dropped into a watched place becomes published results.
//!
//! Read the modules in the order of an object's way: [`watch`] notices it, `service::intake` resolves it
//! through [`bucket`], [`rule`] says who wants it, the ledger in [`store`] decides whether it is new,
//! `service::dispatch` takes its [`job`], [`plan`] turns it into runs, [`worker`] starts a process for
//! each, `media` builds the pipeline in there, and `publish` gives the results their names.

pub mod api;
pub mod app;
pub mod bucket;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod diagnostic;
pub mod job;
pub mod media;
pub mod object;
pub mod plan;
pub mod publish;
pub mod rule;
pub mod service;
pub mod store;
pub mod watch;
pub mod worker;

#[cfg(test)]
mod reference_tests;
