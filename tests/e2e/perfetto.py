# SPDX-License-Identifier: Apache-2.0
"""As much of a Perfetto trace as the judge of traces asks for, in chrome's words (trace_valid.Timeline).

protos/perfetto/trace/trace_packet.proto, track_event/track_event.proto, interned_data/interned_data.proto"""
import gzip

EVENT_NAME_IID, EVENT_NAME, EVENT_TYPE, EVENT_TRACK = 10, 23, 9, 11
FLOWS, LAST_FLOWS = 47, 48  # fixed64; 36 and 42 were varints
PHASES = {1: "B", 2: "E", 3: "i", 4: "C"}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data):
    """field number -> values: int, or bytes."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
            assert len(value) == size, "cut off"
        else:
            size = {1: 8, 5: 4}[kind]
            value, at = int.from_bytes(data[at:at + size], "little"), at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def fixed64s(values):
    """Packed or not."""
    for value in values:
        if isinstance(value, int):
            yield value
        else:
            yield from (int.from_bytes(value[i:i + 8], "little") for i in range(0, len(value), 8))


def events(data):
    """Chrome's events, a track each: pid 0 and the track's uuid as tid."""
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    names, found, flows = {}, [], {}
    for packet in fields(data).get(1, []):
        packet = fields(packet)
        sequence = packet.get(10, [0])[0]
        if packet.get(13, [0])[0] & 1:
            names = {key: name for key, name in names.items() if key[0] != sequence}
        for interned in packet.get(12, []):
            for entry in map(fields, fields(interned).get(2, [])):
                names[sequence, entry[1][0]] = entry[2][0].decode()
        for event in map(fields, packet.get(11, [])):
            name = event[EVENT_NAME][0].decode() if EVENT_NAME in event else None
            if EVENT_NAME_IID in event:
                name = names[sequence, event[EVENT_NAME_IID][0]]
            us = packet[8][0] / 1000
            phase = {"ph": PHASES[event[EVENT_TYPE][0]], "ts": us, "pid": 0, "tid": event[EVENT_TRACK][0]}
            found.append({**phase, "name": name} if name else phase)
            for flow in [*fixed64s(event.get(FLOWS, [])), *fixed64s(event.get(LAST_FLOWS, []))]:
                flows.setdefault(flow, []).append(us)
    for flow, times in flows.items():
        steps = ["s", *"t" * (len(times) - 2), "f"] if len(times) > 1 else ["s"]
        found += [{"ph": phase, "ts": us, "id": flow, "cat": "flow"} for phase, us in zip(steps, times)]
    return found
