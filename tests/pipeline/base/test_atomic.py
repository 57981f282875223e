"""Files that are read and written whole."""

import pytest

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.base.files import read_json


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\xff"])
def test_damaged_json_is_said_with_a_remedy(tmp_path, text):
    path = tmp_path / "some.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"some\.json.*; mend it"):
        read_json(path, "", "mend it")


def test_json_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigurationError, match="not found; make it"):
        read_json(tmp_path / "no.json", "; make it", "mend it")
    (tmp_path / "is.json").write_text('{"a": 1}')
    assert read_json(tmp_path / "is.json", "", "") == {"a": 1}
