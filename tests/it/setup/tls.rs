//! A server whose authority nobody knows: setup tells each tool of it, and takes it back.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use cache_tests::{
    Root, TestServer, program,
    root::{Run, push_base},
    skip,
    tool::has,
    wrapped::create_builder,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::{
    docker::Mirrored,
    machine::Machine,
    tools::{DIGEST, FAILS, Workshop},
    variants::variants,
};

/// What the certificate is for; it leads to this machine where it is used.
const NAME: &str = "cache.example";

/// Writes the file of an authority, and the certificate and the key of a server.
fn certify(folder: &Path) -> Result<()> {
    let (authority, server) = (KeyPair::generate()?, KeyPair::generate()?);
    let mut params = CertificateParams::default();
    // With the same name as the server's, that one would be taken for its own authority.
    params
        .distinguished_name
        .push(DnType::CommonName, "an authority of tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Python 3.13 and later want it (ssl.VERIFY_X509_STRICT).
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    fs::write(folder.join("ca.pem"), params.self_signed(&authority)?.pem())?;
    let issuer = Issuer::new(params, authority);
    let mut params = CertificateParams::new([NAME.to_owned(), "127.0.0.1".to_owned()])?;
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&server, &issuer)?;
    fs::write(folder.join("server.pem"), certificate.pem())?;
    Ok(fs::write(
        folder.join("server.key"),
        server.serialize_pem(),
    )?)
}

/// Lets the next process of a server speak TLS.
fn encrypt(server: &mut TestServer, folder: &Path) {
    server.set("tls.cert", &folder.join("server.pem").display().to_string());
    server.set("tls.key", &folder.join("server.key").display().to_string());
    server.stop();
    server.restart();
}

#[test]
fn tools_trust_the_servers_authority_until_unsetup() -> Result<()> {
    for program in ["python3", "npm", "node", "cargo"] {
        if !has(program) {
            skip("tools_trust", &format!("there is no {program}"));
            return Ok(());
        }
    }
    let folder = tempfile::tempdir()?;
    certify(folder.path())?;
    let mut workshop = Workshop::open()?;
    encrypt(&mut workshop.server, folder.path());
    workshop.authority = Some(folder.path().join("ca.pem"));
    for name in ["nothing but folders", "comments", "CRLF"] {
        let variant = variants().iter().find(|it| it.name == name);
        let machine = Machine::of(variant.context("the variant")?)?;
        workshop.round(&machine).context(name)?;
        one_shell(&workshop, &machine).context(name)?;
    }
    Ok(())
}

/// No file is written for it.
fn one_shell(workshop: &Workshop, machine: &Machine) -> Result<()> {
    let before = workshop.server.metric("cachalot_requests_total", &[]);
    let script = r#"set -eu
        eval "$("$@" env)"
        pip download --quiet --no-deps --no-cache-dir --dest one-shell six
        echo six >in.txt; uv pip compile --no-cache --quiet in.txt
        npm view --cache one-shell is-odd version
        pnpm view is-odd version
        yarn info is-odd version --json --non-interactive"#;
    let mut command = workshop.command(machine, Path::new("sh"));
    command
        .args(["-c", script, "sh"])
        .arg(program::path("cachalot"));
    let output = command.args(workshop.connection()).output()?;
    ensure!(output.status.success(), "{output:?}");
    let after = workshop.server.metric("cachalot_requests_total", &[]);
    ensure!(after >= before + 5.0, "they asked somebody else");
    Ok(())
}

#[test]
fn apt_and_docker_trust_the_servers_authority() -> Result<()> {
    let script = format!(
        r#"cachalot setup --only apt,docker
        kill -HUP $(cat /run/docker.pid)
        until docker info | grep -q {NAME}; do sleep 0.1; done
        doctor apt; doctor docker
        apt-get update
        apt-get install -y --download-only --reinstall netbase
        # Without the authority none of them goes on.
        rm /etc/docker/certs.d/{NAME}:$PORT/ca.crt
        fails doctor docker
        sed -i /CAInfo/d /etc/apt/apt.conf.d/01cachalot
        fails doctor apt
        cachalot setup --only apt,docker
        doctor apt; doctor docker
        cachalot unsetup"#
    );
    beside_docker("apt_and_docker_trust", &script)
}

#[test]
#[ignore = "no package has buildkitd: CACHALOT_BUILDKIT names a folder with it"]
fn builders_trust_the_servers_authority() -> Result<()> {
    let create = create_builder("cachalot", "$ORIGIN/tools/buildkit:1");
    let script = format!(
        r#"cachalot setup --only buildkit
        {create}
        doctor buildkit
        docker buildx rm cachalot
        cachalot unsetup
        # What buildx itself keeps there.
        rm -r ~/.docker"#
    );
    beside_docker("builders_trust", &script)
}

/// Runs a script that leaves everything as it was. Docker trusts registries on loopback
/// whatever they say, so the server has a name here.
fn beside_docker(test: &str, script: &str) -> Result<()> {
    let Some(root) = Root::for_test("trixie", test) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    certify(folder.path())?;
    let mut mirrored = Mirrored::start(&root)?;
    encrypt(&mut mirrored.server, folder.path());
    let (origin, port) = (mirrored.origin.address(), mirrored.server.port());
    if script.contains("tools/buildkit") {
        push_base("buildkit", &format!("{origin}/tools/buildkit:1"))?;
    }
    let script = format!(
        r#"{DIGEST}{FAILS}
        PORT={port} ORIGIN={origin}
        echo 127.0.0.1 {NAME} >>/etc/hosts
        # Go looks into that file again after five seconds (net, cacheMaxAge).
        sleep 6
        export CACHALOT_URL=https://{NAME}:{port} CACHALOT_CA=/tls/ca.pem
        doctor() {{
            cachalot doctor --only $1 --package docker=base/debian:1 \
                --package buildkit=base/debian:1
        }}
        before=$(digest)
        {script}
        test "$before" = "$(digest)"
        echo all done"#
    );
    let empty = tempfile::tempdir()?;
    let run = Run::default()
        .with_docker(empty.path())
        .with_bind(&program::path("cachalot"), "/usr/bin/cachalot")
        .with_bind(folder.path(), "/tls");
    let said = root.shell(&run, &script)?;
    ensure!(said.ends_with("all done\n"), "{said}");
    Ok(())
}
