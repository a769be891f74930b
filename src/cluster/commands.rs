//! Local commands: only those that the environment allows by name (I15), never through a shell.

use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::environment::AllowedCommand;
use crate::model::name::Name;
use crate::model::time::Duration;
use crate::world::{Commands, Printed};

/// How much of what a command prints is kept.
const LONGEST_OUTPUT: u64 = 1024 * 1024;

/// The commands of an environment.
pub struct AllowedCommands {
    run: BTreeMap<Name, Vec<String>>,
}

impl AllowedCommands {
    /// These and no others.
    pub fn new(allowed: &[AllowedCommand]) -> Self {
        Self { run: allowed.iter().map(|command| (command.name.clone(), command.run.clone())).collect() }
    }
}

impl Commands for AllowedCommands {
    fn run<'a>(
        &'a self,
        name: &'a Name,
        argv: &'a [String],
        timeout: Duration,
    ) -> BoxFuture<'a, io::Result<Printed>> {
        Box::pin(async move {
            let Some([program, first @ ..]) = self.run.get(name).map(Vec::as_slice) else {
                let why = format!("the environment does not allow the command {name}: add it to `commands`");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            };
            let mut child = Command::new(program)
                .args(first)
                .args(argv)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit())
                .kill_on_drop(true)
                .spawn()?;
            let out = child.stdout.take();
            let ended = async {
                let out = printed(out).await?;
                Ok::<_, io::Error>(Printed { status: child.wait().await?.code().unwrap_or(-1), out })
            };
            match tokio::time::timeout(timeout.std(), ended).await {
                Ok(ended) => ended,
                Err(_) => {
                    Err(io::Error::new(io::ErrorKind::TimedOut, format!("{name} ran longer than {timeout}")))
                }
            }
        })
    }
}

/// What it printed, up to the limit; the rest is read and forgotten, so that it does not wait for a reader.
async fn printed(out: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let Some(mut out) = out else { return Ok(String::new()) };
    let mut kept = Vec::new();
    (&mut out).take(LONGEST_OUTPUT).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut out, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> AllowedCommands {
        let command = |name: &str, run: &[&str]| AllowedCommand {
            name: name.into(),
            run: run.iter().map(|part| (*part).to_owned()).collect(),
        };
        AllowedCommands::new(&[command("say", &["printf", "%s|%s"]), command("refuse", &["false"])])
    }

    #[tokio::test]
    async fn an_allowed_command_gets_its_arguments_as_they_are_and_no_other_runs() {
        let commands = allowed();
        let minute = Duration::from_secs(60);
        let argv = ["$HOME; rm -rf /".to_owned(), "b c".to_owned()];
        let printed = commands.run(&"say".into(), &argv, minute).await.unwrap();
        assert_eq!(printed, Printed { status: 0, out: "$HOME; rm -rf /|b c".to_owned() });
        assert_eq!(commands.run(&"refuse".into(), &[], minute).await.unwrap().status, 1);
        let refused = commands.run(&"sh".into(), &[], minute).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
}
