//! What people say to a live run, through its socket: `ack`, `done`, `retry`, `skip`, `return`, `abort`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{exit, failed, live, print, say};
use crate::cluster::control::{self, Said, Wish};
use crate::cluster::people::{Answer, Says};
use crate::model::name::StepId;

/// Who says what to which run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The evidence folder of the run.
    pub folder: PathBuf,
    /// The step that it is about; not needed where only one waits.
    #[arg(long)]
    pub step: Option<StepId>,
    /// Who says it.
    #[arg(long, env = "USER", default_value = "somebody")]
    pub who: String,
    /// What the record is to say beside it.
    #[arg(long, default_value = "")]
    pub text: String,
}

/// The same, with a reason.
#[derive(Debug, clap::Args)]
pub struct Skip {
    #[command(flatten)]
    pub args: Args,
    /// Why the drill goes on without the step; it stands in the report.
    #[arg(long)]
    pub reason: String,
}

/// A run to abort.
#[derive(Debug, clap::Args)]
pub struct Abort {
    /// The evidence folder of the run.
    pub folder: PathBuf,
}

/// Gives an answer.
pub fn answer(args: &Args, says: Says) -> ExitCode {
    let answer =
        Answer { who: args.who.as_str().into(), step: args.step.clone(), says, text: args.text.clone() };
    tell(&args.folder, &Wish::Answer(answer))
}

/// Asks for an abort.
pub fn abort(args: &Abort) -> ExitCode {
    tell(&args.folder, &Wish::Abort)
}

fn tell(folder: &Path, wish: &Wish) -> ExitCode {
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, exit::BUG),
    };
    match runtime.block_on(control::say(folder, wish)) {
        Ok(Said::Ok(said)) => {
            print(&format!("{said}\n"));
            exit::code(exit::MET)
        }
        Ok(Said::Refused(why)) => {
            say(&format!("error: {why}"));
            exit::code(exit::USAGE)
        }
        Err(error) => {
            let folder = folder.display();
            say(&format!(
                "error: no run listens in {folder}: {error}: it is over, or this is not its folder"
            ));
            exit::code(exit::USAGE)
        }
    }
}
