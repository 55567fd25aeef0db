//! The guards: the rules that stand between the state and a broken promise, one function a rule.
//!
//! `chaos/` has a small model of the system from which each guard can be taken out, to see what
//! breaks without it. The functions of `rows` are the rows of its table that apply holds, under the
//! same names, and the rules about what a checkpoint holds; the other rows of the table belong to the
//! engine. Programs with the feature `seeded-bugs` call the functions of `seeded` in their place,
//! which leave a guard out while its bug is on.

mod rows;
#[cfg(feature = "seeded-bugs")]
mod seeded;

#[cfg(not(feature = "seeded-bugs"))]
pub use self::rows::*;
#[cfg(feature = "seeded-bugs")]
pub use self::seeded::*;
