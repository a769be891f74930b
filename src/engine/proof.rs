//! Whether a fault shows its effect: by its probe, or by its objects, which are looked at for as long as the effect is owed.
//!
//! A look says what was so at some instant of it. So what two looks tell differently changed between the beginning of the one and the
//! end of the other; and a look that could not be read says nothing, but that nobody looked.

use std::time::Duration as StdDuration;

use super::steps::LOOK_EVERY;
use super::{Engine, Stop};
use crate::fault::FaultKind;
use crate::model::event::{Outcome, SinkError, What};
use crate::model::name::{Region, StepId};
use crate::model::plan::{Proof, ProofBy, ProofUntil};
use crate::model::scene::Progress;
use crate::model::time::{At, Interval};

/// How often the objects of a fault are looked at while its effect is owed.
const PROOF_EVERY: StdDuration = StdDuration::from_secs(5);

/// A fault whose objects must go on showing its effect.
#[derive(Clone)]
pub(super) struct Owed {
    pub step: StepId,
    fault: FaultKind,
    region: Region,
    /// When they were last asked and answered.
    looked: At,
    /// What that answer said.
    shown: bool,
    /// They were asked since, and could not be read.
    unread: bool,
}

impl Engine {
    /// Waits until a fault's effect shows; a fault that does nothing ends the run.
    pub(super) async fn shown(
        &self,
        step: &StepId,
        fault: &FaultKind,
        region: &Region,
        proof: &Proof,
        began: At,
    ) -> Result<Outcome, Stop> {
        let late = || Outcome::failed(format!("its effect did not show within {}", proof.within));
        match &proof.by {
            ProofBy::Probe(probe) => {
                let fails = self.live.until(|live| live.failing_since(probe, began));
                Ok(tokio::time::timeout(proof.within.std(), fails)
                    .await
                    .map_or_else(|_| late(), |()| Outcome::Ok))
            }
            ProofBy::Objects => {
                let deadline = self.world.clock.now().plus(proof.within);
                let mut looked = began;
                loop {
                    let (sent, progress) = self.objects_show(step, fault, region).await;
                    let seen = Interval::between(looked, self.world.clock.now());
                    match progress {
                        Ok(Progress::Done) => {
                            self.proof(step, seen, true, "the objects show it".to_owned())?;
                            if proof.until != ProofUntil::Once {
                                let (step, fault, region) = (step.clone(), fault.clone(), region.clone());
                                let owed =
                                    Owed { step, fault, region, looked: sent, shown: true, unread: false };
                                self.owed.borrow_mut().push(owed);
                            }
                            return Ok(Outcome::Ok);
                        }
                        Ok(Progress::Waiting(_)) | Err(_) if self.world.clock.now() < deadline => {
                            looked = if progress.is_ok() { sent } else { looked };
                            tokio::time::sleep(LOOK_EVERY).await;
                        }
                        Ok(Progress::Waiting(detail)) | Err(detail) => {
                            self.proof(step, seen, false, detail)?;
                            return Ok(late());
                        }
                    }
                }
            }
        }
    }

    fn proof(&self, step: &StepId, seen: Interval, shown: bool, detail: String) -> Result<(), SinkError> {
        self.recorder.append(What::Proof { step: step.clone(), seen, shown, detail })
    }

    /// What the objects of a fault say of its effect, and when they were asked.
    pub(super) async fn objects_show(
        &self,
        step: &StepId,
        fault: &FaultKind,
        region: &Region,
    ) -> (At, Result<Progress, String>) {
        let scene = self.scene(step, region);
        let sent = self.world.clock.now();
        let facts = crate::inventory::read(&self.world, &fault.behaviour().watches(&scene)).await;
        (sent, fault.behaviour().in_effect(&scene, &facts).map_err(|unread| unread.to_string()))
    }

    /// Looks at the objects of faults whose effect is owed, and writes down when it is gone or back, and while nobody can look; for as
    /// long as the run lasts.
    pub(super) async fn watch_proofs(&self) -> Stop {
        loop {
            tokio::time::sleep(PROOF_EVERY).await;
            let owed = self.owed.borrow().clone();
            for owed in owed {
                let (sent, progress) = self.objects_show(&owed.step, &owed.fault, &owed.region).await;
                // Removed by its own step meanwhile: nothing is owed any more.
                if !self.owed.borrow().iter().any(|now| now.step == owed.step) {
                    continue;
                }
                if let Err(error) = self.looked(owed, sent, progress) {
                    return error.into();
                }
            }
        }
    }

    /// Takes in a look at what is owed: what changed did so since the last look that could see.
    fn looked(&self, mut owed: Owed, sent: At, progress: Result<Progress, String>) -> Result<(), SinkError> {
        let what = Proof::looked_at(&owed.step);
        match progress {
            Err(why) if !owed.unread => {
                owed.unread = true;
                self.observed(what, owed.looked, Outcome::unknown(why))?;
            }
            Err(_) => {}
            Ok(progress) => {
                if std::mem::take(&mut owed.unread) {
                    self.observed(what, owed.looked, Outcome::Ok)?;
                }
                let (shown, detail) = match progress {
                    Progress::Done => (true, "the objects show it again".to_owned()),
                    Progress::Waiting(detail) => (false, detail),
                };
                if shown != owed.shown {
                    let seen = Interval::between(owed.looked, self.world.clock.now());
                    self.proof(&owed.step, seen, shown, detail)?;
                }
                (owed.looked, owed.shown) = (sent, shown);
            }
        }
        if let Some(known) = self.owed.borrow_mut().iter_mut().find(|known| known.step == owed.step) {
            *known = owed;
        }
        Ok(())
    }
}
