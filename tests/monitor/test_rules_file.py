"""What a rules file may say, and what is said about one that may not."""

from pathlib import Path

import pytest

from headrace.monitor.rules import Change, Drop, FirstSeen, Threshold
from headrace.monitor.rules_file import READY, RulesWrong, read_rules


def wrong(tmp_path: Path, text: str) -> str:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(RulesWrong) as caught:
        read_rules(path)
    return str(caught.value).replace(str(path), "FILE")


def test_the_ready_rules_can_be_run() -> None:
    """The five that are brought: each has a runbook, words for people, and a condition of its kind."""
    rules = {each.name: each for each in read_rules(READY)}
    assert {name: type(each.condition) for name, each in rules.items()} == {
        "failed_logins": Threshold,
        "feed_loads": Drop,
        "error_rate": Change,
        "new_error": FirstSeen,
        "pin_rate": Change,
    }
    assert all(each.runbook.endswith(f"#{name}") and each.about and each.message for name, each in rules.items())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "FILE: there is no rule in it; each begins with [rule.NAME]"),
        ("[rules.a]\n", "FILE: there is no section [rules]; rules are written below [rule.NAME]"),
        ("rule = 3\n", "FILE:1: a rule is written as a section of its own: [rule.NAME]"),
        ("[rule.a\n", "FILE is no TOML"),
        ("[rule.a]\nabove = 1\n", "FILE:1: rule a: type is missing: which events it looks at. Types are alert, audit"),
        (
            '[rule.a]\ntype = "logn"\nabove = 1\n',
            "FILE:2: rule a: there is no event type 'logn'; types are alert, audit",
        ),
        ('[rule.a]\ntype = "pin"\nwindw = "1m"\n', "FILE:3: rule a: there is no key 'windw'; did you mean window?"),
        ('[rule.a]\ntype = "pin"\nwindow = 60\n', "FILE:3: rule a: window is 60, and must be a length of time such as"),
        ('[rule.a]\ntype = "pin"\nabove = nan\n', "FILE:3: rule a: above is nan, and must be a number"),
        ('[rule.a]\ntype = "pin"\n', "FILE:1: rule a: it must have one condition, and has none: above, below"),
        (
            '[rule.a]\ntype = "pin"\nabove = 1\ndrop = {from_at_least = 1}\n',
            "FILE:4: rule a: it must have one condition, and has above and drop",
        ),
        (
            '[rule.a]\ntype = "pin"\nwindow = "1m"\nhop = "7s"\nabove = 1\n',
            "FILE:4: rule a: hop must divide window without a rest",
        ),
        (
            '[rule.a]\ntype = "login"\nwhere = { succes = false }\nabove = 1\n',
            "FILE:3: rule a: where: login has no field 'succes'; did you mean success?",
        ),
        (
            '[rule.a]\ntype = "login"\nwhere = { success = "no" }\nabove = 1\n',
            "FILE:3: rule a: where: success is true or false, and never 'no'",
        ),
        (
            '[rule.a]\ntype = "login"\nwhere = { method = "MAGIC" }\nabove = 1\n',
            "FILE:3: rule a: where: method cannot be 'MAGIC'; it is one of UNKNOWN, PASSWORD",
        ),
        (
            '[rule.a]\ntype = "login"\ngroup_by = ["metod"]\nabove = 1\n',
            "FILE:3: rule a: group_by: login has no field 'metod'; did you mean method?",
        ),
        (
            '[rule.a]\ntype = "login"\nmessage = "{user_id}"\nabove = 1\n',
            "FILE:3: rule a: message has {user_id}: placeholders are {expected_high}",
        ),
        (
            '[rule.a]\ntype = "login"\nmessage = "{value.__class__}"\nabove = 1\n',
            "FILE:3: rule a: message has {value.__class__}: placeholders are",
        ),
        (
            '[rule.a]\ntype = "login"\nmeasure = "distinct"\nabove = 1\n',
            'FILE:3: rule a: measure = "distinct" and field (whose values are counted) belong together',
        ),
        ('[rule.a]\ntype = "pin"\nmeasure = "ratio"\nabove = 1\n', "FILE:3: rule a: a ratio needs where"),
        ('[rule.a]\ntype = "pin"\nfirst_seen = {}\n', "FILE:3: rule a: first_seen needs group_by"),
        (
            '[rule.a]\ntype = "pin"\nchange = { days = 2, days_min = 3 }\n',
            "FILE:3: rule a: change needs days_min = 3 days, and remembers only 2",
        ),
        (
            '[rule.a]\ntype = "pin"\nseverity = "loud"\nabove = 1\n',
            "FILE:3: rule a: severity is 'loud', and must be one of info, warning, page",
        ),
        (
            '[rule.a]\ntype = "pin"\nchange = { sigmas = 2 }\n',
            "FILE:3: rule a: change is a dict, and has no 'sigmas': it takes direction, deviations",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_line_rule_key_and_what_is_allowed(
    tmp_path: Path, text: str, said: str
) -> None:
    """A person can mend the rule from the message alone."""
    assert wrong(tmp_path, text).startswith(said)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """Two rules with a mistake each are two lines."""
    text = '[rule.a]\ntype = "pin"\nabov = 1\n[rule.b]\ntype = "pin"\nabove = "x"\n'
    assert [line[:7] for line in wrong(tmp_path, text).splitlines()] == ["FILE:3:", "FILE:6:"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, no text, too large: said as such."""
    with pytest.raises(RulesWrong, match=r"cannot read the rules in .*no\.toml: No such file"):
        read_rules(tmp_path / "no.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RulesWrong, match="no text in UTF-8"):
        read_rules(tmp_path / "b.toml")


def test_another_definition_is_another_rule(tmp_path: Path) -> None:
    """What decides the numbers is in the definition; words and severity are not."""

    def definition(more: str) -> str:
        path = tmp_path / "rules.toml"
        path.write_text(f'[rule.a]\ntype = "pin"\nabove = 1\n{more}\n')
        return read_rules(path)[0].definition

    same = {definition(""), definition('severity = "page"'), definition('message = "x"'), definition('for = "1m"')}
    others = {definition('window = "2m"'), definition('hop = "30s"'), definition('where = { action = "SAVE" }')}
    assert (len(same), len(others | same)) == (1, 4)
