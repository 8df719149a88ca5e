"""Numbers in sentences."""

from sle_gan.errors import counted


def test_one_is_singular() -> None:
    assert [counted(n, "picture") for n in (0, 1, 2, 1360)] == [
        "0 pictures",
        "1 picture",
        "2 pictures",
        "1,360 pictures",
    ]
    assert counted(2, "copy", "copies") == "2 copies"
