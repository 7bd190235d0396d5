// /dev/fuse: batches of requests in, batches of replies out, and the backing files of passthrough.
#include <unistd.h>

#include "async.h"
#include "clock.h"
#include "linux.h"
#include "subjects.h"

namespace lamina {

/** One request, or -errno. A read that was interrupted, or whose request was taken back (ENOENT), is made again. */
static int64_t readRequest(int fd, uint8_t* into, size_t room) {
  for (;;) {
    const ssize_t got = read(fd, into, room);
    if (got >= 0) return got;
    if (errno != EINTR && errno != ENOENT) return -errno;
  }
}

/** As readRequest, trying for `micros` microseconds while there is none; says in `waited` whether there was none at first. */
static int64_t awaitRequest(int fd, uint8_t* into, size_t room, int64_t micros, bool* waited) {
  int64_t got = readRequest(fd, into, room);
  if (got != -EAGAIN || micros <= 0) return got;
  *waited = true;
  const int64_t end = nowMicros() + micros;
  do {
    got = readRequest(fd, into, room);
  } while (got == -EAGAIN && nowMicros() < end);
  return got;
}

static int64_t fuseReadCall(int fd, Bytes buffer, Ints starts, int64_t room, int64_t spinMicros) {
  if (starts.size < 2 || room <= 0 || buffer.size > INT32_MAX) return -EINVAL;
  const size_t most = starts.size - 1;
  size_t count = 0;
  size_t at = 0;
  starts.data[0] = 0;
  bool waited = false;
  while (count < most && at + static_cast<size_t>(room) <= buffer.size) {
    const int64_t got = awaitRequest(fd, buffer.data + at, buffer.size - at, count == 0 ? spinMicros : 0, &waited);
    if (got == -EAGAIN || got == 0) break;
    if (got < 0) return count > 0 ? static_cast<int64_t>(count) : got;
    at = (at + static_cast<size_t>(got) + 7) & ~static_cast<size_t>(7);
    starts.data[++count] = static_cast<int32_t>(at);
    // It has only just come; its caller waits while we look whether another has.
    if (waited) break;
  }
  return static_cast<int64_t>(count);
}

static int64_t fuseWriteCall(int fd, Bytes buffer, Ints ends, int count, Ints results) {
  if (count < 0 || static_cast<size_t>(count) > ends.size || static_cast<size_t>(count) > results.size) return -EINVAL;
  int32_t at = 0;
  for (int i = 0; i < count; i++) {
    const int32_t end = ends.data[i];
    const uint8_t* message = buffer.part(at, static_cast<int64_t>(end) - at);
    if (message == nullptr) return -EINVAL;
    ssize_t put;
    do {
      put = write(fd, message, static_cast<size_t>(end - at));
    } while (put < 0 && errno == EINTR);
    results.data[i] = put < 0 ? -errno : 0;
    at = end;
  }
  return count;
}

/** Syncs `fd` and answers the request with what came of it, which is also returned: nobody waits for another thread in between. */
static int64_t fuseSyncCall(int fuseFd, int fd, bool datasync, unsigned uniqueLow, unsigned uniqueHigh) {
  const int64_t rc = result(datasync ? fdatasync(fd) : fsync(fd));
  const uint32_t answer[4] = {sizeof answer, static_cast<uint32_t>(static_cast<int32_t>(rc)), uniqueLow, uniqueHigh};
  while (write(fuseFd, answer, sizeof answer) < 0 && errno == EINTR) {
  }
  return rc;
}

static int64_t fuseBackingOpenCall(int fuseFd, int fd) {
  const FuseBackingMap map{fd, 0, 0};
  return result(ioctl(fuseFd, kFuseBackingOpen, &map));
}

static int64_t fuseBackingCloseCall(int fuseFd, unsigned id) { return result(ioctl(fuseFd, kFuseBackingClose, &id)); }

static constexpr Method kMethods[] = {
    {"fuseRead", Call<fuseReadCall>},
    {"fuseWrite", Call<fuseWriteCall>},
    {"fuseSyncAsync", AsyncCall<fuseSyncCall>},
    {"fuseBackingOpen", Call<fuseBackingOpenCall>},
    {"fuseBackingClose", Call<fuseBackingCloseCall>},
};

Methods fuseMethods() { return {kMethods, sizeof kMethods / sizeof kMethods[0]}; }

}  // namespace lamina
