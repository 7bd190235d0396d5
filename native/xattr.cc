// Extended attributes by directory descriptor and name, never through a final symlink. The *xattrat calls of Linux 6.13
// where they exist, else O_PATH and /proc/self/fd. Those calls refuse an O_PATH descriptor with an empty path (EBADF), so
// that case always takes the second way.
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>

#include "linux.h"
#include "procfd.h"
#include "subjects.h"

namespace lamina {

static std::atomic<bool> haveXattrat{true};
static constexpr int kAtFlags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;

/** Makes the newer call, or the older one with the path of the file's link under /proc. */
template <typename Newer, typename Older>
static int64_t either(int dirfd, Path path, Newer newer, Older older) {
  if (haveXattrat.load(std::memory_order_relaxed)) {
    const int64_t rc = result(newer());
    if (rc == -ENOSYS) {
      haveXattrat.store(false, std::memory_order_relaxed);
    } else if (rc != -EBADF || !path.empty()) {
      return rc;
    }
  }
  const ProcFd node(dirfd, path);
  return node.error != 0 ? -node.error : node.answer(older(node.path()));
}

static int64_t getxattratCall(int dirfd, Path path, Path name, Bytes buffer) {
  const XattrArgs args{reinterpret_cast<uint64_t>(buffer.data), static_cast<uint32_t>(buffer.size), 0};
  return either(
      dirfd, path, [&] { return syscall(SYS_getxattrat, dirfd, path.text, kAtFlags, name.text, &args, sizeof args); },
      [&](const char* link) { return getxattr(link, name.text, buffer.data, buffer.size); });
}

static int64_t setxattratCall(int dirfd, Path path, Path name, Bytes value, unsigned flags) {
  const XattrArgs args{reinterpret_cast<uint64_t>(value.data), static_cast<uint32_t>(value.size), flags};
  return either(
      dirfd, path, [&] { return syscall(SYS_setxattrat, dirfd, path.text, kAtFlags, name.text, &args, sizeof args); },
      [&](const char* link) { return setxattr(link, name.text, value.data, value.size, static_cast<int>(flags)); });
}

static int64_t listxattratCall(int dirfd, Path path, Bytes buffer) {
  return either(
      dirfd, path, [&] { return syscall(SYS_listxattrat, dirfd, path.text, kAtFlags, buffer.data, buffer.size); },
      [&](const char* link) { return listxattr(link, reinterpret_cast<char*>(buffer.data), buffer.size); });
}

static int64_t removexattratCall(int dirfd, Path path, Path name) {
  return either(
      dirfd, path, [&] { return syscall(SYS_removexattrat, dirfd, path.text, kAtFlags, name.text); },
      [&](const char* link) { return removexattr(link, name.text); });
}

static constexpr Method kMethods[] = {
    {"getxattrat", Call<getxattratCall>},
    {"setxattrat", Call<setxattratCall>},
    {"listxattrat", Call<listxattratCall>},
    {"removexattrat", Call<removexattratCall>},
};

Methods xattrMethods() { return {kMethods, sizeof kMethods / sizeof kMethods[0]}; }

}  // namespace lamina
