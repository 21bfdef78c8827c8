//! The program `tillgate`: parses, wires and prints, and decides nothing about money.

mod board;
mod clock;
mod connection;
mod demo;
mod diagnose;
#[cfg(feature = "faults")]
mod fault;
mod fleet;
mod init;
mod key;
mod level_settings;
mod logs;
mod nexo_key;
mod paint;
mod pay;
mod port;
mod program;
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

// Each is described where its arguments are.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Init(init::Init),
    #[command(subcommand)]
    Key(key::Key),
    Board(board::Board),
    Terminal(terminal::Terminal),
    Terminals(terminals::Terminals),
    Pay(pay::Pay),
    Diagnose(diagnose::Diagnose),
    #[command(subcommand)]
    Fleet(fleet::Fleet),
    #[command(subcommand)]
    Settings(level_settings::LevelSettings),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    logs::start(match cli.command {
        Command::Serve(_) => "info",
        // What becomes of the terminal is said to people already.
        Command::Terminal(_) => "warn,virtual_terminal::state=off",
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
    #[cfg(feature = "faults")]
    fault::switch()?;
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
            Command::Fleet(fleet) => fleet.run().await,
            Command::Settings(settings) => settings.run().await,
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

    #[test]
    fn every_command_says_what_it_is_for_in_one_line() {
        for command in Cli::command().get_subcommands() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!((10..100).contains(&about.len()), "{}: {about:?}", command.get_name());
        }
    }
}
