"""Workloads that keep data: databases, key-value stores, queues."""

from __future__ import annotations

from tests.workloads.workload import IDLE, Part, Workload

_PG = "PATH=$PATH:/usr/lib/postgresql/15/bin; "
_AS_POSTGRES = (
    "chown postgres /data; mkdir -p /run/postgresql; chown postgres /run/postgresql; "
    "exec setpriv --reuid postgres --regid postgres --init-groups sh -ec '{script}'"
)
_PRIMARY = _PG + _AS_POSTGRES.format(
    script="test -s /data/PG_VERSION || { initdb -D /data >/dev/null; "
    'echo "host all all all trust" >>/data/pg_hba.conf; '
    'echo "host replication all all trust" >>/data/pg_hba.conf; }; '
    'exec postgres -D /data -c listen_addresses="*"'
)
_REPLICA = _PG + _AS_POSTGRES.format(
    script="test -s /data/PG_VERSION || { chmod 700 /data; "
    "pg_basebackup -h primary -U postgres -D /data -R; }; exec postgres -D /data"
)
_PG_READY = "psql -h 127.0.0.1 -U postgres -Atc 'select 1'"

POSTGRESQL = Workload(
    name="postgresql",
    says="10,000 rows and an index; all there after restart and kill",
    parts=(
        Part(
            "primary",
            "data",
            ("-v", "@volume-data:/data"),
            ("sh", "-ec", _PRIMARY),
            _PG_READY,
        ),
    ),
    volumes=("data",),
    prepare="psql -h 127.0.0.1 -U postgres -c 'create table t (n int primary key)' "
    "-c 'insert into t select generate_series(1, 10000)'",
    check="psql -h 127.0.0.1 -U postgres -Atc 'select count(*), sum(n) from t'",
    result="10000|50005000",
    short=True,
)

REPLICATION = Workload(
    name="postgresql-replication",
    says="streaming replication: what the primary is told is asked of the standby",
    parts=(
        Part("primary", "data", ("-v", "@volume-a:/data"), ("sh", "-ec", _PRIMARY), _PG_READY),
        Part("replica", "data", ("-v", "@volume-b:/data"), ("sh", "-ec", _REPLICA), _PG_READY),
    ),
    volumes=("a", "b"),
    prepare="psql -h 127.0.0.1 -U postgres -c 'create table t (n int)'",
    check="psql -h primary -U postgres -qc 'truncate t' "
    "-c 'insert into t select generate_series(1, 5000)'; "
    "i=0; until [ $(psql -h 127.0.0.1 -U postgres -Atc 'select count(*) from t') = 5000 ]; "
    "do i=$((i+1)); [ $i -lt 100 ] || break; sleep 0.3; done; "
    "psql -h 127.0.0.1 -U postgres -Atc 'select count(*), pg_is_in_recovery() from t'",
    result="5000|t",
)

MARIADB = Workload(
    name="mariadb",
    says="1,000 rows in InnoDB; all there after restart and kill",
    parts=(
        Part(
            "db",
            "mariadb",
            (),
            ("sh", "-ec", "install -d -o mysql /run/mysqld; exec mariadbd --user=mysql"),
            "mariadb -e 'select 1'",
        ),
    ),
    prepare="mariadb -e 'create database d; use d; create table t (n int primary key) engine=InnoDB; "
    "insert into t select seq from seq_1_to_1000'",
    check="mariadb -Ne 'select concat(count(*), \" \", sum(n)) from d.t'",
    result="1000 500500",
)

REDIS = Workload(
    name="redis",
    says="append-only file: 1,000 keys read back after restart and kill",
    parts=(
        Part(
            "store",
            "data",
            ("-v", "@volume-data:/data"),
            ("redis-server", "--dir", "/data", "--appendonly", "yes", "--protected-mode", "no"),
            "redis-cli ping | grep PONG",
        ),
    ),
    volumes=("data",),
    prepare="for i in $(seq 1000); do echo set key$i $i; done | redis-cli >/dev/null",
    check="redis-cli dbsize; redis-cli get key777",
    result="1000\n777",
    short=True,
)

_SQLITE = """
import os, sqlite3
path = "/data/load.db"
for name in (path, path + "-wal", path + "-shm"):
    if os.path.exists(name): os.unlink(name)
db = sqlite3.connect(path); db.execute("pragma journal_mode=wal"); db.execute("create table t (n int)"); db.close()
children = []
for writer in range(4):
    pid = os.fork()
    if pid == 0:
        mine = sqlite3.connect(path, timeout=300)
        for n in range(50):
            with mine: mine.execute("insert into t values (?)", (n,))
        os._exit(0)
    children.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in children]
db = sqlite3.connect(path)
print(codes, db.execute("select count(*), sum(n) from t").fetchone(), db.execute("pragma integrity_check").fetchone())
"""

SQLITE = Workload(
    name="sqlite",
    says="four processes write to one database in WAL mode; integrity_check",
    parts=(Part("app", "data", ("-v", "@volume-data:/data"), IDLE),),
    volumes=("data",),
    check=f"python3 -c '{_SQLITE}'",
    result="[0, 0, 0, 0] (200, 4900) ('ok',)",
    short=True,
)

_LMDB = """
import lmdb
env = lmdb.open("/data/lmdb", map_size=10 << 30)
with env.begin(write=True) as txn:
    for n in range(20000): txn.put(b"%08d" % n, b"x" * 100)
with env.begin() as txn:
    print(txn.stat()["entries"], sum(len(v) for _, v in txn.cursor()))
"""

LMDB = Workload(
    name="lmdb",
    says="a map of 10 GiB (as MongoDB's and others' mmap) with 20,000 records",
    parts=(Part("app", "data", ("-v", "@volume-data:/data"), IDLE),),
    volumes=("data",),
    check=f"python3 -c '{_LMDB}'",
    result="20000 2000000",
    short=True,
)

ETCD = Workload(
    name="etcd",
    says="100 keys through its gRPC interface; all there after restart and kill",
    parts=(
        Part(
            "store",
            "etcd",
            ("-e", "ETCDCTL_API=3"),
            ("etcd", "--data-dir", "/var/lib/etcd/data"),
            "etcdctl endpoint health",
        ),
    ),
    prepare="for i in $(seq 100); do etcdctl put key$i value$i >/dev/null; done",
    check="etcdctl get --prefix key --keys-only | grep -c key; etcdctl get --print-value-only key42",
    result="100\nvalue42",
)

RABBITMQ = Workload(
    name="rabbitmq",
    says="100 persistent messages in a durable queue, still there after restart and kill",
    parts=(
        Part(
            "broker",
            "queue",
            # Publishers are blocked at 0.4 of the container's limit (vm_memory_high_watermark): in 256 MiB by a broker
            # that does nothing. Its Production Checklist speaks of how much memory a node is to have.
            # Not Debian's wrapper, a shell that waits for `su` and hands no signal on.
            ("-m", "512m", "-u", "rabbitmq", "--hostname", "rabbit"),
            ("/usr/lib/rabbitmq/bin/rabbitmq-server",),
            "rabbitmqctl -q await_startup --timeout 30",
        ),
    ),
    prepare="python3 -c 'import pika\n"
    'c = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1")); ch = c.channel()\n'
    'ch.queue_declare("q", durable=True); ch.confirm_delivery()\n'
    'for n in range(100): ch.basic_publish("", "q", b"%d" % n, pika.BasicProperties(delivery_mode=2))\n'
    "c.close()'",
    check="rabbitmqctl -q list_queues --no-table-headers name messages | tr '\\t' ' '",
    result="q 100",
)

ALL = (POSTGRESQL, REPLICATION, MARIADB, REDIS, SQLITE, LMDB, ETCD, RABBITMQ)
