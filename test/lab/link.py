#!/usr/bin/env python3
"""Links with delay, jitter, loss and a limited rate between network namespaces, for kernels without netem.

A switch in user space: every port is a TAP device in a namespace, and every ordered pair of ports is a link of its own.
A frame that leaves port a for port b is lost with the given probability; otherwise it arrives after `delay` and a
random part of `jitter` (uniform, drawn per frame). Links KEEP ORDER unless told otherwise: a late frame holds up those
behind it, as a queue or a radio that sends again does, so what waits behind several late frames waits for the latest.
With --reorder each frame comes at its own time. `rate` is what one port can send, over all its links; what would wait
for longer than a tenth of a second is dropped, as by a short queue. A frame for several receivers is lost and delayed
for each of them by itself.

usage (as root): link.py [--delay MS] [--jitter MS] [--loss PERCENT] [--rate MBIT_PER_S] [--reorder] [--seed N]
Reads commands from stdin, one a line, and ends with it:
  port NS   makes the device tap0 in the namespace NS (a name below /run/netns) and prints 'ready NS'
  cut NS    drops whatever comes from or goes to it from now on; no interface goes down
  join NS   lets it pass again
  count     prints one line of JSON: frames and bytes delivered, frames lost by chance, dropped at cuts, by full queues
"""
import argparse
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI = 0x1002
CLONE_NEWNET = 0x40000000
FRAME_BYTES_MAX = 65600
FRAMES_AT_ONCE = 64
QUEUE_SECONDS_MAX = 0.1
# Frames on their way, over all links: 200 Mbit/s for a second. Beyond it the newest are dropped.
IN_FLIGHT_MAX = 20_000
LIBC = ctypes.CDLL(None, use_errno=True)


def enter(namespace_fd):
    if LIBC.setns(namespace_fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), 'setns')


def open_tap(namespace):
    """A TAP device belongs to the namespace in which /dev/net/tun was opened."""
    here = os.open('/proc/self/ns/net', os.O_RDONLY)
    there = os.open(f'/run/netns/{namespace}', os.O_RDONLY)
    try:
        enter(there)
        try:
            tap = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(tap, TUNSETIFF, struct.pack('16sH', b'tap0', IFF_TAP_NO_PI))
        finally:
            enter(here)
    finally:
        os.close(here)
        os.close(there)
    return tap


class Switch:
    def __init__(self, flags):
        self.delay_s = flags.delay / 1e3
        self.jitter_s = flags.jitter / 1e3
        self.loss = flags.loss / 100
        self.bytes_per_s = flags.rate * 1e6 / 8
        self.reorder = flags.reorder
        self.random = random.Random(flags.seed)
        self.names = {}  # tap -> namespace
        self.cut = set()  # taps
        self.learnt = {}  # MAC address -> tap
        self.free_at = {}  # tap -> when it has sent what it was given
        self.last_at = {}  # (from, to) -> when the last frame arrives
        self.in_flight = []  # heap of (arrives_at, sequence, to, frame)
        self.sequence = 0
        self.counts = {'delivered': 0, 'bytes': 0, 'lost': 0, 'cut': 0, 'full': 0}

    def command(self, line):
        words = line.split()
        if len(words) == 2 and words[0] == 'port':
            tap = open_tap(words[1])
            self.names[tap] = words[1]
            self.free_at[tap] = 0.0
            print(f'ready {words[1]}', flush=True)
        elif len(words) == 2 and words[0] in ('cut', 'join'):
            taps = {tap for tap, name in self.names.items() if name == words[1]}
            self.cut = self.cut | taps if words[0] == 'cut' else self.cut - taps
        elif words == ['count']:
            print(json.dumps(self.counts), flush=True)
        elif words:
            sys.exit(f'link.py: no such command: {line}')

    def forget(self, tap):
        del self.names[tap]
        self.learnt = {address: port for address, port in self.learnt.items() if port != tap}
        self.in_flight = [entry for entry in self.in_flight if entry[2] != tap]
        heapq.heapify(self.in_flight)
        os.close(tap)

    def take(self, source, frame, now):
        """A frame has left a port."""
        if source in self.cut:
            self.counts['cut'] += 1
            return
        self.learnt[frame[6:12]] = source
        leaves_at = max(now, self.free_at[source])
        if self.bytes_per_s:
            if leaves_at - now > QUEUE_SECONDS_MAX:
                self.counts['full'] += 1
                return
            leaves_at += len(frame) / self.bytes_per_s
            self.free_at[source] = leaves_at
        # The lowest bit of the first byte says that a frame is for several receivers.
        known = None if frame[0] & 1 else self.learnt.get(frame[0:6])
        for to in self.names if known is None else (known,):
            if to != source:
                self.send(source, to, frame, leaves_at)

    def send(self, source, to, frame, leaves_at):
        if self.loss and self.random.random() < self.loss:
            self.counts['lost'] += 1
            return
        if len(self.in_flight) >= IN_FLIGHT_MAX:
            self.counts['full'] += 1
            return
        arrives_at = leaves_at + self.delay_s
        if self.jitter_s:
            arrives_at += self.random.random() * self.jitter_s
        if not self.reorder:
            arrives_at = max(arrives_at, self.last_at.get((source, to), 0.0))
            self.last_at[source, to] = arrives_at
        self.sequence += 1
        heapq.heappush(self.in_flight, (arrives_at, self.sequence, to, frame))

    def deliver(self, now):
        while self.in_flight and self.in_flight[0][0] <= now:
            _, _, to, frame = heapq.heappop(self.in_flight)
            if to in self.cut:
                self.counts['cut'] += 1
                continue
            try:
                os.write(to, frame)
            except OSError:
                continue  # The far end is down.
            self.counts['delivered'] += 1
            self.counts['bytes'] += len(frame)

    def run(self):
        pending = b''
        while True:
            now = time.monotonic()
            timeout = max(0, self.in_flight[0][0] - now) if self.in_flight else None
            readable, _, _ = select.select([0, *self.names], [], [], timeout)
            now = time.monotonic()
            for source in readable:
                if source == 0:
                    text = os.read(0, 4096)
                    if not text:
                        return
                    *lines, pending = (pending + text).split(b'\n')
                    for line in lines:
                        self.command(line.decode())
                    continue
                for _ in range(FRAMES_AT_ONCE):
                    try:
                        frame = os.read(source, FRAME_BYTES_MAX)
                    except BlockingIOError:
                        break
                    except OSError:
                        self.forget(source)  # Its namespace has ended.
                        break
                    self.take(source, frame, now)
            self.deliver(time.monotonic())


if __name__ == '__main__':
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument('--delay', type=float, default=0)
    parser.add_argument('--jitter', type=float, default=0)
    parser.add_argument('--loss', type=float, default=0)
    parser.add_argument('--rate', type=float, default=0)
    parser.add_argument('--reorder', action='store_true')
    parser.add_argument('--seed', type=int, default=1)
    Switch(parser.parse_args()).run()
