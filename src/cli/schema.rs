//! `drillmaster schema`: the JSON schema of a document, for an editor's YAML plugin.

use crate::catalogue::ServiceCatalogue;
use crate::cli::answer::Answer;
use crate::cli::inputs::KINDS;
use crate::cluster::EnvironmentSpec;
use crate::document::{Kind, schema_of, unknown};
use crate::sandbox::spec::SandboxSpec;
use crate::scenario::{Drill, Procedure};

/// Print the JSON schema of a kind of document.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: drillmaster schema Drill > drill.schema.json\n\nThen begin a drill's file with\n  \
    # yaml-language-server: $schema=drill.schema.json"
)]
pub struct Args {
    /// Drill, ServiceCatalogue, SandboxSpec, Environment or Procedure.
    #[arg(default_value = "Drill")]
    pub kind: String,
}

pub fn run(args: &Args) -> Answer {
    match of(&args.kind) {
        Some(schema) => Answer::Said(format!("{schema:#}\n")),
        None => {
            let (message, help) =
                unknown("kind of document", &args.kind, KINDS.into_iter(), KINDS.into_iter());
            let help = help.map(|help| format!("\nhelp: {help}")).unwrap_or_default();
            Answer::Refused(format!("error: {message}{help}\n"))
        }
    }
}

/// The schema of a kind of document, whatever the case of its name.
pub fn of(kind: &str) -> Option<serde_json::Value> {
    let is = |known: &str| known.eq_ignore_ascii_case(kind);
    Some(match () {
        () if is(Drill::KIND) => schema_of::<Drill>(),
        () if is(ServiceCatalogue::KIND) => schema_of::<ServiceCatalogue>(),
        () if is(SandboxSpec::KIND) => schema_of::<SandboxSpec>(),
        () if is(EnvironmentSpec::KIND) => schema_of::<EnvironmentSpec>(),
        () if is(Procedure::KIND) => schema_of::<Procedure>(),
        () => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_document_has_a_schema_with_a_text_at_each_field_of_its_spec() {
        for kind in KINDS {
            let schema = of(kind).unwrap();
            assert_eq!(schema["properties"]["kind"]["const"], kind);
            let definition = schema["properties"]["spec"]["$ref"].as_str().unwrap().trim_start_matches('#');
            let fields = schema.pointer(definition).unwrap()["properties"].as_object().unwrap();
            for (name, field) in fields {
                assert!(field["description"].is_string(), "{kind}.spec.{name}");
            }
        }
    }

    #[test]
    fn an_unknown_kind_is_refused_with_the_near_one() {
        let answer = run(&Args { kind: "Dril".to_owned() });
        assert!(matches!(answer, Answer::Refused(text) if text.contains("did you mean `Drill`?")));
    }
}
