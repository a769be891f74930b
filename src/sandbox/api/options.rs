//! What a list or a watch may ask for together, and which version of the objects it wants.
//!
//! The rules and the words are those of Kubernetes' `ValidateListOptions` (of `meta/internalversion/validation` and of `storage`). A version of the future
//! is refused at once, where an API server first waits three seconds for it. Left out: a list as it was at an older version (`Exact`); it is as it is
//! now.

use super::answer::Refusal;
use super::path::{Call, Query};

/// How a list's version is meant.
const NEWER: &str = "NotOlderThan";
const EXACT: &str = "Exact";

/// Refuses what does not go together.
///
/// # Errors
/// All that is wrong with the options.
pub(super) fn check(query: &Query, watch: bool) -> Result<(), Refusal> {
    let wrong = if watch { of_watch(query) } else { of_list(query) };
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::invalid_options("ListOptions", &wrong)) }
}

fn of_list(query: &Query) -> Vec<String> {
    let mut wrong = vec![];
    let version = query.get("resourceVersion");
    if let Some(way) = query.get("resourceVersionMatch") {
        if version.is_none() {
            wrong.push(match_forbidden("unless resourceVersion is provided"));
        }
        if query.get("continue").is_some() {
            wrong.push(match_forbidden("when continue is provided"));
        }
        if ![EXACT, NEWER].contains(&way) {
            wrong.push(match_unknown(way, r#""Exact", "NotOlderThan", """#));
        }
        if way == EXACT && version == Some("0") {
            let why = r#"resourceVersionMatch "exact" is forbidden for resourceVersion "0""#;
            wrong.push(format!("resourceVersionMatch: Forbidden: {why}"));
        }
    }
    if query.get("sendInitialEvents").is_some() {
        wrong.push("sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list".to_owned());
    }
    wrong
}

fn of_watch(query: &Query) -> Vec<String> {
    let mut wrong = vec![];
    let way = query.get("resourceVersionMatch");
    let initial = query.get("sendInitialEvents").is_some();
    if initial && way != Some(NEWER) {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        wrong.push(format!("resourceVersionMatch: Forbidden: {why}"));
    }
    if let Some(way) = way {
        if !initial {
            wrong.push(match_forbidden("for watch unless sendInitialEvents is provided"));
        }
        if way != NEWER {
            wrong.push(match_unknown(way, r#""NotOlderThan""#));
        }
        if query.get("continue").is_some() {
            wrong.push(match_forbidden("when continue is provided"));
        }
    }
    wrong
}

fn match_forbidden(when: &str) -> String {
    format!("resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden {when}")
}

fn match_unknown(way: &str, known: &str) -> String {
    format!("resourceVersionMatch: Unsupported value: {way:?}: supported values: {known}")
}

/// How many objects a page may hold; all of them where nobody says, or says less than one.
pub(super) fn limit(query: &Query) -> Result<usize, Refusal> {
    let Some(text) = query.get("limit") else { return Ok(usize::MAX) };
    let limit: i64 = text.parse().map_err(|_| Refusal::bad_request(unread("ParseInt", text)))?;
    Ok(usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX))
}

/// Refuses a reader who wants a version that is no number, or that is not there yet.
pub(super) fn reached(call: &Call, current: u64) -> Result<(), Refusal> {
    let Some(text) = call.query.get("resourceVersion") else { return Ok(()) };
    if call.name.is_none() && call.query.get("continue").is_some() {
        return match text {
            "0" => Ok(()),
            _ => Err(Refusal::bad_request("specifying resource version is not allowed when using continue")),
        };
    }
    let why = || unread("ParseUint", text);
    let asked: u64 = text.parse().map_err(|_| {
        Refusal::bad_request(format!(
            "invalid resource version: resourceVersion: Invalid value: {text:?}: {}",
            why()
        ))
    })?;
    if asked > current { Err(Refusal::version_too_large(asked, current)) } else { Ok(()) }
}

/// As Go says that a text is no number.
fn unread(function: &str, text: &str) -> String {
    format!("strconv.{function}: parsing {text:?}: invalid syntax")
}
