// Bytes of open files: reading, writing, space and position; most also on worker threads.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "async.h"
#include "copy.h"
#include "subjects.h"

namespace lamina {

/** Repeats a call that a signal interrupted. */
template <typename F>
static int64_t uninterrupted(F call) {
  int64_t rc;
  do {
    rc = result(call());
  } while (rc == -EINTR);
  return rc;
}

// Never repeated: after EINTR the descriptor is closed, and its number may be somebody else's.
static int64_t closeCall(int fd) { return result(close(fd)); }

static int64_t ftruncateCall(int fd, int64_t size) {
  return uninterrupted([=] { return ftruncate(fd, size); });
}

static int64_t lseekCall(int fd, int64_t offset, int whence) { return result(lseek(fd, offset, whence)); }

static int64_t fallocateCall(int fd, int mode, int64_t offset, int64_t length) {
  return uninterrupted([=] { return fallocate(fd, mode, offset, length); });
}

static int64_t fsyncCall(int fd, bool datasync) { return result(datasync ? fdatasync(fd) : fsync(fd)); }

static int64_t syncfsCall(int fd) { return result(syncfs(fd)); }

static int64_t preadCall(int fd, Bytes buffer, int64_t at, int64_t length, int64_t offset) {
  uint8_t* into = buffer.part(at, length);
  if (into == nullptr) return -EFAULT;
  return uninterrupted([=] { return pread(fd, into, static_cast<size_t>(length), offset); });
}

static int64_t preadNowaitCall(int fd, Bytes buffer, int64_t at, int64_t length, int64_t offset) {
  uint8_t* into = buffer.part(at, length);
  if (into == nullptr) return -EFAULT;
  const iovec piece{into, static_cast<size_t>(length)};
  return uninterrupted([&] { return preadv2(fd, &piece, 1, offset, RWF_NOWAIT); });
}

static int64_t pwriteCall(int fd, Bytes buffer, int64_t at, int64_t length, int64_t offset) {
  const uint8_t* from = buffer.part(at, length);
  if (from == nullptr) return -EFAULT;
  return uninterrupted([=] { return pwrite(fd, from, static_cast<size_t>(length), offset); });
}

static int64_t copyFileRangeCall(int src, int64_t srcOffset, int dst, int64_t dstOffset, int64_t length) {
  if (length < 0) return -EINVAL;
  return uninterrupted([&] {
    loff_t from = srcOffset;
    loff_t to = dstOffset;
    return copy_file_range(src, &from, dst, &to, static_cast<size_t>(length), 0);
  });
}

static int64_t cloneCall(int dst, int src) {
  return uninterrupted([=] { return ioctl(dst, FICLONE, src); });
}

static Listing listDirectory(int fd) {
  constexpr size_t kStep = 256 * 1024;
  Listing listing;
  if (lseek(fd, 0, SEEK_SET) < 0) {
    listing.error = -errno;
    return listing;
  }
  size_t used = 0;
  for (;;) {
    listing.bytes.resize(used + kStep);
    const int64_t got = result(syscall(SYS_getdents64, fd, listing.bytes.data() + used, kStep));
    if (got < 0) listing.error = got;
    if (got <= 0) break;
    used += static_cast<size_t>(got);
  }
  listing.bytes.resize(used);
  return listing;
}

static constexpr Method kMethods[] = {
    {"close", Call<closeCall>},
    {"ftruncate", Call<ftruncateCall>},
    {"lseek", Call<lseekCall>},
    {"fallocate", Call<fallocateCall>},
    {"fsync", Call<fsyncCall>},
    {"pread", Call<preadCall>},
    {"preadNowait", Call<preadNowaitCall>},
    {"pwrite", Call<pwriteCall>},
    {"copyFileRange", Call<copyFileRangeCall>},
    {"clone", Call<cloneCall>},
    {"copyCached", Call<copyCached>},
    {"fsyncAsync", AsyncCall<fsyncCall>},
    {"syncfsAsync", AsyncCall<syncfsCall>},
    {"preadAsync", AsyncCall<preadCall>},
    {"pwriteAsync", AsyncCall<pwriteCall>},
    {"copyFileRangeAsync", AsyncCall<copyFileRangeCall>},
    {"fallocateAsync", AsyncCall<fallocateCall>},
    {"closeAsync", AsyncCall<closeCall>},
    {"copyFileAsync", AsyncCall<copyFile>},
    {"getdentsAsync", AsyncCall<listDirectory>},
};

Methods dataMethods() { return {kMethods, sizeof kMethods / sizeof kMethods[0]}; }

}  // namespace lamina
