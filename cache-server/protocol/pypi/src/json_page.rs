//! Pages in JSON (PEP 691): read with the places of their URLs, and written.

use std::{borrow::Cow, ops::Range, time::SystemTime};

use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use url::Url;

use crate::{
    listing::{File, Listing, Metadata, resolve},
    name::Project,
};

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(default)]
    meta: Meta,
    name: Option<String>,
    #[serde(borrow)]
    files: Vec<&'a RawValue>,
    #[serde(default, rename = "project-status")]
    project_status: Value,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(rename = "api-version")]
    api_version: Option<String>,
}

/// What is not needed to find a file may have any shape: it is the client's business.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    filename: Cow<'a, str>,
    #[serde(borrow)]
    url: &'a RawValue,
    #[serde(default)]
    hashes: Value,
    #[serde(default)]
    size: Value,
    #[serde(default, rename = "requires-python")]
    requires_python: Value,
    #[serde(default)]
    yanked: Value,
    #[serde(default, rename = "core-metadata")]
    core_metadata: Value,
    /// What PEP 658 called it.
    #[serde(default, rename = "dist-info-metadata")]
    dist_info_metadata: Value,
    /// And what large indexes made of that (PEP 714).
    #[serde(default, rename = "data-dist-info-metadata")]
    data_dist_info_metadata: Value,
    #[serde(default, rename = "gpg-sig")]
    gpg_sig: Value,
    #[serde(default)]
    provenance: Value,
    #[serde(default, rename = "upload-time")]
    upload_time: Value,
}

/// Reads a page that lies at `base`.
pub(crate) fn read(page: &[u8], base: &Url, project: &Project) -> Result<Listing, String> {
    if page.trim_ascii_start().first() != Some(&b'{') {
        return Err("it is no JSON object".to_owned());
    }
    let document: Document<'_> =
        serde_json::from_slice(page).map_err(|error| format!("it is no project page: {error}"))?;
    let version = document.meta.api_version.unwrap_or_default();
    // "Clients MUST fail" at another major version (PEP 629).
    if !version.is_empty() && !version.starts_with("1.") {
        return Err(format!("its version is {version}, asked for 1"));
    }
    let name = document.name.as_deref().map(Project::parse);
    if name.is_some_and(|name| name.as_ref() != Some(project)) {
        return Err("it is the page of another project".to_owned());
    }
    let mut files = Vec::new();
    for (item, text) in document.files.iter().enumerate() {
        let entry = serde_json::from_str(text.get())
            .map_err(|error| format!("a file of it cannot be read: {error}"))?;
        files.extend(file(page, base, item, &entry));
    }
    let items = document.files.iter();
    Ok(Listing {
        version,
        status: document.project_status["status"]
            .as_str()
            .map(ToOwned::to_owned),
        files,
        items: items.map(|item| span(page, item)).collect(),
        ..Listing::default()
    })
}

/// A file of the page; `None` if its URL leads nowhere that we could ask.
fn file(page: &[u8], base: &Url, item: usize, entry: &Entry<'_>) -> Option<File> {
    let text: String = serde_json::from_str(entry.url.get()).ok()?;
    let link = resolve(base, &text)?;
    let string = |value: &Value| value.as_str().map(ToOwned::to_owned);
    Some(File {
        name: entry.filename.clone().into_owned(),
        url: link.url,
        fragment: link.fragment,
        is_absolute: link.is_absolute,
        span: span(page, entry.url),
        hashes: hashes(&entry.hashes),
        size: entry.size.as_u64(),
        requires_python: string(&entry.requires_python),
        yanked: match &entry.yanked {
            Value::Bool(true) => Some(String::new()),
            Value::String(reason) => Some(reason.clone()),
            _ => None,
        },
        metadata: metadata(entry),
        gpg_sig: entry.gpg_sig.as_bool(),
        provenance: string(&entry.provenance),
        uploaded: entry.upload_time.as_str().and_then(time),
        item,
    })
}

/// Where a value that was borrowed from the page stands in it.
pub(crate) fn span(page: &[u8], value: &RawValue) -> Range<usize> {
    let value = value.get();
    let start = value.as_ptr().addr() - page.as_ptr().addr();
    start..start + value.len()
}

fn hashes(value: &Value) -> Vec<(String, String)> {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .filter_map(|(name, hex)| Some((name.clone(), hex.as_str()?.to_owned())))
        .collect()
}

fn metadata(entry: &Entry<'_>) -> Metadata {
    let keys = [
        &entry.core_metadata,
        &entry.dist_info_metadata,
        &entry.data_dist_info_metadata,
    ];
    match keys.into_iter().find(|value| !value.is_null()) {
        None => Metadata::Unknown,
        Some(Value::Bool(true)) => Metadata::Present,
        Some(value @ Value::Object(_)) => Metadata::hashed(hashes(value)),
        Some(_) => Metadata::Absent,
    }
}

/// Writes a page in JSON with what an HTML page said; `url` says where a file is now.
///
/// Version 1.0 of the form: sizes and times (PEP 700) are not in HTML.
pub(crate) fn write(
    listing: &Listing,
    files: &[&File],
    project: &Project,
    url: &dyn Fn(&File) -> String,
    metadata: &dyn Fn(&File) -> Metadata,
) -> Vec<u8> {
    let files: Vec<Value> = files
        .iter()
        .map(|file| entry(file, url(file), metadata(file)))
        .collect();
    let mut page = Map::new();
    page.insert("meta".to_owned(), json!({ "api-version": "1.0" }));
    page.insert("name".to_owned(), project.as_str().into());
    page.insert("files".to_owned(), files.into());
    if let Some(status) = &listing.status {
        page.insert("project-status".to_owned(), json!({ "status": status }));
    }
    Value::Object(page).to_string().into_bytes()
}

fn entry(file: &File, url: String, metadata: Metadata) -> Value {
    let hashes = |pairs: &[(String, String)]| {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, hex)| (name, Value::String(hex)))
            .collect::<Map<_, _>>()
    };
    let mut entry = Map::new();
    let mut set = |key: &str, value: Value| entry.insert(key.to_owned(), value);
    set("filename", file.name.clone().into());
    set("url", url.into());
    set("hashes", hashes(&file.hashes).into());
    if let Some(requires) = &file.requires_python {
        set("requires-python", requires.clone().into());
    }
    match file.yanked.as_deref() {
        None => set("yanked", false.into()),
        Some("") => set("yanked", true.into()),
        Some(reason) => set("yanked", reason.into()),
    };
    let metadata = match metadata {
        Metadata::Unknown => None,
        Metadata::Absent => Some(false.into()),
        Metadata::Present => Some(true.into()),
        Metadata::Hashed(pairs) => Some(Value::Object(hashes(&pairs))),
    };
    if let Some(metadata) = metadata {
        set("core-metadata", metadata.clone());
        set("data-dist-info-metadata", metadata);
    }
    if let Some(signed) = file.gpg_sig {
        set("gpg-sig", signed.into());
    }
    if let Some(provenance) = &file.provenance {
        set("provenance", provenance.clone().into());
    }
    Value::Object(entry)
}

/// A time as PEP 700 has it, `2026-01-31T12:34:56.789Z`; `None` for anything else.
pub(crate) fn time(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_second() {
        let seconds = |text| {
            let time = time(text)?;
            Some(
                time.duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap()
                    .as_secs(),
            )
        };
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2001-09-09T01:46:40.999999Z", 1_000_000_000),
            ("2026-11-21T11:40:00Z", 1_795_261_200),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "2026-11-21",
            "2026-11-21T11:40:00",
            "2026-11-21T11:40:00+01:00",
            "2026-13-21T11:40:00Z",
            "2026-00-21T11:40:00Z",
            "2026-11-21T25:40:00Z",
            "0000-01-01T00:00:00Z",
            "99999999999999999999-01-01T00:00:00Z",
            "2026-11-21-1T11:40:00Z",
            "é-é-éTé:é:éZ",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
