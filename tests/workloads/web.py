"""Workloads that serve pages."""

from __future__ import annotations

from pathlib import Path

from tests.workloads.workload import Part, Workload

_NGINX = (
    "user www-data; events {} daemon off; error_log /dev/stderr; pid /run/nginx.pid; "
    "http { server { listen 80; root /srv; "
    "location / { fastcgi_pass unix:/run/php/fpm.sock; include fastcgi_params; "
    "fastcgi_param SCRIPT_FILENAME /srv/index.php; } } }"
)
_FPM = (
    "mkdir -p /srv; echo '<?php echo 6 * 7, \" \", PHP_SAPI;' >/srv/index.php; "
    "exec php-fpm8.2 --nodaemonize -d error_log=/dev/stderr"
)

NGINX_PHP = Workload(
    name="nginx-php-fpm",
    says="nginx asks php-fpm over a unix socket in a shared volume",
    parts=(
        Part(
            "php",
            "page",
            ("-v", "@volume-run:/run/php"),
            (
                "sh",
                "-ec",
                "sed -i 's,^listen = .*,listen = /run/php/fpm.sock,' /etc/php/8.2/fpm/pool.d/www.conf; "
                + _FPM,
            ),
            "test -S /run/php/fpm.sock",
        ),
        Part(
            "nginx",
            "page",
            ("--volumes-from", "nginx-php-fpm-php", "--network", "container:nginx-php-fpm-php"),
            ("sh", "-ec", f"echo '{_NGINX}' >/etc/nginx/nginx.conf; exec nginx"),
            "curl -sf http://127.0.0.1/",
        ),
    ),
    volumes=("run",),
    check="curl -s http://127.0.0.1/",
    result="42 fpm-fcgi",
    ended="nginx",
    short=True,
)

#: As Docker's own image starts it: no pid file of a process that was killed, no shell above it.
_HTTPD = (
    "mkdir -p /run/apache2; rm -f /run/apache2/apache2.pid; . /etc/apache2/envvars; "
    "exec apache2 -D FOREGROUND"
)

APACHE = Workload(
    name="apache",
    says="a page from its document root; prefork children come back",
    parts=(
        Part(
            "web",
            "web",
            (),
            ("sh", "-ec", _HTTPD),
            "curl -sf http://127.0.0.1/ >/dev/null",
        ),
    ),
    prepare="echo hello from apache >/var/www/html/page.txt",
    check="curl -s http://127.0.0.1/page.txt",
    result="hello from apache",
)

_SERVER = f"echo {{name}} >/var/www/html/name; {_HTTPD}"
_HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend f
    bind :80
    default_backend b
backend b
    balance roundrobin
    option httpchk GET /name
    server one one:80 check inter 500ms
    server two two:80 check inter 500ms
"""

HAPROXY = Workload(
    name="haproxy",
    says="two servers by their names, in turn, with health checks",
    parts=(
        Part(
            "one",
            "web",
            (),
            ("sh", "-ec", _SERVER.format(name="one")),
            "curl -sf http://127.0.0.1/name",
        ),
        Part(
            "two",
            "web",
            (),
            ("sh", "-ec", _SERVER.format(name="two")),
            "curl -sf http://127.0.0.1/name",
        ),
        Part(
            "proxy",
            "web",
            (),
            ("sh", "-ec", f"echo '{_HAPROXY}' >/tmp/ha.cfg; exec haproxy -W -f /tmp/ha.cfg"),
            # Both are up again: four answers in a row by turns.
            "test $(for i in 1 2 3 4; do curl -sf http://127.0.0.1/name; done | sort -u | wc -l) = 2",
        ),
    ),
    check="for i in 1 2 3 4; do curl -s http://127.0.0.1/name; done | sort | uniq -c | tr -s ' '",
    result="2 one\n 2 two",
)

TOMCAT = Workload(
    name="tomcat",
    says="a page from Tomcat in 512 MiB; the heap is a quarter of the container's limit",
    parts=(
        Part(
            "jvm",
            "java",
            # "Containers need at least 512 MB": the size its users give it.
            (
                "-m",
                "512m",
                "-e",
                "CATALINA_HOME=/usr/share/tomcat10",
                "-e",
                "CATALINA_BASE=/var/lib/tomcat10",
            ),
            (
                "sh",
                "-ec",
                "mkdir -p /var/lib/tomcat10/temp; exec /usr/share/tomcat10/bin/catalina.sh run",
            ),
            "curl -sf http://127.0.0.1:8080/ >/dev/null",
        ),
    ),
    check="curl -s http://127.0.0.1:8080/ | grep -o 'It works !' | head -1; "
    "java -XX:+PrintFlagsFinal -version 2>/dev/null | awk '$2 == \"MaxHeapSize\" { print $4 / 1048576 }'",
    result="It works !\n128",
)

_NODE = "require('http').createServer((q, a) => a.end(require('./text.js'))).listen(8000)"
_FLASK = """
from flask import Flask
import text
app = Flask(__name__)

@app.route("/")
def index():
    return text.TEXT
"""


def _sources(folder: Path) -> None:
    """Sources of both development servers, in their first version."""
    (folder / "server.js").write_text(_NODE)
    (folder / "app.py").write_text(_FLASK)
    _version(folder, "first")


def _version(folder: Path, text: str) -> None:
    (folder / "text.js").write_text(f"module.exports = '{text}'\n")
    (folder / "text.py").write_text(f"TEXT = '{text}'\n")


def _edit(folder: Path) -> None:
    """Second version, as an editor saves it: in place."""
    _version(folder, "second")


_RELOADED = (
    'i=0; until [ "$(curl -s http://127.0.0.1:8000/)" = second ]; do i=$((i+1)); [ $i -lt 200 ] || break; '
    "sleep 0.3; done; curl -s http://127.0.0.1:8000/"
)

NODE_WATCH = Workload(
    name="node-watch",
    says="`node --watch` reloads when the host edits the bind mount",
    parts=(
        Part(
            "dev",
            "dev",
            ("-v", "@folder:/app", "-w", "/app"),
            ("node", "--watch", "server.js"),
            "curl -sf http://127.0.0.1:8000/",
        ),
    ),
    folders=_sources,
    while_running=_edit,
    check=_RELOADED,
    result="second",
)

FLASK_WATCH = Workload(
    name="flask-watch",
    says="Flask's debug server (watchdog) reloads when the host edits the bind mount",
    parts=(
        Part(
            "dev",
            "dev",
            ("-v", "@folder:/app", "-w", "/app"),
            ("flask", "--app", "app", "--debug", "run", "-p", "8000"),
            "curl -sf http://127.0.0.1:8000/",
        ),
    ),
    folders=_sources,
    while_running=_edit,
    check=_RELOADED,
    result="second",
)

ALL = (NGINX_PHP, APACHE, HAPROXY, TOMCAT, NODE_WATCH, FLASK_WATCH)
