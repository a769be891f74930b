//! The command line: one file per subcommand, and `exit` for what they return. The only room that prints.
//!
//! People read stderr; stdout is for what a program asked for. A display that cannot be written stops nothing. What is said may come
//! from documents, clusters and journals, which are hostile (I15): only `say`, `print` and `print_json` write it, and a
//! terminal is steered by none of it; `show` writes diagnostics, which are plain already and have colours of ours.

pub mod answer;
pub mod env;
pub mod exit;
pub mod explain;
mod files;
pub mod heal;
pub mod inputs;
pub mod ledger;
pub mod live;
mod manifests;
pub mod new;
pub mod people;
pub mod plan;
pub mod probe;
pub mod progress;
pub mod rehearsal;
pub mod report;
pub mod rights;
pub mod run;
pub mod sandbox;
pub mod schema;
pub mod signals;
pub mod validate;
pub mod vantage;
pub mod verify;

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use answer::Answer;
use clap::{Parser, Subcommand, ValueEnum};

use crate::cluster::people::Says;
use crate::document::Look;
use crate::document::diagnostic::steers;

/// Runs disaster recovery drills, measures the recovery time and data loss that really happened, and proves it.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
#[command(after_help = "Example: drillmaster run scenarios/checkout-region-failover.yaml")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Plan(plan::Args),
    Validate(validate::Args),
    Explain(explain::Args),
    New(new::Args),
    Schema(schema::Args),
    Heal(heal::Heal),
    Verify(verify::Verify),
    Report(report::Report),
    Ledger(ledger::Args),
    Vantage(vantage::Args),
    Probe(probe::Args),
    Sandbox(sandbox::Args),
    Env(env::Args),
    /// Acknowledge a page of a live run.
    #[command(after_help = "Example: drillmaster ack reports/checkout-region-failover-0198 --who Dana")]
    Ack(people::Args),
    /// Say to a live run that a task is done, the disaster is declared, or a held step was done by hand.
    #[command(after_help = "Example: drillmaster done reports/checkout-region-failover-0198 --who Dana")]
    Done(people::Args),
    /// Have a live run try a held step again.
    #[command(
        after_help = "Example: drillmaster retry reports/checkout-region-failover-0198 --step traffic-west"
    )]
    Retry(people::Args),
    /// Have a live run go on without a held step.
    #[command(
        after_help = "Example: drillmaster skip reports/checkout-region-failover-0198 --step notify --reason \"told by phone\""
    )]
    Skip(people::Skip),
    /// Have a live run fail back now.
    #[command(after_help = "Example: drillmaster return reports/checkout-region-failover-0198")]
    Return(people::Args),
    /// Abort a live run, and heal.
    #[command(after_help = "Example: drillmaster abort reports/checkout-region-failover-0198")]
    Abort(people::Abort),
}

/// What goes to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// What people read.
    #[default]
    Text,
    /// What programs read.
    Json,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let ended = run_command(Cli::parse().command);
    // As what is not on record, it outranks a verdict.
    let verdicts = [exit::MET, exit::MISSED, exit::NOT_SHOWN, exit::INVALID].map(exit::code);
    let unprinted = UNPRINTED.load(Ordering::Relaxed);
    if unprinted && verdicts.contains(&ended) { exit::code(exit::JOURNAL) } else { ended }
}

fn run_command(command: Command) -> ExitCode {
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments, look()),
        Command::Explain(arguments) => answered(explain::run(&arguments)),
        Command::New(arguments) => answered(new::run(&arguments)),
        Command::Schema(arguments) => answered(schema::run(&arguments)),
        Command::Heal(arguments) => heal::run(&arguments),
        Command::Report(arguments) => match report::run(&arguments) {
            Ok(()) => exit::code(exit::MET),
            Err(error) => failed(&error, error.exit()),
        },
        Command::Verify(arguments) => verified(&arguments),
        Command::Ledger(arguments) => serving(ledger::run(arguments)),
        Command::Vantage(arguments) => serving(vantage::run(arguments)),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Sandbox(arguments) => sandbox::run(&arguments),
        Command::Env(arguments) => env::run(&arguments),
        Command::Ack(arguments) => people::answer(&arguments, Says::Acknowledge),
        Command::Done(arguments) => people::answer(&arguments, Says::Done),
        Command::Retry(arguments) => people::answer(&arguments, Says::Retry),
        Command::Skip(people::Skip { args, reason }) => people::answer(&args, Says::Skip { reason }),
        Command::Return(arguments) => people::answer(&arguments, Says::Return),
        Command::Abort(arguments) => people::abort(&arguments),
    }
}

/// What serves, or asks what is served, until it is done.
fn serving<E: std::error::Error>(work: impl Future<Output = Result<u8, E>>) -> ExitCode {
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, exit::BUG),
    };
    match runtime.block_on(work) {
        Ok(code) => exit::code(code),
        Err(error) => failed(&error, exit::USAGE),
    }
}

fn verified(arguments: &verify::Verify) -> ExitCode {
    let (seen, code) = arguments.run();
    match (arguments.output, serde_json::to_string_pretty(&seen)) {
        (OutputFormat::Text, _) => print(&verify::text(&seen)),
        (OutputFormat::Json, Ok(json)) => print_json(&json),
        (OutputFormat::Json, Err(error)) => return failed(&error, exit::BUG),
    }
    exit::code(code)
}

fn answered(answer: Answer) -> ExitCode {
    match answer {
        Answer::Said(text) => {
            print(&text);
            exit::code(exit::MET)
        }
        Answer::Refused(text) => {
            say(text.trim_end());
            exit::code(exit::USAGE)
        }
    }
}

fn failed(error: &dyn std::error::Error, code: u8) -> ExitCode {
    say(&format!("error: {error}"));
    exit::code(code)
}

/// How diagnostics look on stderr: with colours on a terminal that has not been asked to do without.
fn look() -> Look {
    match std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        true => Look::Coloured,
        false => Look::Plain,
    }
}

/// Lines for people. One that cannot be written is no reason to stop a drill (I6).
fn say(lines: &str) {
    let _ = writeln!(std::io::stderr(), "{}", steerless(lines));
}

/// Diagnostics for people.
fn show(rendered: &str) {
    let _ = writeln!(std::io::stderr(), "{rendered}");
}

/// What was asked for could not be printed.
static UNPRINTED: AtomicBool = AtomicBool::new(false);

/// Text on stdout.
fn print(text: &str) {
    put(&steerless(text));
}

/// Whoever closed the pipe has read enough; a full disk has not.
fn put(text: &str) {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            if !UNPRINTED.swap(true, Ordering::Relaxed) {
                say(&format!("error: standard output cannot be written: {error}"));
            }
        }
        Ok(()) | Err(_) => {}
    }
}

/// JSON on stdout. What could steer a terminal stands inside its texts, where it is escaped: that changes no value.
fn print_json(json: &str) {
    let mut text = String::with_capacity(json.len() + 1);
    for c in json.trim_end().chars() {
        match c {
            c if c == '\n' || !steers(c) => text.push(c),
            c => text.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    text.push('\n');
    put(&text);
}

/// Lines without what could steer a terminal.
fn steerless(lines: &str) -> String {
    lines.chars().map(|c| if c != '\n' && steers(c) { '\u{fffd}' } else { c }).collect()
}
