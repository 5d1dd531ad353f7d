"""A day's work with the package `docker`: DOCKER_HOST names the socket, REGISTRY a registry."""

import io
import os
import tarfile
import threading
import time
import urllib.request

import docker

BUSYBOX = "busybox:1.36"
client = docker.from_env(timeout=60)


def until(what, look, seconds=20):
    """Waits until this is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not in time: {what}")


def archive(**files):
    """A tar of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
    return out.getvalue()


def refused(kind, call):
    """The call is refused with this error."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def versions():
    assert client.ping()
    assert client.version()["ApiVersion"] == client.api.api_version
    assert client.info()["Images"] == 1


def run():
    assert client.containers.run(BUSYBOX, "echo hi", remove=True) == b"hi\n"
    error = refused(
        docker.errors.ContainerError,
        lambda: client.containers.run(BUSYBOX, ["sh", "-c", "echo bad >&2; exit 3"], remove=True),
    )
    assert (error.exit_status, error.stderr) == (3, b"bad\n"), error
    refused(docker.errors.APIError, lambda: client.containers.run(BUSYBOX, "no-such-program", remove=True))
    refused(docker.errors.NotFound, lambda: client.containers.get("nobody"))
    assert client.containers.run(BUSYBOX, "cat /proc/meminfo", remove=True, stdout=True).startswith(b"MemTotal")
    both = client.containers.run(BUSYBOX, ["sh", "-c", "echo o; echo e >&2"], stderr=True, remove=True)
    assert sorted(both.split()) == [b"e", b"o"], both


def a_container():
    script = "echo first; echo second >&2; mkdir -p /stock; echo served > /stock/index.html; exec httpd -f -p 80 -h /stock"
    box = client.containers.run(
        BUSYBOX,
        ["sh", "-c", script],
        detach=True,
        name="box",
        labels={"shift": "day"},
        environment={"A": "b"},
        ports={"80/tcp": ("127.0.0.1", None)},
        volumes={"stock": {"bind": "/stock", "mode": "rw"}},
        mem_limit="64m",
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
        healthcheck={"test": ["CMD", "test", "-e", "/stock/index.html"], "interval": 10**9},
    )
    box.reload()
    assert (box.status, box.labels, box.name) == ("running", {"shift": "day"}, "box")
    port = box.ports["80/tcp"][0]["HostPort"]

    def served():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read() == b"served\n"
        except OSError:
            return False

    until("the port is served", served)
    until("it is healthy", lambda: (box.reload(), box.health == "healthy")[1])
    assert box.attrs["HostConfig"]["Memory"] == 64 << 20
    assert [found.name for found in client.containers.list(filters={"label": "shift=day"})] == ["box"]
    return box


def logs(box):
    assert until("both lines are logged", lambda: box.logs(stderr=False)) == b"first\n"
    assert box.logs(stdout=False) == b"second\n"
    assert box.logs(tail=1) in (b"first\n", b"second\n")
    stream = box.logs(stream=True, follow=True)
    assert sorted([next(stream), next(stream)]) == [b"first\n", b"second\n"]
    stream.close()


def execs(box):
    done = box.exec_run(["sh", "-c", "echo o; echo e >&2; exit 4"], demux=True)
    assert (done.exit_code, done.output) == (4, (b"o\n", b"e\n")), done
    for _ in range(20):
        assert box.exec_run("echo quick").output == b"quick\n"
    assert list(box.exec_run("echo s", stream=True).output) == [b"s\n"]
    assert box.exec_run("pwd", workdir="/tmp", environment={"X": "1"}).output == b"/tmp\n"
    assert box.exec_run("tty", tty=True).output.startswith(b"/dev/pts/")
    assert box.exec_run("no-such-program").exit_code == 127
    made = client.api.exec_create(box.id, "cat", stdin=True)
    socket = client.api.exec_start(made["Id"], socket=True)
    socket._sock.sendall(b"ping\n")
    assert socket.read(13)[8:] == b"ping\n"
    assert client.api.exec_inspect(made["Id"])["Running"]
    socket._sock.shutdown(1)
    socket.close()
    until("the input's end ends it", lambda: not client.api.exec_inspect(made["Id"])["Running"])


def copies(box):
    assert box.put_archive("/tmp", archive(**{"in.txt": b"carried in"}))
    stream, stat = box.get_archive("/tmp/in.txt")
    assert stat["name"] == "in.txt" and stat["size"] == 10, stat
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        assert tar.extractfile("in.txt").read() == b"carried in"
    refused(docker.errors.NotFound, lambda: box.get_archive("/nowhere"))
    assert {"Path": "/tmp/in.txt", "Kind": 1} in box.diff()
    with tarfile.open(fileobj=io.BytesIO(b"".join(box.export()))) as tar:
        assert "tmp/in.txt" in tar.getnames()


def figures(box):
    once = box.stats(stream=False)
    assert once["memory_stats"]["limit"] == 64 << 20 and once["cpu_stats"]["cpu_usage"]["total_usage"] > 0, once
    stream = box.stats(decode=True)
    assert [next(stream)["name"], next(stream)["name"]] == ["/box", "/box"]
    stream.close()
    top = box.top()
    assert "CMD" in top["Titles"][-1] and any("httpd" in row[-1] for row in top["Processes"]), top


def life(box):
    for change, status in ((box.pause, "paused"), (box.unpause, "running")):
        change()
        box.reload()
        assert box.status == status
    box.rename("chest")
    box.update(mem_limit="128m", memswap_limit="256m")
    box.reload()
    assert (box.name, box.attrs["HostConfig"]["Memory"]) == ("chest", 128 << 20)
    box.restart(timeout=0)
    image = box.commit("stand", "v1", message="as it stands")
    assert image.tags == ["stand:v1"]
    assert client.containers.run("stand:v1", "cat /tmp/in.txt", remove=True) == b"carried in"
    box.stop(timeout=0)
    assert box.wait()["StatusCode"] == 137
    box.start()
    box.kill()
    assert box.wait(condition="not-running")["StatusCode"] == 137
    box.remove(v=True)
    refused(docker.errors.NotFound, box.reload)


def attach():
    sink = client.containers.create(BUSYBOX, ["sh", "-c", "read line; echo got $line; exit 5"], stdin_open=True)
    socket = sink.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    sink.start()
    socket._sock.sendall(b"words\n")
    assert socket.read(18)[8:] == b"got words\n"
    assert sink.wait() == {"StatusCode": 5} or sink.wait()["StatusCode"] == 5
    socket.close()
    sink.remove()


def networks_and_volumes():
    harbour = client.networks.create("harbour", driver="bridge", labels={"of": "day"})
    one = client.containers.run(BUSYBOX, "sleep 300", detach=True, name="one", network="harbour")
    assert b"1 packets received" in client.containers.run(BUSYBOX, "ping -c 1 -w 10 one", remove=True, network="harbour")
    two = client.containers.run(BUSYBOX, "sleep 300", detach=True, name="two")
    harbour.connect(two, aliases=["second"])
    assert one.exec_run("ping -c 1 -w 10 second").exit_code == 0
    harbour.reload()
    assert {found.name for found in harbour.containers} == {"one", "two"}
    harbour.disconnect(two)
    for box in (one, two):
        box.remove(force=True)
    harbour.remove()
    assert client.volumes.get("stock").attrs["Driver"] == "local"
    assert client.volumes.create("crate", labels={"of": "day"}).attrs["Labels"] == {"of": "day"}
    for name in ("crate", "stock"):
        client.volumes.get(name).remove()
    assert client.volumes.list() == []


def build():
    dockerfile = b"FROM busybox:1.36\nARG WHO=nobody\nCOPY own.txt /\nRUN echo made for $WHO > /text\nLABEL of=day\nCMD cat /text /own.txt\n"
    context = io.BytesIO(archive(Dockerfile=dockerfile, **{"own.txt": b"own\n"}))
    image, log = client.images.build(fileobj=context, custom_context=True, tag="app:v1", buildargs={"WHO": "us"}, rm=True)
    assert any("Successfully built" in line.get("stream", "") for line in log)
    assert image.tags == ["app:v1"] and image.labels == {"of": "day"}
    assert client.containers.run("app:v1", remove=True) == b"made for us\nown\n"
    error = refused(
        docker.errors.BuildError,
        lambda: client.images.build(fileobj=io.BytesIO(b"FROM busybox:1.36\nRUN echo why && exit 9\n")),
    )
    assert "9" in error.msg and any("why" in line.get("stream", "") for line in error.build_log), error


def images():
    app = client.images.get("app:v1")
    assert app.history()[0]["CreatedBy"]
    assert app.tag("kept", "v1")
    saved = b"".join(client.images.get("kept:v1").save(named="kept:v1"))
    client.images.remove("app:v1")
    client.images.remove("kept:v1", force=True)
    refused(docker.errors.ImageNotFound, lambda: client.images.get("kept:v1"))
    assert [image.tags for image in client.images.load(saved)] == [["kept:v1"]]
    registry = os.environ.get("REGISTRY")
    if registry:
        name = f"{registry}/team/py"
        client.images.get("kept:v1").tag(name, "v1")
        lines = list(client.images.push(name, "v1", stream=True, decode=True))
        assert any("digest: sha256:" in line.get("status", "") for line in lines), lines
        client.images.remove(f"{name}:v1")
        assert client.images.pull(name, "v1").tags.count(f"{name}:v1") == 1
        assert client.images.get_registry_data(f"{name}:v1").has_platform("linux/amd64")
        refused(docker.errors.NotFound, lambda: client.images.pull(name, "nowhere"))


def watched(work):
    """What events came while the work was done."""
    stream = client.events(decode=True, filters={"type": "container"})
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(stream), daemon=True)
    reader.start()
    work()
    until("the last is told", lambda: any(event["Action"] == "destroy" for event in list(seen)))
    stream.close()
    return [event["Action"] for event in seen]


def events():
    seen = watched(lambda: client.containers.run(BUSYBOX, "true", remove=True, name="brief"))
    order = [action for action in seen if action in ("create", "start", "die", "destroy")]
    assert order == ["create", "start", "die", "destroy"], seen
    past = client.events(decode=True, since=0, until=int(time.time()) + 1, filters={"container": "box", "event": "create"})
    assert [event["Actor"]["Attributes"]["name"] for event in past] == ["box"]


def the_end():
    assert client.df()["Images"]
    client.containers.create(BUSYBOX, "true")
    assert len(client.containers.prune()["ContainersDeleted"]) == 1
    client.networks.prune()
    client.volumes.prune()
    client.images.prune(filters={"dangling": False})
    assert client.images.list() == [] and client.containers.list(all=True) == []


def main():
    for work in (versions, run):
        print("--", work.__name__, flush=True)
        work()
    print("-- a_container", flush=True)
    box = a_container()
    for work in (logs, execs, copies, figures, life):
        print("--", work.__name__, flush=True)
        work(box)
    for work in (attach, networks_and_volumes, build, images, events, the_end):
        print("--", work.__name__, flush=True)
        work()
    print("the day is done")


main()
