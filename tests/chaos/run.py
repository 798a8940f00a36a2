"""A whole chaos run: lanes side by side, with a broker and a disk that fail meanwhile, until the time is over."""

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos.lane import Lane
from chaos.plan import Intensity, broker_faults, disk_faults, plan_round
from chaos.rig import Rig, SmallDisk
from chaos.tally import GROUPS, Tally

JOIN_S = 2400.0
DISK_FULL_S_MAX = 20.0


@dataclass(frozen=True)
class Settings:
    """What a run is. `seconds`: no round and no step begins later. `rounds`: or so many rounds in each lane."""

    seed: int
    seconds: float
    lanes: int
    events_per_s: int
    intensity: Intensity
    broker_pause_s: tuple[float, float]
    disk_pause_s: tuple[float, float]
    quotas: Mapping[str, int]
    rounds: int | None = None
    enough: bool = False  # end as soon as the quotas are met


class Run:
    """Runs once, in a folder. `say(line)` hears of progress."""

    def __init__(self, settings: Settings, folder: Path, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.tally = Tally()
        self.problems: list[str] = []
        self._folder = folder
        self._say = say
        self._began = time.monotonic()
        self._stop = threading.Event()  # no new steps
        self._abort = threading.Event()  # something is wrong: leave everything
        self._over = threading.Event()  # no broker and disk faults any more

    def run(self) -> bool:
        """Return whether all is as it must be; `problems` says what is not."""
        disks = SmallDisk.possible(self._folder / "probe")
        if not disks:
            self._say("nobody may mount a tmpfs here, so no disk gets full")
        rig = Rig(self._folder, disks=disks)
        try:
            rig.up()
            self._break(rig, disks)
        finally:
            rig.down()
        left = self.tally.missing({g: q for g, q in self.settings.quotas.items() if disks or g != "ENOSPC"})
        if left and not self.problems:
            self.problems.append(f"not enough was broken: {', '.join(f'{n} {what}' for what, n in left.items())} to go")
        return not self.problems

    def _break(self, rig: Rig, disks: bool) -> None:
        settings = self.settings
        lanes = [
            Lane(rig, n, self.tally, self._abort, events_per_s=settings.events_per_s, on_tmp_disk=disks and n == 0)
            for n in range(settings.lanes)
        ]
        threads = [
            threading.Thread(
                target=self._guard, args=(self._rounds, lane, n, disks and n == 0), name=f"lane-{n}", daemon=True
            )
            for n, lane in enumerate(lanes)
        ]
        others = [threading.Thread(target=self._guard, args=(self._break_broker, rig), name="broker", daemon=True)]
        if disks:
            others.append(threading.Thread(target=self._guard, args=(self._fill, rig, lanes), name="disk", daemon=True))
        for thread in (*threads, *others):
            thread.start()
        deadline = self._began + settings.seconds
        while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline + JOIN_S:
            threads[0].join(1)
            time_over = time.monotonic() > deadline
            met = settings.enough and not self.tally.missing(settings.quotas)
            if (time_over and settings.rounds is None) or met or self.problems:
                self._stop.set()
            if self.problems:
                break
        else:
            if any(thread.is_alive() for thread in threads):
                self.problems.append(f"lanes did not end in {JOIN_S} s: {[lane.doing for lane in lanes]}")
        if self.problems:
            self._abort.set()
        self._over.set()
        for thread in (*threads, *others):
            thread.join(120)

    def _guard(self, target: Callable[..., None], *arguments: object) -> None:
        try:
            target(*arguments)
        except BaseException as error:  # noqa: BLE001 - a thread's error must end the run, not the thread alone
            if not self._abort.is_set():
                self.problems.append(f"{type(error).__name__}: {error}")
            self._stop.set()
            self._abort.set()

    def _rounds(self, lane: Lane, number: int, tmp_full: bool) -> None:
        with lane.proxy:
            for n in itertools.count():
                if self._stop.is_set() or n == self.settings.rounds:
                    return
                plan = plan_round(self.settings.seed, number, n, self.settings.intensity, tmp_full=tmp_full)
                verdict = lane.run(plan, self._stop)
                self.tally.end_round(verdict)
                self._say(
                    f"{time.monotonic() - self._began:5.0f} s  lane {number} round {n}: "
                    f"{verdict.acknowledged:,} events, {verdict.lost + verdict.wrong} lost, "
                    f"{verdict.duplicated} duplicated, gaps {verdict.gaps_recorded} of {verdict.gaps_injected}; "
                    f"so far {', '.join(f'{self.tally.total(group)} {group}' for group in GROUPS)}"
                )

    def _break_broker(self, rig: Rig) -> None:
        took_s = 0.0
        for pause_s, how in broker_faults(self.settings.seed, self.settings.broker_pause_s):
            if self._over.wait(max(pause_s, took_s)):
                return
            began = time.monotonic()
            rig.break_broker(how)
            took_s = time.monotonic() - began  # on a busy machine it would hardly ever be up otherwise
            self.tally.add("broker restarts", "after kill -9" if how == "kill" else "in the proper way")

    def _fill(self, rig: Rig, lanes: list[Lane]) -> None:
        assert rig.store_disk is not None
        for pause_s, seconds in disk_faults(self.settings.seed, self.settings.disk_pause_s):
            if self._over.wait(pause_s):
                return
            before = sum(lane.proxy.server_errors for lane in lanes)
            with rig.store_disk.full():
                # Longer only until the store has refused something: it looks for itself each minute whether its disk
                # is full, and refuses everything until it looks again.
                until = time.monotonic() + DISK_FULL_S_MAX
                while not self._over.wait(seconds) and time.monotonic() < until:
                    if sum(lane.proxy.server_errors for lane in lanes) > before:
                        break
            # Its key-value store writes nothing more after an error until it is opened again, whatever is free by then.
            rig.instance.restart_s3()
            if sum(lane.proxy.server_errors for lane in lanes) > before:
                self.tally.add("ENOSPC", "store's disk")
