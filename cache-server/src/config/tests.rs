use std::{collections::BTreeMap, fs, path::Path};

use tempfile::NamedTempFile;

use cache_core::{Period, Size};

use super::*;

/// What is not set stands as the product has it.
#[test]
fn the_products_upstreams_are_a_valid_configuration() {
    let data = ("CACHALOT_STORE__DATA", "/data");
    let config = Config::load(Sources {
        environment: environment(&[data]),
        ..Sources::default()
    });
    let config = config.unwrap();
    assert_eq!(config.pypi.indexes.len(), 1);
    assert_eq!(config.npm.registries.len(), 1);
    assert!(config.apt.archives.len() > 3 && !config.proxy.connect.is_empty());
}

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let home = ("HOME", "/home/whale");
    std::iter::once(&home)
        .chain(variables)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(&file, text).unwrap();
    file
}

fn load(
    text: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Config, ConfigError> {
    let file = file(text);
    Config::load(Sources {
        file: Some(file.path().to_owned()),
        environment: environment(variables),
        flags: flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect(),
    })
}

#[track_caller]
fn refused(text: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> String {
    load(text, variables, flags).unwrap_err().to_string()
}

#[test]
fn the_defaults_need_no_file() {
    let config = Config::load(Sources {
        environment: environment(&[]),
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(config.server.listen.0.to_string(), "127.0.0.1:3142");
    assert_eq!(config.server.admin_listen.0.to_string(), "127.0.0.1:3143");
    assert_eq!(
        config.store.data,
        Path::new("/home/whale/.local/share/cachalot")
    );
    assert!(config.auth.is_empty() && config.tls.is_none());
}

#[test]
fn the_data_folder_follows_the_xdg_specification() {
    for (variables, expected) in [
        (&[("XDG_DATA_HOME", "/data")][..], "/data/cachalot"),
        (
            &[("XDG_DATA_HOME", "")],
            "/home/whale/.local/share/cachalot",
        ),
        (
            &[("XDG_DATA_HOME", "relative")],
            "/home/whale/.local/share/cachalot",
        ),
    ] {
        assert_eq!(
            load("", variables, &[]).unwrap().store.data,
            Path::new(expected)
        );
    }
    let homeless = Config::load(Sources::default()).unwrap_err().to_string();
    assert_eq!(homeless, "store: is needed");
}

#[test]
fn flags_outrank_the_environment_and_that_the_file() {
    let text = "[store]\ndata = \"/file\"\nquota = \"1GiB\"\nlease = \"1h\"";
    let variables = [
        ("CACHALOT_STORE__QUOTA", "2GiB"),
        ("CACHALOT_STORE__LEASE", "2h"),
    ];
    let config = load(text, &variables, &[("store.quota", "3GiB")]).unwrap();
    assert_eq!(config.store.data, Path::new("/file"));
    assert_eq!(config.store.lease, Period::seconds(2 * 3600));
    assert_eq!(config.store.quota, Some(Size(3 << 30)));
}

#[test]
fn a_variable_has_any_text_in_it() {
    let data = |value: &str| {
        let config = load("", &[("CACHALOT_STORE__DATA", value)], &[]);
        config.unwrap().store.data.to_str().unwrap().to_owned()
    };
    for (value, expected) in [
        (r"/wäl\der", r"/wäl\der"),
        (r#""/w\"l""#, r#"/w"l"#),
        (r#""/wäl\\der""#, r"/wäl\der"),
        (r#""/wäl\u00e4""#, "/wälä"),
        (r#""ä\"#, r#""ä\"#),
    ] {
        assert_eq!(data(value), expected, "{value}");
    }
}

#[test]
fn variables_of_others_are_left_alone() {
    let kubernetes = [
        ("CACHALOT_PORT", "tcp://10.0.0.1:3142"),
        ("CACHALOT_SERVICE_HOST", "10.0.0.1"),
    ];
    load("", &kubernetes, &[]).unwrap();
}

#[test]
fn sizes_and_times_are_read_as_people_write_them() {
    for (text, expected) in [
        ("\"10GiB\"", 10 << 30),
        ("\"1.5 MiB\"", 3 << 19),
        ("\"2KB\"", 2000),
        ("4096", 4096),
    ] {
        let config = load(&format!("[store]\nquota = {text}"), &[], &[]).unwrap();
        assert_eq!(config.store.quota, Some(Size(expected)), "{text}");
    }
    let config = load("[limits]\nidle = \"1m 30s\"", &[], &[]).unwrap();
    assert_eq!(config.limits.idle, Period::seconds(90));
}

#[test]
fn errors_name_the_field_its_origin_and_what_was_expected() {
    let told = refused("[store]\nquota = \"ten\"", &[], &[]);
    assert!(
        told.starts_with("store.quota: string \"ten\", expected a size as \"10GiB\""),
        "{told}"
    );
    assert!(told.contains("(in /"), "{told}");

    let variable = [("CACHALOT_SERVER__LISTEN", "somewhere")];
    let told = refused("", &variable, &[]);
    assert!(
        told.starts_with("server.listen: string \"somewhere\", expected an IP address"),
        "{told}"
    );
    assert!(
        told.ends_with("(from the environment variable CACHALOT_SERVER__LISTEN)"),
        "{told}"
    );

    let told = refused("", &[], &[("store.durability", "maybe")]);
    assert!(
        told.starts_with("store.durability: \"maybe\", expected one of"),
        "{told}"
    );
    assert!(told.contains("grouped, strict"), "{told}");

    let told = refused("[limits]\nidle = 30", &[], &[]);
    assert!(told.starts_with("limits.idle: "), "{told}");
    assert!(told.contains("a time span with its unit"), "{told}");

    let told = refused(
        "[auth]\ntokens = [{ name = \"x\", sha256 = \"y\", grants = {} }]",
        &[],
        &[],
    );
    assert!(
        told.starts_with("auth.tokens.0.sha256: expected the SHA-256 of a token"),
        "{told}"
    );
}

#[test]
fn unknown_fields_are_refused_everywhere() {
    for (text, field) in [
        ("[serve]", "serve"),
        ("[server]\nlisten_on = \"x\"", "server.listen_on"),
        ("[store]\nsize = 1", "store.size"),
        ("[tls]\ncert = \"c\"\nkey = \"k\"\nca = \"x\"", "tls.ca"),
        ("[auth]\nuser = 1", "auth.user"),
        ("[auth.anonymous]\nwrite = []", "auth.anonymous.write"),
        ("[auth.users.ci]\nadmin = []", "auth.users.ci.admin"),
        ("[limits]\nidles = \"1s\"", "limits.idles"),
        ("[log]\ncolor = true", "log.color"),
        ("[oci]\nunknown = true", "oci.unknown"),
    ] {
        let told = refused(text, &[], &[]);
        assert!(
            told.starts_with(&format!("{field}: there is no such field")),
            "{told}"
        );
        assert!(told.contains("(in /"), "{told}");
    }
    let told = refused("", &[("CACHALOT_STORE__QOUTA", "1")], &[]);
    assert!(
        told.contains("store.qouta") && told.contains("CACHALOT_STORE__QOUTA"),
        "{told}"
    );
}

#[test]
fn a_file_that_is_absent_or_broken_is_named() {
    let absent = Sources {
        file: Some("/nowhere/cachalot.toml".into()),
        environment: environment(&[]),
        ..Sources::default()
    };
    let told = Config::load(absent).unwrap_err().to_string();
    assert!(told.starts_with("/nowhere/cachalot.toml: "), "{told}");
    let told = refused("[store", &[], &[]);
    assert!(told.contains("(in /"), "{told}");
}

#[test]
fn what_others_reach_needs_authentication_or_open() {
    let listen = ("server.listen", "0.0.0.0:3142");
    let told = refused("", &[], &[listen]);
    assert!(
        told.starts_with("server.listen: 0.0.0.0:3142") && told.contains("--open"),
        "{told}"
    );

    load("", &[], &[listen, ("server.open", "true")]).unwrap();
    load("[auth]\nhtpasswd = \"/users\"", &[], &[listen]).unwrap();
    load("[auth.anonymous]\nread = [\"public\"]", &[], &[listen]).unwrap();
    for loopback in ["127.0.0.1:0", "127.9.9.9:0", "[::1]:0"] {
        load("", &[], &[("server.listen", loopback)]).unwrap();
    }
}

#[test]
fn watermarks_leave_room_between_them() {
    let told = refused("[store]\nhigh_watermark = 50", &[], &[]);
    assert!(
        told.contains("store.high_watermark") && told.contains("90 and 50"),
        "{told}"
    );
}

#[test]
fn what_is_printed_can_be_read_again_and_shows_no_secret() {
    let hash = "ab".repeat(32);
    let text = format!(
        "[store]\nquota = \"10GiB\"\n[[auth.tokens]]\nname = \"x\"\nsha256 = \"{hash}\"\n\
         grants = {{ read = [\"*\"] }}"
    );
    let printed = load(&text, &[], &[]).unwrap().to_toml().unwrap();
    assert!(printed.contains("quota = \"10GiB\""), "{printed}");
    assert!(
        printed.contains("[redacted]") && !printed.contains(&hash),
        "{printed}"
    );
    let again = printed.replace("[redacted]", &hash);
    let again = load(&again, &[], &[]).unwrap();
    assert_eq!(again.to_toml().unwrap(), printed);
}
