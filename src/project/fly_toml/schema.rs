//! The keys of a configuration that flyctl gives a type to (REFERENCE 3.2), as a table to walk along.

/// What flyctl wants at a place. Only what it surely refuses is wrong: where versions differ, the wider form stands.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Boolean,
    Integer,
    /// `[[services]]` takes `"8080"` too.
    Port,
    /// A boolean, or one of newer flyctl's words.
    Autostop,
    Number,
    /// A Go duration, or a number that means another unit at each place.
    Duration,
    Texts,
    Table(Fields),
    /// An array of tables.
    Tables(Fields),
    /// One table or an array of them.
    TableOrTables(Fields),
    /// A table whose keys are names.
    Named(Fields),
    /// A map of scalars, or an array of such maps.
    Map,
    /// Not looked at.
    Any,
}

pub(super) type Fields = &'static [(&'static str, Kind)];

pub(super) const TOP: Fields = &[
    ("app", Kind::Text),
    ("primary_region", Kind::Text),
    ("kill_signal", Kind::Text),
    ("kill_timeout", Kind::Any),
    ("swap_size_mb", Kind::Integer),
    ("console_command", Kind::Text),
    ("host_dedication_id", Kind::Text),
    ("machine_config", Kind::Any),
    ("container", Kind::Any),
    ("build", Kind::Table(BUILD)),
    ("deploy", Kind::Table(DEPLOY)),
    ("env", Kind::Map),
    ("processes", Kind::Map),
    ("http_service", Kind::Table(HTTP_SERVICE)),
    ("services", Kind::TableOrTables(SERVICE)),
    ("checks", Kind::Named(TOP_LEVEL_CHECK)),
    ("machine_checks", Kind::Any),
    ("vm", Kind::TableOrTables(&[])),
    ("compute", Kind::Any),
    ("computes", Kind::Any),
    ("mounts", Kind::TableOrTables(&[])),
    ("mount", Kind::Any),
    ("restart", Kind::Any),
    ("files", Kind::Tables(FILE)),
    ("statics", Kind::Any),
    ("metrics", Kind::Any),
    ("experimental", Kind::Any),
];

const BUILD: Fields = &[
    ("builder", Kind::Text),
    ("args", Kind::Any),
    ("buildpacks", Kind::Texts),
    ("image", Kind::Text),
    ("settings", Kind::Any),
    ("builtin", Kind::Text),
    ("dockerfile", Kind::Text),
    ("ignorefile", Kind::Text),
    ("build-target", Kind::Text),
    ("build_target", Kind::Any),
    ("compose", Kind::Any),
    ("compression", Kind::Any),
    ("compression_level", Kind::Any),
];

const DEPLOY: Fields = &[
    ("strategy", Kind::Text),
    ("max_unavailable", Kind::Number),
    ("wait_timeout", Kind::Duration),
    ("release_command", Kind::Text),
    ("release_command_timeout", Kind::Duration),
    ("release_command_vm", Kind::Any),
    ("seed_command", Kind::Any),
];

const HTTP_SERVICE: Fields = &[
    ("internal_port", Kind::Integer),
    ("force_https", Kind::Boolean),
    ("auto_stop_machines", Kind::Autostop),
    ("auto_start_machines", Kind::Boolean),
    ("min_machines_running", Kind::Integer),
    ("processes", Kind::Texts),
    ("concurrency", Kind::Any),
    ("tls_options", Kind::Any),
    ("http_options", Kind::Any),
    ("checks", Kind::Tables(CHECK)),
    ("machine_checks", Kind::Any),
];

const SERVICE: Fields = &[
    ("protocol", Kind::Text),
    ("internal_port", Kind::Port),
    ("auto_stop_machines", Kind::Autostop),
    ("auto_start_machines", Kind::Boolean),
    ("min_machines_running", Kind::Integer),
    ("processes", Kind::Texts),
    ("concurrency", Kind::Any),
    ("ports", Kind::Tables(PORT)),
    ("tcp_checks", Kind::TableOrTables(CHECK)),
    ("http_checks", Kind::TableOrTables(CHECK)),
    ("machine_checks", Kind::Any),
    ("script_checks", Kind::Any),
    ("force_instance_key", Kind::Any),
    ("force_instance_description", Kind::Any),
    ("http_options", Kind::Any),
    ("tls_options", Kind::Any),
];

const PORT: Fields = &[
    ("port", Kind::Port),
    ("start_port", Kind::Port),
    ("end_port", Kind::Port),
    ("handlers", Kind::Texts),
    ("force_https", Kind::Boolean),
    ("tls_options", Kind::Any),
    ("http_options", Kind::Any),
    ("proxy_proto_options", Kind::Any),
];

/// A check of either table of services; `type` is ignored there.
const CHECK: Fields = &[
    ("interval", Kind::Duration),
    ("timeout", Kind::Duration),
    ("grace_period", Kind::Duration),
    ("method", Kind::Text),
    ("path", Kind::Text),
    ("protocol", Kind::Text),
    ("tls_skip_verify", Kind::Boolean),
    ("tls_server_name", Kind::Text),
    ("headers", Kind::Any),
    ("restart_limit", Kind::Any),
    ("type", Kind::Any),
];

const TOP_LEVEL_CHECK: Fields = &[
    ("type", Kind::Text),
    ("port", Kind::Port),
    ("processes", Kind::Texts),
    ("interval", Kind::Duration),
    ("timeout", Kind::Duration),
    ("grace_period", Kind::Duration),
    ("method", Kind::Text),
    ("path", Kind::Text),
    ("protocol", Kind::Text),
    ("tls_skip_verify", Kind::Boolean),
    ("tls_server_name", Kind::Text),
    ("headers", Kind::Any),
    ("restart_limit", Kind::Any),
];

const FILE: Fields = &[
    ("guest_path", Kind::Text),
    ("local_path", Kind::Text),
    ("secret_name", Kind::Text),
    ("raw_value", Kind::Text),
    ("processes", Kind::Texts),
    ("mode", Kind::Any),
];
