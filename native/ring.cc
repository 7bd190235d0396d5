// The ring of FUSE over io_uring, for JavaScript.
#include "ring.h"

#include "subjects.h"

namespace lamina {

static constexpr napi_type_tag kRingTag{0x6c616d696e61, 0x72696e67};

template <>
struct Arg<Ring*> {
  static constexpr bool kHeld = false;
  static constexpr const char* kExpected = "a ring";
  static constexpr int error = 0;
  Ring* value = nullptr;
  bool load(napi_env env, napi_value from) {
    bool ours = false;
    void* data = nullptr;
    napi_valuetype type;
    if (napi_typeof(env, from, &type) != napi_ok || type != napi_external) return false;
    if (napi_check_object_type_tag(env, from, &kRingTag, &ours) != napi_ok || !ours) return false;
    if (napi_get_value_external(env, from, &data) != napi_ok) return false;
    value = static_cast<Ring*>(data);
    return true;
  }
  Ring* get() const { return value; }
};

/** A new ring, closed when it is collected at the latest, or -errno. */
static napi_value ringOpen(napi_env env, napi_callback_info info) {
  Arguments<unsigned> arguments;
  if (!arguments.load(env, info)) return nullptr;
  auto ring = std::make_unique<Ring>();
  const int64_t rc = ring->open(std::get<0>(arguments.args).get());
  if (rc < 0) return toValue(env, rc);
  napi_value value = nullptr;
  const auto collect = [](napi_env, void* data, void*) { delete static_cast<Ring*>(data); };
  if (napi_create_external(env, ring.get(), collect, nullptr, &value) != napi_ok) return nullptr;
  ring.release();
  napi_type_tag_object(env, value, &kRingTag);
  return value;
}

static int64_t ringBellCall(Ring* ring) { return ring->isOpen() ? ring->bell() : -EBADF; }

static int64_t ringAddCall(Ring* ring, int fuseFd, unsigned queue, Bytes memory, unsigned count) {
  return ring->isOpen() ? ring->add(fuseFd, queue, memory, count) : -EBADF;
}

static int64_t ringReplyCall(Ring* ring, Bytes buffer, Ints ends, int count, Ints results) {
  return ring->isOpen() ? ring->reply(buffer, ends, count, results) : -EBADF;
}

static int64_t ringTakeCall(Ring* ring, Ints out, int64_t spinMicros) { return ring->take(out, spinMicros); }

static int64_t ringSubmitCall(Ring* ring) { return ring->submit(); }

static int64_t ringCloseCall(Ring* ring) {
  ring->close();
  return 0;
}

static constexpr Method kMethods[] = {
    {"ringOpen", ringOpen},
    {"ringBell", Call<ringBellCall>},
    {"ringAdd", Call<ringAddCall>},
    {"ringReply", Call<ringReplyCall>},
    {"ringTake", Call<ringTakeCall>},
    {"ringSubmit", Call<ringSubmitCall>},
    {"ringClose", Call<ringCloseCall>},
};

Methods ringMethods() { return {kMethods, sizeof kMethods / sizeof kMethods[0]}; }

}  // namespace lamina
