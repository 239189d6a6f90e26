"""Makes what the origin of the install workload serves: sixty packages for each of pip,
npm and apt, in the sizes and with the pages of real ones.

    packages.py FOLDER ORIGIN
"""

import base64
import email.utils
import gzip
import hashlib
import io
import json
import lzma
import pathlib
import random
import sys
import tarfile
import zipfile

ROOT, ORIGIN = pathlib.Path(sys.argv[1]), sys.argv[2]
RANDOM = random.Random(7)
# A few large packages, and many small ones: 49 MiB in all.
KIB = (
    [16384, 12288, 4096, 3072, 2048, 2048]
    + [1024] * 4
    + [512] * 6
    + [256] * 8
    + [128] * 12
    + [64] * 12
    + [16] * 12
)
# The tarballs of npm are smaller than wheels and Debian's packages.
NPM_PART = 8
# What an archive lists beside the packages that are installed.
ARCHIVE = 5000
DATE = "2026-01-02T03:04:05.000000Z"


def write(path, content):
    path = ROOT / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def any_sha256():
    return RANDOM.randbytes(32).hex()


def contents(size):
    """Files that do not compress, as the parts of a package."""
    count = min(40, 3 + size // 20480)
    return [RANDOM.randbytes(size // count) for _ in range(count)]


def versions(number):
    """Older versions, which are listed and never asked for."""
    return [f"0.{minor}.{patch}" for minor in range(1 + number * 7 % 40) for patch in range(4)]


def wheel(name, size):
    files = {f"{name}/part{at}.bin": part for at, part in enumerate(contents(size))}
    files[f"{name}/__init__.py"] = b"VERSION = (1, 0, 0)\n"
    info = f"{name}-1.0.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\nRequires-Python: >=3.8\n"
    files[f"{info}/METADATA"] = metadata.encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"

    def line(path, content):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        return f"{path},sha256={digest},{len(content)}\n"

    record = "".join(line(*file) for file in files.items()) + f"{info}/RECORD,,\n"
    files[f"{info}/RECORD"] = record.encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)
    return out.getvalue(), metadata.encode()


def python(name, number, size):
    content, metadata = wheel(name, size)
    last = f"{name}-1.0.0-py3-none-any.whl"
    write(f"files/{name}/{last}", content)
    write(f"files/{name}/{last}.metadata", metadata)

    def entry(file, digest, size, about):
        return {
            "core-metadata": about,
            "filename": file,
            "hashes": {"sha256": digest},
            "requires-python": ">=3.8",
            "size": size,
            "upload-time": DATE,
            "url": f"{ORIGIN}/files/{name}/{file}",
            "yanked": False,
        }

    listed = []
    for version in versions(number):
        about = {"sha256": any_sha256()}
        listed.append(entry(f"{name}-{version}-py3-none-any.whl", any_sha256(), size, about))
        listed.append(entry(f"{name}-{version}.tar.gz", any_sha256(), size, False))
    listed.append(entry(last, sha256(content), len(content), {"sha256": sha256(metadata)}))
    page = {
        "files": listed,
        "meta": {"api-version": "1.1"},
        "name": name,
        "versions": versions(number) + ["1.0.0"],
    }
    write(f"simple/{name}/index.json", json.dumps(page))

    def link(it):
        about = it["core-metadata"]
        about = f' data-core-metadata="sha256={about["sha256"]}"' if about else ""
        return (
            f'<a href="{it["url"]}#sha256={it["hashes"]["sha256"]}" '
            f'data-requires-python="&gt;=3.8"{about}>{it["filename"]}</a><br/>\n'
        )

    links = "".join(map(link, listed))
    head = '<meta name="pypi:repository-version" content="1.1">'
    write(
        f"simple/{name}/index.html",
        f"<!DOCTYPE html><html><head>{head}</head><body>\n{links}</body></html>\n",
    )


def tarball(name, size):
    files = {f"package/lib/part{at}.bin": part for at, part in enumerate(contents(size))}
    files["package/package.json"] = json.dumps({"name": name, "version": "1.0.0"}).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), 1, mtime=0)


def npm(name, number, size):
    content = tarball(name, size // NPM_PART)
    write(f"npm/{name}/-/{name}-1.0.0.tgz", content)
    full, abbreviated, times = {}, {}, {}
    for version in versions(number) + ["1.0.0"]:
        is_last = version == "1.0.0"
        sha512 = hashlib.sha512(content).digest() if is_last else RANDOM.randbytes(64)
        sha1 = hashlib.sha1(content).hexdigest() if is_last else RANDOM.randbytes(20).hex()
        dist = {
            "integrity": "sha512-" + base64.b64encode(sha512).decode(),
            "shasum": sha1,
            "tarball": f"{ORIGIN}/npm/{name}/-/{name}-{version}.tgz",
            "fileCount": 40,
            "unpackedSize": size,
        }
        short = {"name": name, "version": version, "dist": dist, "engines": {"node": ">=10"}}
        abbreviated[version] = short
        full[version] = short | {
            "description": "A package of the bench. " * 8,
            "license": "MIT",
            "main": "lib/index.js",
            "maintainers": [{"name": "nobody", "email": "nobody@packages.example"}],
            "_id": f"{name}@{version}",
        }
        times[version] = DATE
    tags = {"latest": "1.0.0"}
    whole = {"_id": name, "name": name, "dist-tags": tags, "versions": full, "time": times}
    write(f"packuments/{name}.full", json.dumps(whole | {"readme": "Read me. " * 400}))
    short = {"name": name, "dist-tags": tags, "versions": abbreviated, "modified": DATE}
    write(f"packuments/{name}.abbreviated", json.dumps(short))


def member(name, content):
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    return head + content + b"\n" * (len(content) % 2)


def stanza(name, path, size, digest):
    return (
        f"Package: {name}\nVersion: 1.0.0\nArchitecture: all\nInstalled-Size: {size // 1024}\n"
        f"Maintainer: Nobody <nobody@packages.example>\nFilename: {path}\nSize: {size}\n"
        f"SHA256: {digest}\nSection: misc\nPriority: optional\n"
        f"Description: a package of the bench\n that is as long as others are, by a second line\n\n"
    )


def debian(name, size):
    # Nobody unpacks it: it is downloaded.
    data = RANDOM.randbytes(size)
    content = b"!<arch>\n" + member("debian-binary", b"2.0\n") + member("data.tar", data)
    path = f"pool/main/w/{name}/{name}_1.0.0_all.deb"
    write(f"debian/{path}", content)
    return stanza(name, path, len(content), sha256(content))


def release(packages):
    for at in range(ARCHIVE):
        name = f"other{at:05}"
        packages += stanza(name, f"pool/main/o/{name}_1.0.0_all.deb", 100_000, any_sha256())
    plain = packages.encode()
    index = "main/binary-amd64/Packages"
    lines = ""
    for path, content in [(index, plain), (f"{index}.xz", lzma.compress(plain))]:
        write(f"debian/dists/stable/{path}", content)
        digest = sha256(content)
        write(f"debian/dists/stable/main/binary-amd64/by-hash/SHA256/{digest}", content)
        lines += f" {digest} {len(content)} {path}\n"
    date = email.utils.formatdate(1_767_323_045, usegmt=True).replace("GMT", "UTC")
    write(
        "debian/dists/stable/Release",
        f"Origin: Bench\nSuite: stable\nCodename: stable\nDate: {date}\nAcquire-By-Hash: yes\n"
        f"Architectures: amd64\nComponents: main\nSHA256:\n{lines}",
    )


def projects(names):
    listed = {"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in names]}
    write("simple/index.json", json.dumps(listed))
    links = "".join(f'<a href="{name}/">{name}</a><br/>\n' for name in names)
    write("simple/index.html", f"<!DOCTYPE html><html><body>\n{links}</body></html>\n")


def main():
    packages = ""
    projects([f"whale{number:02}" for number in range(len(KIB))])
    for number, kib in enumerate(KIB):
        name = f"whale{number:02}"
        python(name, number, kib * 1024)
        npm(name, number, kib * 1024)
        packages += debian(name, kib * 1024)
    release(packages)


main()
