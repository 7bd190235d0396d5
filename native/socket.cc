// Stream sockets, never blocking: listening, accepting, and moving bytes between a connection and a given buffer. Node's
// own sockets copy every chunk into memory of its own, which halves the speed of large writes.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <ctime>

#include "subjects.h"

namespace lamina {

constexpr int kBacklog = 128;
/** What the kernel may hold for a client that is busy; it takes less where net.core.wmem_max says so. */
constexpr int kSendBuffer = 1 << 20;

/** Closes a descriptor that could not be made ready; the error of `rc` as -errno. */
static int64_t undo(int fd) {
  const int error = errno;
  close(fd);
  return -error;
}

/** Fills an address of the unix domain; its length, or 0 when the path is too long for one. */
static socklen_t unixAddress(Path path, sockaddr_un* address) {
  const size_t length = strlen(path.text);
  if (length >= sizeof address->sun_path) return 0;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path.text, length + 1);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length + 1);
}

// The mode is set before there is a name, so that there is no moment at which others could connect.
static int64_t listenUnixCall(Path path, int mode) {
  sockaddr_un address;
  const socklen_t length = unixAddress(path, &address);
  if (length == 0) return -ENAMETOOLONG;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (fchmod(fd, static_cast<mode_t>(mode)) != 0) return undo(fd);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) return undo(fd);
  return listen(fd, kBacklog) != 0 ? undo(fd) : fd;
}

static int64_t connectUnixCall(Path path) {
  sockaddr_un address;
  const socklen_t length = unixAddress(path, &address);
  if (length == 0) return -ENAMETOOLONG;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  return connect(fd, reinterpret_cast<sockaddr*>(&address), length) != 0 ? undo(fd) : fd;
}

/** Fills an address of IPv4 or IPv6 from its text; its length, or 0. */
static socklen_t internetAddress(Path host, int port, sockaddr_storage* address) {
  memset(address, 0, sizeof *address);
  auto* four = reinterpret_cast<sockaddr_in*>(address);
  auto* six = reinterpret_cast<sockaddr_in6*>(address);
  if (inet_pton(AF_INET, host.text, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(static_cast<uint16_t>(port));
    return sizeof *four;
  }
  if (inet_pton(AF_INET6, host.text, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(static_cast<uint16_t>(port));
    return sizeof *six;
  }
  return 0;
}

static int64_t listenTcpCall(Path host, int port) {
  sockaddr_storage address;
  const socklen_t length = port < 0 || port > UINT16_MAX ? 0 : internetAddress(host, port, &address);
  if (length == 0) return -EINVAL;
  const int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return undo(fd);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) return undo(fd);
  return listen(fd, kBacklog) != 0 ? undo(fd) : fd;
}

static int64_t socketPortCall(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return -errno;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return -EAFNOSUPPORT;
}

static int64_t acceptCall(int listener) {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  int fd;
  do {
    fd = accept4(listener, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return -errno;
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  if (peer.ss_family != AF_UNIX) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  return fd;
}

static int64_t monotonicNanos() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

static int64_t receiveCall(int fd, Bytes buffer, int64_t at, int64_t length, int64_t spinMicros) {
  uint8_t* into = buffer.part(at, length);
  if (into == nullptr) return -EFAULT;
  const int64_t until = spinMicros > 0 ? monotonicNanos() + spinMicros * 1000 : 0;
  for (;;) {
    const ssize_t got = recv(fd, into, static_cast<size_t>(length), MSG_DONTWAIT);
    if (got >= 0) return got;
    if (errno == EINTR) continue;
    if (errno != EAGAIN || until == 0 || monotonicNanos() >= until) return -errno;
  }
}

static int64_t sendCall(int fd, Bytes buffer, int64_t at, int64_t length) {
  const uint8_t* from = buffer.part(at, length);
  if (from == nullptr) return -EFAULT;
  ssize_t put;
  do {
    put = send(fd, from, static_cast<size_t>(length), MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (put < 0 && errno == EINTR);
  return put < 0 ? -errno : put;
}

static int64_t socketPeerCall(int fd, Ints out) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (out.size < 3) return -EINVAL;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return -errno;
  out.data[0] = peer.pid;
  out.data[1] = static_cast<int32_t>(peer.uid);
  out.data[2] = static_cast<int32_t>(peer.gid);
  return 0;
}

/** Puts the descriptors that came with `message` into `fds`; the ones that do not fit are closed. */
static void takeDescriptors(msghdr* message, Ints fds) {
  size_t taken = 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(message); part != nullptr; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      if (taken < fds.size) {
        fds.data[taken++] = fd;
      } else {
        close(fd);
      }
    }
  }
}

static int64_t receiveWithFdsCall(int socket, Bytes buffer, int64_t at, int64_t length, Ints fds) {
  uint8_t* into = buffer.part(at, length);
  if (into == nullptr) return -EFAULT;
  alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
  iovec data{into, static_cast<size_t>(length)};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  for (size_t i = 0; i < fds.size; i++) fds.data[i] = -1;
  ssize_t got;
  do {
    got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  takeDescriptors(&message, fds);
  return got;
}

static int64_t sendDatagramCall(Path path, Bytes message) {
  sockaddr_un address;
  socklen_t length = unixAddress(path, &address);
  if (length == 0) return -ENAMETOOLONG;
  if (address.sun_path[0] == '@') {
    address.sun_path[0] = '\0';
    length--;  // an abstract name is not ended by a NUL
  }
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  const ssize_t put = sendto(fd, message.data, message.size, MSG_DONTWAIT | MSG_NOSIGNAL,
                             reinterpret_cast<sockaddr*>(&address), length);
  if (put < 0) return undo(fd);
  close(fd);
  return put;
}

static constexpr Method kMethods[] = {
    {"listenUnix", Call<listenUnixCall>},   {"connectUnix", Call<connectUnixCall>},
    {"listenTcp", Call<listenTcpCall>},     {"socketPort", Call<socketPortCall>},
    {"acceptSocket", Call<acceptCall>},     {"receive", Call<receiveCall>},
    {"send", Call<sendCall>},               {"sendDatagram", Call<sendDatagramCall>},
    {"socketPeer", Call<socketPeerCall>},   {"receiveWithFds", Call<receiveWithFdsCall>},
};

Methods socketMethods() { return {kMethods, sizeof kMethods / sizeof kMethods[0]}; }

}  // namespace lamina
