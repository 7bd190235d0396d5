// The thread pool. Locking: one mutex for the queue, the counts of threads and each environment's count of running work.
#include "pool.h"

#include <pthread.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>

namespace lamina {

static constexpr unsigned kMostThreads = 32;
static constexpr std::chrono::seconds kIdle{10};
static constexpr size_t kStack = 512 * 1024;

/** One JavaScript environment. */
struct Client {
  napi_threadsafe_function done = nullptr;
  unsigned pending = 0;  // submitted and not finished; the environment's thread only
  unsigned running = 0;  // on a thread of the pool; under the mutex
};

struct Item {
  Client* client;
  Work* work;
};

/** Never destroyed: its threads may outlive everything else in the process. */
class Pool {
 public:
  static Pool& get() {
    static Pool* pool = new Pool;
    return *pool;
  }

  void add(Item item) {
    std::unique_lock<std::mutex> lock(mutex_);
    queue_.push_back(item);
    if (idle_ >= queue_.size()) {
      lock.unlock();  // or the thread would wake only to wait for the mutex
      wake_.notify_one();
    } else if (threads_ < kMostThreads && startThread()) {
      threads_++;
    } else if (threads_ == 0) {
      runFirst(lock);  // no thread can be had: it costs time and nothing else
    }
  }

  /** Forgets the client's queued work and waits for its running work. */
  void leave(Client* client) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (auto item = queue_.begin(); item != queue_.end();) {
      if (item->client == client) {
        delete item->work;
        item = queue_.erase(item);
      } else {
        ++item;
      }
    }
    settled_.wait(lock, [client] { return client->running == 0; });
  }

 private:
  // Signals are for the main thread: a blocked one interrupts no call here.
  static bool startThread() {
    sigset_t all;
    sigset_t before;
    pthread_attr_t attributes;
    pthread_t thread;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, kStack);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&thread, &attributes, threadMain, nullptr);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    return error == 0;
  }

  // A thread inherits the file system ids of the one that made it, which may just act for somebody else.
  static void* threadMain(void*) {
    setfsuid(geteuid());
    setfsgid(getegid());
    pthread_setname_np(pthread_self(), "lamina-worker");
    get().work();
    return nullptr;
  }

  void work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      idle_++;
      const bool found = wake_.wait_for(lock, kIdle, [this] { return !queue_.empty(); });
      idle_--;
      if (!found) break;
      runFirst(lock);
    }
    threads_--;
  }

  void runFirst(std::unique_lock<std::mutex>& lock) {
    const Item item = queue_.front();
    queue_.pop_front();
    item.client->running++;
    lock.unlock();
    item.work->run();
    // Refused only by an environment that is ending; then nobody finishes the work.
    if (napi_call_threadsafe_function(item.client->done, item.work, napi_tsfn_nonblocking) != napi_ok) delete item.work;
    lock.lock();
    if (--item.client->running == 0) settled_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable settled_;
  std::deque<Item> queue_;
  size_t idle_ = 0;
  unsigned threads_ = 0;
};

/** Back on the environment's thread; without `env` when that is ending. */
static void finish(napi_env env, napi_value, void* context, void* data) {
  auto* work = static_cast<Work*>(data);
  if (env != nullptr) {
    auto* client = static_cast<Client*>(context);
    work->finish(env);
    if (--client->pending == 0) napi_unref_threadsafe_function(env, client->done);
  }
  delete work;
}

void openPool(napi_env env) {
  auto* client = new Client;
  napi_value name;
  napi_create_string_utf8(env, "lamina:pool", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, client, finish, &client->done);
  napi_unref_threadsafe_function(env, client->done);
  napi_set_instance_data(env, client, [](napi_env, void* data, void*) { delete static_cast<Client*>(data); }, nullptr);
  // Hooks run last in, first out: this one before the function above is taken down.
  napi_add_env_cleanup_hook(env, [](void* data) { Pool::get().leave(static_cast<Client*>(data)); }, client);
}

void submit(napi_env env, Work* work) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  auto* client = static_cast<Client*>(data);
  if (client->pending++ == 0) napi_ref_threadsafe_function(env, client->done);
  Pool::get().add({client, work});
}

}  // namespace lamina
