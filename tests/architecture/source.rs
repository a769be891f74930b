//! A source file as the rules see it: its tokens without comments, text and tests, and every path that they name.
//!
//! Matching text is fragile: a comment, a group of imports or a short name would hide what a rule looks for. So the text becomes
//! tokens, trees of `use` are flattened, and `crate`, `self`, `super` and imported names are followed to where they lead. Left out:
//! types, macros' output and shadowed names; a rule only needs to see what somebody would write without meaning to deceive.

use std::collections::BTreeMap;

/// From the root on: `crate::model::time::At`, `std::fs`; `*` is the last segment of a glob.
pub type Path = Vec<String>;

/// One file.
pub struct Source {
    pub module: Path,
    pub opens_with_its_doc: bool,
    pub lines: usize,
    /// Without tests.
    pub tokens: Vec<String>,
    /// Of the whole file.
    pub all_tokens: Vec<String>,
    /// Every path of more than one name, at an import or elsewhere.
    pub paths: Vec<Path>,
    /// The same as text, each with `::` at both ends: what is searched is searched often.
    searched: String,
    /// What each imported name stands for.
    pub names: BTreeMap<String, Path>,
    /// The modules that it declares for tests only.
    pub for_tests: Vec<Path>,
}

impl Source {
    pub fn read(file: &str, text: &str) -> Source {
        let module = module(file);
        let all = tokens(text);
        let (product, for_tests) = without_tests(&all);
        let (mut imports, mut plain) = (Vec::new(), Vec::new());
        named(&product, &module, &mut imports, &mut plain);
        let names: BTreeMap<String, Path> =
            imports.iter().map(|(path, name)| (name.clone(), path.clone())).collect();
        let paths = imports.into_iter().map(|(path, _)| path).chain(plain);
        let mut paths: Vec<Path> = paths.map(|path| followed(path, &names)).collect();
        paths.sort_unstable();
        paths.dedup();
        let owned = |tokens: &[&str]| tokens.iter().map(|token| (*token).to_owned()).collect();
        Source {
            opens_with_its_doc: text.starts_with("//!"),
            lines: text.lines().count(),
            for_tests: for_tests.iter().map(|name| child(&module, name)).collect(),
            searched: paths.iter().map(|path| format!("\n::{}::", path.join("::"))).collect(),
            paths,
            names,
            tokens: owned(&product),
            all_tokens: owned(&all),
            module,
        }
    }

    /// Whether these tokens follow each other outside of tests.
    pub fn says(&self, words: &[&str]) -> bool {
        self.tokens.windows(words.len()).any(|window| window == words)
    }

    /// Whether something that is named lies at or below a path, or comes with a glob; `Utc::now` is found in `chrono::Utc::now`.
    pub fn names_any_of(&self, wanted: &str) -> bool {
        let ends = wanted.match_indices("::").map(|(end, _)| &wanted[..end]);
        self.searched.contains(&format!("::{wanted}::"))
            || ends.into_iter().any(|before| self.searched.contains(&format!("\n::{before}::*::")))
    }
}

fn child(module: &[String], name: &str) -> Path {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// The module that a file below `src/` holds.
fn module(file: &str) -> Path {
    let name = file.strip_suffix(".rs").unwrap_or(file);
    let name = name.strip_suffix("/mod").unwrap_or(name);
    let below = name.split('/').filter(|name| !["lib", "main"].contains(name));
    std::iter::once("crate").chain(below).map(str::to_owned).collect()
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphanumeric() || first == '_')
}

/// Words, `::`, single marks, and `""` for each text.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (token, length) = if let Some(length) = text_length(rest) {
            (Some("\"\""), length)
        } else if rest.starts_with("//") {
            (None, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (None, comment_length(rest))
        } else if first == '\'' {
            (None, quoted_length(rest))
        } else if word > 0 {
            (Some(&rest[..word]), word)
        } else if rest.starts_with("::") {
            (Some("::"), 2)
        } else {
            let length = first.len_utf8();
            ((!first.is_whitespace()).then_some(&rest[..length]), length)
        };
        found.extend(token);
        rest = &rest[length..];
    }
    found
}

/// How long the text is that stands here, raw or not, of characters or bytes.
fn text_length(rest: &str) -> Option<usize> {
    let prefix = rest.find(|c| !"bcr".contains(c))?;
    let marks = rest[prefix..].find(|c| c != '#')?;
    let start = prefix + marks;
    if prefix > 2 || !rest[start..].starts_with('"') {
        return None;
    }
    let body = &rest[start + 1..];
    let raw = rest[..prefix].contains('r');
    let length = if raw {
        let end = format!("\"{}", "#".repeat(marks));
        body.find(&end).map(|at| at + end.len())
    } else {
        let mut escaped = false;
        let ends = |c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        };
        body.find(ends).map(|at| at + 1)
    };
    (raw || marks == 0).then(|| start + 1 + length.unwrap_or(body.len()))
}

/// Comments nest.
fn comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let (turn, length) = match rest.get(at..at + 2) {
            Some("/*") => (1, 2),
            Some("*/") => (-1, 2),
            Some(_) | None => (0, 1),
        };
        depth += turn;
        at += length;
        if depth == 0 {
            break;
        }
    }
    while !rest.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// A character, or the mark of a lifetime.
fn quoted_length(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((after, _))) => {
            let from = after + 1;
            rest.get(from..).and_then(|rest| rest.find('\'')).map_or(rest.len(), |end| from + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

const FOR_TESTS: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

/// What can be left out whole; an attribute on anything else leaves it in.
const ITEMS: [&str; 9] = ["use", "mod", "fn", "const", "static", "struct", "enum", "impl", "async"];

/// The tokens without the items that only tests see, and the modules among those that have a file of their own.
fn without_tests<'a>(tokens: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut product, mut for_tests) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let length = if tokens[at..].starts_with(&FOR_TESTS) { item_length(&tokens[at..]) } else { 0 };
        if length == 0 {
            product.push(tokens[at]);
            at += 1;
            continue;
        }
        let item = &tokens[at..at + length];
        if let [.., "mod", name, ";"] = item {
            for_tests.push(*name);
        }
        at += length;
    }
    (product, for_tests)
}

/// How long the item is that stands here with its attributes; 0 where there is none.
fn item_length(tokens: &[&str]) -> usize {
    let mut at = 0;
    while tokens.get(at) == Some(&"#") {
        at += group_length(&tokens[at + 1..]) + 1;
    }
    if tokens.get(at) == Some(&"pub") {
        at += 1;
        at += if tokens.get(at) == Some(&"(") { group_length(&tokens[at..]) } else { 0 };
    }
    if !tokens.get(at).is_some_and(|token| ITEMS.contains(token)) {
        return 0;
    }
    let is_import = tokens[at] == "use";
    while at < tokens.len() {
        let length = group_length(&tokens[at..]);
        let ends = tokens[at] == ";" || (tokens[at] == "{" && !is_import);
        at += length.max(1);
        if ends {
            break;
        }
    }
    at
}

/// How long the group is that opens here; 0 where none does.
fn group_length(tokens: &[&str]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth <= 0 {
            return if at == 0 { 0 } else { at + 1 };
        }
    }
    tokens.len()
}

/// Collects the imports with their names, and every other path.
fn named(tokens: &[&str], module: &[String], imports: &mut Vec<(Path, String)>, plain: &mut Vec<Path>) {
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at..] {
            ["mod", name, "{", ..] => {
                let end = at + 2 + group_length(&tokens[at + 2..]);
                named(&tokens[at + 3..end], &child(module, name), imports, plain);
                at = end;
            }
            ["use", next, ..] if *next != "<" => {
                let mut found = Vec::new();
                at = imported(tokens, at + 1, &[], &mut found);
                imports
                    .extend(found.into_iter().map(|(path, name)| (resolved(&path, module), name.to_owned())));
            }
            // Who may see something is no use of it.
            ["pub", "(", ..] => at += 1 + group_length(&tokens[at + 1..]),
            [word, ..] if is_word(word) => {
                let mut path = vec![*word];
                at += 1;
                while let ["::", next, ..] = &tokens[at..]
                    && is_word(next)
                {
                    path.push(next);
                    at += 2;
                }
                plain.extend((path.len() > 1).then(|| resolved(&path, module)));
            }
            _ => at += 1,
        }
    }
}

/// Flattens one tree of `use`; gives where it ends.
fn imported<'a>(
    tokens: &[&'a str],
    mut at: usize,
    before: &[&'a str],
    found: &mut Vec<(Vec<&'a str>, &'a str)>,
) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at).copied() {
            Some("::") => at += 1,
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    let end = imported(tokens, at, &path, found);
                    at = end.max(at + usize::from(end == at));
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            Some("as") => {
                found.push((path, tokens.get(at + 1).copied().unwrap_or_default()));
                return at + 2;
            }
            Some("self") if !before.is_empty() && path.len() == before.len() => at += 1,
            Some(segment) if segment == "*" || is_word(segment) => {
                path.push(segment);
                at += 1;
            }
            _ => {
                if let Some(name) = path.last().copied() {
                    found.push((path, name));
                }
                return at;
            }
        }
    }
}

/// A path from the root on, as it stands in a module.
fn resolved(path: &[&str], module: &[String]) -> Path {
    let mut from: Path = match path.first() {
        Some(&"crate" | &"drillmaster") => vec!["crate".to_owned()],
        Some(&"self" | &"super") => module.to_vec(),
        _ => return path.iter().map(|segment| (*segment).to_owned()).collect(),
    };
    for segment in &path[usize::from(path[0] != "super")..] {
        if *segment == "super" {
            from.pop();
        } else {
            from.push((*segment).to_owned());
        }
    }
    from
}

/// Follows a path's first name through the imports.
fn followed(mut path: Path, names: &BTreeMap<String, Path>) -> Path {
    // As often as one import can stand on another.
    for _ in 0..4 {
        let Some(target) = path.first().and_then(|first| names.get(first)) else { break };
        path = target.iter().chain(&path[1..]).cloned().collect();
    }
    path
}
