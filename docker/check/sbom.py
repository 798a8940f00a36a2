"""Writes down what headrace consists of, as CycloneDX: `make sbom`. From the locks alone; no server is asked.

Two lists: the image's packages, and all that the whole set-up on one machine takes, Kafka's jars among it. The same
locks give the same bytes: no time, and serial numbers that are made from the content.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).parents[2]
LISTS = {
    "headrace-image": ("docker/requirements.txt",),
    "headrace-all": ("requirements/all.txt", "local/kafka.lock"),
}
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==([^\s;]+)")


def main() -> int:
    """Write each list into the folder that is named; return 1 when CycloneDX's own schema refuses one."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, locks in LISTS.items():
        bom = bill(components for lock in locks for components in of_lock(ROOT / lock))
        text = as_text(name, bom)
        wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
        if wrong is not None:
            print(f"{name}: CycloneDX's schema refuses it: {wrong}", file=sys.stderr)
            return 1
        path = folder / f"{name}.cdx.json"
        path.write_text(text)
        print(f"{path}: {len(bom.components)} components")
    return 0


def of_lock(lock: Path) -> Iterator[Component]:
    """Yield what a lock pins: Python packages with the hashes of all their files, or jars with theirs."""
    if lock.suffix == ".lock":
        for line in lock.read_text().splitlines():
            if line and not line.startswith("#"):
                coordinate, _, digest = line.split()
                group, name, version = coordinate.split(":")
                yield component(PackageURL("maven", group, name, version), [digest])
        return
    for block in lock.read_text().replace("\\\n", " ").splitlines():
        if pin := PIN.match(block):
            yield component(PackageURL("pypi", None, *pin.groups()), re.findall(r"sha256:([0-9a-f]{64})", block))


def component(purl: PackageURL, digests: list[str]) -> Component:
    """Return a package as a component. One that is pinned by several files has no one hash: they are properties."""
    one = [HashType(alg=HashAlgorithm.SHA_256, content=digests[0])] if len(digests) == 1 else []
    return Component(
        type=ComponentType.LIBRARY,
        group=purl.namespace,
        name=purl.name,
        version=purl.version,
        purl=purl,
        bom_ref=purl.to_string(),
        hashes=one,
        properties=[] if one else [Property(name="headrace:sha256", value=digest) for digest in digests],
    )


def bill(components: Iterator[Component]) -> Bom:
    """Return a list of components below headrace itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    root = Component(
        type=ComponentType.APPLICATION,
        name=project["name"],
        version=project["version"],
        bom_ref=project["name"],
        licenses=[LicenseFactory().make_from_string(project["license"])],
    )
    bom = Bom(components=components)
    bom.metadata.component = root
    bom.register_dependency(root, list(bom.components))
    return bom


def as_text(name: str, bom: Bom) -> str:
    """Return the JSON, without what would differ from one run to the next."""
    made = json.loads(JsonV1Dot6(bom).output_as_string())
    del made["metadata"]["timestamp"], made["serialNumber"]
    digest = json.dumps(made, sort_keys=True)
    made["serialNumber"] = uuid5(NAMESPACE_URL, name + digest).urn
    return json.dumps(made, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.exit(main())
