//! Content against servers that help, lie, stall and fail.

mod fetch;
mod pin;
mod server;
