import pytest

from pipeline.base.errors import DataError
from pipeline.data import find


def test_it_says_what_is_at_hand(tmp_path, monkeypatch, capsys):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "01.mp4").touch()
    (tmp_path / "test_labels").mkdir()
    (tmp_path / "test_labels/01.npy").touch()
    (tmp_path / "test_masks/01").mkdir(parents=True)
    (tmp_path / "test_masks/01/0000.png").touch()
    monkeypatch.setattr("sys.argv", ["find", "demo", str(tmp_path)])
    find.main()
    assert "demo: layout 'demo' found" in capsys.readouterr().out


def test_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["find", "avenue", str(tmp_path)])
    with pytest.raises(DataError, match="avenue is not complete there"):
        find.main()
