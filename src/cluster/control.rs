//! The socket of a live run, where people answer and abort: one JSON line in, one out, mode 0600.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Mode;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::people::{Answer, LivePeople};
use crate::world::watch;

/// The socket's name in the evidence folder.
pub const SOCKET: &str = "control.sock";

/// The longest line that is read.
const LONGEST_LINE: u64 = 64 * 1024;

/// What a person wants of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Wish {
    Answer(Answer),
    /// Abort, and heal.
    Abort,
}

/// What the run says to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Said {
    Ok(String),
    Refused(String),
}

/// A run's socket; gone when this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    serving: JoinHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.abort();
        // It may be gone with its folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Control {
    /// Listens at `control.sock` in a folder. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// Where another process listens there, so that the run is in its hands; or the path is too long for a socket (107 bytes).
    pub fn listen(folder: &Path, people: Arc<LivePeople>, abort: watch::Sender<bool>) -> io::Result<Control> {
        let path = folder.join(SOCKET);
        match std::os::unix::net::UnixStream::connect(&path) {
            Ok(_) => {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process runs in this folder"));
            }
            // What a process left that was killed.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(&path)?,
            Err(_) => {}
        }
        // Nobody else may connect in the instant before a change of mode.
        let before = rustix::process::umask(Mode::XUSR | Mode::RWXG | Mode::RWXO);
        let listener = UnixListener::bind(&path);
        rustix::process::umask(before);
        let listener = listener?;
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (people, abort) = (people.clone(), abort.clone());
                // One that hangs up, or says nothing, is nobody's loss.
                tokio::spawn(async move { serve(stream, &people, &abort).await });
            }
        });
        Ok(Control { path, serving })
    }
}

async fn serve(stream: UnixStream, people: &LivePeople, abort: &watch::Sender<bool>) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reading.take(LONGEST_LINE)).read_line(&mut line).await?;
    let said = match serde_json::from_str(&line) {
        Ok(Wish::Answer(answer)) => people.answer(&answer).map_or_else(Said::Refused, Said::Ok),
        Ok(Wish::Abort) => {
            abort.send(true);
            Said::Ok("aborting and healing".to_owned())
        }
        Err(error) => Said::Refused(format!("this is no wish: {error}")),
    };
    let mut answer = serde_json::to_vec(&said)?;
    answer.push(b'\n');
    writing.write_all(&answer).await
}

/// Says something to a run.
///
/// # Errors
/// Where no run listens in that folder, or it does not answer.
pub async fn say(folder: &Path, wish: &Wish) -> io::Result<Said> {
    let mut stream = UnixStream::connect(folder.join(SOCKET)).await?;
    let mut line = serde_json::to_vec(wish)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    BufReader::new(stream.take(LONGEST_LINE)).read_line(&mut answer).await?;
    Ok(serde_json::from_str(&answer)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cluster::people::Says;
    use crate::world::{About, People as _, Question};

    #[tokio::test]
    async fn an_answer_and_an_abort_reach_the_run_and_only_its_owner_may_connect() {
        let folder = tempfile::tempdir().unwrap();
        let people = Arc::new(LivePeople::default());
        let (abort, aborted) = watch::channel(false);
        let control = Control::listen(folder.path(), people.clone(), abort.clone()).unwrap();
        let second = Control::listen(folder.path(), people.clone(), abort).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        let mode = std::fs::metadata(folder.path().join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let about = About::Task;
        let mut asked = people.ask(Question { step: "s".into(), role: "r".into(), text: "t".into(), about });
        assert!(futures::poll!(&mut asked).is_pending());
        let done = Answer { who: "Dana".into(), step: None, says: Says::Done, text: "it is".into() };
        let said = say(folder.path(), &Wish::Answer(done.clone())).await.unwrap();
        assert!(matches!(said, Said::Ok(_)), "{said:?}");
        assert_eq!(asked.await.text, "it is");
        assert!(matches!(say(folder.path(), &Wish::Answer(done)).await.unwrap(), Said::Refused(_)));
        say(folder.path(), &Wish::Abort).await.unwrap();
        assert!(aborted.get());
        drop(control);
        assert!(say(folder.path(), &Wish::Abort).await.is_err());
        // What is left of a process that was killed is in nobody's way.
        drop(std::os::unix::net::UnixListener::bind(folder.path().join(SOCKET)).unwrap());
        Control::listen(folder.path(), people, watch::channel(false).0).unwrap();
    }
}
