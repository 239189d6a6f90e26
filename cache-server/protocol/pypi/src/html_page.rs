//! Pages in HTML (PEP 503): read with the places of their URLs, and written.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::{
    html::{Tag, Tags, escape, text_behind},
    listing::{File, Listing, Metadata, resolve},
    name::Project,
};

/// How the files of an index end: by these a page without any other sign is known.
const DISTRIBUTIONS: [&str; 9] = [
    ".whl",
    ".tar.gz",
    ".zip",
    ".tar.bz2",
    ".tgz",
    ".egg",
    ".exe",
    ".tar.xz",
    ".metadata",
];

/// How the titles of pages begin that servers make for projects and folders.
const TITLES: [&str; 3] = ["links for", "index of", "simple index"];

/// Reads a page that lies at `base`.
pub(crate) fn read(page: &[u8], base: &Url) -> Result<Listing, String> {
    let page = std::str::from_utf8(page).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut listing = Listing::default();
    let mut base = base.clone();
    let mut is_simple = false;
    for tag in Tags::of(page) {
        match &*tag.name {
            // No index asks anyone to log in or to go elsewhere; portals do.
            "form" | "input" => return Err("it has a form: it is no project page".to_owned()),
            "meta" => is_simple |= meta(&tag, &mut listing)?,
            "title" => is_simple |= is_title(&text_behind(page, &tag)),
            "base" => {
                let joined = tag.value("href").and_then(|href| base.join(href).ok());
                // The tag is cut out, so one that is followed nowhere must not count here.
                let joined = joined.filter(|it| matches!(it.scheme(), "http" | "https"));
                base = joined.unwrap_or(base);
                listing.cut.push(tag.span);
            }
            "a" => listing.files.extend(file(&tag, &base)),
            _ => {}
        }
    }
    let is_file = |file: &File| DISTRIBUTIONS.iter().any(|end| file.name.ends_with(end));
    if is_simple || listing.files.iter().any(is_file) {
        Ok(listing)
    } else {
        Err("it has no file and no sign of a project page".to_owned())
    }
}

/// Reads a `meta` tag; true if it is one that project pages alone have.
fn meta(tag: &Tag<'_>, listing: &mut Listing) -> Result<bool, String> {
    let refreshes = |it: &str| it.eq_ignore_ascii_case("refresh");
    if tag.value("http-equiv").is_some_and(refreshes) {
        return Err("it leads elsewhere: it is no project page".to_owned());
    }
    let content = tag.value("content").unwrap_or_default();
    match tag.value("name") {
        Some("pypi:repository-version") if content.starts_with("1.") => {
            content.clone_into(&mut listing.version);
            Ok(true)
        }
        // "Clients MUST fail" at another major version (PEP 629).
        Some("pypi:repository-version") => Err(format!("its version is {content}, asked for 1")),
        Some("pypi:project-status") => {
            listing.status = Some(content.to_owned());
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn is_title(title: &str) -> bool {
    let title = title.trim().to_ascii_lowercase();
    TITLES.iter().any(|start| title.starts_with(start))
}

fn file(tag: &Tag<'_>, base: &Url) -> Option<File> {
    let href = tag.attribute("href")?;
    let link = resolve(base, &href.value)?;
    let name = link.url.path_segments()?.next_back()?;
    let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
    let string = |name: &str| tag.value(name).map(ToOwned::to_owned);
    let metadata = string("data-core-metadata").or_else(|| string("data-dist-info-metadata"));
    Some(File {
        name,
        hashes: hashes(link.fragment.as_deref().unwrap_or_default()),
        url: link.url,
        fragment: link.fragment,
        is_absolute: link.is_absolute,
        span: href.span.clone(),
        size: None,
        requires_python: string("data-requires-python"),
        yanked: string("data-yanked"),
        metadata: match metadata.as_deref() {
            None => Metadata::Unknown,
            Some("false") => Metadata::Absent,
            Some(value) => Metadata::hashed(hashes(value)),
        },
        gpg_sig: tag.value("data-gpg-sig").map(|value| value == "true"),
        provenance: string("data-provenance"),
        uploaded: None,
        item: 0,
    })
}

/// `sha256=...`, as a fragment has it, which may say other things as well.
fn hashes(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let is_hash = |hex: &str| hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    pairs
        .filter(|(_, hex)| is_hash(hex))
        .map(|(name, hex)| (name.to_owned(), hex.to_owned()))
        .collect()
}

/// Writes a page in HTML with what a JSON page said; `url` says where a file is now.
pub(crate) fn write(
    listing: &Listing,
    files: &[&File],
    project: &Project,
    url: &dyn Fn(&File) -> String,
    metadata: &dyn Fn(&File) -> Metadata,
) -> Vec<u8> {
    let version = match &*listing.version {
        "" => "1.0",
        version => version,
    };
    let mut page = format!(
        "<!DOCTYPE html>\n<html>\n<head>\n\
         <meta name=\"pypi:repository-version\" content=\"{}\">\n",
        escape(version)
    );
    if let Some(status) = &listing.status {
        let status = escape(status);
        page += &format!("<meta name=\"pypi:project-status\" content=\"{status}\">\n");
    }
    page += &format!("<title>Links for {project}</title>\n</head>\n<body>\n");
    page += &format!("<h1>Links for {project}</h1>\n");
    for file in files {
        page += &anchor(file, &url(file), &metadata(file));
    }
    page += "</body>\n</html>\n";
    page.into_bytes()
}

fn anchor(file: &File, url: &str, metadata: &Metadata) -> String {
    let mut tag = format!("<a href=\"{}", escape(url));
    if let Some((name, hex)) = best(&file.hashes) {
        tag += &format!("#{}={}", escape(name), escape(hex));
    }
    tag.push('"');
    let mut set = |name: &str, value: &str| tag += &format!(" {name}=\"{}\"", escape(value));
    if let Some(requires) = &file.requires_python {
        set("data-requires-python", requires);
    }
    if let Some(reason) = &file.yanked {
        set("data-yanked", reason);
    }
    if let Some(value) = attribute(metadata) {
        set("data-core-metadata", &value);
        set("data-dist-info-metadata", &value);
    }
    if let Some(signed) = file.gpg_sig {
        set("data-gpg-sig", &signed.to_string());
    }
    if let Some(provenance) = &file.provenance {
        set("data-provenance", provenance);
    }
    format!("{tag}>{}</a><br>\n", escape(&file.name))
}

/// What an attribute says of a file's metadata, if it says anything.
pub(crate) fn attribute(metadata: &Metadata) -> Option<String> {
    match metadata {
        Metadata::Unknown | Metadata::Absent => None,
        Metadata::Present => Some("true".to_owned()),
        Metadata::Hashed(hashes) => Some(match best(hashes) {
            Some((name, hex)) => format!("{name}={hex}"),
            None => "true".to_owned(),
        }),
    }
}

/// HTML has room for one hash.
fn best(hashes: &[(String, String)]) -> Option<&(String, String)> {
    let sha256 = hashes.iter().find(|(name, _)| name == "sha256");
    sha256.or_else(|| hashes.first())
}
