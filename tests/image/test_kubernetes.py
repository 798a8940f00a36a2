"""The Kubernetes manifests."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.archiver.supervisor import STOP_TIMEOUT_S
from image.checkers import run
from image.command_lines import memory_mib, parsed
from image.dockerfile import DOCKER

FOLDER = DOCKER / "kubernetes"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
MANIFESTS = [manifest for path in FILES for manifest in yaml.safe_load_all(path.read_text())]
OLDEST, NEWEST = "1.29", "1.37"  # StatefulSets and the rest are older; these are what kubernetes-validate was run with


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] == kind]


def pods() -> list[tuple[str, dict[str, Any]]]:
    """Every pod that the manifests make: its name, and its spec."""
    found = [
        (m["metadata"]["name"], m["spec"]["template"]["spec"]) for m in of_kind("StatefulSet") + of_kind("Deployment")
    ]
    jobs = [(m["metadata"]["name"], m["spec"]["jobTemplate"]["spec"]["template"]["spec"]) for m in of_kind("CronJob")]
    return found + jobs


PODS = pods()


def environment(container: dict[str, Any]) -> dict[str, str]:
    """What a container gets from the ConfigMaps and from its own list."""
    maps = {manifest["metadata"]["name"]: manifest["data"] for manifest in of_kind("ConfigMap")}
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= maps[source["configMapRef"]["name"]]
    return found | {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}


def mib(quantity: str) -> int:
    return int(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]


def test_the_kustomization_names_every_file() -> None:
    """Nothing lies there that is not applied, and nothing is applied that does not lie there."""
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == [path.name for path in FILES]


@pytest.mark.parametrize(("name", "pod"), PODS, ids=[name for name, _ in PODS])
def test_pods_have_no_rights(name: str, pod: dict[str, Any]) -> None:
    """The image's user by number, no root, no token of the cluster, read-only root, no capability, bounded memory."""
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"]) == (True, 65532, 65532)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False  # variables of a Service called headrace-kafka would be read as settings
    assert pod["serviceAccountName"] in {each["metadata"]["name"] for each in of_kind("ServiceAccount")}
    (container,) = pod["containers"]
    inner = container["securityContext"]
    assert (inner["allowPrivilegeEscalation"], inner["readOnlyRootFilesystem"]) == (False, True)
    assert inner["capabilities"] == {"drop": ["ALL"]}
    assert {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")} == {"/tmp"}
    resources = container["resources"]
    assert mib(resources["requests"]["memory"]) <= mib(resources["limits"]["memory"])
    assert container["image"] == "headrace", name


@pytest.mark.parametrize(("name", "pod"), PODS, ids=[name for name, _ in PODS])
def test_command_lines_are_ones_that_headrace_takes(name: str, pod: dict[str, Any]) -> None:
    """Arguments and environment pass the real command line's parser, for one archive; only some have a Kafka."""
    (container,) = pod["containers"]
    given = environment(container)
    parameters = parsed(container["args"], given)
    assert parameters["archive_url"] == "s3://example-bucket/archive"
    needs_kafka = name not in {"headrace-gc", "headrace-verify"}
    assert ("HEADRACE_KAFKA" in given, "HEADRACE_KAFKA_SASL_USERNAME" in given) == (needs_kafka, needs_kafka)
    secrets = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
    assert secrets == ([f"headrace-kafka-{given['HEADRACE_KAFKA_SASL_USERNAME']}"] if needs_kafka else [])


def test_archiver_is_a_static_member_by_its_pods_name() -> None:
    """--instance is the pod's name, which a StatefulSet keeps; a pod may be away for longer than a start takes."""
    (archiver,) = of_kind("StatefulSet")
    (container,) = archiver["spec"]["template"]["spec"]["containers"]
    names = {each["name"]: each for each in container["env"]}
    assert names["POD_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert parsed(container["args"], environment(container))["instance"] == "$(POD_NAME)"
    starts_s = container["startupProbe"]["periodSeconds"] + archiver["spec"]["minReadySeconds"]
    assert int(environment(container)["HEADRACE_KAFKA_SESSION_TIMEOUT_MS"]) / 1000 > starts_s


def test_archiver_has_time_and_memory() -> None:
    """It is ended no sooner than its workers may take, and its limit holds what its --workers and --memory come to."""
    (archiver,) = of_kind("StatefulSet")
    pod = archiver["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > STOP_TIMEOUT_S
    needed = memory_mib(parsed(container["args"], environment(container)))
    resources = container["resources"]
    assert needed <= mib(resources["requests"]["memory"])
    assert 1.05 * needed <= mib(resources["limits"]["memory"])


@pytest.mark.parametrize("kind", ["StatefulSet", "Deployment"])
def test_probes_ask_a_port_that_is_served(kind: str) -> None:
    """Startup, readiness and liveness ask /metrics at the port that the command listens on, for all addresses."""
    (manifest,) = of_kind(kind)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    parameters = parsed(container["args"], environment(container))
    assert (parameters.get("metrics_at") or parameters.get("listen_at")) == ("0.0.0.0", port["containerPort"])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/metrics", "port": port["name"]}


def test_selectors_select() -> None:
    """Services, the budget, the policy and the monitor each find pods, or Services, by labels that these have."""
    labels = [m["spec"]["template"]["metadata"]["labels"] for m in of_kind("StatefulSet") + of_kind("Deployment")]
    selectors = [m["spec"]["selector"] for m in of_kind("Service")]
    selectors += [m["spec"]["selector"]["matchLabels"] for m in of_kind("PodDisruptionBudget")]
    selectors += [m["spec"]["podSelector"]["matchLabels"] for m in of_kind("NetworkPolicy")]
    assert len(selectors) == 4
    assert all(any(wanted.items() <= each.items() for each in labels) for wanted in selectors)
    (monitor,) = of_kind("ServiceMonitor")
    services = [
        m
        for m in of_kind("Service")
        if monitor["spec"]["selector"]["matchLabels"].items() <= m["metadata"]["labels"].items()
    ]
    assert len(services) == 2
    (endpoint,) = monitor["spec"]["endpoints"]
    assert all(endpoint["port"] in {port["name"] for port in each["spec"]["ports"]} for each in services)
    (policy,) = of_kind("NetworkPolicy")
    open_ports = {port["port"] for port in policy["spec"]["ingress"][0]["ports"]}
    assert open_ports == {port["port"] for each in services for port in each["spec"]["ports"]}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("path", [path for path in FILES if path.name != "monitor.yaml"], ids=lambda path: path.stem)
def test_kubernetes_schema_takes_it(path: Path, version: str) -> None:
    """kubernetes-validate, strictly: each field is one that this version of Kubernetes has, of its type."""
    done = run("kubernetes-validate", "--strict", "-k", version, path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_types_that_read_it_take_it(path: Path) -> None:
    """The Go types of Kubernetes and of the Prometheus Operator: each field is known. Not: the patterns of the CRD."""
    done = run("headrace-check", "manifests", path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(list(yaml.safe_load_all(path.read_text())))


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [("archiver.yaml", "serviceName:", "servicename:"), ("monitor.yaml", "scrapeTimeout:", "scrapeTimeOut:")],
)
def test_a_misspelt_field_is_seen(tmp_path: Path, name: str, right: str, wrong: str) -> None:
    """The checks above do look."""
    text = (FOLDER / name).read_text()
    assert right in text
    (tmp_path / name).write_text(text.replace(right, wrong))
    assert run("headrace-check", "manifests", tmp_path / name).returncode != 0
    if name != "monitor.yaml":
        assert run("kubernetes-validate", "--strict", "-k", NEWEST, tmp_path / name).returncode != 0
