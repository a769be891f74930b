//! Real kubectl and Helm against a served region: sessions as people have them, each a committed transcript.
//!
//! A transcript holds commands (`$ …`, run by a shell) and what they print. The test runs the commands and compares what it gets with
//! the file, so that one file is the script and the expectation: for two versions of kubectl, against a sandbox that the binary serves, and
//! against a real region (`DRILLMASTER_REGIONS`, as tests/regions/regions.py starts them). Scrubbed is what no two clusters share: names
//! that were drawn, addresses, nodes, times, versions, and how wide a column is. `UPDATE_SAMPLES=1` writes the transcripts anew.
//!
//! Needs `kubectl-older`, `kubectl-newer` and `helm` in the folder `DRILLMASTER_TOOLS`; tests/run puts them there.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use regex::Regex;
use tempfile::TempDir;

/// A region, and a place with the documents of tests/kubectl and the tools under their plain names.
struct Session {
    place: TempDir,
    /// What serves the region, where the test does that itself.
    server: Option<Child>,
}

impl Session {
    /// A session on a region of a sandbox that the binary serves.
    fn in_sandbox(kubectl: &str) -> Session {
        let mut session = Session::with(kubectl);
        let place = session.place.path();
        let mut server = Command::new(env!("CARGO_BIN_EXE_drillmaster"))
            .current_dir(place)
            .args(["sandbox", "sandbox.yaml", "--folder", "lab"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
        let ready =
            told.take_while(|line| !line.contains("environment")).any(|line| line.contains("kubeconfig"));
        session.server = Some(server);
        assert!(ready, "the sandbox is not served");
        session.connect(&place_of(&session).join("lab/kubeconfig.yaml"));
        session
    }

    /// A session on a real region.
    fn on_a_real_region(kubectl: &str) -> Session {
        let session = Session::with(kubectl);
        let regions =
            std::env::var_os("DRILLMASTER_REGIONS").expect("start them with tests/regions/regions.py");
        session.connect(&PathBuf::from(regions).join("kubeconfig.yaml"));
        session
    }

    fn with(kubectl: &str) -> Session {
        let place = tempfile::tempdir().unwrap();
        let tools =
            PathBuf::from(std::env::var_os("DRILLMASTER_TOOLS").expect("tests/run installs the tools"));
        std::fs::create_dir(place.path().join("bin")).unwrap();
        for (tool, name) in [(kubectl, "kubectl"), ("helm", "helm")] {
            std::os::unix::fs::symlink(tools.join(tool), place.path().join("bin").join(name)).unwrap();
        }
        copy(&documents(), place.path());
        Session { place, server: None }
    }

    /// Makes the region east the one that is spoken to, and the session's namespace the current one.
    fn connect(&self, kubeconfig: &Path) {
        std::fs::copy(kubeconfig, self.place.path().join("kubeconfig")).unwrap();
        for arguments in ["use-context east", "set-context --current --namespace=session"] {
            self.run(&format!("kubectl config {arguments}"));
        }
    }

    /// Runs a command in the session's folder; what it prints, and how it ends where that is not well.
    fn run(&self, command: &str) -> String {
        let place = self.place.path();
        let path = format!("{}:{}", place.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let output = Command::new("bash")
            .current_dir(place)
            .args(["-c", &format!("{{ {command}\n}} 2>&1")])
            .env("PATH", path)
            .env("KUBECONFIG", place.join("kubeconfig"))
            .env("HOME", place)
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut text = String::from_utf8(output.stdout).unwrap();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        match output.status.code() {
            Some(0) => text,
            code => text + &format!("[{}]\n", code.map_or("killed".into(), |code| format!("exit {code}"))),
        }
    }

    /// Runs the commands of a transcript, and compares.
    fn replay(&self, name: &str) {
        let path = documents().join(name);
        let expected = std::fs::read_to_string(&path).unwrap();
        let nodes = self.run("kubectl get nodes -o name");
        let nodes: Vec<&str> = nodes.lines().filter_map(|line| line.strip_prefix("node/")).collect();
        let mut got = String::new();
        let mut lines = expected.lines().peekable();
        while let Some(line) = lines.next() {
            if line.starts_with("## ") && !got.ends_with("\n\n") {
                got.push('\n');
            }
            got += line;
            got.push('\n');
            let Some(command) = line.strip_prefix("$ ") else { continue };
            got += &scrubbed(&self.run(command), &nodes);
            let next = |line: &&str| line.starts_with("$ ") || line.starts_with("## ");
            while lines.next_if(|line| !next(line)).is_some() {}
        }
        if std::env::var_os("UPDATE_SAMPLES").is_some() {
            std::fs::write(&path, &got).unwrap();
        }
        let difference = similar::TextDiff::from_lines(expected.as_str(), got.as_str());
        let difference =
            difference.unified_diff().context_radius(4).header("transcript", "session").to_string();
        assert!(
            difference.is_empty() || std::env::var_os("UPDATE_SAMPLES").is_some(),
            "{name}:\n{difference}"
        );
    }
}

fn place_of(session: &Session) -> &Path {
    session.place.path()
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // One that has ended already is as good.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubectl")
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// Text without what no two clusters share.
fn scrubbed(text: &str, nodes: &[&str]) -> String {
    const RULES: &[(&str, &str)] = &[
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+\-]\d{4}", "<time>"),
        (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+\-]\d{4}", "<time>"),
        (r"\bv1\.\d+\.\d+(-[\w.]+)?(\+\w+)?", "<version>"),
        (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(/\d+)?\b", "<address>"),
        // Before what is drawn: its number may look like that.
        (r"/tmp/(LIVE|MERGED)-\d+/", "$1/"),
        // A replica set's hash, and what its pods draw.
        (r"-[bcdf-hj-np-tv-xz2456789]{8,10}(-[bcdf-hj-np-tv-xz2456789]{5})?\b", "-<drawn>"),
        (r"(pod-template-hash|controller-revision-hash)([=:] ?)[\w-]+", "$1$2<drawn>"),
        (r"(kube-api-access|transient)-\w{5}\b", "$1-<drawn>"),
        (r"(containerd://|sha256:|start exec .)[0-9a-f]{64}", "$1<drawn>"),
        (r"(topology.kubernetes.io/zone[=:] ?)[\w-]+", "$1<zone>"),
        (r#"(resourceVersion: )"\d+""#, "$1\"<number>\""),
        (r"-[bcdf-hj-np-tv-xz2456789]{5}\b", "-<drawn>"),
        // As the newer kubectl says it.
        (r"#success=(\d+) #failure=(\d+)", "successThreshold=$1 failureThreshold=$2"),
        (r"\b(\d+[dhms])+\b", "<age>"),
        (r"<age> \(x\d+ over <age>\)", "<age>"),
    ];
    let mut text = text.to_owned();
    for (pattern, by) in RULES {
        text = Regex::new(pattern).unwrap().replace_all(&text, *by).into_owned();
    }
    for node in nodes {
        text = Regex::new(&format!(r"\b{}\b", regex::escape(node)))
            .unwrap()
            .replace_all(&text, "<node>")
            .into_owned();
    }
    // The width of a column is that of its longest cell; what a line begins with is its place.
    let narrow = |line: &str| {
        let rest = line.trim_start();
        let indent = &line[..line.len() - rest.len()];
        let rest = Regex::new(r"[ \t]{2,}|\t").unwrap().replace_all(rest.trim_end(), "  ");
        format!("{indent}{rest}\n")
    };
    text.lines().map(narrow).collect()
}

#[test]
#[ignore = "needs kubectl; tests/run installs it"]
fn a_session_of_the_older_kubectl_reads_as_it_is_written() {
    Session::in_sandbox("kubectl-older").replay("session.txt");
}

#[test]
#[ignore = "needs kubectl; tests/run installs it"]
fn a_session_of_the_newer_kubectl_reads_as_it_is_written() {
    Session::in_sandbox("kubectl-newer").replay("session.txt");
}

#[test]
#[ignore = "needs Helm; tests/run installs it"]
fn helm_installs_upgrades_rolls_back_and_uninstalls_a_chart() {
    Session::in_sandbox("kubectl-newer").replay("helm.txt");
}

#[test]
#[ignore = "needs real regions; tests/regions/regions.py starts them"]
fn the_same_sessions_on_a_real_region_read_the_same() {
    for kubectl in ["kubectl-older", "kubectl-newer"] {
        Session::on_a_real_region(kubectl).replay("session.txt");
    }
    Session::on_a_real_region("kubectl-newer").replay("helm.txt");
}
