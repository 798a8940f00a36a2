"""Free TCP ports on 127.0.0.1 for servers that must find the same port again after a restart."""

import random
import socket

# Below the ranges from which Linux (32768 up) and macOS (49152 up) take ports for outgoing connections. A port from
# those ranges can be lost while its server is down: a client that keeps reconnecting may be given that very port and
# connect to itself, and the server then can't listen any more.
_FIRST, _LAST = 15_000, 32_000


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def answers(port: int, timeout_s: float = 0.2) -> bool:
    """Say whether something accepts connections on this port of 127.0.0.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s):
            return True
    except OSError:
        return False


def choose(count: int, rng: random.Random) -> list[int]:
    """Return `count` different free ports, drawn at random so that instances starting together rarely meet."""
    chosen: list[int] = []
    for port in rng.sample(range(_FIRST, _LAST), _LAST - _FIRST):
        if len(chosen) == count:
            break
        if is_free(port):
            chosen.append(port)
    return chosen
