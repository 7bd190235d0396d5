// Threads of our own for work that can take long. libuv's pool has four threads, which four copies of large files would
// keep from everybody else's fsync; this one grows to 32 and shrinks when there is nothing to do.
#pragma once
#include <node_api.h>

namespace lamina {

/** Something to do on a thread of the pool. */
class Work {
 public:
  virtual ~Work() = default;
  /** On a thread of the pool: no call of napi. */
  virtual void run() = 0;
  /** On the thread of `env`, afterwards; not called when the environment has ended meanwhile. */
  virtual void finish(napi_env env) = 0;
};

/** Makes the pool usable from an environment; once for each, before any submit. */
void openPool(napi_env env);

/**
 * Runs `work` on a thread with the process's own ids, then finishes and deletes it. The event loop stays alive until then;
 * an environment that ends waits for what runs, and drops what has not begun.
 */
void submit(napi_env env, Work* work);

}  // namespace lamina
