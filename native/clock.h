// The time for whoever waits busily.
#pragma once
#include <time.h>

#include <cstdint>

namespace lamina {

inline int64_t nowMicros() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000000 + now.tv_nsec / 1000;
}

}  // namespace lamina
