//! What is to be done to files, worked out before the first is touched; and its undoing.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow};

use super::{
    Done, FileReport, Tool, Trouble, diff,
    edit::{self, Edit, Undo},
    file::{self, Seen},
    journal::{Before, Entry, Journal},
    tools::Wanted,
};

/// All changes of one journal.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    changes: Vec<Change>,
    pub(crate) failed: Vec<Trouble>,
}

#[derive(Debug)]
struct Change {
    entry: Entry,
    /// As it is.
    now: Option<Seen>,
    text: String,
    mode: u32,
}

impl Plan {
    /// Reads files and changes nothing.
    pub(crate) fn of(wanted: Vec<Wanted>, journal: &Journal) -> Self {
        let mut plan = Self::default();
        for want in wanted {
            let (tool, path) = (want.tool, want.path.clone());
            if let Err(error) = plan.add(want, journal) {
                plan.failed.push(Trouble {
                    tools: vec![tool],
                    path: Some(path),
                    reason: format!("{error:#}"),
                });
            }
        }
        plan
    }

    fn add(&mut self, want: Wanted, journal: &Journal) -> Result<()> {
        let target = file::target(&want.path)?;
        // Two tools that read one file want the same of it.
        if let Some(change) = self.changes.iter_mut().find(|it| it.entry.target == target) {
            change.entry.tools.insert(want.tool);
            return Ok(());
        }
        let now = file::read(&target)?;
        let known = journal.entry(&target);
        let before = before(now.as_ref(), known, &want.edit)?;
        let bytes = before.as_ref().map_or(&[][..], |seen| &seen.bytes);
        let text = std::str::from_utf8(bytes).context("it is not UTF-8")?;
        let applied = want.edit.apply(text).map_err(|reason| anyhow!(reason))?;
        let mut entry = Entry {
            path: want.path,
            folders: file::missing_folders(&target),
            target,
            tools: BTreeSet::from([want.tool]),
            keys: want.keys,
            before: before.as_ref().map(Before::of),
            after: vec![file::digest(applied.text.as_bytes())],
            undo: applied.undo,
        };
        if let Some(known) = known {
            entry.inherit(known);
        }
        self.changes.push(Change {
            entry,
            now,
            text: applied.text,
            mode: want.edit.mode(),
        });
        Ok(())
    }

    /// Does it: the journal first, then the files, each whole or not at all.
    pub(crate) fn perform(self, journal: &mut Journal) -> Result<(Vec<FileReport>, Vec<Trouble>)> {
        if self.changes.is_empty() {
            return Ok((Vec::new(), self.failed));
        }
        for change in &self.changes {
            journal.note(change.entry.clone());
        }
        journal.save().context("the journal")?;
        let (mut done, mut failed) = (Vec::new(), self.failed);
        for change in self.changes {
            match change.write() {
                Ok(()) => done.push(change.report(String::new())),
                Err(error) => {
                    if change.now.is_none() {
                        file::remove_folders(&change.entry.folders);
                    }
                    journal.unwrite(&change.entry, change.now.as_ref());
                    failed.push(Trouble {
                        tools: change.entry.tools.iter().copied().collect(),
                        path: Some(change.entry.path.clone()),
                        reason: format!("{error:#}"),
                    });
                }
            }
        }
        journal.save().context("the journal")?;
        Ok((done, failed))
    }

    /// What would be done.
    pub(crate) fn tell(self) -> (Vec<FileReport>, Vec<Trouble>) {
        let tell = |change: &Change| {
            let before = change.now.as_ref().map(|seen| &seen.bytes[..]);
            let after = Some(change.text.as_bytes());
            change.report(diff::unified(&change.entry.path, before, after))
        };
        (self.changes.iter().map(tell).collect(), self.failed)
    }
}

impl Change {
    fn is_there(&self) -> bool {
        self.now
            .as_ref()
            .is_some_and(|seen| seen.bytes == self.text.as_bytes())
    }

    fn write(&self) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        file::make_folders(&file::missing_folders(&self.entry.target), 0o755)?;
        file::write(&self.entry.target, self.text.as_bytes(), self.mode)
    }

    fn report(&self, diff: String) -> FileReport {
        FileReport {
            path: self.entry.path.clone(),
            tools: self.entry.tools.iter().copied().collect(),
            done: if self.is_there() {
                Done::Unchanged
            } else {
                Done::Written
            },
            keys: self.entry.keys.clone(),
            diff,
        }
    }
}

impl Entry {
    /// Takes over what an earlier setup knew of the file.
    fn inherit(&mut self, known: &Self) {
        fn add<T: PartialEq + Clone>(to: &mut Vec<T>, from: &[T]) {
            for it in from {
                if !to.contains(it) {
                    to.push(it.clone());
                }
            }
        }
        // Until the file is written it may still be what was written before.
        add(&mut self.after, &known.after);
        add(&mut self.folders, &known.folders);
        self.tools.extend(&known.tools);
    }
}

impl Journal {
    /// A file that could not be written is as it was: what was known of it stays so.
    fn unwrite(&mut self, entry: &Entry, now: Option<&Seen>) {
        let digest = now.map(|seen| file::digest(&seen.bytes));
        let before = entry
            .before
            .as_ref()
            .map(|before| before.digest().to_owned());
        if digest == before {
            self.forget(&entry.target);
        }
    }
}

/// The file as it would be without us: what was kept, if it is still what we made of it;
/// otherwise what it is now, without what is ours.
fn before(now: Option<&Seen>, known: Option<&Entry>, edit: &Edit) -> Result<Option<Seen>> {
    let Some(seen) = now else { return Ok(None) };
    if let Some(known) = known {
        if known.after.contains(&file::digest(&seen.bytes)) {
            return known.before.as_ref().map(Before::seen).transpose();
        }
        let rest = without(seen, &known.undo)?;
        let was_made = known.before.is_none() && is_empty(&rest.bytes);
        return Ok((!was_made).then_some(rest));
    }
    if matches!(edit, Edit::Whole { .. } | Edit::Mirror { .. }) {
        return Ok(Some(seen.clone()));
    }
    let text = std::str::from_utf8(&seen.bytes).context("it is not UTF-8")?;
    let bytes = edit::without_blocks(text).into_bytes();
    Ok(Some(Seen {
        bytes,
        ..seen.clone()
    }))
}

fn without(seen: &Seen, undo: &Undo) -> Result<Seen> {
    let text = std::str::from_utf8(&seen.bytes).context("it is not UTF-8")?;
    let text = undo.strip(text).map_err(|reason| anyhow!(reason))?;
    Ok(Seen {
        bytes: text.into_bytes(),
        ..seen.clone()
    })
}

/// Takes back what was done for these tools.
pub(crate) fn undo(
    journal: &mut Journal,
    tools: &[Tool],
    dry_run: bool,
) -> Result<(Vec<FileReport>, Vec<Trouble>)> {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    // The last first: settings that name a file go before it does.
    for mut entry in journal.kept.entries.clone().into_iter().rev() {
        let (path, target) = (entry.path.clone(), entry.target.clone());
        let gone: Vec<Tool> = entry
            .tools
            .iter()
            .copied()
            .filter(|it| tools.contains(it))
            .collect();
        if gone.is_empty() {
            continue;
        }
        entry.tools.retain(|tool| !gone.contains(tool));
        let outcome = if entry.tools.is_empty() {
            undo_one(&entry, dry_run)
        } else {
            Ok((Done::Shared, String::new()))
        };
        match outcome {
            Ok((what, diff)) => {
                done.push(FileReport {
                    path,
                    tools: gone,
                    done: what,
                    keys: Vec::new(),
                    diff,
                });
                match what {
                    Done::Shared => journal.note(entry),
                    _ => journal.forget(&target),
                }
                if !dry_run {
                    journal.save().context("the journal")?;
                }
            }
            Err(error) => failed.push(Trouble {
                tools: gone,
                path: Some(path),
                reason: format!("{error:#}"),
            }),
        }
    }
    Ok((done, failed))
}

fn undo_one(entry: &Entry, dry_run: bool) -> Result<(Done, String)> {
    let now = file::read(&entry.target)?;
    let before = entry.before.as_ref().map(Before::seen).transpose()?;
    let (done, then) = undone(entry, now.as_ref(), before)?;
    let bytes = |seen: Option<&Seen>| seen.map(|seen| seen.bytes.clone());
    if dry_run {
        let (old, new) = (bytes(now.as_ref()), bytes(then.as_ref()));
        return Ok((
            done,
            diff::unified(&entry.path, old.as_deref(), new.as_deref()),
        ));
    }
    file::discard_new(&entry.target);
    match (&now, &then) {
        (Some(_), None) => file::remove(&entry.target)?,
        (Some(_), Some(then)) if done == Done::TakenOut => {
            file::write(&entry.target, &then.bytes, 0)?;
        }
        (Some(now), Some(then)) if now.bytes != then.bytes => file::restore(&entry.target, then)?,
        _ => {}
    }
    if then.is_none() {
        file::remove_folders(&entry.folders);
    }
    Ok((done, String::new()))
}

/// What the file is to be.
fn undone(entry: &Entry, now: Option<&Seen>, before: Option<Seen>) -> Result<(Done, Option<Seen>)> {
    // Whoever removed it does not want it back.
    let Some(seen) = now else {
        return Ok((Done::Gone, None));
    };
    let digest = file::digest(&seen.bytes);
    if entry.after.contains(&digest) {
        return Ok(match before {
            None => (Done::Removed, None),
            before => (Done::Restored, before),
        });
    }
    if before
        .as_ref()
        .is_some_and(|before| before.bytes == seen.bytes)
    {
        return Ok((Done::Gone, now.cloned()));
    }
    let then = without(seen, &entry.undo)?;
    if then.bytes == seen.bytes {
        return Ok((Done::Gone, Some(then)));
    }
    if before.is_none() && is_empty(&then.bytes) {
        return Ok((Done::Removed, None));
    }
    Ok((Done::TakenOut, Some(then)))
}

/// Whether nothing is left but what stands around the lines of a file.
fn is_empty(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii(), b"" | b"{}")
}
