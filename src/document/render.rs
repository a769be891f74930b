//! Diagnostics in rustc's manner: message, place, the line with a mark under the words, help.

use std::collections::BTreeMap;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet, normalize_untrusted_str};

use super::diagnostic::{Diagnostic, Severity};
use super::source::Source;

/// How diagnostics look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Without escapes: for files, pipes and tests.
    Plain,
    /// With a terminal's colours.
    Coloured,
}

/// All diagnostics, in their order, with the lines of the sources that they speak of.
pub fn render<'a>(
    diagnostics: &[Diagnostic],
    sources: impl IntoIterator<Item = &'a Source>,
    look: Look,
) -> String {
    let sources: BTreeMap<&str, &Source> =
        sources.into_iter().map(|source| (source.path.as_str(), source)).collect();
    let renderer = match look {
        Look::Plain => Renderer::plain(),
        Look::Coloured => Renderer::styled(),
    }
    .decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&one(&renderer, diagnostic, &sources));
        text.push_str("\n\n");
    }
    text
}

fn one(renderer: &Renderer, diagnostic: &Diagnostic, sources: &BTreeMap<&str, &Source>) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level.primary_title(&*diagnostic.message).elements(std::iter::empty::<Origin<'_>>());
    if let Some(place) = &diagnostic.place {
        let path = normalize_untrusted_str(&place.file);
        group = match sources.get(place.file.as_str()) {
            Some(source) => {
                // Only the lines around it: the renderer's cost grows with what it is given.
                let start = line_start(&source.text, place.bytes.start, 2);
                let end = line_end(&source.text, place.bytes.end, 1);
                group.element(
                    Snippet::source(&source.text[start..end])
                        .line_start(place.line - source.text[start..place.bytes.start].matches('\n').count())
                        .path(path)
                        .annotation(
                            AnnotationKind::Primary.span(place.bytes.start - start..place.bytes.end - start),
                        ),
                )
            }
            None => group.element(Origin::path(path).line(place.line).char_column(place.column)),
        };
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(&**help));
    }
    renderer.render(&[group])
}

fn line_start(text: &str, byte: usize, lines_before: usize) -> usize {
    text[..byte].rmatch_indices('\n').nth(lines_before).map_or(0, |(at, _)| at + 1)
}

fn line_end(text: &str, byte: usize, lines_after: usize) -> usize {
    text[byte..].match_indices('\n').nth(lines_after).map_or(text.len(), |(at, _)| byte + at)
}
