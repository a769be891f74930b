//! A drill in memory as it went: its plan, its events and its rows, from which everything is measured.

use serde_json::{Value, json};

use drillmaster::journal::Memory;
use drillmaster::measure::{Actual, Measured, ServiceMeasured, measure};
use drillmaster::model::event::{Ended, Sink, What};
use drillmaster::model::evidence::Evidence;
use drillmaster::model::name::Name;
use drillmaster::model::sample::{Failure, Found, Row, RowFile, Sample, Seen, Stages, Write, WriteSeen};
use drillmaster::model::target::{Overall, Verdict};
use drillmaster::model::time::{At, Span};
use drillmaster::verdict::{Judged, judge};

pub(super) const S: i64 = 1_000_000_000;
pub(super) const PERIOD: i64 = S / 10;

/// A drill as it went: in seconds. East fails at 60 and comes back at 400, in the failback that begins at 300.
#[derive(Clone)]
pub(super) struct Drill {
    /// When each vantage sees the service down.
    pub(super) down: Vec<(&'static str, f64, f64)>,
    pub(super) fault_shows: Option<(f64, f64)>,
    /// Not sent, by any probe.
    pub(super) blind: Option<(f64, f64)>,
    /// When each vantage's control probe fails; there is none where it never does.
    pub(super) control_fails: Vec<(&'static str, f64, f64)>,
    /// Another probe of the service, each so many seconds: it is always answered.
    pub(super) sparse: Option<f64>,
    pub(super) declared: Option<f64>,
    /// The last write that the other side has.
    pub(super) replicated: u64,
    pub(super) objectives: Vec<Value>,
    pub(super) until: &'static str,
    /// The journal ends here.
    pub(super) ends: Option<Ended>,
    pub(super) rows_until: f64,
    pub(super) stable: bool,
    /// The way back begins at 300, and the store is read again at 449.
    pub(super) fails_back: bool,
    pub(super) with_ledger: bool,
    pub(super) load: Option<&'static str>,
    /// The first write.
    pub(super) written_from: u64,
    /// The last write that is there after the failback.
    pub(super) kept_by_failback: u64,
    /// The failover moved nobody: the lost side answers all the time.
    pub(super) lost_side_answers: bool,
    /// Answers tell which side they come from.
    pub(super) sides_are_told: bool,
    /// The answers of the way back come from the other side still.
    pub(super) never_taken_back: bool,
    /// Who answered in a time, whoever else would have: a side, or one that does not tell.
    pub(super) sides: Vec<(f64, f64, Option<&'static str>)>,
    /// When answers took 600 ms, and what was promised.
    pub(super) slow: Option<(f64, f64)>,
    pub(super) p99: Option<&'static str>,
    /// When the fault's own probe was answered though it showed.
    pub(super) opened: Vec<(f64, f64)>,
    /// The fault is proved by its objects, as `more` events say.
    pub(super) by_objects: bool,
    /// A recovery step of `inject` made something ready at 40.
    pub(super) warmed: bool,
    /// No write was acknowledged.
    pub(super) refused: Vec<(f64, f64)>,
    /// No write was answered.
    pub(super) hung: Option<(f64, f64)>,
    /// No write was sent.
    pub(super) unwritten: Option<(f64, f64)>,
    /// Records that are damaged whenever they are read.
    pub(super) corrupt: Vec<u64>,
    pub(super) steady_since: f64,
    /// The steady state was reached.
    pub(super) steady: bool,
    /// The last sample of the fault's own probe.
    pub(super) proof_until: f64,
    /// More events, each at its time.
    pub(super) more: Vec<(f64, Value)>,
    /// What is different in the plan.
    pub(super) planned: fn(&mut Value),
}

impl Default for Drill {
    fn default() -> Self {
        Self {
            down: vec![("outside", 60.0, 100.0), ("west", 60.0, 90.0)],
            fault_shows: Some((60.0, 400.0)),
            blind: None,
            control_fails: vec![],
            sparse: None,
            declared: Some(70.0),
            replicated: 290,
            objectives: vec![rta("60s", "impact")],
            until: "restored",
            ends: Some(Ended::Completed),
            rows_until: 500.0,
            stable: true,
            fails_back: true,
            with_ledger: true,
            load: None,
            written_from: 1,
            kept_by_failback: 600,
            lost_side_answers: false,
            sides_are_told: true,
            never_taken_back: false,
            sides: vec![],
            slow: None,
            p99: None,
            opened: vec![],
            by_objects: false,
            warmed: false,
            refused: vec![],
            hung: None,
            unwritten: None,
            corrupt: vec![],
            steady_since: 0.0,
            steady: true,
            proof_until: 500.0,
            more: vec![],
            planned: |_| {},
        }
    }
}

pub(super) fn rta(target: &str, origin: &str) -> Value {
    json!({"service": "checkout", "kind": "rta", "target": target, "origin": origin, "store": null, "lost": "east"})
}

pub(super) fn objective(kind: &str, target: Option<&str>, store: Option<&str>) -> Value {
    json!({"service": "checkout", "kind": kind, "target": target, "store": store, "lost": "east"})
}

pub(super) fn step(id: &str, stage: &str, action: Value) -> Value {
    json!({"id": id, "stage": stage, "title": null, "role": null, "runbook": null, "budget": null,
           "timeout": "5m", "onTimeout": "finding", "action": action})
}

/// An effect of a step that nothing takes back.
pub(super) fn effect(id: u32, step: &str, of: Value) -> Value {
    json!({"effectIntended": {"step": step, "undo": {"nothing": {"because": "it is a test"}},
        "effect": {"id": id, "act": {"ask": {"role": "r", "text": ""}}, "of": of}}})
}

/// A reading of the store.
pub(super) fn read(pass: u32, began: i64, stable: bool) -> Value {
    json!({"readBack": {"store": "orders", "pass": pass, "began": began * S, "answeredBy": "west",
                        "stable": stable, "outcome": "ok"}})
}

pub(super) fn nanos(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a few hundred seconds")]
    let nanos = (seconds * 1e9) as i64;
    nanos
}

impl Drill {
    fn plan(&self) -> Value {
        let mut plan = self.as_planned();
        (self.planned)(&mut plan);
        plan
    }

    fn as_planned(&self) -> Value {
        let probe = |id: &str, service: Value, control: bool, from: Value| {
            json!({"id": id, "service": service, "control": control, "every": "100ms", "timeout": "1s", "from": from,
                   "freshEvery": 1, "ask": {}})
        };
        let mut probes = vec![
            probe("checkout", json!("checkout"), false, json!(["outside", "west"])),
            probe("east-direct", json!(null), false, json!(["outside"])),
        ];
        if let Some(every) = self.sparse {
            let mut basket = probe("basket", json!("checkout"), false, json!(["outside"]));
            basket["every"] = json!(format!("{every}s"));
            probes.push(basket);
        }
        if !self.control_fails.is_empty() {
            probes.push(probe("control", json!(null), true, json!(["outside", "west"])));
        }
        let ledger = json!({"service": "checkout", "store": "orders", "url": "", "writesPerSecond": 5, "timeout": "1s",
                            "from": "outside"});
        let by = if self.by_objects { json!("objects") } else { json!({"probe": "east-direct"}) };
        let proof = json!({"by": by, "within": "20s", "until": self.until});
        let recover = |what: &str, moves: bool| json!({"recover": {"recover": {what: {}}, "region": "west", "movesAuthority": moves}});
        let mut steps = vec![
            step(
                "lose",
                "inject",
                json!({"fault": {"fault": {"isolate": {}}, "region": "east", "proof": proof}}),
            ),
            step("declare", "declare", json!({"declare": {"role": "duty-manager", "escalation": []}})),
            step("promote", "failover", recover("promote", true)),
            step("hold", "operate", json!({"wait": {"duration": "150s"}})),
            step(
                "back",
                "failback",
                json!({"recover": {"recover": {"resync": {}}, "region": "east", "movesAuthority": false}}),
            ),
        ];
        if self.warmed {
            steps.insert(0, step("warm", "inject", recover("scale", false)));
        }
        json!({
            "drill": "d", "purpose": "p", "type": "full", "announced": true, "absent": [], "lost": "east",
            "takesOver": "west", "regions": ["east", "west"], "namespaces": [],
            "services": [{"name": "checkout", "owner": null, "tier": null, "mtpd": null, "stores": ["orders"],
                          "restored": {"success": "100%", "for": "10s", "load": self.load, "p99": self.p99}}],
            "objectives": self.objectives,
            "severity": {"name": "sev1", "acknowledge": "5s", "engage": null, "update": null, "declare": "15s"},
            "expectations": [], "probes": probes,
            "ledgers": if self.with_ledger { vec![ledger] } else { vec![] },
            "steadyState": "30s", "limits": {"maxDuration": "1h", "abortWhen": []},
            "steps": steps,
            "pointOfNoReturn": null, "authorities": [], "longest": {"budgets": "0s", "timeouts": "0s"},
            "blastRadius": [], "runbook": null
        })
    }

    fn sample(&self, down: &[(f64, f64)], sent: i64) -> Sample {
        let within = |(from, to): (f64, f64)| nanos(from) <= sent && sent < nanos(to);
        let failed = down.iter().any(|span| within(*span));
        let gap = self.blind.is_some_and(within);
        let home = sent < nanos(80.0) || sent > nanos(400.0) && !self.never_taken_back;
        let region = if home || self.lost_side_answers { "east" } else { "west" };
        let (seen, took) = match (gap, failed) {
            (true, _) => (Seen::Gap, 0),
            (false, true) => (Seen::Failed(Failure::Timeout), S),
            (false, false) if self.slow.is_some_and(within) => (Seen::Ok, 600_000_000),
            (false, false) => (Seen::Ok, 5_000_000),
        };
        let told = self.sides.iter().find(|(from, to, _)| within((*from, *to)));
        let region = told.map_or(self.sides_are_told.then_some(region), |(.., side)| *side);
        Sample {
            scheduled: At(sent),
            sent: At(sent),
            completed: At(sent + took),
            seen,
            address: None,
            answered_by: region.map(Into::into),
            stages: Stages::default(),
        }
    }

    fn rows(&self, sink: &mut Memory) {
        let last = nanos(self.rows_until) / PERIOD;
        let put = |sink: &mut Memory, probe: &str, vantage: &str, down: &[(f64, f64)], phase: i64| {
            let last = if probe == "east-direct" { nanos(self.proof_until) / PERIOD } else { last };
            for index in 0..last {
                let mut line = String::new();
                self.sample(down, index * PERIOD + phase).write(&mut line);
                sink.row(At(index), &RowFile::Probe(probe.into(), vantage.into()), &line).unwrap();
            }
        };
        for (vantage, phase) in [("outside", 13), ("west", 37)] {
            let here = |spans: &[(&'static str, f64, f64)]| -> Vec<(f64, f64)> {
                let here = spans.iter().filter(|(at, ..)| *at == vantage);
                here.map(|(_, from, to)| (*from, *to)).collect()
            };
            put(sink, "checkout", vantage, &here(&self.down), phase * 1_000_000);
            if !self.control_fails.is_empty() {
                put(sink, "control", vantage, &here(&self.control_fails), 1);
            }
        }
        let shows = self.fault_shows.iter().flat_map(|(from, to)| {
            let ends = self.opened.iter().map(|(from, _)| *from).chain([*to]);
            [*from].into_iter().chain(self.opened.iter().map(|(_, to)| *to)).zip(ends)
        });
        put(sink, "east-direct", "outside", &shows.collect::<Vec<_>>(), 71 * 1_000_000);
        if let Some(every) = self.sparse {
            let sent = (0..).map(|index| nanos(1.0) + index * nanos(every));
            for sent in sent.take_while(|sent| *sent < nanos(self.rows_until)) {
                let mut line = String::new();
                self.sample(&[], sent).write(&mut line);
                sink.row(At(sent), &RowFile::Probe("basket".into(), "outside".into()), &line).unwrap();
            }
        }
        for number in self.written_from..=2499_u64 {
            let sent = At(i64::try_from(number).unwrap() * S / 5);
            if self.unwritten.is_some_and(|(from, to)| nanos(from) <= sent.0 && sent.0 < nanos(to)) {
                continue;
            }
            let within = |(from, to): (f64, f64)| nanos(from) <= sent.0 && sent.0 < nanos(to);
            let refused = self.refused.iter().copied().any(within);
            let hung = self.hung.is_some_and(within);
            let served = !refused && !hung && (sent < At(60 * S) || sent > At(100 * S));
            let epoch = if sent < At(60 * S) { 1 } else { 2 };
            let (seen, took) = match (hung, served) {
                (true, _) => (WriteSeen::Unknown(Failure::Timeout), S),
                (false, true) => (WriteSeen::Ok { epoch }, 5_000_000),
                (false, false) => (WriteSeen::Failed(Failure::Refused), 5_000_000),
            };
            let completed = At(sent.0 + took);
            let mut line = String::new();
            Write { number, scheduled: sent, sent, completed, seen, address: None }.write(&mut line);
            sink.row(sent, &RowFile::Writes("orders".into()), &line).unwrap();
            let there = served && (number <= self.replicated || epoch == 2);
            for pass in [1, 2] {
                let mut line = String::new();
                Found { number, epoch, intact: !self.corrupt.contains(&number) }.write(&mut line);
                let kept = number <= self.kept_by_failback || number > 600;
                if there && if pass == 1 { sent < At(130 * S) } else { kept && sent < At(449 * S) } {
                    sink.row(sent, &RowFile::Read("orders".into(), pass), &line).unwrap();
                }
            }
        }
        sink.bind(At(500 * S)).unwrap();
    }

    pub(super) fn evidence(&self) -> Evidence {
        let mut sink = Memory::default();
        let mut told = self.more.clone();
        let mut tell = |at: f64, what: Value| told.push((at, what));
        tell(
            0.0,
            json!({"runStarted": {"journal": 0, "version": "0", "run": "r", "rehearsal": true, "wallUnixNs": 0,
                                        "seed": 1, "inputs": {}, "plan": self.plan()}}),
        );
        if self.steady {
            tell(30.0, json!({"steady": {"since": nanos(self.steady_since), "outcome": "ok"}}));
        }
        if self.warmed {
            tell(40.0, json!({"stepStarted": {"step": "warm"}}));
            tell(40.0, effect(2, "warm", json!({"recovery": {"movesAuthority": false}})));
            tell(41.0, json!({"stepEnded": {"step": "warm", "outcome": "ok"}}));
        }
        tell(59.9, json!({"stepStarted": {"step": "lose"}}));
        tell(60.0, effect(0, "lose", json!("fault")));
        tell(61.0, json!({"stepEnded": {"step": "lose", "outcome": "ok"}}));
        if let Some(declared) = self.declared {
            tell(
                61.0,
                json!({"asked": {"step": "declare", "role": "duty-manager", "about": "declaration", "text": ""}}),
            );
            tell(
                declared,
                json!({"said": {"step": "declare", "role": "duty-manager", "who": "ada", "simulated": true,
                                           "said": "declared", "text": ""}}),
            );
        }
        tell(80.0, json!({"stepStarted": {"step": "promote"}}));
        tell(80.0, effect(1, "promote", json!({"recovery": {"movesAuthority": true}})));
        tell(85.0, json!({"stepEnded": {"step": "promote", "outcome": "ok"}}));
        tell(131.0, read(1, 130, self.stable));
        tell(140.0, json!({"stepStarted": {"step": "hold"}}));
        tell(290.0, json!({"stepEnded": {"step": "hold", "outcome": "ok"}}));
        if self.fails_back {
            tell(300.0, json!({"stepStarted": {"step": "back"}}));
            tell(400.0, json!({"undoStarted": {"effect": 0, "by": "engine"}}));
            tell(
                400.0,
                json!({"undoEnded": {"effect": 0, "by": "engine", "outcome": "ok", "conflicts": []}}),
            );
            tell(410.0, json!({"stepEnded": {"step": "back", "outcome": "ok"}}));
            tell(450.0, read(2, 449, self.stable));
        }
        told.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        for (at, what) in told {
            sink.append(At(nanos(at)), serde_json::from_value(what).unwrap()).unwrap();
        }
        self.rows(&mut sink);
        if let Some(how) = &self.ends {
            sink.append(At(500 * S), What::RunEnded { how: how.clone() }).unwrap();
        }
        sink.evidence()
    }

    pub(super) fn judged(&self) -> (Measured, Judged) {
        let evidence = self.evidence();
        let measured = measure(&evidence);
        let judged = judge(&evidence, &measured);
        (measured, judged)
    }

    pub(super) fn verdict(&self) -> (Overall, Verdict) {
        let (_, judged) = self.judged();
        (judged.overall, judged.objectives[0].verdict)
    }
}

pub(super) fn of(measured: &Measured) -> &ServiceMeasured {
    &measured.services[&Name::from("checkout")]
}

pub(super) fn secs(span: Actual) -> (f64, f64) {
    let Actual::Took(Span { least, most }) = span else { panic!("{span:?}") };
    (least.as_secs_f64(), most.map_or(f64::INFINITY, |most| most.as_secs_f64()))
}
