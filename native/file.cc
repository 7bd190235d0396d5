// Names and attributes: the *at() calls. A final symlink is followed only where the caller's flags say so.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>

#include "linux.h"
#include "procfd.h"
#include "subjects.h"

namespace lamina {

static int64_t openat2Call(int dirfd, Path path, unsigned flags, unsigned mode, unsigned resolve) {
  open_how how{};
  how.flags = flags;
  how.mode = mode;
  how.resolve = resolve;
  return result(syscall(SYS_openat2, dirfd, path.text, &how, sizeof how));
}

static int64_t dupCall(int fd) { return result(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

static constexpr const char* kStatSlots[] = {
    "ino",       "inoLow",   "inoHigh",    "mode",           "nlink",    "uid",       "gid",   "size",      "blocks",
    "blksize",   "rdevMajor", "rdevMinor", "devMajor",       "devMinor", "atime",     "atimeNsec", "mtime", "mtimeNsec",
    "ctime",     "ctimeNsec", "btime",     "btimeNsec",      "attributes", "attributesMask", "mountId", "mask"};
static constexpr size_t kStatSlotCount = sizeof kStatSlots / sizeof kStatSlots[0];

Napi::Array statSlots(Napi::Env env) {
  auto names = Napi::Array::New(env, kStatSlotCount);
  for (uint32_t i = 0; i < kStatSlotCount; i++) names.Set(i, kStatSlots[i]);
  return names;
}

static int64_t statxCall(int dirfd, Path path, int flags, Doubles slots) {
  if (slots.size < kStatSlotCount) return -EINVAL;
  struct statx st;
  if (statx(dirfd, path.text, flags, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, &st) != 0) return -errno;
  double* out = slots.data;
  *out++ = static_cast<double>(st.stx_ino);
  *out++ = static_cast<uint32_t>(st.stx_ino);
  *out++ = static_cast<uint32_t>(st.stx_ino >> 32);
  *out++ = st.stx_mode;
  *out++ = st.stx_nlink;
  *out++ = st.stx_uid;
  *out++ = st.stx_gid;
  *out++ = static_cast<double>(st.stx_size);
  *out++ = static_cast<double>(st.stx_blocks);
  *out++ = st.stx_blksize;
  *out++ = st.stx_rdev_major;
  *out++ = st.stx_rdev_minor;
  *out++ = st.stx_dev_major;
  *out++ = st.stx_dev_minor;
  for (const auto& time : {st.stx_atime, st.stx_mtime, st.stx_ctime, st.stx_btime}) {
    *out++ = static_cast<double>(time.tv_sec);
    *out++ = time.tv_nsec;
  }
  *out++ = static_cast<double>(st.stx_attributes);
  *out++ = static_cast<double>(st.stx_attributes_mask);
  *out++ = static_cast<double>(st.stx_mnt_id);
  *out++ = st.stx_mask;
  return 0;
}

// The system call itself: glibc's faccessat answers AT_EACCESS from other ids than the kernel checks (fsuid).
static int64_t faccessatCall(int dirfd, Path path, int mode, int flags) {
  return result(syscall(SYS_faccessat2, dirfd, path.text, mode, flags));
}

static int64_t getdentsCall(int fd, Bytes buffer) { return result(syscall(SYS_getdents64, fd, buffer.data, buffer.size)); }

static int64_t readlinkatCall(int dirfd, Path path, Bytes buffer) {
  return result(readlinkat(dirfd, path.text, reinterpret_cast<char*>(buffer.data), buffer.size));
}

static int64_t mkdiratCall(int dirfd, Path path, unsigned mode) { return result(mkdirat(dirfd, path.text, mode)); }

static int64_t mknodatCall(int dirfd, Path path, unsigned mode, unsigned major, unsigned minor) {
  return result(mknodat(dirfd, path.text, mode, makedev(major, minor)));
}

static int64_t symlinkatCall(Path target, int dirfd, Path path) {
  return result(symlinkat(target.text, dirfd, path.text));
}

static int64_t linkatCall(int olddirfd, Path oldpath, int newdirfd, Path newpath, int flags) {
  return result(linkat(olddirfd, oldpath.text, newdirfd, newpath.text, flags));
}

static int64_t unlinkatCall(int dirfd, Path path, int flags) { return result(unlinkat(dirfd, path.text, flags)); }

static int64_t renameat2Call(int olddirfd, Path oldpath, int newdirfd, Path newpath, unsigned flags) {
  return result(syscall(SYS_renameat2, olddirfd, oldpath.text, newdirfd, newpath.text, flags));
}

static std::atomic<bool> haveFchmodat2{true};

static int64_t fchmodatCall(int dirfd, Path path, unsigned mode) {
  if (haveFchmodat2.load(std::memory_order_relaxed)) {
    const int64_t rc = result(syscall(SYS_fchmodat2, dirfd, path.text, mode, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
    if (rc != -ENOSYS) return rc;
    haveFchmodat2.store(false, std::memory_order_relaxed);
  }
  const ProcFd node(dirfd, path);
  return node.error != 0 ? -node.error : node.answer(chmod(node.path(), mode));
}

static int64_t fchownatCall(int dirfd, Path path, unsigned uid, unsigned gid) {
  return result(fchownat(dirfd, path.text, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

// The system call itself: glibc refuses an empty path. AT_EMPTY_PATH is understood since Linux 5.8.
static int64_t utimensatCall(int dirfd, Path path, int64_t atime, int64_t atimeNsec, int64_t mtime, int64_t mtimeNsec) {
  const timespec times[2] = {{atime, atimeNsec}, {mtime, mtimeNsec}};
  return result(syscall(SYS_utimensat, dirfd, path.text, times, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

static int64_t flockCall(int fd, int operation) { return result(flock(fd, operation)); }

static int64_t fstatfsCall(int fd, Doubles out) {
  struct statfs st;
  if (out.size < 12) return -EINVAL;
  if (fstatfs(fd, &st) != 0) return -errno;
  const double values[] = {static_cast<double>(static_cast<uint32_t>(st.f_type)),
                           static_cast<double>(st.f_bsize),
                           static_cast<double>(st.f_blocks),
                           static_cast<double>(st.f_bfree),
                           static_cast<double>(st.f_bavail),
                           static_cast<double>(st.f_files),
                           static_cast<double>(st.f_ffree),
                           static_cast<double>(st.f_namelen),
                           static_cast<double>(st.f_frsize),
                           static_cast<double>(st.f_flags),
                           static_cast<double>(static_cast<uint32_t>(st.f_fsid.__val[0])),
                           static_cast<double>(static_cast<uint32_t>(st.f_fsid.__val[1]))};
  memcpy(out.data, values, sizeof values);
  return 0;
}

static constexpr Method kMethods[] = {
    {"openat2", Call<openat2Call>},     {"dup", Call<dupCall>},
    {"statx", Call<statxCall>},         {"faccessat", Call<faccessatCall>},
    {"getdents", Call<getdentsCall>},   {"readlinkat", Call<readlinkatCall>},
    {"mkdirat", Call<mkdiratCall>},     {"mknodat", Call<mknodatCall>},
    {"symlinkat", Call<symlinkatCall>}, {"linkat", Call<linkatCall>},
    {"unlinkat", Call<unlinkatCall>},   {"renameat2", Call<renameat2Call>},
    {"fchmodat", Call<fchmodatCall>},   {"fchownat", Call<fchownatCall>},
    {"utimensat", Call<utimensatCall>}, {"flock", Call<flockCall>},
    {"fstatfs", Call<fstatfsCall>},
};

Methods fileMethods() { return {kMethods, sizeof kMethods / sizeof kMethods[0]}; }

}  // namespace lamina
