//! Golden stories of the engine's decisions.

mod executors;
mod script;
mod world;
