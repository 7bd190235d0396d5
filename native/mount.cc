// Mounts, the credentials of the calling thread, and descriptors that travel over sockets.
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "async.h"
#include "linux.h"
#include "subjects.h"

namespace lamina {

static int64_t umaskCall(unsigned mask) { return umask(mask); }

// setfsuid and setfsgid return the former id and no error; an invalid id changes nothing and so reads the present one.
static int64_t setfsidsCall(unsigned uid, unsigned gid) {
  constexpr auto kNone = static_cast<unsigned>(-1);
  const int formerGid = setfsgid(gid);
  const int formerUid = setfsuid(uid);
  if (static_cast<unsigned>(setfsuid(kNone)) == uid && static_cast<unsigned>(setfsgid(kNone)) == gid) return 0;
  setfsuid(static_cast<unsigned>(formerUid));
  setfsgid(static_cast<unsigned>(formerGid));
  return -EPERM;
}

static int64_t keepCapabilitiesCall() {
  const int bits = prctl(PR_GET_SECUREBITS);
  if (bits < 0) return -errno;
  return result(prctl(PR_SET_SECUREBITS, static_cast<unsigned long>(bits) | SECBIT_NO_SETUID_FIXUP));
}

static int64_t mountCall(Path source, Path target, Path type, unsigned flags, Path data) {
  return result(mount(source.text, target.text, type.text, flags, data.text));
}

static int64_t umountCall(Path target, int flags) { return result(umount2(target.text, flags)); }

static int64_t openTreeCall(int dirfd, Path path, unsigned flags) {
  return result(syscall(SYS_open_tree, dirfd, path.text, flags));
}

static int64_t mountSetattrCall(int fd, Path path, unsigned flags, unsigned set, unsigned clear) {
  MountAttr attr{};
  attr.set = set;
  attr.clear = clear;
  return result(syscall(SYS_mount_setattr, fd, path.text, flags, &attr, sizeof attr));
}

static int64_t socketpairCall(Ints out) {
  int pair[2];
  if (out.size < 2) return -EINVAL;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return -errno;
  out.data[0] = pair[0];
  out.data[1] = pair[1];
  return 0;
}

/** The descriptor in `message`, or -EBADMSG; closes any that came beside it. */
static int64_t takeDescriptor(msghdr* message) {
  int64_t taken = -EBADMSG;
  for (cmsghdr* part = CMSG_FIRSTHDR(message); part != nullptr; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      if (taken < 0) {
        taken = fd;
      } else {
        close(fd);
      }
    }
  }
  return taken;
}

static int64_t receiveFdCall(int socket) {
  char byte;
  alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
  iovec data{&byte, 1};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do {
    got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  return got == 0 ? -ENOTCONN : takeDescriptor(&message);
}

static constexpr Method kMethods[] = {
    {"umask", Call<umaskCall>},
    {"setfsids", Call<setfsidsCall>},
    {"keepCapabilities", Call<keepCapabilitiesCall>},
    {"mount", Call<mountCall>},
    {"umount", Call<umountCall>},
    {"umountAsync", AsyncCall<umountCall>},
    {"openTree", Call<openTreeCall>},
    {"mountSetattr", Call<mountSetattrCall>},
    {"socketpair", Call<socketpairCall>},
    {"receiveFd", Call<receiveFdCall>},
};

Methods mountMethods() { return {kMethods, sizeof kMethods / sizeof kMethods[0]}; }

}  // namespace lamina
