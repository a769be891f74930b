//! What is left of a document of which single fields have no shape: so that its meaning is checked all the same, and every error is said at
//! once.
//!
//! A misspelt key or word is taken for the one that was meant, a number where text belongs for its text, and a text where a list belongs for
//! a list of one. Left out are keys that nothing knows, what stands in a list twice, and times, numbers and shares that are none: a
//! document says without them what it says. Where anything else is wrong (a name, a mapping, a field that is missing) nothing is left, since
//! what follows from a guess is noise. And what the meaning lacks beside a value that was left out may follow from that too: whoever checks
//! leaves it unsaid (`around`).

use std::collections::BTreeMap;
use std::ops::Range;

use super::yaml::{Node, Shape};

/// A single key or value that is wrong.
pub struct Aside {
    /// Where it begins.
    pub begins: usize,
    /// What was meant by it.
    pub meant: Meant,
}

/// What somebody meant who wrote something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// Nobody knows.
    Unknown,
    /// This text: a misspelt key or word, or a number without its quotes.
    Text(String),
    /// A list with only this in it.
    ListOfIt,
}

/// A tree without some of its entries.
pub(super) struct Rest {
    pub tree: Node,
    /// The mappings that lack a value now.
    pub around: Vec<Range<usize>>,
}

/// Without these fields.
pub(super) fn without(tree: &Node, aside: &[Aside]) -> Rest {
    let mut around = Vec::new();
    let aside = aside.iter().map(|one| (one.begins, one)).collect();
    let tree = left(tree, &aside, &mut around);
    Rest { tree, around }
}

fn left(node: &Node, aside: &BTreeMap<usize, &Aside>, around: &mut Vec<Range<usize>>) -> Node {
    let shape = match &node.shape {
        Shape::Map(entries) => {
            let rest = entries.iter().filter_map(|(key, value)| {
                // Of a key that nothing knows nothing follows, whatever its value is.
                let key = taken(key, aside, around)?;
                let value = taken(value, aside, around);
                if value.is_none() {
                    around.extend(span(node));
                }
                Some((key, value?))
            });
            Shape::Map(rest.collect())
        }
        Shape::List(items) => {
            Shape::List(items.iter().filter_map(|item| taken(item, aside, around)).collect())
        }
        Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::Refused => {
            node.shape.clone()
        }
    };
    Node { bytes: node.bytes.clone(), shape }
}

/// A key or a value as it was meant; none where nobody knows.
fn taken(node: &Node, aside: &BTreeMap<usize, &Aside>, around: &mut Vec<Range<usize>>) -> Option<Node> {
    let wrong = aside.get(&node.bytes.start).filter(|_| !node.bytes.is_empty());
    let shape = match wrong.map(|aside| &aside.meant) {
        None => return Some(left(node, aside, around)),
        Some(Meant::Unknown) => return None,
        Some(Meant::Text(meant)) => Shape::Text(meant.clone()),
        Some(Meant::ListOfIt) => Shape::List(vec![node.clone()]),
    };
    Some(Node { bytes: node.bytes.clone(), shape })
}

/// From the first byte to the last of whatever stands in it: a block has no mark of its own.
fn span(node: &Node) -> Option<Range<usize>> {
    let inside: Vec<Range<usize>> = match &node.shape {
        Shape::Map(entries) => {
            entries.iter().flat_map(|(key, value)| [Some(key.bytes.clone()), span(value)]).flatten().collect()
        }
        Shape::List(items) => items.iter().filter_map(span).collect(),
        Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::Refused => Vec::new(),
    };
    let own = (!node.bytes.is_empty()).then(|| node.bytes.clone());
    inside.into_iter().chain(own).reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
}
