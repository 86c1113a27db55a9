"""Serving on an address: taken ports in one line, and a clean stop in a process of its own."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tastemaker.errors import InputError
from tastemaker.server import address, bind, serve
from tastemaker.server.run import local

SERVE = """
import sys
sys.path.insert(0, sys.argv[1])
from server_fake import FakeService
from tastemaker.server import serve
serve(FakeService(), port=0, announce=lambda url: print(url, flush=True))
"""


def test_a_taken_port_is_one_line_with_a_remedy() -> None:
    with bind(port=0) as held:
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(
            InputError, match=rf"^port {port} on 127.0.0.1 is already taken; .* --port {port + 1}$"
        ):
            serve(None, port=port)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 70_000, "port 70000 does not exist; .*--port"),
        ("127.0.0.1", -1, "port -1 does not exist; .*--port"),
        ("no.such.host.invalid", 0, "cannot be found .*--host"),
        ("192.0.2.1", 0, "cannot serve on 192.0.2.1:0: .*--host"),
    ],
)
def test_an_impossible_address_is_told(host: str, port: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bind(host, port)


def test_the_printed_address_is_one_a_browser_takes() -> None:
    with bind(port=0) as held:
        assert address(held) == f"http://127.0.0.1:{held.getsockname()[1]}"
        assert local(held)
    with bind("0.0.0.0", 0) as held:
        assert address(held).startswith("http://127.0.0.1:") and not local(held)
    if socket.has_ipv6:
        try:
            held = bind("::1", 0)
        except InputError:
            return
        with held:
            assert address(held).startswith("http://[::1]:")


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_who_hangs_up_and_a_signal_leave_no_traceback(kind: signal.Signals) -> None:
    command = [sys.executable, "-c", SERVE, str(Path(__file__).parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    stack = contextlib.ExitStack()
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}/health/ready", timeout=60) as response:
            assert json.load(response)["ready"]
        host, port = url.removeprefix("http://").split(":")
        half = f"POST /events HTTP/1.1\r\nHost: {host}\r\nContent-Length: 20\r\n\r\n{{".encode()
        with socket.create_connection((host, int(port))) as gone:
            gone.sendall(half)
        waiting = stack.enter_context(socket.create_connection((host, int(port))))
        waiting.sendall(half)
        with urllib.request.urlopen(f"{url}/info", timeout=60) as response:
            assert response.status == 200
        process.send_signal(kind)
        _, errors = process.communicate(timeout=60)
        assert errors == ""
        assert process.returncode in (0, -kind)
    finally:
        stack.close()
        process.kill()
        process.communicate()


def test_the_server_imports_no_model_library() -> None:
    code = (
        "import sys, tastemaker.server; print(sorted({'torch', 'transformers', 'sklearn', 'matplotlib'} &"
        " set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
