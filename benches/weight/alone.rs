//! What shipctl weighs by itself.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{median, ms, say};

const SHIPCTL: &str = env!("CARGO_BIN_EXE_shipctl");
const STARTS: usize = 31;

pub(crate) const COLD_START: &str = "cold start (at most 10 ms, below flyctl's)";
pub(crate) const SIZE: &str = "size of the binary (at most 10 MB)";

pub(crate) fn cold_start(flyctl: Option<&str>) {
    let own = starts(SHIPCTL, "--version");
    let beside = flyctl.map(|flyctl| starts(flyctl, "version"));
    let than = beside.map_or("flyctl not measured".to_owned(), |flyctl| {
        format!(
            "{:.2} of flyctl's {:.1} ms",
            own.as_secs_f64() / flyctl.as_secs_f64(),
            ms(flyctl)
        )
    });
    say(
        COLD_START,
        &format!("{:.1} ms, {than}, median of {STARTS}", ms(own)),
    );
}

#[expect(clippy::disallowed_methods, reason = "a bench starts what it measures")]
fn starts(program: &str, arg: &str) -> Duration {
    let once = || {
        let begun = Instant::now();
        let status = Command::new(program)
            .arg(arg)
            .env("FLY_NO_UPDATE_CHECK", "1")
            .env("FLY_SEND_METRICS", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{program} {arg}: {status}");
        begun.elapsed()
    };
    median((0..STARTS).map(|_| once()).collect())
}

/// What a user builds: cargo gives a bench's program what the tests need of shared libraries, too. Whatever is measured
/// after this is the user's.
#[expect(clippy::disallowed_methods, reason = "a bench builds what it measures")]
pub(crate) fn size() {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--bin", "shipctl"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    if !built.is_ok_and(|status| status.success()) {
        say(SIZE, "not measured: `cargo build --release` failed");
        return;
    }
    let bytes = std::fs::metadata(SHIPCTL).unwrap().len();
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let megabytes = bytes as f64 / 1e6;
    say(SIZE, &format!("{megabytes:.1} MB, {:.2} of it", megabytes / 10.0));
}
