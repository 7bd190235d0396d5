// watchReadable: calls JavaScript from the event loop while a descriptor is readable, or writable on request.
#include <fcntl.h>
#include <uv.h>

#include "subjects.h"

namespace lamina {

/**
 * One watched descriptor. It is owned twice: by the poll handle until libuv has closed it, and by the JavaScript object
 * until that is collected; the last owner deletes it. An environment that ends closes the handle first.
 */
class Watch {
 public:
  /** The watch's JavaScript object; null after throwing. */
  static napi_value start(napi_env env, int fd, napi_value wake) {
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(env, &loop);
    if (fcntl(fd, F_GETFD) < 0) return fail(env, UV_EBADF);
    auto* self = new Watch(env);
    int rc = uv_poll_init(loop, &self->poll_, fd);
    if (rc != 0) {
      delete self;
      return fail(env, rc);
    }
    self->poll_.data = self;
    self->owners_ = 1;
    napi_add_async_cleanup_hook(env, atExit, self, &self->hook_);
    napi_create_reference(env, wake, 1, &self->wake_);
    napi_value name;
    napi_create_string_utf8(env, "lamina:watch", NAPI_AUTO_LENGTH, &name);
    napi_async_init(env, nullptr, name, &self->context_);
    rc = uv_poll_start(&self->poll_, UV_READABLE, ready);
    if (rc != 0) {
      self->close();
      return fail(env, rc);
    }
    return self->object();
  }

 private:
  explicit Watch(napi_env env) : env_(env) {}

  static napi_value fail(napi_env env, int rc) {
    napi_throw_error(env, uv_err_name(rc), uv_strerror(rc));
    return nullptr;
  }

  napi_value object() {
    napi_value object;
    napi_create_object(env_, &object);
    method(object, "stop", onStop);
    method(object, "want", onWant);
    return object;
  }

  void method(napi_value object, const char* name, napi_callback call) {
    napi_value function;
    napi_create_function(env_, name, NAPI_AUTO_LENGTH, call, this, &function);
    napi_set_named_property(env_, object, name, function);
    // The function is what reaches `this`, so the function is what must outlive it.
    napi_add_finalizer(env_, function, this, [](napi_env, void* self, void*) { static_cast<Watch*>(self)->release(); },
                       nullptr, nullptr);
    owners_++;
  }

  static napi_value onStop(napi_env env, napi_callback_info info) {
    void* self = nullptr;
    napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &self);
    static_cast<Watch*>(self)->close();
    return nullptr;
  }

  static napi_value onWant(napi_env env, napi_callback_info info) {
    void* data = nullptr;
    napi_value value;
    size_t count = 1;
    Arg<int> events;
    napi_get_cb_info(env, info, &count, &value, nullptr, &data);
    if (!events.load(env, value) || (events.get() & ~(UV_READABLE | UV_WRITABLE)) != 0) {
      throwWrongType(env, "want", 0, "1, 2, 3 or 0");
      return nullptr;
    }
    auto* self = static_cast<Watch*>(data);
    if (self->closing_) return nullptr;
    const int rc = events.get() == 0 ? uv_poll_stop(&self->poll_) : uv_poll_start(&self->poll_, events.get(), ready);
    return rc == 0 ? nullptr : fail(env, rc);
  }

  static void ready(uv_poll_t* poll, int status, int events) { static_cast<Watch*>(poll->data)->call(status, events); }

  void call(int status, int events) {
    napi_handle_scope scope;
    napi_open_handle_scope(env_, &scope);
    napi_value wake;
    napi_value arguments[2];
    napi_value global;
    napi_get_reference_value(env_, wake_, &wake);
    napi_create_int32(env_, status, &arguments[0]);
    napi_create_int32(env_, events, &arguments[1]);
    napi_get_global(env_, &global);
    // napi_make_callback runs the microtasks that the call leaves behind.
    if (napi_make_callback(env_, context_, global, wake, 2, arguments, nullptr) == napi_pending_exception) {
      napi_value error;
      napi_get_and_clear_last_exception(env_, &error);
      napi_fatal_exception(env_, error);
    }
    napi_close_handle_scope(env_, scope);
  }

  static void atExit(napi_async_cleanup_hook_handle, void* self) { static_cast<Watch*>(self)->close(); }

  void close() {
    if (closing_) return;
    closing_ = true;
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
      static_cast<Watch*>(handle->data)->closed();
    });
  }

  void closed() {
    napi_handle_scope scope;
    napi_open_handle_scope(env_, &scope);
    napi_delete_reference(env_, wake_);
    napi_async_destroy(env_, context_);
    napi_close_handle_scope(env_, scope);
    napi_remove_async_cleanup_hook(hook_);
    release();
  }

  void release() {
    if (--owners_ == 0) delete this;
  }

  napi_env env_;
  uv_poll_t poll_{};
  napi_ref wake_ = nullptr;
  napi_async_context context_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  int owners_ = 0;
  bool closing_ = false;
};

static napi_value watchReadable(napi_env env, napi_callback_info info) {
  napi_value values[2];
  size_t count = 2;
  void* name = nullptr;
  Arg<int> fd;
  napi_valuetype type = napi_undefined;
  napi_get_cb_info(env, info, &count, values, nullptr, &name);
  if (!fd.load(env, values[0])) {
    throwWrongType(env, static_cast<const char*>(name), 0, fd.kExpected);
    return nullptr;
  }
  napi_typeof(env, values[1], &type);
  if (type != napi_function) {
    throwWrongType(env, static_cast<const char*>(name), 1, "a function");
    return nullptr;
  }
  return Watch::start(env, fd.get(), values[1]);
}

static constexpr Method kMethods[] = {{"watchReadable", watchReadable}};

Methods watchMethods() { return {kMethods, 1}; }

}  // namespace lamina
