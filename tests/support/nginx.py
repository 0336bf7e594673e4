"""An nginx as a process of a test, with files of its own."""

from __future__ import annotations

from tests.support.servers import serving

__all__ = ["http", "nginx"]

HEAD = """
{modules}
user root; worker_processes 1; daemon off; pid nginx.pid; error_log stderr;
events {{ worker_connections 100; }}
"""
HTTP = """
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    {servers}
}}
"""


def http(*servers):
    """The text for these, each a block of a server."""
    return HTTP.format(servers="\n".join(servers))


def nginx(folder, text, port=None, *, modules="", ready=None):
    """One that is there once the port answers, or `ready`; everything that it writes is below the
    folder. modules: load_module lines."""
    folder.mkdir(exist_ok=True)
    path = folder / "nginx.conf"
    path.write_text(HEAD.format(modules=modules) + text)
    argv = ("nginx", "-e", "stderr", "-c", path, "-p", folder)
    return serving(port, *argv, ready=ready)
