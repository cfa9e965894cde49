"""The tags that are measured: ours as it is served, each peer's as its documentation puts it into a page."""

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FETCH_S = 120


@dataclass(frozen=True)
class Tag:
    """A tag. `page` is what it puts into a page's head, `hits` begins the path of what it sends its events to.

    `package`, `version` and `file` are of npm, whose tarball has the SHA-512 `integrity`; without a package the file is
    one of this repository.
    """

    page: str
    hits: str
    file: str
    package: str = ""
    version: str = ""
    integrity: str = ""


TAGS = {
    "ours": Tag(
        file="collector/tag.min.js",
        page='<script async src="/script/ours.js"></script>',
        hits="/script/api/webeventspub",
    ),
    "plausible": Tag(
        package="@plausible-analytics/tracker",
        version="0.4.6",
        integrity="sha512-nbu6xGgSP6jeYuoVklZBzucUnIpo75tVu3Kr+R0EDycVKaMC/jF5Q/YCaM/8gR4fPZ1IDcXt6FdBJFZ1uZwEPA==",
        file="plausible.js",
        page="""<script type="module">import {init} from "/script/plausible.js";
init({domain: "www.example.com", endpoint: "/collect/plausible", captureOnLocalhost: true})</script>""",
        hits="/collect/plausible",
    ),
    "snowplow": Tag(
        package="@snowplow/browser-tracker",
        version="4.10.1",
        integrity="sha512-1Kmi6Mtyxwn5BN7BPD63CCb8diNr/cD/ihxHVbnTVc9UQRK9xJALpkpOu90PomVH/GJN2VxVKyeNmPJhGnv9og==",
        file="dist/index.umd.min.js",
        page="""<script src="/script/snowplow.js"></script>
<script>const {newTracker, trackPageView} = snowplowBrowserTracking;
newTracker("sp", location.origin, {appId: "www"}); trackPageView()</script>""",
        hits="/com.snowplowanalytics.snowplow/",
    ),
    # Without the flag it sends nothing from a browser without a window.
    "posthog": Tag(
        package="posthog-js",
        version="1.449.2",
        integrity="sha512-vji+h92IHaLlFSEnRH1hwe8uLWGOdDUImmPXexj/+V7Xm7HTxIQisYE/Kom7Aaw4DRpzfdhQxiyAN1YVYR4G8Q==",
        file="dist/array.js",
        page="""<script>window.posthog = []; posthog.__SV = 1;
posthog._i = [["phc_key", {api_host: location.origin, opt_out_useragent_filter: true}, "posthog"]]</script>
<script async src="/script/posthog.js"></script>""",
        hits="/e/",
    ),
}


def script_of(tag: Tag, folder: Path) -> bytes:
    """The tag's script; a peer's is fetched into `folder` where it is not there yet.

    Raises RuntimeError where the package is not the pinned one, or npm does not give it.
    """
    if not tag.package:
        return (ROOT / tag.file).read_bytes()
    kept = folder / f"{tag.package.removeprefix('@').replace('/', '-')}-{tag.version}.tgz"  # as npm names it
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(tag, folder)
    content = kept.read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != tag.integrity:
        raise RuntimeError(f"{kept} is not {tag.package} {tag.version}: it has {found}; delete it and run again")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = archive.extractfile(f"package/{tag.file}")
        if member is None:
            raise RuntimeError(f"{tag.package} {tag.version} has no {tag.file}")
        return member.read()


def _fetch(tag: Tag, folder: Path) -> None:
    """Have npm pack the tag's tarball into `folder`."""
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("the tags of peers come from npm, which is missing: install Node.js, or give --tags ours")
    command = [npm, "pack", f"{tag.package}@{tag.version}", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S, check=False)
    if done.returncode:
        raise RuntimeError(
            f"npm does not pack {tag.package} {tag.version}: {done.stderr.strip() or done.stdout.strip()}"
        )
