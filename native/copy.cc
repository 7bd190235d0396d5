// Copies a file as cheaply as the two file systems allow, and keeps its holes.
#include "copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "args.h"

namespace lamina {

static constexpr int64_t kSmallCopy = 64 << 10;
static constexpr int64_t kPiece = 1 << 20;
// One copy_file_range may reflink or copy any amount; shorter ones let a signal or an error through.
static constexpr int64_t kRange = 1 << 30;

class Copy {
 public:
  Copy(int src, int dst) : src_(src), dst_(dst) {}

  /** Copies the data extents below `size`. */
  int64_t extents(int64_t size) {
    int64_t at = 0;
    while (at < size) {
      int64_t end = size;
      const int64_t data = result(lseek(src_, at, SEEK_DATA));
      if (data == -ENXIO) return 0;  // only a hole is left
      if (data >= 0) {
        at = std::min(data, size);
        const int64_t hole = result(lseek(src_, at, SEEK_HOLE));
        if (hole > at) end = std::min(hole, size);
      } else if (data != -EINVAL && data != -EOPNOTSUPP) {
        return data;
      }
      const int64_t rc = range(at, end);
      if (rc < 0) return rc;
      at = end;
    }
    return 0;
  }

 private:
  int64_t range(int64_t at, int64_t end) {
    while (at < end) {
      const int64_t done = kernelCopies_ ? kernel(at, end - at) : piece(at, std::min(kPiece, end - at));
      if (done < 0) return done;
      if (done == 0) return 0;  // the source is shorter than it was said to be
      at += done;
    }
    return 0;
  }

  /** copy_file_range; where the two files cannot do it, and where it sees nothing (some pseudo files), read and write. */
  int64_t kernel(int64_t at, int64_t length) {
    loff_t from = at;
    loff_t to = at;
    const auto most = static_cast<size_t>(std::min(kRange, length));
    const int64_t done = result(copy_file_range(src_, &from, dst_, &to, most, 0));
    if (done > 0) return done;
    if (done == -EINTR) return kernel(at, length);
    if (done < 0 && done != -EXDEV && done != -EOPNOTSUPP && done != -EINVAL && done != -ENOSYS) return done;
    kernelCopies_ = false;
    return piece(at, std::min(kPiece, length));
  }

  int64_t piece(int64_t at, int64_t length) {
    if (!buffer_) buffer_ = std::make_unique<uint8_t[]>(kPiece);
    int64_t got;
    do {
      got = result(pread(src_, buffer_.get(), static_cast<size_t>(length), at));
    } while (got == -EINTR);
    for (int64_t put = 0; put < got;) {
      const int64_t rc = result(pwrite(dst_, buffer_.get() + put, static_cast<size_t>(got - put), at + put));
      if (rc < 0 && rc != -EINTR) return rc;
      if (rc > 0) put += rc;
    }
    return got;
  }

  int src_;
  int dst_;
  bool kernelCopies_ = true;
  std::unique_ptr<uint8_t[]> buffer_;
};

int64_t copyCached(int src, int dst, int64_t size) {
  static thread_local uint8_t buffer[kSmallCopy];
  if (size <= 0 || size > kSmallCopy) return -EAGAIN;
  // Where extents can be shared they are, whatever the size.
  if (ioctl(dst, FICLONE, src) == 0) return ftruncate(dst, size) != 0 ? -errno : 0;
  const iovec whole{buffer, static_cast<size_t>(size)};
  if (preadv2(src, &whole, 1, 0, RWF_NOWAIT) != size) return -EAGAIN;
  const ssize_t put = pwrite(dst, buffer, static_cast<size_t>(size), 0);
  if (put < 0) return -errno;
  return put == size ? 0 : -ENOSPC;
}

int64_t copyFile(int src, int dst, int64_t size, bool sync) {
  if (size < 0) return -EINVAL;
  if (ioctl(dst, FICLONE, src) != 0) {
    const int64_t rc = Copy(src, dst).extents(size);
    if (rc < 0) return rc;
  }
  if (ftruncate(dst, size) != 0) return -errno;
  return sync ? result(fsync(dst)) : 0;
}

}  // namespace lamina
