"""Which cases of a test the default tier runs."""

from __future__ import annotations

import pytest
from support.tiers import late_unless, leave_few


class Item:
    """What the collection asks of a case."""

    def __init__(self, name: str, *marks: pytest.MarkDecorator) -> None:
        self.nodeid, self.marks = name, [mark.mark for mark in marks]

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return next((mark for mark in self.marks if mark.name == name), None)

    def add_marker(self, mark: pytest.MarkDecorator) -> None:
        self.marks.append(mark.mark)

    @property
    def late(self) -> bool:
        return self.get_closest_marker("slow") is not None


@pytest.mark.parametrize(("cases", "count", "now"), [(10, 2, [0, 5]), (3, 1, [0]), (2, 5, [0, 1]), (5, 3, [0, 2, 3])])
def test_few_cases_stay_evenly_spaced(cases: int, count: int, now: list[int]) -> None:
    items = [Item(f"a.py::test[{i}]", pytest.mark.few(count)) for i in range(cases)]
    others = [Item("a.py::other[0]"), Item("a.py::other[1]")]
    leave_few([*items, *others])
    assert [i for i, item in enumerate(items) if not item.late] == now
    assert not any(item.late for item in others)


def test_what_is_slow_by_itself_takes_no_place_of_the_few() -> None:
    items = [Item("a.py::test[0]", pytest.mark.few(1), pytest.mark.slow), Item("a.py::test[1]", pytest.mark.few(1))]
    leave_few(items)
    assert [item.late for item in items] == [True, False]


def test_cases_are_late_unless_they_are_named() -> None:
    first, second = late_unless(["a"], ["a", "b"])
    assert (list(first.marks), [mark.name for mark in second.marks]) == ([], ["slow"])
    with pytest.raises(AssertionError, match="nothing is left"):
        late_unless([], ["a"])
