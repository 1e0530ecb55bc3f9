//! The subcommands and flags that the stand-in knows: those of flyctl v0.2.4 (captures `help_*`), described in our words.

/// A flag; `kind` is what the help prints after its name, empty for a switch.
pub(super) struct Flag {
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    pub(super) kind: &'static str,
    pub(super) about: &'static str,
}

/// A subcommand.
pub(super) struct Command {
    /// Its words, aliases separated by `|`.
    pub(super) path: &'static [&'static str],
    /// What the usage line shows after the words.
    pub(super) usage: &'static str,
    pub(super) about: &'static str,
    pub(super) flags: &'static [Flag],
}

const fn flag(long: &'static str, short: Option<char>, kind: &'static str, about: &'static str) -> Flag {
    Flag {
        long,
        short,
        kind,
        about,
    }
}

const APP: Flag = flag("app", Some('a'), "string", "Name of the app");
const CONFIG: Flag = flag("config", Some('c'), "string", "Path of the configuration file");
const JSON: Flag = flag("json", Some('j'), "", "Print JSON");

/// Flags that every subcommand takes.
pub(super) const GLOBAL: &[Flag] = &[
    flag("access-token", Some('t'), "string", "Token for the Fly API"),
    flag("debug", None, "", "More logs and traces"),
    flag("verbose", None, "", "More output"),
];

const DEPLOY: &[Flag] = &[
    APP,
    flag("build-arg", None, "stringArray", "Build variables, NAME=VALUE"),
    flag("build-only", None, "", "Build, do not deploy"),
    flag("build-secret", None, "stringArray", "Build secrets, NAME=VALUE"),
    flag("build-target", None, "string", "Target stage of the Dockerfile"),
    flag(
        "buildpacks-docker-host",
        None,
        "string",
        "Docker daemon for the build container",
    ),
    flag(
        "buildpacks-volume",
        None,
        "strings",
        "Host volumes for the build container",
    ),
    CONFIG,
    flag("detach", None, "", "Return without watching the deployment"),
    flag(
        "dns-checks",
        None,
        "",
        "Ask for the DNS names after a deployment (default true)",
    ),
    flag("dockerfile", None, "string", "Path of the Dockerfile"),
    flag(
        "env",
        Some('e'),
        "stringArray",
        "Environment variables, NAME=VALUE",
    ),
    flag(
        "exclude-regions",
        None,
        "strings",
        "Leave out machines in these regions",
    ),
    flag(
        "file-literal",
        None,
        "stringArray",
        "Files by content, /path=VALUE",
    ),
    flag(
        "file-local",
        None,
        "stringArray",
        "Files by local path, /path=LOCAL",
    ),
    flag(
        "file-secret",
        None,
        "stringArray",
        "Files by secret, /path=SECRET",
    ),
    flag(
        "ha",
        None,
        "",
        "Make spare machines for availability (default true)",
    ),
    flag(
        "host-dedication-id",
        None,
        "string",
        "Reserved hosts of the organization",
    ),
    flag("ignorefile", None, "string", "Path of the ignore file"),
    flag("image", Some('i'), "string", "Image to deploy"),
    flag(
        "image-label",
        None,
        "string",
        "Tag of the image that is built (default deployment-{timestamp})",
    ),
    flag(
        "immediate-max-concurrent",
        None,
        "int",
        "Machines updated at once by the immediate strategy (default 16)",
    ),
    flag("label", None, "stringArray", "Labels for the image"),
    flag(
        "lease-timeout",
        None,
        "string",
        "How long a lease on a machine lasts (default \"13s\")",
    ),
    flag("local-only", None, "", "Build with the local docker daemon"),
    flag(
        "max-unavailable",
        None,
        "float",
        "Machines that may be down during a rolling update (default 0.33)",
    ),
    flag("nixpacks", None, "", "Build with nixpacks"),
    flag("no-cache", None, "", "Build without the cache"),
    flag("no-public-ips", None, "", "Allocate no public addresses"),
    flag("now", None, "", "Deploy without confirmation"),
    flag("only-regions", None, "strings", "Only machines in these regions"),
    flag(
        "process-groups",
        None,
        "strings",
        "Only machines in these process groups",
    ),
    flag(
        "provision-extensions",
        None,
        "",
        "Provision default extensions on a first deployment",
    ),
    flag("push", None, "", "Push the image after the build"),
    flag("region", Some('r'), "string", "Target region"),
    flag(
        "release-command-timeout",
        None,
        "string",
        "How long a release command may run, or 'none' (default \"5m0s\")",
    ),
    flag("remote-only", None, "", "Build on a remote builder"),
    flag(
        "smoke-checks",
        None,
        "",
        "Watch each machine for ten seconds (default true)",
    ),
    flag(
        "strategy",
        None,
        "string",
        "canary, rolling, bluegreen or immediate",
    ),
    flag("update-only", None, "", "Make no machines for new process groups"),
    flag("vm-cpu-kind", None, "string", "Kind of CPU"),
    flag("vm-cpus", None, "int", "Number of CPUs"),
    flag("vm-gpu-kind", None, "string", "GPU model"),
    flag("vm-gpus", None, "int", "Number of GPUs"),
    flag("vm-memory", None, "string", "Memory in megabytes"),
    flag("vm-size", None, "string", "Size of the machines"),
    flag(
        "volume-initial-size",
        None,
        "int",
        "Size in GB of volumes made on a first deployment",
    ),
    flag(
        "wait-timeout",
        None,
        "string",
        "How long a machine may take to change state or become healthy (default \"5m0s\")",
    ),
    flag("yes", Some('y'), "", "Confirm everything"),
];

/// Every subcommand, those with more words first.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        path: &["machine|machines|m", "list|ls"],
        usage: "machine list [flags]",
        about: "List the machines of an app",
        flags: &[APP, CONFIG, JSON, flag("quiet", Some('q'), "", "Only the ids")],
    },
    Command {
        path: &["machine|machines|m", "start"],
        usage: "machine start <id> [<id>...] [flags]",
        about: "Start machines",
        flags: &[APP, CONFIG],
    },
    Command {
        path: &["machine|machines|m", "uncordon"],
        usage: "machine uncordon <id> [<id>...] [flags]",
        about: "Reactivate all services on a machine",
        flags: &[APP, CONFIG],
    },
    Command {
        path: &["machine|machines|m", "stop"],
        usage: "machine stop <id> [<id>...] [flags]",
        about: "Stop machines",
        flags: &[
            APP,
            CONFIG,
            flag("signal", Some('s'), "string", "Signal"),
            flag("timeout", None, "int", "Seconds until it is killed"),
        ],
    },
    Command {
        path: &["machine|machines|m", "destroy|remove|rm"],
        usage: "machine destroy <id> [flags]",
        about: "Destroy a machine",
        flags: &[APP, CONFIG, flag("force", Some('f'), "", "Also one that runs")],
    },
    Command {
        path: &["ips", "list|ls"],
        usage: "ips list [flags]",
        about: "List the addresses of an app",
        flags: &[APP, CONFIG, JSON],
    },
    Command {
        path: &["config", "show|display"],
        usage: "config show [flags]",
        about: "Show the configuration of the newest release",
        flags: &[APP, CONFIG, flag("local", None, "", "Show the local file")],
    },
    Command {
        path: &["auth", "whoami"],
        usage: "auth whoami [flags]",
        about: "Show who is logged in",
        flags: &[JSON],
    },
    Command {
        path: &["secrets|secret", "list|ls"],
        usage: "secrets list [flags]",
        about: "List the names of an app's secrets, with digests and times",
        flags: &[APP, CONFIG, JSON],
    },
    Command {
        path: &["secrets|secret", "set"],
        usage: "secrets set [flags] NAME=VALUE NAME=VALUE ...",
        about: "Set secrets, with a release",
        flags: &[
            APP,
            CONFIG,
            flag("detach", None, "", "Return at once"),
            flag("stage", None, "", "Without a release"),
        ],
    },
    Command {
        path: &["secrets|secret", "unset|remove|rm"],
        usage: "secrets unset [flags] NAME NAME ...",
        about: "Remove secrets, with a release",
        flags: &[
            APP,
            CONFIG,
            flag("detach", None, "", "Return at once"),
            flag("stage", None, "", "Without a release"),
        ],
    },
    Command {
        path: &["version"],
        usage: "version [flags]",
        about: "Show the version",
        flags: &[JSON],
    },
    Command {
        path: &["deploy"],
        usage: "deploy [WORKING_DIRECTORY] [flags]",
        about: "Deploy an app from source or from an image",
        flags: DEPLOY,
    },
    Command {
        path: &["releases|release"],
        usage: "releases [flags]",
        about: "List the releases of an app",
        flags: &[
            APP,
            CONFIG,
            flag("image", None, "", "Show the image of each release"),
            JSON,
        ],
    },
    Command {
        path: &["status"],
        usage: "status [flags]",
        about: "Show the state of an app",
        flags: &[
            flag("all", None, "", "Completed instances too"),
            APP,
            CONFIG,
            flag("deployment", None, "", "Always show the deployment"),
            JSON,
            flag("rate", None, "int", "Refresh rate for --watch (default 5)"),
            flag("watch", None, "", "Refresh"),
        ],
    },
    Command {
        path: &["logs|log"],
        usage: "logs [flags]",
        about: "Show the logs of an app",
        flags: &[
            APP,
            CONFIG,
            flag("instance", Some('i'), "string", "Only of this machine"),
            JSON,
            flag("no-tail", Some('n'), "", "Do not wait for more"),
            flag("region", Some('r'), "string", "Only of this region"),
        ],
    },
];

impl Command {
    /// The words of a command as they are printed, without aliases.
    pub(super) fn words(&self) -> String {
        let words: Vec<_> = self
            .path
            .iter()
            .filter_map(|word| word.split('|').next())
            .collect();
        words.join(" ")
    }

    /// Whether the first words of a command line name it.
    fn matches(&self, words: &[&str]) -> bool {
        words.len() >= self.path.len()
            && self
                .path
                .iter()
                .zip(words)
                .all(|(names, word)| names.split('|').any(|name| name == *word))
    }

    /// The command that a command line names, with the number of its words.
    pub(super) fn find(words: &[&str]) -> Option<(&'static Self, usize)> {
        COMMANDS
            .iter()
            .find(|command| command.matches(words))
            .map(|command| (command, command.path.len()))
    }

    pub(super) fn flag(&self, long: &str) -> Option<&'static Flag> {
        self.flags.iter().chain(GLOBAL).find(|flag| flag.long == long)
    }

    pub(super) fn short(&self, short: char) -> Option<&'static Flag> {
        self.flags
            .iter()
            .chain(GLOBAL)
            .find(|flag| flag.short == Some(short))
    }

    /// The usage and the flags, as `--help` and a wrong flag print them.
    pub(super) fn usage_text(&self) -> String {
        let last = self.words();
        let last = last.rsplit(' ').next().unwrap_or_default();
        let about = format!("help for {last}");
        let mut own: Vec<(&str, Option<char>, &str, &str)> = self
            .flags
            .iter()
            .map(|flag| (flag.long, flag.short, flag.kind, flag.about))
            .collect();
        own.push(("help", Some('h'), "", &about));
        own.sort_by_key(|(long, ..)| *long);
        let global: Vec<_> = GLOBAL
            .iter()
            .map(|flag| (flag.long, flag.short, flag.kind, flag.about))
            .collect();
        let aliases: Vec<_> = self
            .path
            .last()
            .map(|names| names.split('|').collect())
            .unwrap_or_default();
        let aliases = if aliases.len() > 1 {
            format!("\nAliases:\n  {}\n", aliases.join(", "))
        } else {
            String::new()
        };
        format!(
            "Usage:\n  flyctl {}\n{aliases}\nFlags:\n{}\nGlobal Flags:\n{}",
            self.usage,
            rows(&own),
            rows(&global)
        )
    }
}

fn rows(flags: &[(&str, Option<char>, &str, &str)]) -> String {
    let heads: Vec<String> = flags
        .iter()
        .map(|(long, short, kind, _)| {
            let short = short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
            let kind = if kind.is_empty() {
                String::new()
            } else {
                format!(" {kind}")
            };
            format!("  {short}--{long}{kind}")
        })
        .collect();
    let width = heads.iter().map(String::len).max().unwrap_or(0) + 3;
    let lines: Vec<String> = heads
        .iter()
        .zip(flags)
        .map(|(head, (.., about))| format!("{head:width$}{about}"))
        .collect();
    lines.join("\n") + "\n"
}
