// A file by its /proc/self/fd link: the way to a file that may be a symlink or an O_PATH descriptor, for calls that have
// no form of their own for it. Following the link ends at the file itself, even when that is a symlink.
#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "args.h"

namespace lamina {

/** Opens `path` with O_PATH|O_NOFOLLOW while it lives; an empty path means `dirfd` itself (AT_FDCWD: where we are). */
class ProcFd {
 public:
  /** 0, or the errno with which the file could not be opened. */
  int error = 0;

  ProcFd(int dirfd, Path path) : fd_(dirfd), own_(!path.empty() || dirfd == AT_FDCWD) {
    if (own_) {
      fd_ = openat(dirfd, path.empty() ? "." : path.text, O_PATH | O_NOFOLLOW | O_CLOEXEC);
      if (fd_ < 0) error = errno;
    }
    snprintf(path_, sizeof path_, "/proc/self/fd/%d", fd_);
  }
  ~ProcFd() {
    if (own_ && fd_ >= 0) close(fd_);
  }
  ProcFd(const ProcFd&) = delete;
  ProcFd& operator=(const ProcFd&) = delete;

  const char* path() const { return path_; }

  /** What a call on path() returned, as >= 0 or -errno; a descriptor that is not open is -EBADF, not a missing link. */
  int64_t answer(int64_t rc) const {
    if (rc >= 0) return rc;
    const int found = errno;
    return found == ENOENT && fcntl(fd_, F_GETFD) < 0 ? -EBADF : -found;
  }

 private:
  int fd_;
  bool own_;
  char path_[32];
};

}  // namespace lamina
