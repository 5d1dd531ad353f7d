"""What tests of applications do with the package `testcontainers`: a database, a cache, one's own container."""

import redis
import sqlalchemy
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.waiting_utils import wait_for_logs
from testcontainers.postgres import PostgresContainer
from testcontainers.redis import RedisContainer


def cache():
    with RedisContainer("redis:7") as box:
        client = box.get_client()
        assert client.set("k", "v") and client.get("k") == b"v"
        there = redis.Redis(host=box.get_container_host_ip(), port=int(box.get_exposed_port(6379)))
        assert there.ping()


def database():
    with PostgresContainer("postgres:15") as box:
        engine = sqlalchemy.create_engine(box.get_connection_url())
        with engine.begin() as connection:
            assert connection.execute(sqlalchemy.text("select 6 * 7")).scalar() == 42
        engine.dispose()


def own():
    with Network() as network:
        web = DockerContainer("busybox:1.36").with_network(network).with_network_aliases("web")
        web.with_command(["sh", "-c", "echo ahoy > /tmp/index.html; echo ready; exec httpd -f -p 80 -h /tmp"])
        with web.with_exposed_ports(80).with_env("A", "b"):
            wait_for_logs(web, "ready", timeout=20)
            assert web.exec(["sh", "-c", "echo $A"]).output == b"b\n"
            peer = DockerContainer("busybox:1.36").with_network(network).with_command("wget -qO- http://web/")
            with peer:
                wait_for_logs(peer, "ahoy", timeout=20)
                assert peer.get_logs()[0] == b"ahoy\n"


for work in (cache, database, own):
    print("--", work.__name__, flush=True)
    work()
print("the day is done")
