//! The platform double: a process of its own, started by the command line that `SHIPCTL_DOUBLE` names.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Double {
    child: Child,
    control_url: String,
    pub(crate) proxy_url: String,
    /// What flyctl needs to find the double.
    pub(crate) env: Vec<(String, String)>,
}

impl Double {
    /// Starts a double that keeps its files in `dir`; `{dir}` in the command line stands for it.
    #[expect(clippy::disallowed_methods, reason = "a test starts what it tests against")]
    pub(crate) fn start(line: &str, dir: &Path) -> Self {
        let line = format!("exec {}", line.replace("{dir}", &dir.display().to_string()));
        let mut child = Command::new("sh")
            .args(["-c", &line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.join("double.err")).unwrap())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut first).unwrap();
        let said: Value = serde_json::from_str(&first)
            .unwrap_or_else(|error| panic!("the double of SHIPCTL_DOUBLE printed `{first}`: {error}"));
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        let variables = said["env"].as_object().unwrap();
        Self {
            child,
            control_url: text("control_url"),
            proxy_url: text("proxy_url"),
            env: variables
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                .collect(),
        }
    }

    /// One control order, or a list of them.
    pub(crate) fn order(&self, order: &Value) -> Value {
        let body = order.to_string();
        let (status, answer) = http::send(
            "POST",
            &self.control_url,
            &[("Content-Type", "application/json")],
            body.as_bytes(),
            PATIENCE,
        )
        .unwrap();
        // What has nothing to say answers with nothing.
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        assert_eq!(status, 200, "{order}: {answer}");
        answer
    }

    pub(crate) fn control_url(&self) -> &str {
        &self.control_url
    }

    pub(crate) fn state(&self) -> Value {
        self.get("state")
    }

    /// Every call of the API so far.
    pub(crate) fn journal(&self) -> Vec<Value> {
        self.get("journal").as_array().unwrap().clone()
    }

    fn get(&self, what: &str) -> Value {
        let url = format!("{}/{what}", self.control_url);
        let (_, body) = http::send("GET", &url, &[], b"", PATIENCE).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    pub(crate) fn fault(&self, kind: impl Into<Value>, matching: &str, count: u32) {
        self.order(&json!({"do": "fault", "kind": kind.into(), "match": matching, "count": count}));
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
