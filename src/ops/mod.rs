//! What can be asked of a node, without a word of HTTP.
//!
//! An operation takes typed input and gives a typed answer or an [`OpError`]. The API turns requests
//! into operations and answers into bytes.

pub(crate) mod error;

pub(crate) use self::error::OpError;
