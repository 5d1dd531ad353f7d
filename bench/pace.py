"""An open-loop client for the loopback: requests are due at times drawn beforehand, whatever became of earlier ones.

    python3 pace.py PORT --rate 2000 --seconds 2 [--protocol h1|close|h2] [--tls]

What a request took counts from the time that it was due at, so that a wait for a free connection, for a proxy that
pauses, or for this client itself is in it: nothing is omitted. The times between requests are exponential, from a
fixed seed. Prints its figures as JSON. With OPENSSL_CONF the caller says what is offered in handshakes.
"""

import argparse
import collections
import ctypes
import gc
import json
import random
import re
import select
import socket
import ssl
import struct
import sys
import time

HOST = "localhost"
GET = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"
GET_AND_CLOSE = b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
# How long what is under way at the end is waited for.
PATIENCE = 10
# Connections of HTTP/2, and kept ones of HTTP/1.1. These do not become more when a request finds none free: to make one
# costs this client more than to wait, and it would fall behind ever further.
LANES = 8
KEPT = 64


def fail(why):
    sys.exit(f"the paced load failed: {why}")


class Wire:
    """A connection without blocking; in TLS if there is a context."""

    def __init__(self, port, context, waits=True):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if waits:
            self.socket.connect(("127.0.0.1", port))
        else:
            self.socket.setblocking(False)
            self.socket.connect_ex(("127.0.0.1", port))
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname=HOST)
        self.socket.setblocking(False)
        self.got = bytearray()

    def take(self):
        """Reads what has come; false once the other side has closed."""
        while True:
            try:
                piece = self.socket.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return True
            if not piece:
                return False
            self.got += piece
            if len(piece) < 65536 and not isinstance(self.socket, ssl.SSLSocket):
                return True


class Kept(Wire):
    """HTTP/1.1: one request at a time."""

    def ask(self, due):
        self.due = due
        self.socket.send(GET)

    def answers(self):
        """The times at which answered requests were due."""
        if not self.take():
            fail("a kept connection was closed")
        return [self.due] if whole(self.got) else []


class Single(Wire):
    """HTTP/1.1: one request, then the server closes."""

    def __init__(self, port, context, due):
        super().__init__(port, context, waits=context is not None)
        self.due = due
        self.asked = False

    def answers(self):
        if not self.asked:
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                fail(f"connecting: error {error}")
            self.asked = True
            self.socket.send(GET_AND_CLOSE)
            return []
        open_still = self.take()
        if whole(self.got):
            return [self.due]
        if not open_still:
            fail("a connection was closed before its answer")
        return []


def whole(got):
    """Whether an answer is there to its end; then it is taken away."""
    head = got.find(b"\r\n\r\n")
    if head < 0:
        return False
    if not got.startswith(b"HTTP/1.1 200"):
        fail(bytes(got[:80]))
    length = LENGTH.search(got, 0, head)
    if not length:
        fail("an answer without a length")
    end = head + 4 + int(length.group(1))
    if len(got) < end:
        return False
    del got[:end]
    return True


class Lane(Wire):
    """HTTP/2: any number of streams, with as little of the protocol as an honest client can do with."""

    def __init__(self, port, context):
        super().__init__(port, context)
        if context and self.socket.selected_alpn_protocol() != "h2":
            fail("no HTTP/2 by ALPN")
        # GET, the scheme and :path from the static table or as literals that nobody need remember.
        scheme = b"\x87" if context else b"\x86"
        self.head = b"\x82" + scheme + b"\x04\x02/x" + b"\x01" + bytes([len(HOST)]) + HOST.encode()
        self.next = 1
        self.under_way = {}
        window = (1 << 31) - 1
        settings = struct.pack(">HIHI", 2, 0, 4, window)  # no pushes; a stream's window
        self.socket.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, settings)
                         + frame(8, 0, 0, struct.pack(">I", window - 65535)))

    def ask(self, due):
        self.under_way[self.next] = due
        self.socket.send(frame(1, 5, self.next, self.head))
        self.next += 2

    def answers(self):
        if not self.take():
            fail("an HTTP/2 connection was closed")
        done, at, got = [], 0, self.got
        while len(got) - at >= 9:
            size = int.from_bytes(got[at:at + 3], "big")
            kind, flags, stream = got[at + 3], got[at + 4], int.from_bytes(got[at + 5:at + 9], "big")
            begin, end = at + 9, at + 9 + size
            if len(got) < end:
                break
            if kind == 1 and stream in self.under_way:
                status = begin
                while got[status] & 0xe0 == 0x20:  # a change of the table's size comes first
                    status += 1
                if got[status] != 0x88:
                    fail(f"the answer begins with {bytes(got[begin:begin + 16])!r}, not with the status 200")
            elif kind == 3 or kind == 7:
                fail(f"a frame of kind {kind}: {bytes(got[begin:end])!r}")
            elif kind == 4 and not flags & 1:
                self.socket.send(frame(4, 1, 0, b""))
            elif kind == 6 and not flags & 1:
                self.socket.send(frame(6, 1, 0, bytes(got[begin:end])))
            if kind in (0, 1) and flags & 1:
                done.append(self.under_way.pop(stream))
            at = end
        del got[:at]
        return done


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Load:
    """The requests, the connections that carry them, and what they took."""

    def __init__(self, args):
        self.port, self.protocol = args.port, args.protocol
        self.context = context(args.protocol) if args.tls else None
        self.poll = select.epoll()
        self.wires = {}
        self.idle = collections.deque()
        self.waiting = collections.deque()
        self.took = []
        self.open = 0
        if args.protocol != "close":
            make, count = (Lane, LANES) if args.protocol == "h2" else (Kept, KEPT)
            for _ in range(count):
                self.idle.append(self.watch(make(self.port, self.context)))

    def watch(self, wire, events=select.EPOLLIN):
        self.wires[wire.socket.fileno()] = wire
        self.poll.register(wire.socket.fileno(), events)
        return wire

    def send(self, due):
        self.open += 1
        if self.protocol == "close":
            self.watch(Single(self.port, self.context, due), select.EPOLLOUT)
        elif self.protocol == "h2":
            self.idle[0].ask(due)
            self.idle.rotate(1)
        elif self.idle:
            self.idle.popleft().ask(due)
        else:
            self.waiting.append(due)

    def receive(self, wait):
        # Its timeout is finer than that of epoll.
        select.select([self.poll.fileno()], [], [], max(wait, 0))
        for number, _ in self.poll.poll(0):
            wire = self.wires[number]
            for due in wire.answers():
                self.took.append(time.perf_counter() - due)
                self.open -= 1
                self.over(number, wire)
            if self.protocol == "close" and number in self.wires and wire.asked:
                self.poll.modify(number, select.EPOLLIN)

    def over(self, number, wire):
        if self.protocol == "close":
            self.poll.unregister(number)
            del self.wires[number]
            wire.socket.close()
        elif self.protocol == "h1" and self.waiting:
            wire.ask(self.waiting.popleft())
        elif self.protocol == "h1":
            self.idle.append(wire)


def context(protocol):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if protocol == "h2":
        made.set_alpn_protocols(["h2"])
    return made


def handshake(port, protocol):
    """What one handshake agrees on."""
    with socket.create_connection(("127.0.0.1", port), 5) as plain, \
            context(protocol).wrap_socket(plain, server_hostname=HOST) as secure:
        return {"version": secure.version(), "cipher": secure.cipher()[0], "alpn": secure.selected_alpn_protocol()}


def quantile(ordered, part):
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--protocol", choices=["h1", "close", "h2"], default="h1")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--handshake", action="store_true", help="only say what a handshake agrees on")
    args = parser.parse_args()
    if args.handshake:
        print(json.dumps(handshake(args.port, args.protocol)))
        return
    ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)  # PR_SET_TIMERSLACK: wake when asked to, not 50 us later
    gc.disable()
    draw = random.Random(7)
    load = Load(args)
    load.receive(0.05)
    begin = time.perf_counter()
    due, end, behind = begin + draw.expovariate(args.rate), begin + args.seconds, 0
    while due < end:
        now = time.perf_counter()
        while due <= now and due < end:
            behind += now - due > 0.001
            load.send(due)
            due += draw.expovariate(args.rate)
        load.receive(due - time.perf_counter())
    patience = time.perf_counter() + PATIENCE
    while load.open:
        load.receive(0.1)
        if time.perf_counter() > patience:
            fail(f"{load.open} requests had no answer after {PATIENCE} s")
    took = sorted(load.took)
    print(json.dumps({
        "requests": len(took), "p50_us": quantile(took, 0.5), "p99_us": quantile(took, 0.99),
        "most_us": took[-1] * 1e6, "behind": behind / len(took),
    }))


main()
