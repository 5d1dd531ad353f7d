"""An open-loop client: requests leave at their times whether or not earlier ones were answered.

    python3 client.py HOST PORT NAME RATE MARK

Every fourth request has a connection of its own, the others share kept ones. An answer is the app's own when its status
is 200 and its body begins with MARK. Ends on SIGTERM, once all that was sent is answered, and prints its counts as JSON.
"""

import asyncio
import json
import signal
import sys
import time

PATIENCE = 15
count = {"sent": 0, "own": 0, "foreign": 0, "broken": 0, "late": 0, "slowest_ms": 0.0, "rested_too_long": 0, "over_100_ms": 0, "over_1_s": 0, "told": [], "slow": []}
idle = []
begin = time.monotonic()


def tell(text):
    if len(count["told"]) < 30:
        count["told"].append(f"{time.monotonic() - begin:.3f} s: {text}")


def kept():
    """A connection that rests and is open still: the server ends those that rest for a minute, as every server does."""
    while idle:
        reader, writer = idle.pop()
        if not reader.at_eof():
            return reader, writer
        count["rested_too_long"] += 1
        writer.close()
    return None


async def exchange(reader, writer, request):
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = head.split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if fields.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    elif "content-length" in fields:
        body = await reader.readexactly(int(fields["content-length"]))
    else:
        body = await reader.read()
    bounded = "content-length" in fields or "transfer-encoding" in fields
    closes = fields.get("connection", "").lower() == "close" or not bounded
    return int(lines[0].split(" ")[1]), body, closes, lines[0]


async def ask(address, request, number, due, mark):
    count["sent"] += 1
    fresh = number % 4 == 0
    writer = None
    try:
        reader, writer = (None if fresh else kept()) or await asyncio.open_connection(*address)
        status, body, closes, first = await asyncio.wait_for(exchange(reader, writer, request), PATIENCE)
        if status == 200 and body.startswith(mark):
            count["own"] += 1
        else:
            count["foreign"] += 1
            tell(f"{first} {body[:120]!r}")
        if not closes and not fresh:
            idle.append((reader, writer))
            writer = None
    except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
        count["broken"] += 1
        tell(f"{type(error).__name__} {error}")
    finally:
        if writer:
            writer.close()
    took_ms = (time.monotonic() - due) * 1000
    count["slowest_ms"] = max(count["slowest_ms"], took_ms)
    count["over_100_ms"] += took_ms > 100
    count["over_1_s"] += took_ms > 1000
    if took_ms > 1000 and len(count["slow"]) < 10:
        count["slow"].append(f"{time.monotonic() - begin:.3f} s: {took_ms:.0f} ms")


async def main():
    host, port, name, rate, mark = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]), sys.argv[5].encode()
    request = f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    open_requests = set()
    number = 0
    while not over.is_set():
        due = begin + number / rate
        wait = due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        count["late"] += time.monotonic() - due > 1
        task = asyncio.create_task(ask((host, port), request, number, due, mark))
        open_requests.add(task)
        task.add_done_callback(open_requests.discard)
        number += 1
        if number % 50 == 0:
            await asyncio.sleep(0)
    if open_requests:
        await asyncio.wait(open_requests)
    count["seconds"] = time.monotonic() - begin
    print(json.dumps(count))


asyncio.run(main())
