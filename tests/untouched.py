"""A fixture of the tests and of the slow ones."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_data_of_this_machine(tmp_path_factory):
    """What a user of this machine downloaded or built is not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENSHIFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("GENSHIFT_DATA", raising=False)
        yield
