//! What the judge finds, and what it lets pass: a small log that breaks each rule, and beside it one that does not.

#[cfg(test)]
mod story;

mod calm;
mod false_failure;
mod false_success;
mod lost;
mod set_aside;
mod timeline;
mod twice;
mod without_outcome;
mod wrong_status;
