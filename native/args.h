// How JavaScript arguments become C++ ones. A native function is an ordinary C++ function of the types below that returns
// >= 0 or -errno; `Call<F>` is the napi callback for it. A wrong type or count throws a TypeError; a path that no system call
// could take is -ENAMETOOLONG or -EINVAL. Nothing here allocates.
#pragma once
#include <node_api.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <tuple>
#include <utility>

namespace lamina {

/** A row of an export table. */
struct Method {
  const char* name;
  napi_callback call;
};

/** A path or name: a byte string of at most PATH_MAX - 1 bytes without NUL, here ended by one. */
struct Path {
  const char* text;
  bool empty() const { return text[0] == '\0'; }
};

/** The memory of a Buffer or a typed array, valid for the call (on a worker: for the job). */
template <typename T>
struct Span {
  T* data;
  size_t size;

  /** The part [at, at + length), or null when it does not lie within. */
  T* part(int64_t at, int64_t length) const {
    const auto end = static_cast<int64_t>(size);
    return at < 0 || length < 0 || at > end || length > end - at ? nullptr : data + at;
  }
};
using Bytes = Span<uint8_t>;
using Doubles = Span<double>;
using Ints = Span<int32_t>;

/** What a system call wrapper returned, as >= 0 or -errno. */
inline int64_t result(int64_t rc) { return rc < 0 ? -static_cast<int64_t>(errno) : rc; }

/** A whole number of JavaScript within [low, high]. */
inline bool loadInteger(napi_env env, napi_value value, double low, double high, int64_t* out) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= low && number <= high)) return false;
  *out = static_cast<int64_t>(number);
  return static_cast<double>(*out) == number;
}

/**
 * One argument on its way: `load` takes it (false: of the wrong type), `error` is then 0 or an errno that answers the
 * call, `get` is what the function receives, and `kHeld` says that its value must be kept alive while a job runs.
 */
template <typename T>
struct Arg;

template <typename T, bool wide>
struct IntegerArg {
  static constexpr bool kHeld = false;
  static constexpr const char* kExpected = wide ? "a whole number" : "a 32-bit whole number";
  static constexpr int error = 0;
  int64_t value = 0;
  bool load(napi_env env, napi_value from) {
    constexpr double exact = 9007199254740992.0;
    return loadInteger(env, from, wide ? -exact : INT32_MIN, wide ? exact : UINT32_MAX, &value);
  }
  T get() const { return static_cast<T>(value); }
};

// Flags and ids may come with the top bit as a sign (`a | b` in JavaScript) or as a large number; both mean the same bits.
template <>
struct Arg<int> : IntegerArg<int, false> {};
template <>
struct Arg<unsigned> : IntegerArg<unsigned, false> {};
template <>
struct Arg<int64_t> : IntegerArg<int64_t, true> {};

template <>
struct Arg<bool> {
  static constexpr bool kHeld = false;
  static constexpr const char* kExpected = "a boolean";
  static constexpr int error = 0;
  bool value = false;
  bool load(napi_env env, napi_value from) { return napi_get_value_bool(env, from, &value) == napi_ok; }
  bool get() const { return value; }
};

template <>
struct Arg<Path> {
  static constexpr bool kHeld = false;
  static constexpr const char* kExpected = "a string";
  int error = 0;
  char text[PATH_MAX + 1];
  Arg() {}  // leaves `text` as it is: clearing 4 KiB would cost more than most calls
  bool load(napi_env env, napi_value from) {
    size_t length;
    if (napi_get_value_string_latin1(env, from, text, sizeof text, &length) != napi_ok) return false;
    if (length >= PATH_MAX) {
      error = ENAMETOOLONG;
    } else if (memchr(text, '\0', length) != nullptr) {
      error = EINVAL;
    }
    return true;
  }
  Path get() const { return {text}; }
};

template <typename T, napi_typedarray_type kind>
struct SpanArg {
  static constexpr bool kHeld = true;
  static constexpr int error = 0;
  Span<T> value{nullptr, 0};
  bool load(napi_env env, napi_value from) {
    napi_typedarray_type type;
    void* data;
    if (napi_get_typedarray_info(env, from, &type, &value.size, &data, nullptr, nullptr) != napi_ok) return false;
    value.data = static_cast<T*>(data);
    return type == kind;
  }
  Span<T> get() const { return value; }
};

template <>
struct Arg<Bytes> : SpanArg<uint8_t, napi_uint8_array> {
  static constexpr const char* kExpected = "a Buffer";
};
template <>
struct Arg<Doubles> : SpanArg<double, napi_float64_array> {
  static constexpr const char* kExpected = "a Float64Array";
};
template <>
struct Arg<Ints> : SpanArg<int32_t, napi_int32_array> {
  static constexpr const char* kExpected = "an Int32Array";
};

/** Throws the TypeError for argument `index` (from 0) of the function `name`. */
inline void throwWrongType(napi_env env, const char* name, size_t index, const char* expected) {
  char message[120];
  snprintf(message, sizeof message, "%s: argument %zu must be %s", name, index + 1, expected);
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
}

inline napi_value toValue(napi_env env, int64_t number) {
  napi_value value = nullptr;
  if (number >= INT32_MIN && number <= INT32_MAX) {
    napi_create_int32(env, static_cast<int32_t>(number), &value);
  } else {
    napi_create_double(env, static_cast<double>(number), &value);
  }
  return value;
}

/** The arguments of one call. */
template <typename... A>
struct Arguments {
  static constexpr size_t kCount = sizeof...(A);
  napi_value values[kCount + 1];
  std::tuple<Arg<A>...> args;

  /** False after a TypeError has been thrown. */
  bool load(napi_env env, napi_callback_info info) { return load(env, info, std::index_sequence_for<A...>{}); }

  /** The first argument's errno, or 0. */
  int error() const {
    int found = 0;
    std::apply([&](const auto&... arg) { ((found = found != 0 ? found : arg.error), ...); }, args);
    return found;
  }

  template <auto F>
  auto apply() const {
    return std::apply([](const auto&... arg) { return F(arg.get()...); }, args);
  }

 private:
  template <size_t... I>
  bool load(napi_env env, napi_callback_info info, std::index_sequence<I...>) {
    size_t count = kCount;
    void* name = nullptr;
    if (napi_get_cb_info(env, info, &count, values, nullptr, &name) != napi_ok) return false;
    return (loadOne<I>(env, static_cast<const char*>(name)) && ...);
  }

  template <size_t I>
  bool loadOne(napi_env env, const char* name) {
    auto& arg = std::get<I>(args);
    if (arg.load(env, values[I])) return true;
    throwWrongType(env, name, I, arg.kExpected);
    return false;
  }
};

template <auto F>
struct Binding;

template <typename... A, int64_t (*F)(A...)>
struct Binding<F> {
  static napi_value call(napi_env env, napi_callback_info info) {
    Arguments<A...> arguments;
    if (!arguments.load(env, info)) return nullptr;
    const int error = arguments.error();
    return toValue(env, error != 0 ? -error : arguments.template apply<F>());
  }
};

/** The napi callback that calls F; its data pointer is the name under which it is exported. */
template <auto F>
constexpr napi_callback Call = Binding<F>::call;

}  // namespace lamina
