//! The drills of this folder as files, and the people who answer them: what served regions and real ones have in common.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use drillmaster::cluster::control::{self, Said, Wish};
use drillmaster::cluster::people::{Answer, Says};

/// Writes the drills with what they refer to, by file after a change; names live two seconds, since these tests wait for them.
pub fn documents(place: &Path, change: impl Fn(&str, String) -> String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir(place.join("manifests")).unwrap();
    for (from, to) in [("tests/live", "."), ("scenarios/manifests", "manifests")] {
        for entry in std::fs::read_dir(root.join(from)).unwrap() {
            let entry = entry.unwrap();
            if entry.path().extension().is_none_or(|ending| ending != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let text = text.replace("recordTTL: 30", "recordTTL: 2").replace("ttl: \"30\"", "ttl: \"2\"");
            let name = entry.file_name().into_string().unwrap();
            std::fs::write(place.join(to).join(&name), change(&name, text)).unwrap();
        }
    }
}

/// The duty manager: acknowledges, declares and does what else there is to do as soon as anybody asks; of one step only, if one is named.
pub async fn answers(evidence: PathBuf, step: Option<&str>) {
    loop {
        for says in [Says::Acknowledge, Says::Done] {
            // Nobody asks yet, or nobody listens.
            drop(answer(&evidence, step, says).await);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Says something to a run, and hears what it thinks of that.
pub async fn answer(evidence: &Path, step: Option<&str>, says: Says) -> std::io::Result<Said> {
    let answer = Answer { who: "Dana".into(), step: step.map(Into::into), says, text: String::new() };
    control::say(evidence, &Wish::Answer(answer)).await
}

/// What a program printed.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}
