//! Local commands of a sandbox: none, since a rehearsal changes nothing on the machine that it runs on.

use std::io;

use futures::future::BoxFuture;

use crate::model::name::Name;
use crate::model::time::Duration;
use crate::world::{Commands, Printed};

/// No commands at all.
pub struct NoCommands;

impl Commands for NoCommands {
    fn run<'a>(&'a self, name: &'a Name, _: &'a [String], _: Duration) -> BoxFuture<'a, io::Result<Printed>> {
        let why = format!(
            "the command {name} does not run in a rehearsal: allow it in an environment file, and use --env"
        );
        Box::pin(std::future::ready(Err(io::Error::new(io::ErrorKind::PermissionDenied, why))))
    }
}
