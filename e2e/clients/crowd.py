"""Many clients at once on the bare socket: each creates containers, attaches to them, starts, kills and removes them.

Arguments: the socket, how many clients, how many containers. Checked: what comes back on each stream, each exit code,
and that the events are complete and in order.
"""

import collections
import json
import queue
import socket
import sys
import threading
import time
from urllib.parse import quote

SOCKET, CLIENTS, CONTAINERS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PATIENCE = 90
ORDER = {
    True: ["create", "attach", "start", "kill", "die", "destroy"],
    False: ["create", "attach", "start", "die", "destroy"],
}


def connected():
    """A connection that gives up at some time."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    connection.connect(SOCKET)
    return connection


def sent(method, path, document=None, more=()):
    """A request on a connection of its own: the connection as a file, the status and the head."""
    body = b"" if document is None else json.dumps(document).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: docker", f"Content-Length: {len(body)}"]
    lines += ["Content-Type: application/json", *(more or ["Connection: close"]), "", ""]
    connection = connected()
    connection.sendall("\r\n".join(lines).encode() + body)
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    head = {}
    while line := stream.readline().strip():
        name, _, value = line.decode().partition(":")
        head[name.lower()] = value.strip()
    return connection, stream, status, head


def chunks(stream):
    """The pieces of a body that comes in pieces."""
    while size := int(stream.readline() or b"0", 16):
        yield stream.read(size)
        stream.readline()


def asked(method, path, document=None, status=200):
    """The document that a request is answered with."""
    connection, stream, got, head = sent(method, path, document)
    with connection, stream:
        if head.get("transfer-encoding") == "chunked":
            body = b"".join(chunks(stream))
        else:
            body = stream.read()
    assert got == status, f"{method} {path}: {got} {body!r}"
    return json.loads(body) if body else None


def life(number):
    """One container's life; gives its id, whether it was killed, and its exit code."""
    killed = number % 2 == 0
    code = 137 if killed else number % 100
    script = f"read word; echo out $word; echo err $word >&2; {'sleep 300' if killed else f'exit {code}'}"
    made = asked("POST", "/containers/create", {
        "Image": "busybox:1.36", "Cmd": ["sh", "-c", script], "OpenStdin": True, "StdinOnce": True,
        "Labels": {"crowd": str(number)},
    }, 201)["Id"]
    upgrade = ["Connection: Upgrade", "Upgrade: tcp"]
    path = f"/containers/{made}/attach?stream=1&stdin=1&stdout=1&stderr=1"
    connection, stream, status, _ = sent("POST", path, None, upgrade)
    assert status == 101, status
    asked("POST", f"/containers/{made}/start", status=204)
    connection.sendall(f"w{number}\n".encode())
    lanes = collections.defaultdict(bytes)

    def piece():
        head = stream.read(8)
        if head:
            lanes[head[0]] += stream.read(int.from_bytes(head[4:], "big"))
        return bool(head)

    wanted = {1: f"out w{number}\n".encode(), 2: f"err w{number}\n".encode()}
    while dict(lanes) != wanted:
        assert piece(), f"the stream of {number} ended after {dict(lanes)}"
    if killed:
        asked("POST", f"/containers/{made}/kill", status=204)
    assert not piece(), f"{number} says more than it should: {dict(lanes)}"
    connection.close()
    waited = asked("POST", f"/containers/{made}/wait")["StatusCode"]
    seen = asked("GET", f"/containers/{made}/json")["State"]
    assert (waited, seen["ExitCode"], seen["Status"]) == (code, code, "exited"), (number, code, waited, seen)
    asked("DELETE", f"/containers/{made}", status=204)
    return made, killed, code


def client(numbers, lives, failures):
    """Takes numbers until there are none."""
    while not failures:
        try:
            number = numbers.get_nowait()
        except queue.Empty:
            return
        try:
            lives.append(life(number))
        except Exception as failure:  # It is told at the end, with the number.
            failures.append(f"{number}: {failure!r}")


def watched(events, gone):
    """Reads events until the last container is gone."""
    _, stream, status, _ = sent("GET", "/events?filters=" + quote('{"type":["container"]}'))
    assert status == 200
    gone["watching"].set()
    rest = b""
    for piece in chunks(stream):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            event = json.loads(line)
            events.append(event)
            gone["count"] += event["Action"] == "destroy"
        if gone["count"] == CONTAINERS:
            break
    gone["all"].set()


def check(events, lives):
    """Complete and in order: of each container, and all of them by time."""
    times = [event["timeNano"] for event in events]
    assert times == sorted(times), "the events are not in the order of their times"
    per = collections.defaultdict(list)
    for event in events:
        per[event["Actor"]["ID"]].append(event)
    assert len(per) == len(lives), f"{len(per)} containers are told of, there were {len(lives)}"
    for made, killed, code in lives:
        actions = [event["Action"] for event in per[made]]
        assert actions == ORDER[killed], f"{made}: {actions}"
        told = next(event for event in per[made] if event["Action"] == "die")["Actor"]["Attributes"]["exitCode"]
        assert told == str(code), f"{made}: {told} where {code} was"


def main():
    events, lives, failures = [], [], []
    gone = {"count": 0, "all": threading.Event(), "watching": threading.Event()}
    threading.Thread(target=watched, args=(events, gone), daemon=True).start()
    assert gone["watching"].wait(10), "the events do not begin"
    numbers = queue.Queue()
    for number in range(CONTAINERS):
        numbers.put(number)
    began = time.monotonic()
    crowd = [threading.Thread(target=client, args=(numbers, lives, failures)) for _ in range(CLIENTS)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    took = time.monotonic() - began
    assert not failures, "\n".join(failures)
    assert gone["all"].wait(20), f"{gone['count']} of {CONTAINERS} were told to be gone"
    check(events, lives)
    assert asked("GET", "/containers/json?all=1") == []
    print(f"{CONTAINERS} containers of {CLIENTS} clients in {took:.1f} s, {len(events)} events")
    print("the day is done")


main()
