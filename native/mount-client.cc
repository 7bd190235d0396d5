// `lamina-mount`, what engines start for every mount: it asks the process that serves the mounts of its caller's store
// (src/cli/mounts-daemon.ts) and prints the answer, or starts that process. It knows nothing of mounts. Whatever it is asked
// besides `-o OPTIONS MOUNTPOINT`, and whatever that process would rather not do, is done by `lamina` in its stead.
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>

#include "mount-caller.h"

extern char** environ;

namespace lamina {

/** For a process that should answer at once, and does not: the caller's mount does without it. */
constexpr int kPatienceSeconds = 10;
constexpr int kBacklog = 128;
/** A process may end between two looks; it does not do so time and again. */
constexpr int kAttempts = 4;
constexpr int kListenerFd = 3;

/** What the process sends: that it has seen the caller; then what came of it, and what the caller is to print. */
constexpr char kSeen = 'a';
constexpr char kDone = '0';
constexpr char kFailed = '1';

enum class Answer { kDone, kFailed, kElsewhere, kUnseen };

struct Request {
  const char* words[3];  // the directory that relative paths begin at, the options, the mount point
};

/** Where things are; paths that do not fit are not used. */
struct Places {
  char top[PATH_MAX];
  char main[PATH_MAX];
  char daemon[PATH_MAX];
  char cwd[PATH_MAX];
  char lock[sizeof sockaddr_un::sun_path];
  char socket[sizeof sockaddr_un::sun_path];
};

template <size_t size, typename... A>
static bool format(char (&out)[size], const char* how, A... what) {
  const int length = snprintf(out, size, how, what...);
  return length >= 0 && static_cast<size_t>(length) < size;
}

/** The package is two directories above this program. */
static bool findPackage(Places* places) {
  const ssize_t length = readlink("/proc/self/exe", places->top, sizeof places->top - 1);
  if (length <= 0) return false;
  places->top[length] = '\0';
  for (int up = 0; up < 3; up++) {
    char* slash = strrchr(places->top, '/');
    if (slash == nullptr) return false;
    *slash = '\0';
  }
  return format(places->main, "%s/dist/cli/main.js", places->top) &&
         format(places->daemon, "%s/dist/cli/mounts-daemon.js", places->top);
}

[[noreturn]] static void execNode(char* const* words) {
  execv(LAMINA_NODE, words);
  execvp("node", words);
  dprintf(2, "lamina: cannot start %s: %s\n", LAMINA_NODE, strerror(errno));
  _exit(1);
}

/** `lamina` with the same words. */
[[noreturn]] static void execMain(const Places& places, int argc, char** argv) {
  auto** words = static_cast<char**>(calloc(static_cast<size_t>(argc) + 2, sizeof(char*)));
  if (words == nullptr) _exit(1);
  char node[] = "node";
  words[0] = node;
  words[1] = const_cast<char*>(places.main);
  for (int i = 1; i < argc; i++) words[i + 1] = argv[i];
  execNode(words);
}

/** Makes the directory unless it is there; false unless it is the caller's own and closed to others. */
static bool ownDirectory(const char* path) {
  struct stat stat;
  if (mkdir(path, 0700) != 0 && errno != EEXIST) return false;
  return lstat(path, &stat) == 0 && S_ISDIR(stat.st_mode) && stat.st_uid == geteuid() && (stat.st_mode & 077) == 0;
}

static bool inDirectory(Places* places, const char* directory, const char* name) {
  return ownDirectory(directory) && format(places->socket, "%s/%s", directory, name) &&
         format(places->lock, "%s/lock", directory);
}

/** One socket for those who may share a process, in a directory of theirs. */
static bool findSocket(Places* places) {
  Fingerprint print;
  char addon[PATH_MAX];
  char name[33];
  char directory[PATH_MAX];
  if (getcwd(places->cwd, sizeof places->cwd) == nullptr || !addCaller(&print, environ)) return false;
  if (!format(addon, "%s/build/Release/lamina.node", places->top)) return false;
  const char* const parts[] = {places->main, places->daemon, addon, "/proc/self/exe"};
  for (const char* part : parts) {
    if (!addIdentity(&print, part)) return false;
  }
  print.add(places->top);
  print.add(places->cwd);
  print.print(name);
  if (geteuid() == 0 && inDirectory(places, "/run/lamina-mounts", name)) return true;
  const char* runtime = getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/' && format(directory, "%s/lamina-mounts", runtime) &&
      inDirectory(places, directory, name)) {
    return true;
  }
  struct stat space;
  return stat("/proc/self/ns/user", &space) == 0 &&
         format(directory, "/tmp/lamina-mounts-%u-%llu", geteuid(), static_cast<unsigned long long>(space.st_ino)) &&
         inDirectory(places, directory, name);
}

static socklen_t addressOf(const Places& places, sockaddr_un* address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, places.socket, strlen(places.socket));
  return sizeof *address;
}

/** What connectTo returns besides a descriptor. */
constexpr int kNobody = -1;
constexpr int kStranger = -2;  // or one that has too much to do

/** A connection to a process of the caller's own. */
static int connectTo(const Places& places) {
  sockaddr_un address;
  const socklen_t length = addressOf(places, &address);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return kStranger;
  const timeval patience{kPatienceSeconds, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  ucred peer{};
  socklen_t size = sizeof peer;
  const bool connected = connect(fd, reinterpret_cast<sockaddr*>(&address), length) == 0;
  const bool nobody = !connected && (errno == ENOENT || errno == ECONNREFUSED);
  if (connected && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid()) return fd;
  close(fd);
  return nobody ? kNobody : kStranger;
}

/** The child's side: a session of its own, in the root directory, with /dev/null and the socket and nothing else. */
[[noreturn]] static void becomeDaemon(const Places& places, int listener) {
  setsid();
  if (chdir("/") != 0) _exit(1);
  listener = fcntl(listener, F_DUPFD, kListenerFd + 1);
  const int null = open("/dev/null", O_RDWR);
  if (listener < 0 || null < 0) _exit(1);
  for (int fd = 0; fd < kListenerFd; fd++) {
    if (dup2(null, fd) < 0) _exit(1);
  }
  if (dup2(listener, kListenerFd) < 0) _exit(1);
  syscall(SYS_close_range, kListenerFd + 1, ~0U, 0);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  char node[] = "node";
  char* words[] = {node, const_cast<char*>(places.daemon), const_cast<char*>(places.cwd),
                   const_cast<char*>(places.socket), nullptr};
  execNode(words);
}

/** Listens in the new process's stead, so that whoever comes meanwhile waits for it; the first connection. */
static int startDaemon(const Places& places) {
  sockaddr_un address;
  const socklen_t length = addressOf(places, &address);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) return kStranger;
  int fd = kStranger;
  unlink(places.socket);
  if (fchmod(listener, 0600) == 0 && bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
      listen(listener, kBacklog) == 0) {
    fd = connectTo(places);
  }
  const pid_t child = fd < 0 ? -1 : fork();
  if (child == 0) becomeDaemon(places, listener);
  close(listener);
  if (child < 0 && fd >= 0) close(fd);
  return child < 0 ? kStranger : fd;
}

/** Under the lock, without which nobody gives the socket its name or takes it away: connects or starts. */
static int connectOrStart(const Places& places, bool* started) {
  const int lock = open(places.lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) return kStranger;
  struct sigaction awake{};
  awake.sa_handler = [](int) {};
  sigaction(SIGALRM, &awake, nullptr);
  alarm(kPatienceSeconds);
  const bool locked = flock(lock, LOCK_EX) == 0;
  alarm(0);
  int fd = locked ? connectTo(places) : kStranger;
  if (fd == kNobody) {
    fd = startDaemon(places);
    *started = fd >= 0;
  }
  close(lock);
  return fd;
}

/** The mount and user name space that the caller is in go along: nobody can send one that he is not in or may not look at. */
static bool sendRequest(int fd, const Request& request) {
  const int spaces[] = {open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC),
                        open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC)};
  if (spaces[0] < 0 || spaces[1] < 0) return false;
  uint32_t length = 0;
  iovec parts[4];
  parts[0] = {&length, sizeof length};
  for (int i = 0; i < 3; i++) {
    parts[i + 1] = {const_cast<char*>(request.words[i]), strlen(request.words[i]) + 1};
    length += static_cast<uint32_t>(parts[i + 1].iov_len);
  }
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof spaces)] = {};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 4;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof spaces);
  memcpy(CMSG_DATA(header), spaces, sizeof spaces);
  // A blocking stream socket takes all of it, unless time runs out.
  const ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  close(spaces[0]);
  close(spaces[1]);
  return sent == static_cast<ssize_t>(length + sizeof length);
}

static ssize_t readSome(int fd, char* buffer, size_t room) {
  ssize_t got;
  do {
    got = read(fd, buffer, room);
  } while (got < 0 && errno == EINTR);
  return got;
}

static void print(const char* text, size_t length) {
  while (length > 0) {
    const ssize_t put = write(2, text, length);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return;
    text += put;
    length -= static_cast<size_t>(put);
  }
}

static Answer ask(int fd, const Request& request) {
  // A process that has just ended is one that says nothing.
  sendRequest(fd, request);
  pollfd ready{fd, POLLIN, 0};
  if (poll(&ready, 1, kPatienceSeconds * 1000) == 0) return Answer::kElsewhere;
  char text[4096];
  if (readSome(fd, text, 1) != 1 || text[0] != kSeen) return Answer::kUnseen;
  if (readSome(fd, text, 1) != 1) {
    dprintf(2, "lamina: the process that serves the mounts of %s ended before the mount was live\n", request.words[0]);
    return Answer::kFailed;
  }
  if (text[0] != kDone && text[0] != kFailed) return Answer::kElsewhere;
  const Answer answer = text[0] == kDone ? Answer::kDone : Answer::kFailed;
  for (ssize_t got; (got = readSome(fd, text, sizeof text)) > 0;) print(text, static_cast<size_t>(got));
  return answer;
}

static Answer askSomebody(const Places& places, const Request& request) {
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    bool started = false;
    int fd = connectTo(places);
    if (fd == kNobody) fd = connectOrStart(places, &started);
    if (fd < 0) break;
    const Answer answer = ask(fd, request);
    close(fd);
    if (answer != Answer::kUnseen) return answer;
    // What keeps it from starting is said by who starts in its stead.
    if (started) break;
  }
  return Answer::kElsewhere;
}

static int run(int argc, char** argv) {
  Places places;
  if (!findPackage(&places)) {
    dprintf(2, "lamina: the package of this program is not found\n");
    return 1;
  }
  if (argc == 4 && strcmp(argv[1], "-o") == 0 && argv[3][0] != '-' && findSocket(&places)) {
    const Request request{{places.cwd, argv[2], argv[3]}};
    const Answer answer = askSomebody(places, request);
    if (answer == Answer::kDone) return 0;
    if (answer == Answer::kFailed) return 1;
  }
  execMain(places, argc, argv);
}

}  // namespace lamina

int main(int argc, char** argv) { return lamina::run(argc, argv); }
