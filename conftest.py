"""What every test, and every example in the documentation, runs with."""

import os

import pytest

os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(autouse=True, scope="session")
def tutorial_cache(tmp_path_factory):
    """Keep the tutorial fields of a test run out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XSCAT_CACHE_DIR", str(folder))
        yield folder
