"""What `Instance.status` answers."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ServerStatus:
    """One server: its name (`kafka`, `s3`), its pid (None: no process), whether it answers requests, its address."""

    name: str
    pid: int | None
    answers: bool
    address: str


@dataclass(frozen=True)
class Status:
    """An instance: its folder and its servers; none when there is no instance in the folder."""

    folder: str
    servers: tuple[ServerStatus, ...]

    @property
    def running(self) -> bool:
        """Whether every server has a process and answers."""
        return bool(self.servers) and all(each.answers for each in self.servers)

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {"running": self.running, **asdict(self)}
