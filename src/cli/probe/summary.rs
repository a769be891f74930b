//! What a probe saw, in numbers: pure, samples in, text or JSON out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::wall;
use crate::cli::exit;
use crate::measure::latency::{Bar, Latencies, PERCENTILES, Took};
use crate::model::outage::{Outage, outages};
use crate::model::plan::Probe;
use crate::model::sample::{Sample, Seen};
use crate::model::target::RestoredClause;
use crate::model::time::{At, Duration, Interval, Span};
use crate::report::words;

/// How wide the longest bar is.
const WIDEST: u64 = 40;

/// What a probe saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub url: String,
    pub every: Duration,
    pub timeout: Duration,
    /// From the first question to the last.
    pub lasted: Duration,
    pub asked: u64,
    pub ok: u64,
    /// How many answers failed, by how.
    pub failed: BTreeMap<String, u64>,
    /// Questions that were not sent in time: this machine's fault.
    pub gaps: u64,
    pub outages: Vec<Down>,
    pub latencies: Vec<Took>,
    pub histogram: Vec<Bar>,
}

/// When it was down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Down {
    /// In UTC: the earliest and the latest instant at which it may have begun.
    pub began: [String; 2],
    /// The same of its end, if it had one.
    pub ended: Option<[String; 2]>,
    pub lasted: Span,
    pub failures: u64,
    /// How often it answered and failed again meanwhile.
    pub flaps: u32,
    /// Questions are missing at a bound, so it is not to be relied on.
    pub unsure: bool,
}

impl Summary {
    /// Of samples in any order; `began` is the anchor of their clock, in Unix nanoseconds.
    pub fn of(url: &str, probe: &Probe, restored_for: Duration, began: i64, samples: &[Sample]) -> Summary {
        let mut sorted: Vec<Sample> = samples.to_vec();
        sorted.sort_by_key(|sample| sample.sent);
        let (mut failed, mut latencies, mut ok, mut gaps) = (BTreeMap::new(), Latencies::default(), 0, 0);
        for sample in &sorted {
            latencies.add(sample);
            match &sample.seen {
                Seen::Ok => ok += 1,
                Seen::Failed(failure) => *failed.entry(failure.to_string()).or_default() += 1,
                Seen::Gap => gaps += 1,
            }
        }
        let clause = RestoredClause { lasting: restored_for, ..RestoredClause::default() };
        let end = sorted.iter().map(|sample| sample.completed).max().unwrap_or(At(0));
        let lasted = match (sorted.first(), sorted.last()) {
            (Some(first), Some(last)) => last.sent.since(first.sent),
            _ => Duration::ZERO,
        };
        Summary {
            url: url.to_owned(),
            every: probe.every,
            timeout: probe.timeout,
            lasted,
            asked: sorted.len() as u64,
            ok,
            failed,
            gaps,
            outages: outages(&sorted, &clause).iter().map(|outage| Down::of(outage, began, end)).collect(),
            latencies: latencies.took(),
            histogram: latencies.bars(),
        }
    }

    /// What it says to a script.
    pub fn exit(&self) -> u8 {
        match (self.ok, self.failed.is_empty()) {
            (_, false) => exit::MISSED,
            (0, true) => exit::NOT_SHOWN,
            (_, true) => exit::MET,
        }
    }

    /// What people read.
    pub fn text(&self) -> String {
        let Summary { url, every, timeout, asked, ok, gaps, .. } = self;
        let failed: u64 = self.failed.values().sum();
        let how: Vec<String> = self.failed.iter().map(|(how, count)| format!("{count} {how}")).collect();
        let how = if how.is_empty() { String::new() } else { format!(" ({})", how.join(", ")) };
        let lasted = words::exact(self.lasted);
        let mut text = format!(
            "{url}, every {every}, an answer awaited {timeout}\n{asked} asked in {lasted}: {ok} ok, {failed} failed{how}, {gaps} not sent in time\n"
        );
        for (number, outage) in self.outages.iter().enumerate() {
            text.push_str(&format!("outage {}: {}\n", number + 1, outage.text()));
        }
        if self.outages.is_empty() && failed > 0 {
            text.push_str("no outage: single failures between answers\n");
        }
        if !self.latencies.is_empty() {
            text.push('\n');
            text.push_str(&table(&self.latencies));
            text.push('\n');
            text.push_str(&bars(&self.histogram));
        }
        text
    }
}

impl Down {
    fn of(outage: &Outage, began: i64, end: At) -> Down {
        // Rounded outwards, so that what is read holds what was measured.
        let up = Duration::from_nanos(999_999);
        let shown = |at: &Interval| [wall(began, at.earliest), wall(began, at.latest.plus(up))];
        Down {
            began: shown(&outage.begin),
            ended: outage.end.as_ref().map(shown),
            lasted: outage.span(end),
            failures: outage.failures,
            flaps: outage.flaps,
            unsure: outage.gap_at_begin || outage.gap_at_end,
        }
    }

    fn text(&self) -> String {
        let [earliest, latest] = &self.began;
        let ended = match &self.ended {
            Some([earliest, latest]) => format!("ended {earliest} to {latest}"),
            None => "had not ended".to_owned(),
        };
        let flaps = if self.flaps == 0 {
            String::new()
        } else {
            format!(", answered in between {} times", self.flaps)
        };
        let unsure = if self.unsure { ", not sure: questions are missing at a bound" } else { "" };
        format!("{}, began {earliest} to {latest}, {ended}{flaps}{unsure}", words::span(&self.lasted))
    }
}

/// Stages by percentiles.
fn table(latencies: &[Took]) -> String {
    let head: Vec<String> = PERCENTILES.iter().map(|percentile| format!("p{percentile}")).collect();
    let row = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>10}")).collect();
        format!("{name:<12}{cells}\n")
    };
    let least = [vec!["least".to_owned()], head, vec!["most".to_owned()]].concat();
    let mut text = row("", least);
    for took in latencies {
        let all = std::iter::once(&took.least).chain(&took.percentiles).chain([&took.most]);
        text.push_str(&row(took.stage, all.map(|length| short(*length)).collect()));
    }
    text
}

/// The whole as bars.
fn bars(bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(1).max(1);
    let line = |bar: &Bar| {
        let width = (bar.count * WIDEST).div_ceil(most);
        let width = usize::try_from(width).unwrap_or_default();
        format!("up to {:>9} {:<40} {}\n", short(bar.up_to), "#".repeat(width), bar.count)
    };
    bars.iter().map(line).collect()
}

/// A length with three digits: `87.4us`, `1.23ms`, `2.05s`.
fn short(length: Duration) -> String {
    let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let (unit, size) = match nanos {
        0..1_000 => ("ns", 1),
        1_000..1_000_000 => ("us", 1_000),
        1_000_000..1_000_000_000 => ("ms", 1_000_000),
        _ => ("s", 1_000_000_000),
    };
    // In thousandths of the unit, rounded to three digits.
    let thousandths = nanos.saturating_mul(1000) / size;
    let (digits, step) = match thousandths {
        0..10_000 => (2, 10),
        10_000..100_000 => (1, 100),
        _ => (0, 1000),
    };
    let rounded = (thousandths + step / 2) / step * step;
    let (whole, rest) = (rounded / 1000, rounded % 1000);
    match digits {
        _ if size == 1 => format!("{nanos}{unit}"),
        2 => format!("{whole}.{:02}{unit}", rest / 10),
        1 => format!("{whole}.{}{unit}", rest / 100),
        _ => format!("{whole}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::sample::{Failure, Stages};

    fn probe() -> Probe {
        serde_json::from_value(
            json!({"id": "probe", "every": "10ms", "timeout": "1s", "from": ["outside"], "freshEvery": 1,
            "ask": {"http": {"url": "http://shop/"}}}),
        )
        .unwrap()
    }

    /// A question every 10 ms, refused within some of them.
    fn samples(refused: std::ops::Range<i64>, count: i64) -> Vec<Sample> {
        let sample = |number: i64| {
            let sent = At(number * 10_000_000);
            let (seen, nanos) = match refused.contains(&number) {
                true => (Seen::Failed(Failure::Refused), 50_000),
                false => (Seen::Ok, 1_234_567),
            };
            let completed = sent.plus(Duration::from_nanos(nanos));
            let stages = Stages { connect: 200_000, ..Stages::default() };
            Sample { scheduled: sent, sent, completed, seen, address: None, answered_by: None, stages }
        };
        (0..count).map(sample).collect()
    }

    fn summary(samples: &[Sample]) -> Summary {
        // 2026-01-01T00:00:00Z
        Summary::of("http://shop/", &probe(), Duration::from_millis(100), 1_767_225_600_000_000_000, samples)
    }

    #[test]
    fn an_outage_is_told_with_its_bounds_and_the_answers_with_their_percentiles() {
        let seen = summary(&samples(100..150, 300));
        insta::assert_snapshot!(seen.text());
        assert_eq!((seen.exit(), seen.outages.len()), (exit::MISSED, 1));
        assert_eq!(seen.outages[0].lasted.least, Duration::from_nanos(489_950_000));
    }

    #[test]
    fn what_answers_all_the_time_is_well_and_what_nobody_asked_is_not_shown() {
        assert_eq!(summary(&samples(0..0, 50)).exit(), exit::MET);
        assert_eq!(summary(&[]).exit(), exit::NOT_SHOWN);
    }

    #[test]
    fn a_length_has_three_digits() {
        for (nanos, shown) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1.00us"),
            (87_449, "87.4us"),
            (1_234_567, "1.23ms"),
            (99_960_000, "100.0ms"),
            (2_050_000_000, "2.05s"),
        ] {
            assert_eq!(short(Duration::from_nanos(nanos)), shown);
        }
    }
}
