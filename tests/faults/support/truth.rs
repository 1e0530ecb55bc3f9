//! The truth about a world, read from the world itself and never from what a program says about it.

use serde_json::Value;

/// Everything, at one moment.
#[derive(Debug)]
pub(crate) struct Truth(pub(crate) Value);

/// A live machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) group: String,
    pub(crate) state: String,
    pub(crate) release: u64,
    pub(crate) tag: String,
    pub(crate) digest: String,
    /// Runs, and the app in it is well.
    pub(crate) good: bool,
    pub(crate) standby: bool,
}

/// A release as the platform holds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Release {
    pub(crate) version: u64,
    pub(crate) status: String,
    pub(crate) image: String,
    pub(crate) user: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Truth {
    /// All machines that are not destroyed, those of release commands and canaries included.
    #[track_caller]
    pub(crate) fn all_machines(&self, app: &str) -> Vec<Machine> {
        let all = self.0["apps"][app]["machines"]
            .as_array()
            .expect("an app of the world");
        all.iter()
            .filter(|machine| !matches!(machine["state"].as_str(), Some("destroyed" | "destroying")))
            .map(|machine| Machine {
                id: text(&machine["id"]),
                region: text(&machine["region"]),
                group: text(&machine["group"]),
                state: text(&machine["state"]),
                release: machine["release"].as_u64().unwrap_or_default(),
                tag: text(&machine["tag"]),
                digest: text(&machine["digest"]),
                good: machine["healthy"] == true && machine["state"] == "started",
                standby: machine["standby"] == true,
            })
            .collect()
    }

    /// The machines that count: of a process group, not standing by.
    #[track_caller]
    pub(crate) fn machines(&self, app: &str) -> Vec<Machine> {
        let mut all = self.all_machines(app);
        all.retain(|machine| !machine.group.starts_with("fly_app_") && !machine.standby);
        all
    }

    #[track_caller]
    pub(crate) fn releases(&self, app: &str) -> Vec<Release> {
        let all = self.0["apps"][app]["releases"]
            .as_array()
            .expect("an app of the world");
        all.iter()
            .map(|release| Release {
                version: release["version"].as_u64().unwrap_or_default(),
                status: text(&release["status"]),
                image: text(&release["image"]),
                user: text(&release["user"]),
            })
            .collect()
    }

    /// The newest release.
    #[track_caller]
    pub(crate) fn newest(&self, app: &str) -> Release {
        self.releases(app).pop().expect("a release")
    }

    /// The owners of leases, by machine.
    pub(crate) fn leases(&self, app: &str) -> Vec<(String, String)> {
        let leases = self.0["apps"][app]["leases"].as_object();
        leases
            .into_iter()
            .flatten()
            .map(|(machine, lease)| (machine.clone(), text(&lease["owner"])))
            .collect()
    }

    /// Tags of the counted machines, sorted.
    #[track_caller]
    pub(crate) fn tags(&self, app: &str) -> Vec<String> {
        let mut tags: Vec<_> = self
            .machines(app)
            .into_iter()
            .map(|machine| machine.tag)
            .collect();
        tags.sort();
        tags
    }

    /// Asserts that exactly `count` counted machines are there, and each runs this tag and is good.
    #[track_caller]
    pub(crate) fn serves(&self, app: &str, tag: &str, count: usize) -> &Self {
        let machines = self.machines(app);
        assert_eq!(machines.len(), count, "{machines:#?}");
        for machine in &machines {
            assert!(
                machine.good && machine.tag == tag,
                "not all are good on {tag}: {machines:#?}"
            );
        }
        self
    }
}
