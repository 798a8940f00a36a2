"""`python -m chaos`: break real processes for a while, and judge what the archive has then. `--soak`: does it grow?"""

import argparse
import faulthandler
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from chaos.plan import LONG, SHORT
from chaos.rig import Rig, SmallDisk
from chaos.run import Run, Settings
from chaos.soak import Soak
from chaos.soak_plot import draw
from chaos.tally import QUOTAS_OF_40_MINUTES

DRAIN_S = 240.0  # of the time asked for, what the last rounds need to heal and to be judged
IN_NAMESPACE = "HEADRACE_CHAOS_IN_NAMESPACE"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=40.0, help="how long to break things (default 40)")
    parser.add_argument("--seed", type=int, default=None, help="the seed of the fault plan (default: a random one)")
    parser.add_argument("--lanes", type=int, default=4, help="rounds that run side by side (default 4)")
    parser.add_argument("--events-per-s", type=int, default=120, help="in each lane (default 120)")
    parser.add_argument("--short", action="store_true", help="two lanes, one small round each: what CI runs")
    parser.add_argument("--enough", action="store_true", help="end when what 40 minutes must break is broken")
    parser.add_argument("--soak", action="store_true", help="one archiver that no fault ends: does it grow?")
    parser.add_argument("--plot", type=Path, default=None, help="where to draw a soak, as PNG")
    parser.add_argument("--dir", type=Path, default=None, help="where to keep logs and servers (default: a new folder)")
    return parser.parse_args()


def settings_of(asked: argparse.Namespace) -> Settings:
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    if asked.short:
        quotas = {"kills": 12, "pauses": 1, "broker restarts": 1, "S3 faults": 10, "re-creations": 2, "ENOSPC": 1}
        quotas["retention overtakes"] = 2
        return Settings(seed, 60, 2, asked.events_per_s, SHORT, (30, 50), (40, 90), quotas, rounds=1)
    share = 1.0 if asked.enough else asked.minutes / 40
    quotas = {group: int(quota * share) for group, quota in QUOTAS_OF_40_MINUTES.items()}
    seconds = max(60.0, asked.minutes * 60 - DRAIN_S)
    every = ((25, 45), (90, 150))
    return Settings(seed, seconds, asked.lanes, asked.events_per_s, LONG, *every, quotas, enough=asked.enough)


def soak(asked: argparse.Namespace, folder: Path, seed: int) -> bool:
    """Run a soak, and return whether all was archived and nothing grew."""
    rig = Rig(folder, disks=SmallDisk.possible(folder / "probe"))
    run = Soak(rig, seed=seed, seconds=asked.minutes * 60, events_per_s=asked.events_per_s)
    try:
        rig.up()
        verdict = run.run()
    finally:
        rig.down()
        if asked.plot and run.samples:
            draw(run.samples, run.faults, asked.plot)
    run.tally.end_round(verdict)
    print("\n".join(run.tally.lines()))
    growths = run.growths()
    print(f"{len(run.samples)} worker processes, {len(growths)} of them judged:")
    for growth in growths:
        print(f"  {growth}: {'flat' if growth.flat else 'GROWS'}")
    return verdict.good and bool(growths) and all(growth.flat for growth in growths)


def main() -> int:
    asked = arguments()
    settings = settings_of(asked)
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # where everything is, when it seems to hang
    folder = asked.dir or Path(tempfile.mkdtemp(prefix="headrace-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    if not os.environ.get(IN_NAMESPACE) and not SmallDisk.possible(folder / "probe") and shutil.which("unshare"):
        # A namespace in which we are root, to mount small disks; where that is not allowed either, unshare fails.
        os.environ[IN_NAMESPACE] = "1"
        again = [sys.executable, "-m", "chaos", *sys.argv[1:]]
        if os.system("unshare -Urm true 2>/dev/null") == 0:
            os.execvp("unshare", ["unshare", "-Urm", *again])
    began = time.monotonic()
    print(f"seed {settings.seed}; logs and servers in {folder}", flush=True)
    if asked.soak:
        good = soak(asked, folder, settings.seed)
        print("the soak is flat" if good else "FAILED: see above")
        return 0 if good else 1
    run = Run(settings, folder, lambda line: print(line, flush=True))
    good = run.run()
    for problem in run.problems:
        print(f"FAILED: {problem}", flush=True)
    print(f"seed {settings.seed}, {(time.monotonic() - began) / 60:.1f} minutes")
    print("\n".join(run.tally.lines()), flush=True)
    if good and asked.dir is None:
        shutil.rmtree(folder, ignore_errors=True)
    if any(thread.daemon and thread.name.startswith("lane") for thread in threading.enumerate()):
        os._exit(1)  # a lane hangs; its processes were ended
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
