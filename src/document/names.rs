//! What to say of names: one that nothing has, and the one that was meant.

/// What to say of a name that nothing has: the message, and the nearest name or all of them.
pub fn unknown<'a>(
    what: &str,
    name: &str,
    all: impl Iterator<Item = &'a str>,
    candidates: impl Iterator<Item = &'a str>,
) -> (String, Option<String>) {
    let shown: String = name.chars().take(60).collect();
    if let Some(near) = nearest(name, candidates) {
        return (
            format!("unknown {what} `{shown}`, did you mean `{near}`?"),
            Some(format!("write `{near}`")),
        );
    }
    let all: std::collections::BTreeSet<&str> = all.collect();
    let help = match all.len() {
        0 => None,
        1 => Some(format!("there is only {}", list(all))),
        _ => Some(format!("there are {}", list(all))),
    };
    (format!("unknown {what} `{shown}`"), help)
}

/// The name that somebody may have meant: at most a third of it is different.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 60 {
        return None;
    }
    let lower = name.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()).div_ceil(3).min(4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` and `c`.
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
