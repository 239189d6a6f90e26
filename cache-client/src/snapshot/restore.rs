//! Restoring: documents checked, a tree staged, a few renames.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::SystemTime,
};

use tokio::task::spawn_blocking;

use super::{
    build::{self, Building, Built, Later, joined},
    check::Limits,
    commit::{self, Undone},
    document::Root,
    entry::{Entry, Kind},
    error::{Error, Result},
    home::{self, Home},
    index::{IndexReader, IndexWriter},
    path::TreePath,
    plan::{Plan, Planner},
    progress::{Counter, Progress, Watcher},
    save::Place,
    spool::{self, Spool},
    stage::{Parent, Stage},
    store::{Found, Store},
};
/// What no snapshot of build caches has.
const ENTRIES: u64 = 4_000_000;

/// Where a snapshot is to go, and how.
#[derive(Clone, Debug)]
pub struct Restore {
    base: PathBuf,
    exact: bool,
    owner: bool,
    limit: u64,
    index: Place,
    watcher: Watcher,
}

impl Restore {
    /// Into `base`, to which the paths of the snapshot are relative.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self {
            base: base.into(),
            exact: false,
            owner: false,
            limit: u64::MAX,
            index: Place::Default,
            watcher: Watcher::default(),
        }
    }

    /// Removes what is in the directories that were saved and not in the snapshot. It
    /// stays otherwise.
    #[must_use]
    pub fn exact(self) -> Self {
        Self {
            exact: true,
            ..self
        }
    }

    /// Gives files the owners that they had, with setuid and setgid. Only root may.
    #[must_use]
    pub fn owner(self) -> Self {
        Self {
            owner: true,
            ..self
        }
    }

    /// Refuses snapshots of more bytes. What the file system has free is a limit always.
    #[must_use]
    pub fn limit(self, bytes: u64) -> Self {
        Self {
            limit: bytes,
            ..self
        }
    }

    /// Keeps the index, which the next save reads, in this file.
    #[must_use]
    pub fn index(self, file: impl Into<PathBuf>) -> Self {
        Self {
            index: Place::At(file.into()),
            ..self
        }
    }

    /// Keeps no index.
    #[must_use]
    pub fn without_index(self) -> Self {
        Self {
            index: Place::Nowhere,
            ..self
        }
    }

    /// Tells how far it has come.
    #[must_use]
    pub fn progress(self, watch: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self {
            watcher: Watcher::new(watch),
            ..self
        }
    }
}

/// A snapshot that was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The key that was found: the one that was asked for, or one that begins with a
    /// fallback.
    pub key: String,
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Bytes of files that came from the server.
    pub fetched_bytes: u64,
    /// Files that the target had already.
    pub reused_files: u64,
    /// Bytes of those.
    pub reused_bytes: u64,
    /// Files and whole directories of the target that are not in the snapshot, and stay.
    pub kept: u64,
}

/// Restores what the key, or else the first fallback that has any, leads to.
pub(crate) async fn restore<S: Store>(
    store: &S,
    key: &str,
    fallbacks: &[String],
    request: &Restore,
) -> Result<Option<Restored>> {
    let Some(found) = store.resolve(key, fallbacks).await? else {
        return Ok(None);
    };
    let limits = Limits {
        entries: ENTRIES,
        bytes: request.limit,
    };
    let (root, spool) = spool::read(store, found.root, limits).await?;
    let asked = request.clone();
    let sizes = root.clone();
    let target = spawn_blocking(move || Target::open(asked, &sizes)).await;
    let target = target.map_err(joined)??;
    let (target, building, index) = target.building(&root, spool, &store.identity());
    let building = Arc::new(building);
    let built = build::build(store, &building, index).await;
    let identity = store.identity();
    let done = spawn_blocking(move || target.put_in_place(building, built, &identity)).await;
    let (built, plan) = done.map_err(joined)??;
    Ok(Some(restored(found, &root, built, &plan)))
}

fn restored(found: Found, root: &Root, built: Built, plan: &Plan) -> Restored {
    Restored {
        key: found.key,
        entries: root.entries,
        bytes: root.bytes,
        fetched_bytes: built.fetched_bytes,
        reused_files: built.reused_files,
        reused_bytes: built.reused_bytes,
        kept: plan.kept,
    }
}

/// The place to restore to, before anything is made there but the folder to work in.
struct Target {
    home: Home,
    request: Restore,
    index: Option<PathBuf>,
    /// As they are called in their place.
    roots: Vec<TreePath>,
}

/// The same, when the home has gone into the building.
struct Placing {
    request: Restore,
    index: Option<PathBuf>,
    roots: Vec<TreePath>,
}

impl Target {
    fn open(request: Restore, root: &Root) -> Result<Self> {
        let base = resolve(&request.base)?;
        let replaces_base = root.roots == [TreePath::top()];
        check_mounts(&base, &root.roots)?;
        let home = Home::open(&base, replaces_base)?;
        let names = root.roots.iter().map(|path| home.name(path));
        let names: Result<Vec<_>> = names.collect();
        let index = request.index.path(&base, &root.roots);
        let checked = names.and_then(|names| check_room(&home, root, &names).map(|()| names));
        match checked {
            Ok(roots) => Ok(Self {
                home,
                request,
                index,
                roots,
            }),
            Err(error) => {
                home.close_untouched();
                Err(error)
            }
        }
    }

    fn building(
        self,
        root: &Root,
        spool: Spool,
        identity: &str,
    ) -> (Placing, Building, Option<IndexReader>) {
        let index = self.index.as_deref();
        let index = index.and_then(|path| IndexReader::open(path, identity));
        let building = Building {
            home: self.home,
            spool,
            owner: self.request.owner,
            counter: Counter::new(self.request.watcher.clone(), Some(root.bytes)),
            failed: AtomicBool::new(false),
        };
        let placing = Placing {
            request: self.request,
            index: self.index,
            roots: self.roots,
        };
        (placing, building, index)
    }
}

/// Where the base is, or will be: all but its last part has to be there.
fn resolve(base: &Path) -> Result<PathBuf> {
    let fail = |error| Error::io(base, error);
    match base.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let absolute = std::path::absolute(base).map_err(fail)?;
            let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
                return Err(fail(error));
            };
            Ok(parent.canonicalize().map_err(fail)?.join(name))
        }
        found => found.map_err(fail),
    }
}

/// A root can be a mount point only if it is the base. Elsewhere a rename would end
/// there, or take away what is mounted.
fn check_mounts(base: &Path, roots: &[TreePath]) -> Result<()> {
    for mount in home::mounts() {
        let Ok(below) = mount.strip_prefix(base) else {
            continue;
        };
        let below = TreePath::parse(std::os::unix::ffi::OsStrExt::as_bytes(below.as_os_str()));
        let Ok(below) = below else {
            continue;
        };
        let concerns = |root: &TreePath| root.contains(&below) || below.contains(root);
        if !below.is_top() && roots.iter().any(concerns) {
            return Err(Error::Mounted(mount));
        }
    }
    Ok(())
}

/// What the target has already may be reused, so it counts as room.
fn check_room(home: &Home, root: &Root, names: &[TreePath]) -> Result<()> {
    let fail = |error: io::Error| Error::io(home.place.show(&home.prefix), error);
    let room = rustix::fs::fstatvfs(home.folder.fd()).map_err(|error| fail(error.into()))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if root.bytes <= free {
        return Ok(());
    }
    let mut there = 0;
    for name in names {
        if let Some(stat) = home.place.stat(name).map_err(fail)? {
            for found in super::walk::Walk::new(&home.place, name.clone(), stat) {
                there += found?.1.size;
            }
        }
    }
    if root.bytes <= free.saturating_add(there) {
        return Ok(());
    }
    Err(Error::Room {
        needed: root.bytes,
        room: free,
    })
}

impl Placing {
    fn put_in_place(
        self,
        building: Arc<Building>,
        built: Result<(Built, Later)>,
        identity: &str,
    ) -> Result<(Built, Plan)> {
        let placed = built.and_then(|(built, later)| {
            let plan = self.commit(&building.home)?;
            self.settle(&building, &plan, &later)?;
            Ok((built, plan))
        });
        // The old tree goes before the index is written: links to its files count.
        let Building { home, spool, .. } = self.only_one(building)?;
        if commit::is_pending(&home) {
            return placed;
        }
        if placed.is_err() {
            home.close_untouched();
            return placed;
        }
        home.empty()
            .map_err(|error| Error::io(&self.request.base, error))?;
        self.keep_index(&home, &spool, identity);
        home.close()?;
        placed
    }

    fn only_one(&self, building: Arc<Building>) -> Result<Building> {
        let shared = || {
            let error = io::Error::other("files are still being written");
            Error::io(&self.request.base, error)
        };
        Arc::into_inner(building).ok_or_else(shared)
    }

    /// Renames; directories that turn out to be fixed are taken apart.
    fn commit(&self, home: &Home) -> Result<Plan> {
        let mut immovable = HashSet::new();
        loop {
            let planner = Planner {
                home,
                exact: self.request.exact,
                immovable: &immovable,
            };
            let plan = planner.plan(&self.roots)?;
            match commit::commit(home, &plan.steps) {
                Ok(()) => return Ok(plan),
                Err(Undone::Failed(error)) => return Err(error),
                Err(Undone::Immovable(path)) => {
                    let known = !immovable.insert(path.clone());
                    if known {
                        let error = io::Error::from(io::ErrorKind::ResourceBusy);
                        return Err(Error::io(home.place.show(&path), error));
                    }
                }
            }
        }
    }

    /// Directories that were taken apart look as the snapshot says in the end.
    fn settle(&self, building: &Building, plan: &Plan, later: &Later) -> Result<()> {
        let stage = Stage {
            tree: &building.home.place,
            owner: self.request.owner,
        };
        let apart: HashSet<_> = plan.apart.iter().collect();
        for (path, meta) in later.directories.iter().rev() {
            if apart.contains(path) {
                stage.finish_directory(path, meta)?;
            }
        }
        Ok(())
    }

    /// A hint only.
    fn keep_index(&self, home: &Home, spool: &Spool, identity: &str) {
        let Some(path) = &self.index else {
            return;
        };
        if let Err(error) = write_index(path, home, spool, identity) {
            tracing::warn!(%error, "the index is not kept");
        }
    }
}

fn write_index(path: &Path, home: &Home, spool: &Spool, identity: &str) -> Result<()> {
    let fail = |error: io::Error| Error::io(path, error);
    let mut index = IndexWriter::create(path, identity).map_err(fail)?;
    let (now, mut parent) = (SystemTime::now(), Parent::default());
    for entry in spool.entries() {
        let Entry { path, kind, .. } = entry?;
        let Kind::File(contents) = kind else {
            continue;
        };
        let name = home.name(&path)?;
        if let Some(stat) = parent.stat(&home.place, &name).map_err(fail)? {
            index.push(&path, &stat, &contents, now).map_err(fail)?;
        }
    }
    index.finish().map_err(fail)
}
