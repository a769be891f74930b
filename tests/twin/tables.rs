//! Tables as `kubectl get -A` prints them: of the sandbox, and read back from a text, without what no two clusters share.

use http::Request;
use serde_json::Value;

/// Columns of times and of what only one cluster can have; `ADDRESS` is of Ingresses, whose controller not every cluster has.
const OF_ONE_CLUSTER: [&str; 7] =
    ["ADDRESS", "AGE", "CREATED AT", "DURATION", "LAST SCHEDULE", "RESTARTS", "VOLUME"];

/// The letters of generated names.
pub const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";

async fn asked(client: &kube::Client, path: &str, accept: &str) -> Value {
    let request = Request::get(path).header("accept", accept).body(Vec::new()).unwrap();
    client.request(request).await.unwrap()
}

/// The table of a kind, `deployments.apps`, as kubectl would print it.
pub async fn served(client: &kube::Client, kind: &str) -> String {
    let (plural, group) = kind.split_once('.').unwrap_or((kind, ""));
    let path = match group {
        "" => format!("/api/v1/{plural}"),
        group => {
            let about = asked(client, &format!("/apis/{group}"), "application/json").await;
            format!("/apis/{}/{plural}", about["preferredVersion"]["groupVersion"].as_str().unwrap())
        }
    };
    let table = asked(client, &path, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").await;
    let columns: Vec<(usize, String)> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .filter(|(_, column)| column["priority"] == 0)
        .map(|(index, column)| (index, column["name"].as_str().unwrap().to_uppercase()))
        .collect();
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut lines = vec![columns.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>()];
    let rows = table["rows"].as_array().cloned().unwrap_or_default();
    let namespaced = rows.iter().any(|row| row["object"]["metadata"]["namespace"].is_string());
    lines.extend(
        rows.iter().map(|row| columns.iter().map(|(index, _)| text(&row["cells"][*index])).collect()),
    );
    if namespaced {
        lines[0].insert(0, "NAMESPACE".to_owned());
        for (line, row) in lines[1..].iter_mut().zip(&rows) {
            line.insert(0, text(&row["object"]["metadata"]["namespace"]));
        }
    }
    if rows.is_empty() { String::new() } else { printed(&lines) }
}

fn printed(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or_default() + 3;
    let padded = |line: &Vec<String>| {
        let cells = line.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column)));
        cells.collect::<String>().trim_end().to_owned()
    };
    lines.iter().map(padded).collect::<Vec<_>>().join("\n") + "\n"
}

/// The header and the rows of a table, sorted, without what only one cluster has.
pub fn parsed(table: &str) -> Vec<Vec<String>> {
    let mut lines = table.lines();
    let Some(header) = lines.next() else { return vec![] };
    let mut starts: Vec<usize> = vec![];
    for (at, c) in header.char_indices() {
        let gap = at == 0 || header[..at].ends_with("  ");
        if c != ' ' && gap {
            starts.push(at);
        }
    }
    let cut = |line: &str| -> Vec<String> {
        let ends = starts.iter().skip(1).copied().chain([usize::MAX]);
        starts
            .iter()
            .zip(ends)
            .map(|(start, end)| {
                line.get(*start..end.min(line.len()).max(*start)).unwrap_or_default().trim().to_owned()
            })
            .collect()
    };
    let names = cut(header);
    let shown = |cells: Vec<String>| -> Vec<String> {
        let kept = cells.into_iter().zip(&names).filter(|(_, name)| !OF_ONE_CLUSTER.contains(&name.as_str()));
        kept.map(|(cell, name)| if name == "NAME" { without_suffix(&cell) } else { without_addresses(&cell) })
            .collect()
    };
    let mut rows: Vec<Vec<String>> = lines.map(|line| shown(cut(line))).collect();
    rows.sort();
    rows.insert(0, shown(names.clone()));
    rows
}

/// A generated name ends in five letters.
pub fn without_suffix(name: &str) -> String {
    match name.rsplit_once('-') {
        Some((before, last)) if last.len() == 5 && last.chars().all(|c| GENERATED.contains(c)) => {
            format!("{before}-*")
        }
        _ => name.to_owned(),
    }
}

/// Each cluster has addresses of its own.
fn without_addresses(cell: &str) -> String {
    let address = |word: &str| match word.parse::<std::net::Ipv4Addr>() {
        Ok(_) => "<ip>".to_owned(),
        Err(_) => word.to_owned(),
    };
    let words = |part: &str| part.split(' ').map(address).collect::<Vec<_>>().join(" ");
    cell.split(',').map(words).collect::<Vec<_>>().join(",")
}
