// What a process inherits from whoever starts it, as one number: two callers with the same number may share a process that
// serves their mounts, because each of them would have started the same one. Everything that is not inherited, or that the
// process gives up, is left out.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>

namespace lamina {

/** FNV-1a, 128 bits (http://www.isthe.com/chongo/tech/comp/fnv/): for telling callers apart, not for keeping anybody out. */
class Fingerprint {
 public:
  void add(const void* data, size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (size_t i = 0; i < size; i++) value_ = (value_ ^ bytes[i]) * kPrime;
  }

  /** A text and its end. */
  void add(const char* text) { add(text, strlen(text) + 1); }

  /** 32 hexadecimal digits. */
  void print(char out[33]) const {
    snprintf(out, 33, "%016llx%016llx", static_cast<unsigned long long>(value_ >> 64),
             static_cast<unsigned long long>(value_));
  }

 private:
  using Wide = unsigned __int128;
  static constexpr Wide kPrime = (static_cast<Wide>(1) << 88) + 0x13b;
  Wide value_ = (static_cast<Wide>(0x6c62272e07bb0142) << 64) + 0x62b821756295c58d;
};

/** Fills `buffer` from a file and ends it with a NUL; a file that cannot be read is empty. */
inline size_t readText(const char* path, char* buffer, size_t room) {
  size_t length = 0;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    ssize_t got;
    while (length < room - 1 && (got = read(fd, buffer + length, room - 1 - length)) > 0) {
      length += static_cast<size_t>(got);
    }
    close(fd);
  }
  buffer[length] = '\0';
  return length;
}

inline void addFile(Fingerprint* print, const char* path) {
  char text[16384];
  print->add(text, readText(path, text, sizeof text) + 1);
}

/** Which file it is, and whether it has been changed since: mtime comes from a package, ctime does not. */
inline bool addIdentity(Fingerprint* print, const char* path) {
  struct stat stat;
  if (::stat(path, &stat) != 0) return false;
  const uint64_t facts[] = {stat.st_dev, stat.st_ino, static_cast<uint64_t>(stat.st_size),
                            static_cast<uint64_t>(stat.st_ctim.tv_sec), static_cast<uint64_t>(stat.st_ctim.tv_nsec)};
  print->add(facts, sizeof facts);
  return true;
}

/** Which directory or name space it is. */
inline bool addPlace(Fingerprint* print, const char* path) {
  struct stat stat;
  if (::stat(path, &stat) != 0) return false;
  const uint64_t facts[] = {stat.st_dev, stat.st_ino};
  print->add(facts, sizeof facts);
  return true;
}

/** Ids, groups, capabilities, and what else of proc_pid_status(5) a process gets from its parent. */
inline void addCredentials(Fingerprint* print) {
  static const char* const kInherited[] = {"Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp:"};
  char text[16384];
  readText("/proc/self/status", text, sizeof text);
  for (char* line = text; line != nullptr && *line != '\0';) {
    char* end = strchr(line, '\n');
    if (end != nullptr) *end = '\0';
    for (const char* name : kInherited) {
      if (strncmp(line, name, strlen(name)) == 0) print->add(line);
    }
    line = end == nullptr ? nullptr : end + 1;
  }
}

/** The settings of this command and of node. */
inline void addEnvironment(Fingerprint* print, char** environment) {
  for (char** entry = environment; *entry != nullptr; entry++) {
    if (strncmp(*entry, "LAMINA_", 7) == 0 || strncmp(*entry, "NODE_", 5) == 0) print->add(*entry);
  }
}

/** False where there is no /proc to tell name spaces apart. */
inline bool addCaller(Fingerprint* print, char** environment) {
  for (const char* space : {"/proc/self/ns/mnt", "/proc/self/ns/user", "/proc/self/ns/pid", "/"}) {
    if (!addPlace(print, space)) return false;
  }
  // Who ends a cgroup, or bounds it, means those who are in it.
  for (const char* file : {"/proc/self/cgroup", "/proc/self/limits", "/proc/self/oom_score_adj", "/proc/self/attr/current"}) {
    addFile(print, file);
  }
  addCredentials(print);
  addEnvironment(print, environment);
  return true;
}

}  // namespace lamina
