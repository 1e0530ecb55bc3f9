//! Completions and manual pages come from the same definition as the parser.

use crate::support::TestEnv;

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    let env = TestEnv::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = env.shipctl(["completions", shell]);
        ran.succeeds();
        for command in ["deploy", "rollback", "status"] {
            assert!(ran.stdout.contains(command), "{shell} {command}");
        }
        assert_eq!(ran.stderr, "");
    }
}

#[test]
fn the_manual_page_is_roff() {
    let ran = TestEnv::new().shipctl(["man"]);
    ran.succeeds();
    assert!(ran.stdout.contains(".TH shipctl 1"), "{}", ran.stdout);
}
