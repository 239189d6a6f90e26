//! Homes and `/etc`s as they are found on machines. All synthetic.

/// A machine before.
pub(super) struct Variant {
    pub(super) name: &'static str,
    /// Below the machine's root.
    pub(super) home: &'static str,
    pub(super) nodes: &'static [(&'static str, Node)],
    /// `ROOT` is the machine's root.
    pub(super) variables: &'static [(&'static str, &'static str)],
    pub(super) umask: &'static str,
    /// Tools that something cannot be done for.
    pub(super) refused: &'static [&'static str],
}

/// What is at a path.
pub(super) enum Node {
    Text(&'static str),
    Bytes(&'static [u8]),
    Mode(u32, &'static str),
    Owned(u32, &'static str),
    Folder(u32),
    Link(&'static str),
    Hard(&'static str),
    Pipe,
}

use Node::{Bytes, Folder, Hard, Link, Mode, Owned, Pipe, Text};

const USUAL: Variant = Variant {
    name: "",
    home: "home",
    nodes: &[],
    variables: &[],
    umask: "022",
    refused: &[],
};

const APT: (&str, Node) = ("etc/apt/apt.conf.d", Folder(0o755));

const VARIANTS: &[Variant] = &[
    Variant {
        name: "nothing but folders",
        nodes: &[APT],
        ..USUAL
    },
    Variant {
        name: "nothing at all",
        refused: &["apt"],
        ..USUAL
    },
    Variant {
        name: "comments",
        nodes: &[
            APT,
            ("home/.npmrc", Text("; mine\n# and\n\ncolor=true\n")),
            (
                "home/.config/pip/pip.conf",
                Text("# mine\n[global]\n; why\ntimeout = 60\n\n\n"),
            ),
            (
                "home/.config/uv/uv.toml",
                Text("# mine\n\noffline = false # why\n"),
            ),
            (
                "home/.cargo/config.toml",
                Text("# mine\n[build] # why\njobs = 2\n"),
            ),
            (
                "home/.yarnrc.yml",
                Text("# mine\n\nenableTelemetry: false # why\n"),
            ),
            ("home/.yarnrc", Text("# mine\nlastUpdateCheck 1\n")),
            (
                "etc/apt/apt.conf.d/99mine",
                Text("// mine\nAcquire::Retries \"1\";\n"),
            ),
            (
                "etc/docker/daemon.json",
                Text("{\n    \"debug\": true,\n    \"log-driver\": \"local\"\n}\n"),
            ),
        ],
        ..USUAL
    },
    Variant {
        name: "CRLF",
        nodes: &[
            APT,
            (
                "home/.npmrc",
                Text("a=1\r\nregistry=https://packages.example/\r\n"),
            ),
            (
                "home/.config/pip/pip.conf",
                Text("[global]\r\nindex-url = https://packages.example/\r\n"),
            ),
            (
                "home/.config/uv/uv.toml",
                Text("[pip]\r\nindex-url = \"https://packages.example/\"\r\n"),
            ),
            (
                "home/.cargo/config.toml",
                Text(
                    "[source.crates-io]\r\nreplace-with = \"m\"\r\n[source.m]\r\ndirectory = \"v\"\r\n",
                ),
            ),
            ("home/.yarnrc.yml", Text("npmRegistryServer: x\r\nb: 1\r\n")),
            (
                "home/.docker/buildx/buildkitd.default.toml",
                Text("debug = true\r\n"),
            ),
            (
                "etc/docker/daemon.json",
                Text("{\r\n  \"debug\": true\r\n}\r\n"),
            ),
        ],
        ..USUAL
    },
    Variant {
        name: "no last line end",
        nodes: &[
            APT,
            ("home/.npmrc", Text("registry=https://packages.example/")),
            ("home/.config/pip/pip.conf", Text("[global]")),
            ("home/.config/uv/uv.toml", Text("offline = false")),
            ("home/.cargo/config.toml", Text("[net]\nretry = 2")),
            ("home/.yarnrc.yml", Text("nodeLinker: pnp")),
            (
                "home/.yarnrc",
                Text("registry \"https://packages.example/\""),
            ),
            (
                "home/.docker/buildx/buildkitd.default.toml",
                Text("[registry.\"registry.example\"]\nmirrors = [\"m.example\"]"),
            ),
            (
                "etc/docker/daemon.json",
                Text("{\"registry-mirrors\":[\"https://m.example\"]}"),
            ),
        ],
        ..USUAL
    },
    Variant {
        name: "byte order marks",
        nodes: &[
            APT,
            ("home/.npmrc", Text("\u{feff}a=1\n")),
            (
                "home/.config/pip/pip.conf",
                Text("\u{feff}[global]\ntimeout=1\n"),
            ),
            ("home/.config/uv/uv.toml", Text("\u{feff}offline = false\n")),
            (
                "home/.cargo/config.toml",
                Text("\u{feff}[net]\nretry = 2\n"),
            ),
            ("home/.yarnrc.yml", Text("\u{feff}nodeLinker: pnp\r\n")),
            ("etc/docker/daemon.json", Text("\u{feff}{}")),
        ],
        ..USUAL
    },
    Variant {
        name: "empty files",
        nodes: &[
            APT,
            ("home/.npmrc", Text("")),
            ("home/.config/pip/pip.conf", Text("")),
            ("home/.config/uv/uv.toml", Text("")),
            ("home/.cargo/config.toml", Text("")),
            ("home/.yarnrc.yml", Text("")),
            ("home/.yarnrc", Text("")),
            ("home/.docker/buildx/buildkitd.default.toml", Text("")),
            ("etc/docker/daemon.json", Text("")),
            ("etc/apt/apt.conf.d/01cachalot", Text("")),
        ],
        ..USUAL
    },
    Variant {
        name: "blank files",
        nodes: &[
            APT,
            ("home/.npmrc", Text("\n\n")),
            ("home/.config/pip/pip.conf", Text("  \n")),
            ("home/.config/uv/uv.toml", Text("\r\n")),
            ("home/.cargo/config.toml", Text("\t")),
            ("home/.yarnrc.yml", Text("---\n")),
            ("etc/docker/daemon.json", Text(" \n")),
        ],
        ..USUAL
    },
    Variant {
        name: "links into a repository of settings",
        nodes: &[
            APT,
            ("home/dotfiles/npmrc", Text("a=1\n")),
            (
                "home/dotfiles/config/pip/pip.conf",
                Text("[global]\ntimeout = 9\n"),
            ),
            ("home/dotfiles/yarn", Text("nodeLinker: pnp\n")),
            ("home/.npmrc", Link("dotfiles/npmrc")),
            ("home/.config", Link("dotfiles/config")),
            ("home/.yarnrc.yml", Link("step")),
            ("home/step", Link("dotfiles/yarn")),
            ("etc/docker", Link("../opt/docker")),
            ("opt/docker/daemon.json", Text("{}")),
        ],
        ..USUAL
    },
    Variant {
        name: "links that lead to nothing yet",
        nodes: &[
            APT,
            ("home/.npmrc", Link("dotfiles/npmrc")),
            (
                "home/.cargo/config.toml",
                Link("../dotfiles/cargo/config.toml"),
            ),
        ],
        ..USUAL
    },
    Variant {
        name: "links in a circle, folders and pipes",
        nodes: &[
            APT,
            ("home/.npmrc", Link(".npmrc")),
            ("home/.yarnrc", Folder(0o755)),
            ("home/.config/pip/pip.conf", Pipe),
        ],
        refused: &["npm", "pip", "pnpm", "yarn"],
        ..USUAL
    },
    Variant {
        name: "two names of a file",
        nodes: &[
            APT,
            ("home/.npmrc", Text("a=1\n")),
            ("backup/npmrc", Hard("home/.npmrc")),
            ("etc/docker/daemon.json", Text("{ }")),
            ("backup/daemon.json", Hard("etc/docker/daemon.json")),
        ],
        ..USUAL
    },
    Variant {
        name: "read-only files",
        nodes: &[
            APT,
            ("home/.npmrc", Mode(0o400, "a=1\n")),
            ("home/.config/uv/uv.toml", Mode(0o444, "offline = false\n")),
            (
                "etc/docker/daemon.json",
                Mode(0o444, "{\"debug\": false}\n"),
            ),
        ],
        ..USUAL
    },
    Variant {
        name: "odd modes",
        nodes: &[
            APT,
            (
                "home/.npmrc",
                Mode(0o600, "//packages.example/:_authToken=synthetic\n"),
            ),
            ("home/.config/pip/pip.conf", Mode(0o666, "[global]\n")),
            ("home/.cargo", Folder(0o700)),
            ("home/.cargo/config.toml", Mode(0o755, "[net]\n")),
            ("home/.yarnrc.yml", Mode(0o1644, "a: 1\n")),
        ],
        umask: "077",
        ..USUAL
    },
    Variant {
        name: "other owners",
        nodes: &[
            APT,
            ("home/.npmrc", Owned(1234, "a=1\n")),
            ("home/.cargo/config.toml", Owned(1234, "[net]\nretry = 1\n")),
            (
                "etc/docker/daemon.json",
                Owned(4321, "{\"debug\": false}\n"),
            ),
        ],
        ..USUAL
    },
    Variant {
        name: "other mirrors",
        nodes: &[
            APT,
            (
                "home/.npmrc",
                Text(
                    "@acme:registry=https://npm.example/\nregistry=https://mirror.example/\n//npm.example/:_authToken=synthetic\n",
                ),
            ),
            (
                "home/.config/pip/pip.conf",
                Text(
                    "[global]\nindex-url = https://mirror.example/simple\nextra-index-url =\n    https://a.example/simple\n    https://b.example/simple\ntrusted-host = a.example\n    b.example\n\n[install]\nindex_url: https://c.example/simple\ntrusted-host: c.example\n",
                ),
            ),
            (
                "home/.config/uv/uv.toml",
                Text(
                    "[[index]]\nname = \"acme\"\nurl = \"https://a.example/simple\"\n\n[[index]]\nurl = \"https://mirror.example/simple\"\ndefault = true\n",
                ),
            ),
            (
                "home/.cargo/config.toml",
                Text(
                    "[source.crates-io]\nreplace-with = \"mirror\"\n\n[source.mirror]\nregistry = \"sparse+https://mirror.example/\"\n",
                ),
            ),
            (
                "home/.yarnrc.yml",
                Text(
                    "npmRegistryServer: \"https://mirror.example/\"\nunsafeHttpWhitelist:\n  - a.example\n",
                ),
            ),
            (
                "home/.yarnrc",
                Text("registry \"https://mirror.example/\"\n"),
            ),
            (
                "home/.docker/buildx/buildkitd.default.toml",
                Text(
                    "[registry.\"registry.example\"]\n  mirrors = [\"a.example\", \"b.example\"]\n[registry.\"cache.example:3142\"]\n  http = false\n",
                ),
            ),
            (
                "etc/docker/daemon.json",
                Text(
                    "{\n\t\"registry-mirrors\": [\n\t\t\"https://a.example\",\n\t\t\"https://b.example\"\n\t],\n\t\"debug\": true\n}\n",
                ),
            ),
            (
                "etc/apt/apt.conf.d/00proxy",
                Text("Acquire::http::Proxy \"http://proxy.example:8080\";\n"),
            ),
            (
                "etc/apt/apt.conf.d/01cachalot",
                Text("Acquire::http::Proxy-Auto-Detect \"/usr/bin/other\";\n"),
            ),
        ],
        ..USUAL
    },
    Variant {
        name: "blocks of other programs",
        nodes: &[
            APT,
            (
                "home/.npmrc",
                Text("# >>> other >>>\nregistry=x\n# <<< other <<<\n"),
            ),
            (
                "home/.config/pip/pip.conf",
                Text("# >>> other >>>\n[global]\nindex-url = x\n# <<< other <<<\n"),
            ),
        ],
        ..USUAL
    },
    Variant {
        name: "indented",
        nodes: &[
            APT,
            (
                "home/.config/pip/pip.conf",
                Text(
                    "  [global]\n    timeout = 1\n    trusted-host =\n      a.example\n\n    [install]\n    no-color = yes\n",
                ),
            ),
            (
                "home/.cargo/config.toml",
                Text(
                    "  [source.crates-io]\n    replace-with = \"m\"\n  [source.m]\n    directory = \"v\"\n",
                ),
            ),
            (
                "etc/docker/daemon.json",
                Text("   {   \"a\" : {\"b\":[ ]} , \"registry-mirrors\" : [ ]   }   "),
            ),
        ],
        ..USUAL
    },
    Variant {
        name: "old places",
        nodes: &[
            APT,
            (
                "home/.pip/pip.conf",
                Text("[global]\nindex-url = https://mirror.example/simple\n"),
            ),
            ("home/.cargo/config", Text("[net]\nretry = 1\n")),
            ("home/.cargo/config.toml", Text("[net]\nretry = 2\n")),
        ],
        ..USUAL
    },
    Variant {
        name: "places that the environment names",
        nodes: &[APT, ("srv/pip.ini", Text("[global]\ntimeout = 1\n"))],
        variables: &[
            ("XDG_CONFIG_HOME", "ROOT/srv/config"),
            ("XDG_STATE_HOME", "ROOT/srv/state"),
            ("PIP_CONFIG_FILE", "ROOT/srv/pip.ini"),
            ("UV_CONFIG_FILE", "ROOT/srv/uv.toml"),
            ("npm_config_userconfig", "ROOT/srv/npmrc"),
            ("NPM_CONFIG_GLOBALCONFIG", "ROOT/srv/global/npmrc"),
            ("CARGO_HOME", "ROOT/srv/cargo"),
            ("DOCKER_CONFIG", "ROOT/srv/docker"),
            ("YARN_RC_FILENAME", ".other.yml"),
        ],
        ..USUAL
    },
    Variant {
        name: "more places that the environment names",
        nodes: &[APT],
        variables: &[
            ("XDG_CONFIG_HOME", "not/absolute"),
            ("BUILDX_CONFIG", "ROOT/srv/buildx"),
            ("DOCKER_CONFIG", "ROOT/srv/docker"),
            ("PIP_INDEX_URL", "https://packages.example/"),
        ],
        ..USUAL
    },
    Variant {
        name: "pip that reads no settings",
        nodes: &[APT],
        variables: &[("PIP_CONFIG_FILE", "/dev/null")],
        refused: &["pip"],
        ..USUAL
    },
    Variant {
        name: "broken files",
        nodes: &[
            APT,
            ("home/.config/pip/pip.conf", Text("no section\n")),
            ("home/.config/uv/uv.toml", Text("[unclosed\n")),
            ("home/.cargo/config.toml", Text("a = \n")),
            ("home/.npmrc", Bytes(b"a=\xe9\n")),
            ("home/.yarnrc.yml", Text("{a: 1}\n")),
            (
                "home/.docker/buildx/buildkitd.default.toml",
                Text("registry = 1\n"),
            ),
            ("etc/docker/daemon.json", Text("{\"debug\": true")),
        ],
        refused: &[
            "buildkit", "cargo", "docker", "npm", "pip", "pnpm", "uv", "yarn",
        ],
        ..USUAL
    },
    Variant {
        name: "forms that only people can change",
        nodes: &[
            APT,
            (
                "home/.cargo/config.toml",
                Text("source.crates-io.replace-with = \"m\"\nsource.m.directory = \"v\"\n"),
            ),
            (
                "home/.config/uv/uv.toml",
                Text("index = [{ url = \"https://a.example\", default = true }]\n"),
            ),
            ("home/.yarnrc.yml", Text("unsafeHttpWhitelist: &all [a]\n")),
            ("etc/docker/daemon.json", Text("[]\n")),
        ],
        refused: &["cargo", "docker", "uv", "yarn"],
        ..USUAL
    },
    Variant {
        name: "spaces and letters",
        home: "home of Žofie – two words",
        nodes: &[
            APT,
            (
                "home of Žofie – two words/.npmrc",
                Text("init-author-name=Žofie\n"),
            ),
            (
                "home of Žofie – two words/.config/pip/pip.conf",
                Text("[global]\ncache-dir = /žofie\n"),
            ),
        ],
        ..USUAL
    },
    Variant {
        name: "a journal's folder with other things in it",
        nodes: &[
            APT,
            ("home/.local/state/cachalot/notes", Text("mine\n")),
            ("var/lib/cachalot", Folder(0o750)),
        ],
        ..USUAL
    },
    Variant {
        name: "a server on the same machine",
        nodes: &[
            APT,
            ("var/lib/cachalot/blobs/ab", Folder(0o755)),
            (
                "home/.config/pip/pip.conf",
                Text("[global]\ntrusted-host = localhost\n"),
            ),
        ],
        variables: &[("CACHALOT_URL", "http://[::1]:3142/")],
        ..USUAL
    },
];

/// All of them.
pub(super) fn variants() -> &'static [Variant] {
    VARIANTS
}
