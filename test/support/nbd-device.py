# An NBD client for tests, driven over a pipe: connects to the URI given with libnbd, answers with the size and flags, then
# takes requests on stdin and answers each on stdout when the server has, in the order of the answers. All little endian:
#   request  u32 id, u8 operation, u64 offset, u32 length, then the data of a write
#   reply    u32 id, u32 errno, u32 length, then the data of a read, or u32 pairs (length, flags) of a map
import os
import select
import struct
import sys

import nbd

READ, WRITE, ZERO, UNMAP, TRIM, FLUSH, MAP = range(7)
REQUEST = struct.Struct("<IBQI")


def recv(length):
    parts = []
    while length > 0:
        part = os.read(0, min(length, 1 << 20))
        if not part:
            sys.exit(0)
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def reply(number, errno, data=b""):
    sys.stdout.buffer.write(struct.pack("<III", number, errno, len(data)) + data)
    sys.stdout.buffer.flush()


handle = nbd.NBD()
handle.add_meta_context("base:allocation")
# What is out of range is the server's to refuse.
handle.set_strict_mode(0)
handle.connect_uri(sys.argv[1])
reply(handle.get_size(), handle.is_read_only(), struct.pack("<I", int(handle.can_trim())))


def start(number, operation, offset, length):
    if operation == READ:
        into = nbd.Buffer(length)
        handle.aio_pread(into, offset, lambda error: finish(number, error, lambda: into.to_bytearray()))
    elif operation == WRITE:
        data = nbd.Buffer.from_bytearray(bytearray(recv(length)))
        handle.aio_pwrite(data, offset, lambda error: finish(number, error))
    elif operation in (ZERO, UNMAP):
        flags = nbd.CMD_FLAG_NO_HOLE if operation == ZERO else 0
        handle.aio_zero(length, offset, lambda error: finish(number, error), flags)
    elif operation == TRIM:
        handle.aio_trim(length, offset, lambda error: finish(number, error))
    elif operation == FLUSH:
        handle.aio_flush(lambda error: finish(number, error))
    elif operation == MAP:
        extents = []

        def seen(context, begin, entries, error):
            extents.extend(entries)
            return 0

        handle.aio_block_status(
            length, offset, seen, lambda error: finish(number, error, lambda: struct.pack(f"<{len(extents)}I", *extents))
        )


def finish(number, error, data=lambda: b""):
    value = error.value if hasattr(error, "value") else error
    reply(number, value, b"" if value else bytes(data()))
    return 1


poll = select.poll()
while True:
    direction = handle.aio_get_direction()
    wanted = (select.POLLIN if direction & nbd.AIO_DIRECTION_READ else 0) | (
        select.POLLOUT if direction & nbd.AIO_DIRECTION_WRITE else 0
    )
    poll.register(handle.aio_get_fd(), wanted)
    poll.register(0, select.POLLIN)
    for fd, event in poll.poll():
        if fd == 0:
            header = os.read(0, 1)
            if not header:
                handle.shutdown()
                sys.exit(0)
            request = REQUEST.unpack(header + recv(REQUEST.size - 1))
            try:
                start(*request)
            except nbd.Error as failure:
                reply(request[0], failure.errnum or 5)
        elif event & (select.POLLIN | select.POLLHUP) and direction & nbd.AIO_DIRECTION_READ:
            handle.aio_notify_read()
        elif event & select.POLLOUT and direction & nbd.AIO_DIRECTION_WRITE:
            handle.aio_notify_write()
