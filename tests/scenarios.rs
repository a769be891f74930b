//! Every shipped drill, and every drill under tests/drills that must not pass: what each shows, and what it leaves behind.
//!
//! `UPDATE_SAMPLES=1 cargo test --test scenarios` writes the golden reports and the schemas again.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use drillmaster::cli::inputs::{self, KINDS};
use drillmaster::cli::rehearsal::{Rehearsal, runtime};
use drillmaster::cli::schema;
use drillmaster::engine::Finished;
use drillmaster::journal::Memory;
use drillmaster::model::name::Region;
use drillmaster::sandbox::state::RegionState;
use drillmaster::world::watch;

const SEED: u64 = 7;
const SAMPLE_FILES: [&str; 4] = ["result.json", "report.md", "report.html", "runbook.patch"];

/// A drill, the verdict on all of it, the exit code, and the verdict on each objective.
type Row = (&'static str, &'static str, i32, &'static [(&'static str, &'static str)]);

const SHIPPED: [Row; 10] = [
    (
        "checkout-region-failover",
        "met",
        0,
        &[
            ("rta", "met"),
            ("rpa", "met"),
            ("integrity", "met"),
            ("failback", "met"),
            ("mtpd", "met"),
            ("response", "met"),
        ],
    ),
    ("zone-loss", "met", 0, &[("rta", "met"), ("failback", "met"), ("mtpd", "met")]),
    (
        "database-promotion-lag",
        "missed",
        10,
        &[
            ("rta", "met"),
            ("rpa", "missed"),
            ("integrity", "met"),
            ("failback", "met"),
            ("mtpd", "met"),
            ("response", "met"),
        ],
    ),
    (
        "planned-switchover",
        "met",
        0,
        &[("rta", "met"), ("rpa", "met"), ("integrity", "met"), ("failback", "met"), ("mtpd", "met")],
    ),
    (
        "dns-failover-long-ttl",
        "missed",
        10,
        &[("rta", "missed"), ("failback", "met"), ("mtpd", "notExercised")],
    ),
    ("acquirer-loss", "met", 0, &[("rta", "met"), ("failback", "met"), ("mtpd", "notExercised")]),
    ("bad-configuration", "met", 0, &[("rta", "met"), ("failback", "met"), ("mtpd", "notExercised")]),
    (
        "data-corruption-restore",
        "missed",
        10,
        &[("rta", "met"), ("rpa", "missed"), ("integrity", "met"), ("failback", "met"), ("mtpd", "met")],
    ),
    ("node-drain", "met", 0, &[("rta", "met"), ("failback", "met"), ("mtpd", "met")]),
    ("escalation-tabletop", "missed", 10, &[("response", "missed")]),
];

const ALL_VOID: &[(&str, &str)] =
    &[("rta", "void"), ("rpa", "void"), ("integrity", "void"), ("failback", "void"), ("mtpd", "void")];
const ALL_INCONCLUSIVE: &[(&str, &str)] = &[
    ("rta", "inconclusive"),
    ("rpa", "inconclusive"),
    ("integrity", "inconclusive"),
    ("failback", "inconclusive"),
    ("mtpd", "inconclusive"),
];

const MUST_NOT_PASS: [Row; 8] = [
    ("fault-does-nothing", "invalid", 12, ALL_VOID),
    (
        "fault-reverted",
        "invalid",
        12,
        &[("rta", "void"), ("rpa", "void"), ("failback", "void"), ("mtpd", "void")],
    ),
    // Once the vantage saw again, the store was read.
    (
        "prober-blind",
        "inconclusive",
        11,
        &[
            ("rta", "inconclusive"),
            ("rpa", "inconclusive"),
            ("integrity", "met"),
            ("failback", "inconclusive"),
            ("mtpd", "inconclusive"),
        ],
    ),
    (
        "target-inside",
        "indeterminate",
        11,
        &[
            ("rta", "indeterminate"),
            ("rpa", "met"),
            ("integrity", "met"),
            ("failback", "met"),
            ("mtpd", "met"),
        ],
    ),
    (
        "recovery-held",
        "met",
        0,
        &[("rta", "met"), ("rpa", "met"), ("integrity", "met"), ("failback", "met"), ("mtpd", "met")],
    ),
    ("never-steady", "invalid", 15, ALL_VOID),
    ("alert-never-comes", "inconclusive", 11, ALL_INCONCLUSIVE),
    (
        "given-up",
        "inconclusive",
        11,
        &[
            ("rta", "inconclusive"),
            ("rpa", "met"),
            ("integrity", "met"),
            ("failback", "inconclusive"),
            ("mtpd", "inconclusive"),
        ],
    ),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn shipped(name: &str) -> PathBuf {
    root().join("scenarios").join(format!("{name}.yaml"))
}

fn must_not_pass(name: &str) -> PathBuf {
    root().join("tests/drills").join(format!("{name}.yaml"))
}

fn updates() -> bool {
    std::env::var_os("UPDATE_SAMPLES").is_some()
}

/// Runs a drill through the binary; its exit code and its evidence folder.
fn run(drill: &Path, place: &Path) -> (i32, PathBuf) {
    let folder = place.join(drill.file_stem().unwrap());
    let done = Command::new(env!("CARGO_BIN_EXE_drillmaster"))
        .arg("run")
        .arg(drill)
        .args(["--quiet", "--seed", &SEED.to_string(), "--evidence"])
        .arg(&folder)
        .output()
        .unwrap();
    let code = done.status.code().unwrap();
    assert!(folder.exists(), "{}: {}", drill.display(), String::from_utf8_lossy(&done.stderr));
    (code, folder)
}

fn result(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join("result.json")).unwrap()).unwrap()
}

fn objectives(result: &Value) -> &Vec<Value> {
    result["objectives"].as_array().unwrap()
}

/// The value of an attribute of an HTML tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" data-{name}=\""))?.1.split('"').next()
}

/// The numbers of report.html and report.md are those of result.json.
fn numbers_agree(folder: &Path) {
    let result = result(folder);
    let html = fs::read_to_string(folder.join("report.html")).unwrap();
    let markdown = fs::read_to_string(folder.join("report.md")).unwrap();
    let tags: BTreeMap<&str, &str> = html
        .split('<')
        .filter_map(|tag| Some((attribute(tag, "objective")?, tag.split('>').next()?)))
        .collect();
    let rows: Vec<Vec<&str>> = markdown
        .lines()
        .skip_while(|line| *line != "## Promised and measured")
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Service"))
        .take(objectives(&result).len())
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(tags.len(), objectives(&result).len());
    for (one, row) in objectives(&result).iter().zip(&rows) {
        let name = format!("{} {}", one["service"].as_str().unwrap(), one["kind"].as_str().unwrap());
        let tag = tags[name.as_str()];
        let number = |value: &Value| value.as_i64().map(|number| number.to_string());
        assert_eq!(attribute(tag, "verdict"), one["verdict"].as_str(), "{name}");
        assert_eq!(
            attribute(tag, "least-ns").map(str::to_owned),
            number(&one["actual"]["leastNs"]),
            "{name}"
        );
        let most = attribute(tag, "most-ns").filter(|most| !most.is_empty()).map(str::to_owned);
        assert_eq!(most, number(&one["actual"]["mostNs"]), "{name}");
        assert_eq!(row[3], one["shown"].as_str().unwrap().replace('[', "\\["), "{name}");
        let (sign, word) = (one["sign"].as_str().unwrap(), one["word"].as_str().unwrap());
        assert_eq!(row[4], format!("{sign} {word}"), "{name}");
    }
}

/// What a drill shows is what its row says.
fn shows((name, overall, code, expected): Row, drill: &Path, place: &Path) -> PathBuf {
    let (exit, folder) = run(drill, place);
    let result = result(&folder);
    let judged: Vec<(&str, &str)> = objectives(&result)
        .iter()
        .map(|one| (one["kind"].as_str().unwrap(), one["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(judged, expected, "{name}");
    assert_eq!(result["verdict"]["overall"], overall, "{name}");
    assert_eq!(exit, code, "{name}");
    assert_eq!(result["outstanding"], json!([]), "{name}");
    numbers_agree(&folder);
    folder
}

#[test]
fn every_shipped_drill_shows_what_it_is_for_and_its_reports_are_the_golden_ones() {
    let place = tempfile::tempdir().unwrap();
    let mut size = 0;
    for row in SHIPPED {
        let folder = shows(row, &shipped(row.0), place.path());
        let sample = root().join("reports/samples").join(row.0);
        for file in SAMPLE_FILES {
            let made = fs::read_to_string(folder.join(file)).unwrap();
            size += made.len();
            if updates() {
                fs::create_dir_all(&sample).unwrap();
                fs::write(sample.join(file), &made).unwrap();
            }
            let golden = fs::read_to_string(sample.join(file)).unwrap_or_default();
            let line = golden.lines().zip(made.lines()).position(|(golden, made)| golden != made);
            let place =
                format!("{}/{file}, line {:?}: run with UPDATE_SAMPLES=1", row.0, line.map(|at| at + 1));
            assert!(golden == made, "{place}");
        }
    }
    assert!(size < 1 << 20, "{size} bytes of samples");
    let listed: BTreeSet<String> = SHIPPED.iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(listed, drills_in(&root().join("scenarios")), "every shipped drill has its row");
}

#[test]
fn no_drill_passes_that_must_not() {
    let place = tempfile::tempdir().unwrap();
    for row in MUST_NOT_PASS {
        shows(row, &must_not_pass(row.0), place.path());
    }
    let all = SHIPPED.iter().chain(&MUST_NOT_PASS);
    let overall: BTreeSet<&str> = all.clone().map(|row| row.1).collect();
    assert_eq!(overall, BTreeSet::from(["met", "missed", "invalid", "inconclusive", "indeterminate"]));
    let verdicts: BTreeSet<&str> = all.flat_map(|row| row.3).map(|(_, verdict)| *verdict).collect();
    let every = ["met", "missed", "void", "inconclusive", "indeterminate", "notExercised"];
    assert_eq!(verdicts, BTreeSet::from(every));
}

/// The names of the drills in a folder.
fn drills_in(folder: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("\nkind: Drill\n")))
        .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_the_drills_are_known_for_is_in_their_numbers() {
    let place = tempfile::tempdir().unwrap();
    let of = |drill: &Path, kind: &str| {
        let result = result(&run(drill, place.path()).1);
        let found = objectives(&result).iter().find(|one| one["kind"] == kind).cloned();
        found.unwrap()
    };
    let lag = of(&shipped("database-promotion-lag"), "rpa");
    assert!(lag["records"]["exactly"].as_u64().unwrap() >= 20, "{lag}");
    let planned = of(&shipped("planned-switchover"), "rpa");
    assert_eq!(planned["records"], json!({"exactly": 0, "atMost": 0}));
    // Users stay on the lost side until their caches forget, long after the record is switched.
    let dns = of(&shipped("dns-failover-long-ttl"), "rta");
    assert!(dns["actual"]["leastNs"].as_i64().unwrap() > 300_000_000_000, "{dns}");
    let drain = of(&shipped("node-drain"), "rta");
    assert_eq!(drain["actual"]["leastNs"], 0, "no impact");
    let restore = of(&shipped("data-corruption-restore"), "rpa");
    assert!(restore["actual"]["leastNs"].as_i64().unwrap() > 30_000_000_000, "as old as the copy: {restore}");
    // The held step's minute counts.
    let held = of(&must_not_pass("recovery-held"), "rta");
    assert!(held["actual"]["leastNs"].as_i64().unwrap() > 60_000_000_000, "{held}");
    let (least, target) = ("leastNs", 88_000_000_000);
    let inside = of(&must_not_pass("target-inside"), "rta");
    let bound = |name: &str| inside["actual"][name].as_i64().unwrap();
    assert!(bound(least) <= target && target < bound("mostNs"), "{inside}");
}

#[test]
fn a_failback_that_skips_the_fence_is_refused_before_anything_is_written() {
    let place = tempfile::tempdir().unwrap();
    for command in ["validate", "run"] {
        let done = Command::new(env!("CARGO_BIN_EXE_drillmaster"))
            .current_dir(place.path())
            .arg(command)
            .arg(must_not_pass("failback-without-fence"))
            .output()
            .unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{command}: {said}");
        assert!(said.contains("two sides would accept") && said.contains("fence"), "{said}");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

/// A region's objects by kind and name, each as people and drills write it: labels, spec and data. What controllers make is left
/// out.
type Objects = BTreeMap<String, Value>;

fn objects(state: &RegionState) -> Objects {
    const GENERATED: [&str; 6] = ["Event", "Lease", "EndpointSlice", "Endpoints", "Pod", "ReplicaSet"];
    state.read(|store| {
        let written = store.all().filter(|(_, object)| {
            !GENERATED.contains(&object["kind"].as_str().unwrap_or_default())
                && object["metadata"]["ownerReferences"].is_null()
        });
        written
            .map(|(key, object)| {
                let parts = json!([object["metadata"]["labels"], object["spec"], object["data"]]);
                (format!("{key:?}"), parts)
            })
            .collect()
    })
}

type Regions = Vec<(Region, Arc<RegionState>)>;

/// A drill that is ready in its regions.
async fn prepared(drill: &Path) -> (Rehearsal, Regions) {
    let inputs = inputs::load(drill, &[]).unwrap();
    let rehearsal = Rehearsal::prepare(&inputs, SEED, 0).await.unwrap();
    let regions = rehearsal.sandbox.regions().map(|(name, state)| (name.clone(), state.clone())).collect();
    (rehearsal, regions)
}

fn all_objects(regions: &Regions) -> BTreeMap<Region, Objects> {
    regions.iter().map(|(name, state)| (name.clone(), objects(state))).collect()
}

#[test]
fn every_drill_leaves_the_regions_as_it_found_them() {
    let rows = SHIPPED.iter().map(|row| shipped(row.0));
    for drill in rows.chain(MUST_NOT_PASS.iter().map(|row| must_not_pass(row.0))) {
        runtime().unwrap().block_on(async {
            let (rehearsal, regions) = prepared(&drill).await;
            let before = all_objects(&regions);
            assert!(before.values().all(|objects| objects.len() > 5), "{before:?}");
            let (_on, interrupted) = watch::channel(false);
            let sink = Arc::new(Mutex::new(Memory::default()));
            let Finished { outstanding, journal, .. } =
                rehearsal.run(sink, Box::new(|_, _| {}), interrupted).await;
            assert!(outstanding.is_empty() && journal.is_none(), "{}: {outstanding:?}", drill.display());
            let after = all_objects(&regions);
            for (region, before) in &before {
                let keys: BTreeSet<&String> = before.keys().chain(after[region].keys()).collect();
                for key in keys {
                    let (was, is) = (before.get(key), after[region].get(key));
                    assert_eq!(was, is, "{} in {region}, {key}", drill.display());
                }
            }
        });
    }
}

#[test]
fn planning_a_drill_changes_nothing_in_any_region() {
    for row in SHIPPED {
        runtime().unwrap().block_on(async {
            let drill = shipped(row.0);
            let inputs = inputs::load(&drill, &[]).unwrap();
            let (rehearsal, regions) = prepared(&drill).await;
            let version = |(_, state): &(Region, Arc<RegionState>)| state.read(|store| store.version());
            let before: Vec<u64> = regions.iter().map(version).collect();
            let outline = drillmaster::plan::outline(&inputs.scenario).unwrap();
            let reads = drillmaster::plan::reads(&outline, &outline.regions);
            let facts = drillmaster::inventory::read(&rehearsal.sandbox.world(), &reads).await;
            let plan = drillmaster::plan::plan(&inputs.scenario, &outline.regions, &facts).unwrap();
            assert_eq!(plan, rehearsal.plan, "{}", row.0);
            assert_eq!(before, regions.iter().map(version).collect::<Vec<u64>>(), "{}", row.0);
        });
    }
}

#[test]
fn the_shipped_schemas_are_those_of_the_documents() {
    for kind in KINDS {
        let mut file = String::new();
        for letter in kind.chars() {
            if letter.is_uppercase() && !file.is_empty() {
                file.push('-');
            }
            file.push(letter.to_ascii_lowercase());
        }
        let path = root().join("scenarios/schema").join(format!("{file}.json"));
        let made = format!("{:#}\n", schema::of(kind).unwrap());
        if updates() {
            fs::write(&path, &made).unwrap();
        }
        assert!(fs::read_to_string(&path).unwrap() == made, "{file}.json: run with UPDATE_SAMPLES=1");
    }
}
