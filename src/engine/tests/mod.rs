//! Golden stories of the engine's decisions.

mod assigning;
mod executors;
mod moving;
mod script;
mod world;
