//! Golden stories of the engine's decisions.

mod story;
mod world;
