//! The stand-in says what the real flyctl said: every recorded call of a subcommand that shipctl issues is made
//! again, in the world that it was made in, and compared (STYLE 8).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod contract;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use contract::{compare, deviations, scene};

/// Scenes played side by side; they mostly wait.
const PLAYERS: usize = 4;

#[test]
fn every_recorded_call_is_answered_as_it_was() {
    let scenes = scene::all();
    let next = AtomicUsize::new(0);
    let found = Mutex::new((BTreeSet::new(), Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..PLAYERS {
            threads.spawn(|| {
                while let Some(scene) = scenes.get(next.fetch_add(1, Ordering::SeqCst)) {
                    for played in scene::play(scene) {
                        let differences = compare::differences(&played);
                        let mut found = found.lock().unwrap();
                        found.0.insert(played.name.clone());
                        found.1.extend(
                            differences
                                .into_iter()
                                .map(|one| format!("{}: {one}", played.name)),
                        );
                    }
                }
            });
        }
    });
    let (played, differences) = found.into_inner().unwrap();
    println!("count: captures replayed: {}", played.len());
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
    let expected = scene::captures_of_our_subcommands();
    assert_eq!(
        expected.difference(&played).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "not replayed"
    );
    assert!(played.len() > 200, "{} captures replayed", played.len());
}

#[test]
fn every_deviation_is_of_a_capture_that_is_replayed() {
    let captures = scene::captures_of_our_subcommands();
    for deviation in deviations::ALL {
        assert!(captures.contains(deviation.capture), "{}", deviation.capture);
        assert!(!deviation.reason.is_empty(), "{}", deviation.capture);
    }
}
