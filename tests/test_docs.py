"""The documentation names all that is public."""

import re
from pathlib import Path

import pytest

import xscat

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "api.md").read_text()


@pytest.mark.parametrize("name", xscat.__all__)
def test_every_public_name_is_in_the_reference(name):
    assert re.search(rf"^\.\. auto\w+:: (xscat\.)?{name}$", PAGE, re.MULTILINE)
