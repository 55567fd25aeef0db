//! Faults and checkers.
