//! Random worlds, and what a verification makes of them: never `verified` in a bad one, never `refuted` in a good
//! one, `inconclusive` only where a witness was taken away.
//!
//! [`world`] says what is true, [`oracle`] whether that is good, [`life`] plays it second by second, [`show`] prints
//! it as flyctl does, and [`dice`] throws it. What flyctl itself says of the deployment is thrown independently.

mod dice;
mod life;
mod oracle;
mod show;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

use crate::verification::watch::{Shipping, Watch};
use crate::verification::{Judgement, Verdict};

use dice::{Dice, Mood};
use life::Player;
use oracle::{Truth, truth};
use world::World;

const WORLDS: u32 = 10_000;
const THREADS: u32 = 2;

/// Verifies and bakes one world, as a deployment does.
async fn play(world: &World, seed: u64, aloud: bool) -> Judgement {
    let player = Player::new(world, seed);
    let (told, shipping) = watch::channel(Shipping::default());
    let begun = Instant::now();
    let mut watch = Watch::new(
        &player,
        show::expectation(world),
        begun + Duration::from_secs(300),
        |change| {
            if aloud {
                println!("{:?} {change:?}", begun.elapsed());
            }
        },
    )
    .seeded(seed);
    let flyctl = async {
        sleep(Duration::from_millis(world.flyctl.ends_ms)).await;
        told.send_replace(Shipping {
            ended: true,
            release: world.flyctl.names_release.then_some(show::TARGET),
            image: world.flyctl.names_digest.then(|| show::target_image(true)),
            address: None,
        });
    };
    let verified = async {
        let judgement = watch.verify(shipping).await;
        if judgement.verdict == Verdict::Verified {
            watch.bake(Duration::from_secs(world::BAKE_S)).await
        } else {
            judgement
        }
    };
    tokio::pin!(flyctl, verified);
    tokio::select! {
        judgement = &mut verified => judgement,
        () = &mut flyctl => verified.await,
    }
}

#[derive(Default)]
struct Tally {
    /// By mood, then by verdict.
    counts: [[AtomicUsize; 3]; 3],
    truths: [AtomicUsize; 2],
    /// flyctl's own word was wrong.
    lies: AtomicUsize,
}

/// Plays the world of a seed; what is wrong with its verdict.
fn check(seed: u64, runtime: &Runtime, tally: &Tally) -> Option<String> {
    let mood = Mood::of(seed);
    let world = Dice::new(seed).world(mood);
    let truth = truth(&world);
    let loaded = matches!((mood, truth), (Mood::Good, Truth::Bad) | (Mood::Bad, Truth::Good));
    assert!(!loaded, "seed {seed}: a {mood:?} world is {truth:?}\n{world:#?}");
    let judgement = runtime.block_on(play(&world, seed, std::env::var_os("WORLD").is_some()));
    tally.counts[mood as usize][judgement.verdict as usize].fetch_add(1, Ordering::Relaxed);
    tally.truths[usize::from(truth == Truth::Bad)].fetch_add(1, Ordering::Relaxed);
    if world.flyctl.says_good() != (truth == Truth::Good) {
        tally.lies.fetch_add(1, Ordering::Relaxed);
    }
    let right = match judgement.verdict {
        Verdict::Verified => truth == Truth::Good,
        Verdict::Refuted => truth == Truth::Bad,
        Verdict::Inconclusive => world.takes_a_witness(),
    };
    (!right).then(|| {
        format!(
            "seed {seed}: {truth:?}, but {}\nreasons: {:#?}\nwarnings: {:#?}\n{world:?}",
            judgement.verdict, judgement.reasons, judgement.warnings
        )
    })
}

#[test]
fn no_world_is_misjudged() {
    let tally = Tally::default();
    let threads = usize::try_from(THREADS).unwrap();
    let quarter = usize::try_from(WORLDS).unwrap() / 4;
    // To look at one again: WORLD=seed.
    let only = std::env::var("WORLD")
        .ok()
        .and_then(|seed| seed.parse::<u64>().ok());
    let wrong: Vec<String> = thread::scope(|scope| {
        let tally = &tally;
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let seeds = (thread..WORLDS).step_by(threads);
                scope.spawn(move || {
                    let runtime = Builder::new_current_thread()
                        .enable_time()
                        .start_paused(true)
                        .build()
                        .unwrap();
                    seeds
                        .map(u64::from)
                        .filter(|seed| only.is_none_or(|only| only == *seed))
                        .filter_map(|seed| check(seed, &runtime, tally))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(
        wrong.is_empty(),
        "{} worlds are misjudged, such as\n{}",
        wrong.len(),
        wrong[..wrong.len().min(8)].join("\n\n")
    );
    if only.is_some() {
        return;
    }
    let of =
        |mood: Mood, verdict: Verdict| tally.counts[mood as usize][verdict as usize].load(Ordering::Relaxed);
    for mood in [Mood::Good, Mood::Bad, Mood::Any] {
        let [verified, refuted, inconclusive] =
            [Verdict::Verified, Verdict::Refuted, Verdict::Inconclusive].map(|verdict| of(mood, verdict));
        let all = (verified + refuted + inconclusive).max(1);
        println!(
            "count: {mood:?}: {all} worlds, {} % verified, {} % refuted, {} % inconclusive",
            verified * 100 / all,
            refuted * 100 / all,
            inconclusive * 100 / all
        );
    }
    let [good, bad] = [0, 1].map(|truth: usize| tally.truths[truth].load(Ordering::Relaxed));
    let lies = tally.lies.load(Ordering::Relaxed);
    println!("count: truly good: {good}, truly bad: {bad}; flyctl's own word was wrong in {lies}");
    // A judge that never decided would pass everything above.
    assert!(good > quarter && bad > quarter);
    assert!(of(Mood::Good, Verdict::Verified) * 10 > quarter * 8);
    assert!(of(Mood::Bad, Verdict::Refuted) * 10 > quarter * 8);
}
