//! Content against servers that help, lie, stall and fail.

mod fetch;
mod killed;
mod pin;
mod server;
