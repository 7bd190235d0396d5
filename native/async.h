// Calls on worker threads: `AsyncCall<F>` takes the arguments of F as `Call<F>` does, runs F on a thread of the pool, and
// answers with a promise of its result. Buffers among the arguments are kept alive until then.
#pragma once
#include <array>
#include <type_traits>
#include <vector>

#include "args.h"
#include "pool.h"

namespace lamina {

/** Bytes of unknown length, or -errno in `error`. */
struct Listing {
  int64_t error = 0;
  std::vector<uint8_t> bytes;
};

inline napi_value toValue(napi_env env, const Listing& listing) {
  if (listing.error < 0) return toValue(env, listing.error);
  napi_value buffer = nullptr;
  napi_create_buffer_copy(env, listing.bytes.size(), listing.bytes.data(), nullptr, &buffer);
  return buffer;
}

template <auto F, typename R, typename... A>
class Job : public Work {
 public:
  static napi_value call(napi_env env, napi_callback_info info) {
    auto* self = new Job;
    if (!self->arguments_.load(env, info)) {
      delete self;
      return nullptr;
    }
    self->hold(env, std::index_sequence_for<A...>{});
    napi_value promise = nullptr;
    napi_create_promise(env, &self->deferred_, &promise);
    submit(env, self);
    return promise;
  }

  void run() override {
    if constexpr (std::is_same_v<R, int64_t>) {
      if (const int error = arguments_.error(); error != 0) {
        result_ = -error;
        return;
      }
    }
    result_ = arguments_.template apply<F>();
  }

  void finish(napi_env env) override {
    napi_resolve_deferred(env, deferred_, toValue(env, result_));
    for (napi_ref held : held_) {
      if (held != nullptr) napi_delete_reference(env, held);
    }
  }

 private:
  template <size_t... I>
  void hold(napi_env env, std::index_sequence<I...>) {
    ((Arg<A>::kHeld ? (void)napi_create_reference(env, arguments_.values[I], 1, &held_[I]) : (void)0), ...);
  }

  Arguments<A...> arguments_;
  std::array<napi_ref, sizeof...(A)> held_{};
  R result_{};
  napi_deferred deferred_ = nullptr;
};

template <auto F>
struct AsyncBinding;

template <typename R, typename... A, R (*F)(A...)>
struct AsyncBinding<F> : Job<F, R, A...> {};

/** The napi callback that runs F on a worker thread, where a Path is looked up with the process's own ids. */
template <auto F>
constexpr napi_callback AsyncCall = AsyncBinding<F>::call;

}  // namespace lamina
