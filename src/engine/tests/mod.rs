//! Golden stories of the engine's decisions.

mod executors;
mod moving;
mod script;
mod world;
