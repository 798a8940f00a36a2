"""What names an alert."""

from headrace.monitor.transition import Transition, fingerprint


def transition(**labels: str) -> Transition:
    return Transition("rule", "firing", labels, 1.0, "page", "", "", 0, 1, 1)


def test_an_alert_is_named_by_its_rule_and_labels_in_any_order() -> None:
    """The name holds over restarts and versions: it is fixed here, digit by digit."""
    assert transition(a="1", b="2").fingerprint == transition(b="2", a="1").fingerprint == "9d43e6d16661ae20"


def test_labels_that_only_look_alike_are_other_alerts() -> None:
    """Neither the split between name and value, nor between rule and label, can be shifted."""
    names = {fingerprint(rule, labels) for rule, labels in [("r", {}), ("r", {"a": "b"}), ("ra", {"": "b"})]}
    assert len(names | {fingerprint("r", {"ab": ""}), fingerprint("r", {"a": 'b","c'})}) == 5
