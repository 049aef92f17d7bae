"""The fuzzing can fail: an answer that the contract does not show is a finding, and so is a key that gets its way."""

import pytest

from bench.fuzz.answers import check_admission


@pytest.mark.parametrize(
    ("role", "status", "fine"),
    [
        ("pos", 201, True),
        ("pos", 409, True),
        ("pos", 403, False),
        ("pos", 401, False),
        ("privacy", 403, True),
        ("privacy", 201, False),
        ("privacy", 422, False),
        ("privacy", 401, False),
        (None, 401, True),
        (None, 403, False),
        (None, 200, False),
        (None, 404, True),
    ],
)
def test_a_key_may_do_what_its_role_may(role: str | None, status: int, fine: bool) -> None:
    if fine:
        check_admission("accruals:write", role, status)
    else:
        with pytest.raises(AssertionError):
            check_admission("accruals:write", role, status)
