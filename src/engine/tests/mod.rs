//! Golden stories of the engine's decisions.

mod script;
mod world;
