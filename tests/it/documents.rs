//! Documents of packages through the cache: they are their origins' but for the URLs of
//! files, to the byte, whatever else is in them.

use anyhow::{Context, Result, ensure};
use cache_upstream::testing::Page;
use serde_json::Value;

/// A page with everything that the standards have, things that they have not, and numbers,
/// texts and spaces that a program which wrote it anew would write differently.
use crate::sea::Sea;

const SIMPLE: &str = r#"{"zulu": {"b": 1, "a": [null, true, 1.50, -0.0, 1E+2]},
  "files" : [
    {"yanked": "broken é \ud83d\udc33 \u0041\/b", "filename": "whale-1.0-py3-none-any.whl",
     "size": 9007199254740993, "url" : "{files}a/b/whale-1.0-py3-none-any.whl",
     "hashes": {"sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "blake2b": "x"},
     "requires-python": ">=3.8,<4", "upload-time": "2020-01-01T00:00:00.123456Z",
     "core-metadata": {"sha256": "00"}, "data-dist-info-metadata": {"sha256": "00"},
     "gpg-sig": false, "provenance": "{files}integrity/whale/1.0", "upload-order": 12345678901234567890123},
    {"filename": "whale-1.0.tar.gz", "url":"{files}a\/b/whale-1.0.tar.gz#egg=whale", "hashes": {},
     "dist-info-metadata": false, "yanked": true, "size": 0, "\u0075nheard of": "{files}a/x.whl"},
    {"filename": "whale-0.9.zip", "hashes": {"md5": "x"}, "url": "https://elsewhere.example/whale-0.9.zip"}
  ],
  "versions": ["1.0", "0.9"], "name": "whale", "alternate-locations": ["{files}simple/whale/"],
  "project-status": {"status": "deprecated", "reason": "sunk"},
  "meta": {"api-version": "1.4", "_last-serial": 12345678901234567, "tracks": ["{files}simple/whale/"]},
  "name2": "whale", "name2": "twice"
}
"#;

/// The same for a packument; `{dist}` is where its tarballs are.
const PACKUMENT: &str = r#"{"readme": "\"tarball\":\"{registry}whale/-/whale-1.0.0.tgz\" \ud83d\udc33",
  "versions": {"2.0.0-beta.1+b": {"version": "2.0.0-beta.1+b", "name": "whale", "os": ["!win32"],
      "dist" : { "unpackedSize": 9007199254740993, "tarball" : "{registry}whale/-/whale-2.0.0-beta.1+b.tgz",
        "integrity": "sha512-x", "signatures": [{"sig": "MEU=\/", "keyid": "SHA256:é"}],
        "attestations": {"url": "{registry}-/npm/v1/attestations/whale@1.0.0"}},
      "peerDependenciesMeta": {"x": {"optional": true}}, "hasInstallScript": true, "libc": ["musl"]},
    "1.0.0": {"name":"whale","version":"1.0.0","dist":{"tarball":"{registry}whale/-/whale-1.0.0.tgz","shasum":"00",
      "fileCount":1E2},"cpu":["x64"],"funding":{"url":"{registry}whale/-/fund"}},
    "0.1.0": {"name":"whale","version":"0.1.0","dist":{"tarball":"https://elsewhere.example/whale/-/whale-0.1.0.tgz"}}},
  "time": {"1.0.0": "2020-01-01T00:00:00.000Z", "modified": "x"}, "unheard of": [1.50, {"tarball": 7}],
  "dist-tags": {"latest": "1.0.0", "cjs": "0.1.0"}, "name": "whale", "_rev": "12345678901234567890123"}
"#;

const SIMPLE_JSON: &str = "application/vnd.pypi.simple.v1+json";
const ABBREVIATED: &str =
    "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*";

impl Sea {
    fn serve(&self, path: &str, kind: &str, document: &str) -> String {
        let url = self.origin.url();
        let document = document.replace("{files}", url.as_str());
        let document = document.replace("{registry}", &format!("{url}npm/"));
        let page = Page::new(document.clone()).with("content-type", kind);
        self.origin.serve(path, page);
        document
    }

    /// What a client of this name gets that accepts this.
    async fn body(&self, path: &str, client: &str, accept: &str) -> Result<String> {
        let url = format!("http://{}/{path}", self.server.address());
        let request = cache_tests::http::builder()
            .build()?
            .get(url)
            .header("accept", accept);
        let answer = request.header("user-agent", client).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }
}

/// The places at which two documents differ, as `files.0.url`; keys in another order are a
/// difference too.
fn differences(left: &Value, right: &Value, at: &str, found: &mut Vec<String>) {
    let below = |key: &str| format!("{at}.{key}").trim_start_matches('.').to_owned();
    match (left, right) {
        (Value::Object(left), Value::Object(right)) if !left.keys().eq(right.keys()) => {
            found.push(at.to_owned());
        }
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                differences(value, &right[key], &below(key), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (place, (left, right)) in left.iter().zip(right).enumerate() {
                differences(left, right, &below(&place.to_string()), found);
            }
        }
        _ if left == right => {}
        _ => found.push(at.to_owned()),
    }
}

/// Checks that a document differs from its origin's at these places alone, field by
/// field, and then to the byte: with the origin's values there again, it is the same text.
fn differ_only(theirs: &str, ours: &str, places: &[&str]) -> Result<()> {
    let (left, right): (Value, Value) =
        (serde_json::from_str(theirs)?, serde_json::from_str(ours)?);
    let mut found = Vec::new();
    differences(&left, &right, "", &mut found);
    ensure!(found == places, "{found:?} differ: {ours}");
    let mut back = ours.to_owned();
    for place in places {
        let pointer = format!("/{}", place.replace('.', "/"));
        let at = |document: &Value| Some(document.pointer(&pointer)?.as_str()?.to_owned());
        let (theirs, ours) = (at(&left).context("theirs")?, at(&right).context("ours")?);
        let ours = format!("\"{ours}\"");
        ensure!(
            back.matches(&ours).count() == 1,
            "{ours} is in it more than once"
        );
        back = back.replace(&ours, &format!("\"{theirs}\""));
    }
    // How a slash of a URL was escaped is gone with the URL.
    let plain = |text: &str| text.replace("a\\/b/whale-1.0.tar.gz", "a/b/whale-1.0.tar.gz");
    ensure!(plain(&back) == plain(theirs), "{back}\nis not\n{theirs}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_differs_from_its_indexs_in_the_urls_of_files_alone() -> Result<()> {
    let sea = Sea::start("npm/").await;
    let theirs = sea.serve("/simple/whale/", SIMPLE_JSON, SIMPLE);
    for _ in 0..2 {
        let ours = sea
            .body("pypi/simple/whale/", "pip/26", SIMPLE_JSON)
            .await?;
        differ_only(&theirs, &ours, &["files.0.url", "files.1.url"])?;
        let file = "../../packages/main/whale/http/";
        ensure!(ours.matches(file).count() == 2, "{ours}");
        ensure!(
            !ours.contains(&sea.server.address()),
            "a host of ours: {ours}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packument_differs_from_its_registrys_in_the_urls_of_tarballs_alone() -> Result<()> {
    let sea = Sea::start("npm/").await;
    let abbreviated = PACKUMENT.replace("\"readme\"", "\"not a readme\"");
    for (accept, kind, document) in [
        ("application/json", "application/json", PACKUMENT),
        (
            ABBREVIATED,
            "application/vnd.npm.install-v1+json",
            &abbreviated,
        ),
    ] {
        // Another form is another document here, but one path at this origin.
        let theirs = sea.serve("/npm/whale", kind, document);
        let places = |key: &str| {
            let versions: Value = serde_json::from_str(&theirs)?;
            let dist = &versions["versions"][key]["dist"]["tarball"];
            dist.as_str().map(ToOwned::to_owned).context("a tarball")
        };
        let (beta, first) = (places("2.0.0-beta.1+b")?, places("1.0.0")?);

        let ours = sea.body("npm/whale", "npm/11.0.0 node/v24", accept).await?;
        ensure!(
            ours == theirs,
            "npm's is the registry's to the byte: {ours}"
        );
        let here = format!("http://{}/npm/", sea.server.address());
        for (client, to) in [("pnpm/10.0.0 npm/?", &*here), ("yarn/1.22.22 npm/?", "")] {
            let ours = sea.body("npm/whale", client, accept).await?;
            let mut expected = theirs.clone();
            for tarball in [&beta, &first] {
                let base = format!("{}npm/", sea.origin.url());
                let led = format!(": \"{}", tarball.replace(&base, to));
                // Bare and behind its key: the one in the readme is escaped.
                expected = expected
                    .replace(&format!(": \"{tarball}"), &led)
                    .replace(&format!(":\"{tarball}"), &led.replace(' ', ""));
            }
            ensure!(ours == expected, "{client}: {ours}\nis not\n{expected}");
            let (left, right) = (serde_json::from_str(&theirs)?, serde_json::from_str(&ours)?);
            let mut found = Vec::new();
            differences(&left, &right, "", &mut found);
            let tarballs = ["2.0.0-beta.1+b", "1.0.0"];
            let tarballs = tarballs.map(|it| format!("versions.{it}.dist.tarball"));
            ensure!(found == tarballs, "{client}: {found:?} differ");
        }
    }
    Ok(())
}

#[test]
fn differences_are_found_wherever_they_are() -> Result<()> {
    let found = |left: &str, right: &str| {
        let mut found = Vec::new();
        differences(
            &serde_json::from_str(left)?,
            &serde_json::from_str(right)?,
            "",
            &mut found,
        );
        Ok::<_, anyhow::Error>(found)
    };
    ensure!(found(r#"{"a":[1,{"b":2}]}"#, r#"{"a":[1,{"b":2}]}"#)?.is_empty());
    ensure!(found(r#"{"a":[1,{"b":2}]}"#, r#"{"a":[1,{"b":3}]}"#)? == ["a.1.b"]);
    ensure!(found(r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"c":2,"b":1}}"#)? == ["a"]);
    ensure!(found(r#"{"a":[1]}"#, r#"{"a":[1,2]}"#)? == ["a"]);
    Ok(())
}
