"""What the verbs are given."""

import pytest

from tools import cli, engine, hypervisor
from tools.hypervisor import Hypervisor
from tools.steps import StepError


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["snapshot"], "snapshot takes NAME, and was given nothing"),
        (["restore", "a", "b"], "restore takes NAME, and was given a b"),
        (["clone", "a"], "clone takes NAME TO, and was given a"),
        (["rotate", "--yes", "a", "b"], "rotate takes one NAME or none, and was given a b"),
    ],
)
def test_a_verb_with_other_names_than_it_takes_says_which(words: list[str], told: str) -> None:
    with pytest.raises(StepError) as error:
        cli.main(words)
    assert str(error.value) == told


def test_what_asks_the_lab_has_time_to_tidy_up_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for as an engine is, and nothing goes on afterwards."""
    monkeypatch.setattr(engine, "wait", lambda *_: engine.INTERRUPTED)
    monkeypatch.setattr(hypervisor, "known", lambda: Hypervisor("test:///default", "pool", "qemu", "space"))
    monkeypatch.setattr(Hypervisor, "entered", lambda _: False)
    monkeypatch.setattr(Hypervisor, "command", lambda _, words: words)
    with pytest.raises(KeyboardInterrupt):
        cli.main(["verify", "--instance"])
