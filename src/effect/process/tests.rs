//! Children that misbehave, played by small shell scripts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{Captured, Child, Ended, Invocation, Line, Stream, capture, end_group, group_is_alive};

/// Far more than anything here takes, for a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

fn shell(script: &str) -> Invocation {
    Invocation {
        program: PathBuf::from("/bin/sh"),
        args: vec!["-c".into(), script.into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        ..Invocation::default()
    }
}

async fn captured(invocation: &Invocation) -> Captured {
    capture(invocation, PATIENCE).await.unwrap()
}

/// Runs a script to its end and keeps what it printed.
async fn streamed(script: &str) -> (Vec<Line>, Ended) {
    let (sender, mut receiver) = mpsc::channel(16);
    let mut child = Child::spawn(&shell(script), sender).await.unwrap();
    let reading = tokio::spawn(async move {
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(line);
        }
        lines
    });
    let ended = timeout(PATIENCE, child.wait()).await.unwrap();
    (timeout(PATIENCE, reading).await.unwrap().unwrap(), ended)
}

async fn appears(path: &Path) {
    let wait = async {
        while !path.exists() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
}

fn texts(lines: &[Line], stream: Stream) -> Vec<&str> {
    lines
        .iter()
        .filter(|line| line.stream == stream)
        .map(|line| line.text.as_str())
        .collect()
}

#[tokio::test]
async fn code_streams_variables_directory_name_and_input_are_those_of_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let mut call =
        shell("cat; env | grep -v -e ^PWD= -e ^_= -e ^SHLVL=; pwd; echo \"$0\"; echo oops >&2; exit 3");
    call.env.push(("ONLY".into(), "this".into()));
    call.dir = Some(dir.path().canonicalize().unwrap());
    call.stdin = Some(b"from us\n".to_vec());
    call.arg0 = Some("flyctl".into());
    let done = captured(&call).await;
    let expected = format!(
        "from us\nPATH=/usr/bin:/bin\nONLY=this\n{}\nflyctl\n",
        call.dir.as_ref().unwrap().display()
    );
    let mut lines: Vec<_> = std::str::from_utf8(&done.stdout).unwrap().lines().collect();
    let mut wanted: Vec<_> = expected.lines().collect();
    lines.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
    assert_eq!(done.stderr, b"oops\n");
    assert_eq!((done.code, done.signal, done.timed_out), (Some(3), None, false));
}

#[tokio::test]
async fn standard_input_is_empty_unless_given() {
    assert_eq!(captured(&shell("cat; echo end")).await.stdout, b"end\n");
}

#[tokio::test]
async fn a_signal_is_told_from_a_code() {
    let done = captured(&shell("kill -9 $$")).await;
    assert_eq!((done.code, done.signal), (None, Some(9)));
}

#[tokio::test]
async fn a_missing_or_forbidden_program_is_an_error() {
    let mut call = shell("");
    call.program = "/nowhere/flyctl".into();
    let error = capture(&call, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let file = tempfile::NamedTempFile::new().unwrap();
    call.program = file.path().into();
    let error = capture(&call, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn a_child_that_takes_too_long_is_ended_with_all_that_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = format!(
        "trap '' TERM; sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; echo seen; wait; sleep 1000",
        pid.display()
    );
    let call = shell(&script);
    let running = tokio::spawn(async move { capture(&call, Duration::from_millis(2500)).await });
    appears(&pid).await;
    let done = timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert!(done.timed_out);
    assert_eq!(
        (done.signal, done.stdout.as_slice()),
        (Some(9), b"seen\n".as_slice())
    );
    let grandchild = std::fs::read_to_string(&pid).unwrap();
    assert!(is_gone(grandchild.trim()).await, "the sleep lives on");
}

/// Whether a process ends within the time that a loaded machine may need.
async fn is_gone(pid: &str) -> bool {
    for _ in 0..1000 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return true;
        }
        sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn a_dropped_call_takes_its_child_along() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let call = shell(&format!(
        "echo $$ > {0}.new; mv {0}.new {0}; sleep 1000; true",
        pid.display()
    ));
    let running = tokio::spawn(async move { capture(&call, PATIENCE).await });
    appears(&pid).await;
    running.abort();
    assert!(is_gone(std::fs::read_to_string(&pid).unwrap().trim()).await);
}

#[tokio::test]
async fn a_detached_heir_of_the_pipes_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let heir = dir.path().join("heir");
    std::fs::write(&heir, "").unwrap();
    // It lives as long as its file, that is until this test is over.
    let script = format!(
        "setsid sh -c 'while [ -e {} ]; do sleep 0.05; done' & echo started; echo also >&2; exit 0",
        heir.display()
    );
    let done = captured(&shell(&script)).await;
    assert_eq!((done.code, done.timed_out), (Some(0), false));
    assert_eq!(done.stdout, b"started\n");
    let (lines, ended) = streamed(&script).await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(texts(&lines, Stream::Stdout), ["started"]);
    assert_eq!(texts(&lines, Stream::Stderr), ["also"]);
}

#[tokio::test]
async fn a_child_that_closes_its_output_and_runs_on_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("done");
    let done = captured(&shell(&format!(
        "exec >&- 2>&-; sleep 0.3; touch {}",
        file.display()
    )))
    .await;
    assert_eq!(done.code, Some(0));
    assert!(file.exists());
}

#[tokio::test]
async fn a_child_that_never_reads_its_input_is_no_obstacle() {
    let mut call = shell("echo done");
    call.stdin = Some(vec![b'x'; 4 << 20]);
    assert_eq!(captured(&call).await.stdout, b"done\n");
    let mut call = shell("exec <&-; sleep 0.2; echo done");
    call.stdin = Some(vec![b'x'; 4 << 20]);
    assert_eq!(captured(&call).await.stdout, b"done\n");
}

#[tokio::test]
async fn a_flood_is_kept_within_bounds_start_of_one_stream_and_end_of_the_other() {
    let done = captured(&shell(
        "echo first; head -c 30000000 /dev/zero | tr '\\0' x; \
         head -c 5000000 /dev/zero | tr '\\0' y >&2; echo last >&2",
    ))
    .await;
    assert_eq!(done.stdout.len(), 16 << 20);
    assert!(done.stdout.starts_with(b"first\nxxx"));
    assert_eq!(done.stderr.len(), 1 << 20);
    assert!(done.stderr.ends_with(b"yyylast\n"));
}

#[tokio::test]
async fn lines_arrive_in_order_and_bad_bytes_are_replaced() {
    let (lines, ended) = streamed("printf 'one\\r\\ntwo\\n\\377\\376\\nrest'; echo err >&2; exit 7").await;
    assert_eq!(
        ended,
        Ended {
            code: Some(7),
            signal: None
        }
    );
    assert_eq!(
        texts(&lines, Stream::Stdout),
        ["one", "two", "\u{fffd}\u{fffd}", "rest"]
    );
    assert_eq!(texts(&lines, Stream::Stderr), ["err"]);
}

#[tokio::test]
async fn a_line_without_an_end_is_cut_and_all_of_it_is_read() {
    let (lines, ended) = streamed("head -c 100000000 /dev/zero | tr '\\0' x; echo; echo after").await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0].text.len(), 8 << 10);
    assert_eq!(lines[1].text, "after");
}

#[tokio::test]
async fn nobody_listening_does_not_stop_the_child() {
    let (sender, receiver) = mpsc::channel(1);
    let mut child = Child::spawn(&shell("yes | head -c 3000000; exit 5"), sender)
        .await
        .unwrap();
    drop(receiver);
    assert_eq!(timeout(PATIENCE, child.wait()).await.unwrap().code, Some(5));
}

#[tokio::test]
async fn waiting_first_and_reading_later_loses_nothing() {
    let (sender, mut receiver) = mpsc::channel(2);
    let mut child = Child::spawn(&shell("seq 1 3000"), sender).await.unwrap();
    let ended = timeout(PATIENCE, child.wait()).await.unwrap();
    assert_eq!(ended.code, Some(0));
    sleep(Duration::from_millis(1200)).await;
    let mut count = 0;
    while let Some(line) = timeout(PATIENCE, receiver.recv()).await.unwrap() {
        count += 1;
        assert_eq!(line.text, count.to_string());
    }
    assert_eq!(count, 3000);
}

#[tokio::test]
async fn an_ended_child_gets_its_grace_and_its_last_words_are_heard() {
    let (sender, mut receiver) = mpsc::channel(16);
    let mut child = Child::spawn(
        &shell("exec 2>&-; trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done"),
        sender,
    )
    .await
    .unwrap();
    assert_eq!(
        timeout(PATIENCE, receiver.recv()).await.unwrap().unwrap().text,
        "up"
    );
    assert!(group_is_alive(child.pgid, child.start_time));
    let ended = timeout(PATIENCE, child.end(PATIENCE)).await.unwrap();
    assert_eq!(ended.code, Some(9));
    assert_eq!(
        timeout(PATIENCE, receiver.recv()).await.unwrap().unwrap().text,
        "bye"
    );
    assert!(timeout(PATIENCE, receiver.recv()).await.unwrap().is_none());
    assert_eq!(child.wait().await, ended, "the end is remembered");
    assert!(!group_is_alive(child.pgid, child.start_time));
}

#[tokio::test]
async fn a_stubborn_child_is_killed_after_its_grace() {
    let (sender, mut receiver) = mpsc::channel(16);
    let mut child = Child::spawn(
        &shell("exec 2>&-; trap '' TERM; echo up; while :; do sleep 0.05; done"),
        sender,
    )
    .await
    .unwrap();
    receiver.recv().await.unwrap();
    let ended = timeout(PATIENCE, child.end(Duration::from_millis(100)))
        .await
        .unwrap();
    assert_eq!(ended.signal, Some(9));
}

#[tokio::test]
async fn waiting_can_be_interrupted_and_taken_up_again() {
    let (sender, mut receiver) = mpsc::channel(16);
    let mut child = Child::spawn(&shell("echo up; sleep 0.3; exit 4"), sender)
        .await
        .unwrap();
    for _ in 0..3 {
        tokio::select! {
            biased;
            _ = child.wait() => {}
            () = sleep(Duration::from_millis(20)) => {}
        }
    }
    assert_eq!(timeout(PATIENCE, child.wait()).await.unwrap().code, Some(4));
    assert_eq!(receiver.recv().await.unwrap().text, "up");
}

#[tokio::test]
async fn an_orphaned_group_is_known_by_number_and_start_and_can_be_ended() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    // `setsid` makes a group that is no child of ours once its parent is gone; its leader ignores the polite signal.
    let done = captured(&shell(&format!(
        "setsid sh -c 'trap \"\" TERM; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 0.05; done' \
         >/dev/null 2>&1 &",
        pid.display()
    )))
    .await;
    assert_eq!(done.code, Some(0));
    appears(&pid).await;
    let pgid: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    let start = super::group::start_time(pgid);
    assert!(group_is_alive(pgid, start));
    assert!(!group_is_alive(pgid, start + 1), "a reused number");
    end_group(pgid, start + 1, Duration::from_millis(50)).await;
    assert!(group_is_alive(pgid, start), "somebody else's group is left alone");
    timeout(PATIENCE, end_group(pgid, start, Duration::from_millis(100)))
        .await
        .unwrap();
    assert!(!group_is_alive(pgid, start));
}
