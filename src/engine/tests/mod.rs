//! Golden stories of the engine's decisions.

mod assigning;
mod executors;
mod leaving;
mod moving;
mod script;
mod world;
