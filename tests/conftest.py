"""What holds for every test: its own state directory, and no quiet skips where none are allowed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the state and the settings of whoever runs the tests."""
    home = tmp_path_factory.mktemp("qvirt")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("QVIRT_")]:
            patch.delenv(name)
        patch.setenv("QVIRT_HOME", str(home / "state"))
        patch.setenv("QVIRT_CONFIG", str(home / "qvirt.toml"))
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With ``QVIRT_ALLOWED_SKIPS`` set, a skip whose reason has none of its comma-separated words fails."""
    allowed = os.environ.get("QVIRT_ALLOWED_SKIPS")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if allowed is None or reporter is None:
        return
    words = [word for word in allowed.split(",") if word]
    unwanted = [
        skip
        for skip in reporter.stats.get("skipped", [])
        if not any(word in str(skip.longrepr) for word in words)
    ]
    if unwanted:
        reporter.write_line(f"\n{len(unwanted)} skipped for a reason that is not allowed here", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
