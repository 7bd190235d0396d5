// Numbers and structs of the kernel's interface that the headers of Debian 12 (Linux 6.1) lack, from the kernel's own
// include/uapi. Syscall numbers from 424 on are the same on every architecture.
#pragma once
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif
#ifndef STATX_SUBVOL
#define STATX_SUBVOL 0x8000U
#endif
#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200
#endif
#ifndef AT_HANDLE_MNT_ID_UNIQUE
#define AT_HANDLE_MNT_ID_UNIQUE 0x001
#endif
#ifndef FALLOC_FL_WRITE_ZEROES
#define FALLOC_FL_WRITE_ZEROES 0x80
#endif

namespace lamina {

/** linux/xattr.h, 6.13: struct xattr_args. */
struct XattrArgs {
  uint64_t value;
  uint32_t size;
  uint32_t flags;
};

/** linux/mount.h: struct mount_attr. Here because <sys/mount.h> and <linux/mount.h> do not combine in every glibc. */
struct MountAttr {
  uint64_t set;
  uint64_t clear;
  uint64_t propagation;
  uint64_t usernsFd;
};

/** linux/fs.h, 6.9: struct fsuuid2 and FS_IOC_GETFSUUID. */
struct FsUuid2 {
  uint8_t length;
  uint8_t uuid[16];
};
constexpr unsigned long kGetFsUuid = _IOR(0x15, 0, FsUuid2);

/** linux/fuse.h, 7.40: struct fuse_backing_map and the two ioctls of passthrough. */
struct FuseBackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
constexpr unsigned long kFuseBackingOpen = _IOW(229, 1, FuseBackingMap);
constexpr unsigned long kFuseBackingClose = _IOW(229, 2, uint32_t);

/** linux/fuse.h, 7.42: the header block of one ring entry (struct fuse_uring_req_header). */
struct FuseRingHeader {
  uint8_t inOut[128];  // fuse_in_header of the request, later fuse_out_header of its answer
  uint8_t op[128];     // the operation's own struct
  uint64_t flags;
  uint64_t commitId;
  uint32_t payloadBytes;
  uint32_t padding;
  uint64_t reserved;
};
static_assert(sizeof(FuseRingHeader) == 288);

/** From an entry's start to its payload: the header block, and room for the request's structs in one piece (ring.cc). */
constexpr size_t kRingEntryHead = 512;

/** linux/fuse.h, 7.42: what a command carries in the second half of its SQE (struct fuse_uring_cmd_req). */
struct FuseRingCommand {
  uint64_t flags;
  uint64_t commitId;
  uint16_t queue;
  uint8_t padding[6];
};
constexpr uint32_t kFuseRingRegister = 1;
constexpr uint32_t kFuseRingCommitAndFetch = 2;

}  // namespace lamina
