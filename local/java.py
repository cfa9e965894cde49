"""The Java that the broker runs on, and the broker's jars."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from contract.failures import ConfigError, TransientError
from local.processes import ROOT

JAVA_LEAST = 17
INSTALL = "install a Java 17 runtime (Debian: apt-get install openjdk-17-jre-headless)"
JARS = ROOT / "jars"


def find_java(environ: Mapping[str, str]) -> str:
    """The java program: JAVA_HOME's, else the path's. Raises ConfigError when there is none of 17 or later."""
    home = environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home, "bin"))) if home else None
    java = java or shutil.which("java", path=environ.get("PATH", ""))
    if java is None:
        raise ConfigError(f"Java is missing: {INSTALL}")
    version = read_version(java)
    if version < JAVA_LEAST:
        raise ConfigError(
            f"Java at {java} is {version or 'of unknown version'}, the broker needs {JAVA_LEAST}: {INSTALL}"
        )
    return java


def read_version(java: str) -> int:
    """The major version that a java program reports; 0 when it does not say."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=20).stderr
    except OSError as error:
        raise ConfigError(f"Java at {java} does not run ({error.strerror}): {INSTALL}") from error
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(match[1]) if match else 0


def fetch_jars(line: str, environ: Mapping[str, str]) -> Path:
    """The folder of a line's jars, fetched when they are not there yet."""
    script = JARS / "fetch.py"
    if not script.is_file():
        raise ConfigError(f"{script} is missing: the local cloud runs from a clone of the repository")
    done = subprocess.run(
        [sys.executable, str(script), line], env=dict(environ), capture_output=True, text=True, check=False
    )
    if done.returncode:
        failure = ConfigError if done.returncode == ConfigError.exit_code else TransientError
        raise failure(done.stderr.strip().removeprefix("jars: ") or f"jars/fetch.py {line} failed")
    return JARS / line
