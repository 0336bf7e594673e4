"""Programs that use urgent data, plain and through the proxy: FTP's ABOR and telnet's interrupt."""

from __future__ import annotations

import contextlib
import ftplib
import socket
import subprocess
import threading

import pytest

from tests.support.needs import find_program
from tests.support.proxy import running_proxy
from tests.support.scale import patience, scaled
from tests.support.servers import free_port, serving
from tests.support.sockets import receive

pytestmark = [pytest.mark.root, pytest.mark.bpf]

WAYS = {"plain": None, "auto": [], "eager": ["--eager"], "relay": ["--relay"]}
SIZE = 50 << 20  # bytes of the file, more than a connection can hold
IAC, INTERRUPT, DATA_MARK = b"\xff", b"\xf4", b"\xf2"
REFUSALS = {b"\xfd": b"\xfc", b"\xfb": b"\xfe"}  # DO: WONT, WILL: DONT


@contextlib.contextmanager
def way_to(address, option):
    """Where to connect to reach `address`: itself, or a proxy."""
    if option is None:
        yield address
    else:
        with running_proxy(address, *option) as proxy:
            yield proxy.address


@pytest.fixture(scope="module")
def vsftpd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vsftpd")
    root = folder / "root"
    root.mkdir()
    (root / "file").write_bytes(bytes(SIZE))
    for path in (root, *root.parents[:4]):
        if path.is_relative_to(tmp_path_factory.getbasetemp()):
            path.chmod(0o755)
    port = free_port()
    settings = {
        "listen": "YES", "listen_address": "127.0.0.1", "listen_port": port, "background": "NO",
        "anonymous_enable": "YES", "anon_root": root, "async_abor_enable": "YES",
        "seccomp_sandbox": "NO", "secure_chroot_dir": root,
    }  # fmt: skip
    config = folder / "vsftpd.conf"
    config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    with serving(port, "vsftpd", config):
        yield "127.0.0.1", port


@pytest.mark.parametrize("option", WAYS.values(), ids=WAYS)
def test_abor_ends_a_transfer(vsftpd, option):
    """vsftpd hears of it by SIGURG while it sends; its replies are those that it gives plain."""
    with way_to(vsftpd, option) as address:
        for _ in range(scaled(10, 2)):
            with ftplib.FTP(timeout=patience(20)) as ftp:
                ftp.connect(*address)
                ftp.login()
                for _ in range(5):  # a conversation, so that it is redirected
                    ftp.voidcmd("NOOP")
                with ftp.transfercmd("RETR file") as data:
                    receive(data, 100_000)  # and no more: vsftpd waits in send()
                    # As BSD's ftp does it: the second IAC is the urgent byte.
                    ftp.sock.send(IAC + INTERRUPT + IAC, socket.MSG_OOB)
                    ftp.sock.sendall(DATA_MARK + b"ABOR\r\n")
                    assert ftp.getmultiline().startswith("426")
                assert ftp.getresp() == "226 ABOR successful."
                assert ftp.voidcmd("NOOP") == "200 NOOP ok."


def serve_telnet(listener, program):
    """One connection, by telnetd as inetd would start it."""
    sock, _ = listener.accept()
    with sock, subprocess.Popen([find_program("telnetd"), "-E", program], stdin=sock, stdout=sock):
        pass


@pytest.mark.parametrize("option", WAYS.values(), ids=WAYS)
def test_telnet_interrupts(tmp_path, option):
    """IP, and DM as the urgent byte (RFC 854): what was typed before it is thrown away."""
    program = tmp_path / "shell"
    program.write_text(
        "#!/bin/sh\ntrap 'echo CAUGHT' INT\nstty -echo\n"
        "echo READY\nsleep 1000\necho GOES ON\nexec cat\n"
    )
    program.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_telnet, args=(listener, program))
        thread.start()
        with (
            way_to(listener.getsockname(), option) as address,
            socket.create_connection(address, timeout=patience(20)) as client,
        ):
            read_until(client, b"READY")
            client.sendall(b"typed ahead\r\n" * 100)
            client.sendall(IAC + INTERRUPT)
            client.sendall(IAC)
            client.send(DATA_MARK, socket.MSG_OOB)
            read_until(client, b"CAUGHT")
            read_until(client, b"GOES ON")
            client.sendall(b"hello\r\n")
            read_until(client, b"hello")
        thread.join(patience(20))
        assert not thread.is_alive()


def read_until(sock, wanted):
    """Read up to `wanted`, and refuse all options that telnetd offers and asks for."""
    seen = b""
    while wanted not in seen:
        byte = receive(sock, 1)
        if byte == IAC:
            verb = receive(sock, 1)
            if verb in REFUSALS:
                sock.sendall(IAC + REFUSALS[verb] + receive(sock, 1))
            continue
        seen += byte
