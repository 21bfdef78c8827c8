//! The program `tillgate`: parses, wires and prints, and decides nothing about money.

mod board;
mod clock;
mod connection;
mod demo;
mod diagnose;
mod init;
mod key;
mod logs;
mod paint;
mod pay;
mod port;
mod sale;
mod serve;
mod settings;
mod signals;
mod terminal;
mod terminals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Idle links are nearly all that a gateway holds, and they come and go by the ten thousand: the system's allocator keeps the
/// memory of those that have gone.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// An open, self-hosted cloud for payment terminals.
///
/// Terminals keep one live connection to it; POS systems reach them through it. Start with `tillgate demo`: it needs
/// nothing, and takes a first virtual payment within a minute.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a gateway with virtual terminals, to try everything out
    Demo(demo::Demo),
    /// Run a gateway
    Serve(serve::Serve),
    /// Set an installation up: company, merchant account, stores, terminals, first API key
    Init(init::Init),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Key(key::Key),
    /// Make a boarding code for a terminal
    Board(board::Board),
    /// Run a virtual terminal
    Terminal(terminal::Terminal),
    /// Watch which terminals are connected
    Terminals(terminals::Terminals),
    /// Take a payment, as a POS does
    Pay(pay::Pay),
    /// Ask a terminal about its health
    Diagnose(diagnose::Diagnose),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    logs::start(match cli.command {
        Command::Serve(_) => "info",
        _ => "warn",
    });
    // Fails only if it was done before, which is as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {error:#}", paint::stderr("error:", paint::RED));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ran = runtime.block_on(async {
        match command {
            Command::Demo(demo) => Box::pin(demo.run()).await,
            Command::Serve(serve) => Box::pin(serve.run()).await,
            Command::Init(init) => init.run().await,
            Command::Key(key) => key.run().await,
            Command::Board(board) => board.run().await,
            Command::Terminal(terminal) => terminal.run().await,
            Command::Terminals(terminals) => terminals.run().await,
            Command::Pay(pay) => pay.run().await,
            Command::Diagnose(diagnose) => diagnose.run().await,
        }
    });
    // What is still blocked, such as a look-up of a name, must not hold the program up.
    runtime.shutdown_background();
    ran
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }
}
