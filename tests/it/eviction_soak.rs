//! Eviction that never stops, under a quota that is too small: no build fails, and
//! what is served is whole.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cache_core::{Digest, testing::pattern};
use cache_tests::{
    Image, Outcomes, Refused, Registry, Root, Steps, TestServer, root::Run, seed, soaks,
};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Caches of different branches, which do not fit into the quota together.
const BRANCHES: usize = 12;

/// Files of a branch, and the most MiB each has: 9 MiB together, mostly.
const FILES: [(&str, usize); 4] = [("a", 6), ("b", 3), ("c", 3), ("d", 2)];

/// Holds what two runners use in 10 s, a build every 3 s each, and the chaff.
const QUOTA: &str = "88MiB";

/// Longer than a build uses the registry, and rounded up by a quarter.
const MIN_LEASE: &str = "8s";
const LEASE: &str = "30s";

/// Images of others that come all the time, one in each period.
const CHAFF: (usize, Duration) = (256 << 10, Duration::from_millis(250));

/// Steps that run read what is below them, which then comes from the cache.
const DOCKERFILE: &str = r#"
FROM scratch AS base
COPY tool /tool
COPY a /a
RUN ["/tool", "--version"]
COPY b /b
RUN ["/tool", "--version"]
FROM base AS side
COPY c /c
RUN ["/tool", "--version"]
FROM base
COPY --from=side /c /c
COPY d /d
RUN ["/tool", "--version"]
"#;

#[test]
fn no_build_fails_while_eviction_runs_constantly() {
    let test = "no_build_fails_while_eviction_runs_constantly";
    let Some(root) = Root::for_test("trixie", test) else {
        return;
    };
    let builds = if soaks() { 100 } else { 10 };
    let soak = Soak::new(root, seed(test));
    soak.run(builds).unwrap();
}

struct Soak {
    root: Root,
    server: TestServer,
    /// The versions of each branch's files.
    branches: Mutex<[[u64; FILES.len()]; BRANCHES]>,
    seed: u64,
    seen: Mutex<Seen>,
}

/// What became of the RUN steps.
#[derive(Debug, Default)]
struct Seen {
    builds: u64,
    cached: usize,
    steps: usize,
    longest: Duration,
}

impl Soak {
    fn new(root: Root, seed: u64) -> Self {
        let server = TestServer::fresh(&["--quota", QUOTA, "--log-level", "warn"]);
        let mut server = server
            .with_setting("store.lease", LEASE)
            .with_setting("store.min_lease", MIN_LEASE);
        server.restart();
        Self {
            root,
            server,
            branches: Mutex::new([[0; FILES.len()]; BRANCHES]),
            seed,
            seen: Mutex::default(),
        }
    }

    fn run(&self, builds: u64) -> Result<()> {
        let ended = AtomicBool::new(false);
        let chaff = std::thread::scope(|scope| {
            let chaff = scope.spawn(|| self.push_chaff(&ended));
            let built = self.build_all(builds);
            ended.store(true, Ordering::Relaxed);
            built.and(chaff.join().expect("no panic"))
        })?;
        let count = |name: &str| self.server.metric(name, &[]) as u64;
        let evicted = count("cachalot_evicted_blobs_total");
        let refused = count("cachalot_writes_refused_total");
        let outcomes = Outcomes::of(&self.server);
        eprintln!(
            "{:?}; {chaff} other images; {evicted} blobs evicted, {} of them in preferred \
             leases; {refused} writes refused; {outcomes:?}",
            self.seen.lock(),
            count("cachalot_eviction_broken_leases_total"),
        );
        ensure!(evicted > builds, "only {evicted} blobs were evicted");
        // Everything may be leased for a while: then a push is told so, and nothing else
        // goes wrong.
        ensure!(outcomes.errors <= refused, "{outcomes:?}");
        Ok(())
    }

    /// Half of the builds come one after another, the others two at once.
    fn build_all(&self, builds: u64) -> Result<()> {
        self.runner(0, builds / 2)?;
        std::thread::scope(|scope| {
            let other = scope.spawn(|| self.runner(1, builds / 4));
            self.runner(2, builds - builds / 2 - builds / 4)?;
            other.join().expect("no panic")
        })
    }

    /// Images that nobody asks for again, so that there is always something to evict.
    #[tokio::main(flavor = "current_thread")]
    async fn push_chaff(&self, ended: &AtomicBool) -> Result<u64> {
        let registry = Registry::new(&self.server.address(), "soak/chaff");
        let mut pushed = 0;
        while !ended.load(Ordering::Relaxed) {
            let layer = pattern(CHAFF.0, (self.seed << 24) + pushed);
            match registry.push("latest", &Image::of(&[layer])).await {
                Err(error) if is_full(&error) => {}
                pushed => pushed?,
            }
            pushed += 1;
            tokio::time::sleep(CHAFF.1).await;
        }
        Ok(pushed)
    }

    /// Builds one after another, on a builder that is emptied often.
    fn runner(&self, number: u64, builds: u64) -> Result<()> {
        let mut rng = StdRng::seed_from_u64(self.seed + number);
        let mut builder = tempfile::tempdir()?;
        for build in 0..builds {
            if rng.random_bool(0.6) {
                builder = tempfile::tempdir()?;
            }
            // The first branches are the busy ones.
            let branch = rng.random_range(0..BRANCHES);
            let branch = branch.min(rng.random_range(0..BRANCHES));
            let context = self.commit(branch, &mut rng)?;
            let start = Instant::now();
            let steps = self
                .build(branch, builder.path(), context.path(), rng.random_bool(0.3))
                .with_context(|| format!("runner {number}, build {build}"))?;
            let mut seen = self.seen.lock();
            let (cached, all) = steps.cached();
            seen.builds += 1;
            seen.cached += cached;
            seen.steps += all;
            seen.longest = seen.longest.max(start.elapsed());
        }
        Ok(())
    }

    /// A working copy of the branch with another version of one file, mostly.
    fn commit(&self, branch: usize, rng: &mut StdRng) -> Result<TempDir> {
        let versions = {
            let mut branches = self.branches.lock();
            if rng.random_bool(0.8) {
                branches[branch][rng.random_range(0..FILES.len())] += 1;
            }
            branches[branch]
        };
        let context = tempfile::tempdir()?;
        fs::write(context.path().join("Dockerfile"), DOCKERFILE)?;
        // Needs nothing beside itself.
        fs::copy(
            self.root.path().join("usr/sbin/ldconfig"),
            context.path().join("tool"),
        )?;
        for (file, (name, most)) in FILES.iter().enumerate() {
            let version = (branch * FILES.len() + file) as u64 * 10_000 + versions[file];
            let mib = 1 + version as usize * 7 % most;
            let bytes = pattern(mib << 20, self.seed + version);
            fs::write(context.path().join(name), bytes)?;
        }
        Ok(context)
    }

    fn build(&self, branch: usize, builder: &Path, context: &Path, push: bool) -> Result<Steps> {
        let registry = self.server.address();
        let cache = format!("type=registry,ref={registry}/soak/cache:{branch}");
        let push = if push {
            format!("--push -t {registry}/soak/app:{branch}")
        } else {
            String::new()
        };
        let run = Run::default()
            .with_docker(builder)
            .with_bind(context, "/context");
        let printed = self.root.shell(
            &run,
            &format!(
                "docker buildx build --progress rawjson --network host {push} \
                 --cache-from {cache} --cache-to {cache},mode=max,image-manifest=true /context"
            ),
        )?;
        Steps::from_rawjson(&printed)
    }
}

const CLIENTS: u64 = 8;
const TAGS: u64 = 256;

/// Layers that images are made of at one time, and how far the next goes on.
const WINDOW: u64 = 96;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_whole_while_eviction_runs_constantly() {
    let seed = seed("what_is_served_is_whole");
    let operations = if soaks() { 100_000 } else { 5_000 };
    let crowd = Crowd::new(seed);
    crowd.run(operations).await.unwrap();
}

/// Clients that push and pull images and caches, all at once.
struct Crowd {
    server: TestServer,
    seed: u64,
    operations: AtomicU64,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    pushed: u64,
    pulled: u64,
    pruned: u64,
    missed: u64,
    refused: u64,
    bytes: usize,
}

impl Crowd {
    fn new(seed: u64) -> Self {
        let server = TestServer::fresh(&["--quota", "96MiB", "--log-level", "warn"]);
        let mut server = server
            .with_setting("store.lease", "4s")
            .with_setting("store.min_lease", "3s");
        server.restart();
        Self {
            server,
            seed,
            operations: AtomicU64::new(0),
            counts: Mutex::default(),
        }
    }

    async fn run(&self, operations: u64) -> Result<()> {
        let start = Instant::now();
        let clients = (0..CLIENTS).map(|number| self.client(number, operations));
        futures::future::try_join_all(clients).await?;
        let evicted = self.server.metric("cachalot_evicted_blobs_total", &[]) as u64;
        let counts = self.counts.lock();
        eprintln!(
            "{operations} operations in {:.0?}: {counts:?}; {evicted} blobs evicted; {:?}",
            start.elapsed(),
            Outcomes::of(&self.server)
        );
        ensure!(evicted > operations / 10, "only {evicted} evicted");
        ensure!(counts.pulled > operations / 10, "{counts:?}");
        Ok(())
    }

    async fn client(&self, number: u64, operations: u64) -> Result<()> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ (number << 32));
        let registry = Registry::new(&self.server.address(), "soak/images");
        loop {
            let operation = self.operations.fetch_add(1, Ordering::Relaxed);
            if operation >= operations {
                return Ok(());
            }
            let tag = rng.random_range(0..TAGS);
            let done = if rng.random_bool(0.5) {
                self.push(&registry, tag, operation).await
            } else {
                self.pull(&registry, tag).await
            };
            done.with_context(|| format!("operation {operation}, tag {tag}"))?;
        }
    }

    async fn push(&self, registry: &Registry, tag: u64, operation: u64) -> Result<()> {
        let image = self.image(tag, operation);
        match push_layers_first(registry, &tag.to_string(), &image).await {
            Ok(()) => {
                let mut counts = self.counts.lock();
                counts.pushed += 1;
                counts.bytes += image.blobs.iter().map(Bytes::len).sum::<usize>();
                Ok(())
            }
            // Everything is in use: the client comes again later.
            Err(error) if is_full(&error) => {
                self.counts.lock().refused += 1;
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A tag leads to an image that was pushed under it, whole; or to a cache
    /// without some layers.
    async fn pull(&self, registry: &Registry, tag: u64) -> Result<()> {
        let Some(image) = registry.pull(&tag.to_string()).await? else {
            self.counts.lock().missed += 1;
            return Ok(());
        };
        let config: Value = serde_json::from_slice(image.blobs.first().context("a config")?)?;
        ensure!(config["tag"] == tag, "{config} under {tag}");
        let operation = config["operation"].as_u64().context("operation")?;
        let pushed = self.image(tag, operation);
        let is_whole = image.manifest == pushed.manifest;
        if !is_whole {
            ensure!(
                is_cache(operation),
                "not what was pushed: {:?}",
                image.manifest
            );
            let known = |blob: &Bytes| pushed.blobs.contains(blob);
            ensure!(image.blobs.iter().all(known), "layers of another cache");
            ensure!(image.blobs.len() < pushed.blobs.len(), "not pruned");
        }
        let mut counts = self.counts.lock();
        counts.pulled += 1;
        counts.pruned += u64::from(!is_whole);
        Ok(())
    }

    /// What one operation pushes; every third is a BuildKit cache.
    fn image(&self, tag: u64, operation: u64) -> Image {
        let mut rng = StdRng::seed_from_u64(self.seed.wrapping_add(operation));
        let config = json!({ "tag": tag, "operation": operation }).to_string();
        let mut blobs = vec![Bytes::from(config)];
        for _ in 0..rng.random_range(1..5) {
            let layer = operation / 2 + rng.random_range(0..WINDOW);
            // Small ones live in a database, large ones in files.
            let size = if layer.is_multiple_of(8) {
                700_000
            } else {
                2_000 + layer % 97 * 600
            };
            let bytes = pattern(size as usize, (self.seed << 24) + layer);
            if !blobs.contains(&bytes) {
                blobs.push(bytes);
            }
        }
        if is_cache(operation) {
            // Steps of its own, at whose layers eviction may stop.
            for step in 0..rng.random_range(6..12) {
                let content = (self.seed << 24) + (operation << 8) + (step << 56);
                blobs.push(pattern(rng.random_range(1_000..6_000), content));
            }
        }
        let config_type = if is_cache(operation) {
            "application/vnd.buildkit.cacheconfig.v0"
        } else {
            "application/vnd.oci.image.config.v1+json"
        };
        let describe = |media_type: &str, bytes: &Bytes| {
            let digest = Digest::sha256(bytes).to_string();
            json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
        };
        let layer = "application/vnd.oci.image.layer.v1.tar";
        let layers: Vec<Value> = blobs[1..]
            .iter()
            .map(|bytes| describe(layer, bytes))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": cache_tests::registry::MANIFEST,
            "config": describe(config_type, &blobs[0]),
            "layers": layers,
        });
        Image {
            manifest: manifest.to_string().into(),
            blobs,
        }
    }
}

/// In BuildKit's order: layers, their config, the manifest.
async fn push_layers_first(registry: &Registry, tag: &str, image: &Image) -> Result<()> {
    for blob in image.blobs.iter().rev() {
        registry.push_blob(blob).await?;
    }
    registry.push_manifest(tag, &image.manifest).await
}

const fn is_cache(operation: u64) -> bool {
    operation.is_multiple_of(3)
}

fn is_full(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|refused| refused.status == StatusCode::INSUFFICIENT_STORAGE)
}
