//! Geometry of the pictures: numbers and path strings only, no markup, so that the template writes (and escapes) every tag.
//!
//! A strip has at most [`COLUMNS`] columns however many samples there are, and a column shows the worst that it holds, by height
//! and pattern rather than by colour. Positions are in thousandths of the picture's width. Left out: a drawing library.

use serde::Serialize;

use crate::model::time::{At, Duration, Interval, Span};

/// The columns of a strip.
pub const COLUMNS: usize = 600;

/// The width of every picture.
const WIDTH: f64 = 1000.0;

/// What part of the run a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: At,
    pub to: At,
}

impl Window {
    /// Where an instant stands, in thousandths of the width.
    pub fn x(&self, at: At) -> f64 {
        share(at.since(self.from), self.to.since(self.from))
    }

    /// The column of an instant.
    pub fn column(&self, at: At) -> usize {
        let (part, whole) = (at.since(self.from).as_nanos(), self.to.since(self.from).as_nanos());
        let column = part * COLUMNS as u128 / whole.max(1);
        usize::try_from(column).map_or(COLUMNS - 1, |column| column.min(COLUMNS - 1))
    }

    /// An interval as a bar, wide enough to see.
    pub fn bar(&self, interval: &Interval) -> Bar {
        let x = self.x(interval.earliest);
        Bar { x: rounded(x), width: rounded((self.x(interval.latest) - x).max(3.0)) }
    }

    /// About six instants at round distances.
    pub fn ticks(&self) -> Vec<Tick> {
        const STEPS: [u64; 15] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400];
        let length = self.to.since(self.from).as_secs();
        let step = STEPS.into_iter().find(|step| length / step <= 6).unwrap_or(length / 6 + 1);
        (0..=length / step)
            .map(|i| Duration::from_secs(i * step))
            .map(|after| Tick {
                x: rounded(self.x(self.from.plus(after)) / 10.0),
                text: super::words::at_least(after),
            })
            .collect()
    }
}

/// A part of a whole in thousandths, within the picture.
fn share(part: Duration, whole: Duration) -> f64 {
    if whole == Duration::ZERO {
        0.0
    } else {
        (part.as_secs_f64() / whole.as_secs_f64()).clamp(0.0, 1.0) * WIDTH
    }
}

/// To two decimals: enough for paper, and short.
fn rounded(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// A bar in thousandths of the width.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bar {
    pub x: f64,
    pub width: f64,
}

/// A mark of the axis, in percent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tick {
    pub x: f64,
    pub text: String,
}

/// A measured interval drawn against its target.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gauge {
    pub bar: Bar,
    /// Where the target stands, and how much lies over it.
    pub target: Option<f64>,
    pub over: Option<Bar>,
    /// The measured has no upper end.
    pub open: bool,
}

/// Draws an interval against a target: the target at half of the width, unless the interval needs more room.
pub fn gauge(actual: &Span, target: Option<Duration>) -> Gauge {
    let far = actual.most.unwrap_or(actual.least.plus(actual.least));
    let whole = [
        target.map_or(Duration::ZERO, |target| target.plus(target)),
        far.plus(Duration::from(far.std() / 5)),
    ]
    .into_iter()
    .max()
    .unwrap_or_default();
    let x = share(actual.least, whole);
    let to = actual.most.map_or(WIDTH, |most| share(most, whole));
    let at = target.map(|target| rounded(share(target, whole)));
    Gauge {
        bar: Bar { x: rounded(x.min(WIDTH - 8.0)), width: rounded((to - x).max(8.0)) },
        target: at,
        over: at.map(|x| Bar { x, width: rounded(WIDTH - x) }),
        open: actual.most.is_none(),
    }
}

/// What a column of a strip holds, better first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Mark {
    /// Nothing was sent.
    #[default]
    None,
    Ok,
    Gap,
    Failed,
}

/// A strip as parts of three paths: low bars for ok, hatched middle ones for gaps, full ones for failures.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Strip {
    pub ok: Vec<String>,
    pub gap: Vec<String>,
    pub failed: Vec<String>,
}

/// Draws marks at their instants: the worst of each column, neighbours that are alike as one bar.
pub fn strip(window: Window, marks: impl Iterator<Item = (At, Mark)>) -> Strip {
    let mut columns = [Mark::None; COLUMNS];
    for (at, mark) in marks.filter(|(at, _)| window.from <= *at && *at <= window.to) {
        let column = &mut columns[window.column(at)];
        *column = (*column).max(mark);
    }
    Strip {
        ok: path(&columns, Mark::Ok, 13),
        gap: path(&columns, Mark::Gap, 7),
        failed: path(&columns, Mark::Failed, 0),
    }
}

/// The bars of one mark in a picture 600 wide and 20 high, from `top` to the bottom.
fn path(columns: &[Mark], mark: Mark, top: u32) -> Vec<String> {
    let mut path = Vec::new();
    let mut from = 0;
    for run in columns.chunk_by(|a, b| a == b) {
        if run[0] == mark {
            path.push(format!("M{from} 20V{top}H{}V20Z", from + run.len()));
        }
        from += run.len();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { from: At(0), to: At(600_000_000_000) };

    #[test]
    fn one_failure_among_a_million_samples_shows_and_the_strip_stays_small() {
        let marks =
            (0..1_000_000).map(|i| (At(i * 600_000), if i == 500_000 { Mark::Failed } else { Mark::Ok }));
        let strip = strip(WINDOW, marks);
        assert_eq!(strip.failed, ["M300 20V0H301V20Z"]);
        assert_eq!(strip.ok.len(), 2);
    }

    #[test]
    fn the_worst_striped_case_is_bounded_by_the_columns() {
        let marks = (0..1200_i64)
            .map(|i| (At(i * 500_000_000), if i / 2 % 2 == 0 { Mark::Failed } else { Mark::Ok }));
        let strip = strip(WINDOW, marks);
        assert_eq!(strip.ok.len() + strip.failed.len(), COLUMNS);
    }

    #[test]
    fn the_bar_of_a_gauge_stands_left_of_the_target_exactly_when_it_was_met() {
        let second = Duration::from_secs;
        let met = gauge(&Span { least: second(50), most: Some(second(59)) }, Some(second(60)));
        assert!(met.bar.x + met.bar.width < met.target.unwrap());
        let missed = gauge(&Span { least: second(61), most: None }, Some(second(60)));
        assert!(missed.bar.x > missed.target.unwrap() && missed.open);
        assert!((missed.bar.x + missed.bar.width - WIDTH).abs() < 0.1);
    }

    #[test]
    fn the_axis_has_few_marks_at_round_distances() {
        let texts: Vec<String> = WINDOW.ticks().into_iter().map(|tick| tick.text).collect();
        assert_eq!(texts, ["0s", "2m", "4m", "6m", "8m", "10m"]);
    }
}
