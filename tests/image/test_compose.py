"""The compose file, and the configuration of Prometheus and Grafana that it mounts."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from debian_tools import promtool
from house.tree import ROOT

from headrace.archiver.supervisor import STOP_TIMEOUT_S
from headrace.schemas.catalog import topic_of
from image.checkers import run
from image.command_lines import memory_mib, parsed
from image.dockerfile import DOCKER, stages

PROMETHEUS, GRAFANA = DOCKER / "prometheus", DOCKER / "grafana"
VERBS = ("archiver", "exporter", "status", "replay")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as a YAML parser reads them."""
    found: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    return found


@pytest.mark.parametrize("name", VERBS)
def test_command_lines_are_ones_that_headrace_takes(services: dict[str, Any], name: str) -> None:
    """`command` and `environment` of each service pass the real command line's parser."""
    parameters = parsed(services[name]["command"], services[name]["environment"])
    assert parameters["archive_url"] == "s3://headrace/archive"
    assert parameters.get("kafka", "kafka:9092") == "kafka:9092"


def test_what_is_of_headrace_may_do_nothing_else(services: dict[str, Any]) -> None:
    """Read-only root, /tmp in memory, no capability, no new rights, a bound on processes, in each of our containers."""
    ours = {name: each for name, each in services.items() if each["image"].startswith("headrace")}
    assert set(ours) == {"bucket", "app", *VERBS}
    for each in ours.values():
        assert each["read_only"]
        assert each["tmpfs"] == ["/tmp"]
        assert each["cap_drop"] == ["ALL"]
        assert each["security_opt"] == ["no-new-privileges:true"]
        assert each["pids_limit"] > 0


def test_services_wait_for_services_that_exist(services: dict[str, Any]) -> None:
    """Each depends_on names a service; one that has to be healthy has a health check, its own or its image's."""
    waits = [(name, on, wait) for name, each in services.items() for on, wait in each.get("depends_on", {}).items()]
    assert {on for _, on, _ in waits} >= {"kafka", "s3", "topics", "bucket", "archiver", "exporter", "prometheus"}
    for name, on, wait in waits:
        assert on in services, name
        if wait["condition"] == "service_healthy":
            checked = services[on].get("healthcheck") or stages()["headrace"].health_check()
            assert checked, (name, on)


def test_health_checks_need_no_shell_and_ask_where_it_listens(services: dict[str, Any]) -> None:
    """Exec form throughout; the archiver's, from its image, and the exporter's own ask the port that each is given."""
    tests = [each["healthcheck"]["test"] for each in services.values() if each.get("healthcheck", {}).get("test")]
    assert len(tests) >= 5
    assert {test[0] for test in tests} == {"CMD"}
    assert "127.0.0.1:9478/metrics" in " ".join(stages()["headrace"].health_check())
    assert parsed(services["archiver"]["command"], services["archiver"]["environment"])["metrics_at"].port == 9478
    assert "127.0.0.1:9477/metrics" in services["exporter"]["healthcheck"]["test"][-1]
    assert parsed(services["exporter"]["command"], services["exporter"]["environment"])["listen_at"].port == 9477


def test_nothing_is_published_beyond_this_host(services: dict[str, Any]) -> None:
    """Every published port is bound to 127.0.0.1."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_topics_are_the_shipped_event_types(services: dict[str, Any]) -> None:
    """The topics that are created are those that the archiver archives by itself."""
    (listed,) = re.findall(r"for topic in (.*?);", services["topics"]["command"][0])
    assert set(listed.split()) == {topic_of(path.stem) for path in (ROOT / "schemas").glob("*.avsc")}


def test_archiver_has_time_and_memory(services: dict[str, Any]) -> None:
    """It is stopped no sooner than its workers may take; its limit holds what --workers and --memory come to."""
    service = services["archiver"]
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_TIMEOUT_S
    needed = memory_mib(parsed(service["command"], service["environment"]))
    assert int(service["mem_limit"].removesuffix("m")) >= needed


def test_volumes_are_named_and_mounted_files_exist(services: dict[str, Any]) -> None:
    """Each service that keeps something has a named volume for it; each file that is mounted is in the tree."""
    named = set(yaml.safe_load((DOCKER / "compose.yaml").read_text())["volumes"])
    mounts = [volume.split(":") for each in services.values() for volume in each.get("volumes", [])]
    assert {source for source, *_ in mounts if not source.startswith(".")} == named
    files = [(DOCKER / source, rights) for source, _, *rights in mounts if source.startswith(".")]
    assert len(files) >= 5
    assert [path for path, rights in files if not path.exists() or rights != ["ro"]] == []


def test_images_are_pinned(services: dict[str, Any]) -> None:
    """Every image of others has an exact version, and takes a digest."""
    for each in services.values():
        if not each["image"].startswith("headrace"):
            assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+\$\{[A-Z]+_DIGEST:-\}", each["image"]), each["image"]


def test_compose_reads_it_as_it_is_meant(services: dict[str, Any]) -> None:
    """The library that Docker Compose is built on loads it without a warning, with all services and conditions."""
    done = run("headrace-check", "compose", DOCKER / "compose.yaml")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    loaded = json.loads(done.stdout)
    assert set(loaded["services"]) == set(services)
    assert loaded["services"]["grafana"]["depends_on"]["prometheus"]["condition"] == "service_healthy"
    assert loaded["services"]["app"]["build"]["target"] == "app"
    assert loaded["services"]["kafka"]["image"] == "apache/kafka:4.1.1"
    assert set(loaded["volumes"]) == {"kafka", "s3", "spool", "prometheus", "grafana"}


def test_compose_refuses_a_mistake(tmp_path: Path) -> None:
    """The library does look: a misspelt key and a service that is not there are refused."""
    text = (DOCKER / "compose.yaml").read_text()
    for name, wrong in {
        "key": text.replace("read_only:", "readonly:"),
        "service": text.replace("bucket: {", "buket: {"),
    }.items():
        (tmp_path / f"{name}.yaml").write_text(wrong)
        assert run("headrace-check", "compose", tmp_path / f"{name}.yaml").returncode != 0, name


@pytest.mark.parametrize("name", ["prometheus.yml", "compose.yml"])
def test_promtool_takes_the_configuration(name: str) -> None:
    """promtool checks the configuration, and the rules that it names."""
    tool = promtool()
    done = subprocess.run(
        [tool.path, "check", "config", name], cwd=PROMETHEUS, env=tool.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "1 rule files found" in done.stdout


def test_prometheus_scrapes_services_that_let_it(services: dict[str, Any]) -> None:
    """Each target is a service that listens there, beyond 127.0.0.1, and allows the name that it is asked under."""
    (job,) = yaml.safe_load((PROMETHEUS / "compose.yml").read_text())["scrape_configs"]
    (static,) = job["static_configs"]
    listening = {"exporter": "listen_at", "archiver": "metrics_at"}
    assert len(static["targets"]) == len(listening)
    for target in static["targets"]:
        name, _, port = target.partition(":")
        parameters = parsed(services[name]["command"], services[name]["environment"])
        assert parameters[listening[name]] == ("0.0.0.0", int(port))
        assert name in parameters["allow_hosts"]


def test_grafana_finds_its_prometheus_and_its_dashboard(services: dict[str, Any]) -> None:
    """The data source leads to the service, and the dashboards' folder is where the dashboard is mounted."""
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/headrace.yaml").read_text())["providers"]
    mounted = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/headrace.json" in mounted


def test_every_query_names_a_documented_metric() -> None:
    """Each metric of the dashboard's queries is listed in docs/metrics.md or docs/producer-metrics.md."""
    dashboard = json.loads((GRAFANA / "headrace.json").read_text())
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    names = set(re.findall(r"\bheadrace_[a-z_]+", asked))
    listed = "".join((ROOT / "docs" / page).read_text() for page in ("metrics.md", "producer-metrics.md"))
    assert len(names) > 5
    assert [each for each in sorted(names) if not re.search(rf"`{each}[{{`]", listed)] == []
