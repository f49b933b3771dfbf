"""Labels: movable names of versions, moved by compare-and-set; where each has stood stays known."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mallcore import attachments
from mallcore.errors import (
    ContentErased,
    InvalidInput,
    LabelMoved,
    UnknownAttachment,
    UnknownLabel,
    UnknownVersion,
)
from tests.attachments.storehouse import Storehouse


def three(house: Storehouse) -> str:
    """An attachment of three versions, `live` at the third."""
    first = house.put(b"1")
    for content in (b"2", b"3"):
        house.put(content, attachment=first.attachment)
    return first.attachment


def test_a_label_moves_only_from_where_it_is_expected(house: Storehouse) -> None:
    """With `expect` a move is a compare-and-set; 0 stands for nowhere, and nothing for anywhere."""
    id = three(house)
    made = house.do("set_label", attachment=id, label="draft", to=1, expect=0)
    assert (made.n, made.ref) == (1, f"{id}@1")
    for wrong in (0, 2, 3):
        with pytest.raises(LabelMoved) as refused:
            house.do("set_label", attachment=id, label="draft", to=3, expect=wrong)
        assert refused.value.details["actual"] == 1
    assert house.do("set_label", attachment=id, label="draft", to=3, expect=1).n == 3
    assert house.do("set_label", attachment=id, label="draft", to=2).n == 2
    assert house.do("get_attachment", attachment=id).labels == {"live": 3, "draft": 2}
    assert house.read(f"{id}@draft") == b"2"


def test_an_upload_moves_its_label_only_from_where_it_is_expected(house: Storehouse) -> None:
    """Whoever replaces what they have seen does not replace what somebody else has put there since."""
    id = three(house)
    assert house.put(b"4", attachment=id, expect=3).n == 4
    with pytest.raises(LabelMoved):
        house.put(b"5", attachment=id, expect=3)
    assert house.do("get_attachment", attachment=id).head == 4


def test_of_two_writers_of_one_label_one_wins(house: Storehouse) -> None:
    """Many who move a label from the same place: one does, and the others learn where it stands."""
    id = three(house)

    def move(number: int) -> str:
        try:
            house.do("set_label", attachment=id, label="live", to=number % 2 + 1, expect=3)
        except LabelMoved:
            return "refused"
        return "moved"

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(move, range(6))) == ["moved"] + ["refused"] * 5
    assert len(house.do("label_history", attachment=id, label="live").items) == 4


def test_of_two_uploads_to_one_attachment_both_are_versions(house: Storehouse) -> None:
    """Versions are numbered without a gap, however many write at once."""
    id = three(house)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda number: house.put(b"at once %d" % number, attachment=id), range(4)))
    assert sorted(one.n for one in made) == [4, 5, 6, 7]
    house.check(*made)


def test_where_a_label_has_stood_stays_known(house: Storehouse) -> None:
    """Each move is listed with its author, taking it away too; a move to where it stands is none."""
    id = three(house)
    house.do("set_label", attachment=id, label="live", to=3)
    house.do("set_label", attachment=id, label="live", to=1)
    house.do("remove_label", attachment=id, label="live", expect=1)
    house.do("set_label", attachment=id, label="live", to=2, expect=0)
    moves = house.do("label_history", attachment=id, label="live").items
    assert [one.n for one in moves] == [2, None, 1, 3, 2, 1]
    assert [one.number for one in moves] == [6, 5, 4, 3, 2, 1]
    assert {one.by for one in moves} == {"system:test"}


def test_a_label_that_is_taken_away_names_nothing(house: Storehouse) -> None:
    """Its versions stay."""
    id = three(house)
    with pytest.raises(LabelMoved):
        house.do("remove_label", attachment=id, label="live", expect=1)
    house.do("remove_label", attachment=id, label="live")
    for call in (
        lambda: house.do("get_version", version=id),
        lambda: house.read(f"{id}@live"),
        lambda: house.do("remove_label", attachment=id, label="live"),
    ):
        with pytest.raises(UnknownLabel):
            call()
    assert house.read(f"{id}@3") == b"3"


WRONG: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "a number": ({"label": "3"}, InvalidInput),
    "a digest": ({"label": "sha256:ab"}, InvalidInput),
    "capitals": ({"label": "Live"}, InvalidInput),
    "a path": ({"label": "../live"}, InvalidInput),
    "a null byte": ({"label": "li\0ve"}, InvalidInput),
    "nothing": ({"label": ""}, InvalidInput),
    "too long": ({"label": "a" * 41}, InvalidInput),
    "an unknown version": ({"to": 9}, UnknownVersion),
    "no version": ({"to": 0}, InvalidInput),
    "a huge version": ({"to": 10**30}, InvalidInput),
    "an unknown attachment": ({"attachment": f"att_{0:032x}"}, UnknownAttachment),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_label_that_can_not_be_is_refused(house: Storehouse, case: str) -> None:
    """A label has a name that is no number, and stands at a version that is there."""
    id = three(house)
    given, error = WRONG[case]
    with pytest.raises(error):
        house.do("set_label", **{"attachment": id, "label": "draft", "to": 1, **given})
    assert house.do("get_attachment", attachment=id).labels == {"live": 3}


def test_a_label_does_not_stand_at_what_was_dropped(house: Storehouse) -> None:
    """Nothing shows a version whose content is gone."""
    id = three(house)
    house.do("drop_version", version=f"{id}@1")
    with pytest.raises(ContentErased):
        house.do("set_label", attachment=id, label="live", to=1)


def test_labels_need_the_right_to_write(house: Storehouse) -> None:
    """All that moves a label asks for the same permission."""
    names = ("set_label", "remove_label", "restore_version", "upload_file", "attach")
    kinds = {getattr(attachments, name).operation.permission for name in names}
    assert kinds == {"attachments.write"}
