"""From when on something is wrong."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on `--check` speaks up. Seconds.

    behind_warning_s, behind_critical_s: age of the first unarchived record. loss_critical_s: less than that to
    the deletion of unarchived records is critical, whatever the speed of the archive. transaction_s: how long a
    transaction may stay open. quarantined_share: the part of a partition's records that may fail to decode.
    drop_warning_s, drop_critical_s: less than that until a producer's queue drops events. account_s: a session's
    account of itself that is older says nothing about now; of one that still had events in memory it is a warning.
    """

    behind_warning_s: float = 600.0
    behind_critical_s: float = 3600.0
    loss_critical_s: float = 3600.0
    transaction_s: float = 900.0
    quarantined_share: float = 0.01
    drop_warning_s: float = 3600.0
    drop_critical_s: float = 600.0
    account_s: float = 300.0
