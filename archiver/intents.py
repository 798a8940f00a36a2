"""How a rewrite that will not come is ended: by an entry, never by a clock.

The entry is a `rewrite` that removes and adds nothing. After it the one that was under way is fenced, should its writer
still live, and what it uploaded is garbage.
"""

from .commit_log import CommitLog, Fenced
from .log_entries import Entry


class IntentUnknown(Exception):
    """The log has no such open intent. The message says which there are."""


def abandon(log: CommitLog, intent: str, *, writer: str, at: str, entry_id: str) -> Entry:
    """End an open intent. Raises IntentUnknown, also when another ended it first, and what the log raises."""
    state = log.refresh()
    if intent not in state.intents:
        known = ", ".join(f"{each.entry_id} (entry {each.seq})" for each in state.intents.values()) or "none"
        raise IntentUnknown(f"the log of {log.topic} has no open intent {intent!r}; it has {known}")
    entry = Entry(
        kind="rewrite",
        topic=log.topic,
        cluster_id=state.cluster_id,
        entry_id=entry_id,
        writer=writer,
        at=at,
        topic_id=state.topic_id,
        details={"intent": intent, "removes": [], "lineages": {}},
    )
    outcome = log.append(entry)
    if isinstance(outcome, Fenced):
        raise IntentUnknown(f"the intent {intent!r} of {log.topic} was ended by another just now: {outcome.reason}")
    return outcome.entry
