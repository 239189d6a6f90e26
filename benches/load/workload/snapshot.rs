//! A directory of 100,000 files, saved, changed in one file of a hundred, saved again, and
//! restored, beside the ways people do it.

mod metered;
mod table;
mod tree;
mod way;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};

use self::{
    metered::Metered,
    table::{Row, goals, print},
    tree::Tree,
    way::Way,
};
use crate::{Bench, memory};

/// Each round makes a tree of 2 GB and stores it anew, which takes a minute.
const ROUNDS: usize = 4;

/// More than any way writes at a time: the tree, and what the kernel has for its files.
const TOUCHED: usize = 3 << 30;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..bench.rounds.min(ROUNDS) {
        let tree = Tree::make(&bench.installed.join("tree"), round as u64)?;
        let mut stored = Vec::new();
        let mut ways = way::all();
        // Nobody is always the first.
        let first = round % ways.len();
        ways.rotate_left(first);
        for way in ways {
            match Stored::begin(bench, way, &tree) {
                Ok(begun) => stored.push(begun),
                // A peer that is not here has no figures; the others have theirs.
                Err(error) if way != Way::Ours => eprintln!("without {way}: {error:#}"),
                Err(error) => return Err(error),
            }
        }
        tree.change()?;
        let digest = tree.digest()?;
        for stored in &mut stored {
            stored.again(&tree)?;
        }
        for stored in &mut stored {
            stored.restore(&tree, &digest)?;
        }
        for mut stored in stored {
            let empty = Row::new(stored.row.way);
            let row = std::mem::replace(&mut stored.row, empty);
            match rows.iter_mut().find(|known| known.way == row.way) {
                Some(known) => known.add(row),
                None => rows.push(row),
            }
        }
        fs::remove_dir_all(tree.folder())?;
    }
    print(&rows);
    bench.report.goals(goals(&rows));
    Ok(())
}

/// What a way has of a tree, and what was measured.
struct Stored {
    store: Box<dyn way::Store>,
    folder: PathBuf,
    /// Where all the ways have their folders.
    room: PathBuf,
    row: Row,
}

impl Stored {
    /// Stores the tree in an empty place.
    fn begin(bench: &Bench, way: Way, tree: &Tree) -> Result<Self> {
        let folder = bench.folder.join("snapshot").join(way.word());
        fs::create_dir_all(&folder)?;
        let store = way.open(&folder)?;
        let mut this = Self {
            store,
            folder,
            room: bench.folder.clone(),
            row: Row::new(way),
        };
        memory::touch(&this.room, TOUCHED)?;
        let saved = this.save(tree).with_context(|| format!("{way}: first"))?;
        this.row.first.push(saved);
        Ok(this)
    }

    fn again(&mut self, tree: &Tree) -> Result<()> {
        let way = self.row.way;
        let saved = self.save(tree).with_context(|| format!("{way}: second"))?;
        self.row.second.push(saved);
        Ok(())
    }

    fn save(&mut self, tree: &Tree) -> Result<Metered> {
        let before = self.store.received()?;
        let line = self.store.save(tree.folder());
        let mut metered = metered::run(&line, self.store.server())?;
        metered.bytes = self.store.received()? - before;
        Ok(metered)
    }

    /// Into an empty folder, and checks that all is there.
    fn restore(&mut self, tree: &Tree, digest: &str) -> Result<()> {
        let target = self.folder.join("restored");
        fs::create_dir_all(&target)?;
        memory::touch(&self.room, TOUCHED)?;
        let metered = metered::run(&self.store.restore(&target), self.store.server());
        let metered = metered.with_context(|| format!("{}: restore", self.row.way))?;
        let restored = Tree::at(&self.store.restored(&target, tree.folder()));
        ensure!(restored.digest()? == digest, "{}: it differs", self.row.way);
        fs::remove_dir_all(&target)?;
        self.row.restore.push(metered);
        Ok(())
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.store.close();
        // The next round has the place for itself; what is left goes with the bench.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
