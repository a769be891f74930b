//! The prober's TCP client: a fresh connection for each probe, secured where TLS is asked for, and what the server says first.

use std::pin::pin;
use std::sync::Arc;

use tokio::io::AsyncReadExt;

use super::{Answer, ProbeRun, left, target};
use crate::http::{BadRequest, Course, Dialled, Stage, Target, dial, within};
use crate::model::sample::Failure;
use crate::model::time::Duration;
use crate::probe::{self, Endpoint, Probe, contains};
use crate::world::{Clock, Net, Speaks};

/// How much of what a server says is read, in bytes.
const LONGEST_BANNER: usize = 4096;

pub(super) struct Client<'a> {
    probe: &'a dyn Probe,
    to: Target,
    /// What to wait for.
    banner: Option<String>,
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

impl<'a> Client<'a> {
    pub(super) fn new(
        probe: &'a dyn Probe,
        to: &Endpoint,
        banner: Option<String>,
        run: &ProbeRun,
    ) -> Result<Self, BadRequest> {
        Ok(Client {
            probe,
            to: target(to, Speaks::Anything)?,
            banner,
            net: run.net.clone(),
            clock: run.clock.clone(),
            timeout: run.probe.timeout,
        })
    }

    pub(super) async fn probe(&self) -> Answer {
        let mut course = Course::start(&*self.clock, Stage::Connect);
        let knocked = {
            let knocked = pin!(self.knocked(&mut course));
            within(Some(self.timeout), knocked).await
        };
        match knocked {
            Ok((banner, ends)) => {
                let certificate = ends.map(|ends| left(ends, &*self.clock));
                Answer::of(&course, self.probe.judge(probe::Answer::Tcp { banner: &banner, certificate }))
            }
            Err(failure) => course.broken(failure).into(),
        }
    }

    /// What the server says first, and when its certificate ends.
    async fn knocked(&self, course: &mut Course<'_>) -> Result<(Vec<u8>, Option<i64>), Failure> {
        let Dialled { mut stream, certificate_ends, .. } = dial(&*self.net, &self.to, course).await?;
        let mut banner = Vec::new();
        if let Some(text) = &self.banner {
            course.enter(Stage::FirstByte);
            let mut bytes = [0; 512];
            while !contains(&banner, text) && banner.len() < LONGEST_BANNER {
                match stream.read(&mut bytes).await {
                    Ok(0) => break,
                    Ok(length) => banner.extend_from_slice(&bytes[..length]),
                    Err(_) => return Err(Failure::Reset),
                }
            }
        }
        course.leave();
        Ok((banner, certificate_ends))
    }
}
