// What a file is beyond its name and attributes: handles (name_to_handle_at), the file system's uuid, inode flags.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux.h"
#include "subjects.h"

namespace lamina {

/** A struct file_handle with the room that the kernel may ask for. */
struct Handle {
  uint32_t length = MAX_HANDLE_SZ;
  int32_t type = 0;
  uint8_t bytes[MAX_HANDLE_SZ];
  file_handle* get() { return reinterpret_cast<file_handle*>(this); }
};

static int64_t nameToHandleAtCall(int dirfd, Path path, Bytes buffer, int flags) {
  Handle handle;
  int32_t mountId = 0;
  if (buffer.size < 8) return -EOVERFLOW;
  // The wide mount id would be written over eight bytes; statx gives it to who wants it.
  if ((flags & AT_HANDLE_MNT_ID_UNIQUE) != 0) return -EINVAL;
  if (name_to_handle_at(dirfd, path.text, handle.get(), &mountId, flags) != 0) return -errno;
  if (handle.length > buffer.size - 8) return -EOVERFLOW;
  memcpy(buffer.data, &handle.type, 4);
  memcpy(buffer.data + 4, &mountId, 4);
  memcpy(buffer.data + 8, handle.bytes, handle.length);
  return handle.length;
}

static int64_t openByHandleAtCall(int mountFd, Bytes bytes, int type, int flags) {
  Handle handle;
  if (bytes.size > sizeof handle.bytes) return -EINVAL;
  handle.length = static_cast<uint32_t>(bytes.size);
  handle.type = type;
  memcpy(handle.bytes, bytes.data, bytes.size);
  return result(open_by_handle_at(mountFd, handle.get(), flags | O_CLOEXEC));
}

static int64_t fsUuidCall(int fd, Bytes out) {
  FsUuid2 uuid{};
  if (out.size < sizeof uuid.uuid) return -EINVAL;
  if (ioctl(fd, kGetFsUuid, &uuid) != 0) return -errno;
  memcpy(out.data, uuid.uuid, sizeof uuid.uuid);
  return uuid.length;
}

/** A number that no other mount has had since the machine started; -ENOSYS before Linux 6.8. */
static int64_t uniqueMountIdCall(int fd) {
  struct statx st;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID_UNIQUE, &st) != 0) return -errno;
  return (st.stx_mask & STATX_MNT_ID_UNIQUE) != 0 ? static_cast<int64_t>(st.stx_mnt_id) : -ENOSYS;
}

// The ioctls are declared with long and use int.
static int64_t getFileFlagsCall(int fd) {
  uint32_t flags = 0;
  return ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0 ? -errno : static_cast<int64_t>(flags);
}

static int64_t setFileFlagsCall(int fd, unsigned flags) { return result(ioctl(fd, FS_IOC_SETFLAGS, &flags)); }

static int64_t getFsxattrCall(int fd, Bytes out) {
  if (out.size < sizeof(fsxattr)) return -EINVAL;
  return result(ioctl(fd, FS_IOC_FSGETXATTR, out.data));
}

static int64_t setFsxattrCall(int fd, Bytes value) {
  if (value.size < sizeof(fsxattr)) return -EINVAL;
  return result(ioctl(fd, FS_IOC_FSSETXATTR, value.data));
}

static constexpr Method kMethods[] = {
    {"nameToHandleAt", Call<nameToHandleAtCall>}, {"openByHandleAt", Call<openByHandleAtCall>},
    {"fsUuid", Call<fsUuidCall>},                 {"uniqueMountId", Call<uniqueMountIdCall>},
    {"getFileFlags", Call<getFileFlagsCall>},
    {"setFileFlags", Call<setFileFlagsCall>},     {"getFsxattr", Call<getFsxattrCall>},
    {"setFsxattr", Call<setFsxattrCall>},
};

Methods identityMethods() { return {kMethods, sizeof kMethods / sizeof kMethods[0]}; }

}  // namespace lamina
