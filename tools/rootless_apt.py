"""Fetch Debian or Ubuntu packages with the machine's own apt, without root and without touching the system.

apt gets its own sources file, lists, cache and (empty) dpkg status in a temporary directory; the mirror, proxy and
keyrings are the ones the machine is configured for. apt checks the signature of the suite and the checksum of every
package; `dpkg-deb` then unpacks them into a folder. Nothing is installed and no maintainer script runs.
Standard library only: this runs before anything else is there.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_KEYRINGS = (
    "/usr/share/keyrings/{id}-archive-keyring.gpg",
    "/usr/share/keyrings/{id}-archive-keyring.pgp",
)


class AptError(Exception):
    """apt could not deliver, which may be different next time; the text is one sentence for the user."""


class NotOffered(AptError):
    """This machine or its mirror does not have it, and trying again will not change that."""


@dataclass(frozen=True)
class Source:
    """One configured archive: where packages come from and which suites and keys its line names."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str  # a path, an inline key block (deb822), or "" for the system's trusted keys


def os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """The machine's os-release file as a dict; empty where there is none (macOS)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {key: "".join(shlex.split(value)) for key, value in pairs}


def _one_line_sources(text: str) -> Iterator[Source]:
    """Parse sources.list(5) one-line style: `deb [options] uri suite component...`."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]+)", line)
        if match:
            options, uri, suite, components = match.groups()
            keys = dict(item.split("=", 1) for item in (options or "").split() if "=" in item)
            yield Source(uri, (suite,), tuple(components.split()), keys.get("signed-by", ""))


def _deb822_sources(text: str) -> Iterator[Source]:
    """Parse sources.list(5) deb822 style: stanzas of `Field: value`, continued on indented lines."""
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1].isspace():
                fields[name] = fields.get(name, "") + "\n" + line
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        suites, components = tuple(fields.get("suites", "").split()), tuple(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            yield Source(uri, suites, components, fields.get("signed-by", ""))


def configured_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    """Every enabled binary source of the machine, in apt's order."""
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    found: list[Source] = []
    for path in files:
        if path.suffix not in (".list", ".sources"):
            continue
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        found += _deb822_sources(text) if path.suffix == ".sources" else _one_line_sources(text)
    return found


def main_archive(sources: list[Source], codename: str) -> Source:
    """The source that serves the distribution itself (not security, not a third party).

    codename -- of the running release; the aliases of Debian are understood too. Raises AptError if there is none.
    """
    names = {codename, "stable", "testing", "oldstable", "unstable", "sid"}
    for source in sources:
        if "main" in source.components and names & set(source.suites) and not source.uri.startswith("cdrom:"):
            return source
    raise AptError(
        f"apt has no source for {codename or 'this release'} main: add the distribution's mirror to the apt sources"
    )


def _machine_settings() -> str:
    """The machine's apt configuration (proxy, certificates, ...) without the hooks that would run system programs."""
    done = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        raise AptError(f"apt-config dump failed ({done.stderr.strip()}): repair the apt configuration")
    own = re.compile(r"(?i)(DPkg|RPM|Binary|APT::(Architectures?|Update|Get|Periodic|Sandbox|NeverAutoRemove))\b")
    return "".join(line + "\n" for line in done.stdout.splitlines() if not own.match(line))


class Apt:
    """One suite of the machine's mirror, for one architecture, in a scratch directory that the caller removes."""

    def __init__(self, scratch: Path, source: Source, suite: str, arch: str, distribution: str) -> None:
        self.suite = suite
        self._arch = arch
        self._scratch = scratch
        self._archives = scratch / "cache" / "archives"
        for folder in ("lists/partial", "cache/archives/partial", "state", "etc"):
            (scratch / folder).mkdir(parents=True, exist_ok=True)
        (scratch / "status").touch()
        keyring = next((k for k in (p.format(id=distribution) for p in _KEYRINGS) if os.path.exists(k)), "")
        # The distribution's full keyring first: a key file named for one release cannot verify another.
        signed_by = keyring or source.signed_by
        (scratch / "etc" / "archive.sources").write_text(
            f"Types: deb\nURIs: {source.uri}\nSuites: {suite}\n"
            f"Components: {' '.join(c for c in source.components if c in ('main', 'universe'))}\n"
            + (f"Signed-By: {signed_by}\n" if signed_by else ""),
            encoding="utf-8",
        )
        settings = {
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::sourcelist": scratch / "etc" / "archive.sources",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State": scratch / "state",
            "Dir::State::lists": scratch / "lists",
            "Dir::State::status": scratch / "status",
            "Dir::Cache": scratch / "cache",
            "Dir::Cache::archives": self._archives,
            "APT::Architecture": arch,
            "APT::Architectures": arch,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",  # as root, apt would otherwise download as a user who cannot read this folder
            "APT::Get::AllowUnauthenticated": "false",
            "Acquire::AllowInsecureRepositories": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        config = scratch / "etc" / "apt.conf"
        config.touch(mode=0o600)  # it repeats the machine's proxy settings
        config.write_text(
            _machine_settings() + "".join(f'{key} "{value}";\n' for key, value in settings.items()), encoding="utf-8"
        )
        self._environment = {**os.environ, "LC_ALL": "C", "APT_CONFIG": str(config)}

    def update(self) -> None:
        """Download and verify the suite's index. Raises AptError."""
        self._run("reading the package index", "update")

    def fetch(self, package: str) -> list[Path]:
        """Download a package and everything it depends on; return the .deb files. Raises AptError."""
        self._run(f"downloading {package}", "install", "--yes", "--download-only", package)
        debs = sorted(self._archives.glob("*.deb"))
        if not any(deb.name.startswith(package + "_") for deb in debs):
            raise AptError(f"apt reported success but did not deliver {package}: try again")
        return debs

    def _run(self, what: str, *arguments: str) -> None:
        command = ["apt-get", "-q", *arguments]
        try:
            done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=900)
        except subprocess.TimeoutExpired as exc:
            raise AptError(f"{what} from suite {self.suite} took longer than 15 minutes: check the network") from exc
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("E:", "W:", "Err:"))]
        lines.sort(key=lambda line: "Failed to fetch" in line)  # the most telling line comes last
        # `update` exits 0 after a failed download ("ignored, or old ones used"), and there are no old ones here.
        silent_failure = arguments[0] == "update" and any(line.startswith(("E:", "Err:")) for line in lines)
        if done.returncode or silent_failure:
            detail = re.sub(r"//[^/@\s]*@", "//", lines[-1] if lines else f"exit status {done.returncode}")
            if "Unable to locate package" in detail or "has no installation candidate" in detail:
                raise NotOffered(f"suite {self.suite} does not offer it for {self._arch} ({detail})")
            raise AptError(f"{what} from suite {self.suite} failed ({detail}): check the network and the apt sources")


def unpack(debs: list[Path], into: Path) -> None:
    """Unpack packages over each other into a folder. Raises AptError."""
    into.mkdir(parents=True, exist_ok=True)
    for deb in debs:
        done = subprocess.run(["dpkg-deb", "-x", str(deb), str(into)], capture_output=True, text=True)
        if done.returncode:
            raise AptError(f"unpacking {deb.name} failed ({done.stderr.strip()}): is the disk full?")


def available() -> bool:
    """Is there an apt to work with?"""
    return bool(shutil.which("apt-get") and shutil.which("dpkg-deb"))
