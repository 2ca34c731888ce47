"""What many tests share: the bundled checkpoint, loaded once; the bundled voices; a workspace of one's own."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Two processes that fill numba's cache at once can find each other's machine code under the name of their own.
if "PYTEST_XDIST_WORKER" in os.environ:
    caches = Path(__file__).parent.parent / ".pytest_cache" / "numba"
    os.environ["NUMBA_CACHE_DIR"] = str(caches / os.environ["PYTEST_XDIST_WORKER"])

import pytest
from hypothesis import settings

from studio.checkpoints import CHECKPOINTS
from studio.voice_library import VoiceLibrary
from studio.workspace import Workspace

if TYPE_CHECKING:
    from studio.engine.local import LocalEngine

ROOT = Path(__file__).parent.parent

# The same examples on every machine, and no folder left behind.
settings.register_profile("studio", deadline=None, derandomize=True, database=None)
settings.load_profile("studio")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes share the tests: each file stays together, and one of them has studio and browser."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", maxsplit=1)[0]
            return "tests/browser" if file.startswith("tests/browser/") else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def engine() -> "LocalEngine":
    from studio.engine.local import LocalEngine  # torch takes seconds to import; most tests need not wait for it

    return LocalEngine.load(CHECKPOINTS["mini"], device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> VoiceLibrary:
    return VoiceLibrary(ROOT / "assets" / "voices", Workspace(tmp_path_factory.mktemp("own-voices")))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Many small operations: a second thread helps little, and hurts where the other core is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
