import urllib.request

import pytest

from waveunet_tf.export.web import site_server


def headers_of(address):
    with urllib.request.urlopen(address) as response:
        return response.headers


@pytest.mark.parametrize("isolated", [True, False])
def test_files_come_with_their_types_and_isolation_if_wished(tmp_path, isolated):
    for name in ("index.html", "a.js", "a.wasm", "a.json"):
        (tmp_path / name).write_bytes(b"x")
    with site_server.running(tmp_path, isolated=isolated) as address:
        for name, kind in {
            "": "text/html",
            "a.js": "text/javascript",
            "a.wasm": "application/wasm",
            "a.json": "application/json",
        }.items():
            headers = headers_of(address + name)
            assert headers.get_content_type() == kind
            assert headers["Cache-Control"] == "no-cache"
            for header, value in site_server.ISOLATION.items():
                assert headers[header] == (value if isolated else None)


def test_an_older_site_on_the_same_port_is_not_taken_for_the_newer_one(tmp_path):
    """Browsers ask whether a file changed since the one they have, of any site."""
    (tmp_path / "index.html").write_text("older")
    with site_server.running(tmp_path) as address:
        asked = urllib.request.Request(address)
        asked.add_header("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")
        with urllib.request.urlopen(asked) as response:
            assert response.read() == b"older"


def test_a_port_in_use_is_refused(tmp_path):
    with (
        site_server.SiteServer(tmp_path) as server,
        pytest.raises(OSError, match="in use"),
    ):
        site_server.SiteServer(tmp_path, server.server_port)
