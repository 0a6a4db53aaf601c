//! Agents: what is told of them, and the rows that follow.
//!
//! Facts ([`fact`]) come from chains, documents, statements and operators; [`fold`] makes rows of them,
//! and is the only thing that does; [`project`] reads facts, folds and writes, set-based, and settles
//! what the journal is owed in the same transaction.

pub mod act;
pub mod agent;
pub mod alike;
pub mod by_tx;
mod claim;
mod config;
pub mod digest;
pub mod dirty;
pub mod document;
mod error;
pub mod fact;
pub mod fold;
pub mod head;
pub mod heartbeat;
pub mod history;
pub mod identifier;
pub mod key;
pub mod operator;
mod project;
pub mod registration;
pub mod request;
pub mod statement;
pub mod subject;
pub mod vexel;
pub mod watch;
mod window;

pub use config::Config;
pub use error::{Error, Result};
pub use project::{Feed, Mode, Report, States, project, project_window};
pub use window::Window;
