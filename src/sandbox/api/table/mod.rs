//! The tables that kubectl prints: an API server makes them, so that every client shows the same columns.
//!
//! ```text
//! columns (a line per column and kind) ─┐
//!   └─ pod (what a pod's row sums up)   ├─► table
//! stored (kinds that nothing acts on) ──┤
//! path (a definition's own columns) ────┘
//! ```
//! The columns are those of Kubernetes' own printers (pkg/printers/internalversion); a kind without any shows name and age, a custom
//! resource what its definition says. Ages count whole seconds of the region's clock.

mod columns;
mod path;
mod pod;
mod stored;

use std::sync::Arc;

use serde_json::{Value, json};

use super::path::Call;
use super::present;
use crate::model::time::At;
use crate::sandbox::clock::Clock;
use crate::sandbox::state::RegionState;

/// What a cell is made from.
pub(super) struct Row<'a> {
    object: &'a Value,
    clock: &'a Clock,
    now: At,
}

/// A column: its name, its type, whether only wide output shows it, and its cell.
struct Column {
    name: &'static str,
    kind: &'static str,
    wide: bool,
    cell: fn(&Row<'_>) -> Value,
}

/// A column of a definition.
struct Declared<'a> {
    name: &'a Value,
    kind: &'a str,
    declared: &'a Value,
}

impl<'a> Declared<'a> {
    fn of(declared: &'a Value) -> Self {
        Self { name: &declared["name"], kind: declared["type"].as_str().unwrap_or("string"), declared }
    }
}

/// A table of objects.
pub(super) fn table(state: &RegionState, call: &Call, items: &[Arc<Value>], list: &Value) -> Value {
    let own = declared(call);
    let (names, cells): (Vec<Value>, Vec<Vec<Value>>) = match &own {
        Some(own) => (own_columns(own), rows(state, items, |row| own_cells(row, own))),
        None => {
            let columns = columns::of(&call.served.resource);
            let cells = |row: &Row<'_>| columns.iter().map(|column| (column.cell)(row)).collect();
            (columns.iter().map(Column::definition).collect(), rows(state, items, cells))
        }
    };
    let row = |(item, cells): (&Arc<Value>, Vec<Value>)| match call.query.get("includeObject") {
        Some("None") => json!({"cells": cells}),
        Some("Object") => json!({"cells": cells, "object": present::seen(call, item)}),
        _ => json!({"cells": cells, "object": present::metadata(item)}),
    };
    let rows: Vec<Value> = items.iter().zip(cells).map(row).collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list,
        "columnDefinitions": names, "rows": rows})
}

fn rows(
    state: &RegionState,
    items: &[Arc<Value>],
    cells: impl Fn(&Row<'_>) -> Vec<Value>,
) -> Vec<Vec<Value>> {
    let now = state.clock.now();
    items.iter().map(|object| cells(&Row { object, clock: &state.clock, now })).collect()
}

impl Column {
    fn definition(&self) -> Value {
        let format = if self.name == "Name" { "name" } else { "" };
        json!({"name": self.name, "type": self.kind, "format": format, "description": "",
            "priority": u8::from(self.wide)})
    }
}

/// The columns that a custom resource's definition says, where it says any.
fn declared(call: &Call) -> Option<Vec<Declared<'_>>> {
    let all = call.served.declared("/additionalPrinterColumns")?.as_array().filter(|all| !all.is_empty())?;
    Some(all.iter().map(Declared::of).collect())
}

fn own_columns(own: &[Declared<'_>]) -> Vec<Value> {
    let name = json!({"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0});
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = own.iter().map(|Declared { name, kind, declared }| {
        json!({"name": name, "type": kind, "format": text(&declared["format"]),
            "description": text(&declared["description"]), "priority": declared["priority"].as_u64().unwrap_or(0)})
    });
    std::iter::once(name).chain(each).collect()
}

fn own_cells(row: &Row<'_>, own: &[Declared<'_>]) -> Vec<Value> {
    let cell = |Declared { kind, declared, .. }: &Declared<'_>| {
        let found = path::find(row.object, declared["jsonPath"].as_str().unwrap_or_default());
        let Some(found) = found.filter(|found| !found.is_null()) else { return Value::Null };
        match (*kind, found) {
            ("date", Value::String(time)) => json!(row.since(time)),
            ("date", _) => Value::Null,
            ("string", Value::String(_)) | ("integer" | "number", Value::Number(_)) => found.clone(),
            ("string", other) => json!(other.to_string()),
            ("boolean", Value::Bool(_)) => found.clone(),
            _ => Value::Null,
        }
    };
    std::iter::once(row.object["metadata"]["name"].clone()).chain(own.iter().map(cell)).collect()
}

impl Row<'_> {
    fn text(&self, path: &str) -> &str {
        self.object.pointer(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// The text at a path, or what stands for none.
    fn text_or(&self, path: &str, none: &str) -> Value {
        let text = self.text(path);
        json!(if text.is_empty() { none } else { text })
    }

    fn count(&self, path: &str) -> i64 {
        self.object.pointer(path).and_then(Value::as_i64).unwrap_or(0)
    }

    fn list(&self, path: &str) -> &[Value] {
        self.object.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// How long ago an instant was, as kubectl says it.
    fn since(&self, time: &str) -> String {
        self.clock
            .read(time)
            .map_or_else(|| "<unknown>".into(), |at| said((self.now.0 - at.0) / 1_000_000_000))
    }
}

/// A span of seconds in its two largest units, as apimachinery's `HumanDuration` rounds it.
fn said(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two = |large: i64, unit: &str, small: i64, part: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{part}"),
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1..0 => "0s".into(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if years < 2 => format!("{days}d"),
        _ if years < 8 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn a_span_is_said_as_kubectl_says_it() {
        for (seconds, words) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (3_600, "60m"),
            (3 * 3_600, "3h"),
            (3 * 3_600 + 60, "3h1m"),
            (47 * 3_600, "47h"),
            (3 * 86_400 + 3_600, "3d1h"),
            (8 * 86_400 + 3_600, "8d"),
            (2 * 365 * 86_400 + 86_400, "2y1d"),
        ] {
            assert_eq!(said(seconds), words, "{seconds}");
        }
    }
}
