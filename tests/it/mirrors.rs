//! Images of another registry, pulled through the server: cold, warm, and with the
//! registry gone.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cache_core::testing::pattern;
use cache_tests::{
    Image, Registry, Root, TestServer,
    root::{Run, push_base},
    server::free_port,
    skip,
    tool::has,
};
use tempfile::TempDir;

/// What clients call the mirrored registry; no name leads there.
const NAME: &str = "registry.example";
/// bcrypt of `secret`.
const SECRET: &str = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_through_a_mirror_and_then_without_its_origin() {
    let test = "an_image_is_pulled_through_a_mirror";
    if let Some(origin) = Origin::for_test(test, false) {
        without_its_origin(origin).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moves_at_its_origin_is_followed() {
    let test = "a_tag_that_moves_at_its_origin_is_followed";
    if let Some(origin) = Origin::for_test(test, false) {
        follows(&origin).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_a_password_is_mirrored_with_the_operators_login() {
    let test = "a_registry_with_a_password_is_mirrored";
    if let Some(origin) = Origin::for_test(test, true) {
        logs_in(&origin).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_mirrors_another_that_wants_a_password() {
    chained().await.unwrap();
}

#[test]
fn skopeo_and_containerd_are_led_to_a_mirror() {
    let test = "skopeo_and_containerd_are_led_to_a_mirror";
    let Some(root) = Root::for_test("trixie", test) else {
        return;
    };
    if let Some(origin) = Origin::for_test(test, false) {
        real_clients(&root, origin).unwrap();
    }
}

#[test]
fn docker_pulls_and_builds_through_its_registry_mirror() {
    let test = "docker_pulls_and_builds_through_its_registry_mirror";
    let Some(root) = Root::for_test("trixie", test) else {
        return;
    };
    if let Some(origin) = Origin::for_test(test, false) {
        docker(&root, origin).unwrap();
    }
}

async fn without_its_origin(mut origin: Origin) -> Result<()> {
    let image = image(1);
    origin.repository("app/web").push("1", &image).await?;
    let mirror = Mirror::of(NAME, &origin.url(), "", "1h")?;
    let path = mirror.repository("app/web");
    same(&path.pull("1").await?.context("cold")?, &image)?;
    let cold = mirror.fetched();
    ensure!(cold > 0.0, "nothing came from the origin");
    same(&path.pull("1").await?.context("warm")?, &image)?;
    origin.stop();
    same(&path.pull("1").await?.context("without origin")?, &image)?;
    ensure!(mirror.fetched() == cold, "something was fetched twice");
    let gone = path.pull_manifest("2").await;
    ensure!(gone.is_err(), "nobody can say that there is no such tag");
    Ok(())
}

async fn follows(origin: &Origin) -> Result<()> {
    let mirror = Mirror::of(NAME, &origin.url(), "", "0s")?;
    let (there, here) = (origin.repository("app"), mirror.repository("app"));
    ensure!(here.pull("1").await?.is_none(), "it is nowhere");
    for seed in 1..4 {
        let image = image(seed);
        there.push("2", &image).await?;
        for _ in 0..2 {
            same(&here.pull("2").await?.context("the tag")?, &image)?;
        }
    }
    let own = Registry::new(&mirror.server.address(), "app");
    ensure!(own.pull("2").await?.is_none(), "nobody pushed it here");
    Ok(())
}

async fn logs_in(origin: &Origin) -> Result<()> {
    let login = "username = \"ci\", password = \"secret\", ";
    let image = image(1);
    // Another process over its data, which asks nobody who they are.
    let filling = Origin::start(origin.data.path(), None)?;
    filling.repository("app").push("1", &image).await?;
    let mirror = Mirror::of(NAME, &origin.url(), login, "0s")?;
    let pulled = mirror.repository("app").pull("1").await?;
    same(&pulled.context("the image")?, &image)?;
    let stranger = Mirror::of(NAME, &origin.url(), "", "0s")?;
    let nothing = stranger.repository("app").pull_manifest("1").await?;
    ensure!(nothing.is_none(), "without login there is nothing");
    Ok(())
}

async fn chained() -> Result<()> {
    let files = tempfile::tempdir()?;
    let (htpasswd, config) = (
        files.path().join("htpasswd"),
        files.path().join("config.toml"),
    );
    fs::write(&htpasswd, format!("ci:{SECRET}\n"))?;
    let rights = "[auth.users]\nci = { read = [\"*\"] }\n";
    fs::write(
        &config,
        format!("[auth]\nhtpasswd = {htpasswd:?}\n{rights}"),
    )?;
    let (data, image) = (files.path().join("data"), image(1));
    // It is filled before it asks who its clients are.
    let mut origin = TestServer::start_in(&data, &[]);
    let there = Registry::new(&origin.address(), "open/app");
    there.push("1", &image).await?;
    origin.stop();
    let origin = TestServer::start_in(&data, &["--config", &config.display().to_string()]);
    let url = format!("http://{}/", origin.address());
    let login = "username = \"ci\", password = \"secret\", ";
    let mirror = Mirror::of(NAME, &url, login, "1h")?;
    let pulled = mirror.repository("open/app").pull("1").await?;
    same(&pulled.context("the image")?, &image)
}

fn real_clients(root: &Root, mut origin: Origin) -> Result<()> {
    push_base("debian", &format!("{}/base/debian:1", origin.address()))?;
    let mut mirror = Mirror::of(NAME, &origin.url(), "", "1h")?;
    let folder = mirror.files.path();
    let address = mirror.server.address();
    let registries = format!(
        "[[registry]]\nprefix = {NAME:?}\nlocation = {NAME:?}\n\
         [[registry.mirror]]\nlocation = \"{address}/proxy/{NAME}\"\ninsecure = true\n"
    );
    fs::write(folder.join("registries.conf"), registries)?;
    let hosts = folder.join("certs.d").join(NAME);
    fs::create_dir_all(&hosts)?;
    let hosts_toml =
        format!("[host.\"http://{address}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
    fs::write(hosts.join("hosts.toml"), hosts_toml)?;
    let run = Run::default().with_bind(folder, "/mirror");
    let script = format!(
        "
        cp /mirror/registries.conf /etc/containers/registries.conf.d/mirror.conf
        skopeo copy --quiet docker://{NAME}/base/debian:1 oci:/tmp/layout:1
        containerd >/tmp/containerd.log 2>&1 & daemon=$!
        until ctr version >/dev/null 2>&1; do sleep 0.1; done
        ctr content fetch --hosts-dir /mirror/certs.d {NAME}/base/debian:1
        ctr images ls -q | grep -x {NAME}/base/debian:1
        kill $daemon; wait $daemon || true"
    );
    root.shell(&run, &script).context("cold")?;
    let cold = mirror.fetched();
    ensure!(cold > 1e6, "nothing came from the origin");
    root.shell(&run, &script).context("warm")?;
    origin.stop();
    root.shell(&run, &script).context("without origin")?;
    ensure!(mirror.fetched() == cold, "something was fetched twice");
    mirror.server.stop();
    let nowhere = root.shell(&run, &script);
    ensure!(nowhere.is_err(), "it did not come through the mirror");
    Ok(())
}

/// Docker's own registry is the only one that it has mirrors for, so the name is asked of
/// Docker. Its daemon and the BuildKit in it then ask with `?ns=`; with its classic store
/// it does not say which registry it means.
fn docker(root: &Root, mut origin: Origin) -> Result<()> {
    push_base("debian", &format!("{}/base/debian:1", origin.address()))?;
    let asked = "docker info --format 'INDEX {{.IndexServerAddress}}'";
    let index = in_docker(root, asked)?;
    let index = index.lines().find_map(|line| line.strip_prefix("INDEX "));
    let index = index
        .and_then(|url| url.split('/').nth(2))
        .context("a URL")?;
    let name = index.strip_prefix("index.").unwrap_or(index);
    let mut mirror = Mirror::of(name, &origin.url(), "", "1h")?;
    mirror.server.stop();
    mirror.server.set("oci.default_mirror", name);
    mirror.server.restart();
    let address = mirror.server.address();
    let script = format!(
        r#"
        sed -i '1a "registry-mirrors": ["http://{address}"],' /etc/docker/daemon.json
        kill -HUP $(pidof dockerd)
        until docker info | grep -q {address}; do sleep 0.1; done
        docker pull base/debian:1
        docker run --rm --network host base/debian:1 true
        docker rmi base/debian:1; docker builder prune -af
        printf 'FROM base/debian:1
RUN echo built >/built
' |
            docker buildx build --network host --load -t built -
        docker run --rm --network host built cat /built

        dockerd --config-file /dev/null --data-root /tmp/classic --exec-root /run/classic \
            --pidfile /run/classic.pid -H unix:///run/classic.sock --storage-driver vfs \
            --iptables=false --ip6tables=false --bridge none \
            --registry-mirror http://{address} >/tmp/classic.log 2>&1 & daemon=$!
        classic() {{ docker -H unix:///run/classic.sock "$@"; }}
        until classic version >/dev/null 2>&1; do kill -0 $daemon; sleep 0.1; done
        classic pull base/debian:1
        kill $daemon; wait $daemon || true"#
    );
    in_docker(root, &script).context("cold")?;
    let cold = mirror.fetched();
    ensure!(cold > 1e6, "nothing came through the mirror");
    origin.stop();
    in_docker(root, &script).context("without origin")?;
    ensure!(mirror.fetched() == cold, "something was fetched twice");
    Ok(())
}

/// Runs a script beside an empty Docker.
fn in_docker(root: &Root, script: &str) -> Result<String> {
    let empty = tempfile::tempdir()?;
    root.shell(&Run::default().with_docker(empty.path()), script)
}

/// An image that no other seed gives.
fn image(seed: u64) -> Image {
    Image::of(&[pattern(300_000, seed), pattern(1000, seed + 1000)])
}

fn same(pulled: &Image, pushed: &Image) -> Result<()> {
    ensure!(pulled.manifest == pushed.manifest, "another manifest");
    ensure!(pulled.blobs == pushed.blobs, "other blobs");
    Ok(())
}

/// The server, with a registry behind it.
struct Mirror {
    server: TestServer,
    files: TempDir,
}

impl Mirror {
    fn of(name: &str, url: &str, login: &str, fresh: &str) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let config = files.path().join("config.toml");
        let text = format!(
            "[oci.mirrors.{name:?}]\nfresh = {fresh:?}\n\
             origins = [{{ url = {url:?}, {login}private = true }}]\n"
        );
        fs::write(&config, text)?;
        let server = TestServer::start(&["--config", &config.display().to_string()]);
        Ok(Self { server, files })
    }

    /// A repository of the mirrored registry.
    fn repository(&self, name: &str) -> Registry {
        Registry::new(&self.server.address(), &format!("proxy/{NAME}/{name}"))
    }

    /// Bytes that came from origins.
    fn fetched(&self) -> f64 {
        let metric = "cachalot_upstream_bytes_total";
        self.server.metric(metric, &["protocol=\"oci-mirror\""])
    }
}

/// The reference implementation of the protocol, as a registry somewhere else.
struct Origin {
    process: Registering,
    port: u16,
    data: TempDir,
}

/// Its process.
struct Registering {
    child: Child,
    port: u16,
    _config: TempDir,
}

impl Origin {
    /// One that may want the password of `ci`.
    fn for_test(test: &str, guarded: bool) -> Option<Self> {
        if !has("docker-registry") {
            skip(test, "there is no docker-registry");
            return None;
        }
        let start = || {
            let data = tempfile::tempdir()?;
            let process = Self::start(data.path(), guarded.then_some("ci"))?;
            let port = process.port;
            anyhow::Ok(Self {
                process,
                port,
                data,
            })
        };
        Some(start().unwrap())
    }

    fn start(data: &Path, user: Option<&str>) -> Result<Registering> {
        let (folder, port) = (tempfile::tempdir()?, free_port());
        let mut config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:{port}\n",
            data.display()
        );
        if let Some(user) = user {
            let htpasswd = folder.path().join("htpasswd");
            fs::write(&htpasswd, format!("{user}:{SECRET}\n"))?;
            let path = htpasswd.display();
            config += &format!("auth:\n  htpasswd:\n    realm: tests\n    path: {path}\n");
        }
        let file = folder.path().join("config.yml");
        fs::write(&file, config)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let process = Registering {
            child,
            port,
            _config: folder,
        };
        process.wait()?;
        Ok(process)
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address())
    }

    fn repository(&self, name: &str) -> Registry {
        self.process.repository(name)
    }

    fn stop(&mut self) {
        self.process.stop();
    }
}

impl Registering {
    fn repository(&self, name: &str) -> Registry {
        Registry::new(&format!("127.0.0.1:{}", self.port), name)
    }

    /// Waits until it listens.
    fn wait(&self) -> Result<()> {
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let waited = start.elapsed() < Duration::from_secs(30);
            ensure!(waited, "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Registering {
    fn drop(&mut self) {
        self.stop();
    }
}
