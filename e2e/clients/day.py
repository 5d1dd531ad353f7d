"""A day's work with the package `docker`. In the environment: DOCKER_HOST; REGISTRY, host and port of a registry."""

import io
import os
import sys
import tarfile
import threading
import time

import docker
from docker.errors import APIError, BuildError, ContainerError, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool, Mount

BUSYBOX = "busybox:1.36"


def step(text):
    print("--", text, flush=True)


def equal(got, wanted):
    assert got == wanted, f"{got!r} where {wanted!r} was expected"


def refused(kind, call, *args, **more):
    try:
        call(*args, **more)
    except kind as error:
        return error
    raise AssertionError(f"{call} was not refused")


def until(what, look, seconds=15):
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, f"{what}: not in time"
        time.sleep(0.05)


def archive(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(text)
            tar.addfile(about, io.BytesIO(text.encode()))
    return out.getvalue()


def runs(client):
    step("runs")
    equal(client.containers.run(BUSYBOX, ["echo", "hello"], remove=True), b"hello\n")
    error = refused(ContainerError, client.containers.run, BUSYBOX, ["sh", "-c", "echo why >&2; exit 3"], remove=True)
    equal((error.exit_status, error.stderr), (3, b"why\n"))
    refused(ImageNotFound, client.containers.create, "no-such-image:v1")
    refused(NotFound, client.containers.get, "no-such-container")
    said = client.containers.run(BUSYBOX, "sh -c 'echo $A; pwd; id -u'", environment={"A": "b"}, working_dir="/tmp",
                                 user="7", mem_limit="64m", tmpfs={"/scratch": "size=1m"}, remove=True)
    equal(said, b"b\n/tmp\n7\n")
    equal([line for line in client.containers.run(BUSYBOX, "sh -c 'echo 1; echo 2'", stream=True, remove=True)],
          [b"1\n", b"2\n"])


def lives(client):
    step("a container's life")
    box = client.containers.run(BUSYBOX, ["sh", "-c", "echo first; echo second >&2; exec sleep 300"], detach=True,
                                name="box", labels={"shift": "day"}, mounts=[Mount("/kept", "stock")])
    until("it has spoken", lambda: b"second" in box.logs())
    equal(box.logs(stderr=False), b"first\n")
    equal(box.logs(tail=1, stdout=False), b"second\n")
    stamped = box.logs(timestamps=True, stderr=False).split()
    assert stamped[0].endswith(b"Z") and stamped[1] == b"first", stamped
    followed = box.logs(stream=True, follow=True)
    equal(next(followed) + next(followed), b"first\nsecond\n")
    followed.close()
    equal([one.name for one in client.containers.list(filters={"label": "shift=day"})], ["box"])

    equal(box.exec_run(["sh", "-c", "echo out; echo err >&2; exit 4"], demux=True), (4, (b"out\n", b"err\n")))
    equal(box.exec_run("id -u", user="9", environment=["A=b"]).output, b"9\n")
    equal(b"".join(box.exec_run("seq 3", stream=True).output), b"1\n2\n3\n")
    equal(box.exec_run("tty", tty=True).exit_code, 0)
    stream = client.api.exec_start(client.api.exec_create(box.id, "cat", stdin=True)["Id"], socket=True)
    stream._sock.sendall(b"typed\n")
    equal(stream._sock.recv(8 + 6)[8:], b"typed\n")
    stream.close()

    assert box.put_archive("/tmp", archive(a="alpha", b="beta"))
    pieces, about = box.get_archive("/tmp/a")
    equal(about["name"], "a")
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        equal(tar.extractfile("a").read(), b"alpha")
    refused(NotFound, box.get_archive, "/nowhere")
    assert {"Path": "/tmp/a", "Kind": 1} in box.diff()
    assert any("sleep" in " ".join(line) for line in box.top()["Processes"])
    assert box.stats(stream=False)["memory_stats"]["usage"] > 0
    seen = box.stats(decode=True)
    assert next(seen)["name"] == "/box" and next(seen)["cpu_stats"]
    seen.close()

    box.pause()
    box.reload()
    equal(box.status, "paused")
    box.unpause()
    box.rename("chest")
    equal(box.update(mem_limit="64m", memswap_limit="64m")["Warnings"] or [], [])
    equal(client.api.inspect_container("chest")["HostConfig"]["Memory"], 64 << 20)
    box.restart(timeout=0)
    made = box.commit("stand", "v1", changes="CMD cat /tmp/a")
    equal(client.containers.run(made, remove=True), b"alpha")
    box.kill()
    box.reload()
    equal((box.status, box.attrs["State"]["ExitCode"], box.wait()["StatusCode"]), ("exited", 137, 137))
    with tarfile.open(fileobj=io.BytesIO(b"".join(box.export()))) as tar:
        assert "tmp/a" in tar.getnames()
    box.remove()
    client.images.remove(made.id, force=True)


def waits(client):
    step("waiting and input")
    says = ["sh", "-c", "echo ready; read line; echo got $line; exit 5"]
    late = client.containers.create(BUSYBOX, says, stdin_open=True)
    stream = late.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    late.start()
    until("it is ready", lambda: late.logs() == b"ready\n")
    since = time.time()
    stream._sock.sendall(b"words\n")
    equal(late.wait(timeout=20)["StatusCode"], 5)
    equal(late.logs(), b"ready\ngot words\n")
    equal(late.logs(since=since), b"got words\n")
    equal(late.logs(until=since), b"ready\n")
    stream.close()
    late.remove()


def networks(client):
    step("networks and volumes")
    pool = IPAMPool(subnet="10.213.7.0/24", gateway="10.213.7.1")
    harbour = client.networks.create("harbour", labels={"of": "day"}, ipam=IPAMConfig(pool_configs=[pool]))
    one = client.containers.run(BUSYBOX, "sleep 300", detach=True, name="one")
    harbour.connect(one, aliases=["first"], ipv4_address="10.213.7.9")
    said = client.containers.run(BUSYBOX, "ping -c 1 -w 10 first", network="harbour", remove=True)
    assert b"10.213.7.9" in said, said
    harbour.reload()
    equal([on.name for on in harbour.containers], ["one"])
    refused(APIError, harbour.remove)
    harbour.disconnect(one)
    one.remove(force=True)
    equal(client.networks.prune(filters={"label": "of=day"})["NetworksDeleted"], ["harbour"])
    crate = client.volumes.create("crate", labels={"of": "day"})
    client.containers.run(BUSYBOX, "touch /c/kept", volumes={"crate": {"bind": "/c", "mode": "rw"}}, remove=True)
    equal(client.containers.run(BUSYBOX, "ls /c", volumes=["crate:/c:ro"], remove=True), b"kept\n")
    equal(sorted(one.name for one in client.volumes.list()), ["crate", "stock"])
    crate.remove()
    equal(client.volumes.prune(filters={"all": True})["VolumesDeleted"], ["stock"])


def images(client, registry):
    step("builds and images")
    dockerfile = f"FROM {BUSYBOX} AS base\nARG WHO=nobody\nRUN echo made for $WHO > /text\nFROM base\nLABEL of=day\nCMD cat /text\n"
    made, said = client.images.build(fileobj=io.BytesIO(archive(Dockerfile=dockerfile)), custom_context=True,
                                     tag="app:v1", buildargs={"WHO": "us"}, rm=True)
    assert any("Successfully built" in line.get("stream", "") for line in said)
    equal(client.containers.run("app:v1", remove=True), b"made for us\n")
    base, _ = client.images.build(fileobj=io.BytesIO(archive(Dockerfile=dockerfile)), custom_context=True,
                                  target="base", buildargs={"WHO": "us"}, rm=True)
    equal((base.labels.get("of"), client.containers.run(base.id, "cat /text", remove=True)), (None, b"made for us\n"))
    broken = io.BytesIO(f"FROM {BUSYBOX}\nRUN echo why it failed && exit 9\n".encode())
    error = refused(BuildError, client.images.build, fileobj=broken)
    assert "returned a non-zero code: 9" in error.msg, error.msg
    assert any("why it failed" in line.get("stream", "") for line in error.build_log)
    assert made.tag("kept", "v1")
    equal([one.tags for one in client.images.list(filters={"label": "of=day"})][0], ["app:v1", "kept:v1"])
    assert any("LABEL of=day" in line["CreatedBy"] for line in made.history())
    saved = b"".join(client.images.get("kept:v1").save(named=True))
    client.images.remove("app:v1")
    client.images.remove("kept:v1")
    refused(ImageNotFound, client.images.get, "kept:v1")
    equal(client.images.load(saved)[0].id, made.id)
    name = f"{registry}/team/app"
    made.tag(name, "v1")
    pushed = list(client.api.push(name, "v1", stream=True, decode=True))
    assert any(line.get("aux", {}).get("Digest", "").startswith("sha256:") for line in pushed), pushed
    client.images.remove(f"{name}:v1")
    equal(client.images.pull(name, tag="v1").id, made.id)
    assert client.images.get_registry_data(f"{name}:v1").id.startswith("sha256:")
    refused(NotFound, client.images.pull, name, tag="nowhere")
    client.images.remove(made.id, force=True)


def events(client):
    step("events and the end of the day")
    since = int(time.time())
    watch, seen = client.events(decode=True, filters={"container": "brief"}), []
    reader = threading.Thread(target=lambda: seen.extend(event["Action"] for event in watch), daemon=True)
    reader.start()

    def told():
        client.containers.run(BUSYBOX, "true", name="brief", remove=True)
        return {"create", "start", "die", "destroy"} <= set(seen)

    until("the events are told", told)
    watch.close()
    past = client.events(since=since, until=int(time.time()) + 1, decode=True, filters={"type": "container"})
    assert {"create", "destroy"} <= {event["Action"] for event in past}
    client.containers.run(BUSYBOX, "true", name="left", detach=True).wait()
    equal(len(client.containers.prune()["ContainersDeleted"]), 1)
    equal(client.containers.list(all=True), [])
    equal(client.volumes.list(), [])
    equal(sorted(one.name for one in client.networks.list()), ["bridge", "host", "none"])
    client.images.prune(filters={"dangling": False})
    equal(client.images.list(), [])


def main():
    client = docker.from_env(timeout=60)
    step("versions")
    assert client.ping() and client.version()["ApiVersion"] and client.info()["Containers"] == 0
    assert client.df()["Images"]
    runs(client)
    lives(client)
    waits(client)
    networks(client)
    images(client, os.environ["REGISTRY"])
    events(client)
    client.close()
    print("the day is done")


if __name__ == "__main__":
    sys.exit(main())
