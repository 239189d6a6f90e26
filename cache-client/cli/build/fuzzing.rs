//! What Docker and BuildKit print, for fuzz targets.

use std::{path::Path, time::Duration};

use serde_json::Value;

use super::{
    CommandLine,
    bake::Definition,
    command_line::Verb,
    compose::{self, Model},
    image,
    progress::{Form, Progress, Shown},
    scope::Scope,
    steps::{Step, Verdict, is_instruction},
    target::{Means, Packages},
};

/// Reads what a build prints, line by line; the first byte says which form it is of.
///
/// # Panics
/// If what is to be shown as it is printed is not, or something is a step that is none.
pub(crate) fn progress(input: &[u8]) {
    let Some((form, printed)) = input.split_first() else {
        return;
    };
    let form = if form % 2 == 0 {
        Form::Rawjson
    } else {
        Form::Plain
    };
    let printed = String::from_utf8_lossy(printed);
    let mut steps = Vec::new();
    for shown in [Shown::AsPrinted, Shown::Rendered, Shown::Nothing] {
        let mut progress = Progress::new(form, shown);
        let lines = printed.split_inclusive('\n');
        let text: String = lines.map(|line| progress.line(line)).collect();
        if shown == Shown::AsPrinted {
            assert_eq!(text, printed);
        }
        steps.push(progress.steps());
    }
    assert!(steps.iter().all(|it| *it == steps[0]), "steps differ");
    assert!(steps[0].iter().all(|step| is_instruction(&step.name)));
}

/// Reads a model of bake or compose, what is told of an image, or a command line: the first
/// byte says which.
///
/// # Panics
/// If what is the user's own does not stay as it was.
pub(crate) fn models(input: &[u8]) {
    let Some((which, text)) = input.split_first() else {
        return;
    };
    let Ok(text) = str::from_utf8(text) else {
        return;
    };
    match which % 4 {
        0 => bake(text),
        1 => compose(text),
        2 => images(text),
        _ => command_lines(text),
    }
}

fn means() -> Means {
    Means {
        scope: Scope {
            project: "p".to_owned(),
            branch: Some("main".to_owned()),
            fallbacks: vec!["next".to_owned()],
        },
        registry: "cache.example:3142".to_owned(),
        is_insecure: true,
        imports: true,
        exports: true,
        packages: Some(Packages {
            address: [192, 0, 2, 1].into(),
            port: 3142,
        }),
    }
}

fn bake(text: &str) {
    let Ok(mut definition) = serde_json::from_str::<Definition>(text) else {
        return;
    };
    // Nothing is read of this machine.
    for target in definition.target.values_mut() {
        target.context = Some("/nowhere/at/all".to_owned());
        target.dockerfile = None;
    }
    let words = "docker buildx bake --set web.cache-to=x --set *.cache-from=";
    let words = words.split(' ').map(str::to_owned).collect();
    let line = CommandLine::parse(words).expect("it builds");
    for target in definition.targets(&line, true) {
        let added = means().added(&target);
        assert!(target.has_cache_from && added.cache_from.is_empty());
        assert_eq!(added.cache_to.is_none(), target.has_cache_to);
    }
}

fn compose(text: &str) {
    let Ok(mut before) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let services = before.get_mut("services").and_then(Value::as_object_mut);
    for (_, service) in services.into_iter().flatten() {
        let build = service.get_mut("build").and_then(Value::as_object_mut);
        if let Some(build) = build {
            build.insert("context".to_owned(), "/nowhere/at/all".into());
            build.remove("dockerfile");
        }
    }
    let model = Model::of(before.clone());
    let _ = model.images();
    let after = model.with(&means());
    let after: Value = serde_json::from_str(&after).expect("it was written here");
    let services = before["services"].as_object().into_iter().flatten();
    for (name, service) in services {
        let changed = &after["services"][name];
        if !service["build"].is_object() {
            assert_eq!(changed, service);
        }
        for kept in ["context", "cache_to", "network"] {
            let was = &service["build"][kept];
            let is_empty = was.is_null() || was.as_array().is_some_and(Vec::is_empty);
            if !is_empty && was.is_array() {
                assert_eq!(&changed["build"][kept], was);
            }
        }
    }
}

/// The first line is buildx's metadata, the second an image's manifest, the third its
/// configuration.
fn images(text: &str) {
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    for (name, _) in image::made_of(line()) {
        assert!(!name.contains(','));
    }
    let step = |name: &str| Step {
        name: name.to_owned(),
        digest: String::new(),
        verdict: Verdict::Executed,
        duration: Duration::ZERO,
        saved: None,
        bytes: 0,
    };
    let mut steps = [
        step("[a 1/3] FROM b"),
        step("[a 2/3] RUN make"),
        step("[a 3/3] COPY . ."),
    ];
    if let Some(image) = image::read(line(), line()) {
        image.attribute(&mut steps);
        let attributed = steps
            .iter()
            .map(|step| u128::from(step.bytes))
            .sum::<u128>();
        assert!(attributed <= u128::from(u64::MAX) * 3);
    }
}

/// A word a line.
fn command_lines(text: &str) {
    let words: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let Ok(line) = CommandLine::parse(words.clone()) else {
        return;
    };
    assert_eq!(line.words(), words);
    assert!(line.head().len() <= words.len());
    let _ = (
        line.progress(),
        line.builder(),
        line.beside(&["buildx", "inspect"]),
    );
    for flag in ["--progress", "--set", "--metadata-file"] {
        assert!(!line.without(flag).has(flag), "{flag} in {words:?}");
        let value = line.value(flag);
        assert!(value.is_none_or(|value| words.iter().any(|word| word.ends_with(value))));
    }
    let added = line.with(["--cache-from".to_owned(), "x".to_owned()]);
    assert_eq!(added.words().len(), words.len() + 2);
    assert_eq!(added.names(), line.names());
    if line.verb() == Verb::Compose {
        let read = compose::reading(&line, Path::new("/model"));
        assert_eq!(read.names(), line.names());
    }
}
