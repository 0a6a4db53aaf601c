//! The self-hosted record office for on-chain agents: the top floor, where rooms are composed.
//!
//! `src/cli` and `src/http` are doors, `up` and `serve` run the house, `config` gathers what every
//! room wants to know. The binary `chancery` is this library and a `main` of three lines; tests
//! under `tests/` drive both.

pub mod anchoring;
pub mod app;
pub mod beating;
pub mod bundle;
pub mod child;
pub mod cli;
pub mod config;
pub mod data_dir;
pub mod database;
pub mod demo;
pub mod devchain;
pub mod doctor;
mod error;
pub mod http;
pub mod indexing;
pub mod logging;
pub mod nodes;
pub mod postgres;
mod remembering;
pub mod resolver;
pub mod serve;
mod signals;
pub mod up;
mod witnessing;
pub mod working;

pub use error::Error;
