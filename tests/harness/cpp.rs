//! A C++ project of any number of translation units, made and not kept: what Bazel and
//! recc build when they show that nothing is compiled twice.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Result;
use tempfile::TempDir;

/// Units that go into one archive, and that share a header.
const PER_GROUP: usize = 20;

/// The lines of the table that a build makes: 6.9 MB, more than fits into one message.
const TABLE_LINES: usize = 1_000_000;

/// The pages of the manual, which is a folder that one action makes.
const PAGES: usize = 40;

/// The sources of a program that adds numbers up.
#[derive(Clone, Copy, Debug)]
pub struct CppProject {
    groups: usize,
}

/// A working copy, for Bazel and for make.
#[derive(Debug)]
pub struct Checkout {
    folder: TempDir,
    at: String,
}

impl CppProject {
    /// One with at least as many units.
    #[must_use]
    pub const fn of(units: usize) -> Self {
        Self {
            groups: units.div_ceil(PER_GROUP),
        }
    }

    /// How many compilations it takes, the main file's included.
    #[must_use]
    pub const fn compilations(&self) -> usize {
        self.groups * PER_GROUP + 1
    }

    /// How many actions Bazel runs for it, each of which a cache may have: the
    /// compilations, the archives, the generated header, the program, what it prints, the
    /// manual, its contents, the table, and a file with nothing in it.
    #[must_use]
    pub const fn actions(&self) -> usize {
        self.compilations() + self.groups + 7
    }

    /// What the program prints, when it was compiled and linked right.
    #[must_use]
    pub const fn answer(&self) -> usize {
        let units = self.groups * PER_GROUP;
        // Unit n adds n and the one of its group's and the generated header each.
        units * (units - 1) / 2 + units * 2
    }

    /// A fresh working copy that clients see at a path of theirs.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn checkout(&self, at: &str) -> Result<Checkout> {
        let folder = tempfile::tempdir()?;
        self.write(folder.path())?;
        let at = at.to_owned();
        Ok(Checkout { folder, at })
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let write = |name: &str, text: &str| fs::write(folder.join(name), text);
        for part in ["include", "src"] {
            fs::create_dir_all(folder.join(part))?;
        }
        for group in 0..self.groups {
            let header = format!(
                "#pragma once\n#include \"generated.h\"\n\
                 inline long shared_{group}(long it) {{ return it + 1 + generated(); }}\n"
            );
            write(&format!("include/group_{group}.h"), &header)?;
            for unit in units(group) {
                let source = format!(
                    "#include \"group_{group}.h\"\n\
                     long unit_{unit}(long sum) {{ return shared_{group}(sum + {unit}); }}\n"
                );
                write(&format!("src/unit_{unit}.cpp"), &source)?;
            }
        }
        write("src/main.cpp", &self.main())?;
        write("WORKSPACE", "")?;
        write("rules.bzl", RULES)?;
        write("BUILD", &self.build_file())?;
        Ok(write("Makefile", &self.makefile())?)
    }

    fn main(&self) -> String {
        let mut source = String::from("#include <cstdio>\n");
        let mut body = String::new();
        for unit in (0..self.groups).flat_map(units) {
            let _ = writeln!(source, "long unit_{unit}(long);");
            let _ = writeln!(body, "    sum = unit_{unit}(sum);");
        }
        source
            + "int main() {\n    long sum = 0;\n"
            + &body
            + "    std::printf(\"%ld\\n\", sum);\n}\n"
    }

    fn build_file(&self) -> String {
        let Self { groups } = self;
        format!(
            "GROUPS = {groups}\nPER_GROUP = {PER_GROUP}\nPAGES = {PAGES}\nTABLE_LINES = {TABLE_LINES}\n{BUILD}"
        )
    }

    /// What recc is called by: it compiles, and make does the rest.
    fn makefile(&self) -> String {
        let last = self.groups * PER_GROUP - 1;
        format!("LAST = {last}\n{MAKEFILE}")
    }
}

impl Checkout {
    /// Where it is on this machine.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where clients see it.
    #[must_use]
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Edits one unit as an ordinary commit does: it adds one to what the program prints,
    /// and takes that away again.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn change(&self) -> Result<()> {
        let unit = self.folder.path().join("src/unit_0.cpp");
        let source = fs::read_to_string(&unit)?.replace("(sum + 0)", "(sum + 1) - 1");
        Ok(fs::write(unit, source)?)
    }
}

fn units(group: usize) -> std::ops::Range<usize> {
    group * PER_GROUP..(group + 1) * PER_GROUP
}

/// Genrules, because Bazel's own rules for C++ are downloaded.
const BUILD: &str = r#"
load("//:rules.bzl", "manual")

genrule(
    name = "header",
    outs = ["include/generated.h"],
    cmd = "echo 'inline long generated() { return 1; }' >$@",
)

[genrule(
    name = "unit_%d" % n,
    srcs = ["src/unit_%d.cpp" % n, "include/group_%d.h" % (n // PER_GROUP), ":header"],
    outs = ["unit_%d.o" % n],
    cmd = "g++ -O1 -Iinclude -I$(GENDIR)/include -c $(location src/unit_%d.cpp) -o $@" % n,
) for n in range(GROUPS * PER_GROUP)]

[genrule(
    name = "group_%d" % group,
    srcs = [":unit_%d" % n for n in range(group * PER_GROUP, (group + 1) * PER_GROUP)],
    outs = ["group_%d.a" % group],
    cmd = "ar rcsD $@ $(SRCS)",
) for group in range(GROUPS)]

genrule(
    name = "main",
    srcs = ["src/main.cpp"],
    outs = ["main.o"],
    cmd = "g++ -O1 -c $(SRCS) -o $@",
)

genrule(
    name = "link",
    srcs = [":main"] + [":group_%d" % group for group in range(GROUPS)],
    outs = ["program"],
    cmd = "g++ $(SRCS) -o $@",
    executable = True,
)

genrule(name = "run", srcs = [":link"], outs = ["answer"], cmd = "$(location :link) >$@")

genrule(name = "table", outs = ["table.txt"], cmd = "seq %d >$@" % TABLE_LINES)

genrule(name = "nothing", outs = ["empty"], cmd = ": >$@")

manual(name = "manual", title = "src/main.cpp", pages = PAGES)

genrule(
    name = "contents",
    srcs = [":manual"],
    outs = ["contents.txt"],
    cmd = "(cd $(location :manual) && find -L . | sort) >$@",
)
"#;

/// A folder as an output: files, a file with nothing in it, and an empty folder.
const RULES: &str = r#"
def _manual(ctx):
    pages = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [pages],
        inputs = [ctx.file.title],
        arguments = [pages.path, ctx.file.title.path, str(ctx.attr.pages)],
        command = """
            mkdir -p $1/none $1/part/one
            : >$1/blank
            for page in $(seq $3); do echo "page $page of $2" >$1/part/one/$page; done
        """,
    )
    return [DefaultInfo(files = depset([pages]))]

manual = rule(
    implementation = _manual,
    attrs = {"title": attr.label(allow_single_file = True), "pages": attr.int()},
)
"#;

const MAKEFILE: &str = r#"
units := $(patsubst %,unit_%.o,$(shell seq 0 $(LAST)))

program: main.o $(units)
	g++ $^ -o $@

%.o: src/%.cpp include/generated.h
	$(CXX) -O1 -Iinclude -c $< -o $@

include/generated.h:
	echo 'inline long generated() { return 1; }' >$@
"#;
