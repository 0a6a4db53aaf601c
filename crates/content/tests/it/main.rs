//! Content against servers that help, lie, stall and fail.

mod fetch;
mod full_disk;
mod killed;
mod pin;
mod server;
