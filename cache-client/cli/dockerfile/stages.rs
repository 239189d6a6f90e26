//! Walks a file's stages: which variables are set at each RUN, and what it mounts.

use std::collections::BTreeMap;

use super::{
    CacheMount, Error, Given, Mounts,
    expansion::expand,
    instructions::{Instruction, words},
};

/// The build argument of a namespace for the ids of cache mounts. The frontend itself takes it,
/// so no stage has to declare it.
pub(crate) const SPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";

type Variables = BTreeMap<String, String>;

/// Where the walk is.
pub(crate) struct Walk<'a> {
    given: &'a Given,
    /// Before the first stage.
    global: Variables,
    stage: Option<Stage>,
    /// Those that have a name, or are named by their number.
    past: BTreeMap<String, Stage>,
    count: usize,
    mounts: Mounts,
}

#[derive(Clone, Default)]
struct Stage {
    name: Option<String>,
    arguments: Variables,
    environment: Variables,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(given: &'a Given) -> Self {
        Self {
            given,
            global: Variables::new(),
            stage: None,
            past: BTreeMap::new(),
            count: 0,
            mounts: Mounts::default(),
        }
    }

    pub(crate) fn end(self) -> Mounts {
        self.mounts
    }

    /// What an instruction changes. ONBUILD is for others' builds.
    pub(crate) fn step(&mut self, instruction: &Instruction) -> Result<(), Error> {
        match instruction.keyword.as_str() {
            "FROM" => self.from(instruction),
            "ARG" => self.argument(instruction),
            "ENV" => self.environment(instruction),
            "RUN" => self.run(instruction),
            _ => Ok(()),
        }
    }

    /// A stage that is based on another has its variables.
    fn from(&mut self, instruction: &Instruction) -> Result<(), Error> {
        self.leave();
        let words = words(&instruction.rest);
        let Some(base) = words.first() else {
            return Err(Error::at(instruction.line, "FROM without an image"));
        };
        let base = self.expanded(base, instruction)?;
        let mut stage = self
            .past
            .get(&base.to_lowercase())
            .cloned()
            .unwrap_or_default();
        stage.name = match &words[1..] {
            [keyword, name] if keyword.eq_ignore_ascii_case("as") => Some(name.to_lowercase()),
            _ => None,
        };
        self.stage = Some(stage);
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(stage) = self.stage.take() {
            self.past.insert(self.count.to_string(), stage.clone());
            self.count += 1;
            if let Some(name) = &stage.name {
                self.past.insert(name.clone(), stage);
            }
        }
    }

    /// What was given on the command line wins, then the default that stands here, then
    /// what the beginning of the file says.
    fn argument(&mut self, instruction: &Instruction) -> Result<(), Error> {
        for word in words(&instruction.rest) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(self.expanded(default, instruction)?)),
                None => (word.as_str(), None),
            };
            let given = self.given.arguments.get(name).cloned();
            let platform = || self.given.platform.get(name).cloned();
            let value = given.or(default);
            let value = value
                .or_else(|| self.global.get(name).cloned())
                .or_else(platform);
            let known = match &mut self.stage {
                Some(stage) => &mut stage.arguments,
                None => &mut self.global,
            };
            // Declared without a value it hides nothing, and is not unknown.
            if let Some(value) = value {
                known.insert(name.to_owned(), value);
            } else {
                known.entry(name.to_owned()).or_default();
            }
        }
        Ok(())
    }

    /// `ENV A=1 B=2`, or the old `ENV A 1`. All see what was set before.
    fn environment(&mut self, instruction: &Instruction) -> Result<(), Error> {
        let words = words(&instruction.rest);
        let is_old = words.first().is_some_and(|word| !word.contains('='));
        let pairs = if is_old {
            let text = instruction.rest.trim();
            let (name, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            vec![(name.to_owned(), self.expanded(value.trim(), instruction)?)]
        } else {
            let pairs = words.iter().filter_map(|word| word.split_once('='));
            let pair = |(name, value): (&str, &str)| {
                Ok((name.to_owned(), self.expanded(value, instruction)?))
            };
            pairs.map(pair).collect::<Result<_, Error>>()?
        };
        if let Some(stage) = &mut self.stage {
            stage.environment.extend(pairs);
        }
        Ok(())
    }

    fn run(&mut self, instruction: &Instruction) -> Result<(), Error> {
        for flag in &instruction.flags {
            let Some(options) = flag.strip_prefix("--mount=") else {
                continue;
            };
            let mut unknown = Vec::new();
            let mount = CacheMount::parse(options, |value| {
                let expanded = expand(value, instruction.escape, &|name| self.value(name))?;
                unknown.extend(expanded.unknown);
                Ok(expanded.text)
            });
            let mount = mount.map_err(|reason| Error::at(instruction.line, reason))?;
            if let Some(mount) = mount {
                self.found(mount, &unknown, instruction);
            }
        }
        Ok(())
    }

    fn found(&mut self, mut mount: CacheMount, unknown: &[String], instruction: &Instruction) {
        let space = self.given.arguments.get(SPACE);
        mount.space = space.filter(|space| !space.is_empty()).cloned();
        for name in unknown {
            let (line, id) = (instruction.line, &mount.id);
            self.mounts.doubts.push(format!(
                "line {line}: {name} is not set in the Dockerfile; if its base image sets it, \
                 the mount {id} is another one"
            ));
        }
        let stage = mount.from.as_ref().map(|from| from.to_lowercase());
        // No image is called by a number; in another file it would be another stage's.
        let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        let is_stage = stage.is_some_and(|it| self.past.contains_key(&it) || is_number(&it));
        if is_stage {
            let (line, id) = (instruction.line, &mount.id);
            self.mounts.doubts.push(format!(
                "line {line}: the mount {id} begins as a copy of a stage, and can be reached \
                 by that Dockerfile only: it is left out"
            ));
            return;
        }
        if !self.mounts.found.iter().any(|found| found.is_same(&mount)) {
            self.mounts.found.push(mount);
        }
    }

    fn expanded(&self, word: &str, instruction: &Instruction) -> Result<String, Error> {
        let expanded = expand(word, instruction.escape, &|name| self.value(name));
        let expanded = expanded.map_err(|reason| Error::at(instruction.line, reason))?;
        Ok(expanded.text)
    }

    /// ENV wins over ARG.
    fn value(&self, name: &str) -> Option<String> {
        match &self.stage {
            Some(stage) => {
                let set = stage.environment.get(name);
                set.or_else(|| stage.arguments.get(name)).cloned()
            }
            None => {
                let global = self.global.get(name);
                global.or_else(|| self.given.platform.get(name)).cloned()
            }
        }
    }
}
