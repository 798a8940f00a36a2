"""What an instance remembers between commands: ports, credentials, Kafka's cluster id. One JSON file, written whole."""

import base64
import json
import random
import secrets
import uuid
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path

from . import ports
from .errors import LocalError
from .kafka import KafkaPorts
from .localstack import KINDS
from .seaweed import Credentials, S3Ports

FILE = "state.json"
_VERSION = 1


@dataclass(frozen=True)
class State:
    """The lasting facts of one instance. Ports are kept so that clients find a restarted server where it was."""

    kafka: KafkaPorts
    s3: S3Ports
    credentials: Credentials
    cluster_id: str
    s3_kind: str = KINDS[0]

    @classmethod
    def fresh(cls, rng: random.Random, s3_kind: str | None = None) -> "State":
        """Draw ports, credentials and a cluster id for a new instance."""
        drawn = ports.choose(10, rng)
        credentials = Credentials(f"headrace{secrets.token_hex(4)}", secrets.token_urlsafe(24))
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]
        # Kafka's tools would take a leading dash for an option.
        return cls(
            KafkaPorts(*drawn[:2]), S3Ports(*drawn[2:]), credentials, cluster_id.replace("-", "A"), s3_kind or KINDS[0]
        )

    def with_free_ports(self, rng: random.Random, *, kafka: bool, s3: bool) -> "State":
        """Return the state with new ports for the named servers where one of their ports is taken by now."""
        state = self
        if kafka and not all(ports.is_free(port) for port in astuple(self.kafka)):
            state = replace(state, kafka=KafkaPorts(*ports.choose(2, rng)))
        if s3 and not all(ports.is_free(port) for port in astuple(self.s3)):
            state = replace(state, s3=S3Ports(*ports.choose(8, rng)))
        return state

    def save(self, folder: Path) -> None:
        """Write the state into the instance's folder: complete or not at all, and readable by its owner only."""
        path = folder / FILE
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps({"version": _VERSION, **asdict(self)}, indent=2) + "\n")
        new.replace(path)

    @classmethod
    def load(cls, folder: Path) -> "State | None":
        """Read the state back; None when the folder holds none. Raises LocalError when it can't be understood."""
        path = folder / FILE
        try:
            found = json.loads(path.read_text())
            if found["version"] != _VERSION:
                raise ValueError(f"version {found['version']}, this headrace knows {_VERSION}")
            if (kind := found.get("s3_kind", KINDS[0])) not in KINDS:
                raise ValueError(f"S3 server {kind!r}, this headrace knows {', '.join(KINDS)}")
            return cls(
                KafkaPorts(**found["kafka"]),
                S3Ports(**found["s3"]),
                Credentials(**found["credentials"]),
                found["cluster_id"],
                kind,
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise LocalError(
                f"can't read {path}: {error!r}. End the servers (pids in {folder / 'run'}), then remove {folder}."
            ) from error
