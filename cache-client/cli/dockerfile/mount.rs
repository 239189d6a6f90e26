//! `--mount=type=cache,...`.

use std::fmt;

/// A cache mount. Two that differ in anything but target, sharing and writing are
/// different mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheMount {
    /// Before the id, as the build was told by `BUILDKIT_CACHE_MOUNT_NS`.
    pub(crate) space: Option<String>,
    /// The target as it is written, if none was given.
    pub(crate) id: String,
    pub(crate) target: String,
    /// What it is filled with when it is new: a stage, an image or a named context.
    pub(crate) from: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) sharing: Sharing,
    pub(crate) is_read_only: bool,
}

/// Who may write at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Everyone.
    #[default]
    Shared,
    /// Everyone; a second writer has another mount.
    Private,
    /// One after another.
    Locked,
}

impl CacheMount {
    /// Reads the options; `None` if it is a mount of another type.
    pub(crate) fn parse(
        options: &str,
        mut expand: impl FnMut(&str) -> Result<String, String>,
    ) -> Result<Option<Self>, String> {
        let mut mount = Self::empty();
        let mut is_cache = false;
        for field in fields(options)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (field.as_str(), None),
            };
            let key = key.to_ascii_lowercase();
            let value = match (key.as_str(), value) {
                // BuildKit expands every value but this one.
                ("from", Some(value)) => Some(value.to_owned()),
                (_, Some(value)) => Some(expand(value)?),
                (_, None) => None,
            };
            if key == "type" {
                is_cache = value
                    .as_deref()
                    .is_some_and(|it| it.eq_ignore_ascii_case("cache"));
            } else if let Err(error) = mount.set(&key, value) {
                // Other types have other options.
                return if says_cache(options) {
                    Err(error)
                } else {
                    Ok(None)
                };
            }
        }
        if !is_cache {
            return Ok(None);
        }
        if mount.target.is_empty() {
            return Err("a cache mount without a target".to_owned());
        }
        if mount.id.is_empty() {
            mount.id = cleaned(&mount.target);
        }
        Ok(Some(mount))
    }

    const fn empty() -> Self {
        Self {
            space: None,
            id: String::new(),
            target: String::new(),
            from: None,
            source: None,
            mode: None,
            uid: None,
            gid: None,
            sharing: Sharing::Shared,
            is_read_only: false,
        }
    }

    fn set(&mut self, key: &str, value: Option<String>) -> Result<(), String> {
        let Some(value) = value else {
            self.is_read_only = match key {
                "readonly" | "ro" => true,
                "readwrite" | "rw" => false,
                _ => return Err(format!("{key} must have a value")),
            };
            return Ok(());
        };
        let number = |radix| {
            let parsed = u32::from_str_radix(&value, radix);
            parsed.map_err(|_| format!("{key}: {value} is not a number"))
        };
        match key {
            "id" => self.id = value,
            "target" | "dst" | "destination" => self.target = value,
            "from" => self.from = Some(value),
            "source" | "src" => self.source = Some(value),
            "mode" => self.mode = Some(number(8)?),
            "uid" => self.uid = Some(number(10)?),
            "gid" => self.gid = Some(number(10)?),
            "readonly" | "ro" => self.is_read_only = truth(&value)?,
            "readwrite" | "rw" => self.is_read_only = !truth(&value)?,
            "sharing" => self.sharing = Sharing::parse(&value)?,
            _ => return Err(format!("{key} is no option of a cache mount")),
        }
        Ok(())
    }

    /// Whether both are the same mount of a builder.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let key = |it: &Self| {
            let of = (it.mode, it.uid, it.gid);
            let seed = (it.from.clone(), it.source.clone());
            (it.space.clone(), it.id.clone(), seed, of)
        };
        key(self) == key(other)
    }

    /// The same mount at another place.
    pub(crate) fn option(&self, target: &str, is_read_only: bool) -> String {
        let mut fields = vec![
            "type=cache".to_owned(),
            written("id", &self.id),
            written("target", target),
            written("sharing", &self.sharing.to_string()),
        ];
        // It is not expanded.
        fields.extend(
            self.from
                .as_ref()
                .map(|from| listed(&format!("from={from}"))),
        );
        let mut field = |name: &str, value: Option<String>| {
            fields.extend(value.map(|value| written(name, &value)));
        };
        field("source", self.source.clone());
        field("mode", self.mode.map(|mode| format!("{mode:04o}")));
        field("uid", self.uid.map(|uid| uid.to_string()));
        field("gid", self.gid.map(|gid| gid.to_string()));
        if is_read_only {
            fields.push("readonly".to_owned());
        }
        fields.join(",")
    }
}

impl Sharing {
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "shared" => Ok(Self::Shared),
            "private" => Ok(Self::Private),
            "locked" => Ok(Self::Locked),
            _ => Err(format!("sharing: {text} is not shared, private or locked")),
        }
    }
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Locked => "locked",
        })
    }
}

fn says_cache(options: &str) -> bool {
    options.to_ascii_lowercase().contains("type=cache")
}

/// As Go's `strconv.ParseBool`.
fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{text} is neither true nor false")),
    }
}

/// RFC 4180, one line of it.
fn fields(options: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = options;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, behind) = match rest.split_once(',') {
                Some((field, behind)) => (field, Some(behind)),
                None => (rest, None),
            };
            fields.push(field.trim().to_owned());
            match behind {
                Some(behind) => rest = behind,
                None => return Ok(fields),
            }
            continue;
        };
        let mut field = String::new();
        let mut inside = quoted;
        loop {
            let (text, behind) = inside.split_once('"').ok_or("a quote without its end")?;
            field.push_str(text);
            match behind.strip_prefix('"') {
                Some(behind) => {
                    field.push('"');
                    inside = behind;
                }
                None => {
                    inside = behind;
                    break;
                }
            }
        }
        fields.push(field);
        match inside.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if inside.is_empty() => return Ok(fields),
            None => return Err("text behind a quote".to_owned()),
        }
    }
}

/// A field as it must be written to be read as it is: its value for expansion, and see
/// [`listed`].
fn written(name: &str, value: &str) -> String {
    let special = |c| matches!(c, '\\' | '$' | '"' | '\'');
    listed(&format!("{name}={}", escaped(value, special)))
}

/// The field of a list of options, written for the list and for the flag that it is in.
fn listed(field: &str) -> String {
    // Without quotes, space around it would not count.
    let is_quoted = field.contains([',', '"']) || field.trim() != field;
    let field = match is_quoted {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    };
    escaped(&field, |c| {
        matches!(c, '\\' | '"' | '\'') || c.is_whitespace()
    })
}

fn escaped(text: &str, is_special: impl Fn(char) -> bool) -> String {
    let mut written = String::new();
    for c in text.chars() {
        if is_special(c) {
            written.push('\\');
        }
        written.push(c);
    }
    written
}

/// As Go's `path.Clean`.
pub(crate) fn cleaned(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
    {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            ("..", _) if is_absolute => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (is_absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}
