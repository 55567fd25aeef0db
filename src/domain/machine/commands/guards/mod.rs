//! The guards: the rules that protect the guarantees of the state, one function per rule.
//!
//! `chaos/` has a small model of the system in which each guard can be disabled, to find what
//! breaks without it. The functions of `rows` are those rows of its table that apply enforces,
//! under the same names, and the rules about the contents of a checkpoint. The engine enforces the
//! other rows. With the feature `seeded-bugs`, the functions of `seeded` are used instead, which
//! disable a guard while its bug is switched on.

mod rows;
#[cfg(feature = "seeded-bugs")]
mod seeded;

#[cfg(not(feature = "seeded-bugs"))]
pub use self::rows::*;
#[cfg(feature = "seeded-bugs")]
pub use self::seeded::*;
