//! The program as its users have it: real processes, real sockets.

mod gateway_process;
mod odd_json;
mod pos;
mod process;
mod proxy;
mod terminal_process;
mod wire_terminal;

mod bytes;
mod interruptions;
mod journals;
mod presence;
