//! Golden stories and properties of the state machine.
