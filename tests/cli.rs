//! The command line as scripts and people meet it: exit codes, what stands on which stream, and the way from nothing to a report.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use drillmaster::journal::chain;
use drillmaster::model::event::{Event, What};
use drillmaster::model::name::Sha256;
use serde_json::{Value, json};

fn drillmaster(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drillmaster")).current_dir(folder).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

const TABLETOP: [&str; 5] = ["run", "escalation-tabletop.yaml", "--quiet", "--seed", "7"];

/// A rehearsal's evidence, and what the run said.
fn rehearsed(place: &Path) -> (String, Output) {
    let folder = place.join("evidence").to_str().unwrap().to_owned();
    let output = drillmaster(&scenarios(), &[&TABLETOP[..], &["--evidence", &folder]].concat());
    (folder, output)
}

#[test]
fn the_help_of_every_command_ends_with_an_example() {
    let here = tempfile::tempdir().unwrap();
    let mut ways: Vec<Vec<String>> = commands(&stdout(&drillmaster(here.path(), &["--help"])), &[]);
    assert!(ways.len() >= 10, "{ways:?}");
    let mut told = 0;
    while let Some(way) = ways.pop() {
        let words: Vec<&str> = way.iter().map(String::as_str).chain(["--help"]).collect();
        let help = stdout(&drillmaster(here.path(), &words));
        let last = help.split("\nOptions:").nth(1).unwrap();
        assert!(last.contains(&format!("\nExample: drillmaster {}", way.join(" "))), "{way:?}: {help}");
        ways.extend(commands(&help, &way));
        told += 1;
    }
    assert!(told >= 25, "those inside of others were left out: {told}");
}

/// The commands that a help lists, each with the words that lead to it.
fn commands(help: &str, way: &[String]) -> Vec<Vec<String>> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // What does not begin in the second column goes on with the line above.
    let listed = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(|name| way.iter().cloned().chain([name.to_owned()]).collect()).collect()
}

#[test]
fn a_wrong_command_line_is_an_error_on_stderr_alone() {
    let here = tempfile::tempdir().unwrap();
    for wrong in
        [&["fly"][..], &["run"], &["run", "nothing.yaml"], &["validate", "nothing.yaml"], &["schema", "Dril"]]
    {
        let output = drillmaster(here.path(), wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(output.stdout.is_empty() && stderr(&output).contains("error"), "{wrong:?}");
    }
    for beyond in ["1600-01-01T00:00:00Z", "2300-01-01T00:00:00Z"] {
        let output = drillmaster(&scenarios(), &[&TABLETOP[..], &["--at", beyond]].concat());
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()), "{beyond}");
        assert!(stderr(&output).contains("--at"), "{beyond}");
    }
    let unread = drillmaster(here.path(), &["heal", "nothing"]);
    assert_eq!(unread.status.code(), Some(13));
    assert!(unread.stdout.is_empty());
}

#[test]
fn machine_output_is_json_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("evidence").to_str().unwrap().to_owned();
    let run = [&TABLETOP[..], &["--output", "json", "--evidence", &folder]].concat();
    for arguments in [
        &run[..],
        &["verify", &folder, "--output", "json"],
        &["plan", "checkout-region-failover.yaml", "--output", "json"],
        &["validate", "checkout-region-failover.yaml", "catalogue.yaml", "--output", "json"],
        &["validate", "nothing.yaml", "--output", "json"],
        &["heal", &folder, "--output", "json"],
        &["schema", "Drill"],
    ] {
        let said = stdout(&drillmaster(&scenarios(), arguments));
        let value: Result<Value, _> = serde_json::from_str(&said);
        assert!(value.is_ok_and(|value| value.is_object()), "{arguments:?}: {said}");
    }
}

#[test]
fn validate_gives_every_diagnostic_with_its_place_to_a_program() {
    let place = tempfile::tempdir().unwrap();
    let good = std::fs::read_to_string(scenarios().join("catalogue.yaml")).unwrap();
    let bad = good.replacen("Europe/Berlin", "Europe/Belrin", 1);
    std::fs::write(place.path().join("catalogue.yaml"), bad).unwrap();
    let output = drillmaster(place.path(), &["validate", "catalogue.yaml", "--output", "json"]);
    assert_eq!(output.status.code(), Some(2));
    let said: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let [diagnostic] = said["diagnostics"].as_array().unwrap().as_slice() else { panic!("{said}") };
    assert_eq!((&said["valid"], &diagnostic["severity"]), (&json!(false), &json!("error")));
    assert_eq!(
        (&diagnostic["file"], &diagnostic["help"]),
        (&json!("catalogue.yaml"), &json!("write `Europe/Berlin`"))
    );
    assert!(
        diagnostic["line"].is_u64() && diagnostic["column"].is_u64() && diagnostic["message"].is_string()
    );
}

#[test]
fn an_error_in_what_several_files_share_is_said_once() {
    let place = tempfile::tempdir().unwrap();
    for name in ["catalogue.yaml", "checkout-region-failover.yaml", "shop-two-regions.yaml"] {
        let text = std::fs::read_to_string(scenarios().join(name)).unwrap();
        std::fs::write(place.path().join(name), text.replacen("Europe/Berlin", "Europe/Belrin", 1)).unwrap();
    }
    let files = ["validate", "checkout-region-failover.yaml", "catalogue.yaml"];
    let said = stderr(&drillmaster(place.path(), &files));
    assert_eq!(said.matches("Europe/Belrin").count(), 2, "its line, and what is wrong with it: {said}");
    assert_eq!(said.matches("catalogue.yaml: refused, for what is said above").count(), 1, "{said}");
    let output = drillmaster(place.path(), &[&files[..], &["--output", "json"]].concat());
    let said: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let wrong = |one: &&Value| one["message"].as_str().unwrap().contains("Belrin");
    assert_eq!(said["diagnostics"].as_array().unwrap().iter().filter(wrong).count(), 1, "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_standard_output_that_takes_nothing_is_13() {
    let place = tempfile::tempdir().unwrap();
    let (folder, _) = rehearsed(place.path());
    let missed = place.path().join("missed").to_str().unwrap().to_owned();
    for arguments in [
        &["explain", "Drill"][..],
        &["schema", "Drill"],
        &["plan", "checkout-region-failover.yaml"],
        &["validate", "checkout-region-failover.yaml"],
        &["verify", &folder],
        // A missed drill.
        &[&TABLETOP[..], &["--output", "json", "--evidence", &missed]].concat(),
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_drillmaster"));
        let run = command.current_dir(scenarios()).args(arguments).stdout(full).output().unwrap();
        assert_eq!(run.status.code(), Some(13), "{arguments:?}: {}", stderr(&run));
        assert!(stderr(&run).contains("error"), "{arguments:?}: {}", stderr(&run));
    }
}

#[test]
fn heal_says_to_a_program_what_it_undid_and_what_is_left() {
    let place = tempfile::tempdir().unwrap();
    let (folder, _) = rehearsed(place.path());
    let said: Value =
        serde_json::from_str(&stdout(&drillmaster(place.path(), &["heal", &folder, "--output", "json"])))
            .unwrap();
    assert_eq!((&said["rehearsal"], &said["undone"], &said["left"]), (&json!(true), &json!([]), &json!([])));
    assert!(said["run"].is_string());
}

/// A copy of the tabletop with the documents that it needs, and a text that would steer a terminal in its purpose and a title.
fn steering(folder: &Path) -> PathBuf {
    let read = |name: &str| std::fs::read_to_string(scenarios().join(name)).unwrap();
    let drill = read("escalation-tabletop.yaml");
    let steers = r#""a\e[31mb\u202ec\u009bd""#;
    let mut lines: Vec<String> = drill.lines().map(str::to_owned).collect();
    for key in ["  purpose: ", "        title: "] {
        let line = lines.iter_mut().find(|line| line.starts_with(key)).unwrap();
        *line = format!("{key}{steers}");
    }
    let sandbox = lines.iter().find_map(|line| line.strip_prefix("  sandbox: ")).unwrap().to_owned();
    for name in ["catalogue.yaml".to_owned(), format!("{sandbox}.yaml")] {
        std::fs::write(folder.join(&name), read(&name)).unwrap();
    }
    for below in ["manifests", "runbooks"] {
        std::fs::create_dir(folder.join(below)).unwrap();
        for entry in std::fs::read_dir(scenarios().join(below)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.join(below).join(entry.file_name())).unwrap();
        }
    }
    let path = folder.join("drill.yaml");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

#[test]
fn no_text_of_a_document_steers_the_terminal() {
    let place = tempfile::tempdir().unwrap();
    let drill = steering(place.path());
    let drill = drill.to_str().unwrap();
    for arguments in [
        &["validate", drill][..],
        &["plan", drill],
        &["plan", drill, "--output", "json"],
        &["run", drill, "--seed", "7"],
        &["run", drill, "--seed", "8", "--output", "json"],
    ] {
        let output = drillmaster(place.path(), arguments);
        let said = stdout(&output) + &stderr(&output);
        assert!(
            !said.is_empty() && !said.contains(['\u{1b}', '\u{9b}', '\u{202e}']),
            "{arguments:?}: {said:?}"
        );
    }
    let plan = stdout(&drillmaster(place.path(), &["plan", drill, "--output", "json"]));
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["plan"]["purpose"], "a\u{1b}[31mb\u{202e}c\u{9b}d", "escaped, and not lost");
}

#[test]
fn a_second_run_never_writes_over_the_evidence_of_the_first() {
    let place = tempfile::tempdir().unwrap();
    let (folder, first) = rehearsed(place.path());
    assert_eq!(first.status.code(), Some(10), "{}", stderr(&first));
    let journal = std::fs::read(Path::new(&folder).join("journal.jsonl")).unwrap();
    let (_, second) = rehearsed(place.path());
    assert_eq!(second.status.code(), Some(13));
    assert!(stderr(&second).contains("error") && stderr(&second).contains(&folder), "{}", stderr(&second));
    assert_eq!(journal, std::fs::read(Path::new(&folder).join("journal.jsonl")).unwrap());
}

#[test]
fn fresh_evidence_verifies_and_what_that_does_not_prove_is_named() {
    let place = tempfile::tempdir().unwrap();
    let (folder, _) = rehearsed(place.path());
    let verified = drillmaster(place.path(), &["verify", &folder]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
    assert!(stdout(&verified).contains("not proved") && stdout(&verified).contains("--head"));
    let journal = Path::new(&folder).join("journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap().replacen("Olu", "Ulo", 1);
    std::fs::write(&journal, text).unwrap();
    assert_eq!(drillmaster(place.path(), &["verify", &folder]).status.code(), Some(13));
}

/// A journal's chain made anew over its events, the first of them with another version.
fn rechained(folder: &Path, version: &str) {
    let path = folder.join("journal.jsonl");
    let (mut text, mut head) = (String::new(), Sha256::from(chain::GENESIS));
    for old in std::fs::read_to_string(&path).unwrap().lines() {
        let mut event: Event = serde_json::from_str(old).unwrap();
        if let What::RunStarted { version: wrote, .. } = &mut event.what {
            *wrote = version.to_owned();
        }
        let (line, next) = chain::line(&head, &event).unwrap();
        text.push_str(&format!("{line}\n"));
        head = next;
    }
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_report_that_is_not_what_the_evidence_says_is_a_fault_with_its_name() {
    let place = tempfile::tempdir().unwrap();
    let (folder, run) = rehearsed(place.path());
    let verify = || drillmaster(place.path(), &["verify", &folder]);
    assert!(stdout(&verify()).contains("byte for byte: result.json, report.md, report.html, runbook.patch"));
    for name in ["result.json", "report.md", "report.html", "runbook.patch"] {
        let path = Path::new(&folder).join(name);
        let whole = std::fs::read_to_string(&path).unwrap();
        let flipped = whole.replacen("escalation", "escalatiom", 1);
        for forged in [&flipped, &format!("{whole} "), ""] {
            assert_ne!(*forged, whole);
            std::fs::write(&path, forged).unwrap();
            let verified = verify();
            assert_eq!(verified.status.code(), Some(13), "{name}");
            assert!(stdout(&verified).contains(&format!("✗ {name}: ")), "{name}: {}", stdout(&verified));
            assert!(!stdout(&verified).contains('✓'), "{name}: {}", stdout(&verified));
        }
        std::fs::remove_file(&path).unwrap();
        let missing = verify();
        assert_eq!(missing.status.code(), Some(0), "{name}");
        assert!(stdout(&missing).contains(&format!("not there: {name}")), "{}", stdout(&missing));
        std::fs::write(&path, whole).unwrap();
    }
    let head = stderr(&run)
        .lines()
        .find_map(|line| line.trim().strip_prefix("head:").map(str::trim))
        .unwrap()
        .to_owned();
    rechained(Path::new(&folder), "0.0.1");
    let forged = verify();
    assert_eq!(forged.status.code(), Some(0), "{}", stdout(&forged));
    assert!(
        stdout(&forged).contains("not compared: drillmaster 0.0.1 wrote this run"),
        "{}",
        stdout(&forged)
    );
    assert!(stdout(&forged).contains("not proved: who wrote it"), "{}", stdout(&forged));
    let against = drillmaster(place.path(), &["verify", &folder, "--head", &head]);
    assert_eq!(against.status.code(), Some(13), "{}", stdout(&against));
}

#[test]
fn a_file_that_no_record_binds_is_a_fault_among_the_rows_and_named_elsewhere() {
    let place = tempfile::tempdir().unwrap();
    let (folder, _) = rehearsed(place.path());
    let folder = Path::new(&folder);
    std::fs::write(folder.join("notes.txt"), "by somebody").unwrap();
    let verify = || drillmaster(place.path(), &["verify", folder.to_str().unwrap()]);
    assert_eq!(verify().status.code(), Some(0));
    assert!(stdout(&verify()).contains("not covered by the evidence: notes.txt"), "{}", stdout(&verify()));
    for file in ["probes/checkout.outside.csv", "ledger/orders.writes.csv"] {
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(verify().status.code(), Some(13), "{file}");
        assert!(
            stdout(&verify()).contains(&format!("✗ {file}, line 2: no event binds it")),
            "{}",
            stdout(&verify())
        );
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_link_or_a_pipe_among_the_inputs_or_what_the_run_did_not_read_is_not_read_for_a_report() {
    let place = tempfile::tempdir().unwrap();
    let (folder, _) = rehearsed(place.path());
    let runbook = Path::new(&folder).join("inputs/runbooks/escalation.md");
    let said = std::fs::read_to_string(&runbook).unwrap();
    let secret = place.path().join("secret");
    std::fs::write(&secret, &said).unwrap();
    std::fs::remove_file(&runbook).unwrap();
    std::os::unix::fs::symlink(&secret, &runbook).unwrap();
    let report = || drillmaster(place.path(), &["report", &folder]).status.code();
    let patch = Path::new(&folder).join("runbook.patch");
    drop(std::fs::remove_file(&patch));
    assert_eq!((report(), patch.exists()), (Some(0), false), "a link");
    std::fs::remove_file(&runbook).unwrap();
    assert!(Command::new("mkfifo").arg(&runbook).status().unwrap().success());
    assert_eq!((report(), patch.exists()), (Some(0), false), "a pipe");
    std::fs::remove_file(&runbook).unwrap();
    std::fs::write(&runbook, format!("{said}\n")).unwrap();
    assert_eq!((report(), patch.exists()), (Some(0), false), "another text than the run read");
    let said_of_it = stderr(&drillmaster(place.path(), &["report", &folder]));
    assert!(said_of_it.contains("runbook.patch was not made: inputs/runbooks/escalation.md"), "{said_of_it}");
    std::fs::write(&runbook, said).unwrap();
    assert_eq!((report(), patch.exists()), (Some(0), true));
}

#[test]
fn a_rehearsal_leaves_nothing_to_heal_and_says_so() {
    let place = tempfile::tempdir().unwrap();
    let (folder, _) = rehearsed(place.path());
    let healed = drillmaster(place.path(), &["heal", &folder]);
    assert_eq!(healed.status.code(), Some(0));
    assert!(stderr(&healed).contains("nothing is left to heal"), "{}", stderr(&healed));
    // It goes by the journal, whatever became of what was measured.
    let folder = place.path().join("drained");
    let drained =
        ["run", "node-drain.yaml", "--seed", "1", "--quiet", "--evidence", folder.to_str().unwrap()];
    assert_eq!(drillmaster(&scenarios(), &drained).status.code(), Some(0));
    let rows = folder.join("probes").read_dir().unwrap().next().unwrap().unwrap().path();
    let damaged = std::fs::read_to_string(&rows).unwrap().replacen(",ok,", ",OK,", 1);
    std::fs::write(&rows, damaged).unwrap();
    let healed = drillmaster(place.path(), &["heal", "drained"]);
    assert_eq!(healed.status.code(), Some(13));
    for part in ["nothing is left to heal", ".csv, line", "healing needs none of that"] {
        assert!(stderr(&healed).contains(part), "{part}: {}", stderr(&healed));
    }
    std::fs::remove_file(&rows).unwrap();
    let healed = stderr(&drillmaster(place.path(), &["heal", "drained"]));
    assert!(healed.contains(".csv: ") && !healed.contains(", line"), "it has no line: {healed}");
}

#[test]
fn from_an_empty_folder_new_validate_and_run_come_to_a_met_drill() {
    let place = tempfile::tempdir().unwrap();
    let new = drillmaster(place.path(), &["new", "orders-failover"]);
    assert_eq!(new.status.code(), Some(0));
    let drill = "orders-failover/drill.yaml";
    assert!(stdout(&new).contains(drill));
    assert_eq!(drillmaster(place.path(), &["validate", drill]).status.code(), Some(0));
    let run = drillmaster(place.path(), &["run", drill, "--quiet", "--seed", "7"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert!(stderr(&run).contains("verdict: met"));
    let reports: Vec<_> = std::fs::read_dir(place.path().join("reports")).unwrap().collect();
    assert_eq!(reports.len(), 1);
}

#[test]
fn a_report_that_cannot_be_written_leaves_no_part_of_itself_and_hides_neither_verdict_nor_evidence() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("evidence");
    std::fs::create_dir_all(folder.join("report.html")).unwrap();
    let (_, run) = rehearsed(place.path());
    assert_eq!(run.status.code(), Some(13), "{}", stderr(&run));
    let said = stderr(&run);
    assert!(said.contains("verdict: missed") && said.contains("head:"), "{said}");
    assert!(
        said.contains("report.html cannot be written") && said.contains("`drillmaster report`"),
        "{said}"
    );
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let whole = ["inputs", "journal.jsonl", "report.html", "report.md", "result.json", "runbook.patch"];
    assert_eq!(names, whole);
}

#[test]
fn a_report_goes_where_it_is_told_but_into_no_evidence() {
    let place = tempfile::tempdir().unwrap();
    let (folder, _) = rehearsed(place.path());
    let folder = Path::new(&folder);
    let other = place.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::copy(folder.join("journal.jsonl"), other.join("journal.jsonl")).unwrap();
    let (link, hard) = (place.path().join("link.md"), place.path().join("hard.md"));
    std::os::unix::fs::symlink(folder.join("journal.jsonl"), &link).unwrap();
    let report = |to: &Path| {
        let arguments =
            ["report", folder.to_str().unwrap(), "--format", "md", "--output", to.to_str().unwrap()];
        drillmaster(place.path(), &arguments).status.code()
    };
    let before = std::fs::read(folder.join("journal.jsonl")).unwrap();
    let evidence = [
        folder.join("journal.jsonl"),
        folder.join("inputs/new.md"),
        other.join("journal.jsonl"),
        link.clone(),
    ];
    for to in &evidence {
        assert_eq!(report(to), Some(2), "{}", to.display());
    }
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(folder.join("new.md"), &link).unwrap();
    assert_eq!(report(&link), Some(2), "a link to what is not there yet");
    let chain = place.path().join("chain.md");
    std::os::unix::fs::symlink(&link, &chain).unwrap();
    assert_eq!(report(&chain), Some(2), "a link to that link");
    assert!(!folder.join("new.md").exists());
    std::fs::hard_link(folder.join("journal.jsonl"), &hard).unwrap();
    let to_hard = place.path().join("to-hard.md");
    let shared = place.path().join("shared.md");
    std::fs::hard_link(folder.join("journal.jsonl"), &shared).unwrap();
    std::os::unix::fs::symlink(&shared, &to_hard).unwrap();
    for to in [&hard, &to_hard, &folder.join("report.md"), &place.path().join("elsewhere.md")] {
        assert_eq!(report(to), Some(0), "{}", to.display());
        assert!(std::fs::read_to_string(to).unwrap().starts_with("# "), "{}", to.display());
    }
    assert_eq!(std::fs::read(folder.join("journal.jsonl")).unwrap(), before);
    assert_eq!(std::fs::read(other.join("journal.jsonl")).unwrap(), before);
}

/// A shell runs drillmaster with at most so many blocks of 512 bytes in a file.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_reaches_its_limit_is_no_death_but_13() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("evidence");
    let arguments = [&TABLETOP[..], &["--evidence", folder.to_str().unwrap()]].concat();
    let command = format!("ulimit -f 16; exec {} {}", env!("CARGO_BIN_EXE_drillmaster"), arguments.join(" "));
    let run = Command::new("sh").current_dir(scenarios()).args(["-c", &command]).output().unwrap();
    assert_eq!(run.status.code(), Some(13), "{}", stderr(&run));
    assert!(stderr(&run).contains("verdict: "), "{}", stderr(&run));
    for name in ["result.json", "report.html"] {
        assert!(!folder.join(name).exists(), "a part of {name} stayed");
    }
}

/// A long drill, which a shell starts so, gets a signal as soon as it says anything: its exit code, and what it said.
#[cfg(target_os = "linux")]
fn signalled(signal: &str, shell: &str, folder: &Path) -> (Option<i32>, String) {
    use std::io::{BufRead as _, BufReader, Read as _};
    let command = format!(
        "{shell} {} run checkout-region-failover.yaml --seed 7 --evidence {}",
        env!("CARGO_BIN_EXE_drillmaster"),
        folder.display()
    );
    let mut run = Command::new("sh")
        .current_dir(scenarios())
        .args(["-c", &command])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(run.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    let kill = format!("kill -{signal} {}", run.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    stderr.read_to_string(&mut said).unwrap();
    (run.wait().unwrap().code(), said)
}

/// Also where the tests themselves were told to ignore a signal, as by nohup: their children inherit that.
#[cfg(target_os = "linux")]
#[test]
fn each_way_to_end_a_run_interrupts_it_and_heals() {
    for signal in ["INT", "TERM", "HUP"] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("evidence");
        let (code, said) = signalled(signal, "exec env --default-signal", &folder);
        assert_eq!(code, Some(130), "{signal}: {said}");
        assert!(said.contains("interrupted: what the drill broke is put back"), "{signal}: {said}");
        let verified = drillmaster(place.path(), &["verify", folder.to_str().unwrap()]);
        assert_eq!(verified.status.code(), Some(0), "{signal}: {}", stdout(&verified));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_was_told_to_ignore_hang_ups_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let (code, said) = signalled("HUP", "trap '' HUP; exec", &place.path().join("evidence"));
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("interrupted"), "{said}");
}
