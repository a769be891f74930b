//! What is left of a document of which single fields have no shape: so that its meaning is checked all the same, and every error is said at
//! once.
//!
//! A misspelt key is taken for the one that was meant. Left out are keys that nothing knows, and times, numbers and shares that are none: a
//! document says without them what it says. Where anything else is wrong (a name, a list, a field that is missing) nothing is left, since
//! what follows from a guess is noise. And what the meaning lacks beside a value that was left out may follow from that too: whoever checks
//! leaves it unsaid (`around`).

use std::collections::BTreeMap;
use std::ops::Range;

use super::schema::Aside;
use super::yaml::{Node, Shape};

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
            let of = |node: &Node| aside.get(&node.bytes.start).filter(|_| !node.bytes.is_empty());
            let rest = entries.iter().filter_map(|(key, value)| match (of(key), of(value)) {
                (None, None) => Some((key.clone(), left(value, aside, around))),
                (Some(Aside { meant: Some(meant), .. }), None) => {
                    let meant = Node { bytes: key.bytes.clone(), shape: Shape::Text(meant.clone()) };
                    Some((meant, left(value, aside, around)))
                }
                (None, Some(_)) => {
                    around.extend(span(node));
                    None
                }
                // Whatever it is, nothing follows from it.
                (Some(_), _) => None,
            });
            Shape::Map(rest.collect())
        }
        Shape::List(items) => Shape::List(items.iter().map(|item| left(item, aside, around)).collect()),
        Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::Refused => {
            node.shape.clone()
        }
    };
    Node { bytes: node.bytes.clone(), shape }
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
