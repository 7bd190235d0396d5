// The addon: bytes and system calls, no policy. src/sys/native.ts is its interface and its only user.
#include <napi.h>

#include "pool.h"
#include "subjects.h"

namespace lamina {

static void add(Napi::Object exports, Methods methods) {
  for (size_t i = 0; i < methods.count; i++) {
    const Method& method = methods.rows[i];
    napi_value function;
    const napi_status made = napi_create_function(exports.Env(), method.name, NAPI_AUTO_LENGTH, method.call,
                                                  const_cast<char*>(method.name), &function);
    if (made == napi_ok) exports.Set(method.name, Napi::Value(exports.Env(), function));
  }
}

static Napi::Object start(Napi::Env env, Napi::Object exports) {
  openPool(env);
  for (const auto& methods : {fileMethods(), dataMethods(), xattrMethods(), identityMethods(), mountMethods(),
                              fuseMethods(), ringMethods(), watchMethods(), socketMethods()}) {
    add(exports, methods);
  }
  exports.Set("statSlots", statSlots(env));
  exports.Set("constants", constants(env));
  return exports;
}

}  // namespace lamina

static Napi::Object init(Napi::Env env, Napi::Object exports) { return lamina::start(env, exports); }

NODE_API_MODULE(lamina, init)
