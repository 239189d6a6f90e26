use anyhow::{Context, Result};
use proptest::prelude::*;

use super::{mount::Sharing, *};

fn mounts(text: &str) -> Result<Vec<CacheMount>> {
    mounts_with(text, &[])
}

fn mounts_with(text: &str, arguments: &[(&str, &str)]) -> Result<Vec<CacheMount>> {
    let given = Given {
        arguments: arguments
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Given::default()
    };
    let given = given.for_platform("linux/arm/v7");
    Ok(Dockerfile::parse(text)?.cache_mounts(&given)?.found)
}

fn ids(text: &str) -> Result<Vec<String>> {
    Ok(mounts(text)?.into_iter().map(|it| it.id).collect())
}

#[test]
fn every_option_of_a_cache_mount_is_read() -> Result<()> {
    let text = "FROM a\nRUN --mount=type=cache,id=x,target=/t,from=img,source=/s,mode=0755,\
                uid=1000,gid=1001,sharing=locked,readonly make\n";
    let is = CacheMount {
        space: None,
        id: "x".to_owned(),
        target: "/t".to_owned(),
        from: Some("img".to_owned()),
        source: Some("/s".to_owned()),
        mode: Some(0o755),
        uid: Some(1000),
        gid: Some(1001),
        sharing: Sharing::Locked,
        is_read_only: true,
    };
    assert_eq!(mounts(text)?, [is]);
    Ok(())
}

#[test]
fn the_target_as_it_is_written_is_the_id() -> Result<()> {
    for (target, id) in [
        ("/root/.npm", "/root/.npm"),
        ("/root//.npm/", "/root/.npm"),
        (".cache/../x", "x"),
        ("./", "."),
        ("/../a", "/a"),
        ("../a", "../a"),
    ] {
        let found = ids(&format!(
            "FROM a\nWORKDIR /w\nRUN --mount=type=cache,dst={target} x"
        ))?;
        assert_eq!(found, [id], "{target}");
    }
    Ok(())
}

#[test]
fn a_mount_is_found_however_its_instruction_is_written() -> Result<()> {
    for text in [
        "FROM a\nrun --mount=type=cache,target=/x make",
        "FROM a\r\nRUN --mount=type=cache,target=/x \\\r\n  make\r\n",
        "FROM a\nRUN \\\n# a comment\n\n  --mount=type=cache,target=/x \\\n  make",
        "FROM a\nRUN --network=host --mount=TYPE=cache,Target=/x make",
        "FROM a\nRUN --mount=\"type=cache,target=/x\" make",
        "FROM a\nRUN --mount=type=cache,\"target=/x\" make",
        "FROM a\nRUN --mount=type=cache,target=/x [\"make\"]",
        "# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN `\n --mount=type=cache,target=/x y",
        "\u{feff}FROM a\nRUN --mount=type=cache,target=/x <<EOF\nmake\nEOF\n",
    ] {
        assert_eq!(ids(text)?, ["/x"], "{text}");
    }
    Ok(())
}

#[test]
fn what_only_looks_like_a_mount_is_none() -> Result<()> {
    for text in [
        "FROM a\n# RUN --mount=type=cache,target=/x make",
        "FROM a\nRUN make --mount=type=cache,target=/x",
        "FROM a\nRUN -- --mount=type=cache,target=/x",
        "FROM a\nRUN --mount=type=bind,target=/x make",
        "FROM a\nRUN --mount=type=secret,id=a,required,env=B make",
        "FROM a\nRUN --mount=type=tmpfs,target=/x,size=1g make",
        "FROM a\nRUN --mount=target=/x make",
        "FROM a\nONBUILD RUN --mount=type=cache,target=/x make",
        "FROM a\nRUN <<EOF\nRUN --mount=type=cache,target=/x make\nEOF\n",
        "FROM a\nCOPY <<-\"EOF\" <<B /y\n\tRUN --mount=type=cache,target=/x make\n\tEOF\n\
         RUN --mount=type=cache,target=/z make\nB\n",
        "FROM a\nONBUILD RUN <<EOF\nRUN --mount=type=cache,target=/x make\nEOF\n",
    ] {
        assert_eq!(ids(text)?, Vec::<String>::new(), "{text}");
    }
    Ok(())
}

#[test]
fn what_is_no_heredoc_hides_nothing() -> Result<()> {
    for text in [
        "FROM a\nRUN cat <<<EOF\nRUN --mount=type=cache,target=/x make",
        "FROM a\nRUN [\"cat\", \"<<EOF\"]\nRUN --mount=type=cache,target=/x make",
        "FROM a\nRUN echo $((1<<EOF))\nRUN --mount=type=cache,target=/x make",
        "FROM a\nENV A <<EOF\nRUN --mount=type=cache,target=/x make",
    ] {
        assert_eq!(ids(text)?, ["/x"], "{text}");
    }
    Ok(())
}

#[test]
fn variables_are_those_that_a_build_has_at_that_place() -> Result<()> {
    for (text, id) in [
        (
            "ARG V=1\nFROM a\nRUN --mount=type=cache,id=v$V,target=/x y",
            "v",
        ),
        (
            "ARG V=1\nFROM a\nARG V\nRUN --mount=type=cache,id=v$V,target=/x y",
            "v1",
        ),
        (
            "ARG V=1\nFROM a\nARG V=2\nRUN --mount=type=cache,id=v$V,target=/x y",
            "v2",
        ),
        (
            "FROM a\nARG V=2\nENV V=3\nRUN --mount=type=cache,id=v$V,target=/x y",
            "v3",
        ),
        (
            "FROM a\nENV V 3 4\nRUN --mount=type=cache,id=v$V,target=/x y",
            "v3 4",
        ),
        (
            "FROM a\nENV V=\"3\" W=$V\nRUN --mount=type=cache,id=v$W,target=/x y",
            "v",
        ),
        (
            "FROM a\nARG V=2 W=${V}b\nRUN --mount=type=cache,id=v$W,target=/x y",
            "v2b",
        ),
        (
            "FROM a\nARG G=2\nRUN --mount=type=cache,id=v$G,target=/x y",
            "vgiven",
        ),
        (
            "FROM a AS B\nARG V=2\nFROM b\nRUN --mount=type=cache,id=v$V,target=/x y",
            "v2",
        ),
        (
            "FROM a AS b\nARG V=2\nFROM c\nRUN --mount=type=cache,id=v$V,target=/x y",
            "v",
        ),
        (
            "ARG T=b\nFROM a AS b\nENV V=2\nFROM $T\nRUN --mount=type=cache,id=v$V,target=/x y",
            "v2",
        ),
        (
            "FROM a\nRUN --mount=type=cache,id=v${V:-d},target=/x y",
            "vd",
        ),
        (
            "FROM a\nARG V=1\nRUN --mount=type=cache,id=v${V:+${V}2},target=/x y",
            "v12",
        ),
        (
            "FROM a\nARG V=\nRUN --mount=type=cache,id=v${V-d},target=/x y",
            "v",
        ),
        (
            "FROM a\nARG V=1\nRUN --mount=type=cache,id=v\\\\$V,target=/x y",
            "v$V",
        ),
        (
            "FROM a\nRUN --mount=type=cache,id=$TARGETARCH,target=/x y",
            "/x",
        ),
        (
            "FROM a\nARG TARGETARCH TARGETVARIANT\n\
          RUN --mount=type=cache,id=$TARGETARCH$TARGETVARIANT,target=/x y",
            "armv7",
        ),
        (
            "FROM a\nARG TARGETPLATFORM\nRUN --mount=type=cache,id=$TARGETPLATFORM,target=/x y",
            "linux/arm/v7",
        ),
    ] {
        let found = mounts_with(text, &[("G", "given")])?;
        let found: Vec<_> = found.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(found, [id], "{text}");
    }
    Ok(())
}

#[test]
fn a_mount_is_told_once_unless_its_owner_differs() -> Result<()> {
    let text = "FROM a\n\
        RUN --mount=type=cache,target=/x --mount=type=cache,target=/y,id=/x a\n\
        RUN --mount=type=cache,target=/x,uid=1 --mount=type=cache,target=/x,sharing=locked b\n";
    let found = mounts(text)?;
    let found: Vec<_> = found.iter().map(|it| (it.id.as_str(), it.uid)).collect();
    assert_eq!(found, [("/x", None), ("/x", Some(1))]);
    Ok(())
}

/// An argument of the frontend: it counts whether or not it is declared.
#[test]
fn the_namespace_of_a_build_is_part_of_its_mounts() -> Result<()> {
    let file = Dockerfile::parse("FROM a\nRUN --mount=type=cache,target=/x a\n")?;
    let space = |value: &str| {
        let name = "BUILDKIT_CACHE_MOUNT_NS".to_owned();
        let given = Given {
            arguments: BTreeMap::from([(name, value.to_owned())]),
            ..Given::default()
        };
        anyhow::Ok(file.cache_mounts(&given)?.found.remove(0))
    };
    let (one, other, none) = (space("one")?, space("other")?, space("")?);
    assert_eq!(one.space.as_deref(), Some("one"));
    assert!(!one.is_same(&other) && !one.is_same(&none));
    assert_eq!(none.space, None);
    Ok(())
}

#[test]
fn doubts_are_told() -> Result<()> {
    let text = "FROM a AS one\nFROM b\nRUN --mount=type=cache,target=$HOME/x a\n\
                RUN --mount=type=cache,target=/y,from=one a\n";
    let found = Dockerfile::parse(text)?.cache_mounts(&Given::default())?;
    assert_eq!((found.found.len(), found.doubts.len()), (1, 2));
    assert!(found.doubts[0].contains("HOME") && found.doubts[1].contains("left out"));
    Ok(())
}

#[test]
fn what_is_wrong_is_told_with_its_line() -> Result<()> {
    for (text, error) in [
        ("# escape=x\nFROM a", "line 1: the escape"),
        (
            "FROM a\nRUN <<EOF\n\n",
            "line 2: the heredoc that ends with EOF",
        ),
        ("FROM", "line 1: FROM without an image"),
        (
            "FROM a\n\nRUN --mount=type=cache y",
            "line 3: a cache mount without a target",
        ),
        (
            "FROM a\nRUN --mount=type=cache,target=/x,uid=a y",
            "line 2: uid: a is not a number",
        ),
        (
            "FROM a\nRUN --mount=type=cache,target=/x,mode=9 y",
            "line 2: mode: 9",
        ),
        (
            "FROM a\nRUN --mount=type=cache,target=/x,sharing=a y",
            "line 2: sharing",
        ),
        (
            "FROM a\nRUN --mount=type=cache,target=/x,size=1 y",
            "line 2: size is no option",
        ),
        (
            "FROM a\nRUN --mount=type=cache,target y",
            "line 2: target must have a value",
        ),
        (
            "FROM a\nRUN --mount=type=cache,target=${X y",
            "line 2: a ${ without its }",
        ),
        (
            "FROM a\nRUN --mount=type=cache,target=${X:?no} y",
            "line 2: X: no",
        ),
        (
            "FROM a\nRUN --mount=type=cache,target=${X#a} y",
            "is not understood",
        ),
        (
            "FROM a\nRUN --mount=type=cache,target=/x,ro=maybe y",
            "neither true nor false",
        ),
    ] {
        let found = Dockerfile::parse(text).and_then(|it| it.cache_mounts(&Given::default()));
        let found = found.err().with_context(|| text.to_owned())?.to_string();
        assert!(found.contains(error), "{text}: {found}");
    }
    Ok(())
}

#[test]
fn declared_arguments_are_those_of_stages() -> Result<()> {
    let text = "ARG A\nFROM a\nARG B=1 C\n# ARG D\narg E=\"x y\"\n";
    let found = Dockerfile::parse(text)?.declared();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["B", "C", "E"]);
    Ok(())
}

#[test]
fn the_projects_that_tests_build_are_understood() -> Result<()> {
    let file = "../tests/builds/embedded-dev/Dockerfile";
    let found = ids(&std::fs::read_to_string(file)?)?;
    assert_eq!(
        found,
        ["/var/cache/apt", "/var/lib/apt/lists", "/root/.cache/pip"]
    );
    Ok(())
}

proptest! {
    /// What is written for a mount is read as that mount.
    #[test]
    fn a_written_mount_is_the_mount(id in "[ -~]{1,12}", uid in any::<Option<u32>>(), mode in 0_u32..0o7777) {
        // A name does not begin or end with white space, nor is it empty without it.
        prop_assume!(id.trim() == id && !id.is_empty());
        let mount = CacheMount {
            space: None,
            id,
            target: "/t".to_owned(),
            from: None,
            source: None,
            mode: Some(mode),
            uid,
            gid: None,
            sharing: Sharing::Private,
            is_read_only: false,
        };
        let text = format!("FROM scratch\nRUN --mount={} [\"x\"]\n", mount.option("/t", false));
        let found = Dockerfile::parse(&text).and_then(|it| it.cache_mounts(&Given::default()));
        prop_assert_eq!(found.map(|it| it.found), Ok(vec![mount]), "{}", text);
    }

    #[test]
    fn no_text_is_a_reason_to_panic(
        text in "(FROM a\n|ARG |ENV |RUN |--mount=|type=cache|,|target=|<<|E|\n|\\\\|\"|'|\\$|[{}]|:|[ -~])*"
    ) {
        if let Ok(file) = Dockerfile::parse(&text) {
            file.declared();
            let _ = file.cache_mounts(&Given::default());
        }
    }
}
