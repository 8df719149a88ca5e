"""Each file of tests in a process of its own, forked from a pytest worker that has imported everything and run nothing.

The engines never give back all that a file has compiled: it goes when the file's process ends. A fork takes a few
hundredths of a second, a new worker 12 s of imports. Only workers of pytest-xdist on Linux do it: pytest alone runs
all tests in itself, where a debugger is of use, and forks of other systems' frameworks crash.
"""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

import pytest
from helpers import fork_server


def share(item: pytest.Item) -> object:
    """Equal for the tests of one process: a file, or a test alone."""
    return item.nodeid if item.get_closest_marker("alone") else item.path


class FileProcesses:
    """The plugin of a worker: sends each test to its file's process, and replays here what that reports."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.process: Any = None
        self.pipe: Any = None

    def pytest_collection_finish(self) -> None:
        """Makes what all files share, and sees that nothing has run: a thread that TensorFlow has is not in a fork."""
        context = sys.modules.get("tensorflow.python.eager.context")
        if context is not None and context._context is not None and context._context._initialized:
            raise pytest.UsageError("a file of tests runs TensorFlow while it is imported; do that in a test")
        self.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # made anew by who asks first
        capture = self.config.pluginmanager.getplugin("capturemanager")
        capture.resume_global_capture()
        fork_server()
        forkserver.ensure_running()  # for the commands of all files; it says what TensorFlow says when imported
        capture.suspend_global_capture()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        self.config.hook.pytest_timeout_cancel_timer(item=item)  # the file's process has the clock
        following = nextitem if nextitem is not None and share(item) == share(nextitem) else None
        if self.process is None:
            self._start(item.session)
        try:
            self.pipe.send((item.nodeid, following and following.nodeid))
            while (sent := self.pipe.recv()) is not None:
                self._replay(*sent)
        except (EOFError, OSError):
            self.process.join()
            text = f"the process of {item.path.name} ended with {self.process.exitcode}"
            report = pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")
            self.config.hook.pytest_runtest_logreport(report=report)
            following = None
        if following is None:
            self._end()
        return True

    def pytest_sessionfinish(self) -> None:
        if self.process is not None:  # the session stops in the middle of a file
            self._end()

    def _start(self, session: pytest.Session) -> None:
        forks = multiprocessing.get_context("fork")
        self.pipe, theirs = forks.Pipe()
        self.process = forks.Process(target=self._serve, args=(session, theirs))
        with warnings.catch_warnings():  # of JAX and of Python 3.12, about threads: here one waits for xdist's messages
            warnings.simplefilter("ignore")
            self.process.start()
        theirs.close()

    def _end(self) -> None:
        self.pipe.close()
        self.process.join()
        self.process = self.pipe = None

    def _replay(self, hook: str, arguments: dict[str, Any]) -> None:
        if "report" in arguments:
            data = arguments["report"]
            arguments["report"] = self.config.hook.pytest_report_from_serializable(config=self.config, data=data)
        getattr(self.config.hook, hook)(**arguments)

    def _serve(self, session: pytest.Session, pipe: Connection) -> None:
        """The file's process: runs the tests that it is sent until the worker closes the pipe."""
        self.pipe.close()
        forkserver._forkserver.ensure_running = lambda: None  # type: ignore[attr-defined]  # the worker's child
        plugins = self.config.pluginmanager
        for plugin in plugins.get_plugins():
            if plugin is self or type(plugin).__name__ == "WorkerInteractor":  # which has xdist's channel
                plugins.unregister(plugin)
        plugins.register(Relay(self.config, pipe))
        items = {item.nodeid: item for item in session.items}
        while True:
            try:
                name, following = pipe.recv()
            except EOFError:
                return
            self.config.hook.pytest_runtest_protocol(item=items[name], nextitem=items.get(following))
            pipe.send(None)


class Relay:
    """The plugin of a file's process: sends the worker what pytest reports."""

    def __init__(self, config: pytest.Config, pipe: Connection) -> None:
        self.config = config
        self.pipe = pipe

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self.pipe.send(("pytest_runtest_logstart", {"nodeid": nodeid, "location": location}))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.pipe.send(("pytest_runtest_logreport", {"report": data}))

    def pytest_runtest_logfinish(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self.pipe.send(("pytest_runtest_logfinish", {"nodeid": nodeid, "location": location}))

    def pytest_warning_recorded(
        self,
        warning_message: warnings.WarningMessage,
        when: str,
        nodeid: str,
        location: tuple[str, int, str] | None,
    ) -> None:
        warning_message.source = None  # an object of this process
        arguments = {"warning_message": warning_message, "when": when, "nodeid": nodeid, "location": location}
        self.pipe.send(("pytest_warning_recorded", arguments))
