//! A step that took too long, in the hands of whoever is next on the ladder.

use super::*;

/// A wait of so many seconds in the detect stage, with thirty seconds of time.
fn waits(seconds: u64) -> String {
    with_stage(&format!(
        "    detect:\n      - {{id: look, wait: {{duration: {seconds}s}}, timeout: 30s, onTimeout: escalate}}\n"
    ))
}

#[test]
fn a_wait_that_whoever_is_next_lets_go_on_has_its_time_again() {
    let retry = || answers(None, Some((5, Decision::Retry)));
    let asked = |course: &Course| {
        course.count(|what| matches!(what, What::Decided { step, .. } if step.as_str() == "look"))
    };
    for (wait, times) in [(34, 0), (50, 1), (64, 1), (69, 1), (90, 2), (200, 5)] {
        let course = run(&waits(wait), retry());
        assert_eq!((course.outcome("look"), course.took("look")), (Some(Outcome::Ok), wait));
        assert_eq!(asked(&course), times, "{wait}");
    }
    // Who is asked again and says nothing cannot help.
    let once = Mutex::new(true);
    let course = run(&waits(200), |_, world| {
        world.people = Scripted::people(move |question| match question.about {
            About::Hold { .. } => {
                std::mem::take(&mut *once.lock().unwrap()).then_some((5, Some(Decision::Retry)))
            }
            About::Acknowledge | About::Declare | About::Task => None,
        });
    });
    assert_eq!(course.aborted(), "step look: it took longer than 30s, and nobody could help");
    assert_eq!(asked(&course), 1);
}

#[test]
fn nobody_absent_is_asked_to_decide() {
    let text = waits(200).replace("  type: full\n", "  type: full\n  absent: [crisis-director]\n");
    let skip = Decision::Skip { reason: "seen".to_owned() };
    let course = run(&text, answers(None, Some((5, skip))));
    let by = |role: &str| {
        course.count(|what| matches!(what, What::Decided { role: of, .. } if of.as_str() == role))
    };
    assert_eq!((by("crisis-director"), by("duty-manager")), (0, 1));
}
